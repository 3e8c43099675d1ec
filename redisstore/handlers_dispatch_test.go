package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// retrying is a schedule of quick retries.
func retrying(times int) *router.Retry {
	r := &router.Retry{Schedule: []router.Duration{}}
	for range times {
		r.Schedule = append(r.Schedule, router.Duration(10*time.Millisecond))
	}
	return r
}

// deadLetters waits until there are so many, and returns them.
func deadLetters(t testing.TB, s *redisstore.Store, n int) (letters []router.DeadLetter) {
	t.Helper()
	eventually(t, func() bool {
		var err error
		letters, _, err = s.DeadLetters(t.Context(), router.DeadLetterFilter{}, "", 100)
		require.NoError(t, err)
		return len(letters) >= n
	}, "it becomes a dead letter")
	require.Len(t, letters, n)
	return letters
}

// logged are the records of the log, of all of partition 0.
func logged(t testing.TB, s *redisstore.Store) []router.Record {
	t.Helper()
	records, err := s.ReadLog(context.Background(), router.Position{}, 10_000, 0)
	require.NoError(t, err)
	return records
}

func TestD01AHandlerThatFailsIsRetriedAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *redisstore.Store, r *router.Router) {
		var c calls
		subscribing(t, r)(t.Context(), "t.a", "h1", c.handler("h1"))
		_, err := r.Subscribe(t.Context(), "t.a", "bad", c.handler("bad", func(context.Context, router.Event) error {
			return errors.New("no stock")
		}), router.HandlerConfig{Retry: retrying(2)})
		require.NoError(t, err)
		subscribing(t, r)(t.Context(), "t.a", "h3", c.handler("h3"))

		publish(t, r, "d1", "t.a")
		letter := deadLetters(t, s, 1)[0]
		c.awaits(t, "bad", "d1", "d1", "d1")
		require.Len(t, letter.Attempts, 3)
		for _, a := range letter.Attempts {
			require.Equal(t, router.OutcomeHandlerError, a.Outcome)
			require.Equal(t, "no stock", a.Error)
		}
		c.awaits(t, "h1", "d1")
		c.awaits(t, "h3", "d1")
		require.Contains(t, status(t, s, "bad").LastError, "no stock")
	})
}

// unprintable panics when it is printed, with what cause is.
type unprintable struct{ cause any }

func (u unprintable) Error() string { panic(u.cause) }

func TestD02AFailureThatCannotBePrintedHarmsNobody(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *redisstore.Store, r *router.Router) {
		var c calls
		failures := map[string]router.Handler{
			"returns-unprintable": func(context.Context, router.Event) error { return unprintable{"once"} },
			"returns-worse":       func(context.Context, router.Event) error { return unprintable{unprintable{"twice"}} },
			"panics":              func(context.Context, router.Event) error { panic("no stock") },
			"panics-with-nil":     func(context.Context, router.Event) error { panic(nil) },
			"panics-unprintable":  func(context.Context, router.Event) error { panic(unprintable{"once"}) },
			"panics-worse":        func(context.Context, router.Event) error { panic(unprintable{unprintable{"twice"}}) },
			"exits":               func(context.Context, router.Event) error { runtime.Goexit(); return nil },
		}
		for name, fail := range failures {
			_, err := r.Subscribe(t.Context(), "t.a", name, c.handler(name, fail), router.HandlerConfig{Retry: retrying(0), MaxInFlight: 1})
			require.NoError(t, err)
		}
		subscribing(t, r)(t.Context(), "t.a", "h2", c.handler("h2"))
		publish(t, r, "d1", "t.a")
		publish(t, r, "d2", "t.a")
		c.awaits(t, "h2", "d1", "d2")
		for _, letter := range deadLetters(t, s, 2*len(failures)) {
			require.Len(t, letter.Attempts, 1)
			require.Contains(t, []router.Outcome{router.OutcomeHandlerError, router.OutcomeHandlerPanic}, letter.Attempts[0].Outcome)
			require.NotEmpty(t, letter.Attempts[0].Error)
		}
	})
}

func TestD03AHandlerThatReturnsAtOnceIsDelivered(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *redisstore.Store, r *router.Router) {
		handle := subscribing(t, r)
		var c calls
		handle(t.Context(), "t.a", "idle", func(context.Context, router.Event) error { return nil })
		handle(t.Context(), "t.a", "h2", c.handler("h2"))
		publish(t, r, "d1", "t.a")
		c.awaits(t, "h2", "d1")
		eventually(t, func() bool { return status(t, s, "idle").Delivered == 1 }, "it counts as delivered")
		require.Zero(t, status(t, s, "idle").LastFailure)
	})
}

// private is a key of the publisher's context.
type private struct{}

func TestD04ThePublisherMayGoAwayWhileHandlersWork(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, _ *redisstore.Store, r *router.Router) {
		handle := subscribing(t, r)
		var c calls
		begun, gate, ctxs := make(chan struct{}), make(chan struct{}), make(chan context.Context, 1)
		handle(t.Context(), "t.a", "slow", func(ctx context.Context, e router.Event) error {
			close(begun)
			<-gate
			ctxs <- ctx
			if ctx.Err() == nil {
				c.note("slow", e)
			}
			return ctx.Err()
		})
		handle(t.Context(), "t.a", "h2", c.handler("h2"))
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), private{}, "publisher's"))
		_, err := r.Publish(ctx, event(t, "d1", "t.a"))
		require.NoError(t, err, "it is answered before anything is handled")
		<-begun
		cancel()
		close(gate)
		c.awaits(t, "slow", "d1")
		c.awaits(t, "h2", "d1")
		require.Nil(t, (<-ctxs).Value(private{}), "a handler does not run in the publisher's context")
	})
}

func TestD05WhatAHandlerPublishesComesInItsTurn(t *testing.T) {
	eachWay(t, func(t *testing.T, s *redisstore.Store, r *router.Router, handle on) {
		var c calls
		handle(t.Context(), "t.a", "h1", c.handler("h1", func(ctx context.Context, e router.Event) error {
			_, err := r.Publish(ctx, event(t, "b-"+e.ID(), "t.b"))
			return err
		}))
		handle(t.Context(), "t.a", "h2", c.handler("h2"))
		handle(t.Context(), "t.b", "b", c.handler("b"))
		var inner, outer calls
		handle(t.Context(), "*", "all", outer.handler("all"))
		publish(t, r, "d1", "t.a")
		publish(t, r, "d2", "t.a")
		c.awaits(t, "h1", "d1", "d2")
		c.awaits(t, "h2", "d1", "d2")
		c.awaits(t, "b", "b-d1", "b-d2")
		for _, record := range logged(t, s) {
			inner.note("log", record.Event)
		}
		require.Len(t, inner.of("log"), 4)
		outer.awaits(t, "all", inner.of("log")...)
	})
}

func TestD06AHandlerThatPublishesItsOwnTypeEndsAfterSixteenHops(t *testing.T) {
	eachWay(t, func(t *testing.T, s *redisstore.Store, r *router.Router, handle on) {
		refused := make(chan error, 1)
		var c calls
		handle(t.Context(), "t.a", "h", c.handler("h", func(ctx context.Context, e router.Event) error {
			if _, err := r.Publish(ctx, event(t, fmt.Sprintf("d%d", e.Hops()+1), "t.a")); err != nil {
				refused <- err
			}
			return nil
		}))
		publish(t, r, "d0", "t.a")
		require.Equal(t, router.Loop, router.ErrorCode(<-refused))
		var ids []string
		for hops, record := range logged(t, s) {
			require.Equal(t, hops, record.Event.Hops())
			ids = append(ids, record.Event.ID())
		}
		require.Len(t, ids, 1+router.MaxHops)
		c.awaits(t, "h", ids...)
	})
}

func TestD07WhatAHandlerDoesWithAnEventNoOtherSees(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *redisstore.Store, r *router.Router, handle on) {
		want := event(t, "d1", "t.a")
		mutated := make(chan struct{})
		seen := make(chan router.Event, 2)
		handle(t.Context(), "t.a", "h1", func(_ context.Context, e router.Event) error {
			defer close(mutated)
			clear(e.Data())
			_, err := e.WithExtension(router.Extension{Name: "k", Value: "mutated"})
			return err
		})
		for i, pattern := range []string{"t.a", "t.*"} {
			handle(t.Context(), pattern, fmt.Sprintf("h%d", 2+i), func(_ context.Context, e router.Event) error {
				<-mutated
				seen <- e
				return nil
			})
		}
		publish(t, r, "d1", "t.a")
		require.Equal(t, want, <-seen)
		require.Equal(t, want, <-seen)
	})
}

func TestD08WhenAHandlerIsCalledTheEventIsInTheLog(t *testing.T) {
	eachWay(t, func(t *testing.T, s *redisstore.Store, r *router.Router, handle on) {
		seen := make(chan []router.Record, 1)
		handle(t.Context(), "t.a", "h", func(context.Context, router.Event) error {
			seen <- logged(t, s)
			return nil
		})
		p := publish(t, r, "d1", "t.a")
		require.Equal(t, []router.Record{{Position: p, Event: event(t, "d1", "t.a")}}, <-seen)
	})
}

func TestD10APublishThatFailedCanBeRepeatedAndIsHandledOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		proxy := redistest.NewProxy(t, addr)
		namespace := redistest.Namespace(t)
		same := func(c *redisstore.Config) { c.Namespace = namespace }
		r, _ := start(t, open(t, addr, same), newSink())
		publisher := router.New(open(t, proxy.Addr(), same), router.Config{})
		var c calls
		subscribing(t, r)(t.Context(), "t.*", "h", c.handler("h"))

		proxy.Outage(true)
		short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := publisher.Publish(short, event(t, "d1", "t.a"))
		require.Equal(t, router.Unavailable, router.ErrorCode(err))
		proxy.Outage(false)
		first, err := publisher.Publish(t.Context(), event(t, "d1", "t.a"))
		require.NoError(t, err)

		proxy.Only("evalsha")
		proxy.SwallowNext(1)
		second, err := publisher.Publish(t.Context(), event(t, "d2", "t.a"))
		require.NoError(t, err, "a lost reply is found out about")
		again, err := publisher.Publish(t.Context(), event(t, "d1", "t.a"))
		require.NoError(t, err)
		require.Equal(t, first, again)

		c.awaits(t, "h", "d1", "d2")
		records := logged(t, open(t, addr, same))
		require.Equal(t, []router.Position{first, second}, []router.Position{records[0].Position, records[1].Position})
		require.Len(t, records, 2)
	})
}

func TestD13AHandlerThatHangsIsTimedOutRetriedAndDeadLettered(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *redisstore.Store, r *router.Router) {
		release := make(chan struct{})
		t.Cleanup(func() { close(release) })
		var c calls
		_, err := r.Subscribe(t.Context(), "t.a", "hang", c.handler("hang", func(context.Context, router.Event) error {
			<-release
			return nil
		}), router.HandlerConfig{Timeout: 100 * time.Millisecond, Retry: retrying(1)})
		require.NoError(t, err)
		subscribing(t, r)(t.Context(), "t.a", "h2", c.handler("h2"))
		publish(t, r, "d1", "t.a")
		c.awaits(t, "h2", "d1")
		letter := deadLetters(t, s, 1)[0]
		c.awaits(t, "hang", "d1", "d1")
		require.Equal(t, "timeout", letter.Reason)
		require.Len(t, letter.Attempts, 2)
	})
}

// publishing is a logger's end that makes an event of each message.
type publishing struct {
	slog.Handler
	publish func(message string)
}

func (publishing) Enabled(context.Context, slog.Level) bool { return true }

func (p publishing) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		p.publish(r.Message)
	}
	return nil
}

// Where the program's log is itself published as events, a handler that fails for those must not feed itself.
func TestD14AFailingHandlersOwnErrorsAreNeverRoutedAsEvents(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		var messages atomic.Int64
		logger := slog.New(publishing{slog.DiscardHandler, func(message string) {
			appendOne(t, s, event(t, fmt.Sprintf("%s-%d", message, messages.Add(1)), "log.error"))
		}})
		r, _ := start(t, s, newSink(), func(c *router.Config) { c.Logger = logger })
		var c calls
		for name, fail := range map[string]router.Handler{
			"fails":  func(context.Context, router.Event) error { return errors.New("no stock") },
			"panics": func(context.Context, router.Event) error { panic("no stock") },
		} {
			_, err := r.Subscribe(t.Context(), "log.error", name, c.handler(name, fail), router.HandlerConfig{Retry: retrying(2)})
			require.NoError(t, err)
		}
		logger.Error("the first")
		deadLetters(t, s, 2)
		require.Len(t, logged(t, s), 1)
		c.awaits(t, "fails", "the first-1", "the first-1", "the first-1")
	})
}
