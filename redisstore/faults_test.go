package redisstore_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// ledger records the batches that were applied, as their replicas came to know of it.
type ledger struct {
	mu     sync.Mutex
	done   []router.Batch
	fenced int
}

func (l *ledger) note(b router.Batch, applied router.Applied, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err != nil:
	case applied.Status == router.Done:
		l.done = append(l.done, b)
	case applied.Status == router.Fenced:
		l.fenced++
	}
}

func (l *ledger) fences() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fenced
}

// requireOnce checks that no two batches cover the same stretch of the log, and, where every answer has arrived, that they cover all of it.
func (l *ledger) requireOnce(t testing.TB, events int, all bool) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.SortFunc(l.done, func(a, b router.Batch) int {
		return cmp.Or(a.From.Position.Compare(b.From.Position), strings.Compare(a.From.Target, b.From.Target))
	})
	sum := 0
	for i, b := range l.done {
		sum += b.Events
		if i == 0 {
			continue
		}
		before := l.done[i-1].To
		require.GreaterOrEqual(t, b.From.Position.Compare(before.Position), 0, "two batches overlap")
		if all {
			require.Equal(t, before, b.From, "there is a gap")
		}
	}
	if all {
		require.Equal(t, events, sum)
	}
}

// ledgerStore notes what is applied.
type ledgerStore struct {
	*redisstore.Store
	ledger *ledger
}

func (s ledgerStore) Apply(ctx context.Context, b router.Batch) (router.Applied, error) {
	applied, err := s.Store.Apply(ctx, b)
	s.ledger.note(b, applied, err)
	return applied, err
}

// quick has a subscription's deliveries leased as briefly as can be, and tried often.
func quick(t testing.TB, s *redisstore.Store, name string) router.Subscription {
	t.Helper()
	sub := create(t, s, name, "t.*")
	sub.Sink.Timeout = router.MinSinkTimeout
	sub.Delivery.Retry = *retrying(20)
	sub.Delivery.MaxInFlight = router.MaxMaxInFlight // what a lost claim has leased counts as in flight until its lease runs out
	return must(s.ReplaceSubscription(t.Context(), sub))
}

// requireSettled waits until all events are delivered to all subscriptions, and checks that each was queued once.
func requireSettled(t testing.TB, addr string, s *redisstore.Store, out *sink, events int, names ...string) {
	t.Helper()
	client := redistest.Client(t, addr)
	for _, name := range names {
		settled := func() bool {
			state := status(t, s, name)
			return state.Delivered >= int64(events) && state.Backlog == 0
		}
		require.Eventually(t, settled, time.Minute, 10*time.Millisecond, name)
		state := status(t, s, name)
		require.EqualValues(t, events, state.Delivered, "%s: what is queued twice is delivered twice", name)
		require.Zero(t, state.Dead)
		seen := out.ids(name)
		slices.Sort(seen)
		require.Len(t, slices.Compact(seen), events, "%s sees every event", name)
	}
	routed := must(client.HGet(t.Context(), redisstore.Key(s, "state"), "routed").Int())
	require.Equal(t, events, routed)
}

func sendings(out *sink) int {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.sendings
}

// publishAll stores events through several stores at once.
func publishAll(t testing.TB, events int, stores ...*redisstore.Store) {
	t.Helper()
	const publishers = 8
	var all sync.WaitGroup
	for p := range publishers {
		all.Go(func() {
			for i := p; i < events; i += publishers {
				appendOne(t, stores[p%len(stores)], event(t, fmt.Sprint(i), "t.a"))
			}
		})
	}
	all.Wait()
}

// Of all calls of scripts the answers to two in a hundred are lost: appends, leases, batches, claims, settlements.
func TestLostAnswersNeitherLoseADeliveryNorQueueOneTwice(t *testing.T) {
	t.Parallel()
	addr, namespace := redistest.Shared(t)
	same := func(c *redisstore.Config) { c.Namespace = namespace }
	whole := open(t, addr, same)
	names := []string{"one", "two", "three"}
	for _, name := range names {
		quick(t, whole, name)
	}
	out := newSink()
	known := &ledger{}
	var proxies []*redistest.Proxy
	var stores []*redisstore.Store
	for seed := range 2 {
		proxy := redistest.NewProxy(t, addr)
		s := open(t, proxy.Addr(), same)
		proxy.Only("evalsha")
		proxy.SwallowEvery(0.02, uint64(seed)+1)
		start(t, ledgerStore{s, known}, out)
		proxies, stores = append(proxies, proxy), append(stores, s)
	}
	const events = 2000
	publishAll(t, events, stores...)
	for _, name := range names {
		eventually(t, func() bool { return out.count(name) > events*9/10 }, name)
	}
	for _, proxy := range proxies { // so that no lease after the next is lost
		proxy.SwallowEvery(0, 0)
	}
	requireSettled(t, addr, whole, out, events, names...)
	known.requireOnce(t, events, false)

	swallowed := proxies[0].Stats().Swallowed + proxies[1].Stats().Swallowed
	require.Greater(t, swallowed, 5, "the test does what it says")
	t.Logf("%d answers lost; %d sendings for %d deliveries", swallowed, sendings(out), 3*events)
	if more := sendings(out) - 3*events; more > 0 {
		require.LessOrEqual(t, more, 128*swallowed, "only what was lost is sent again")
	}
}

// believer believes that it has the lease, whoever has it.
type believer struct{ ledgerStore }

func (s believer) TakeLease(ctx context.Context, partition int, replica string, ttl time.Duration, orphan bool) (router.Lease, error) {
	lease, err := s.Store.TakeLease(ctx, partition, replica, ttl, orphan)
	lease.Held = true
	return lease, err
}

func TestReplicasThatAllBelieveToHaveTheLeaseApplyNoBatchTwice(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		namespace := redistest.Namespace(t)
		same := func(c *redisstore.Config) { c.Namespace = namespace }
		out := newSink()
		known := &ledger{}
		var stores []*redisstore.Store
		for range 3 {
			s := open(t, addr, same)
			start(t, believer{ledgerStore{s, known}}, out, func(c *router.Config) { c.Lease = 30 * time.Millisecond })
			stores = append(stores, s)
		}
		quick(t, stores[0], "one")
		quick(t, stores[0], "two")
		events := 0
		for events == 0 || known.fences() < 5 { // until they have met
			for range 50 {
				appendOne(t, stores[events%3], event(t, fmt.Sprint(events), "t.a"))
				events++
			}
			require.Less(t, events, 3000, "they never meet")
		}
		requireSettled(t, addr, stores[0], out, events, "one", "two")
		known.requireOnce(t, events, true)
		require.Equal(t, 2*events, sendings(out), "nothing failed, so each is sent once")
	})
}

// paused is the store of a replica whose routing can be made to stand still before or behind a call of Apply: it does not renew its lease then.
type paused struct {
	ledgerStore
	behind bool          // stand still when Redis has applied the batch
	armed  chan struct{} // one token: stand still at the next Apply
	still  chan struct{} // closed when it does
	wake   chan struct{} // closed to go on
	over   chan struct{} // closed when that call has returned
}

func (s *paused) TakeLease(ctx context.Context, partition int, replica string, ttl time.Duration, orphan bool) (router.Lease, error) {
	select {
	case <-s.still:
		<-s.over
	default:
	}
	return s.ledgerStore.TakeLease(ctx, partition, replica, ttl, orphan)
}

func (s *paused) Apply(ctx context.Context, b router.Batch) (router.Applied, error) {
	select {
	case <-s.armed:
	default:
		return s.ledgerStore.Apply(ctx, b)
	}
	defer close(s.over)
	if s.behind {
		applied, err := s.ledgerStore.Apply(ctx, b)
		close(s.still)
		<-s.wake
		return applied, err
	}
	close(s.still)
	<-s.wake
	return s.ledgerStore.Apply(ctx, b)
}

func TestAReplicaThatWakesUpLateAppliesNothingTwice(t *testing.T) {
	for name, c := range map[string]struct {
		behind, expire bool // expire: it sleeps until what it had leased has been delivered by another
	}{
		"before its batch was applied":                   {},
		"after its batch was applied":                    {behind: true},
		"after its batch was applied and sent by others": {behind: true, expire: true},
	} {
		t.Run(name, func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, addr string) {
				t.Parallel()
				wakesUpLate(t, addr, c.behind, c.expire)
			})
		})
	}
}

func wakesUpLate(t *testing.T, addr string, behind, expire bool) {
	t.Helper()
	namespace := redistest.Namespace(t)
	same := func(c *redisstore.Config) { c.Namespace = namespace }
	sa, sb := open(t, addr, same), open(t, addr, same)
	quick(t, sb, "one")
	out := newSink()
	known := &ledger{}
	a := &paused{
		ledgerStore: ledgerStore{sa, known}, behind: behind,
		armed: make(chan struct{}, 1), still: make(chan struct{}), wake: make(chan struct{}), over: make(chan struct{}),
	}
	wake := sync.OnceFunc(func() { close(a.wake) })
	short := func(c *router.Config) { c.Lease = 50 * time.Millisecond }
	start(t, a, out, short)
	t.Cleanup(wake)
	const events = 300
	publishAll(t, events/3, sb)
	eventually(t, func() bool { return out.count("one") == events/3 }, "the first replica routes")

	a.armed <- struct{}{}
	for i := events / 3; i < events; i++ {
		appendOne(t, sb, event(t, fmt.Sprint(i), "t.a"))
	}
	<-a.still
	start(t, ledgerStore{sb, known}, out, short)
	routed := func() bool {
		all := must(sb.Status(t.Context())).Partitions[0]
		return all.Lag == 0 && all.Cursor == all.End && (!expire || out.count("one") == events)
	}
	eventually(t, routed, "the second replica takes over")
	wake()
	requireSettled(t, addr, sb, out, events, "one")
	known.requireOnce(t, events, true)
	if !behind {
		eventually(t, func() bool { return known.fences() >= 1 }, "the late one is fenced off")
	}
	if !expire {
		require.Equal(t, events, sendings(out), "each is sent once")
	}
}
