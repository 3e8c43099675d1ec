package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestR01AHandlerMaySubscribeToAnotherType(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *redisstore.Store, r *router.Router, handle on) {
		var c calls
		handle(t.Context(), "t.a", "h1", c.handler("h1", func(ctx context.Context, e router.Event) error {
			if e.ID() == "d1" {
				handle(ctx, "other.type", "h2", c.handler("h2"))
			}
			return nil
		}))
		publish(t, r, "d1", "t.a")
		c.awaits(t, "h1", "d1")
		publish(t, r, "d2", "t.a")
		c.awaits(t, "h1", "d1", "d2")
		publish(t, r, "d3", "other.type")
		c.awaits(t, "h2", "d3")
	})
}

// late has a handler subscribe another to a pattern while it handles an event, after others have been subscribed in some order. The new one sees the
// event after, and not that one.
func late(t *testing.T, pattern string, given ...string) {
	t.Helper()
	eachWay(t, func(t *testing.T, _ *redisstore.Store, r *router.Router, handle on) {
		var c calls
		subscribed := make(chan struct{})
		for _, name := range given {
			switch name {
			case "h1":
				handle(t.Context(), "t.a", "h1", c.handler("h1", func(ctx context.Context, e router.Event) error {
					if e.ID() == "d1" {
						handle(ctx, pattern, "late", c.handler("late"))
						close(subscribed)
					}
					return nil
				}))
			default:
				handle(t.Context(), "t.*", name, c.handler(name))
			}
		}
		publish(t, r, "d1", "t.a")
		<-subscribed
		publish(t, r, "d2", "t.a")
		for _, name := range given {
			c.awaits(t, name, "d1", "d2")
		}
		c.awaits(t, "late", "d2")
	})
}

func TestR02WhatAHandlerSubscribesDoesNotSeeTheEventThatItHandles(t *testing.T) {
	late(t, "t.a", "h1")
}
func TestR03NeitherWhenTheNewPatternIsInUseAlready(t *testing.T) { late(t, "t.*", "h1", "w1") }
func TestR04NorWhenItWasInUseFirst(t *testing.T)                 { late(t, "t.*", "w1", "h1") }
func TestR05NorWhenItIsANewWildcard(t *testing.T)                { late(t, "t.*", "h1") }

// ended has h1 end another handler while that one is busy with the event before, so that the event at hand is still to come for it; then it has h1
// do more, and publishes another event. The ended one sees neither, the fresh ones only that.
func ended(t *testing.T, pattern string, more func(ctx context.Context, handle on, c *calls), fresh ...string) {
	t.Helper()
	eachWay(t, func(t *testing.T, s *redisstore.Store, r *router.Router, handle on) {
		var c calls
		ends := make(chan func(), 1)
		busy, gate, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
		handle(t.Context(), "t.a", "h1", c.handler("h1", func(ctx context.Context, e router.Event) error {
			if e.ID() == "d1" {
				(<-ends)()
				more(ctx, handle, &c)
				close(done)
			}
			return nil
		}))
		ends <- handle(t.Context(), pattern, "victim", c.handler("victim", func(context.Context, router.Event) error {
			close(busy)
			<-gate
			return nil
		}))
		handle(t.Context(), "t.a", "h3", c.handler("h3"))

		publish(t, r, "d0", "t.a")
		<-busy
		publish(t, r, "d1", "t.a")
		<-done
		close(gate)
		publish(t, r, "d2", "t.a")
		c.awaits(t, "h1", "d0", "d1", "d2")
		c.awaits(t, "h3", "d0", "d1", "d2")
		for _, name := range fresh {
			c.awaits(t, name, "d2")
		}
		requireQueued(t, s, "victim", 1, 2)
		require.Equal(t, []string{"d0"}, c.of("victim"), "a call under way finishes, and no other begins")
	})
}

// requireQueued checks, for a durable handler, that so many were delivered and so many wait, and that nothing is under way.
func requireQueued(t testing.TB, s *redisstore.Store, name string, delivered, waiting int64) {
	t.Helper()
	if _, err := s.Subscription(t.Context(), name); router.ErrorCode(err) == router.NotFound {
		return // a live one
	}
	var state router.SubscriptionStatus
	eventually(t, func() bool {
		state = status(t, s, name)
		return state.Delivered == delivered && state.Backlog == waiting && state.InFlight == 0
	}, "what was not begun stays in the queue")
}

func nothing(context.Context, on, *calls) {}

func TestR06AfterAHandlerHasEndedAnotherThatOneIsNotCalledAgain(t *testing.T) {
	ended(t, "t.a", nothing)
}

func TestR07ThatHoldsForAnotherPatternToo(t *testing.T) { ended(t, "t.*", nothing) }

func TestR10EndingOneAndSubscribingAnotherWithinACallIsTwoChanges(t *testing.T) {
	ended(t, "t.*", func(ctx context.Context, handle on, c *calls) { handle(ctx, "t.*", "w2", c.handler("w2")) }, "w2")
}

func TestR08AHandlerMayEndItselfAndItsNeighbourIsNotSkipped(t *testing.T) { endsItself(t) }

func TestN02EndingItselfDisturbsNeitherTheEventNorTheNeighbours(t *testing.T) {
	endsItself(t, "h2", "h3", "h4")
}

func endsItself(t *testing.T, neighbours ...string) {
	t.Helper()
	eachWay(t, func(t *testing.T, s *redisstore.Store, r *router.Router, handle on) {
		var c calls
		self := make(chan func(), 1)
		self <- handle(t.Context(), "t.a", "h1", c.handler("h1", func(context.Context, router.Event) error {
			(<-self)()
			return nil
		}))
		for _, name := range append(neighbours, "last") {
			handle(t.Context(), "t.a", name, c.handler(name))
		}
		publish(t, r, "d1", "t.a")
		c.awaits(t, "h1", "d1")
		publish(t, r, "d2", "t.a")
		for _, name := range append(neighbours, "last") {
			c.awaits(t, name, "d1", "d2")
		}
		requireQueued(t, s, "h1", 1, 1)
		c.awaits(t, "h1", "d1")
	})
}

func TestR09TheLastHandlerOfATypeMayEndItself(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *redisstore.Store, r *router.Router) {
		handle := subscribing(t, r)
		var c calls
		self := make(chan func(), 1)
		self <- handle(t.Context(), "t.a", "h1", c.handler("h1", func(context.Context, router.Event) error {
			(<-self)()
			return nil
		}))
		handle(t.Context(), "z.z", "z", c.handler("z"))
		publish(t, r, "d1", "t.a")
		c.awaits(t, "h1", "d1")
		eventually(t, func() bool {
			all, err := s.Status(t.Context())
			require.NoError(t, err)
			return len(all.Replicas) == 1 && len(all.Replicas[0].Handlers) == 1 && all.Replicas[0].Handlers[0] == "z"
		}, "the replica says that it has the other handler only")
		publish(t, r, "d2", "z.z")
		c.awaits(t, "z", "d2")
	})
}

func TestR11AHundredSubscriptionsWhileAHandlerIsAtWork(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *redisstore.Store, r *router.Router, handle on) {
		var c calls
		begun, gate := make(chan struct{}), make(chan struct{})
		handle(t.Context(), "t.a", "h1", c.handler("h1", func(context.Context, router.Event) error {
			close(begun)
			<-gate
			return nil
		}))
		handle(t.Context(), "t.b", "hb", c.handler("hb"))
		publish(t, r, "d1", "t.a")
		<-begun
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := w; i < 100; i += 4 {
					name := fmt.Sprintf("x%d", i)
					handle(t.Context(), "x."+name, name, c.handler(name))
				}
			})
		}
		all.Wait()
		close(gate)
		publish(t, r, "d2", "t.b")
		publish(t, r, "d3", "x.x99")
		c.awaits(t, "hb", "d2")
		c.awaits(t, "x99", "d3")
		c.awaits(t, "h1", "d1")
	})
}

func TestR12EndingTwiceDoesNothingAndDeletingTheUnknownSaysSo(t *testing.T) {
	eachWay(t, func(t *testing.T, s *redisstore.Store, r *router.Router, handle on) {
		var c calls
		end := handle(t.Context(), "t.a", "gone", c.handler("gone"))
		handle(t.Context(), "t.a", "h", c.handler("h"))
		end()
		end()
		_, err := s.DeleteSubscription(t.Context(), "sub_01JD6Z3V9K8Q2M4N5P6R7S8T9V", 0)
		require.Equal(t, router.NotFound, router.ErrorCode(err))
		publish(t, r, "d1", "t.a")
		c.awaits(t, "h", "d1")
		require.Empty(t, c.of("gone"))
	})
}

func TestR13OneFunctionUnderTwoNamesIsTwoSubscriptions(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *redisstore.Store, r *router.Router, handle on) {
		var c calls
		shared := c.handler("h")
		end := handle(t.Context(), "t.a", "k1", shared)
		handle(t.Context(), "t.a", "k2", shared)
		end()
		publish(t, r, "d1", "t.a")
		c.awaits(t, "h", "d1")
		publish(t, r, "d2", "t.a")
		c.awaits(t, "h", "d1", "d2")
	})
}

func TestR14AFunctionIsCalledOnceForEachOfItsSubscriptionsThatMatch(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *redisstore.Store, r *router.Router, handle on) {
		var c calls
		duplicate := c.handler("dup")
		handle(t.Context(), "t.*", "w1", c.handler("w1"))
		handle(t.Context(), "t.a", "e1", c.handler("e1"))
		handle(t.Context(), "t.*", "w2", c.handler("w2"))
		handle(t.Context(), "t.a", "dup1", duplicate)
		handle(t.Context(), "t.*", "dup2", duplicate)
		handle(t.Context(), "t.a", "dup3", duplicate)
		publish(t, r, "d1", "t.a")
		for _, name := range []string{"w1", "e1", "w2"} {
			c.awaits(t, name, "d1")
		}
		c.awaits(t, "dup", "d1", "d1", "d1")
	})
}

func TestR15PatternsThatCouldNotMatchAreRefused(t *testing.T) {
	eachServer(t, func(t *testing.T, s *redisstore.Store, r *router.Router) {
		idle := func(context.Context, router.Event) error { return nil }
		for i, pattern := range []string{"t.**", "", ".*", "t.", "a*", "a..b"} {
			name := fmt.Sprintf("h%d", i)
			_, err := r.Subscribe(t.Context(), pattern, name, idle, router.HandlerConfig{})
			require.Equal(t, router.Invalid, router.ErrorCode(err), pattern)
			_, err = s.Subscription(t.Context(), name)
			require.Equal(t, router.NotFound, router.ErrorCode(err), "nothing is stored")
			_, err = r.Watch(t.Context(), pattern, func(context.Context, router.Event) {})
			require.Equal(t, router.Invalid, router.ErrorCode(err), pattern)
		}
		for _, handle := range []on{subscribing(t, r), watching(t, r)} {
			var c calls
			end := handle(t.Context(), "a.*.c", "middle", c.handler("middle"))
			id := fmt.Sprintf("%p", &c)
			publish(t, r, id, "a.b.c")
			c.awaits(t, "middle", id)
			end()
		}
	})
}
