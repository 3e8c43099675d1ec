package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// ofKey is an event of a key.
func ofKey(t testing.TB, key string, n int) router.Event {
	t.Helper()
	e, err := router.NewEvent(router.EventFields{ID: fmt.Sprintf("%s-%d", key, n), Source: "/test", Type: "x.y", Subject: key})
	require.NoError(t, err)
	return e
}

// ordered makes an ordered subscription.
func ordered(t testing.TB, s *redisstore.Store, retry ...time.Duration) router.Subscription {
	t.Helper()
	sub := create(t, s, "ordered", "x.*")
	sub.Delivery.Ordered, sub.Delivery.Breaker, sub.Delivery.Retry = true, router.Breaker{}, router.Retry{}
	for _, d := range retry {
		sub.Delivery.Retry.Schedule = append(sub.Delivery.Retry.Schedule, router.Duration(d))
	}
	sub, err := s.ReplaceSubscription(context.Background(), sub)
	require.NoError(t, err)
	return sub
}

// successes records the first success of each event, by key.
type successes struct {
	mu     sync.Mutex
	seen   map[string]bool
	order  map[string][]string
	flying map[string]int
	most   int // attempts for one key at a time
}

func newSuccesses() *successes {
	return &successes{seen: map[string]bool{}, order: map[string][]string{}, flying: map[string]int{}}
}

func (s *successes) begin(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying[key]++
	s.most = max(s.most, s.flying[key])
}

func (s *successes) end(e router.Event, delivered bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flying[e.Subject()]--
	if delivered && !s.seen[e.ID()] {
		s.seen[e.ID()] = true
		s.order[e.Subject()] = append(s.order[e.Subject()], e.ID())
	}
}

func (s *successes) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

func (s *successes) requireOrder(t testing.TB, keys, each int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range keys {
		var want []string
		for n := range each {
			want = append(want, fmt.Sprintf("key%d-%d", k, n))
		}
		require.Equal(t, want, s.order[fmt.Sprint("key", k)])
	}
}

// unsteady fails half of the attempts.
type unsteady struct{ *successes }

func (u unsteady) Send(_ context.Context, s router.Sending) router.Attempt {
	u.begin(s.Event.Subject())
	outcome := router.OutcomeDelivered
	if rand.IntN(2) == 0 {
		outcome = router.OutcomeReset
	}
	u.end(s.Event, outcome == router.OutcomeDelivered)
	return router.Attempt{At: time.Now(), Outcome: outcome}
}

func TestOnAnOrderedSubscriptionEachKeyIsDeliveredOneAtATimeInOrder(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, addr string) {
				own := redistest.Namespace(t)
				config := func(c *redisstore.Config) { c.Namespace, c.Partitions = own, partitions }
				s := open(t, addr, config)
				ordered(t, s, slices.Repeat([]time.Duration{time.Millisecond}, 50)...)
				got := newSuccesses()
				for range 3 {
					start(t, open(t, addr, config), unsteady{got})
				}
				const keys, each = 5, 12
				for n := range each {
					for k := range keys {
						appendOne(t, s, ofKey(t, fmt.Sprint("key", k), n))
					}
				}
				eventually(t, func() bool { return got.count() == keys*each }, "all arrive")
				got.requireOrder(t, keys, each)
				require.Equal(t, 1, got.most, "one at a time per key")
			})
		})
	}
}

func TestARetryOnAnOrderedSubscriptionHoldsBackItsOwnKeyOnly(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := ordered(t, s, time.Hour)
		out := newSink()
		out.answer = func(one router.Sending) router.Outcome {
			if one.Event.ID() == "bad-0" {
				return router.OutcomeStatus
			}
			return router.OutcomeDelivered
		}
		start(t, s, out)
		for n := range 10 {
			appendOne(t, s, ofKey(t, "bad", n))
			appendOne(t, s, ofKey(t, "good", n))
		}
		eventually(t, func() bool { return out.count("ordered") == 10 }, "the other key goes on")
		for i, id := range out.ids("ordered") {
			require.Equal(t, fmt.Sprintf("good-%d", i), id)
		}
		eventually(t, func() bool {
			status, err := s.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.Backlog == 10 && status.Retrying == 1
		}, "those behind count, too")
	})
}

func TestADeadLetterMakesWayForTheNextOfItsKey(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		ordered(t, s)
		out := newSink()
		out.answer = func(one router.Sending) router.Outcome {
			if one.Event.ID() == "key-1" {
				return router.OutcomeStatus
			}
			return router.OutcomeDelivered
		}
		start(t, s, out)
		for n := range 4 {
			appendOne(t, s, ofKey(t, "key", n))
		}
		eventually(t, func() bool { return out.count("ordered") == 3 }, "the others arrive")
		require.Equal(t, []string{"key-0", "key-2", "key-3"}, out.ids("ordered"))
		letters, _, err := s.DeadLetters(t.Context(), router.DeadLetterFilter{}, "", 10)
		require.NoError(t, err)
		require.Len(t, letters, 1)
		require.Equal(t, "key-1", letters[0].Event.ID())
		require.NotContains(t, letters[0].ID, "#")
	})
}

// Replicas that die amid their work: what they claimed is never settled, though some of it was sent. What a dead one held comes back when its lease runs out.
func TestFirstSuccessesOfAKeyAreInOrderThroughCrashes(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := ordered(t, s)
		const keys, each = 3, 10
		events := make([]router.Event, 0, keys*each)
		byPosition := map[router.Position]router.Event{}
		for n := range each {
			for k := range keys {
				events = append(events, ofKey(t, fmt.Sprint("key", k), n))
			}
		}
		batch := router.Batch{Events: len(events)}
		q := router.Queue{Subscription: sub.ID, Kind: router.WebhookSink, Enabled: true, MaxInFlight: 16}
		e := router.Enqueue{Queue: q}
		for i, r := range s.Append(t.Context(), events) {
			require.NoError(t, r.Err)
			byPosition[r.Position], batch.To.Position = events[i], r.Position
			e.Entries, e.Lanes = append(e.Entries, r.Position), append(e.Lanes, events[i].Lane())
		}
		d, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		batch.Token, batch.Enqueues = d.Tokens[0], []router.Enqueue{e}
		applied, err := s.Apply(t.Context(), batch)
		require.NoError(t, err)
		require.Equal(t, router.Done, applied.Status)

		got := newSuccesses()
		var late []router.Claimed // what dead replicas held, and settle when they turn out to have been asleep
		eventually(t, func() bool {
			claimed, _, err := s.ClaimDeliveries(t.Context(), 0, []router.Claim{{Queue: q, Max: 1 + rand.IntN(5), Lease: 3 * time.Millisecond}})
			require.NoError(t, err)
			for _, c := range claimed {
				event := byPosition[c.Entry.Position]
				got.begin(event.Subject())
				sent, dies := rand.IntN(4) > 0, rand.IntN(2) == 0
				got.end(event, sent)
				settlement := router.Settlement{Claimed: c, Verdict: router.Delivered}
				if !sent {
					settlement = router.Settlement{Claimed: c, Verdict: router.Retrying, Attempt: router.Attempt{Outcome: router.OutcomeReset}}
				}
				if dies {
					late = append(late, c)
					continue
				}
				_, _, err := s.SettleDeliveries(t.Context(), 0, []router.Settlement{settlement}, nil)
				require.NoError(t, err)
			}
			if len(late) > 0 && rand.IntN(3) == 0 {
				i := rand.IntN(len(late))
				_, _, err := s.SettleDeliveries(t.Context(), 0, []router.Settlement{{Claimed: late[i], Verdict: router.Retrying, Attempt: router.Attempt{Outcome: router.OutcomeReset}}}, nil)
				require.NoError(t, err)
				late = slices.Delete(late, i, i+1)
			}
			status, err := s.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.Backlog == 0
		}, "all is delivered")
		got.requireOrder(t, keys, each)
	})
}

// The events behind a retry are kept beyond the log's retention.
func TestWhatWaitsBehindAKeyIsCopiedBeforeTheLogIsTrimmed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.Retention = time.Second })
		sub := ordered(t, s, 2*time.Second)
		out := newSink()
		out.answer = func(one router.Sending) router.Outcome {
			if one.Event.ID() == "key-0" && one.Attempt == 1 {
				return router.OutcomeStatus
			}
			return router.OutcomeDelivered
		}
		start(t, s, out)
		for n := range 3 {
			appendOne(t, s, ofKey(t, "key", n))
		}
		eventually(t, func() bool {
			records, err := s.ReadLog(t.Context(), router.Position{}, 10, 0)
			require.NoError(t, err)
			_, err = s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			return len(records) == 0
		}, "the log is trimmed")
		eventually(t, func() bool { return out.count("ordered") == 3 }, "all are delivered")
		require.Equal(t, []string{"key-0", "key-1", "key-2"}, out.ids("ordered"))
		eventually(t, func() bool {
			status, err := s.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.Backlog == 0
		}, "the last one is settled, too")
	})
}

func TestAnOrderedHandlerIsCalledForOneEventOfAKeyAtATime(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		r, _ := start(t, s, newSink())
		got := newSuccesses()
		retry := router.Retry{Schedule: slices.Repeat([]router.Duration{router.Duration(time.Millisecond)}, 50)}
		_, err := r.Subscribe(t.Context(), "x.*", "in-order", func(_ context.Context, e router.Event) error {
			got.begin(e.Subject())
			fails := rand.IntN(3) == 0
			got.end(e, !fails)
			if fails {
				return errors.New("not this time")
			}
			return nil
		}, router.HandlerConfig{Ordered: true, Retry: &retry})
		require.NoError(t, err)
		const keys, each = 3, 10
		for n := range each {
			for k := range keys {
				appendOne(t, s, ofKey(t, fmt.Sprint("key", k), n))
			}
		}
		eventually(t, func() bool { return got.count() == keys*each }, "all are handled")
		got.requireOrder(t, keys, each)
		require.Equal(t, 1, got.most)
	})
}
