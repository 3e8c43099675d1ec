package redisstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// capped creates a subscription whose backlog has a cap.
func capped(t *testing.T, s *redisstore.Store, most int, change ...func(*router.Subscription)) router.Subscription {
	t.Helper()
	sub := create(t, s, "capped", "x.*")
	sub.Delivery.MaxBacklog = most
	for _, f := range change {
		f(&sub)
	}
	sub, err := s.ReplaceSubscription(t.Context(), sub)
	require.NoError(t, err)
	return sub
}

func statusOf(t *testing.T, s *redisstore.Store, sub router.Subscription) router.SubscriptionStatus {
	t.Helper()
	status, err := s.SubscriptionStatus(t.Context(), sub.ID)
	require.NoError(t, err)
	return status
}

func TestWhatFindsTheBacklogFullBecomesADeadLetterWithItsEventAndCanBeRedriven(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.LogMaxBytes = 1 })
		sub := capped(t, s, 4)
		queued(t, s, sub, 6)
		status := statusOf(t, s, sub)
		require.Equal(t, []int64{4, 2, 2}, []int64{status.Backlog, status.Dead, status.OverCap})
		require.Zero(t, status.LastFailure, "nothing was tried")

		for range 3 {
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
		}
		letters, _, err := s.DeadLetters(t.Context(), router.DeadLetterFilter{Subscription: sub.ID, Reason: string(router.OutcomeBacklogFull)}, "", 10)
		require.NoError(t, err)
		require.Len(t, letters, 2)
		for i, id := range []string{"e5", "e4"} {
			require.Equal(t, event(t, id, "x.y").Encode(), letters[i].Event.Encode(), "the newest ones, whole, though the log is trimmed")
			require.Len(t, letters[i].Attempts, 1)
			require.WithinDuration(t, time.Now(), letters[i].Attempts[0].At, time.Minute)
		}

		for _, c := range claim(t, s, 0, sub, 4) {
			settle(t, s, router.Settlement{Claimed: c, Verdict: router.Delivered})
		}
		done := move(t, s, router.RedriveOperation, router.DeadLetterSelection{DeadLetterFilter: router.DeadLetterFilter{Reason: string(router.OutcomeBacklogFull)}})
		require.EqualValues(t, 2, done.Progress[router.ProgressRedriven])
		again := claim(t, s, 0, sub, 4)
		require.Len(t, again, 2)
		for _, c := range again {
			records, err := s.LoadEvents(t.Context(), 0, []router.Position{c.Entry.Position})
			require.NoError(t, err)
			require.NoError(t, records[0].Err)
			settle(t, s, router.Settlement{Claimed: c, Verdict: router.Delivered})
		}
		c := redistest.Client(t, addr)
		require.Zero(t, c.HLen(t.Context(), redisstore.Key(s, "copies")).Val())
		require.Zero(t, c.HLen(t.Context(), redisstore.Key(s, "holds")).Val())
	})
}

func TestAllThatWaitsOrIsUnderWayCountsForTheCap(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := capped(t, s, 4, func(sub *router.Subscription) { sub.Delivery.Ordered = true })
		lane := func(n int) { // all are of one lane
			for range n {
				e := ofKey(t, "key", int(statusOf(t, s, sub).Backlog+statusOf(t, s, sub).Dead))
				p := appendOne(t, s, e)
				lease, err := s.TakeLease(t.Context(), 0, "test", time.Minute, false)
				require.NoError(t, err)
				d, err := s.Definitions(t.Context(), 0)
				require.NoError(t, err)
				applied, err := s.Apply(t.Context(), router.Batch{
					From: lease.Cursor, To: router.Cursor{Position: p}, Token: d.Tokens[0], Events: 1,
					Enqueues: []router.Enqueue{{Queue: sub.Queue(), Entries: []router.Position{p}, Lanes: []string{e.Lane()}}},
				})
				require.NoError(t, err)
				require.Equal(t, router.Done, applied.Status)
			}
		}
		lane(2)
		claimed := claim(t, s, 0, sub, 4)
		require.Len(t, claimed, 1, "the other one is behind it")
		lane(2)
		require.Zero(t, statusOf(t, s, sub).Dead, "one under way, one behind it, two fresh")
		lane(1)
		require.EqualValues(t, 1, statusOf(t, s, sub).OverCap)
		settle(t, s, router.Settlement{Claimed: claimed[0], Verdict: router.Retrying, After: time.Hour, Attempt: failure(time.Now())})
		lane(1)
		require.EqualValues(t, 2, statusOf(t, s, sub).OverCap, "it waits for another attempt")

		sub.Delivery.MaxBacklog = 0
		_, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		lane(1)
		require.Equal(t, []int64{5, 2}, []int64{statusOf(t, s, sub).Backlog, statusOf(t, s, sub).Dead}, "without a cap")
	})
}

func TestWhatADisabledSubscriptionDoesNotGetIsNoDeadLetter(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := capped(t, s, 1, func(sub *router.Subscription) { sub.Enabled = false })
		queued(t, s, sub, 3)
		status := statusOf(t, s, sub)
		require.Equal(t, []int64{0, 0, 0, 3}, []int64{status.Backlog, status.Dead, status.OverCap, status.NotQueued})
	})
}

// A whole log of events that find no room: no call of apply makes more than 250 dead letters of them.
func TestACrowdBecomesDeadLettersInBoundedCalls(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	sub := capped(t, s, 10)
	other := create(t, s, "free", "x.*")
	require.NoError(t, s.PauseSubscription(t.Context(), sub.ID))
	for i := range 4 {
		more := sub
		more.ID, more.Name, more.Enabled = "", fmt.Sprint("more", i), true
		more, err := s.CreateSubscription(t.Context(), more)
		require.NoError(t, err)
		require.NoError(t, s.PauseSubscription(t.Context(), more.ID))
	}
	const events = 3000
	batch := make([]router.Event, events)
	for i := range batch {
		batch[i] = event(t, fmt.Sprint(i), "x.y")
	}
	for part := range slices.Chunk(batch, 21) { // most of them of a millisecond of their own, and not in step with the calls
		for _, r := range s.Append(t.Context(), part) {
			require.NoError(t, r.Err)
		}
	}
	records, err := s.ReadLog(t.Context(), router.Position{}, events, 0)
	require.NoError(t, err)
	d, err := s.Definitions(t.Context(), 0)
	require.NoError(t, err)
	e := router.Enqueue{Queue: sub.Queue()}
	for _, r := range records[:261] {
		e.Entries = append(e.Entries, r.Position)
	}
	applied, err := s.Apply(t.Context(), router.Batch{To: router.Cursor{Position: e.Entries[260]}, Token: d.Tokens[0], Events: 261, Enqueues: []router.Enqueue{e}})
	require.NoError(t, err)
	require.Equal(t, router.Applied{Status: router.Crowded, Entries: 250}, applied)
	require.Zero(t, statusOf(t, s, sub).Backlog, "nothing was done")
	e.Entries = e.Entries[:250] // of several groups
	some := router.Batch{To: router.Cursor{Position: e.Entries[249]}, Token: d.Tokens[0], Events: 250, Enqueues: []router.Enqueue{e, {Queue: other.Queue(), Entries: e.Entries}}}
	applied, err = s.Apply(t.Context(), some)
	require.NoError(t, err)
	require.Equal(t, router.Done, applied.Status)

	start(t, s, newSink())
	eventually(t, func() bool { return statusOf(t, s, other).Delivered == events }, "who has no cap gets all")
	eventually(t, func() bool { return statusOf(t, s, sub).OverCap == events-10 }, "and the router comes through")
	require.EqualValues(t, 10, statusOf(t, s, sub).Backlog)
	seen := map[string]bool{}
	for cursor := ""; ; {
		letters, next, err := s.DeadLetters(t.Context(), router.DeadLetterFilter{}, cursor, 1000)
		require.NoError(t, err)
		for _, l := range letters {
			if l.Subscription == sub.ID {
				seen[l.Event.ID()+" "+l.Position.ID()] = true
			}
		}
		if cursor = next; cursor == "" {
			break
		}
	}
	require.Len(t, seen, events-10)
	for _, r := range records[10:] {
		require.True(t, seen[r.Event.ID()+" "+r.Position.ID()], "the event at %s is that of its letter", r.Position)
	}
}

func TestReplaysAndRedrivesLeaveRoomForNewEvents(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := capped(t, s, 10)
		killed(t, s, sub, 30, router.OutcomeStatus)
		o, err := s.BeginOperation(t.Context(), router.Operation{Kind: router.RedriveOperation})
		require.NoError(t, err)
		moved, more, err := s.MoveDeadLetters(t.Context(), o, 100)
		require.ErrorIs(t, err, router.ErrBacklogFull)
		require.True(t, more)
		require.Equal(t, 5, moved, "half of what it may hold")
		require.EqualValues(t, 5, statusOf(t, s, sub).Backlog)
		claimed := claim(t, s, 0, sub, 2)
		for _, c := range claimed {
			settle(t, s, router.Settlement{Claimed: c, Verdict: router.Delivered})
		}
		moved, _, err = s.MoveDeadLetters(t.Context(), o, 100)
		require.ErrorIs(t, err, router.ErrBacklogFull)
		require.Equal(t, 2, moved, "as it drains")

		room, err := s.QueueRoom(t.Context(), 0, sub.Queue())
		require.NoError(t, err)
		require.Zero(t, room)
	})
}

func TestARedriveAndAReplayOfMoreThanTheCapComeToTheirEnd(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := capped(t, s, 80)
		killed(t, s, sub, 60, router.OutcomeStatus)
		out := newSink()
		r, _ := start(t, s, out)
		for _, o := range []router.Operation{
			{Kind: router.RedriveOperation}, {Kind: router.ReplayOperation, Replay: router.ReplayRequest{Subscription: sub.ID}},
		} {
			before := out.count("capped")
			o, err := r.Begin(t.Context(), o)
			require.NoError(t, err)
			eventually(t, func() bool {
				o, err = s.Operation(t.Context(), o.ID)
				require.NoError(t, err)
				return !o.Running()
			}, "it ends")
			require.Empty(t, o.Error)
			eventually(t, func() bool { return out.count("capped") == before+60 }, "all of it arrives, once")
			require.EqualValues(t, 60, o.Done())
		}
		status := statusOf(t, s, sub)
		require.Zero(t, status.OverCap)
		require.NotContains(t, status.LastError, "backlog")
	})
}
