package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// inLanes queues events of keys for an ordered subscription, one after another, and returns the ids of their deliveries.
func inLanes(t *testing.T, s *redisstore.Store, sub router.Subscription, keys ...string) (ids []string, positions []router.Position) {
	t.Helper()
	d, err := s.Definitions(t.Context(), 0)
	require.NoError(t, err)
	b := router.Batch{Token: d.Tokens[0], Events: len(keys), Enqueues: []router.Enqueue{{Queue: sub.Queue()}}}
	for n, key := range keys {
		e := ofKey(t, key, n)
		p := appendOne(t, s, e)
		b.To.Position = p
		b.Enqueues[0].Entries, b.Enqueues[0].Lanes = append(b.Enqueues[0].Entries, p), append(b.Enqueues[0].Lanes, e.Lane())
		ids, positions = append(ids, router.DeliveryID(sub.ID, router.Entry{Position: p})), append(positions, p)
	}
	applied, err := s.Apply(t.Context(), b)
	require.NoError(t, err)
	require.Equal(t, router.Done, applied.Status)
	return ids, positions
}

func namesOf(sub router.Subscription, claimed []router.Claimed) (ids []string) {
	for _, c := range claimed {
		ids = append(ids, router.DeliveryID(sub.ID, c.Entry))
	}
	return ids
}

func TestDeliveriesOfAnOrderedSubscriptionAreSeenWhereverTheyStandInTheirLanes(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := ordered(t, s)
		ids, positions := inLanes(t, s, sub, "k", "k", "j", "k")
		status := func(i int) router.DeliveryStatus {
			d, err := s.Delivery(t.Context(), ids[i])
			require.NoError(t, err)
			require.Equal(t, ids[i], d.ID)
			return d.Status
		}
		for i := range ids {
			require.Equal(t, router.DeliveryPending, status(i), "in the list of fresh ones")
		}
		claimed := claim(t, s, 0, sub, 10)
		require.Equal(t, []string{ids[0], ids[2]}, namesOf(sub, claimed))
		for i := range ids {
			require.Equal(t, router.DeliveryPending, status(i), "under way, or behind another one of its lane")
		}
		require.Len(t, allDeliveries(t, s, router.DeliveryFilter{}, 1), 4)
		require.Len(t, allDeliveries(t, s, router.DeliveryFilter{Event: &positions[3]}, 10), 1)

		at := time.UnixMilli(1_700_000_000_000).UTC()
		settle(t, s, router.Settlement{Claimed: claimed[0], Verdict: router.Retrying, After: time.Hour, Attempt: failure(at)},
			router.Settlement{Claimed: claimed[1], Verdict: router.Delivered, Attempt: success(at)})
		require.Equal(t, router.DeliveryDelivered, status(2))
		require.Empty(t, claim(t, s, 0, sub, 10))
		_, err := s.HastenDelivery(t.Context(), ids[0])
		require.NoError(t, err)
		again := claim(t, s, 0, sub, 10)
		require.Equal(t, ids[:1], namesOf(sub, again))
		settle(t, s, router.Settlement{Claimed: again[0], Verdict: router.Dead, Attempt: failure(at)})
		require.Equal(t, router.DeliveryDead, status(0))
	})
}

func TestWhatIsPutBackIntoAnOrderedQueueWaitsForItsLane(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := ordered(t, s)
		ids, positions := inLanes(t, s, sub, "k", "k", "k")
		at := time.UnixMilli(1_700_000_000_000).UTC()
		first := claim(t, s, 0, sub, 10)
		settle(t, s, router.Settlement{Claimed: first[0], Verdict: router.Dead, Attempt: failure(at)})
		second := claim(t, s, 0, sub, 10)
		require.Equal(t, ids[1:2], namesOf(sub, second))

		o := move(t, s, router.RedriveOperation, router.DeadLetterSelection{})
		require.Equal(t, map[string]int64{"redriven": 1}, o.Progress)
		page := router.ReplayPage{Operation: "op_" + strings.Repeat("0", 26), Queue: sub.Queue(), Suffix: "~r1", Events: positions[:1], Lanes: []string{ofKey(t, "k", 0).Lane()}}
		require.NoError(t, s.Replay(t.Context(), 0, page))
		require.Empty(t, claim(t, s, 0, sub, 10), "one of the lane is under way")
		d, err := s.Delivery(t.Context(), ids[0])
		require.NoError(t, err)
		require.Equal(t, router.DeliveryRetrying, d.Status)
		require.Equal(t, []router.Attempt{failure(at)}, d.Attempts)

		under := second
		for _, want := range []string{ids[0], router.DeliveryID(sub.ID, router.Entry{Position: positions[0], Suffix: "~r1"}), ids[2]} {
			settle(t, s, router.Settlement{Claimed: under[0], Verdict: router.Delivered, Attempt: success(at)})
			under = claim(t, s, 0, sub, 10)
			require.Equal(t, []string{want}, namesOf(sub, under), "in the order of the log")
		}
		settle(t, s, router.Settlement{Claimed: under[0], Verdict: router.Delivered, Attempt: success(at)})
		c := redistest.Client(t, addr)
		for _, key := range []string{"o:", "w:", "a:", "r:", "l:"} {
			require.Zero(t, c.Exists(t.Context(), redisstore.Key(s, key+sub.ID)).Val(), "nothing is left: %s", key)
		}
	})
}

func TestWhatIsPutBackIntoAnOrderedQueueIsDueWhereItsLaneIsFree(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := ordered(t, s)
		ids, _ := inLanes(t, s, sub, "k")
		settle(t, s, router.Settlement{Claimed: claim(t, s, 0, sub, 1)[0], Verdict: router.Dead, Attempt: failure(time.UnixMilli(1))})
		move(t, s, router.RedriveOperation, router.DeadLetterSelection{})
		require.Equal(t, ids, namesOf(sub, claim(t, s, 0, sub, 10)))
	})
}
