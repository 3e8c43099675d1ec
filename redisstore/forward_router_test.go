package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// in is an event that lands in a partition of so many.
func in(t testing.TB, partition, partitions int, id, typ, order string) router.Event {
	t.Helper()
	for n := 0; ; n++ {
		e, err := router.NewEvent(router.EventFields{
			ID: id, Source: "/test", Type: typ, Data: `{"order":"` + order + `"}`, DataKind: router.JSONData,
			Extensions: []router.Extension{{Name: router.PartitionKeyExtension, Value: fmt.Sprint(n)}},
		})
		require.NoError(t, err)
		if e.Partition(partitions) == partition {
			return e
		}
	}
}

// unowned is the store of a replica that gets no lease on a partition for as long as it is told so.
type unowned struct {
	*redisstore.Store
	partition int
	free      atomic.Bool
}

func (u *unowned) TakeLease(ctx context.Context, partition int, replica string, ttl time.Duration, orphan bool) (router.Lease, error) {
	if partition == u.partition && !u.free.Load() {
		return router.Lease{Left: time.Millisecond}, nil
	}
	return u.Store.TakeLease(ctx, partition, replica, ttl, orphan)
}

func TestATriggerWaitsForAPartitionThatIsBehindAndTheStatusSaysSo(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		d := &spread{store: open(t, addr, func(c *redisstore.Config) { c.Partitions = 2 })}
		d.define(t, `{"name": "steps", "key": ["data.order"], "when": {"sequence": [{"name": "a", "event": {"types": ["a"]}}, {"name": "b", "event": {"types": ["b"]}}]}}`)
		s := &unowned{Store: d.store, partition: 1}
		start(t, s, newSink())
		const orders = 8
		for i := range orders { // the first step in the partition that is behind, the second in the other one
			first := appendOne(t, d.store, in(t, 1, 2, fmt.Sprint("a", i), "a", fmt.Sprint(i)))
			eventually(t, func() bool { return must(d.store.Mark(t.Context(), 0, first.MS+1)) > first.MS }, "the second step comes later")
			appendOne(t, d.store, in(t, 0, 2, fmt.Sprint("b", i), "b", fmt.Sprint(i)))
		}
		eventually(t, func() bool {
			f := must(d.store.Status(t.Context())).Partitions[0].Forwarded
			return f.Waiting > 0 && fmt.Sprint(f.WaitsFor) == "[1]" && f.Age > 0
		}, "the status says who is waited for")
		require.Empty(t, d.fired(t))
		s.free.Store(true)
		d.settled(t)
		require.Len(t, d.fired(t), orders)
		require.Equal(t, &router.ForwardedStatus{WaitsFor: []int{}}, must(d.store.Status(t.Context())).Partitions[0].Forwarded)
	})
}

func TestForwardingWaitsForRedisReplicasAndTheStatusSaysSo(t *testing.T) {
	master, replica := withReplica(t)
	d := &spread{store: open(t, master.Addr(), waiting, func(c *redisstore.Config) { c.Partitions = 2 })}
	d.define(t, pair)
	start(t, d.store, newSink())
	insistOn := func(e router.Event) {
		eventually(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			return d.store.Append(ctx, []router.Event{e})[0].Err == nil
		}, "it is accepted")
	}
	insistOn(in(t, 0, 2, "a", "a", "1"))
	d.settled(t)
	require.NoError(t, replica.Pause())
	b := in(t, 1, 2, "b", "b", "1")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.Error(t, d.store.Append(ctx, []router.Event{b})[0].Err)
	eventually(t, func() bool {
		alarm := must(d.store.Status(t.Context())).Partitions[1].Alarm
		return strings.HasPrefix(alarm, "forwarding events of triggers to partition ") && strings.HasSuffix(alarm, "is held up: 0 of 1 replicas of Redis confirmed")
	}, "the status says what it waits for")
	require.Empty(t, d.fired(t))
	require.NoError(t, replica.Resume())
	insistOn(b)
	d.settled(t)
	require.Len(t, d.fired(t), 1)
	eventually(t, func() bool { return must(d.store.Status(t.Context())).Partitions[1].Alarm == "" }, "it says so no more")
}

func TestWhatCannotBeAppliedOfAnInboxBecomesADeadLetterAndTheRestGoesOn(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		d := &spread{store: open(t, addr, func(c *redisstore.Config) { c.Partitions = 2 })}
		d.define(t, strings.Replace(pair, `"key": ["data.order"], `, "", 1))
		raw := redistest.Client(t, addr)
		_, stop := start(t, d.store, newSink())
		appendOne(t, d.store, in(t, 0, 2, "a1", "a", "1"))
		d.settled(t)
		partials := append(raw.Keys(t.Context(), redisstore.KeyIn(d.store, 0, "t:*:*:*")).Val(), raw.Keys(t.Context(), redisstore.KeyIn(d.store, 1, "t:*:*:*")).Val()...)
		require.Len(t, partials, 1)
		home := int(partials[0][strings.Index(partials[0], "{")+1] - '0')
		require.Contains(t, partials[0], fmt.Sprintf("{%d}", home))

		stop()
		raw.RPush(t.Context(), redisstore.KeyIn(d.store, home, "in:1"), "nothing that was forwarded")
		trigger := must(d.store.Trigger(t.Context(), "pair"))
		definitions := must(d.store.Definitions(t.Context(), 0))
		late := router.Forwarded{
			Position: router.Position{Partition: 1, MS: 5}, Event: event(t, "late", "b"),
			Offers: []router.ForwardedOffer{{Trigger: trigger.ID, Generation: trigger.Generation, Leaves: []router.MetLeaf{{Leaf: 1}}}},
		}
		status, _, err := d.store.Forward(t.Context(), router.Forward{From: 1, To: home, Token: definitions.Tokens[home], Entries: []router.Forwarded{late}})
		require.NoError(t, err)
		require.Equal(t, router.Done, status)
		start(t, d.store, newSink())
		d.settled(t)
		require.ElementsMatch(t, []string{"malformed nothing that was forwarded", "late late"}, reasons(deadLetters(t, d.store, 2)))
		appendOne(t, d.store, in(t, 1, 2, "b1", "b", "1"))
		d.settled(t)
		require.Len(t, d.fired(t), 1)

		appendOne(t, d.store, in(t, 1, 2, "a2", "a", "1"))
		d.settled(t)
		require.NoError(t, raw.Del(t.Context(), partials[0]).Err())
		require.NoError(t, raw.Set(t.Context(), partials[0], "something else", 0).Err())
		appendOne(t, d.store, in(t, 0, 2, "b2", "b", "1"))
		d.settled(t)
		require.Contains(t, reasons(deadLetters(t, d.store, 3)), "partial-unusable b2")
	})
}

func reasons(letters []router.DeadLetter) (texts []string) {
	for _, l := range letters {
		texts = append(texts, l.Reason+" "+l.Event.ID()+l.Raw)
	}
	return texts
}

func TestOnSeveralPartitionsWhatIsForgottenOfATriggerIsForgottenEverywhere(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		d := &spread{store: open(t, addr, func(c *redisstore.Config) { c.Partitions = 3 })}
		d.define(t, pair)
		_, stop := start(t, d.store, newSink())
		for i := range 30 {
			appendOne(t, d.store, scattered(t, fmt.Sprint(i), "a", fmt.Sprint(i)))
		}
		d.settled(t)
		trigger := must(d.store.Trigger(t.Context(), "pair"))
		require.EqualValues(t, 30, must(d.store.TriggerStatus(t.Context(), trigger)).Partials)
		_, err := d.store.DeleteTrigger(t.Context(), trigger.ID, 0)
		require.NoError(t, err)
		stop()
		start(t, d.store, newSink()) // which looks at once, not after ten seconds
		raw := redistest.Client(t, addr)
		eventually(t, func() bool {
			return len(raw.Keys(t.Context(), strings.Replace(redisstore.Key(d.store, "*"+trigger.ID+"*"), "{0}", "{*}", 1)).Val()) == 0
		}, "all of it is freed")
	})
}

func TestAQueueThatCannotBeUsedKeepsNoTriggerFromBeingFreed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		d := &spread{store: open(t, addr, func(c *redisstore.Config) { c.Partitions = 3 })}
		d.define(t, pair)
		_, stop := start(t, d.store, newSink())
		appendOne(t, d.store, scattered(t, "1", "a", "1"))
		d.settled(t)
		trigger := must(d.store.Trigger(t.Context(), "pair"))
		_, err := d.store.DeleteTrigger(t.Context(), trigger.ID, 0)
		require.NoError(t, err)
		stop()
		spoilt := must(d.store.CreateSubscription(t.Context(), router.Subscription{
			Name: "spoilt", Enabled: true, Filter: router.Filter{Types: []string{"x.*"}}, Delivery: router.DefaultDelivery(),
			Sink: router.Sink{Kind: router.PullSink, Lease: router.DefaultPullLease, MaxAttempts: 1},
		}))
		raw := redistest.Client(t, addr)
		for p := range 3 {
			require.NoError(t, raw.Set(t.Context(), redisstore.KeyIn(d.store, p, "l:"+spoilt.ID), "x", 0).Err())
			require.NoError(t, raw.ZAdd(t.Context(), redisstore.KeyIn(d.store, p, "pulls"), redis.Z{Member: spoilt.ID}).Err())
		}
		start(t, d.store, newSink()) // which looks at once, not after ten seconds
		eventually(t, func() bool {
			return len(raw.Keys(t.Context(), strings.Replace(redisstore.Key(d.store, "*"+trigger.ID+"*"), "{0}", "{*}", 1)).Val()) == 0
		}, "all of it is freed")
	})
}
