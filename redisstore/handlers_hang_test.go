package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// refusals counts attempts that did not come to a call.
type refusals struct {
	applies
	count atomic.Int64
}

func (r *refusals) Attempted(_ router.SinkKind, outcome router.Outcome, _ time.Duration) {
	if outcome == router.OutcomeCanceled {
		r.count.Add(1)
	}
}

func TestAHandlerThatHangsTakesNoMoreThanItsShareAndHarmsNobody(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		s, refused := open(t, addr), &refusals{}
		r, _ := start(t, s, newSink(), func(c *router.Config) { c.Observer = refused })
		const limit, events = 3, 30
		release := make(chan struct{})
		free := sync.OnceFunc(func() { close(release) })
		t.Cleanup(free)
		var running gauge
		var c calls
		_, err := r.Subscribe(t.Context(), "t.*", "hang", func(_ context.Context, e router.Event) error {
			defer running.enter()()
			<-release
			c.note("hang", e)
			return nil
		}, router.HandlerConfig{Timeout: 100 * time.Millisecond, MaxInFlight: limit, Retry: retrying(50)})
		require.NoError(t, err)
		subscribing(t, r)(t.Context(), "t.*", "healthy", c.handler("healthy"))
		for i := range events {
			publish(t, r, fmt.Sprint(i), "t.a")
		}
		waitFor(t, &c, "healthy", events)
		eventually(t, func() bool {
			state := status(t, s, "hang")
			return state.InFlight == 0 && state.Retrying >= limit
		}, "what hangs has timed out")
		publish(t, r, "after", "t.a")
		waitFor(t, &c, "healthy", events+1)
		require.EqualValues(t, limit, running.now.Load(), "and is counted until it returns")
		require.LessOrEqual(t, refused.count.Load(), int64(limit), "and what there is no room for is not claimed over and over")
		free()
		eventually(t, func() bool { return status(t, s, "hang").Delivered == events+1 }, "then all of it is handled")
		require.EqualValues(t, limit, running.most.Load())
	})
}

func TestAHandlersLimitHoldsOverAllReplicasAndPartitions(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		const limit, events = 3, 60
		stores, routers := deployment(t, addr, 2, func(c *redisstore.Config) { c.Partitions = 2 })
		var running gauge
		var c calls
		full := make(chan struct{})
		open := sync.OnceFunc(func() { close(full) })
		for _, r := range routers {
			_, err := r.Subscribe(t.Context(), "t.*", "h", func(ctx context.Context, e router.Event) error {
				defer running.enter()()
				if running.now.Load() == limit {
					open()
				}
				select { // until so many run at once, all wait
				case <-full:
				case <-ctx.Done():
					return ctx.Err()
				}
				c.note("h", e)
				return nil
			}, router.HandlerConfig{MaxInFlight: limit})
			require.NoError(t, err)
		}
		publishAll(t, events, stores...)
		waitFor(t, &c, "h", events)
		require.EqualValues(t, limit, running.most.Load())
	})
}

// gauge counts what is under way, and how much that was at most.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) enter() (leave func()) {
	now := g.now.Add(1)
	for old := g.most.Load(); now > old && !g.most.CompareAndSwap(old, now); old = g.most.Load() {
	}
	return func() { g.now.Add(-1) }
}

func TestWhereAHandlerHangsInOneReplicaAnotherReplicaGoesOn(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		stores, routers := deployment(t, addr, 2)
		release, begun := make(chan struct{}), make(chan struct{}, 1)
		t.Cleanup(func() { close(release) })
		config := router.HandlerConfig{Timeout: 100 * time.Millisecond, MaxInFlight: 1, Retry: retrying(20)}
		_, err := routers[0].Subscribe(t.Context(), "t.*", "h", func(context.Context, router.Event) error {
			begun <- struct{}{}
			<-release
			return nil
		}, config)
		require.NoError(t, err)
		publish(t, routers[1], "d1", "t.a")
		<-begun
		var c calls
		_, err = routers[1].Subscribe(t.Context(), "t.*", "h", c.handler("h"), config)
		require.NoError(t, err)
		publish(t, routers[1], "d2", "t.a")
		publish(t, routers[1], "d3", "t.a")
		eventually(t, func() bool { return status(t, stores[0], "h").Delivered == 3 }, "the one that can handles all")
		require.ElementsMatch(t, []string{"d1", "d2", "d3"}, c.of("h"))
	})
}

func TestAStoppingReplicaWaitsForHandlersThatHangNoLongerThanItsGrace(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		s := open(t, addr)
		release := make(chan struct{})
		defer close(release)
		r, stop := start(t, s, newSink(), func(c *router.Config) { c.Grace, c.MaxSends = 50*time.Millisecond, 2 })
		begun := make(chan struct{}, 10)
		for _, name := range []string{"ignores", "heeds"} {
			_, err := r.Subscribe(t.Context(), "t.*", name, func(ctx context.Context, _ router.Event) error {
				begun <- struct{}{}
				if name == "heeds" {
					<-ctx.Done()
					return ctx.Err()
				}
				<-release
				return nil
			}, router.HandlerConfig{Timeout: 5 * time.Minute, MaxInFlight: 5})
			require.NoError(t, err)
		}
		for i := range 10 {
			publish(t, r, fmt.Sprint(i), "t.a") // more than there are slots for
		}
		<-begun
		<-begun
		eventually(t, func() bool { return status(t, s, "ignores").Backlog == 10 && status(t, s, "heeds").Backlog == 10 }, "all are queued")
		began := time.Now()
		stop()
		require.Less(t, time.Since(began), 10*time.Second)
		for _, name := range []string{"ignores", "heeds"} {
			state := status(t, s, name)
			require.EqualValues(t, 10, state.Backlog)
			require.Zero(t, state.InFlight, "it was given back")
			require.Zero(t, state.LastFailure, "that it was cut short is no fault of the handler")
		}
	})
}
