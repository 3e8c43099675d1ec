package redisstore_test

import (
	"context"
	"fmt"
	"net"
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

// open opens a store of its own namespace on a server.
func open(t testing.TB, addr string, change ...func(*redisstore.Config)) *redisstore.Store {
	t.Helper()
	config := redisstore.Config{URL: "redis://" + addr, Namespace: redistest.Namespace(t)}
	for _, f := range change {
		f(&config)
	}
	s, err := redisstore.Open(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func event(t testing.TB, id, typ string) router.Event {
	t.Helper()
	e, err := router.NewEvent(router.EventFields{ID: id, Source: "/test", Type: typ, Data: `{"n":1}`, DataKind: router.JSONData, DataContentType: "application/json"})
	require.NoError(t, err)
	return e
}

func appendOne(t testing.TB, s router.Appender, e router.Event) router.Position {
	t.Helper()
	result := s.Append(context.Background(), []router.Event{e})[0]
	require.NoError(t, result.Err)
	return result.Position
}

func TestAnEventIsStoredOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		first := s.Append(t.Context(), []router.Event{event(t, "a", "x.y")})[0]
		require.NoError(t, first.Err)
		require.False(t, first.Duplicate)

		again := s.Append(t.Context(), []router.Event{event(t, "a", "x.y")})[0]
		require.NoError(t, again.Err)
		require.True(t, again.Duplicate)
		require.Equal(t, first.Position, again.Position)

		other := s.Append(t.Context(), []router.Event{event(t, "a", "x.z")})[0]
		require.Equal(t, router.IDReused, router.ErrorCode(other.Err))

		twins := s.Append(t.Context(), []router.Event{event(t, "b", "x.y"), event(t, "b", "x.y"), event(t, "b", "x.z")})
		require.False(t, twins[0].Duplicate)
		require.True(t, twins[1].Duplicate)
		require.Equal(t, twins[0].Position, twins[1].Position)
		require.Equal(t, router.IDReused, router.ErrorCode(twins[2].Err))

		records, err := s.ReadLog(t.Context(), router.Position{}, 100, 0)
		require.NoError(t, err)
		require.Len(t, records, 2)
		require.Equal(t, event(t, "a", "x.y"), records[0].Event)
	})
}

func TestEventsOfACallOfAnySizeAreKnownAgainAtTheirPositions(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		for _, size := range []int{1, 2, 4, 5, 6, 70, 1000} {
			events := make([]router.Event, size)
			for i := range events {
				events[i] = event(t, fmt.Sprintf("%d of %d", i, size), "x.y")
			}
			first := s.Append(t.Context(), events)
			slices.Reverse(events)
			again := s.Append(t.Context(), events)
			for i := range again {
				require.NoError(t, again[i].Err)
				require.True(t, again[i].Duplicate)
				require.False(t, first[size-1-i].Duplicate)
				require.Equal(t, first[size-1-i].Position, again[i].Position)
			}
			other := s.Append(t.Context(), []router.Event{event(t, fmt.Sprintf("%d of %d", size-1, size), "x.z")})[0]
			require.Equal(t, router.IDReused, router.ErrorCode(other.Err))
			require.Equal(t, first[size-1].Position, other.Position)
		}
	})
}

func TestPositionsGrowAndConcurrentAppendsAllLand(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		var all sync.WaitGroup
		for c := range 8 {
			all.Go(func() {
				for i := range 25 {
					r := s.Append(context.Background(), []router.Event{event(t, fmt.Sprintf("%d-%d", c, i), "x.y"), event(t, fmt.Sprintf("%d-%d-b", c, i), "x.y")})
					require.NoError(t, r[0].Err)
					require.NoError(t, r[1].Err)
				}
			})
		}
		all.Wait()
		records, err := s.ReadLog(t.Context(), router.Position{}, 1000, 0)
		require.NoError(t, err)
		require.Len(t, records, 400)
		seen := map[string]bool{}
		for i, r := range records {
			require.NoError(t, r.Err)
			require.False(t, seen[r.Event.ID()])
			seen[r.Event.ID()] = true
			if i > 0 {
				require.Positive(t, r.Position.Compare(records[i-1].Position))
			}
		}
	})
}

func TestALostReplyNeitherDoublesNorLosesAnEvent(t *testing.T) {
	addr, _ := redistest.Shared(t)
	proxy := redistest.NewProxy(t, addr)
	s := open(t, proxy.Addr())
	proxy.Only("evalsha")
	for i := range 30 {
		proxy.SwallowNext(1)
		r := s.Append(t.Context(), []router.Event{event(t, fmt.Sprint(i), "x.y")})[0]
		require.NoError(t, r.Err)
		require.False(t, r.Duplicate, "the sender sent it once")
	}
	many := make([]router.Event, 30)
	for i := range many {
		many[i] = event(t, fmt.Sprint("together ", i), "x.y")
	}
	proxy.SwallowNext(1)
	for _, r := range s.Append(t.Context(), many) {
		require.NoError(t, r.Err)
		require.False(t, r.Duplicate, "the sender sent it once")
	}
	records, err := s.ReadLog(t.Context(), router.Position{}, 1000, 0)
	require.NoError(t, err)
	require.Len(t, records, 60)
}

func TestApplyIsFencedByTheCursorAndStaleByTheToken(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "one", "x.*")
		p := appendOne(t, s, event(t, "a", "x.y"))
		d, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		batch := router.Batch{
			To: router.Cursor{Position: p}, Token: d.Tokens[0], Events: 1,
			Enqueues: []router.Enqueue{{Queue: router.Queue{Subscription: sub.ID, Kind: router.WebhookSink, Enabled: true, MaxInFlight: 4}, Entries: []router.Position{p}}},
		}
		stale := batch
		stale.Token = "0.old"
		applied, err := s.Apply(t.Context(), stale)
		require.NoError(t, err)
		require.Equal(t, router.Stale, applied.Status)

		applied, err = s.Apply(t.Context(), batch)
		require.NoError(t, err)
		require.Equal(t, router.Done, applied.Status)
		require.Len(t, applied.Ready, 1)

		applied, err = s.Apply(t.Context(), batch)
		require.NoError(t, err)
		require.Equal(t, router.Fenced, applied.Status)
		require.Equal(t, batch.To, applied.Cursor)

		status, err := s.SubscriptionStatus(t.Context(), sub.ID)
		require.NoError(t, err)
		require.EqualValues(t, 1, status.Backlog)
	})
}

// create makes a subscription to a webhook, without a breaker: that has tests of its own.
func create(t testing.TB, s router.SubscriptionStore, name string, types ...string) router.Subscription {
	t.Helper()
	delivery := router.DefaultDelivery()
	delivery.Breaker = router.Breaker{}
	sub, err := s.CreateSubscription(context.Background(), router.Subscription{
		Name: name, Enabled: true, Filter: router.Filter{Types: types}, Delivery: delivery,
		Sink: router.Sink{Kind: router.WebhookSink, URL: "http://127.0.0.1:1/", Mode: router.Structured, Timeout: router.DefaultSinkTimeout},
	})
	require.NoError(t, err)
	return sub
}

func TestPositionsNeverGoBackWhenTheClockDoes(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		c := redistest.Client(t, addr)
		future := time.Now().Add(time.Hour).UnixMilli()
		require.NoError(t, c.HSet(t.Context(), redisstore.Key(s, "state"), "floor", future, "seq", 7).Err())
		first := appendOne(t, s, event(t, "a", "x.y"))
		second := appendOne(t, s, event(t, "b", "x.y"))
		require.Equal(t, router.Position{MS: future, Seq: 8}, first)
		require.Equal(t, router.Position{MS: future, Seq: 9}, second)
	})
}

func TestALogThatEndsBeforeItsCursorIsAnAlarm(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	p := appendOne(t, s, event(t, "a", "x.y"))
	require.NoError(t, s.CheckLog(t.Context(), p))
	c := redistest.Client(t, addr)
	require.NoError(t, c.HSet(t.Context(), redisstore.Key(s, "state"), "cursor", p.ID()).Err())
	require.NoError(t, c.Del(t.Context(), redisstore.Key(s, "log")).Err())
	require.ErrorContains(t, s.CheckLog(t.Context(), p), "events are missing")
	status, err := s.Status(t.Context())
	require.NoError(t, err)
	require.Contains(t, status.Partitions[0].Alarm, "events are missing")
}

func TestTheDedupeWindowHoldsAndItsMemoryIsFreed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.DedupeWindow = time.Second })
		require.False(t, s.Append(t.Context(), []router.Event{event(t, "a", "x.y")})[0].Duplicate)
		require.True(t, s.Append(t.Context(), []router.Event{event(t, "a", "x.y")})[0].Duplicate)
		start := time.Now()
		require.Eventually(t, func() bool {
			r := s.Append(t.Context(), []router.Event{event(t, "a", "x.y")})[0]
			require.NoError(t, r.Err)
			return !r.Duplicate
		}, 5*time.Second, 20*time.Millisecond)
		require.GreaterOrEqual(t, time.Since(start), 950*time.Millisecond, "it is known for the whole window")
		require.LessOrEqual(t, time.Since(start), 3*time.Second)
	})
}

func TestAnEvictingServerIsRefused(t *testing.T) {
	server := redistest.Start(t, redistest.MaxMemory(64<<20, "allkeys-lru"))
	_, err := redisstore.Open(t.Context(), redisstore.Config{URL: server.URL()})
	require.ErrorContains(t, err, "noeviction")
}

func TestTheNumberOfPartitionsIsFixedAtTheFirstStart(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		namespace := redistest.Namespace(t)
		with := func(n int) redisstore.Config {
			return redisstore.Config{URL: "redis://" + addr, Namespace: namespace, Partitions: n}
		}
		s, err := redisstore.Open(t.Context(), with(3))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		s, err = redisstore.Open(t.Context(), with(0))
		require.NoError(t, err)
		require.Equal(t, 3, s.Partitions())
		require.NoError(t, s.Close())
		_, err = redisstore.Open(t.Context(), with(4))
		require.ErrorContains(t, err, "was started with 3")
	})
}

// A program that is older than what is stored would take it for something else.
func TestAStoreGoesOnFromTheFormatBeforeAndFromNoOther(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		config := redisstore.Config{URL: "redis://" + addr, Namespace: redistest.Namespace(t)}
		s, err := redisstore.Open(t.Context(), config)
		require.NoError(t, err)
		meta := redisstore.Key(s, "meta")
		require.NoError(t, s.Close())
		c := redistest.Client(t, addr)
		for before, after := range map[string]string{"2": "3", "3": "3", "1": "", "4": "", "x": ""} {
			require.NoError(t, c.HSet(t.Context(), meta, "format", before).Err())
			s, err := redisstore.Open(t.Context(), config)
			if after == "" {
				require.Equal(t, router.Invalid, router.ErrorCode(err))
				require.ErrorContains(t, err, fmt.Sprintf("holds format %q", before))
				after = before
			} else {
				require.NoError(t, err)
				require.NoError(t, s.Close())
			}
			require.Equal(t, after, c.HGet(t.Context(), meta, "format").Val())
		}
	})
}

func TestAFullRedisRefusesEventsAndStillDrains(t *testing.T) {
	server := redistest.Start(t, redistest.MaxMemory(32<<20, "noeviction"))
	s, err := redisstore.Open(t.Context(), redisstore.Config{URL: server.URL()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	create(t, s, "one", "x.*")
	stored := 0
	for ; ; stored++ {
		e, err := router.NewEvent(router.EventFields{ID: fmt.Sprint(stored), Source: "/t", Type: "x.y", Data: strings.Repeat("x", 50_000), DataKind: router.TextData, DataContentType: "text/plain"})
		require.NoError(t, err)
		if r := s.Append(t.Context(), []router.Event{e})[0]; r.Err != nil {
			require.Equal(t, router.Full, router.ErrorCode(r.Err))
			break
		}
	}
	require.Positive(t, stored)
	out := newSink()
	start(t, s, out)
	eventually(t, func() bool { return out.count("one") == stored }, "what was accepted is delivered though Redis is full")
}

func TestAnEventIsAcceptedOnlyWhenReplicasHaveIt(t *testing.T) {
	server := redistest.Start(t)
	s, err := redisstore.Open(t.Context(), redisstore.Config{URL: server.URL(), WaitReplicas: 1, WaitTimeout: 20 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	r := s.Append(ctx, []router.Event{event(t, "a", "x.y")})[0]
	require.Equal(t, router.Unavailable, router.ErrorCode(r.Err), "there is no replica")

	replica := redistest.Start(t, redistest.Args("--replicaof", "127.0.0.1", portOf(t, server.Addr())))
	t.Cleanup(func() { require.NoError(t, replica.Kill()) })
	eventually(t, func() bool {
		r := s.Append(t.Context(), []router.Event{event(t, "b", "x.y")})[0]
		return r.Err == nil
	}, "with a replica it is accepted")
}

func portOf(t testing.TB, addr string) string {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	require.NoError(t, err)
	return port
}

func TestABatchIsStaleOnlyIfAnEventOfItWasAcceptedAfterTheChange(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		create(t, s, "zero", "x.*")
		old, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		before := appendOne(t, s, event(t, "before", "x.y"))
		for i := range 5 {
			create(t, s, fmt.Sprintf("change%d", i), "x.*")
		}
		after := appendOne(t, s, event(t, "after", "x.y"))
		batch := func(from, to router.Position) router.Batch {
			return router.Batch{From: router.Cursor{Position: from}, To: router.Cursor{Position: to}, Token: old.Tokens[0], Events: 1}
		}
		both, err := s.Apply(t.Context(), batch(router.Position{}, after))
		require.NoError(t, err)
		require.Equal(t, router.Stale, both.Status, "the second event must be routed by the new definitions")
		first, err := s.Apply(t.Context(), batch(router.Position{}, before))
		require.NoError(t, err)
		require.Equal(t, router.Done, first.Status, "the first one may be routed by the old ones")
		second, err := s.Apply(t.Context(), batch(before, after))
		require.NoError(t, err)
		require.Equal(t, router.Stale, second.Status)
	})
}
