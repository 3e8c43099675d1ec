package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// scriptHook is a hook that does something before a store calls a script.
type scriptHook struct {
	names  map[string]string
	before func(script string, args []any) error // args: hash, number of keys, keys, arguments; an error takes the place of the call
}

func interleave(s *redisstore.Store, before func(script string, args []any) error) {
	redisstore.AddHook(s, scriptHook{names: redisstore.ScriptNames(s), before: before})
}

func (h scriptHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "evalsha" {
			hash, _ := cmd.Args()[1].(string)
			if err := h.before(h.names[hash], cmd.Args()[1:]); err != nil {
				cmd.SetErr(err)
				return err
			}
		}
		return next(ctx, cmd)
	}
}

func (scriptHook) DialHook(next redis.DialHook) redis.DialHook { return next }
func (scriptHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// routed is a subscription with one delivery, leased for an hour.
func routed(t *testing.T, s *redisstore.Store) (router.Subscription, router.Claimed) {
	t.Helper()
	sub := create(t, s, "one", "x.*")
	p := appendOne(t, s, event(t, "a", "x.y"))
	d, err := s.Definitions(t.Context(), 0)
	require.NoError(t, err)
	applied, err := s.Apply(t.Context(), router.Batch{
		To: router.Cursor{Position: p}, Token: d.Tokens[0], Events: 1,
		Enqueues: []router.Enqueue{{Queue: queueOf(sub), Entries: []router.Position{p}, Take: 1, Lease: time.Hour}},
	})
	require.NoError(t, err)
	require.Len(t, applied.Claimed, 1)
	return sub, applied.Claimed[0]
}

func TestADeliveryThatIsPutBackWhileItsEventIsTrimmedKeepsTheEvent(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		for call := range 3 { // of keep: for the list, the leases, the retries
			s := open(t, addr, func(c *redisstore.Config) { c.LogMaxBytes, c.Retention = 1, time.Second })
			_, claimed := routed(t, s)
			c := redistest.Client(t, addr)
			require.NoError(t, c.HSet(t.Context(), redisstore.Key(s, "state"), "horizon", claimed.Entry.Position.ID()).Err())
			n := -1
			interleave(s, func(script string, _ []any) error {
				if script != "keep" {
					return nil
				}
				if n++; n == call {
					settled, _, err := s.SettleDeliveries(t.Context(), 0, []router.Settlement{{Claimed: claimed, Unstarted: true}}, nil)
					require.NoError(t, err)
					require.Zero(t, settled[0].Lost)
				}
				return nil
			})
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			require.NoError(t, c.Do(t.Context(), "XTRIM", redisstore.Key(s, "log"), "MAXLEN", 0).Err()) // as trim does when a node is full
			records, err := s.LoadEvents(t.Context(), 0, []router.Position{claimed.Entry.Position})
			require.NoError(t, err)
			require.NoError(t, records[0].Err)
			require.Equal(t, "a", records[0].Event.ID())
		}
	})
}

func TestADeletedSubscriptionStaysOutOfTheSchedule(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub, claimed := routed(t, s)
		_, err := s.DeleteSubscription(t.Context(), sub.ID, 0)
		require.NoError(t, err)

		settled, _, err := s.SettleDeliveries(t.Context(), 0, []router.Settlement{{Claimed: claimed, Unstarted: true}}, nil)
		require.NoError(t, err)
		require.Equal(t, []router.Settled{{Queue: claimed.Queue, Lost: 1}}, settled)
		again, _, err := s.ClaimDeliveries(t.Context(), 0, []router.Claim{{Queue: claimed.Queue, Max: 1, Lease: time.Minute}})
		require.NoError(t, err)
		require.Empty(t, again)
		due, next, err := s.DueQueues(t.Context(), 0, router.WebhookSink, 10)
		require.NoError(t, err)
		require.Empty(t, due)
		require.Negative(t, next)
	})
}

// The cursor stands amid the last event before the deletion: what is left of it may still be queued.
func TestADeletedSubscriptionIsNotForgottenBeforeTheLastEventIsAppliedWhole(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "gone", "x.*")
		old, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		p := appendOne(t, s, event(t, "a", "x.y"))
		amid := router.Cursor{Position: p, Target: "sub_"}
		_, err = s.Apply(t.Context(), router.Batch{To: amid, Token: old.Tokens[0]})
		require.NoError(t, err)
		_, err = s.DeleteSubscription(t.Context(), sub.ID, 0)
		require.NoError(t, err)
		_, err = s.Housekeep(t.Context(), 0)
		require.NoError(t, err)

		applied, err := s.Apply(t.Context(), router.Batch{
			From: amid, To: router.Cursor{Position: p}, Token: old.Tokens[0], Events: 1,
			Enqueues: []router.Enqueue{{Queue: queueOf(sub), Entries: []router.Position{p}}},
		})
		require.NoError(t, err)
		require.Equal(t, router.Done, applied.Status)
		_, err = s.Housekeep(t.Context(), 0)
		require.NoError(t, err)
		require.Empty(t, redistest.Client(t, addr).Keys(t.Context(), redisstore.Key(s, "*"+sub.ID)).Val())
	})
}

func TestAnEventIsKnownAlsoWhenTheClockGoesBack(t *testing.T) {
	mini := redistest.Mini(t)
	boundary := time.Unix(1_700_000_000, 0) // where a half of the dedupe window begins
	mini.SetTime(boundary)
	s := open(t, mini.Addr(), func(c *redisstore.Config) { c.DedupeWindow = 10 * time.Second })
	first := appendOne(t, s, event(t, "a", "x.y"))
	mini.SetTime(boundary.Add(-time.Millisecond))
	again := s.Append(t.Context(), []router.Event{event(t, "a", "x.y")})[0]
	require.NoError(t, again.Err)
	require.True(t, again.Duplicate)
	require.Equal(t, first, again.Position)
}

func TestOfTwinsInACallThatIsRepeatedOneIsADuplicate(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		proxy := redistest.NewProxy(t, addr)
		s := open(t, proxy.Addr())
		appendOne(t, s, event(t, "first", "x.y"))
		proxy.Only("evalsha")
		proxy.SwallowNext(1)
		twins := s.Append(t.Context(), []router.Event{event(t, "a", "x.y"), event(t, "a", "x.y")})
		require.False(t, twins[0].Duplicate)
		require.True(t, twins[1].Duplicate)
		require.Equal(t, twins[0].Position, twins[1].Position)
	})
}

// The deletion is stored and its replica dies before it is announced; the next change is announced before anybody has read the definitions.
func TestADeletionThatDiedBeforeItWasAnnouncedIsAnnouncedWithTheNextChange(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		namespace := func(c *redisstore.Config) { c.Namespace = "t-died" }
		dying, s := open(t, addr, namespace), open(t, addr, namespace)
		sub, claimed := routed(t, s)
		ctx, die := context.WithCancel(t.Context())
		interleave(dying, func(script string, _ []any) error {
			if script == "announce" {
				die()
				return context.Canceled
			}
			return nil
		})
		_, err := dying.DeleteSubscription(ctx, sub.ID, 0)
		require.Error(t, err)

		create(t, s, "another", "x.*")
		_, err = s.Housekeep(t.Context(), claimed.Entry.Position.Partition)
		require.NoError(t, err)
		require.Empty(t, redistest.Client(t, addr).Keys(t.Context(), redisstore.Key(s, "*"+sub.ID)).Val())
		due, next, err := s.DueQueues(t.Context(), 0, router.WebhookSink, 10)
		require.NoError(t, err)
		require.Empty(t, due)
		require.Negative(t, next)
	})
}

func TestADeletedSubscriptionTakesThePermitsOfDeadSendersWithIt(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.Partitions = 2 })
		sub := create(t, s, "one", "x.*")
		d, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		p := appendOne(t, s, event(t, "a", "x.y"))
		_, err = s.Apply(t.Context(), router.Batch{
			Partition: p.Partition, From: router.Cursor{Position: router.Position{Partition: p.Partition}}, To: router.Cursor{Position: p}, Token: d.Tokens[p.Partition],
			Enqueues: []router.Enqueue{{Queue: queueOf(sub), Entries: []router.Position{p}}},
		})
		require.NoError(t, err)
		claimed, _, err := s.ClaimDeliveries(t.Context(), p.Partition, []router.Claim{{Queue: queueOf(sub), Max: 1, Lease: time.Hour}})
		require.NoError(t, err)
		require.Len(t, claimed, 1)
		_, err = s.DeleteSubscription(t.Context(), sub.ID, 0)
		require.NoError(t, err)
		for partition := range 2 {
			_, err := s.Housekeep(t.Context(), partition)
			require.NoError(t, err)
			require.Empty(t, redistest.Client(t, addr).Keys(t.Context(), redisstore.KeyIn(s, partition, "*"+sub.ID)).Val())
		}
	})
}

// readHook is told of each call that reads the log to follow it.
type readHook struct{ told func() }

func interleaveReads(s *redisstore.Store, told func()) {
	redisstore.AddReadHook(s, readHook{told})
	redisstore.AddHook(s, readHook{told})
}

func (h readHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "xread" || cmd.Name() == "xrange" {
			h.told()
		}
		return next(ctx, cmd)
	}
}

func (readHook) DialHook(next redis.DialHook) redis.DialHook { return next }
func (readHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func sameNamespace(s *redisstore.Store) func(*redisstore.Config) {
	return func(c *redisstore.Config) { c.Namespace = redisstore.Namespace(s) }
}
