package redisstore_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestAPausedSubscriptionQueuesAndSendsNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		own := redistest.Namespace(t)
		namespace := func(c *redisstore.Config) { c.Namespace = own }
		a, b := open(t, addr, namespace), open(t, addr, namespace)
		sub := create(t, a, "paused", "x.*")
		create(t, a, "other", "x.*")
		out := newSink()
		var failing atomic.Bool
		failing.Store(true)
		out.answer = func(one router.Sending) router.Outcome {
			if one.Subscription.Name == "paused" && failing.Load() {
				return router.OutcomeReset
			}
			return router.OutcomeDelivered
		}
		start(t, a, out)
		start(t, b, out)
		first := appendOne(t, a, event(t, "tried", "x.y"))
		eventually(t, func() bool {
			status, err := a.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.Retrying == 1
		}, "one delivery waits for another attempt")

		require.NoError(t, a.PauseSubscription(t.Context(), sub.ID))
		require.NoError(t, b.PauseSubscription(t.Context(), sub.ID), "twice is as good as once")
		failing.Store(false)
		for i := range 20 {
			appendOne(t, b, event(t, fmt.Sprint(i), "x.y"))
		}
		eventually(t, func() bool { return out.count("other") == 21 }, "the other one gets everything")
		status, err := b.SubscriptionStatus(t.Context(), sub.ID)
		require.NoError(t, err)
		require.EqualValues(t, 21, status.Backlog)
		require.Equal(t, first.AcceptedAt(), status.OldestPending, "how old its backlog is")
		require.Equal(t, router.StoppedByOperator, status.Paused.Reason)
		require.WithinDuration(t, time.Now(), status.Paused.Since, time.Minute)
		require.Zero(t, out.count("paused"))
		c := redistest.Client(t, addr)
		require.NotContains(t, c.ZRange(t.Context(), redisstore.Key(a, "ready"), 0, -1).Val(), sub.ID, "it is not in the ready set")

		require.NoError(t, b.ResumeSubscription(t.Context(), sub.ID))
		eventually(t, func() bool { return out.count("paused") == 20 }, "what was queued is sent")
		status, err = b.SubscriptionStatus(t.Context(), sub.ID)
		require.NoError(t, err)
		require.Nil(t, status.Paused)
		require.EqualValues(t, 1, status.Retrying, "the retry waits for its time")
		require.NoError(t, b.ResumeSubscription(t.Context(), sub.ID))
	})
}

// Events that only a paused queue needs outlive the log.
func TestWhatAPausedQueueHoldsIsCopiedBeforeTheLogIsTrimmed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.Retention = time.Second })
		sub := create(t, s, "paused", "x.*")
		require.NoError(t, s.PauseSubscription(t.Context(), sub.ID))
		out := newSink()
		start(t, s, out)
		p := appendOne(t, s, event(t, "a", "x.y"))
		eventually(t, func() bool {
			records, err := s.ReadLog(t.Context(), router.Position{}, 10, 0)
			require.NoError(t, err)
			_, err = s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			return len(records) == 0
		}, "the log is trimmed")
		found, err := s.LoadEvents(t.Context(), 0, []router.Position{p})
		require.NoError(t, err)
		require.Equal(t, event(t, "a", "x.y"), found[0].Event)
		require.NoError(t, s.ResumeSubscription(t.Context(), sub.ID))
		eventually(t, func() bool { return out.count("paused") == 1 }, "it is delivered")
	})
}

func TestEnablingEndsAPauseThatCameWithDisablingAndNoOther(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		paused := func(ref string) *router.Pause {
			sub, err := s.Subscription(t.Context(), ref)
			require.NoError(t, err)
			status, err := s.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.Paused
		}
		enable := func(ref string) {
			sub, err := s.Subscription(t.Context(), ref)
			require.NoError(t, err)
			sub.Enabled = true
			_, err = s.ReplaceSubscription(t.Context(), sub)
			require.NoError(t, err)
		}
		sub := create(t, s, "gone", "x.*")
		require.NoError(t, s.DisableSubscription(t.Context(), sub.ID, sub.Version, router.StoppedGone, notice(t, "a")))
		require.Equal(t, router.StoppedGone, paused("gone").Reason, "its backlog stays")
		enable("gone")
		require.Nil(t, paused("gone"))

		sub, err := s.Subscription(t.Context(), "gone")
		require.NoError(t, err)
		require.NoError(t, s.PauseSubscription(t.Context(), sub.ID))
		require.NoError(t, s.DisableSubscription(t.Context(), sub.ID, sub.Version, router.StoppedGone, notice(t, "b")))
		require.Equal(t, router.StoppedByOperator, paused("gone").Reason)
		enable("gone")
		require.Equal(t, router.StoppedByOperator, paused("gone").Reason, "who asked for it has not taken it back")
	})
}

func TestPausingOrResumingWhatThereIsNotIsRefused(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "short", "x.*")
		_, err := s.DeleteSubscription(t.Context(), sub.ID, 0)
		require.NoError(t, err)
		require.Equal(t, router.NotFound, router.ErrorCode(s.PauseSubscription(t.Context(), sub.ID)))
		require.Equal(t, router.NotFound, router.ErrorCode(s.ResumeSubscription(t.Context(), sub.ID)))
	})
}

// between calls f once, before the first ZSCAN of a key.
type between struct {
	key  string
	once sync.Once
	f    func()
}

func (b *between) DialHook(next redis.DialHook) redis.DialHook { return next }

func (b *between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (b *between) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "zscan" && cmd.Args()[1] == b.key {
			b.once.Do(b.f)
		}
		return next(ctx, cmd)
	}
}

// Housekeeping has looked through the queues in the schedule and comes to those that are paused, when one of these is resumed.
func TestAQueueThatIsResumedWhileTheLogIsTrimmedLosesNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		own := redistest.Namespace(t)
		config := func(c *redisstore.Config) { c.Namespace, c.Retention = own, time.Second }
		s, other := open(t, addr, config), open(t, addr, config)
		sub := create(t, s, "paused", "x.*")
		q := router.Queue{Subscription: sub.ID, Kind: router.WebhookSink, Enabled: true, MaxInFlight: 1}
		require.NoError(t, s.PauseSubscription(t.Context(), sub.ID))
		p := appendOne(t, s, event(t, "a", "x.y"))
		enqueueAll(t, s, q)
		redisstore.AddHook(s, &between{key: redisstore.Key(s, "handlers"), f: func() {
			require.NoError(t, other.ResumeSubscription(context.Background(), sub.ID))
		}})
		eventually(t, func() bool {
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			records, err := s.ReadLog(t.Context(), router.Position{}, 10, 0)
			require.NoError(t, err)
			return len(records) == 0
		}, "the log is trimmed")
		found, err := s.LoadEvents(t.Context(), 0, []router.Position{p})
		require.NoError(t, err)
		require.Equal(t, event(t, "a", "x.y"), found[0].Event)
	})
}
