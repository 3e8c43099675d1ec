package redisstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// queued makes n events that wait in a subscription's queue, and returns its deliveries as a sender would claim them, none of them yet.
func queued(t *testing.T, s *redisstore.Store, sub router.Subscription, n int) {
	t.Helper()
	for i := range n {
		p := appendOne(t, s, event(t, fmt.Sprint("e", i), "x.y"))
		cursor := router.Cursor{Position: router.Position{Partition: p.Partition}}
		if lease, err := s.TakeLease(t.Context(), p.Partition, "test", time.Minute, false); err == nil {
			cursor = lease.Cursor
		}
		d, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		applied, err := s.Apply(t.Context(), router.Batch{
			Partition: p.Partition, From: cursor, To: router.Cursor{Position: p}, Token: d.Tokens[p.Partition], Events: 1,
			Enqueues: []router.Enqueue{{Queue: sub.Queue(), Entries: []router.Position{p}}},
		})
		require.NoError(t, err)
		require.Equal(t, router.Done, applied.Status)
	}
}

func claim(t *testing.T, s *redisstore.Store, partition int, sub router.Subscription, n int) []router.Claimed {
	t.Helper()
	claimed, _, err := s.ClaimDeliveries(t.Context(), partition, []router.Claim{{Queue: sub.Queue(), Max: n, Lease: time.Minute}})
	require.NoError(t, err)
	return claimed
}

func settle(t *testing.T, s *redisstore.Store, settlements ...router.Settlement) {
	t.Helper()
	_, _, err := s.SettleDeliveries(t.Context(), settlements[0].Claimed.Entry.Position.Partition, settlements, nil)
	require.NoError(t, err)
}

func failure(at time.Time) router.Attempt {
	return router.Attempt{At: at, Duration: router.Duration(20 * time.Millisecond), Outcome: router.OutcomeStatus, StatusCode: 500, Error: "the endpoint answered 500", Response: "no\n\"way\""}
}

func success(at time.Time) router.Attempt {
	return router.Attempt{At: at, Duration: router.Duration(12 * time.Millisecond), Outcome: router.OutcomeDelivered, StatusCode: 204}
}

// allDeliveries lists what a filter selects, in pages.
func allDeliveries(t *testing.T, s *redisstore.Store, f router.DeliveryFilter, limit int) (list []router.DeliveryRecord) {
	t.Helper()
	for cursor, pages := "", 0; ; pages++ {
		page, next, err := s.Deliveries(t.Context(), f, cursor, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), limit)
		require.Less(t, pages, 200)
		list = append(list, page...)
		if cursor = next; cursor == "" {
			return list
		}
	}
}

func statuses(list []router.DeliveryRecord) (words []string) {
	for _, d := range list {
		words = append(words, string(d.Status))
	}
	return words
}

// eachStatus has a subscription with a delivery in each place that there is: under way, waiting for another attempt, waiting for the first one, arrived, dead.
func eachStatus(t *testing.T, s *redisstore.Store) (router.Subscription, time.Time) {
	t.Helper()
	at := time.UnixMilli(1_700_000_000_000).UTC()
	sub := create(t, s, "one", "x.*")
	queued(t, s, sub, 5)
	c := claim(t, s, 0, sub, 4)
	require.Len(t, c, 4)
	settle(t, s, router.Settlement{Claimed: c[1], Verdict: router.Retrying, After: time.Hour, Attempt: failure(at)},
		router.Settlement{Claimed: c[2], Verdict: router.Delivered, Attempt: success(at)},
		router.Settlement{Claimed: c[3], Verdict: router.Dead, Attempt: failure(at)})
	return sub, at
}

func TestDeliveriesAreFoundWhereverTheyAre(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub, at := eachStatus(t, s)
		list := allDeliveries(t, s, router.DeliveryFilter{}, 100)
		require.Equal(t, []string{"pending", "retrying", "pending", "delivered", "dead"}, statuses(list))
		require.False(t, list[0].LeaseUntil.IsZero())
		require.Equal(t, []router.Attempt{failure(at)}, list[1].Attempts)
		require.False(t, list[1].Next.IsZero())
		require.Equal(t, []router.Attempt{success(at)}, list[3].Attempts)
		require.Equal(t, []router.Attempt{failure(at)}, list[4].Attempts)
		for _, d := range list {
			one, err := s.Delivery(t.Context(), d.ID)
			require.NoError(t, err)
			require.Equal(t, d, one)
			require.Equal(t, sub.ID, d.Subscription)
			found := allDeliveries(t, s, router.DeliveryFilter{Event: &d.Position}, 10)
			require.Equal(t, []router.DeliveryRecord{d}, found)
		}
		for _, limit := range []int{1, 2, 3} {
			require.Equal(t, list, allDeliveries(t, s, router.DeliveryFilter{Subscription: sub.ID}, limit))
		}
		for status, n := range map[router.DeliveryStatus]int{"pending": 2, "retrying": 1, "delivered": 1, "dead": 1} {
			require.Len(t, allDeliveries(t, s, router.DeliveryFilter{Status: status}, 2), n, status)
			require.Len(t, allDeliveries(t, s, router.DeliveryFilter{Status: status, Subscription: sub.ID}, 1), n, status)
		}
		require.Empty(t, allDeliveries(t, s, router.DeliveryFilter{Event: &list[0].Position, Status: router.DeliveryDead}, 10))
		other := create(t, s, "other", "y.*")
		require.Empty(t, allDeliveries(t, s, router.DeliveryFilter{Subscription: other.ID}, 10))
		for _, id := range []string{strings.Replace(list[0].ID, "dlv_0-", "dlv_9-", 1), list[0].ID + "~r9"} {
			_, err := s.Delivery(t.Context(), id)
			require.Equal(t, router.NotFound, router.ErrorCode(err))
		}
		_, err := s.Delivery(t.Context(), "dlv_0-1-0-x")
		require.Equal(t, router.Invalid, router.ErrorCode(err))
	})
}

func TestAnyOfManyDeliveriesThatWaitIsFound(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "one", "x.*")
		queued(t, s, sub, 33)
		list := allDeliveries(t, s, router.DeliveryFilter{}, 10)
		require.Len(t, list, 33)
		for _, d := range list {
			one, err := s.Delivery(t.Context(), d.ID)
			require.NoError(t, err)
			require.Equal(t, router.DeliveryPending, one.Status)
		}
	})
}

func TestADeliveryThatArrivedKeepsTheFailuresBeforeIt(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "one", "x.*")
		queued(t, s, sub, 1)
		at := time.UnixMilli(1_700_000_000_000).UTC()
		long := failure(at)
		long.Response = strings.Repeat("x", 4096)
		for range 4 {
			settle(t, s, router.Settlement{Claimed: claim(t, s, 0, sub, 1)[0], Verdict: router.Retrying, Attempt: long})
		}
		c := claim(t, s, 0, sub, 1)[0]
		require.Equal(t, 5, c.Attempt)
		settle(t, s, router.Settlement{Claimed: c, Verdict: router.Delivered, Attempt: success(at)})
		d, err := s.Delivery(t.Context(), router.DeliveryID(sub.ID, c.Entry))
		require.NoError(t, err)
		require.Equal(t, router.DeliveryDelivered, d.Status)
		require.Equal(t, []router.Attempt{long, success(at)}, d.Attempts, "the last of the failures, as far as 8 KiB go")
	})
}

func TestALateSuccessIsNotRecorded(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "one", "x.*")
		queued(t, s, sub, 1)
		c := claim(t, s, 0, sub, 1)[0]
		settle(t, s, router.Settlement{Claimed: c, Verdict: router.Retrying, After: time.Hour, Attempt: failure(time.UnixMilli(1))})
		settle(t, s, router.Settlement{Claimed: c, Verdict: router.Delivered, Attempt: success(time.UnixMilli(1))})
		require.Equal(t, []string{"retrying"}, statuses(allDeliveries(t, s, router.DeliveryFilter{}, 10)))
	})
}

func TestTheLastThousandSuccessesAreKept(t *testing.T) {
	addr, _ := redistest.Shared(t)
	for _, partitions := range []int{1, 3} {
		s := open(t, addr, func(c *redisstore.Config) { c.Partitions = partitions })
		sub := create(t, s, "one", "x.*")
		start(t, s, newSink())
		events := make([]router.Event, 1500)
		for i := range events {
			events[i] = event(t, fmt.Sprint(i), "x.y")
		}
		for _, appended := range s.Append(t.Context(), events) {
			require.NoError(t, appended.Err)
		}
		eventually(t, func() bool {
			status, err := s.SubscriptionStatus(t.Context(), sub.ID)
			require.NoError(t, err)
			return status.Delivered == 1500
		}, "all arrive")
		kept := allDeliveries(t, s, router.DeliveryFilter{Status: router.DeliveryDelivered}, 500)
		require.LessOrEqual(t, len(kept), 1000+partitions)
		require.GreaterOrEqual(t, len(kept), 1000)
	}
}

func TestADeliveryThatWaitsIsMadeDueAtOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub, _ := eachStatus(t, s)
		list := allDeliveries(t, s, router.DeliveryFilter{}, 100)
		require.Empty(t, claim(t, s, 0, sub, 10)[1:], "the one that is fresh")
		retrying := list[1]
		hastened, err := s.HastenDelivery(t.Context(), retrying.ID)
		require.NoError(t, err)
		require.True(t, hastened.Next.Before(retrying.Next))
		due, _, err := s.DueQueues(t.Context(), 0, router.WebhookSink, 10)
		require.NoError(t, err)
		require.Equal(t, []string{sub.ID}, due)
		c := claim(t, s, 0, sub, 10)
		require.Len(t, c, 1)
		require.Equal(t, 2, c[0].Attempt)

		under, err := s.HastenDelivery(t.Context(), retrying.ID)
		require.NoError(t, err)
		require.False(t, under.LeaseUntil.IsZero(), "what is under way stays so")
		for _, over := range list[3:] {
			_, err := s.HastenDelivery(t.Context(), over.ID)
			require.ErrorContains(t, err, "is "+string(over.Status))
		}
	})
}

func TestAListOfDeliveriesRefusesCursorsOfOthers(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	id := "sub_" + strings.Repeat("0", 26)
	for _, cursor := range []string{"x", id + ".0.0", id + ".1.0.0", id + ".0.5.0", id + ".0.0.-1", id + ".00.0.0", "name.0.0.0", "dead.x", "dead.5.1.1"} {
		_, _, err := s.Deliveries(t.Context(), router.DeliveryFilter{}, cursor, 10)
		require.Equal(t, router.Invalid, router.ErrorCode(err), cursor)
	}
	_, _, err := s.Deliveries(t.Context(), router.DeliveryFilter{}, id+".0.3.7", 10)
	require.NoError(t, err)
}
