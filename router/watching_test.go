package router

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// watchedLog is a log of one partition in memory, for use in a bubble: it waits by polling the bubble's clock.
type watchedLog struct {
	Store
	mu      sync.Mutex
	records []Record
	failing bool
}

func (*watchedLog) Partitions() int { return 1 }

func (l *watchedLog) add(t testing.TB, n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		id := len(l.records) + 1
		e, err := NewEvent(EventFields{ID: fmt.Sprint(id), Source: "/test", Type: "x.y"})
		require.NoError(t, err)
		l.records = append(l.records, Record{Position: Position{MS: int64(id)}, Event: e})
	}
}

func (l *watchedLog) fail(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = on
}

func (l *watchedLog) LogEnd(context.Context, int) (Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failing {
		return Position{}, errors.New("out of order")
	}
	return Position{MS: int64(len(l.records))}, nil
}

func (l *watchedLog) ReadLog(ctx context.Context, after Position, most int, wait time.Duration) ([]Record, error) {
	for end := time.Now().Add(wait); ; {
		l.mu.Lock()
		failing, rest := l.failing, l.records[after.MS:]
		l.mu.Unlock()
		switch {
		case failing:
			return nil, errors.New("out of order")
		case len(rest) > 0:
			return append([]Record(nil), rest[:min(most, len(rest))]...), nil
		case time.Now().After(end) || !sleep(ctx, 10*time.Millisecond):
			return nil, nil
		}
	}
}

// watched collects the ids of events.
type watched struct {
	mu  sync.Mutex
	ids []string
}

func (w *watched) see(_ context.Context, e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids = append(w.ids, e.ID())
}

func (w *watched) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.ids...)
}

// watching runs a test in a bubble with a router whose feed runs until the returned function is called.
func watching(t *testing.T, test func(t *testing.T, r *Router, log *watchedLog, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		log := &watchedLog{}
		r := New(log, Config{})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.feed.Run(ctx) }()
		stop := sync.OnceFunc(func() {
			cancel()
			require.NoError(t, <-done)
		})
		defer stop()
		test(t, r, log, stop)
	})
}

// settle gives everything in the bubble time to come to rest.
func settle() { sleep(context.Background(), 5*time.Second) }

func TestAWatchingFunctionSeesWhatIsAcceptedAfterWatchInOrder(t *testing.T) {
	watching(t, func(t *testing.T, r *Router, log *watchedLog, _ func()) {
		log.add(t, 2)
		var w watched
		_, err := r.Watch(t.Context(), "x.*", w.see)
		require.NoError(t, err)
		log.add(t, 3)
		settle()
		log.add(t, 1)
		settle()
		require.Equal(t, []string{"3", "4", "5", "6"}, w.seen())
	})
}

func TestAWatchingFunctionGoesOnAfterAPanicOrGoexit(t *testing.T) {
	watching(t, func(t *testing.T, r *Router, log *watchedLog, _ func()) {
		var w watched
		_, err := r.Watch(t.Context(), "x.*", func(ctx context.Context, e Event) {
			w.see(ctx, e)
			switch e.ID() {
			case "1":
				panic(evil{evil{"deeper"}})
			case "2":
				runtime.Goexit()
			}
		})
		require.NoError(t, err)
		log.add(t, 3)
		settle()
		require.Equal(t, []string{"1", "2", "3"}, w.seen())
	})
}

func TestAWatchingFunctionMayEndItselfAndGoOnWithItsContext(t *testing.T) {
	watching(t, func(t *testing.T, r *Router, log *watchedLog, _ func()) {
		var w watched
		handing := make(chan *Watching, 1)
		self, err := r.Watch(t.Context(), "x.*", func(ctx context.Context, e Event) {
			(<-handing).Close()
			require.NoError(t, ctx.Err(), "it may still publish with it")
			w.see(ctx, e)
		})
		require.NoError(t, err)
		handing <- self
		log.add(t, 3)
		settle()
		require.Equal(t, []string{"1"}, w.seen())
		self.Close()
	})
}

func TestTheContextOfAWatchingFunctionEndsWithRun(t *testing.T) {
	watching(t, func(t *testing.T, r *Router, log *watchedLog, stop func()) {
		ended := make(chan error, 1)
		_, err := r.Watch(t.Context(), "x.*", func(ctx context.Context, _ Event) {
			<-ctx.Done()
			ended <- ctx.Err()
		})
		require.NoError(t, err)
		log.add(t, 1)
		settle()
		stop()
		require.ErrorIs(t, <-ended, context.Canceled)
	})
}

func TestTheContextGivenToWatchDoesNotEndTheWatching(t *testing.T) {
	watching(t, func(t *testing.T, r *Router, log *watchedLog, _ func()) {
		var w watched
		ctx, cancel := context.WithCancel(t.Context())
		_, err := r.Watch(ctx, "x.*", w.see)
		require.NoError(t, err)
		cancel()
		log.add(t, 1)
		settle()
		require.Equal(t, []string{"1"}, w.seen())
	})
}

// That it fell behind and that Redis is away may come together.
func TestAWatchingFunctionThatIsTooSlowSkipsEventsAndOutlivesAnOutage(t *testing.T) {
	watching(t, func(t *testing.T, r *Router, log *watchedLog, _ func()) {
		var slow, quick watched
		gate := make(chan struct{})
		_, err := r.Watch(t.Context(), "x.*", func(ctx context.Context, e Event) {
			if slow.see(ctx, e); e.ID() == "1" {
				<-gate
			}
			sleep(ctx, 20*time.Millisecond)
		})
		require.NoError(t, err)
		_, err = r.Watch(t.Context(), "x.*", quick.see)
		require.NoError(t, err)
		settle()
		const many = 10_000 // more than a buffer, and than is seen within a follower's patience
		log.add(t, 1)
		settle()
		log.add(t, many)
		settle()
		require.Len(t, quick.seen(), many+1, "a slow one delays nobody else")
		close(gate)
		sleep(t.Context(), time.Minute)
		log.fail(true)
		sleep(t.Context(), 5*time.Minute)
		log.fail(false)
		settle()
		log.add(t, 1)
		settle()
		seen := slow.seen()
		require.Less(t, len(seen), many, "some were skipped")
		require.Equal(t, fmt.Sprint(many+2), seen[len(seen)-1], "it goes on with what comes then")
	})
}

func TestAnOutageOfTheLogIsMadeUpFor(t *testing.T) {
	watching(t, func(t *testing.T, r *Router, log *watchedLog, _ func()) {
		var w watched
		_, err := r.Watch(t.Context(), "x.*", w.see)
		require.NoError(t, err)
		log.add(t, 1)
		settle()
		log.fail(true)
		log.add(t, 2)
		sleep(t.Context(), time.Minute)
		require.Equal(t, []string{"1"}, w.seen())
		log.fail(false)
		settle()
		require.Equal(t, []string{"1", "2", "3"}, w.seen())
	})
}
