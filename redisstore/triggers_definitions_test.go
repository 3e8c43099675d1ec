package redisstore_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

const pair = `{"name": "pair", "key": ["data.order"], "when": {"all": [{"event": {"types": ["a"]}}, {"event": {"types": ["b"]}}], "within": "1h"}}`

func draft(t testing.TB, document string) router.TriggerDraft {
	t.Helper()
	d, err := router.DecodeTrigger([]byte(document), router.Rules{})
	require.NoError(t, err)
	return d
}

func TestTriggersAreDefinedBesideSubscriptionsUnderOneVersion(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "pair", "x") // names are unique per kind
		made, err := s.CreateTrigger(t.Context(), draft(t, pair).Create())
		require.NoError(t, err)
		require.Equal(t, sub.Version+1, made.Version)
		_, err = s.CreateTrigger(t.Context(), draft(t, pair).Create())
		require.Equal(t, router.Conflict, router.ErrorCode(err))

		found, err := s.Trigger(t.Context(), "pair")
		require.NoError(t, err)
		require.Equal(t, made, found)
		found, err = s.Trigger(t.Context(), made.ID)
		require.NoError(t, err)
		require.Equal(t, made, found)
		_, err = s.Trigger(t.Context(), "nobody")
		require.Equal(t, router.NotFound, router.ErrorCode(err))
		all, err := s.Triggers(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []router.Trigger{made}, all)

		d, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, []router.Trigger{made}, d.Triggers)
		require.Len(t, d.Subscriptions, 1)

		made.Title = "changed"
		changed, err := s.ReplaceTrigger(t.Context(), made)
		require.NoError(t, err)
		_, err = s.ReplaceTrigger(t.Context(), made)
		require.Equal(t, router.Precondition, router.ErrorCode(err))
		_, err = s.DeleteSubscription(t.Context(), sub.ID, 0)
		require.NoError(t, err)
		_, err = s.DeleteTrigger(t.Context(), made.ID, changed.Version)
		require.NoError(t, err)
		since, err := s.Definitions(t.Context(), d.Version)
		require.NoError(t, err)
		require.Equal(t, []string{made.ID}, since.DeletedTriggers)
		require.Equal(t, []string{sub.ID}, since.Deleted)
		require.Empty(t, since.Triggers)
		require.NotContains(t, redistest.Client(t, addr).HGetAll(t.Context(), redisstore.Key(s, "gone")).Val(), made.ID, "a trigger has no queues")
	})
}

// What is created on one replica holds for what is published on another, each time.
func TestATriggerHoldsForEveryEventAcceptedAfterItWasCreatedOnEveryReplica(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions, " partitions"), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, addr string) { holdsAtOnce(t, addr, partitions) })
		})
	}
}

func holdsAtOnce(t *testing.T, addr string, partitions int) {
	t.Helper()
	namespace := redistest.Namespace(t)
	here := func(c *redisstore.Config) { c.Namespace, c.Partitions = namespace, partitions }
	a, b := open(t, addr, here), open(t, addr, here)
	start(t, a, newSink())
	start(t, b, newSink())
	const triggers = 60
	for i := range triggers {
		one := fmt.Sprintf(`{"name": "t%d", "when": {"all": [{"event": {"types": ["a.t%d"]}}, {"event": {"types": ["b.t%d"]}}]}}`, i, i, i)
		_, err := a.CreateTrigger(t.Context(), draft(t, one).Create())
		require.NoError(t, err)
		appendOne(t, b, event(t, fmt.Sprint("a", i), fmt.Sprintf("a.t%d", i)))
		appendOne(t, b, event(t, fmt.Sprint("b", i), fmt.Sprintf("b.t%d", i)))
	}
	eventually(t, func() bool { return len(firingsIn(t, a)) >= triggers }, "every one fires")
	require.Len(t, firingsIn(t, a), triggers, "once")
	for i := range triggers {
		made, err := a.Trigger(t.Context(), fmt.Sprint("t", i))
		require.NoError(t, err)
		status, err := a.TriggerStatus(t.Context(), made)
		require.NoError(t, err)
		require.Equal(t, router.TriggerStatus{Firings: 1}, status)
	}
}
