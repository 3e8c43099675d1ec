package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// limited makes a subscription with a rate and a backlog.
func limited(t testing.TB, s *redisstore.Store, rate router.Rate, backlog int) router.Subscription {
	t.Helper()
	sub := create(t, s, "limited", "x.*")
	sub.Delivery.Rate, sub.Delivery.MaxInFlight = rate, 1000
	sub, err := s.ReplaceSubscription(context.Background(), sub)
	require.NoError(t, err)
	events := make([]router.Event, backlog)
	for i := range events {
		events[i] = event(t, fmt.Sprint("e", i), "x.y")
	}
	for _, r := range s.Append(context.Background(), events) {
		require.NoError(t, r.Err)
	}
	return sub
}

// enqueueAll puts every event of the log into a queue, as a router would.
func enqueueAll(t testing.TB, s *redisstore.Store, q router.Queue) {
	t.Helper()
	d, err := s.Definitions(context.Background(), 0)
	require.NoError(t, err)
	for p := range s.Partitions() {
		records, err := s.ReadLog(context.Background(), router.Position{Partition: p}, 10_000, 0)
		require.NoError(t, err)
		b := router.Batch{Partition: p, From: router.Cursor{Position: router.Position{Partition: p}}, Token: d.Tokens[p], Events: len(records), Enqueues: []router.Enqueue{{Queue: q}}}
		for _, r := range records {
			b.Enqueues[0].Entries = append(b.Enqueues[0].Entries, r.Position)
			b.To.Position = r.Position
		}
		if len(records) > 0 {
			applied, err := s.Apply(context.Background(), b)
			require.NoError(t, err)
			require.Equal(t, router.Done, applied.Status)
			require.Empty(t, applied.Claimed, "nothing is leased without a permit")
		}
	}
}

// Claims at random times, by replicas with different slacks, of which some give permits back and some die. Each attempt may begin anywhere within its
// slack: the earlier of two as late as it can, the later one at once.
func TestNoWindowSeesMoreAttemptsThanTheRateWheneverTheyBegin(t *testing.T) {
	mini := redistest.Mini(t)
	rapid.Check(t, func(rt *rapid.T) {
		partitions := rapid.SampledFrom([]int{1, 3}).Draw(rt, "partitions")
		mini.FlushAll()
		now := int64(1_700_000_000_000)
		mini.SetTime(time.UnixMilli(now))
		s := open(t, mini.Addr(), func(c *redisstore.Config) { c.Namespace, c.Partitions = "rate", partitions })
		rate := router.Rate{Limit: rapid.IntRange(1, 8).Draw(rt, "limit"), Per: router.Duration(time.Duration(rapid.SampledFrom([]int{1000, 1234, 60_000}).Draw(rt, "per")) * time.Millisecond)}
		q := router.Queue{Subscription: limited(t, s, rate, 200).ID, Kind: router.WebhookSink, Enabled: true, MaxInFlight: 1000, Rate: rate}
		enqueueAll(t, s, q)
		per := rate.Per.Std().Milliseconds()
		type attempt struct{ first, last int64 }
		var attempts []attempt
		for range rapid.IntRange(5, 40).Draw(rt, "claims") {
			now += rapid.Int64Range(0, per/2).Draw(rt, "ms")
			mini.SetTime(time.UnixMilli(now))
			slack := rapid.Int64Range(0, 30).Draw(rt, "slack")
			c := router.Claim{Queue: q, Max: rapid.IntRange(1, 5).Draw(rt, "max"), Lease: time.Hour, Slack: time.Duration(slack) * time.Millisecond}
			p := rapid.IntRange(0, partitions-1).Draw(rt, "partition")
			claimed, _, err := s.ClaimDeliveries(t.Context(), p, []router.Claim{c})
			require.NoError(rt, err)
			for _, one := range claimed {
				told := router.Settlement{Claimed: one, Verdict: router.Delivered, Unstarted: rapid.IntRange(0, 4).Draw(rt, "not begun") == 0}
				early := rapid.Int64Range(0, slack).Draw(rt, "early")
				if rapid.Bool().Draw(rt, "told") {
					told.Early = time.Duration(early) * time.Millisecond
				}
				if told.Unstarted || told.Early > 0 {
					_, _, err := s.SettleDeliveries(t.Context(), p, []router.Settlement{told}, nil)
					require.NoError(rt, err)
				}
				if !told.Unstarted {
					attempts = append(attempts, attempt{now, now + slack - told.Early.Milliseconds()})
				}
			}
		}
		slices.SortFunc(attempts, func(a, b attempt) int { return int(a.first - b.first) })
		for i := rate.Limit; i < len(attempts); i++ {
			window := attempts[i-rate.Limit : i]
			latest := slices.MinFunc(window, func(a, b attempt) int { return int(a.last - b.last) }) // the first of the window, begun late
			require.GreaterOrEqual(rt, attempts[i].first-latest.last, per, "%d attempts within %d ms", rate.Limit+1, per)
		}
	})
}

// starts records when attempts begin.
type starts struct {
	mu sync.Mutex
	at []time.Time
}

func (s *starts) Send(context.Context, router.Sending) router.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = append(s.at, time.Now())
	return router.Attempt{At: time.Now(), Outcome: router.OutcomeDelivered}
}

func (s *starts) times() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.at)
}

func TestThreeReplicasKeepARateAndUseIt(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, addr string) {
				own := redistest.Namespace(t)
				config := func(c *redisstore.Config) { c.Namespace, c.Partitions = own, partitions }
				const limit, per = 40, 2 * time.Second
				windows := 2
				if strings.HasSuffix(t.Name(), "miniredis") {
					windows = 1 // how much of the rate is used does not matter there
				}
				s := open(t, addr, config)
				limited(t, s, router.Rate{Limit: limit, Per: router.Duration(per)}, limit*(windows+2))
				var began starts
				for range 3 {
					start(t, open(t, addr, config), &began)
				}
				eventually(t, func() bool { return len(began.times()) > limit*(windows+1) }, "it goes on")
				at := began.times()
				slices.SortFunc(at, time.Time.Compare)
				for i := limit; i < len(at); i++ {
					require.GreaterOrEqual(t, at[i].Sub(at[i-limit]), per, "no window sees more than the limit")
				}
				took := time.Hour
				for i := limit * windows; i < len(at); i++ { // the best stretch: this machine may be busy with something else
					took = min(took, at[i].Sub(at[i-limit*windows]))
				}
				used := float64(windows) * float64(per) / float64(took)
				t.Logf("%.1f %% of the rate is used", 100*used)
				if !strings.HasSuffix(t.Name(), "miniredis") { // with the race detector on, each of its script calls takes many milliseconds
					require.Greater(t, used, 0.95)
				}
			})
		})
	}
}

func TestACrashWastesPermitsOfARateAndExceedsNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		rate := router.Rate{Limit: 3, Per: router.Duration(time.Minute)}
		q := router.Queue{Subscription: limited(t, s, rate, 10).ID, Kind: router.WebhookSink, Enabled: true, MaxInFlight: 1000, Rate: rate}
		enqueueAll(t, s, q)
		claim := router.Claim{Queue: q, Max: 2, Lease: time.Millisecond}
		claimed, _, err := s.ClaimDeliveries(t.Context(), 0, []router.Claim{claim})
		require.NoError(t, err)
		require.Len(t, claimed, 2) // and then the replica dies
		claimed, _, err = s.ClaimDeliveries(t.Context(), 0, []router.Claim{claim})
		require.NoError(t, err)
		require.Len(t, claimed, 1)
		claimed, _, err = s.ClaimDeliveries(t.Context(), 0, []router.Claim{claim})
		require.NoError(t, err)
		require.Empty(t, claimed)
		eventually(t, func() bool { // once it is certain that none comes back
			claimed, _, err = s.ClaimDeliveries(t.Context(), 0, []router.Claim{claim})
			require.NoError(t, err)
			require.Empty(t, claimed)
			_, next, err := s.DueQueues(t.Context(), 0, router.WebhookSink, 10)
			require.NoError(t, err)
			return next > 30*time.Second
		}, "it is looked at when there is a permit")
	})
}
