package redisstore_test

import (
	"crypto/rand"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// BenchmarkQueue measures what a queue with a backlog costs Redis, by how many deliveries are settled, and leased in their place, at once, while 64 are in flight.
func BenchmarkQueue(b *testing.B) {
	for _, n := range []int{4, 16, 32, 64} {
		b.Run(fmt.Sprint(n, " at once"), func(b *testing.B) {
			const inFlight, turns = 64, 40
			server := redistest.Start(b)
			s := open(b, server.Addr())
			sub := create(b, s, "queue", "x.*")
			sub.Delivery = router.DefaultDelivery()
			sub.Delivery.MaxInFlight = inFlight
			l := &lab{raw: redistest.Client(b, server.Addr())}
			least := 1e9
			var claimed []router.Claimed
			for b.Loop() {
				enqueue(b, s, sub, turns*n+inFlight)
				if len(claimed) == 0 {
					var err error
					claimed, _, err = s.ClaimDeliveries(b.Context(), 0, []router.Claim{{Queue: sub.Queue(), Max: inFlight, Lease: time.Minute}})
					require.NoError(b, err)
				}
				before := cpuMicros(b, l)
				for range turns {
					arrived := make([]router.Settlement, n)
					for i, c := range claimed[:n] {
						arrived[i] = router.Settlement{Claimed: c, Verdict: router.Delivered, Attempt: router.Attempt{At: time.Now(), StatusCode: 204}}
					}
					claimed = claimed[n:]
					settled, _, err := s.SettleDeliveries(b.Context(), 0, arrived, []router.Claim{{Queue: sub.Queue(), Max: n, Lease: time.Minute}})
					require.NoError(b, err)
					require.Len(b, settled[0].Claimed, n)
					claimed = append(claimed, settled[0].Claimed...)
				}
				least = min(least, (cpuMicros(b, l)-before)/turns)
			}
			b.ReportMetric(least, "redis-µs/turn")
			b.ReportMetric(least/float64(n), "redis-µs/delivery")
		})
	}
}

// enqueue queues deliveries of so many new events.
func enqueue(b *testing.B, s *redisstore.Store, sub router.Subscription, n int) {
	b.Helper()
	d, err := s.Definitions(b.Context(), 0)
	require.NoError(b, err)
	for n > 0 {
		events := make([]router.Event, min(n, 500))
		for i := range events {
			events[i] = event(b, rand.Text(), "x.y")
		}
		n -= len(events)
		e := router.Enqueue{Queue: sub.Queue()}
		for _, stored := range s.Append(b.Context(), events) {
			require.NoError(b, stored.Err)
			e.Entries = append(e.Entries, stored.Position)
		}
		slices.SortFunc(e.Entries, router.Position.Compare)
		lease, err := s.TakeLease(b.Context(), 0, "bench", time.Minute, false)
		require.NoError(b, err)
		applied, err := s.Apply(b.Context(), router.Batch{
			From: lease.Cursor, To: router.Cursor{Position: e.Entries[len(e.Entries)-1]}, Token: d.Tokens[0], Events: len(events), Enqueues: []router.Enqueue{e},
		})
		require.NoError(b, err)
		require.Equal(b, router.Done, applied.Status)
	}
}
