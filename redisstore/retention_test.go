package redisstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestWhatAQueueNeedsIsCopiedBeforeTheLogIsTrimmed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.LogMaxBytes = 1 })
		sub := create(t, s, "slow", "x.*")
		sub.Delivery.MaxInFlight = 2
		sub.Delivery.Retry = router.Retry{Schedule: []router.Duration{router.Duration(50 * time.Millisecond), router.Duration(50 * time.Millisecond), router.Duration(50 * time.Millisecond)}}
		_, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)

		var up atomic.Bool
		out := newSink()
		out.answer = func(router.Sending) router.Outcome {
			if up.Load() {
				return router.OutcomeDelivered
			}
			return router.OutcomeRefused
		}
		hang := make(chan struct{})
		gate := newSink()
		gate.answer = func(one router.Sending) router.Outcome {
			<-hang
			attempt := out.Send(t.Context(), one)
			return attempt.Outcome
		}
		start(t, s, gate)
		const events = 300
		for i := range events {
			appendOne(t, s, event(t, fmt.Sprint(i), "x.y"))
		}
		routed := func() bool {
			status, err := s.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.Backlog == events
		}
		eventually(t, routed, "all are queued")
		trimmed := func() bool {
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			records, err := s.ReadLog(t.Context(), router.Position{}, 1000, 0)
			require.NoError(t, err)
			return len(records) < 150
		}
		eventually(t, trimmed, "the log is trimmed though a queue points at it")
		up.Store(true)
		close(hang)
		eventually(t, func() bool { return out.count("slow") == events }, "every event is delivered all the same")
		eventually(t, func() bool {
			return redistest.Client(t, addr).HLen(t.Context(), redisstore.Key(s, "copies")).Val() == 0
		}, "no copy is left behind")
		require.Zero(t, redistest.Client(t, addr).HLen(t.Context(), redisstore.Key(s, "holds")).Val())
	})
}

func TestTheLogIsNeverTrimmedPastWhatIsRouted(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.LogMaxBytes = 1 })
		for i := range 300 {
			appendOne(t, s, event(t, fmt.Sprint(i), "x.y"))
		}
		for range 5 {
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
		}
		records, err := s.ReadLog(t.Context(), router.Position{}, 1000, 0)
		require.NoError(t, err)
		require.Len(t, records, 300)
	})
}

func TestADeletedSubscriptionLeavesNothingBehind(t *testing.T) {
	const tried = 510 // one page of what a call removes, and a few
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "gone", "x.*")
		out := newSink()
		out.answer = func(router.Sending) router.Outcome { return router.OutcomeRefused }
		_, stop := start(t, s, out)
		var events []router.Event
		for i := range tried {
			events = append(events, event(t, fmt.Sprint(i), "x.y"))
		}
		for _, result := range s.Append(t.Context(), events) {
			require.NoError(t, result.Err)
		}
		eventually(t, func() bool {
			status, err := s.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.Backlog == tried && status.InFlight == 0 && status.Retrying == tried
		}, "all were tried once")
		stop()
		dropped, err := s.DeleteSubscription(t.Context(), sub.ID, 0)
		require.NoError(t, err)
		require.EqualValues(t, tried, dropped)
		eventually(t, func() bool {
			more, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			return !more
		}, "its queue is removed in steps")
		left := redistest.Client(t, addr).Keys(t.Context(), redisstore.Key(s, "*"+sub.ID)).Val()
		require.Empty(t, left)
	})
}

func TestOldDeadLettersAreRemoved(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.DeadLetterRetention = time.Millisecond })
		sub := create(t, s, "bad", "x.*")
		sub.Delivery.Retry = router.Retry{}
		_, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		out := newSink()
		out.answer = func(router.Sending) router.Outcome { return router.OutcomeStatus }
		_, stop := start(t, s, out)
		appendOne(t, s, event(t, "a", "x.y"))
		eventually(t, func() bool {
			status, err := s.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.Dead == 1
		}, "it becomes a dead letter")
		stop()
		eventually(t, func() bool {
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			letters, _, err := s.DeadLetters(t.Context(), router.DeadLetterFilter{}, "", 10)
			require.NoError(t, err)
			return len(letters) == 0
		}, "it goes")
		require.Zero(t, redistest.Client(t, addr).HLen(t.Context(), redisstore.Key(s, "copies")).Val())
		status, err := s.Status(t.Context())
		require.NoError(t, err)
		require.Zero(t, status.Dead)
		require.EqualValues(t, 1, status.Expired, "and is counted")
	})
}

func TestEntriesThatCannotBeRoutedAreSetAsideAndThePartitionGoesOn(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		namespace := redistest.Namespace(t)
		here := func(c *redisstore.Config) { c.Namespace = namespace }
		s := open(t, addr, here)
		c := redistest.Client(t, addr)
		good, spoilt := create(t, s, "good", "x.*"), create(t, s, "spoilt", "x.*")
		require.NoError(t, c.Set(t.Context(), redisstore.Key(s, "q:"+spoilt.ID), "not a list", 0).Err())
		require.NoError(t, c.Do(t.Context(), "XADD", redisstore.Key(s, "log"), "1-0", "e", "garbage").Err())
		require.NoError(t, c.Do(t.Context(), "XADD", redisstore.Key(s, "log"), "1-1", "other", "field").Err())
		out := newSink()
		start(t, s, out)
		appendOne(t, open(t, addr, here), event(t, "a", "x.y")) // by another replica: entries that no replica made stand in no tail
		eventually(t, func() bool { return out.count("good") == 1 }, "the rest is routed")
		letters, _, err := s.DeadLetters(t.Context(), router.DeadLetterFilter{}, "", 10)
		require.NoError(t, err)
		require.Len(t, letters, 3)
		reasons := map[string]int{}
		for _, l := range letters {
			reasons[l.Reason]++
		}
		require.Equal(t, map[string]int{"malformed": 2, "queue-unusable": 1}, reasons)
		_ = good
	})
}

func TestADisabledSubscriptionCountsWhatItDoesNotGet(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "off", "x.*")
		sub.Enabled = false
		_, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		out := newSink()
		start(t, s, out)
		appendOne(t, s, event(t, "a", "x.y"))
		eventually(t, func() bool {
			status, err := s.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.NotQueued == 1
		}, "it is counted")
		require.Zero(t, out.count("off"))
	})
}

func TestWhatAnOlderBatchQueuesForADeletedSubscriptionIsRemovedToo(t *testing.T) {
	for kind, schedule := range map[router.SinkKind]string{router.WebhookSink: "ready", router.HandlerSink: "handlers", router.PullSink: "pulls"} {
		t.Run(string(kind), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, addr string) {
				removesWhatAnOlderBatchQueues(t, open(t, addr), redistest.Client(t, addr), kind, schedule)
			})
		})
	}
}

func removesWhatAnOlderBatchQueues(t *testing.T, s *redisstore.Store, c *redis.Client, kind router.SinkKind, schedule string) {
	t.Helper()
	sub := create(t, s, "gone", "x.*")
	old, err := s.Definitions(t.Context(), 0)
	require.NoError(t, err)
	p := appendOne(t, s, event(t, "a", "x.y"))
	_, err = s.DeleteSubscription(t.Context(), sub.ID, 0)
	require.NoError(t, err)
	_, err = s.Housekeep(t.Context(), 0)
	require.NoError(t, err)
	applied, err := s.Apply(t.Context(), router.Batch{
		To: router.Cursor{Position: p}, Token: old.Tokens[0], Events: 1,
		Enqueues: []router.Enqueue{{Queue: router.Queue{Subscription: sub.ID, Kind: kind, Enabled: true, MaxInFlight: 4}, Entries: []router.Position{p}}},
	})
	require.NoError(t, err)
	require.Equal(t, router.Done, applied.Status)
	_, err = s.Housekeep(t.Context(), 0)
	require.NoError(t, err)
	require.Empty(t, c.Keys(t.Context(), redisstore.Key(s, "*"+sub.ID)).Val())
	require.Zero(t, c.ZCard(t.Context(), redisstore.Key(s, schedule)).Val())
	require.Zero(t, c.HLen(t.Context(), redisstore.Key(s, "gone")).Val())
}
