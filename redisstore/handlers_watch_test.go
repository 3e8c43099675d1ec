package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// deployment runs replicas on stores of one namespace.
func deployment(t testing.TB, addr string, replicas int, change ...func(*redisstore.Config)) (stores []*redisstore.Store, routers []*router.Router) {
	t.Helper()
	namespace := redistest.Namespace(t)
	change = append(change, func(c *redisstore.Config) { c.Namespace = namespace })
	for range replicas {
		s := open(t, addr, change...)
		r, _ := start(t, s, newSink())
		stores, routers = append(stores, s), append(routers, r)
	}
	return stores, routers
}

// Which replica published, and which one routes, makes no difference.
func TestG01EveryReplicaThatWatchesSeesTheEvent(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		_, routers := deployment(t, addr, 3)
		var c calls
		for i, r := range routers {
			watching(t, r)(t.Context(), "t.a", "g", c.handler(fmt.Sprintf("g%d", i)))
			subscribing(t, r)(t.Context(), "t.a", "one", c.handler("one"))
		}
		for i, r := range routers {
			publish(t, r, fmt.Sprintf("d%d", i), "t.a")
		}
		for i := range routers {
			c.awaits(t, fmt.Sprintf("g%d", i), "d0", "d1", "d2")
		}
		eventually(t, func() bool { return len(c.of("one")) >= 3 }, "the durable handler is called")
		require.ElementsMatch(t, []string{"d0", "d1", "d2"}, c.of("one"), "once for each, by whichever replica")
	})
}

func TestG02WatchingHasWildcardsLikeSubscribing(t *testing.T) {
	eachWay(t, func(t *testing.T, _ *redisstore.Store, r *router.Router, handle on) {
		var c calls
		for i, pattern := range []string{"t.*", "*", "t.b", "*.b", "t.*.c", "u.*"} {
			handle(t.Context(), pattern, fmt.Sprintf("h%d", i), c.handler(pattern))
		}
		publish(t, r, "d1", "t.b")
		publish(t, r, "d2", "t.b.c")
		c.awaits(t, "*", "d1", "d2")
		c.awaits(t, "t.*", "d1", "d2")
		c.awaits(t, "t.b", "d1")
		c.awaits(t, "*.b", "d1")
		c.awaits(t, "t.*.c", "d2")
		require.Empty(t, c.of("u.*"))
	})
}

func TestG05AWatcherSeesEventsInTheOrderOfTheirAcceptance(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		const partitions, events, watchers = 4, 200, 5
		stores, routers := deployment(t, addr, 2, func(c *redisstore.Config) { c.Partitions = partitions })
		var c calls
		for i, r := range routers {
			for w := range watchers {
				watching(t, r)(t.Context(), "t.*", "", c.handler(fmt.Sprintf("w%d-%d", i, w)))
			}
		}
		var batch []router.Event
		want := make([][]string, partitions)
		for n := range events {
			e := event(t, fmt.Sprint(n), "t.a")
			batch = append(batch, e)
			want[e.Partition(partitions)] = append(want[e.Partition(partitions)], e.ID())
		}
		for half := range slices.Chunk(batch, events/8) {
			for _, result := range stores[0].Append(t.Context(), half) {
				require.NoError(t, result.Err)
			}
		}
		for i := range routers {
			for w := range watchers {
				name := fmt.Sprintf("w%d-%d", i, w)
				eventually(t, func() bool { return len(c.of(name)) >= events }, "every watcher sees all")
				got := make([][]string, partitions)
				for _, id := range c.of(name) {
					p := event(t, id, "t.a").Partition(partitions)
					got[p] = append(got[p], id)
				}
				require.Equal(t, want, got, "each partition in its order")
			}
		}
	})
}

func TestG06AHandlerSeesTheEventAsItWasPublishedHoweverLateItIs(t *testing.T) {
	eachWay(t, func(t *testing.T, s *redisstore.Store, r *router.Router, handle on) {
		begun, gate, seen := make(chan struct{}), make(chan struct{}), make(chan router.Event, 1)
		handle(t.Context(), "t.*", "g", func(_ context.Context, e router.Event) error {
			if e.ID() == "before" {
				close(begun)
				<-gate
				return nil
			}
			seen <- e
			return nil
		})
		publish(t, r, "before", "t.a")
		<-begun
		publish(t, r, "d1", "t.a")
		_, err := r.Publish(t.Context(), event(t, "d1", "t.b"))
		require.Equal(t, router.IDReused, router.ErrorCode(err), "what was published is never changed")
		require.Len(t, logged(t, s), 2)
		close(gate)
		require.Equal(t, event(t, "d1", "t.a"), <-seen)
	})
}

func TestG07AWatcherMissesNothingWhenItsReplicaLosesRedisForAWhile(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		proxy := redistest.NewProxy(t, addr)
		namespace := redistest.Namespace(t)
		same := func(c *redisstore.Config) { c.Namespace = namespace }
		whole, _ := start(t, open(t, addr, same), newSink())
		cut, _ := start(t, open(t, proxy.Addr(), same), newSink())
		var c calls
		watching(t, cut)(t.Context(), "t.*", "", c.handler("g"))
		watching(t, cut)(t.Context(), "t.*", "", c.handler("another"))
		publish(t, whole, "before", "t.a")
		c.awaits(t, "g", "before")

		refused := proxy.Stats().Refused
		proxy.Outage(true)
		want := []string{"before"}
		for i := range 50 {
			want = append(want, fmt.Sprintf("d%d", i))
			publish(t, whole, want[len(want)-1], "t.a")
		}
		eventually(t, func() bool { return proxy.Stats().Refused > refused+3 }, "it tries in vain")
		require.Equal(t, []string{"before"}, c.of("g"))
		proxy.Outage(false)
		c.awaits(t, "g", want...)
		c.awaits(t, "another", want...)
	})
}

func TestN03WatchersThatJoinAndLeaveCostTheOthersNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		_, routers := deployment(t, addr, 1)
		r := routers[0]
		const stable, events, churn = 50, 100, 100
		var c calls
		for i := range stable {
			watching(t, r)(t.Context(), "t.*", "", c.handler(fmt.Sprintf("w%d", i)))
		}
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := w; i < churn; i += 4 {
					end := watching(t, r)(context.Background(), "t.*", "", c.handler(fmt.Sprintf("guest%d", i)))
					if i%3 == 0 {
						publish(t, r, fmt.Sprintf("guest%d", i), "u.a")
					}
					end()
				}
			})
		}
		var want []string
		for i := range events {
			want = append(want, fmt.Sprint(i))
			publish(t, r, fmt.Sprint(i), "t.a")
		}
		all.Wait()
		for i := range stable {
			c.awaits(t, fmt.Sprintf("w%d", i), want...)
		}
		for i := range churn { // what a guest saw is a stretch without gaps
			seen := c.of(fmt.Sprintf("guest%d", i))
			if len(seen) > 0 {
				from := slices.Index(want, seen[0])
				require.Equal(t, want[from:from+len(seen)], seen)
			}
		}
	})
}

func TestASlowWatcherDelaysNobodyElse(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		_, routers := deployment(t, addr, 1)
		r := routers[0]
		var c calls
		gate := make(chan struct{})
		watching(t, r)(t.Context(), "t.*", "", c.handler("slow", func(context.Context, router.Event) error {
			<-gate
			return nil
		}))
		watching(t, r)(t.Context(), "t.*", "", c.handler("quick"))
		subscribing(t, r)(t.Context(), "t.*", "durable", c.handler("durable"))
		var want []string
		for i := range 100 {
			want = append(want, fmt.Sprint(i))
			publish(t, r, fmt.Sprint(i), "t.a")
		}
		c.awaits(t, "quick", want...)
		c.awaits(t, "durable", want...)
		require.Equal(t, want[:1], c.of("slow"))
		close(gate)
		c.awaits(t, "slow", want...)
	})
}

func TestAWatcherMadeBeforeRunSeesWhatIsAcceptedBetween(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		s := open(t, addr)
		r := router.New(s, router.Config{Grace: time.Second})
		var c calls
		watching(t, r)(t.Context(), "t.*", "", c.handler("g"))
		publish(t, r, "before", "t.a")
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		publish(t, r, "after", "t.a")
		c.awaits(t, "g", "before", "after")
		cancel()
		require.NoError(t, <-done)
	})
}
