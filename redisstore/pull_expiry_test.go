package redisstore_test

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestADeliveryWhoseLastLeaseRanOutIsADeadLetterThoughNobodyPulls(t *testing.T) {
	eachPulling(t, 150*time.Millisecond, 2, func(t *testing.T, addr string, p *pulling) {
		p.publish(t, 1)
		p.one(t)
		last := p.one(t)
		require.NoError(t, p.store.PauseSubscription(t.Context(), p.sub.ID))
		p.expired(t, addr, last)
		p.expire(t)
		require.Empty(t, p.dead(t), "while it is paused it stays as it is")
		require.NoError(t, p.store.ResumeSubscription(t.Context(), p.sub.ID))
		p.expire(t)
		letters := p.dead(t)
		require.Len(t, letters, 1)
		require.Equal(t, "expired", letters[0].Reason)
		require.Len(t, letters[0].Attempts, 2)
		require.Equal(t, "job0", letters[0].Event.ID())
		status := p.status(t)
		require.Equal(t, []int64{0, 1, 0}, []int64{status.Backlog, status.Dead, status.InFlight})
		require.Equal(t, "expired", status.LastError)
		require.False(t, status.LastFailure.IsZero())
		require.Equal(t, []bool{false}, p.ack(t, last.Receipt))
		p.expire(t)
		require.Len(t, p.dead(t), 1, "once")
		c := redistest.Client(t, addr)
		position := letters[0].Position
		for _, key := range []string{"a:", "l:", "r:"} {
			require.Zero(t, c.Exists(t.Context(), redisstore.KeyIn(p.store, position.Partition, key+p.sub.ID)).Val(), key)
		}
		require.Zero(t, c.ZCard(t.Context(), redisstore.KeyIn(p.store, position.Partition, "pulls")).Val(), "it is not looked at any more")

		done := move(t, p.store, router.RedriveOperation, router.DeadLetterSelection{})
		require.EqualValues(t, 1, done.Progress[router.ProgressRedriven])
		require.Equal(t, []bool{true}, p.ack(t, p.one(t).Receipt))
		for n := range p.store.Partitions() {
			require.Zero(t, c.HLen(t.Context(), redisstore.KeyIn(p.store, n, "copies")).Val())
		}
	})
}

// expire does this step of the housekeeping.
func (p *pulling) expire(t *testing.T) {
	t.Helper()
	for n := range p.store.Partitions() {
		for more := true; more; {
			var err error
			_, more, err = p.store.ExpirePulled(t.Context(), n, func(id string) (router.Queue, int, bool) {
				return p.sub.Queue(), p.sub.Sink.MaxAttempts, id == p.sub.ID
			})
			require.NoError(t, err)
		}
	}
}

func TestALeaseThatRanOutBeforeTheLastAttemptIsCountedAndWaitsToBePulled(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		const jobs = 450 // more than one call ends
		p := startPulling(t, addr, time.Minute, 2, func(c *redisstore.Config) { c.LogMaxBytes = 1 })
		p.publish(t, jobs)
		var taken []router.Receipt
		for len(taken) < jobs {
			some := p.pull(t, router.PullRequest{Max: 100})
			require.NotEmpty(t, some)
			for _, one := range some {
				taken = append(taken, one.Receipt)
			}
		}
		_, until, err := p.router.Extend(t.Context(), p.sub, taken, router.PullExtension{Lease: router.MinPullLease})
		require.NoError(t, err)
		p.expired(t, addr, router.Pulled{Until: until})
		p.expire(t)
		status := p.status(t)
		require.Equal(t, []int64{jobs, jobs, 0, 0}, []int64{status.Backlog, status.Retrying, status.InFlight, status.Dead})
		for range 3 {
			_, err := p.store.Housekeep(t.Context(), 0)
			require.NoError(t, err)
		}
		seen := map[string]bool{}
		for len(seen) < jobs {
			some := p.pull(t, router.PullRequest{Max: 100, Lease: router.Duration(time.Minute)})
			require.NotEmpty(t, some)
			receipts := make([]router.Receipt, len(some))
			for i, one := range some {
				require.Equal(t, 2, one.Receipt.Attempt)
				require.False(t, seen[one.ID], "each once")
				seen[one.ID], receipts[i] = true, one.Receipt
			}
			for _, good := range p.ack(t, receipts...) {
				require.True(t, good)
			}
		}
		require.Zero(t, redistest.Client(t, addr).HLen(t.Context(), redisstore.Key(p.store, "copies")).Val())
	})
}

// The housekeeping of a router does it.
func TestARouterEndsLeasesThatRanOut(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		p := startPulling(t, addr, 100*time.Millisecond, 1)
		p.publish(t, 1)
		p.one(t)
		require.Eventually(t, func() bool { return len(p.dead(t)) == 1 }, 30*time.Second, 20*time.Millisecond)
	})
}

// pulledAlready queues one delivery of a new subscription, without a router, and lets its only lease run out. Its event is nowhere but in a copy.
func pulledAlready(t *testing.T, addr string) (*redisstore.Store, router.Subscription) {
	t.Helper()
	s := open(t, addr, func(c *redisstore.Config) { c.LogMaxBytes = 1 })
	sub, err := s.CreateSubscription(t.Context(), router.Subscription{
		Name: "jobs", Enabled: true, Filter: router.Filter{Types: []string{"x.*"}}, Delivery: router.DefaultDelivery(),
		Sink: router.Sink{Kind: router.PullSink, Lease: router.DefaultPullLease, MaxAttempts: 1},
	})
	require.NoError(t, err)
	queued(t, s, sub, 1)
	taken, until, err := s.PullDeliveries(t.Context(), 0, router.Claim{Queue: sub.Queue(), Max: 1, Lease: time.Millisecond}, "token", "")
	require.NoError(t, err)
	require.Len(t, taken, 1)
	queued(t, s, create(t, s, "other", "x.*"), 2) // so that the log has others to keep
	for range 3 {
		_, err := s.Housekeep(t.Context(), 0)
		require.NoError(t, err)
	}
	(&pulling{store: s}).expired(t, addr, router.Pulled{Until: until})
	return s, sub
}

func TestWhatIsPausedOrDeletedWhileLeasesAreEndedStaysAsItIs(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		for name, change := range map[string]func(*redisstore.Store, router.Subscription) error{
			"paused": func(s *redisstore.Store, sub router.Subscription) error {
				return s.PauseSubscription(t.Context(), sub.ID)
			},
			"deleted": func(s *redisstore.Store, sub router.Subscription) error {
				_, err := s.DeleteSubscription(t.Context(), sub.ID, 0)
				return err
			},
		} {
			s, sub := pulledAlready(t, addr)
			found := false
			dead, _, err := s.ExpirePulled(t.Context(), 0, func(id string) (router.Queue, int, bool) {
				if id == sub.ID {
					found = true
					require.NoError(t, change(s, sub))
				}
				return sub.Queue(), sub.Sink.MaxAttempts, id == sub.ID
			})
			require.NoError(t, err)
			require.True(t, found, name)
			require.Zero(t, dead, name)
		}
	})
}

func TestTheCopyOfAnEventGoesWithTheDeadLetterThatItsLastLeaseBecame(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s, sub := pulledAlready(t, addr)
		dead, _, err := s.ExpirePulled(t.Context(), 0, func(id string) (router.Queue, int, bool) { return sub.Queue(), 1, id == sub.ID })
		require.NoError(t, err)
		require.Equal(t, 1, dead)
		letters, _, err := s.DeadLetters(t.Context(), router.DeadLetterFilter{Subscription: sub.ID}, "", 10)
		require.NoError(t, err)
		require.Len(t, letters, 1)
		holds := redistest.Client(t, addr).HKeys(t.Context(), redisstore.Key(s, "holds")).Val()
		require.Contains(t, holds, letters[0].Position.ID()+" dead "+letters[0].Position.ID()+" "+sub.ID)
		require.NotContains(t, holds, letters[0].Position.ID()+" "+sub.ID, "the queue holds it no more")
	})
}

func TestAQueueThatCannotBeUsedKeepsNoOtherLeaseFromEnding(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s, sub := pulledAlready(t, addr)
		spoilt, err := s.CreateSubscription(t.Context(), router.Subscription{
			Name: "spoilt", Enabled: true, Filter: router.Filter{Types: []string{"x.*"}}, Delivery: router.DefaultDelivery(),
			Sink: router.Sink{Kind: router.PullSink, Lease: router.DefaultPullLease, MaxAttempts: 1},
		})
		require.NoError(t, err)
		c := redistest.Client(t, addr)
		require.NoError(t, c.Set(t.Context(), redisstore.Key(s, "l:"+spoilt.ID), "x", 0).Err())
		require.NoError(t, c.ZAdd(t.Context(), redisstore.Key(s, "pulls"), redis.Z{Member: spoilt.ID}).Err()) // before the other one
		dead, _, err := s.ExpirePulled(t.Context(), 0, func(id string) (router.Queue, int, bool) {
			q := sub.Queue()
			q.Subscription = id
			return q, 1, id == sub.ID || id == spoilt.ID
		})
		require.ErrorContains(t, err, spoilt.ID)
		require.Equal(t, 1, dead)
	})
}
