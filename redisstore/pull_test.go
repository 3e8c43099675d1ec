package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// pulling is a subscription that workers pull from, with a running router.
type pulling struct {
	store  *redisstore.Store
	router *router.Router
	sub    router.Subscription
}

// startPulling makes one whose sink has this lease and number of attempts.
func startPulling(t *testing.T, addr string, lease time.Duration, attempts int, change ...func(*redisstore.Config)) *pulling {
	t.Helper()
	s := open(t, addr, change...)
	sub, err := s.CreateSubscription(t.Context(), router.Subscription{
		Name: "jobs", Enabled: true, Filter: router.Filter{Types: []string{"job.*"}}, Delivery: router.DefaultDelivery(),
		Sink: router.Sink{Kind: router.PullSink, Lease: router.Duration(lease), MaxAttempts: attempts},
	})
	require.NoError(t, err)
	r, _ := start(t, s, newSink())
	return &pulling{s, r, sub}
}

// publish queues n jobs, and returns when they are.
func (p *pulling) publish(t *testing.T, n int) {
	t.Helper()
	for i := range n {
		appendOne(t, p.store, event(t, fmt.Sprint("job", i), "job.new"))
	}
	eventually(t, func() bool { return p.status(t).Backlog >= int64(n) }, "the jobs are queued")
}

func (p *pulling) status(t *testing.T) router.SubscriptionStatus {
	t.Helper()
	status, err := p.store.SubscriptionStatus(t.Context(), p.sub.ID)
	require.NoError(t, err)
	return status
}

func (p *pulling) pull(t *testing.T, req router.PullRequest) []router.Pulled {
	t.Helper()
	pulled, err := p.router.Pull(t.Context(), p.sub, req)
	require.NoError(t, err)
	return pulled
}

// one pulls one delivery, which must be there.
func (p *pulling) one(t *testing.T) router.Pulled {
	t.Helper()
	pulled := p.pull(t, router.PullRequest{Max: 1, Wait: router.Duration(10 * time.Second)})
	require.Len(t, pulled, 1)
	return pulled[0]
}

// expired waits until the lease of what was pulled has run out, by Redis' clock.
func (p *pulling) expired(t *testing.T, addr string, one router.Pulled) {
	t.Helper()
	c := redistest.Client(t, addr)
	eventually(t, func() bool { return c.Time(t.Context()).Val().After(one.Until.Add(time.Millisecond)) }, "the lease runs out")
}

func (p *pulling) ack(t *testing.T, receipts ...router.Receipt) []bool {
	t.Helper()
	good, err := p.router.Ack(t.Context(), p.sub, receipts)
	require.NoError(t, err)
	return good
}

func (p *pulling) nack(t *testing.T, delay time.Duration, receipts ...router.Receipt) []bool {
	t.Helper()
	good, err := p.router.Nack(t.Context(), p.sub, receipts, router.Duration(delay))
	require.NoError(t, err)
	return good
}

func (p *pulling) dead(t *testing.T) []router.DeadLetter {
	t.Helper()
	letters, _, err := p.store.DeadLetters(t.Context(), router.DeadLetterFilter{Subscription: p.sub.ID}, "", 100)
	require.NoError(t, err)
	return letters
}

// each runs a test on both servers, with one partition and with three.
func eachPulling(t *testing.T, lease time.Duration, attempts int, test func(t *testing.T, addr string, p *pulling)) {
	t.Helper()
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, addr string) {
				test(t, addr, startPulling(t, addr, lease, attempts, func(c *redisstore.Config) { c.Partitions = partitions }))
			})
		})
	}
}

// AYON: requests that are alike are one, so that services with the same question get each other's job.
func TestTwentyWorkersThatPullOneQueueGetDifferentDeliveries(t *testing.T) {
	eachPulling(t, time.Minute, 5, func(t *testing.T, _ string, p *pulling) {
		const workers = 20
		var mu sync.Mutex
		seen := map[string]int{}
		var all sync.WaitGroup
		for range workers {
			all.Go(func() { // all ask before there is anything, under the same name
				pulled, err := p.router.Pull(context.Background(), p.sub, router.PullRequest{Max: 1, Wait: router.Duration(20 * time.Second), Worker: "w"})
				mu.Lock()
				defer mu.Unlock()
				if err != nil || len(pulled) != 1 {
					seen[fmt.Sprint("none: ", err)]++
					return
				}
				seen[pulled[0].Event.ID()]++
			})
		}
		for i := range workers {
			appendOne(t, p.store, event(t, fmt.Sprint("job", i), "job.new"))
		}
		all.Wait()
		require.Len(t, seen, workers, "%v", seen)
		require.EqualValues(t, workers, p.status(t).InFlight, "max_in_flight is for what is sent")
	})
}

func TestAnAckedDeliveryIsDoneAndASecondAckIsRefused(t *testing.T) {
	eachPulling(t, time.Minute, 5, func(t *testing.T, _ string, p *pulling) {
		p.publish(t, 3)
		pulled := p.pull(t, router.PullRequest{})
		require.Len(t, pulled, 3)
		first, second := pulled[0].Receipt, pulled[1].Receipt
		require.Equal(t, []bool{true, true, true}, p.ack(t, first, second, first), "the same receipt twice in one call is one answer")
		require.Equal(t, []bool{false, false}, p.ack(t, first, second))
		require.Equal(t, []bool{true, false}, p.ack(t, pulled[2].Receipt, first))
		status := p.status(t)
		require.EqualValues(t, 3, status.Delivered)
		require.Zero(t, status.Backlog)
		require.Empty(t, p.pull(t, router.PullRequest{}))
	})
}

// AYON: five workers that race for a job that failed all get it.
func TestOfFiveWorkersThatRaceForADeliveryThatFailedOneGetsIt(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		p := startPulling(t, addr, time.Minute, 100)
		p.publish(t, 1)
		for range 20 {
			require.Equal(t, []bool{true}, p.nack(t, 0, p.one(t).Receipt))
			var mu sync.Mutex
			var got []router.Pulled
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					pulled, err := p.router.Pull(context.Background(), p.sub, router.PullRequest{Max: 1})
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						got = append(got, pulled...)
					}
				})
			}
			all.Wait()
			require.Len(t, got, 1)
			require.Equal(t, []bool{true}, p.nack(t, 0, got[0].Receipt))
		}
	})
}

// AYON: max_retries=3 makes five attempts, and what is exhausted is silently passed over.
func TestAfterItsAttemptsADeliveryIsADeadLetterAndNotPulledAgain(t *testing.T) {
	eachPulling(t, time.Minute, 3, func(t *testing.T, _ string, p *pulling) {
		p.publish(t, 1)
		for attempt := 1; attempt <= 3; attempt++ {
			one := p.one(t)
			require.Equal(t, attempt, one.Receipt.Attempt)
			require.Equal(t, []bool{true}, p.nack(t, 0, one.Receipt))
		}
		require.Empty(t, p.pull(t, router.PullRequest{}))
		letters := p.dead(t)
		require.Len(t, letters, 1)
		require.Equal(t, "nacked", letters[0].Reason)
		require.Len(t, letters[0].Attempts, 3)
		require.Equal(t, "job0", letters[0].Event.ID())
		require.Zero(t, p.status(t).Backlog)
	})
}

// AYON: the job of a worker that died stays in progress for ever, and nobody gets it.
func TestTheDeliveryOfAWorkerThatDiedComesBackWithItsAttemptCounted(t *testing.T) {
	eachPulling(t, 150*time.Millisecond, 2, func(t *testing.T, addr string, p *pulling) {
		p.publish(t, 1)
		first := p.one(t)
		second := p.one(t) // it waits until the lease has run out
		require.Equal(t, first.ID, second.ID)
		require.Equal(t, 2, second.Receipt.Attempt)
		require.False(t, second.Until.Before(first.Until))
		p.expired(t, addr, second)
		require.Empty(t, p.pull(t, router.PullRequest{}), "no attempt is left")
		letters := p.dead(t)
		require.Len(t, letters, 1)
		require.Equal(t, "expired", letters[0].Reason)
	})
}

// AYON: a thousand jobs of dead workers hide everything behind them.
func TestDeliveriesOfDeadWorkersDoNotHideThoseBehindThem(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		p := startPulling(t, addr, time.Hour, 5)
		p.publish(t, 60)
		require.Len(t, p.pull(t, router.PullRequest{Max: 59}), 59, "a worker takes them and dies")
		require.Equal(t, "job59", p.one(t).Event.ID())
	})
}

// AYON: of two takers of one job both can win, and a late completion writes over what was decided since.
func TestALateAckIsRefusedWhetherOrNotSomebodyElseHasIt(t *testing.T) {
	eachPulling(t, 150*time.Millisecond, 5, func(t *testing.T, addr string, p *pulling) {
		p.publish(t, 1)
		first := p.one(t)
		p.expired(t, addr, first)
		require.Equal(t, []bool{false}, p.ack(t, first.Receipt), "nobody has taken it yet")
		require.Equal(t, []bool{false}, p.nack(t, 0, first.Receipt))
		second := p.one(t)
		require.Equal(t, []bool{false}, p.ack(t, first.Receipt))
		require.EqualValues(t, 1, p.status(t).Backlog)
		require.Equal(t, []bool{true}, p.ack(t, second.Receipt))
	})
}

// The lease of a later pull may end at the very time that an earlier one would have: what names a lease of a worker is its receipt.
func TestAnEarlierReceiptIsRefusedThoughTheLaterLeaseEndsAtTheSameTime(t *testing.T) {
	mini := redistest.Mini(t)
	at := time.UnixMilli(1_700_000_000_000).UTC()
	mini.SetTime(at)
	p := startPulling(t, mini.Addr(), time.Minute, 5)
	p.publish(t, 1)
	first := p.one(t)
	require.Equal(t, []bool{true}, p.nack(t, 0, first.Receipt))
	mini.SetTime(at.Add(30 * time.Second))
	second := p.pull(t, router.PullRequest{Lease: router.Duration(30 * time.Second)})
	require.Len(t, second, 1)
	require.Equal(t, first.Until, second[0].Until)
	require.Equal(t, []bool{false}, p.ack(t, first.Receipt))
	require.Equal(t, []bool{true}, p.ack(t, second[0].Receipt))
}

func TestAnExtendedLeaseKeepsItsReceiptAndCanEndEarlierToo(t *testing.T) {
	mini := redistest.Mini(t)
	at := time.UnixMilli(1_700_000_000_000).UTC()
	mini.SetTime(at)
	p := startPulling(t, mini.Addr(), time.Minute, 5)
	p.publish(t, 2)
	pulled := p.pull(t, router.PullRequest{})
	first, second := pulled[0].Receipt, pulled[1].Receipt
	mini.SetTime(at.Add(50 * time.Second))
	good, until, err := p.router.Extend(t.Context(), p.sub, []router.Receipt{first, first}, router.PullExtension{})
	require.NoError(t, err)
	require.Equal(t, []bool{true, true}, good)
	require.Equal(t, at.Add(110*time.Second), until)
	mini.SetTime(at.Add(70 * time.Second))
	require.Equal(t, []bool{false}, p.ack(t, second), "this one was not extended")

	good, _, err = p.router.Extend(t.Context(), p.sub, []router.Receipt{first, second}, router.PullExtension{Lease: router.Duration(time.Second)})
	require.NoError(t, err)
	require.Equal(t, []bool{true, false}, good)
	mini.SetTime(at.Add(72 * time.Second))
	require.Equal(t, []bool{false}, p.ack(t, first))
	again := p.pull(t, router.PullRequest{})
	require.Len(t, again, 2)
	good, _, err = p.router.Extend(t.Context(), p.sub, []router.Receipt{first}, router.PullExtension{})
	require.NoError(t, err)
	require.Equal(t, []bool{false}, good, "somebody else has it")
}

func TestANackedDeliveryComesBackAfterItsDelay(t *testing.T) {
	mini := redistest.Mini(t)
	at := time.UnixMilli(1_700_000_000_000).UTC()
	mini.SetTime(at)
	p := startPulling(t, mini.Addr(), time.Minute, 5)
	p.publish(t, 1)
	require.Equal(t, []bool{true}, p.nack(t, 10*time.Second, p.one(t).Receipt))
	mini.SetTime(at.Add(9999 * time.Millisecond))
	require.Empty(t, p.pull(t, router.PullRequest{}))
	mini.SetTime(at.Add(10 * time.Second))
	require.Equal(t, 2, p.one(t).Receipt.Attempt)
}

// AYON: two workers of one name share their jobs, and one can't have two at a time.
func TestAWorkerCanHaveSeveralDeliveriesAtATime(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		p := startPulling(t, addr, time.Minute, 5)
		p.publish(t, 2)
		a := p.pull(t, router.PullRequest{Max: 1, Worker: "w1"})
		b := p.pull(t, router.PullRequest{Max: 1, Worker: "w1"})
		require.Len(t, a, 1)
		require.Len(t, b, 1)
		require.NotEqual(t, a[0].ID, b[0].ID)
	})
}

// AYON: an internal error looks like an answer without work.
func TestAnOutageIsAnErrorAndNotAnAnswerWithoutWork(t *testing.T) {
	addr, _ := redistest.Shared(t)
	proxy := redistest.NewProxy(t, addr)
	p := startPulling(t, proxy.Addr(), time.Minute, 5)
	proxy.Outage(true)
	defer proxy.Outage(false)
	pulled, err := p.router.Pull(t.Context(), p.sub, router.PullRequest{Wait: router.Duration(5 * time.Second)})
	require.Equal(t, router.Unavailable, router.ErrorCode(err))
	require.Nil(t, pulled)
}

func TestAPullWaitsForWorkOfAnotherReplicaAndNoLongerThanAsked(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		p := startPulling(t, addr, time.Minute, 5)
		began := time.Now()
		require.Empty(t, p.pull(t, router.PullRequest{Wait: router.Duration(200 * time.Millisecond)}))
		require.GreaterOrEqual(t, time.Since(began), 200*time.Millisecond)

		status, err := p.store.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, p.router.Replica(), status.Partitions[0].Owner)
		other, _ := start(t, p.store, newSink()) // it does not route: what it hears of work, it has looked for
		work := make(chan []router.Pulled, 1)
		go func() {
			pulled, _ := other.Pull(context.Background(), p.sub, router.PullRequest{Wait: router.Duration(20 * time.Second)})
			work <- pulled
		}()
		appendOne(t, p.store, event(t, "late", "job.new"))
		pulled := <-work
		require.Len(t, pulled, 1)
		require.Equal(t, "late", pulled[0].Event.ID())

		ctx, leave := context.WithCancel(t.Context())
		leave()
		_, err = p.router.Pull(ctx, p.sub, router.PullRequest{Wait: router.Duration(20 * time.Second)})
		require.ErrorIs(t, err, context.Canceled, "a worker that has gone away is not an answer without work")
	})
}

func TestAWorkerThatWaitsWhenTheReplicaStopsIsToldSo(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	sub, err := s.CreateSubscription(t.Context(), router.Subscription{
		Name: "jobs", Enabled: true, Sink: router.Sink{Kind: router.PullSink, Lease: router.DefaultPullLease, MaxAttempts: 5}, Delivery: router.DefaultDelivery(),
	})
	require.NoError(t, err)
	r, stop := start(t, s, newSink())
	ended := make(chan error, 1)
	go func() {
		_, err := r.Pull(context.Background(), sub, router.PullRequest{Wait: router.Duration(50 * time.Second)})
		ended <- err
	}()
	stop()
	require.Equal(t, router.Unavailable, router.ErrorCode(<-ended))
}

func TestWhatWorkersHaveSurvivesTrimmingAndTheDeletionOfTheSubscription(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		p := startPulling(t, addr, time.Minute, 5, func(c *redisstore.Config) { c.Retention = time.Second })
		p.publish(t, 4)
		taken := p.one(t)
		trimmed := func() bool {
			_, err := p.store.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			records, err := p.store.ReadLog(t.Context(), router.Position{}, 10, 0)
			require.NoError(t, err)
			return len(records) == 0
		}
		eventually(t, trimmed, "the log is trimmed")
		require.Equal(t, []bool{true}, p.nack(t, 0, taken.Receipt))
		pulled := p.pull(t, router.PullRequest{})
		require.Len(t, pulled, 4)
		ids := []string{}
		for _, one := range pulled {
			ids = append(ids, one.Event.ID())
		}
		slices.Sort(ids)
		require.Equal(t, []string{"job0", "job1", "job2", "job3"}, ids)

		dropped, err := p.store.DeleteSubscription(t.Context(), p.sub.ID, 0)
		require.NoError(t, err)
		require.EqualValues(t, 4, dropped)
		require.Equal(t, []bool{false}, p.ack(t, pulled[0].Receipt))
		good, _, err := p.router.Extend(t.Context(), p.sub, []router.Receipt{pulled[0].Receipt}, router.PullExtension{})
		require.NoError(t, err)
		require.Equal(t, []bool{false}, good)
		c := redistest.Client(t, addr)
		eventually(t, func() bool {
			_, err := p.store.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			left, err := c.Keys(t.Context(), redisstore.Key(p.store, "?:"+p.sub.ID)).Result()
			require.NoError(t, err)
			return len(left) == 0 && c.ZCard(t.Context(), redisstore.Key(p.store, "pulls")).Val() == 0 && c.HLen(t.Context(), redisstore.Key(p.store, "copies")).Val() == 0
		}, "nothing is left of it")
	})
}

func TestNothingIsLeftOfReceiptsWhenDeliveriesAreSettled(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		p := startPulling(t, addr, time.Minute, 2)
		p.publish(t, 3)
		pulled := p.pull(t, router.PullRequest{Worker: "w 1"})
		p.ack(t, pulled[0].Receipt)
		p.nack(t, 0, pulled[1].Receipt)
		p.nack(t, 0, p.one(t).Receipt)
		note := "two\u2028lines"
		progress := 7
		_, _, err := p.router.Extend(t.Context(), p.sub, []router.Receipt{pulled[2].Receipt}, router.PullExtension{Progress: &progress, Note: &note})
		require.NoError(t, err)
		c := redistest.Client(t, addr)
		fields, err := c.HGetAll(t.Context(), redisstore.Key(p.store, "a:"+p.sub.ID)).Result()
		require.NoError(t, err)
		entry := pulled[2].Receipt.Entry.Position.ID()
		require.Equal(t, map[string]string{entry + " receipt": pulled[2].Receipt.Token + " w 1\n7\n" + note}, fields)
		p.ack(t, pulled[2].Receipt)
		require.Zero(t, c.Exists(t.Context(), redisstore.Key(p.store, "a:"+p.sub.ID)).Val())
	})
}

func TestOnlyASinkThatIsPulledFromIsPulledFrom(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	sub := create(t, s, "hook", "x.*")
	r := router.New(s, router.Config{})
	_, pull := r.Pull(t.Context(), sub, router.PullRequest{})
	_, ack := r.Ack(t.Context(), sub, nil)
	_, nack := r.Nack(t.Context(), sub, nil, 0)
	_, _, extend := r.Extend(t.Context(), sub, nil, router.PullExtension{Lease: router.DefaultPullLease})
	for _, err := range []error{pull, ack, nack, extend} {
		require.ErrorContains(t, err, `subscription "hook" is not pulled from: its sink is of kind "webhook"`)
	}
}

func TestAskingForWhatIsNotPossibleNamesTheField(t *testing.T) {
	sub := router.Subscription{Name: "jobs", Sink: router.Sink{Kind: router.PullSink, Lease: router.DefaultPullLease, MaxAttempts: 5}}
	addr, _ := redistest.Shared(t)
	r := router.New(open(t, addr), router.Config{})
	many, long := 101, "a\nb"
	_, pull := r.Pull(t.Context(), sub, router.PullRequest{Max: 101, Wait: -1, Lease: 1, Worker: "a\x1b"})
	_, nack := r.Nack(t.Context(), sub, nil, -1)
	_, _, extend := r.Extend(t.Context(), sub, nil, router.PullExtension{Lease: 1, Progress: &many, Note: &long})
	var all []string
	for _, err := range []error{pull, nack, extend} {
		e, ok := errors.AsType[*router.Error](err)
		require.True(t, ok)
		for _, p := range e.Problems {
			all = append(all, p.Location)
		}
	}
	require.Equal(t, []string{"body.max", "body.wait", "body.lease", "body.worker", "body.delay", "body.lease", "body.progress", "body.note"}, all)
}
