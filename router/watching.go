package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Watching is a function that watches events in this replica.
type Watching struct {
	stop   context.CancelFunc
	mu     sync.Mutex
	closed bool
}

// Close ends the watching. After it has returned, no new call begins; one under way finishes, and one that is about to take its first step is
// under way. Closing twice does nothing.
func (w *Watching) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.stop()
}

// Watch has a function called in this replica for every event whose type matches the pattern and that is accepted after Watch has returned: live, in
// the order of each partition, one call at a time, nothing stored. It is best effort: what a function that is too slow can't keep up with is
// skipped, and what is accepted while the replica is down is not seen; an outage of Redis is made up for. It hears of events while Run runs;
// the ctx of its calls ends when Run does. Errors: Invalid for a bad pattern or no function, Unavailable.
func (r *Router) Watch(ctx context.Context, pattern string, watch func(ctx context.Context, e Event)) (*Watching, error) {
	types, err := ParseTypePattern(pattern)
	if err != nil {
		return nil, err
	}
	if watch == nil {
		return nil, Errorf(Invalid, "watch %q: there is no function", pattern)
	}
	follower, err := r.feed.Follow(ctx, nil, func(e Event) bool { return types.Match(e.Type()) })
	if err != nil {
		return nil, fmt.Errorf("watch %q: %w", pattern, err)
	}
	calls, endCalls := context.WithCancel(context.WithoutCancel(ctx))
	following, stop := context.WithCancel(calls)
	w := &Watching{stop: stop}
	go func() {
		defer endCalls()
		w.run(following, r, follower, func(e Event) error {
			watch(context.WithValue(calls, handling{}, e), e)
			return nil
		})
	}()
	go endWith(r.feed.done, calls, endCalls)
	return w, nil
}

// endWith calls end when done is closed, and returns then or when ctx has ended.
func endWith(done <-chan struct{}, ctx context.Context, end func()) { //nolint:revive // ctx is waited for, not worked under
	select {
	case <-done:
		end()
	case <-ctx.Done():
	}
}

// run has each record seen until ctx or the feed ends.
func (w *Watching) run(ctx context.Context, r *Router, follower *Follower, see func(Event) error) {
	for follower != nil {
		records, err := follower.Next(ctx)
		switch {
		case errors.Is(err, ErrTooSlow):
			r.config.Logger.Warn("a watching function is too slow; events are skipped")
			follower = r.followAgain(ctx, follower)
		case err != nil:
			follower.Close()
			return
		}
		for _, record := range records {
			w.see(r, record.Event, see)
		}
	}
}

// followAgain follows from now on what a follower followed that has ended, nil when ctx has.
func (r *Router) followAgain(ctx context.Context, old *Follower) *Follower {
	old.Close()
	for {
		follower, err := r.feed.Follow(ctx, nil, old.match)
		if err == nil {
			return follower
		}
		r.failed(ctx, "follow the log", err)
		if !sleep(ctx, failurePause) {
			return nil
		}
	}
}

// see makes a call and waits for its end.
func (w *Watching) see(r *Router, e Event, see func(Event) error) {
	ended := <-protect(func() error {
		w.mu.Lock()
		closed := w.closed
		w.mu.Unlock()
		if closed {
			return errNotBegun
		}
		return see(e)
	})
	if ended.outcome == OutcomeHandlerPanic {
		r.config.Logger.Error("a watching function panicked", "panic", ended.text)
	}
}
