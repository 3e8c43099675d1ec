package redisstore_test

import (
	"context"
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

// replays notes what is sent: to whom, under which id, and whether it is marked.
type replays struct {
	mu  sync.Mutex
	got map[string][]string // subscription's name to "event id marked"
	ids map[string]bool     // of deliveries
}

func (r *replays) Send(_ context.Context, s router.Sending) router.Attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := s.Event.ID()
	for _, x := range extensions(s.Event) {
		if x.Name == router.ReplayExtension {
			text += " " + x.Value
		}
	}
	r.got[s.Subscription.Name] = append(r.got[s.Subscription.Name], text)
	r.ids[s.DeliveryID()] = true
	return router.Attempt{At: time.Now(), Outcome: router.OutcomeDelivered}
}

func extensions(e router.Event) []router.Extension {
	return slices.Collect(e.Extensions)
}

func (r *replays) of(name string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.got[name]))
}

// replay begins a replay and waits for its end.
func replay(t *testing.T, s *redisstore.Store, r *router.Router, req router.ReplayRequest) router.Operation {
	t.Helper()
	o, err := r.Begin(t.Context(), router.Operation{Kind: router.ReplayOperation, Replay: req})
	require.NoError(t, err)
	eventually(t, func() bool {
		o, err = s.Operation(t.Context(), o.ID)
		require.NoError(t, err)
		return !o.Running()
	}, "the replay ends")
	return o
}

func TestRetainedEventsAreReplayedToOneSubscriptionThoughNoneMatchedThem(t *testing.T) {
	for _, partitions := range []int{1, 3} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, addr string) {
				s := open(t, addr, func(c *redisstore.Config) { c.Partitions = partitions })
				out := &replays{got: map[string][]string{}, ids: map[string]bool{}}
				r, _ := start(t, s, out)
				create(t, s, "other", "x.*")
				var want []string
				for i := range 25 {
					appendOne(t, s, event(t, fmt.Sprintf("x%02d", i), "x.y"))
					appendOne(t, s, event(t, fmt.Sprintf("z%02d", i), "z.z"))
					want = append(want, fmt.Sprintf("x%02d true", i))
				}
				eventually(t, func() bool { return len(out.of("other")) == 25 }, "all is routed")
				late := create(t, s, "late", "x.*")
				n, err := r.CountReplay(t.Context(), late, router.ReplayRequest{})
				require.NoError(t, err)
				require.EqualValues(t, 25, n)

				o := replay(t, s, r, router.ReplayRequest{Subscription: late.ID})
				require.Empty(t, o.Error)
				require.EqualValues(t, 50, o.Total)
				require.Equal(t, map[string]int64{"replayed": 25, "passed": 25}, o.Progress)
				eventually(t, func() bool { return len(out.of("late")) == 25 }, "all arrive")
				require.Equal(t, want, out.of("late"))
				require.Len(t, out.of("other"), 25, "nobody else gets them")

				replay(t, s, r, router.ReplayRequest{Subscription: late.ID})
				eventually(t, func() bool { return len(out.of("late")) == 50 }, "once more")
				require.Len(t, out.ids, 75, "each under an id of its own")
				records, err := s.ReadLog(t.Context(), router.Position{}, 1, 0)
				require.NoError(t, err)
				for _, one := range records {
					require.Empty(t, extensions(one.Event), "the log has what was published")
				}
			})
		})
	}
}

func TestAReplayIsOfATimeAndOfTypes(t *testing.T) {
	mini := redistest.Mini(t)
	began := time.UnixMilli(1_700_000_000_000).UTC()
	s := open(t, mini.Addr())
	for i := range 10 {
		mini.SetTime(began.Add(time.Duration(i) * time.Second))
		appendOne(t, s, event(t, fmt.Sprint("a", i), "x.a"))
		appendOne(t, s, event(t, fmt.Sprint("b", i), "x.b.c"))
	}
	sub := create(t, s, "one", "x.*")
	r := router.New(s, router.Config{})
	at := func(i int) time.Time { return began.Add(time.Duration(i) * time.Second) }
	for name, c := range map[string]struct {
		req  router.ReplayRequest
		want int64
	}{
		"all":           {router.ReplayRequest{}, 20},
		"from":          {router.ReplayRequest{From: at(4)}, 12},
		"just after":    {router.ReplayRequest{From: at(4).Add(time.Microsecond)}, 10},
		"to":            {router.ReplayRequest{To: at(4)}, 8},
		"between":       {router.ReplayRequest{From: at(2), To: at(4)}, 4},
		"a type":        {router.ReplayRequest{Types: []string{"x.a"}}, 10},
		"any of types":  {router.ReplayRequest{Types: []string{"x.a", "x.b.*"}}, 20},
		"other types":   {router.ReplayRequest{Types: []string{"y.*"}}, 0},
		"to the future": {router.ReplayRequest{From: at(9), To: at(99), Types: []string{"x.a"}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := r.CountReplay(t.Context(), sub, c.req)
			require.NoError(t, err)
			require.Equal(t, c.want, n)
		})
	}
}

func TestAReplayGoesOnWhenItsReplicaIsGoneAndQueuesEachEventOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		own := redistest.Namespace(t)
		namespace := func(c *redisstore.Config) { c.Namespace = own }
		s := open(t, addr, namespace)
		events := make([]router.Event, 900)
		for i := range events {
			events[i] = event(t, fmt.Sprintf("e%03d", i), "x.y")
		}
		for _, appended := range s.Append(t.Context(), events) {
			require.NoError(t, appended.Err)
		}
		sub := create(t, s, "late", "x.*")
		sub.Enabled = false
		sub, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		o, err := s.BeginOperation(t.Context(), router.Operation{Kind: router.ReplayOperation, Replay: router.ReplayRequest{Subscription: sub.ID}})
		require.NoError(t, err)
		require.EqualValues(t, 900, o.Total)
		_, ok, err := s.TakeTurn(t.Context(), 20*time.Millisecond) // by a replica that dies after it has queued a page
		require.NoError(t, err)
		require.True(t, ok)
		records, err := s.ReadLog(t.Context(), router.Position{}, 100, 0)
		require.NoError(t, err)
		page := router.ReplayPage{Operation: o.ID, Suffix: o.Suffix, Queue: sub.Queue(), To: router.ReplayCursor{Begun: true, Position: records[99].Position}}
		for _, r := range records {
			page.Events = append(page.Events, r.Position)
		}
		for range 2 { // the reply was lost, and it came back
			require.NoError(t, s.Replay(t.Context(), 0, page))
		}
		status, err := s.SubscriptionStatus(t.Context(), sub.ID)
		require.NoError(t, err)
		require.EqualValues(t, 100, status.Backlog)

		out := &replays{got: map[string][]string{}, ids: map[string]bool{}}
		start(t, open(t, addr, namespace), out)
		eventually(t, func() bool { return len(out.of("late")) >= 900 }, "another replica goes on")
		for i, text := range out.of("late") {
			require.Equal(t, fmt.Sprintf("e%03d true", i), text)
		}
	})
}

func TestWhatAReplayQueuesSurvivesTrimmingAndWhatIsGoneIsPassedOver(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.Retention = time.Second })
		other := create(t, s, "other", "x.*")
		queued(t, s, other, 4) // all is routed, so that it can be trimmed
		sub := create(t, s, "late", "x.*")
		records, err := s.ReadLog(t.Context(), router.Position{}, 10, 0)
		require.NoError(t, err)
		page := func(o router.Operation, from router.ReplayCursor, to int) router.ReplayPage {
			p := router.ReplayPage{Operation: o.ID, Suffix: o.Suffix, Queue: sub.Queue(), From: from, To: router.ReplayCursor{Begun: true, Position: records[to-1].Position}}
			for _, r := range records[to-2 : to] {
				p.Events = append(p.Events, r.Position)
			}
			return p
		}
		o, err := s.BeginOperation(t.Context(), router.Operation{Kind: router.ReplayOperation, Replay: router.ReplayRequest{Subscription: sub.ID}})
		require.NoError(t, err)
		first := page(o, router.ReplayCursor{}, 2)
		require.NoError(t, s.Replay(t.Context(), 0, first))
		c := redistest.Client(t, addr)
		require.NoError(t, c.Del(t.Context(), redisstore.Key(s, "q:"+other.ID)).Err()) // so that nobody else keeps them
		trimmed := func() bool {
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			left, err := s.ReadLog(t.Context(), router.Position{}, 10, 0)
			require.NoError(t, err)
			return len(left) == 0
		}
		eventually(t, trimmed, "the log is trimmed")
		require.NoError(t, s.Replay(t.Context(), 0, page(o, first.To, 4)), "read before, and trimmed since")
		o, err = s.Operation(t.Context(), o.ID)
		require.NoError(t, err)
		require.Equal(t, map[string]int64{"replayed": 2, "passed": 2}, o.Progress)

		claimed := claim(t, s, 0, sub, 10)
		require.Len(t, claimed, 2)
		for i, one := range claimed {
			found, err := s.LoadEvents(t.Context(), 0, []router.Position{one.Entry.Position})
			require.NoError(t, err)
			require.Equal(t, fmt.Sprint("e", i), found[0].Event.ID(), "in the order of the log")
			settle(t, s, router.Settlement{Claimed: one, Verdict: router.Delivered, Attempt: success(time.Now())})
		}
		again, err := s.BeginOperation(t.Context(), router.Operation{Kind: router.ReplayOperation, Replay: router.ReplayRequest{Subscription: sub.ID, Types: []string{"x.y"}}})
		require.NoError(t, err)
		require.NoError(t, s.Replay(t.Context(), 0, page(again, router.ReplayCursor{}, 2)))
		require.Empty(t, claim(t, s, 0, sub, 10), "nothing is left of them")
		require.Zero(t, c.HLen(t.Context(), redisstore.Key(s, "copies")).Val())
	})
}

func TestWhatIsReplayedWhileTheLogIsBeingTrimmedKeepsItsEvent(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "late", "x.*")
		at := appendOne(t, s, event(t, "a", "x.y"))
		c := redistest.Client(t, addr)
		require.NoError(t, c.HSet(t.Context(), redisstore.Key(s, "state"), "horizon", at.ID()).Err()) // all queues were gone through; trimming is next
		o, err := s.BeginOperation(t.Context(), router.Operation{Kind: router.ReplayOperation, Replay: router.ReplayRequest{Subscription: sub.ID}})
		require.NoError(t, err)
		page := router.ReplayPage{Operation: o.ID, Suffix: o.Suffix, Queue: sub.Queue(), To: router.ReplayCursor{Ended: true}, Events: []router.Position{at}}
		require.NoError(t, s.Replay(t.Context(), 0, page))
		require.NoError(t, c.Del(t.Context(), redisstore.Key(s, "log")).Err())
		redisstore.Forget(s)
		found, err := s.LoadEvents(t.Context(), 0, []router.Position{at})
		require.NoError(t, err)
		require.NoError(t, found[0].Err)
		settle(t, s, router.Settlement{Claimed: claim(t, s, 0, sub, 1)[0], Verdict: router.Delivered, Attempt: success(time.Now())})
		require.Zero(t, c.Exists(t.Context(), redisstore.Key(s, "copies"), redisstore.Key(s, "holds")).Val())
	})
}

func TestAReplayOfADeletedSubscriptionFails(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "late", "x.*")
		queued(t, s, sub, 2)
		o, err := s.BeginOperation(t.Context(), router.Operation{Kind: router.ReplayOperation, Replay: router.ReplayRequest{Subscription: sub.ID}})
		require.NoError(t, err)
		records, err := s.ReadLog(t.Context(), router.Position{}, 10, 0)
		require.NoError(t, err)
		_, err = s.DeleteSubscription(t.Context(), sub.ID, 0)
		require.NoError(t, err)
		err = s.Replay(t.Context(), 0, router.ReplayPage{Operation: o.ID, Suffix: o.Suffix, Queue: sub.Queue(), To: router.ReplayCursor{Ended: true}, Events: []router.Position{records[0].Position}})
		require.Equal(t, router.NotFound, router.ErrorCode(err))
		start(t, s, newSink())
		eventually(t, func() bool {
			o, err = s.Operation(t.Context(), o.ID)
			require.NoError(t, err)
			return !o.Running()
		}, "it ends")
		require.Contains(t, o.Error, "there is no subscription")
		first := o
		o.Error = ""
		require.NoError(t, s.EndOperation(t.Context(), o), "what has ended has ended")
		o, err = s.Operation(t.Context(), o.ID)
		require.NoError(t, err)
		require.Equal(t, first, o)
	})
}

func TestWorkersPullReplayedEventsMarked(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		p := startPulling(t, addr, time.Minute, 5)
		p.publish(t, 1)
		original := p.one(t)
		p.ack(t, original.Receipt)
		replay(t, p.store, p.router, router.ReplayRequest{Subscription: p.sub.ID})
		again := p.one(t)
		require.Equal(t, original.Event.ID(), again.Event.ID())
		require.NotEqual(t, original.ID, again.ID)
		require.Equal(t, []router.Extension{{Name: router.ReplayExtension, Value: "true", Kind: router.BooleanValue}}, extensions(again.Event))
		require.Equal(t, []bool{false}, p.ack(t, original.Receipt))
		d, err := p.store.Delivery(t.Context(), again.ID)
		require.NoError(t, err)
		require.Equal(t, router.DeliveryPending, d.Status)
		require.Equal(t, []bool{true}, p.ack(t, again.Receipt))
	})
}
