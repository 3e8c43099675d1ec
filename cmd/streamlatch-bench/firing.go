package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// measureFiring publishes pairs at a rate and returns p50 and p99, in milliseconds, of the time from when the second event of each is stored to when its firing is read
// from the log; plainly, to when that event itself has come to a handler.
func measureFiring(ctx context.Context, perSecond, keys int, plain bool) (values []float64, err error) {
	server, err := redistest.Launch()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	store, err := redisstore.Open(ctx, redisstore.Config{URL: server.URL()})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	w := &waits{stored: make([]time.Time, keys), came: make([]time.Time, keys), left: keys, done: make(chan struct{})}
	r := router.New(store, router.Config{})
	if plain {
		_, err = r.Subscribe(ctx, "bench.b", "bench", w.handle, router.HandlerConfig{MaxInFlight: router.MaxMaxInFlight})
	} else if err = createPairTriggers(ctx, store, 0); err == nil {
		_, err = r.Watch(ctx, "bench.joined", func(ctx context.Context, e router.Event) {
			if failed := w.handle(ctx, e); failed != nil {
				panic(failed) // it is an event that this program did not publish
			}
		})
	}
	if err != nil {
		return nil, err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(running) }()
	if err := w.publish(ctx, store, perSecond, keys); err != nil {
		return nil, err
	}
	select {
	case <-w.done:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	stop()
	return w.percentiles(), <-ended
}

// waits are the times of pairs.
type waits struct {
	mu     sync.Mutex
	stored []time.Time
	came   []time.Time
	left   int
	done   chan struct{}
}

// publish stores the events at a rate, each by a call of its own.
func (w *waits) publish(ctx context.Context, store *redisstore.Store, perSecond, keys int) error {
	var all sync.WaitGroup
	failed := make(chan error, 2*keys)
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	defer tick.Stop()
	for pair := range keys {
		for half := range 2 {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			e, err := pairEvent("waits", half*keys+pair, keys, 0)
			if err != nil {
				return err
			}
			all.Go(func() {
				if result := store.Append(ctx, []router.Event{e})[0]; result.Err != nil {
					failed <- result.Err
				}
				if half == 1 {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.stored[pair] = time.Now()
				}
			})
		}
	}
	all.Wait()
	close(failed)
	return <-failed
}

func (w *waits) handle(_ context.Context, e router.Event) error {
	now, pair := time.Now(), 0
	if _, err := fmt.Sscanf(e.Subject(), "%d", &pair); err != nil {
		if _, err := fmt.Sscanf(string(e.Data()), `{"pair":%d,`, &pair); err != nil {
			return fmt.Errorf("an event of no pair: %w", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.came[pair].IsZero() {
		w.came[pair] = now
		if w.left--; w.left == 0 {
			close(w.done)
		}
	}
	return nil
}

func (w *waits) percentiles() []float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	var took []time.Duration
	for pair, stored := range w.stored {
		took = append(took, max(w.came[pair].Sub(stored), 0)) // it may have come before the publisher heard that it was stored
	}
	return []float64{milliseconds(percentile(took, 0.50)), milliseconds(percentile(took, 0.99))}
}
