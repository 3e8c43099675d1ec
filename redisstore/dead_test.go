package redisstore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// bury appends events and makes each a dead letter for one of the given reasons, in turn. It returns their positions.
func bury(t *testing.T, s *redisstore.Store, n int, reasons ...string) {
	t.Helper()
	events := make([]router.Event, n)
	for i := range events {
		events[i] = event(t, fmt.Sprint(i), "x.y")
	}
	batches := make([]router.Batch, s.Partitions())
	for i, r := range s.Append(t.Context(), events) {
		require.NoError(t, r.Err)
		b := &batches[r.Position.Partition]
		b.Partition, b.From.Position.Partition, b.To.Position = r.Position.Partition, r.Position.Partition, r.Position
		b.Events++
		b.Misfits = append(b.Misfits, router.Misfit{Position: r.Position, Reason: reasons[i%len(reasons)]})
	}
	for _, b := range batches {
		if b.Events > 0 {
			applied, err := s.Apply(t.Context(), b)
			require.NoError(t, err)
			require.Equal(t, router.Done, applied.Status)
		}
	}
}

// allDead lists all that a filter selects, and how many pages that took.
func allDead(t *testing.T, s *redisstore.Store, f router.DeadLetterFilter, limit int) (letters []router.DeadLetter, pages int) {
	t.Helper()
	for cursor := ""; ; {
		page, next, err := s.DeadLetters(t.Context(), f, cursor, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), limit)
		letters = append(letters, page...)
		pages++
		if cursor = next; cursor == "" {
			return letters, pages
		}
	}
}

func TestDeadLettersAreListedInPagesOverAllPartitions(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.Partitions = 3 })
		bury(t, s, 50, "malformed", "other")
		for _, limit := range []int{1, 7, 50, 1000} {
			letters, pages := allDead(t, s, router.DeadLetterFilter{}, limit)
			seen := map[string]bool{}
			for i, d := range letters {
				require.False(t, seen[d.Event.ID()], "each once")
				seen[d.Event.ID()] = true
				if i > 0 && letters[i-1].Position.Partition == d.Position.Partition {
					require.False(t, d.At.After(letters[i-1].At), "newest first within a partition")
				}
			}
			require.Len(t, seen, 50)
			require.LessOrEqual(t, pages, 50/limit+2)
		}
		letters, _ := allDead(t, s, router.DeadLetterFilter{Reason: "other"}, 4)
		require.Len(t, letters, 25)
		for _, d := range letters {
			require.Equal(t, "other", d.Reason)
			require.Empty(t, d.Subscription)
			require.Empty(t, d.ID)
		}
		none, _ := allDead(t, s, router.DeadLetterFilter{Subscription: "sub_x"}, 4)
		require.Empty(t, none)
	})
}

func TestACallLooksAtABoundedNumberOfDeadLettersAndGoesOnFromThere(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	reasons := make([]string, 2500)
	for i := range reasons {
		reasons[i] = "malformed"
	}
	reasons[0] = "wanted"
	bury(t, s, len(reasons), reasons...)
	// All have the same time or nearly so; the wanted one has the lowest ID and comes last, unless a millisecond has passed in between.
	page, next, err := s.DeadLetters(t.Context(), router.DeadLetterFilter{Reason: "wanted"}, "", 10)
	require.NoError(t, err)
	require.NotEmpty(t, next, "2000 were looked at")
	letters, pages := allDead(t, s, router.DeadLetterFilter{Reason: "wanted"}, 10)
	require.Len(t, letters, 1)
	require.Equal(t, 2, pages)
	require.LessOrEqual(t, len(page), 1)
}

func TestDeadLettersAreSelectedByTimeFromInclusiveToExclusive(t *testing.T) {
	mini := redistest.Mini(t)
	start := time.UnixMilli(1_700_000_000_000).UTC()
	mini.SetTime(start)
	s := open(t, mini.Addr())
	sub, claimed := routed(t, s)
	mini.SetTime(start.Add(10 * time.Millisecond))
	_, _, err := s.SettleDeliveries(t.Context(), 0, []router.Settlement{{Claimed: claimed, Verdict: router.Dead, Attempt: router.Attempt{At: start, Outcome: router.OutcomeStatus}}}, nil)
	require.NoError(t, err)
	at := start.Add(10 * time.Millisecond)
	for name, c := range map[string]struct {
		filter router.DeadLetterFilter
		want   int
	}{
		"from then":              {router.DeadLetterFilter{From: at}, 1},
		"from a moment later":    {router.DeadLetterFilter{From: at.Add(time.Microsecond)}, 0},
		"from later":             {router.DeadLetterFilter{From: at.Add(time.Millisecond)}, 0},
		"to then":                {router.DeadLetterFilter{To: at}, 0},
		"to a moment later":      {router.DeadLetterFilter{To: at.Add(time.Microsecond)}, 1},
		"to later":               {router.DeadLetterFilter{To: at.Add(time.Millisecond)}, 1},
		"between":                {router.DeadLetterFilter{From: at, To: at.Add(time.Millisecond)}, 1},
		"the subscription's":     {router.DeadLetterFilter{Subscription: sub.ID}, 1},
		"another subscription's": {router.DeadLetterFilter{Subscription: "sub_other"}, 0},
		"for this reason":        {router.DeadLetterFilter{Reason: "status"}, 1},
		"for another reason":     {router.DeadLetterFilter{Reason: "timeout"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			letters, _ := allDead(t, s, c.filter, 10)
			require.Len(t, letters, c.want)
		})
	}
}

func TestDeadLettersThatAreRemovedMeanwhileHideNoOthers(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		bury(t, s, 10, "malformed")
		letters, _ := allDead(t, s, router.DeadLetterFilter{}, 100)
		c := redistest.Client(t, addr)
		require.NoError(t, c.HDel(t.Context(), redisstore.Key(s, "dead"), letters[1].Position.ID()+" log").Err()) // as if removed between two reads
		left, _ := allDead(t, s, router.DeadLetterFilter{}, 3)
		require.Len(t, left, 9)
	})
}

func TestACursorThatThisListDidNotGiveIsRefused(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	for _, cursor := range []string{"x", "0.1", "0.1.2.3", "1.5.0", "-1.5.0", "0.x.0", "0.5.-1", "0.5.x", "99999999999999999999.1.1"} {
		_, _, err := s.DeadLetters(t.Context(), router.DeadLetterFilter{}, cursor, 10)
		require.Equal(t, router.Invalid, router.ErrorCode(err), cursor)
	}
}
