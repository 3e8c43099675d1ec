package redisstore_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// followed settles one delivery and returns what was leased along with that, up to most.
func followed(t *testing.T, s *redisstore.Store, one router.Settlement, most int) []router.Claimed {
	t.Helper()
	next := []router.Claim{{Queue: one.Claimed.Queue, Max: most, Lease: time.Minute}}
	settled, token, err := s.SettleDeliveries(t.Context(), one.Claimed.Entry.Position.Partition, []router.Settlement{one}, next)
	require.NoError(t, err)
	d, err := s.Definitions(t.Context(), 0)
	require.NoError(t, err)
	require.Equal(t, d.Tokens[one.Claimed.Entry.Position.Partition], token)
	require.Zero(t, settled[0].Lost)
	return settled[0].Claimed
}

// someQueued is a queue of which so many deliveries are under way, as many as may be, and as many wait.
func someQueued(t *testing.T, s *redisstore.Store, n int, change ...func(*router.Delivery)) (router.Subscription, []router.Claimed) {
	t.Helper()
	sub := create(t, s, "some", "x.*")
	sub.Delivery.MaxInFlight = n
	for _, f := range change {
		f(&sub.Delivery)
	}
	sub, err := s.ReplaceSubscription(t.Context(), sub)
	require.NoError(t, err)
	queued(t, s, sub, 2*n)
	claimed := claim(t, s, 0, sub, n)
	require.Len(t, claimed, n)
	return sub, claimed
}

func TestASettlementLeasesFreshDeliveriesInThePlaceOfWhatIsOver(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub, first := someQueued(t, s, 2)
		next := followed(t, s, router.Settlement{Claimed: first[0], Verdict: router.Delivered, Attempt: success(time.Now())}, 10)
		require.Len(t, next, 1, "no more are in flight than may be")
		require.Equal(t, 1, next[0].Attempt)
		require.Positive(t, next[0].Entry.Position.Compare(first[1].Entry.Position), "in order")
		require.Empty(t, followed(t, s, router.Settlement{Claimed: first[1], Verdict: router.Delivered, Attempt: success(time.Now())}, 0), "none where none is asked for")
		last := followed(t, s, router.Settlement{Claimed: next[0], Verdict: router.Delivered, Attempt: success(time.Now())}, 10)
		require.Len(t, last, 1)
		require.Empty(t, followed(t, s, router.Settlement{Claimed: last[0], Verdict: router.Delivered, Attempt: success(time.Now())}, 10))
		require.EqualValues(t, 4, statusOf(t, s, sub).Delivered)
	})
}

func TestASettlementLeasesNothingThatAClaimWouldNot(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		failed := func(c router.Claimed) router.Settlement {
			return router.Settlement{Claimed: c, Verdict: router.Retrying, After: time.Hour, Attempt: failure(time.Now()), Fault: true}
		}
		t.Run("of a paused subscription", func(t *testing.T) {
			s := open(t, addr)
			sub, claimed := someQueued(t, s, 2)
			require.NoError(t, s.PauseSubscription(t.Context(), sub.ID))
			require.Empty(t, followed(t, s, failed(claimed[0]), 10))
		})
		t.Run("while the breaker is open", func(t *testing.T) {
			s := open(t, addr)
			_, claimed := someQueued(t, s, 3, func(d *router.Delivery) {
				d.Breaker = router.Breaker{Failures: 2, Pause: router.Duration(time.Hour)}
			})
			require.Len(t, followed(t, s, failed(claimed[0]), 10), 1)
			require.Empty(t, followed(t, s, failed(claimed[1]), 10))
		})
		t.Run("without permits", func(t *testing.T) {
			s := open(t, addr)
			_, claimed := someQueued(t, s, 2, func(d *router.Delivery) {
				d.Rate = router.Rate{Limit: 2, Per: router.Duration(time.Hour)}
			})
			require.Empty(t, followed(t, s, failed(claimed[0]), 10))
		})
		t.Run("before what is due for another attempt", func(t *testing.T) {
			s := open(t, addr)
			_, claimed := someQueued(t, s, 2)
			require.Empty(t, followed(t, s, router.Settlement{Claimed: claimed[0], Unstarted: true}, 10))
		})
	})
}

func TestWhatASettlementLeasesKeepsItsEvent(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.LogMaxBytes = 1 })
		_, claimed := someQueued(t, s, 2)
		for range 3 {
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
		}
		next := followed(t, s, router.Settlement{Claimed: claimed[0], Verdict: router.Delivered, Attempt: success(time.Now())}, 1)
		require.Len(t, next, 1)
		for range 3 {
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
		}
		records, err := s.LoadEvents(t.Context(), 0, []router.Position{next[0].Entry.Position})
		require.NoError(t, err)
		require.NoError(t, records[0].Err)
	})
}

func TestABacklogIsDeliveredWithinItsLimitWithHardlyAnyClaims(t *testing.T) {
	const deliveries, inFlight = 400, 4
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "some", "x.*")
		sub.Delivery.MaxInFlight = inFlight
		sub, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		queued(t, s, sub, deliveries)
		var claims, settlements atomic.Int64
		interleave(s, func(script string, _ []any) error {
			switch script {
			case "claim":
				claims.Add(1)
			case "settle":
				settlements.Add(1)
			}
			return nil
		})
		endpoint := &flapping{got: map[string]bool{}}
		endpoint.up.Store(true)
		_, stop := start(t, s, endpoint)
		eventually(t, func() bool { return statusOf(t, s, sub).Delivered == deliveries }, "all arrive")
		stop()
		began, most, got := endpoint.record()
		require.Len(t, began, deliveries, "each once")
		require.Equal(t, deliveries, got)
		require.LessOrEqual(t, most, int64(inFlight))
		require.Less(t, 10*claims.Load(), settlements.Load())
	})
}
