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

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// killed makes n deliveries of a subscription dead letters, for these reasons in turn.
func killed(t *testing.T, s *redisstore.Store, sub router.Subscription, n int, reasons ...router.Outcome) {
	t.Helper()
	queued(t, s, sub, n)
	done := 0
	for p := range s.Partitions() {
		for {
			claimed := claim(t, s, p, sub, 10)
			if len(claimed) == 0 {
				break
			}
			settlements := make([]router.Settlement, len(claimed))
			for i, c := range claimed {
				attempt := failure(time.UnixMilli(1_700_000_000_000).UTC())
				attempt.Outcome = reasons[done%len(reasons)]
				settlements[i] = router.Settlement{Claimed: c, Verdict: router.Dead, Attempt: attempt}
				done++
			}
			settle(t, s, settlements...)
		}
	}
}

// move begins an operation and does all of it.
func move(t *testing.T, s *redisstore.Store, kind router.OperationKind, selection router.DeadLetterSelection) router.Operation {
	t.Helper()
	o, err := s.BeginOperation(t.Context(), router.Operation{Kind: kind, Letters: selection})
	require.NoError(t, err)
	for more := true; more; {
		_, more, err = s.MoveDeadLetters(t.Context(), o, 7)
		require.NoError(t, err)
	}
	require.NoError(t, s.EndOperation(t.Context(), o))
	o, err = s.Operation(t.Context(), o.ID)
	require.NoError(t, err)
	require.False(t, o.Running())
	return o
}

func TestARedrivenDeadLetterKeepsItsIDAndItsAttemptsAndHasANewSchedule(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "one", "x.*")
		killed(t, s, sub, 3, router.OutcomeStatus)
		before, _ := allDead(t, s, router.DeadLetterFilter{}, 10)
		o := move(t, s, router.RedriveOperation, router.DeadLetterSelection{})
		require.EqualValues(t, 3, o.Total)
		require.Equal(t, map[string]int64{"redriven": 3}, o.Progress)
		after, _ := allDead(t, s, router.DeadLetterFilter{}, 10)
		require.Empty(t, after)
		whole, err := s.Status(t.Context())
		require.NoError(t, err)
		require.Zero(t, whole.Dead)
		due, _, err := s.DueQueues(t.Context(), 0, router.WebhookSink, 10)
		require.NoError(t, err)
		require.Equal(t, []string{sub.ID}, due)

		c := claim(t, s, 0, sub, 10)
		require.Len(t, c, 3)
		for i := range c {
			require.Equal(t, before[2-i].ID, router.DeliveryID(sub.ID, c[i].Entry), "the oldest first")
			require.Equal(t, 1, c[i].Attempt)
			d, err := s.Delivery(t.Context(), before[2-i].ID)
			require.NoError(t, err)
			require.Equal(t, router.DeliveryRetrying, d.Status)
			require.Equal(t, before[2-i].Attempts, d.Attempts)
		}
		again := failure(time.UnixMilli(1_700_000_000_001).UTC())
		settle(t, s, router.Settlement{Claimed: c[0], Verdict: router.Dead, Attempt: again},
			router.Settlement{Claimed: c[1], Verdict: router.Delivered, Attempt: success(again.At)}, router.Settlement{Claimed: c[2], Verdict: router.Retrying, Attempt: again})
		letter, err := s.DeadLetter(t.Context(), before[2].ID)
		require.NoError(t, err)
		require.Equal(t, append(slices.Clone(before[2].Attempts), again), letter.Attempts)
		require.Equal(t, before[2].Event, letter.Event)
		arrived, err := s.Delivery(t.Context(), before[1].ID)
		require.NoError(t, err)
		require.Equal(t, append(slices.Clone(before[1].Attempts), success(again.At)), arrived.Attempts)
		third := claim(t, s, 0, sub, 1)[0]
		require.Equal(t, 2, third.Attempt)
		settle(t, s, router.Settlement{Claimed: third, Verdict: router.Delivered, Attempt: success(again.At)})
		require.Zero(t, redistest.Client(t, addr).Exists(t.Context(), redisstore.Key(s, "a:"+sub.ID)).Val(), "nothing is left of their attempts")
	})
}

func TestWhatIsSelectedIsMovedAndNothingElse(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		for name, c := range map[string]struct {
			selection func(sub string, letters []router.DeadLetter) router.DeadLetterSelection
			want      int
		}{
			"all": {func(string, []router.DeadLetter) router.DeadLetterSelection { return router.DeadLetterSelection{} }, 20},
			"a subscription's": {func(sub string, _ []router.DeadLetter) router.DeadLetterSelection {
				return router.DeadLetterSelection{DeadLetterFilter: router.DeadLetterFilter{Subscription: sub}}
			}, 10},
			"for a reason": {func(string, []router.DeadLetter) router.DeadLetterSelection {
				return router.DeadLetterSelection{DeadLetterFilter: router.DeadLetterFilter{Reason: "timeout"}}
			}, 10},
			"of a subscription, for a reason": {func(sub string, _ []router.DeadLetter) router.DeadLetterSelection {
				return router.DeadLetterSelection{DeadLetterFilter: router.DeadLetterFilter{Subscription: sub, Reason: "timeout"}}
			}, 5},
			"some": {func(_ string, letters []router.DeadLetter) router.DeadLetterSelection {
				return router.DeadLetterSelection{IDs: []string{letters[3].ID, letters[1].ID, letters[3].ID, letters[0].ID + "~r1"}}
			}, 2},
			"some, for a reason": {func(_ string, letters []router.DeadLetter) router.DeadLetterSelection {
				s := router.DeadLetterSelection{DeadLetterFilter: router.DeadLetterFilter{Reason: "timeout"}}
				for _, d := range letters {
					s.IDs = append(s.IDs, d.ID)
				}
				return s
			}, 10},
			"to long ago": {func(string, []router.DeadLetter) router.DeadLetterSelection {
				return router.DeadLetterSelection{DeadLetterFilter: router.DeadLetterFilter{To: time.UnixMilli(1000)}}
			}, 0},
			"from another day": {func(string, []router.DeadLetter) router.DeadLetterSelection {
				return router.DeadLetterSelection{DeadLetterFilter: router.DeadLetterFilter{From: time.Now().Add(24 * time.Hour)}}
			}, 0},
		} {
			for _, kind := range []router.OperationKind{router.RedriveOperation, router.PurgeOperation} {
				t.Run(name+" "+string(kind), func(t *testing.T) {
					s := open(t, addr, func(c *redisstore.Config) { c.Partitions = 2 })
					a, b := create(t, s, "a", "x.*"), create(t, s, "b", "x.*")
					killed(t, s, a, 10, router.OutcomeStatus, router.OutcomeTimeout)
					requeue(t, s, b, 10, router.OutcomeStatus, router.OutcomeTimeout)
					letters, _ := allDead(t, s, router.DeadLetterFilter{}, 100)
					require.Len(t, letters, 20)
					selection := c.selection(a.ID, letters)
					n, err := s.CountDeadLetters(t.Context(), selection)
					require.NoError(t, err)
					require.EqualValues(t, c.want, n)
					o := move(t, s, kind, selection)
					require.EqualValues(t, c.want, o.Done())
					left, _ := allDead(t, s, router.DeadLetterFilter{}, 100)
					require.Len(t, left, 20-c.want)
					for _, d := range left {
						mine := (selection.Subscription == "" || selection.Subscription == d.Subscription) && (selection.Reason == "" || selection.Reason == d.Reason) &&
							(selection.IDs == nil || slices.Contains(selection.IDs, d.ID))
						require.False(t, mine && c.want > 0, d.ID)
					}
				})
			}
		}
	})
}

// requeue is killed for events of its own.
func requeue(t *testing.T, s *redisstore.Store, sub router.Subscription, n int, reasons ...router.Outcome) {
	t.Helper()
	for i := range n {
		require.NoError(t, s.Append(t.Context(), []router.Event{event(t, fmt.Sprint("more", i), "x.y")})[0].Err)
	}
	d, err := s.Definitions(t.Context(), 0)
	require.NoError(t, err)
	for p := range s.Partitions() {
		lease, err := s.TakeLease(t.Context(), p, "test", time.Minute, false)
		require.NoError(t, err)
		records, err := s.ReadLog(t.Context(), lease.Cursor.Position, 1000, 0)
		require.NoError(t, err)
		if len(records) == 0 {
			continue
		}
		b := router.Batch{Partition: p, From: lease.Cursor, To: router.Cursor{Position: records[len(records)-1].Position}, Token: d.Tokens[p], Events: len(records)}
		e := router.Enqueue{Queue: sub.Queue()}
		for _, r := range records {
			e.Entries = append(e.Entries, r.Position)
		}
		b.Enqueues = append(b.Enqueues, e)
		applied, err := s.Apply(t.Context(), b)
		require.NoError(t, err)
		require.Equal(t, router.Done, applied.Status)
	}
	killed(t, s, sub, 0, reasons...)
}

func TestManyDeadLettersOfOneMillisecondAreAllMovedOnce(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	bury(t, s, 1200, "malformed", "other")
	o := move(t, s, router.RedriveOperation, router.DeadLetterSelection{})
	require.Equal(t, map[string]int64{"skipped": 1200}, o.Progress, "entries of the log can't be redriven")
	o = move(t, s, router.PurgeOperation, router.DeadLetterSelection{DeadLetterFilter: router.DeadLetterFilter{Reason: "other"}})
	require.Equal(t, map[string]int64{"purged": 600}, o.Progress)
	left, _ := allDead(t, s, router.DeadLetterFilter{}, 1000)
	require.Len(t, left, 600)
	c := redistest.Client(t, addr)
	require.EqualValues(t, 600, c.HLen(t.Context(), redisstore.Key(s, "holds")).Val())
	require.EqualValues(t, 1200, c.HLen(t.Context(), redisstore.Key(s, "copies")).Val(), "an event and its holders")
}

func TestACallThatIsRepeatedRedrivesNothingTwice(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "one", "x.*")
		killed(t, s, sub, 40, router.OutcomeStatus)
		same := router.Operation{Kind: router.RedriveOperation, Letters: router.DeadLetterSelection{DeadLetterFilter: router.DeadLetterFilter{Reason: "status"}}}
		first, err := s.BeginOperation(t.Context(), same)
		require.NoError(t, err)
		second, err := s.BeginOperation(t.Context(), same)
		require.NoError(t, err)
		require.Equal(t, first.ID, second.ID, "while it is under way there is one")
		other, err := s.BeginOperation(t.Context(), router.Operation{Kind: router.RedriveOperation})
		require.NoError(t, err)
		require.NotEqual(t, first.ID, other.ID)

		var replicas sync.WaitGroup
		for _, o := range []router.Operation{first, first, other} { // two replicas believe that it is their turn
			replicas.Go(func() {
				for more := true; more; {
					_, again, err := s.MoveDeadLetters(context.Background(), o, 3)
					if err != nil {
						t.Error(err)
						return
					}
					more = again
				}
			})
		}
		replicas.Wait()
		one, err := s.Operation(t.Context(), first.ID)
		require.NoError(t, err)
		two, err := s.Operation(t.Context(), other.ID)
		require.NoError(t, err)
		require.EqualValues(t, 40, one.Done()+two.Done())
		status, err := s.SubscriptionStatus(t.Context(), sub.ID)
		require.NoError(t, err)
		require.EqualValues(t, 40, status.Backlog)

		require.NoError(t, s.EndOperation(t.Context(), first))
		third, err := s.BeginOperation(t.Context(), same)
		require.NoError(t, err)
		require.NotEqual(t, first.ID, third.ID)
		require.Zero(t, third.Total, "they are no dead letters any more")
		for _, o := range []router.Operation{third, other} {
			require.NoError(t, s.EndOperation(t.Context(), o))
		}
		c := redistest.Client(t, addr)
		require.Zero(t, c.Exists(t.Context(), redisstore.Key(s, "ops"), redisstore.Key(s, "ops:same")).Val(), "nothing is left of what has ended")
	})
}

func TestARedrivenEventIsKeptThoughTheLogIsTrimmed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.Retention = time.Second })
		sub := create(t, s, "one", "x.*")
		killed(t, s, sub, 4, router.OutcomeStatus)
		eventually(t, func() bool {
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			records, err := s.ReadLog(t.Context(), router.Position{}, 10, 0)
			require.NoError(t, err)
			return len(records) == 0
		}, "the log is trimmed")
		move(t, s, router.RedriveOperation, router.DeadLetterSelection{})
		claimed := claim(t, s, 0, sub, 10)
		require.Len(t, claimed, 4)
		var settlements []router.Settlement
		for i, c := range claimed {
			records, err := s.LoadEvents(t.Context(), 0, []router.Position{c.Entry.Position})
			require.NoError(t, err)
			require.NoError(t, records[0].Err)
			settlements = append(settlements, router.Settlement{Claimed: c, Verdict: []router.Verdict{router.Delivered, router.Dead}[i%2], Attempt: failure(time.Now())})
		}
		settle(t, s, settlements...)
		letters, _ := allDead(t, s, router.DeadLetterFilter{}, 10)
		require.Len(t, letters, 2)
		require.NotEmpty(t, letters[0].Event.ID())
		move(t, s, router.PurgeOperation, router.DeadLetterSelection{})
		c := redistest.Client(t, addr)
		require.Zero(t, c.HLen(t.Context(), redisstore.Key(s, "copies")).Val()+c.HLen(t.Context(), redisstore.Key(s, "holds")).Val())
	})
}

func TestDeadLettersOfADeletedSubscriptionAreSkippedAndCounted(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		a, b := create(t, s, "a", "x.*"), create(t, s, "b", "x.*")
		killed(t, s, a, 3, router.OutcomeStatus)
		requeue(t, s, b, 2, router.OutcomeStatus)
		_, err := s.DeleteSubscription(t.Context(), a.ID, 0)
		require.NoError(t, err)
		o := move(t, s, router.RedriveOperation, router.DeadLetterSelection{})
		require.Equal(t, map[string]int64{"redriven": 2, "skipped": 3}, o.Progress)
		left, _ := allDead(t, s, router.DeadLetterFilter{}, 10)
		require.Len(t, left, 3)
	})
}

// What fails again at once becomes a dead letter again, after the operation began.
func TestAnOperationComesToAnEndThoughEverythingFailsAgain(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "bad", "x.*")
		sub.Delivery.Retry.Schedule = nil
		_, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		out := newSink()
		out.answer = func(router.Sending) router.Outcome { return router.OutcomeRefused }
		r, _ := start(t, s, out)
		for i := range 10 {
			appendOne(t, s, event(t, fmt.Sprint(i), "x.y"))
		}
		letters := func() int {
			list, _ := allDead(t, s, router.DeadLetterFilter{}, 100)
			return len(list)
		}
		eventually(t, func() bool { return letters() == 10 }, "all are dead letters")
		c := redistest.Client(t, addr)
		now := c.Time(t.Context()).Val().UnixMilli()
		eventually(t, func() bool { return c.Time(t.Context()).Val().UnixMilli() > now }, "a millisecond passes")
		o, err := r.Begin(t.Context(), router.Operation{Kind: router.RedriveOperation})
		require.NoError(t, err)
		eventually(t, func() bool {
			o, err = s.Operation(t.Context(), o.ID)
			require.NoError(t, err)
			return !o.Running()
		}, "it ends")
		require.EqualValues(t, 10, o.Done())
		eventually(t, func() bool { return letters() == 10 && sendings(out) == 20 }, "each was sent once more")
	})
}

func TestAnOperationGoesOnWhenItsReplicaIsGone(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		own := redistest.Namespace(t)
		namespace := func(c *redisstore.Config) { c.Namespace = own }
		s := open(t, addr, namespace)
		sub := create(t, s, "one", "x.*")
		killed(t, s, sub, 9, router.OutcomeStatus)
		o, err := s.BeginOperation(t.Context(), router.Operation{Kind: router.RedriveOperation})
		require.NoError(t, err)
		taken, ok, err := s.TakeTurn(t.Context(), 50*time.Millisecond)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, o.ID, taken.ID)
		moved, more, err := s.MoveDeadLetters(t.Context(), taken, 4)
		require.NoError(t, err)
		require.Equal(t, 4, moved)
		require.True(t, more)
		_, ok, err = s.TakeTurn(t.Context(), time.Minute)
		require.NoError(t, err)
		require.False(t, ok, "it is the first one's turn, which now dies")

		out := newSink()
		start(t, open(t, addr, namespace), out)
		eventually(t, func() bool { return out.count("one") == 9 }, "another replica goes on")
		eventually(t, func() bool {
			o, err = s.Operation(t.Context(), o.ID)
			require.NoError(t, err)
			return !o.Running()
		}, "and ends it")
		require.Equal(t, map[string]int64{"redriven": 9}, o.Progress)
	})
}

func TestHowFarAnOperationIsIsKeptWhileItWaitsForItsTurn(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.Partitions = 2 })
		o, err := s.BeginOperation(t.Context(), router.Operation{Kind: router.PurgeOperation})
		require.NoError(t, err)
		_, _, err = s.MoveDeadLetters(t.Context(), o, 10)
		require.NoError(t, err)
		c := redistest.Client(t, addr)
		for p := range 2 {
			require.NoError(t, c.HSet(t.Context(), redisstore.KeyIn(s, p, "o:"+o.ID), "cursor", "end").Err())
			require.NoError(t, c.PExpire(t.Context(), redisstore.KeyIn(s, p, "o:"+o.ID), time.Hour).Err())
		}
		require.NoError(t, s.EndTurn(t.Context(), o.ID, time.Second))
		for p := range 2 {
			require.Greater(t, c.PTTL(t.Context(), redisstore.KeyIn(s, p, "o:"+o.ID)).Val(), 6*24*time.Hour)
		}
	})
}

func TestARedriveKeepsToItsRate(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	sub := create(t, s, "one", "x.*")
	killed(t, s, sub, 12, router.OutcomeStatus)
	out := newSink()
	r, _ := start(t, s, out)
	began := time.Now()
	_, err := r.Begin(t.Context(), router.Operation{
		Kind: router.RedriveOperation, Letters: router.DeadLetterSelection{Rate: router.Rate{Limit: 20, Per: router.Duration(time.Second)}},
	})
	require.NoError(t, err)
	eventually(t, func() bool { return out.count("one") == 12 }, "all are redriven")
	require.GreaterOrEqual(t, time.Since(began), 400*time.Millisecond, "five, five and two, 250 ms apart")
}

func TestAnOperationThatThereIsNotIsNotFound(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	for _, id := range []string{"", "x", "op_", "op_" + "00000000000000000000000000", "sub_00000000000000000000000000"} {
		_, err := s.Operation(t.Context(), id)
		require.Equal(t, router.NotFound, router.ErrorCode(err), id)
	}
}

func TestWhatIsPutBackWhileItsSubscriptionIsPausedWaitsUntilItIsResumed(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "one", "x.*")
		killed(t, s, sub, 3, router.OutcomeStatus)
		require.NoError(t, s.PauseSubscription(t.Context(), sub.ID))
		move(t, s, router.RedriveOperation, router.DeadLetterSelection{})
		records, err := s.ReadLog(t.Context(), router.Position{}, 10, 0)
		require.NoError(t, err)
		page := router.ReplayPage{Operation: "op_" + strings.Repeat("0", 26), Queue: sub.Queue(), Suffix: "~r1", Events: []router.Position{records[0].Position}}
		require.NoError(t, s.Replay(t.Context(), 0, page))
		due, _, err := s.DueQueues(t.Context(), 0, router.WebhookSink, 10)
		require.NoError(t, err)
		require.Empty(t, due)
		require.Empty(t, claim(t, s, 0, sub, 10))
		require.NoError(t, s.ResumeSubscription(t.Context(), sub.ID))
		require.Len(t, claim(t, s, 0, sub, 10), 4)
	})
}
