package redisstore_test

import (
	"fmt"
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

// A real Cluster refuses every script with a key in another slot, and every key that is not declared, so what passes here has its hash tags right.
func TestOnAClusterWithSeveralPartitionsEverythingWorksAndLimitsHold(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	config := func(c *redisstore.Config) {
		c.URL, c.Namespace = "redis+cluster://"+strings.Join(cluster.Addrs(), ","), "cl"
		c.Retention, c.Partitions = time.Second, 5
	}
	a, b := open(t, "", config), open(t, "", config)
	require.Equal(t, 5, a.Partitions())

	sub := create(t, a, "all", "x.*")
	sub.Delivery.MaxInFlight = 3
	sub.Delivery.Retry = router.Retry{Schedule: []router.Duration{router.Duration(20 * time.Millisecond), router.Duration(20 * time.Millisecond)}}
	_, err := a.ReplaceSubscription(t.Context(), sub)
	require.NoError(t, err)

	out := newSink()
	var flying, most atomic.Int64
	tried := sync.Map{}
	out.answer = func(one router.Sending) router.Outcome {
		now := flying.Add(1)
		defer flying.Add(-1)
		for {
			old := most.Load()
			if now <= old || most.CompareAndSwap(old, now) {
				break
			}
		}
		if one.Event.ID() == "hopeless" {
			return router.OutcomeStatus
		}
		if _, again := tried.LoadOrStore(one.Event.ID(), true); !again && strings.HasSuffix(one.Event.ID(), "7") {
			return router.OutcomeReset
		}
		return router.OutcomeDelivered
	}
	start(t, a, out)
	start(t, b, out)

	const events = 400
	perPartition := map[int]int{}
	for i := range events {
		p := appendOne(t, a, event(t, fmt.Sprintf("e%d", i), "x.y"))
		perPartition[p.Partition]++
	}
	appendOne(t, b, event(t, "hopeless", "x.y"))
	require.Len(t, perPartition, 5, "the events spread over all partitions")
	eventually(t, func() bool { return out.count("all") == events }, "every event arrives")
	eventually(t, func() bool {
		letters, _, err := a.DeadLetters(t.Context(), router.DeadLetterFilter{Subscription: sub.ID}, "", 10)
		require.NoError(t, err)
		return len(letters) == 1
	}, "what can't be delivered becomes a dead letter")
	require.LessOrEqual(t, most.Load(), int64(3), "the limit holds over partitions and replicas")

	status, err := b.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, status.Replicas, 2)
	owners := map[string]int{}
	for _, p := range status.Partitions {
		owners[p.Owner]++
	}
	require.NotEmpty(t, owners)

	dropped, err := a.DeleteSubscription(t.Context(), sub.ID, 0)
	require.NoError(t, err)
	require.Zero(t, dropped)
	for p := range 5 {
		eventually(t, func() bool {
			more, err := a.Housekeep(t.Context(), p)
			require.NoError(t, err)
			return !more
		}, "housekeeping comes to an end")
	}
}
