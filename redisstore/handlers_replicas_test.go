package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestReplicasThatSubscribeUnderOneNameShareTheWorkEachEventOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		namespace := redistest.Namespace(t)
		same := func(c *redisstore.Config) { c.Namespace = namespace }
		sa, sb := open(t, addr, same), open(t, addr, same)
		a, stopA := start(t, sa, newSink())
		b, _ := start(t, sb, newSink())
		var c calls
		for name, r := range map[string]*router.Router{"a": a, "b": b} {
			_, err := r.Subscribe(t.Context(), "t.*", "shared", c.handler(name), router.HandlerConfig{})
			require.NoError(t, err)
		}
		const events = 200
		for i := range events {
			publish(t, b, fmt.Sprint(i), "t.a")
		}
		stopA() // amid the work: what it has in hand it finishes
		for i := range events {
			publish(t, b, fmt.Sprint(events+i), "t.a")
		}
		eventually(t, func() bool { return status(t, sb, "shared").Delivered == 2*events }, "all are handled")
		seen := slices.Concat(c.of("a"), c.of("b"))
		slices.Sort(seen)
		require.Len(t, slices.Compact(seen), 2*events)
		require.Len(t, c.of("a"), 2*events-len(c.of("b")), "none twice")
		require.Zero(t, status(t, sb, "shared").Backlog)
	})
}

func TestWhatNobodyHandlesWaitsForTheNextReplicaThatSubscribesUnderTheName(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		namespace := redistest.Namespace(t)
		same := func(c *redisstore.Config) { c.Namespace = namespace }
		sa, sb := open(t, addr, same), open(t, addr, same)
		a, stopA := start(t, sa, newSink())
		b, _ := start(t, sb, newSink())
		var c calls
		subscribing(t, a)(t.Context(), "t.*", "shared", c.handler("a"))
		publish(t, b, "d1", "t.a")
		c.awaits(t, "a", "d1")
		stopA()
		publish(t, b, "d2", "t.a")
		publish(t, b, "d3", "t.a")
		requireQueued(t, sb, "shared", 1, 2)
		subscribing(t, b)(t.Context(), "t.*", "shared", c.handler("b"))
		c.awaits(t, "b", "d2", "d3")
		c.awaits(t, "a", "d1")
	})
}

func TestAnotherFunctionUnderTheNameTakesUpWhatWasQueuedForTheFirst(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *redisstore.Store, r *router.Router) {
		var c calls
		handle := subscribing(t, r)
		handle(t.Context(), "t.*", "h", c.handler("old"))()
		publish(t, r, "d1", "t.a")
		requireQueued(t, s, "h", 0, 1)
		handle(t.Context(), "t.*", "h", c.handler("new"))
		c.awaits(t, "new", "d1")
		require.Empty(t, c.of("old"))
	})
}

func TestAHandlerThatNoReplicaHasShowsAsSuchAndCanBeDeleted(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		namespace := redistest.Namespace(t)
		same := func(c *redisstore.Config) { c.Namespace = namespace }
		sa, sb := open(t, addr, same), open(t, addr, same)
		a, stopA := start(t, sa, newSink())
		b, _ := start(t, sb, newSink())
		handledBy := func(replicas ...string) {
			t.Helper()
			eventually(t, func() bool {
				return slices.Equal(slices.Sorted(slices.Values(status(t, sb, "h").HandledBy)), slices.Sorted(slices.Values(replicas)))
			}, fmt.Sprintf("it is handled by %v", replicas))
		}
		var c calls
		subscribing(t, a)(t.Context(), "t.*", "h", c.handler("a"))
		handledBy(a.Replica())
		end := subscribing(t, b)(t.Context(), "t.*", "h", c.handler("b"))
		handledBy(a.Replica(), b.Replica())
		stopA()
		handledBy(b.Replica())
		end()
		handledBy()

		publish(t, b, "d1", "t.a")
		publish(t, b, "d2", "t.a")
		requireQueued(t, sb, "h", 0, 2)
		sub, err := sb.Subscription(t.Context(), "h")
		require.NoError(t, err)
		dropped, err := sb.DeleteSubscription(t.Context(), sub.ID, sub.Version)
		require.NoError(t, err)
		require.EqualValues(t, 2, dropped)
		_, err = sb.SubscriptionStatus(t.Context(), sub.ID)
		require.Equal(t, router.NotFound, router.ErrorCode(err))

		subscribing(t, b)(t.Context(), "t.*", "h", c.handler("b"))
		publish(t, b, "d3", "t.a")
		c.awaits(t, "b", "d3")
		require.NotEqual(t, sub.ID, must(sb.Subscription(t.Context(), "h")).ID, "it is another subscription")
	})
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestAReplicaThatDiedIsForgotten(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		r := router.New(s, router.Config{})
		subscribing(t, r)(t.Context(), "t.*", "h", func(context.Context, router.Event) error { return nil })
		_, err := s.Register(t.Context(), router.ReplicaStatus{ID: "dies", Handlers: []string{"h"}}, time.Minute)
		require.NoError(t, err)
		require.Equal(t, []string{"dies"}, status(t, s, "h").HandledBy)
		eventually(t, func() bool {
			_, err := s.Register(t.Context(), router.ReplicaStatus{ID: "lives"}, time.Millisecond)
			require.NoError(t, err)
			return len(status(t, s, "h").HandledBy) == 0
		}, "the others notice")
	})
}

func TestTheLastOneToSubscribeUnderANameDecidesOnPatternAndConfiguration(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		stores, routers := deployment(t, addr, 2)
		var c calls
		_, err := routers[0].Subscribe(t.Context(), "t.*", "h", c.handler("h"), router.HandlerConfig{MaxInFlight: 1})
		require.NoError(t, err)
		before := must(stores[0].Subscription(t.Context(), "h"))
		publish(t, routers[1], "d1", "t.a")
		c.awaits(t, "h", "d1")
		_, err = routers[1].Subscribe(t.Context(), "u.*", "h", c.handler("h"), router.HandlerConfig{MaxInFlight: 1, Timeout: time.Second})
		require.NoError(t, err)
		publish(t, routers[0], "d2", "t.a")
		publish(t, routers[0], "d3", "u.a")
		c.awaits(t, "h", "d1", "d3")
		after := must(stores[0].Subscription(t.Context(), "h"))
		require.Equal(t, before.ID, after.ID)
		require.Equal(t, []string{"u.*"}, after.Filter.Types)
		require.Equal(t, router.Duration(time.Second), after.Sink.Timeout)
	})
}

func TestSubscribingAgainUnchangedChangesNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		idle := func(context.Context, router.Event) error { return nil }
		subscribing(t, router.New(s, router.Config{}))(t.Context(), "t.*", "h", idle)
		sub := must(s.Subscription(t.Context(), "h"))
		sub.Title, sub.Enabled = "An operator's title", false
		sub = must(s.ReplaceSubscription(t.Context(), sub))
		subscribing(t, router.New(s, router.Config{}))(t.Context(), "t.*", "h", idle)
		require.Equal(t, sub, must(s.Subscription(t.Context(), "h")))
	})
}

// A replica may have died, or be held up, between storing a definition and announcing it.
func TestASubscriptionThatWasFoundIsAnnouncedBeforeSubscribeReturns(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		c := redistest.Client(t, addr)
		idle := func(context.Context, router.Event) error { return nil }
		create(t, s, "other", "x.*")
		before := must(c.HGet(t.Context(), redisstore.Key(s, "state"), "token").Result())
		subscribing(t, router.New(s, router.Config{}))(t.Context(), "t.*", "h", idle)
		require.NoError(t, c.HSet(t.Context(), redisstore.Key(s, "state"), "token", before).Err())

		subscribing(t, router.New(s, router.Config{}))(t.Context(), "t.*", "h", idle)
		after := must(c.HGet(t.Context(), redisstore.Key(s, "state"), "token").Result())
		version, _, _ := strings.Cut(after, ".")
		require.Equal(t, must(s.Subscription(t.Context(), "h")).Version, must(strconv.ParseUint(version, 10, 64)))
	})
}

func TestReplicasThatSubscribeUnderANewNameTogetherMakeOneSubscription(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				_, err := router.New(s, router.Config{}).Subscribe(context.Background(), fmt.Sprintf("t.%d", i), "h", func(context.Context, router.Event) error { return nil }, router.HandlerConfig{})
				require.NoError(t, err)
			})
		}
		all.Wait()
		require.Len(t, must(s.Subscriptions(t.Context(), "", 10)), 1)
	})
}

func TestANameIsTakenOnceInAReplicaAndNotFromASubscriptionOfAnotherKind(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, s *redisstore.Store, r *router.Router) {
		create(t, s, "hook", "x.*")
		var c calls
		subscribing(t, r)(t.Context(), "t.*", "h", c.handler("h"))
		for _, name := range []string{"h", "hook"} {
			_, err := r.Subscribe(t.Context(), "u.*", name, c.handler("second"), router.HandlerConfig{})
			require.Equal(t, router.Conflict, router.ErrorCode(err), name)
			require.ErrorContains(t, err, name)
		}
		require.Equal(t, []string{"t.*"}, must(s.Subscription(t.Context(), "h")).Filter.Types, "it is as it was")
		require.Equal(t, router.WebhookSink, must(s.Subscription(t.Context(), "hook")).Sink.Kind)
		publish(t, r, "d1", "t.a")
		c.awaits(t, "h", "d1")

		_, err := s.CreateSubscription(t.Context(), router.Subscription{Name: "h"})
		require.Equal(t, router.Conflict, router.ErrorCode(err), "nor the other way round")
	})
}

func TestSubscribeAndWatchSayThatRedisIsAwayAndLeaveNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		proxy := redistest.NewProxy(t, addr)
		s := open(t, proxy.Addr())
		r, _ := start(t, s, newSink())
		var c calls
		proxy.Outage(true)
		_, err := r.Subscribe(t.Context(), "t.*", "h", c.handler("h"), router.HandlerConfig{})
		require.Equal(t, router.Unavailable, router.ErrorCode(err))
		_, err = r.Watch(t.Context(), "t.*", func(context.Context, router.Event) {})
		require.Equal(t, router.Unavailable, router.ErrorCode(err))
		proxy.Outage(false)
		subscribing(t, r)(t.Context(), "t.*", "h", c.handler("h"))
		publish(t, r, "d1", "t.a")
		c.awaits(t, "h", "d1")
	})
}

func TestN01StableHandlersMissNothingWhileOthersComeAndGo(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		stores, routers := deployment(t, addr, 2)
		const stable, publishers, churners = 5, 20, 20
		events, rounds := 50, 50
		if strings.HasSuffix(t.Name(), "miniredis") {
			events, rounds = 10, 5 // with the race detector on, each of its script calls takes milliseconds
		}
		var c calls
		for i := range stable {
			name := fmt.Sprintf("stable%d", i)
			_, err := routers[i%2].Subscribe(t.Context(), "t.a", name, c.handler(name), router.HandlerConfig{})
			require.NoError(t, err)
			watching(t, routers[i%2])(t.Context(), "t.a", "", c.handler("watching"+name))
		}
		var all sync.WaitGroup
		for w := range churners {
			all.Go(func() { churn(t, stores[w%2], routers[w%2], fmt.Sprintf("churner%d", w), rounds) })
		}
		for p := range publishers {
			all.Go(func() {
				for i := range events {
					publish(t, routers[p%2], fmt.Sprintf("%d-%d", p, i), "t.a")
				}
			})
		}
		all.Wait()
		for i := range stable {
			name := fmt.Sprintf("stable%d", i)
			eventually(t, func() bool { return status(t, stores[0], name).Delivered == int64(publishers*events) }, "all arrives")
			for _, seen := range [][]string{c.of(name), waitFor(t, &c, "watching"+name, publishers*events)} {
				slices.Sort(seen)
				require.Len(t, slices.Compact(seen), publishers*events)
			}
			require.Len(t, c.of(name), publishers*events, "and once")
		}
	})
}

func waitFor(t testing.TB, c *calls, name string, n int) []string {
	t.Helper()
	eventually(t, func() bool { return len(c.of(name)) >= n }, name)
	return c.of(name)
}

// churn subscribes, watches, ends and deletes, in turns.
func churn(t testing.TB, s *redisstore.Store, r *router.Router, name string, rounds int) {
	t.Helper()
	idle := func(context.Context, router.Event) error { return nil }
	for i := range rounds {
		end := subscribing(t, r)(context.Background(), []string{"t.a", "t.*"}[i%2], name, idle)
		unwatch := watching(t, r)(context.Background(), "t.a", "", idle)
		end()
		unwatch()
		if i%5 == 4 {
			_, err := s.DeleteSubscription(context.Background(), must(s.Subscription(context.Background(), name)).ID, 0)
			require.NoError(t, err)
		}
	}
}

func TestNothingAcceptedAfterCloseHasReturnedIsHandledByWhatWasClosed(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *redisstore.Store, r *router.Router, handle on) {
		var next atomic.Int64 // the number of the next event
		var broken atomic.Int64
		stop := make(chan struct{})
		var publishing sync.WaitGroup
		publishing.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					publish(t, r, fmt.Sprint(next.Load()), "t.a")
					next.Add(1)
				}
			}
		})
		for round := range 20 {
			var limit atomic.Int64
			limit.Store(1 << 62)
			seen := make(chan struct{}, 1)
			end := handle(t.Context(), "t.*", fmt.Sprintf("h%d", round), func(_ context.Context, e router.Event) error {
				if n := must(strconv.ParseInt(e.ID(), 10, 64)); n > limit.Load() {
					broken.Add(1)
				}
				select {
				case seen <- struct{}{}:
				default:
				}
				return nil
			})
			<-seen
			end()
			limit.Store(next.Load()) // that one may have been accepted before; those behind it have not
		}
		close(stop)
		publishing.Wait()
		require.Zero(t, broken.Load())
	})
}
