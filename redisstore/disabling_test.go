package redisstore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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

func TestTheWaitThatAnEndpointAsksForReachesTheQueue(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "busy", "x.*")
		sub.Delivery.Retry = router.Retry{Schedule: []router.Duration{router.Duration(time.Millisecond), router.Duration(time.Hour)}}
		_, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		out := newSink()
		out.answer, out.wait = func(router.Sending) router.Outcome { return router.OutcomeStatus }, time.Minute
		start(t, s, out)
		before := time.Now()
		appendOne(t, s, event(t, "a", "x.y"))
		c := redistest.Client(t, addr)
		var due []redis.Z
		eventually(t, func() bool {
			due = c.ZRangeWithScores(t.Context(), redisstore.Key(s, "r:"+sub.ID), 0, -1).Val()
			return len(due) == 1
		}, "it waits for another attempt")
		at := time.UnixMilli(int64(due[0].Score))
		require.GreaterOrEqual(t, at.Sub(before), 59*time.Second)
		require.LessOrEqual(t, at.Sub(before), 90*time.Second)
	})
}

// Many deliveries, three replicas: the endpoint says to all of them that it is gone.
func TestA410DisablesTheSubscriptionAndSaysSoOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		own := redistest.Namespace(t)
		namespace := func(c *redisstore.Config) { c.Namespace = own }
		s := open(t, addr, namespace)
		sub := create(t, s, "gone", "x.*")
		create(t, s, "operator", router.DisabledType)
		out := newSink()
		var said sync.Map
		out.answer = func(one router.Sending) router.Outcome {
			if one.Subscription.Name == "gone" {
				return router.OutcomeGone
			}
			said.Store(one.Event.ID(), one.Event)
			return router.OutcomeDelivered
		}
		for i := range 30 {
			appendOne(t, s, event(t, fmt.Sprint(i), "x.y"))
		}
		for range 3 {
			start(t, open(t, addr, namespace), out)
		}
		eventually(t, func() bool { return out.count("operator") > 0 }, "it is said")
		now, err := s.Subscription(t.Context(), "gone")
		require.NoError(t, err)
		require.False(t, now.Enabled)
		appendOne(t, s, event(t, "later", "x.y"))
		eventually(t, func() bool {
			status, err := s.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.NotQueued > 0 && status.InFlight == 0
		}, "nothing is queued any more")
		require.Equal(t, 1, out.count("operator"))
		said.Range(func(_, e any) bool {
			notice, ok := e.(router.Event)
			require.True(t, ok)
			require.Equal(t, "/streamlatch/subscriptions/gone", notice.Source())
			require.Equal(t, sub.ID, notice.Subject())
			var data map[string]string
			require.NoError(t, json.Unmarshal([]byte(notice.DataText()), &data))
			require.Equal(t, map[string]string{"subscription": sub.ID, "name": "gone", "reason": "gone"}, data)
			return true
		})
		require.Equal(t, 1, countEvents(t, s, router.DisabledType))
		status, err := s.SubscriptionStatus(t.Context(), sub.ID)
		require.NoError(t, err)
		require.Equal(t, router.StoppedGone, status.Paused.Reason, "nothing more is sent")
		letters, _, err := s.DeadLetters(t.Context(), router.DeadLetterFilter{Reason: "gone"}, "", 100)
		require.NoError(t, err)
		require.NotEmpty(t, letters)
	})
}

// countEvents counts what the log holds of a type.
func countEvents(t testing.TB, s *redisstore.Store, typ string) (n int) {
	t.Helper()
	records, err := s.ReadLog(context.Background(), router.Position{}, 1000, 0)
	require.NoError(t, err)
	for _, r := range records {
		if r.Event.Type() == typ {
			n++
		}
	}
	return n
}

func notice(t testing.TB, id string) router.Event {
	t.Helper()
	return event(t, id, router.DisabledType)
}

func TestAnAttemptUnderAnOlderDefinitionDisablesNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		old := create(t, s, "moved", "x.*")
		moved := old
		moved.Sink.URL = "http://127.0.0.1:2/"
		_, err := s.ReplaceSubscription(t.Context(), moved)
		require.NoError(t, err)
		err = s.DisableSubscription(t.Context(), old.ID, old.Version, router.StoppedGone, notice(t, "n"))
		require.Equal(t, router.Precondition, router.ErrorCode(err))
		now, err := s.Subscription(t.Context(), "moved")
		require.NoError(t, err)
		require.True(t, now.Enabled)
		require.Zero(t, countEvents(t, s, router.DisabledType))
		err = s.DisableSubscription(t.Context(), "sub_"+strings.Repeat("7", 26), 1, router.StoppedGone, notice(t, "n"))
		require.Equal(t, router.NotFound, router.ErrorCode(err))
	})
}

// dying fails everything after a script, as for a replica that is killed there.
type dying struct {
	script string // its hash
	dead   atomic.Bool
}

func (d *dying) DialHook(next redis.DialHook) redis.DialHook { return next }

func (d *dying) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (d *dying) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if d.dead.Load() {
			cmd.SetErr(errors.New("killed"))
			return cmd.Err()
		}
		err := next(ctx, cmd)
		if len(cmd.Args()) > 1 && cmd.Args()[1] == d.script {
			d.dead.Store(true)
		}
		return err
	}
}

func TestAReplicaThatDiesRightAfterDisablingLeavesTheNoticeToTheNext(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		own := redistest.Namespace(t)
		namespace := func(c *redisstore.Config) { c.Namespace = own }
		doomed, next := open(t, addr, namespace), open(t, addr, namespace)
		sub := create(t, next, "gone", "x.*")
		for hash, name := range redisstore.ScriptNames(doomed) {
			if name == "define" {
				redisstore.AddHook(doomed, &dying{script: hash})
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		require.Error(t, doomed.DisableSubscription(ctx, sub.ID, sub.Version, router.StoppedGone, notice(t, "n")))
		require.Zero(t, countEvents(t, next, router.DisabledType))
		for range 3 {
			_, err := next.Housekeep(t.Context(), 0)
			require.NoError(t, err)
		}
		require.Equal(t, 1, countEvents(t, next, router.DisabledType))
		now, err := next.Subscription(t.Context(), "gone")
		require.NoError(t, err)
		require.False(t, now.Enabled)
	})
}
