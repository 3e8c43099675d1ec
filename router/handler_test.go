package router

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// logOnly is a Store that has an empty log and nothing else: what needs more of it panics.
type logOnly struct{ Store }

func (logOnly) Partitions() int { return 1 }

// handlerEvent is an event that was derived hops times.
func handlerEvent(t testing.TB, hops int) Event {
	t.Helper()
	f := EventFields{ID: "a", Source: "/test", Type: "x.y"}
	if hops > 0 {
		f.Extensions = []Extension{{Name: HopsExtension, Value: fmt.Sprint(hops), Kind: IntegerValue}}
	}
	e, err := NewEvent(f)
	require.NoError(t, err)
	return e
}

// handle gives a router a handler, and the attempt that its deliveries begin with.
func handle(t testing.TB, config HandlerConfig, handler Handler) (*handlers, *Handling, Sending) {
	t.Helper()
	r := New(logOnly{}, Config{})
	sub := handlerSubscription("x.*", "h", config)
	require.NoError(t, sub.Validate(Rules{}))
	h := &Handling{name: "h", handler: handler, ended: r.handlers.remove}
	require.NoError(t, r.handlers.add(h))
	return r.handlers, h, Sending{Subscription: &sub, Event: handlerEvent(t, 0), Attempt: 1}
}

// evil panics when it is printed, with what nested holds.
type evil struct{ nested any }

func (e evil) String() string { panic(e.nested) }
func (e evil) Error() string  { panic(e.nested) }

// absent is an error whose text needs what a nil one has not.
type absent struct{ text string }

func (a *absent) Error() string { return a.text }

func TestHoweverACallEndsItIsAnOutcomeOfItsDelivery(t *testing.T) {
	var none *absent
	for name, c := range map[string]struct {
		handler Handler
		outcome Outcome
		text    string
	}{
		"it returns":                          {func(context.Context, Event) error { return nil }, OutcomeDelivered, ""},
		"it fails":                            {func(context.Context, Event) error { return errors.New("no stock") }, OutcomeHandlerError, "no stock"},
		"its error panics":                    {func(context.Context, Event) error { return evil{"deep"} }, OutcomeHandlerError, "PANIC"},
		"its error panics with such an error": {func(context.Context, Event) error { return evil{evil{"deeper"}} }, OutcomeHandlerError, "a router.evil that panics when it is printed"},
		"its error is a nil pointer":          {func(context.Context, Event) error { return none }, OutcomeHandlerError, "nil"},
		"its error is canceled, its ctx not":  {func(context.Context, Event) error { return context.Canceled }, OutcomeHandlerError, "context canceled"},
		"its error is the router's own":       {func(context.Context, Event) error { return fmt.Errorf("%w", errNotBegun) }, OutcomeHandlerError, "begin"},
		"it panics":                           {func(context.Context, Event) error { panic("no stock") }, OutcomeHandlerPanic, "no stock"},
		"it panics with an error":             {func(context.Context, Event) error { panic(errors.New("no stock")) }, OutcomeHandlerPanic, "no stock"},
		"it panics with nil":                  {func(context.Context, Event) error { panic(nil) }, OutcomeHandlerPanic, "nil"},
		"it panics with what panics":          {func(context.Context, Event) error { panic(evil{"deep"}) }, OutcomeHandlerPanic, "PANIC"},
		"and that with what panics":           {func(context.Context, Event) error { panic(evil{evil{"deeper"}}) }, OutcomeHandlerPanic, "a router.evil that panics when it is printed"},
		"it divides by zero":                  {func(_ context.Context, e Event) error { return fmt.Errorf("%d", 1/e.Hops()) }, OutcomeHandlerPanic, "divide by zero"},
		"it ends its goroutine":               {func(context.Context, Event) error { runtime.Goexit(); return nil }, OutcomeHandlerPanic, "Goexit"},
		"its error is endless":                {func(context.Context, Event) error { return errors.New(strings.Repeat("x", 1<<20)) }, OutcomeHandlerError, strings.Repeat("x", maxErrorText)},
	} {
		t.Run(name, func(t *testing.T) {
			hs, h, sending := handle(t, HandlerConfig{}, c.handler)
			attempt := hs.Send(t.Context(), sending)
			require.Equal(t, c.outcome, attempt.Outcome)
			require.Contains(t, attempt.Error, c.text)
			require.LessOrEqual(t, len(attempt.Error), maxErrorText)
			require.Zero(t, h.running)
		})
	}
}

func TestACallThatRunsOutOfTimeIsATimeoutWhetherItHeedsItsContextOrNot(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	for name, handler := range map[string]Handler{
		"heeds it":                    func(ctx context.Context, _ Event) error { <-ctx.Done(); return ctx.Err() },
		"heeds it and says otherwise": func(ctx context.Context, _ Event) error { <-ctx.Done(); return errors.New("gave up") },
		"hangs":                       func(context.Context, Event) error { <-release; return nil },
	} {
		t.Run(name, func(t *testing.T) {
			hs, _, sending := handle(t, HandlerConfig{Timeout: 100 * time.Millisecond}, handler)
			attempt := hs.Send(t.Context(), sending)
			require.Equal(t, OutcomeTimeout, attempt.Outcome)
			require.Equal(t, errHandlerTimeout.Error(), attempt.Error)
			require.GreaterOrEqual(t, time.Duration(attempt.Duration), 100*time.Millisecond)
		})
	}
}

func TestACallThatShutdownCutsShortSaysNothingOfTheHandler(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hs, _, sending := handle(t, HandlerConfig{}, func(ctx context.Context, _ Event) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	})
	require.Equal(t, OutcomeCanceled, hs.Send(ctx, sending).Outcome)
}

// Replicas may have subscribed with other configurations; leases are made by the stored one, so calls must be too.
func TestTheTimeLimitOfACallIsThatOfTheStoredSubscription(t *testing.T) {
	hs, _, sending := handle(t, HandlerConfig{Timeout: 5 * time.Minute}, func(ctx context.Context, _ Event) error {
		<-ctx.Done()
		return ctx.Err()
	})
	changed := *sending.Subscription
	changed.Sink.Timeout = MinSinkTimeout
	sending.Subscription = &changed
	require.Equal(t, OutcomeTimeout, hs.Send(t.Context(), sending).Outcome)
}

func TestCallsThatHangAreBoundedByMaxInFlightAndLeaveNoRoomUntilTheyReturn(t *testing.T) {
	const limit = 3
	release := make(chan struct{})
	var running, most atomic.Int64
	hs, h, sending := handle(t, HandlerConfig{Timeout: 100 * time.Millisecond, MaxInFlight: limit}, func(context.Context, Event) error {
		now := running.Add(1)
		defer running.Add(-1)
		for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
		}
		<-release
		return nil
	})
	require.Equal(t, limit, hs.room(sending.Subscription))
	outcomes := make(chan Outcome, 10*limit)
	var all sync.WaitGroup
	for range 10 * limit {
		all.Go(func() { outcomes <- hs.Send(t.Context(), sending).Outcome })
	}
	all.Wait()
	close(outcomes)
	count := map[Outcome]int{}
	for o := range outcomes {
		count[o]++
	}
	require.Equal(t, limit, count[OutcomeTimeout])
	require.Equal(t, 9*limit, count[OutcomeCanceled], "the others were not begun")
	require.Zero(t, hs.room(sending.Subscription))
	require.EqualValues(t, limit, most.Load())

	close(release)
	require.Eventually(t, func() bool { return hs.room(sending.Subscription) == limit }, 10*time.Second, time.Millisecond)
	require.Equal(t, OutcomeDelivered, hs.Send(t.Context(), sending).Outcome)
	require.Zero(t, h.running)
}

func TestASubscriptionWhoseHandlerIsNotHereHasNoRoom(t *testing.T) {
	hs, h, sending := handle(t, HandlerConfig{}, func(context.Context, Event) error { return nil })
	other := *sending.Subscription
	other.Name = "elsewhere"
	require.Zero(t, hs.room(&other))
	h.Close()
	require.Zero(t, hs.room(sending.Subscription))
	require.Equal(t, OutcomeCanceled, hs.Send(t.Context(), sending).Outcome)
}

// Every attempt that begins after Close has returned must find it closed, however many run at the time.
func TestNoCallBeginsAfterCloseHasReturned(t *testing.T) {
	for range 200 {
		var closed atomic.Bool
		late := make(chan Outcome, 4)
		hs, h, sending := handle(t, HandlerConfig{MaxInFlight: 1000}, func(context.Context, Event) error { return nil })
		var all sync.WaitGroup
		for range cap(late) {
			all.Go(func() {
				for {
					after := closed.Load()
					outcome := hs.Send(t.Context(), sending).Outcome
					if after {
						late <- outcome
						return
					}
				}
			})
		}
		all.Go(func() {
			h.Close()
			closed.Store(true)
			h.Close()
		})
		all.Wait()
		for range cap(late) {
			require.Equal(t, OutcomeCanceled, <-late)
		}
	}
}

// closing ends a handling when a call that is about to begin asks for its time limit.
type closing struct {
	context.Context
	handling *Handling
}

func (c closing) Deadline() (time.Time, bool) {
	c.handling.Close()
	return c.Context.Deadline()
}

func TestACallThatHasNotBegunWhenCloseReturnsNeverDoes(t *testing.T) {
	var called atomic.Bool
	hs, h, sending := handle(t, HandlerConfig{}, func(context.Context, Event) error {
		called.Store(true)
		return nil
	})
	require.Equal(t, OutcomeCanceled, hs.Send(closing{t.Context(), h}, sending).Outcome)
	require.False(t, called.Load())
}

func TestAClosedNameCanBeTakenAgainAndTheOldHandlingDoesNotEndTheNewOne(t *testing.T) {
	hs, old, sending := handle(t, HandlerConfig{}, func(context.Context, Event) error { return errors.New("old") })
	second := &Handling{name: "h", handler: func(context.Context, Event) error { return nil }, ended: hs.remove}
	require.Equal(t, Conflict, ErrorCode(hs.add(second)))
	old.Close()
	require.NoError(t, hs.add(second))
	old.Close()
	require.Equal(t, OutcomeDelivered, hs.Send(t.Context(), sending).Outcome)
	require.Equal(t, []string{"h"}, hs.names())
}

func TestAnEventPublishedWithinACallIsOneHopFurtherThanItsCause(t *testing.T) {
	for hops := range MaxHops {
		ctx := context.WithValue(t.Context(), handling{}, handlerEvent(t, hops))
		e, err := derive(ctx, handlerEvent(t, 0))
		require.NoError(t, err)
		require.Equal(t, hops+1, e.Hops())
	}
	_, err := derive(context.WithValue(t.Context(), handling{}, handlerEvent(t, MaxHops)), handlerEvent(t, 0))
	require.Equal(t, Loop, ErrorCode(err))

	e, err := derive(t.Context(), handlerEvent(t, 0))
	require.NoError(t, err)
	require.Equal(t, handlerEvent(t, 0), e, "outside of a call it is as it was")
}

func TestNobodyElseMaySayHowOftenAnEventWasDerived(t *testing.T) {
	r := New(logOnly{}, Config{})
	for name, ctx := range map[string]context.Context{
		"a publisher": t.Context(),
		"a handler":   context.WithValue(t.Context(), handling{}, handlerEvent(t, 3)),
	} {
		_, err := r.Publish(ctx, handlerEvent(t, 1))
		require.Equal(t, Reserved, ErrorCode(err), name)
	}
}

func TestSubscribeAndWatchRefuseWhatTheyCannotWorkWith(t *testing.T) {
	r := New(logOnly{}, Config{})
	fine := func(context.Context, Event) error { return nil }
	for name, c := range map[string]struct {
		pattern, name string
		handler       Handler
		config        HandlerConfig
		want          string
	}{
		"bad pattern":           {"t.**", "h", fine, HandlerConfig{}, "filter.types[0]"},
		"bad name":              {"t.*", "No Name", fine, HandlerConfig{}, "name"},
		"no name":               {"t.*", "", fine, HandlerConfig{}, "name: is required"},
		"no function":           {"t.*", "h", nil, HandlerConfig{}, "no function"},
		"short timeout":         {"t.*", "h", fine, HandlerConfig{Timeout: time.Millisecond}, "sink.timeout"},
		"negative timeout":      {"t.*", "h", fine, HandlerConfig{Timeout: -time.Second}, "sink.timeout"},
		"long timeout":          {"t.*", "h", fine, HandlerConfig{Timeout: time.Hour}, "sink.timeout"},
		"nothing in flight":     {"t.*", "h", fine, HandlerConfig{MaxInFlight: -1}, "delivery.max_in_flight"},
		"too much in flight":    {"t.*", "h", fine, HandlerConfig{MaxInFlight: 1001}, "delivery.max_in_flight"},
		"a step back in time":   {"t.*", "h", fine, HandlerConfig{Retry: &Retry{Schedule: []Duration{-1}}}, "delivery.retry.schedule[0]"},
		"jitter of more than 1": {"t.*", "h", fine, HandlerConfig{Retry: &Retry{Jitter: 2}}, "delivery.retry.jitter"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := r.Subscribe(t.Context(), c.pattern, c.name, c.handler, c.config)
			require.Equal(t, Invalid, ErrorCode(err))
			require.ErrorContains(t, err, c.want)
			require.Empty(t, r.handlers.names())
		})
	}
	_, err := r.Watch(t.Context(), "t.**", func(context.Context, Event) {})
	require.Equal(t, Invalid, ErrorCode(err))
	_, err = r.Watch(t.Context(), "t.*", nil)
	require.Equal(t, Invalid, ErrorCode(err))
}
