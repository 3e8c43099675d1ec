package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// flapping is an endpoint that is down until it is up, and records when attempts begin and how many are under way.
type flapping struct {
	up     atomic.Bool
	flying atomic.Int64
	mu     sync.Mutex
	began  []time.Time
	most   int64 // under way at a time
	got    map[string]bool
}

func (f *flapping) Send(_ context.Context, s router.Sending) router.Attempt {
	now := time.Now()
	flying := f.flying.Add(1)
	defer f.flying.Add(-1)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.began, f.most = append(f.began, now), max(f.most, flying)
	if !f.up.Load() {
		return router.Attempt{At: now, Outcome: router.OutcomeRefused, Error: "nobody listens"}
	}
	f.got[s.Event.ID()] = true
	return router.Attempt{At: now, Outcome: router.OutcomeDelivered}
}

// forget begins a new record.
func (f *flapping) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.began, f.most = nil, 0
}

func (f *flapping) record() (began []time.Time, most int64, got int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.began), f.most, len(f.got)
}

// guarded makes a subscription with a breaker and many retries.
func guarded(t testing.TB, s *redisstore.Store, b router.Breaker) router.Subscription {
	t.Helper()
	sub := create(t, s, "guarded", "x.*")
	sub.Delivery.Breaker = b
	sub.Delivery.Retry = router.Retry{Schedule: slices.Repeat([]router.Duration{router.Duration(time.Millisecond)}, 50)}
	sub, err := s.ReplaceSubscription(context.Background(), sub)
	require.NoError(t, err)
	return sub
}

func breakerOf(t testing.TB, s *redisstore.Store, id string) router.BreakerStatus {
	t.Helper()
	status, err := s.SubscriptionStatus(context.Background(), id)
	require.NoError(t, err)
	return status.Breaker
}

func TestABreakerOpensProbesOneAtATimeAndClosesOnSuccess(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, addr string) {
				t.Parallel() // it waits
				own := redistest.Namespace(t)
				config := func(c *redisstore.Config) { c.Namespace, c.Partitions = own, partitions }
				s := open(t, addr, config)
				const pause = 100 * time.Millisecond
				sub := guarded(t, s, router.Breaker{Failures: 5, Pause: router.Duration(pause)})
				endpoint := &flapping{got: map[string]bool{}}
				for range 3 {
					start(t, open(t, addr, config), endpoint)
				}
				const events = 40
				for i := range events {
					appendOne(t, s, event(t, fmt.Sprint(i), "x.y"))
				}
				eventually(t, func() bool { return !breakerOf(t, s, sub.ID).NextProbe.IsZero() }, "it opens")
				eventually(t, func() bool {
					status, err := s.SubscriptionStatus(t.Context(), sub.ID)
					require.NoError(t, err)
					return status.InFlight == 0 || status.Breaker.Probing
				}, "what was under way is over")
				endpoint.forget()
				eventually(t, func() bool { began, _, _ := endpoint.record(); return len(began) >= 3 }, "it probes")
				began, most, _ := endpoint.record()
				require.EqualValues(t, 1, most, "one probe at a time")
				require.GreaterOrEqual(t, began[2].Sub(began[1]), pause, "with pauses between them")
				b := breakerOf(t, s, sub.ID)
				require.GreaterOrEqual(t, b.Failures, int64(5))
				require.WithinDuration(t, time.Now(), b.FailingSince, time.Minute)

				endpoint.up.Store(true)
				eventually(t, func() bool { _, _, got := endpoint.record(); return got == events }, "a success closes it, and all arrive")
				require.Equal(t, router.BreakerStatus{}, breakerOf(t, s, sub.ID))
			})
		})
	}
}

func TestResumingClosesTheBreaker(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, addr string) {
				s := open(t, addr, func(c *redisstore.Config) { c.Partitions = partitions })
				sub := guarded(t, s, router.Breaker{Failures: 5, Pause: router.Duration(time.Hour)}) // what is under way when it opens does not open it again
				endpoint := &flapping{got: map[string]bool{}}
				start(t, s, endpoint)
				for i := range 5 {
					appendOne(t, s, event(t, fmt.Sprint(i), "x.y"))
				}
				eventually(t, func() bool { return !breakerOf(t, s, sub.ID).NextProbe.IsZero() }, "it opens")
				endpoint.up.Store(true)
				require.NoError(t, s.ResumeSubscription(t.Context(), sub.ID))
				eventually(t, func() bool { _, _, got := endpoint.record(); return got == 5 }, "nobody waits an hour")
			})
		})
	}
}

// An endpoint that refuses some events and takes others is not down.
func TestOneSuccessAmongFailuresKeepsTheBreakerClosed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := guarded(t, s, router.Breaker{Failures: 2, Pause: router.Duration(time.Hour)})
		sub.Delivery.MaxInFlight, sub.Delivery.Retry = 1, router.Retry{}
		_, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		out := newSink()
		out.answer = func(one router.Sending) router.Outcome {
			if len(one.Event.ID())%2 == 0 {
				return router.OutcomeStatus
			}
			return router.OutcomeDelivered
		}
		start(t, s, out)
		for _, id := range []string{"bb", "a", "dd", "c", "ff", "e"} {
			appendOne(t, s, event(t, id, "x.y"))
		}
		eventually(t, func() bool { return out.count("guarded") == 3 }, "all that can be delivered is")
		require.Equal(t, []string{"a", "c", "e"}, out.ids("guarded"))
	})
}

func TestAnEndpointThatFailsForTooLongHasItsSubscriptionDisabled(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, addr string) {
				own := redistest.Namespace(t)
				config := func(c *redisstore.Config) { c.Namespace, c.Partitions = own, partitions }
				s := open(t, addr, config)
				sub := guarded(t, s, router.Breaker{Failures: 3, Pause: router.Duration(20 * time.Millisecond), DisableAfter: router.Duration(200 * time.Millisecond)})
				endpoint := &flapping{got: map[string]bool{}}
				for range 2 {
					start(t, open(t, addr, config), endpoint)
				}
				began := time.Now()
				for i := range 10 {
					appendOne(t, s, event(t, fmt.Sprint(i), "x.y"))
				}
				eventually(t, func() bool {
					now, err := s.Subscription(t.Context(), sub.ID)
					require.NoError(t, err)
					return !now.Enabled
				}, "it is disabled")
				require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)
				eventually(t, func() bool {
					status, err := s.SubscriptionStatus(t.Context(), sub.ID)
					require.NoError(t, err)
					return status.Paused != nil && status.InFlight == 0
				}, "its backlog stays")
				status, err := s.SubscriptionStatus(t.Context(), sub.ID)
				require.NoError(t, err)
				require.Equal(t, router.StoppedFailing, status.Paused.Reason)
				require.EqualValues(t, 10, status.Backlog)
				said := 0
				for p := range partitions {
					records, err := s.ReadLog(t.Context(), router.Position{Partition: p}, 100, 0)
					require.NoError(t, err)
					for _, r := range records {
						if r.Event.Type() == router.DisabledType {
							require.Contains(t, r.Event.DataText(), `"reason":"failing","error":"nobody listens"`)
							said++
						}
					}
				}
				require.Equal(t, 1, said)
			})
		})
	}
}

func TestAProbeThatSaysNothingOfTheEndpointIsFollowedByAnotherAtOnce(t *testing.T) {
	mini := redistest.Mini(t)
	now := time.UnixMilli(1_700_000_000_000).UTC()
	mini.SetTime(now)
	s := open(t, mini.Addr())
	sub := guarded(t, s, router.Breaker{Failures: 1, Pause: router.Duration(time.Second)})
	q := router.Queue{Subscription: sub.ID, Kind: router.WebhookSink, Enabled: true, MaxInFlight: 5, Breaker: sub.Delivery.Breaker}
	p := appendOne(t, s, event(t, "a", "x.y"))
	d, err := s.Definitions(t.Context(), 0)
	require.NoError(t, err)
	apply := func(from, to router.Position) router.Applied {
		enqueue := router.Enqueue{Queue: q, Entries: []router.Position{to}, Take: 1, Lease: time.Minute}
		applied, err := s.Apply(t.Context(), router.Batch{
			From: router.Cursor{Position: from}, To: router.Cursor{Position: to}, Token: d.Tokens[0], Events: 1, Enqueues: []router.Enqueue{enqueue},
		})
		require.NoError(t, err)
		return applied
	}
	settle := func(claimed []router.Claimed, change router.Settlement) {
		require.Len(t, claimed, 1)
		change.Claimed = claimed[0]
		_, _, err := s.SettleDeliveries(t.Context(), 0, []router.Settlement{change}, nil)
		require.NoError(t, err)
	}
	claim := func() []router.Claimed {
		claimed, _, err := s.ClaimDeliveries(t.Context(), 0, []router.Claim{{Queue: q, Max: 5, Lease: time.Minute}})
		require.NoError(t, err)
		return claimed
	}
	fault := router.Settlement{Verdict: router.Retrying, Fault: true, Attempt: router.Attempt{Outcome: router.OutcomeReset}}

	settle(apply(router.Position{}, p).Claimed, fault)
	require.Equal(t, now.Add(time.Second), breakerOf(t, s, sub.ID).NextProbe)
	next := appendOne(t, s, event(t, "b", "x.y"))
	require.Empty(t, apply(p, next).Claimed, "nothing is leased past an open breaker")
	require.Empty(t, claim())
	now = now.Add(time.Second)
	mini.SetTime(now)
	settle(claim(), router.Settlement{Unstarted: true})
	require.Equal(t, now, breakerOf(t, s, sub.ID).NextProbe)
	probe := claim()
	require.Empty(t, claim(), "one at a time")
	settle(probe, fault)
	require.Equal(t, now.Add(2*time.Second), breakerOf(t, s, sub.ID).NextProbe, "the pause doubles with each probe that failed")
}
