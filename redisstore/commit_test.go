package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestACallOfAppendIsBoundedInEventsAndBytesAndHasAtLeastOneEvent(t *testing.T) {
	const mega = 1 << 20
	for name, c := range map[string]struct{ sizes, calls []int }{
		"nothing":               {nil, nil},
		"few":                   {[]int{10, 10, 10}, []int{3}},
		"as many as go":         {slices.Repeat([]int{1}, 1000), []int{1000}},
		"one more":              {slices.Repeat([]int{1}, 1001), []int{1000, 1}},
		"by bytes":              {[]int{mega / 2, mega / 2, 1}, []int{2, 1}},
		"one that is too large": {[]int{3 * mega}, []int{1}},
		"each alone":            {[]int{3 * mega, 3 * mega, 1, 1}, []int{1, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.calls, redisstore.CallSizes(c.sizes)) })
	}
}

// appendCalls records how many events each call of append has, and lets none through before the gate is open.
type appendCalls struct {
	mu    sync.Mutex
	sizes []int
	gate  chan struct{}
}

func watchAppends(s *redisstore.Store) *appendCalls {
	a := &appendCalls{gate: make(chan struct{})}
	interleave(s, func(script string, args []any) error {
		if script == "append" {
			a.mu.Lock()
			count, _ := args[8].(int) // behind hash, number of keys, 5 keys, nonce
			a.sizes = append(a.sizes, count)
			a.mu.Unlock()
			<-a.gate
		}
		return nil
	})
	return a
}

func (a *appendCalls) made() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.sizes)
}

func TestConcurrentAppendsShareCalls(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	insist(t, s, "first") // takes the dedupe ring into use
	a := watchAppends(s)
	var all sync.WaitGroup
	for i := range 300 {
		all.Go(func() {
			require.NoError(t, s.Append(context.Background(), []router.Event{event(t, fmt.Sprint(i), "x.y")})[0].Err)
		})
	}
	eventually(t, func() bool { return len(a.made()) > 0 }, "a call is under way, and the others wait")
	close(a.gate)
	all.Wait()
	calls := a.made()
	sum := 0
	for _, n := range calls {
		sum += n
	}
	require.Equal(t, 300, sum)
	require.Less(t, len(calls), 150, "those that wait go together")
}

func TestBehindALargeCallTheNextOneWaitsUntilItIsWorthIt(t *testing.T) {
	for name, c := range map[string]struct {
		before, waiting, coming int
		callers                 int
		after                   time.Duration
	}{
		"callers that come singly": {before: 1, waiting: 1, callers: 1},
		"a small call before":      {before: 16, waiting: 1, coming: 20, callers: 1},
		"enough of them wait":      {before: 40, waiting: 30, coming: 20, callers: 30},
		"all that wait are taken":  {before: 40, waiting: 39, callers: 39},
		"enough of them come":      {before: 40, waiting: 10, coming: 20, callers: 30, after: 300 * time.Microsecond},
		"nobody waits at first":    {before: 40, waiting: 0, coming: 30, callers: 30, after: 300 * time.Microsecond},
		"too few come":             {before: 40, waiting: 10, coming: 19, callers: 29, after: time.Millisecond},
		"nobody comes":             {before: 40, waiting: 10, callers: 10, after: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := redisstore.NewGathering()
				defer g.Close()
				come := func(callers int) { require.NoError(t, g.Come(callers, 1)) }
				come(1)
				first := <-g.Calls()
				come(c.before)
				first.End()
				large := <-g.Calls()
				require.Equal(t, c.before, large.Callers)
				come(c.waiting)
				time.AfterFunc(300*time.Microsecond, func() { come(c.coming) })
				began := time.Now()
				large.End()
				next := <-g.Calls()
				defer next.End()
				require.Equal(t, c.callers, next.Callers)
				require.Equal(t, c.after, time.Since(began))
			})
		})
	}
}

// Full calls go side by side, so the same events can be in two at a time.
func TestTheSameEventsInFullCallsAtATimeAreStoredOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		const senders = 6
		events := make([]router.Event, 1000)
		for i := range events {
			events[i] = event(t, fmt.Sprint(i), "x.y")
		}
		var results [senders][]router.Appended
		var all sync.WaitGroup
		for n := range results {
			all.Go(func() { results[n] = s.Append(t.Context(), events) })
		}
		all.Wait()
		for i := range events {
			fresh := 0
			for n := range results {
				require.NoError(t, results[n][i].Err)
				require.Equal(t, results[0][i].Position, results[n][i].Position)
				if !results[n][i].Duplicate {
					fresh++
				}
			}
			require.Equal(t, 1, fresh)
		}
		records, err := s.ReadLog(t.Context(), router.Position{}, 2*len(events), 0)
		require.NoError(t, err)
		require.Len(t, records, len(events))
	})
}

func TestEachCallIsWaitedForAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := redisstore.NewGathering()
		defer g.Close()
		come := func(callers int) { require.NoError(t, g.Come(callers, 1)) }
		come(1)
		first := <-g.Calls()
		come(40)
		first.End()
		large := <-g.Calls()
		come(10)
		large.End()
		time.AfterFunc(300*time.Microsecond, func() { come(20) })
		next := <-g.Calls() // has enough
		began := time.Now()
		next.End()
		come(10)
		last := <-g.Calls()
		defer last.End()
		require.Equal(t, 10, last.Callers)
		require.Equal(t, time.Millisecond, time.Since(began))
	})
}

func TestAFullCallGoesBesideAnotherOneAndOthersGoAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := redisstore.NewGathering()
		defer g.Close()
		come := func(callers, events int) { require.NoError(t, g.Come(callers, events)) }
		started := func(callers int) redisstore.Call {
			call := <-g.Calls()
			require.Equal(t, callers, call.Callers)
			return call
		}
		none := func(why string) {
			synctest.Wait()
			require.Empty(t, g.Calls(), why)
		}

		come(1, 1)
		small := started(1)
		come(1, 1000)
		none("a full one behind a small one")
		small.End()
		first := started(1)

		come(10, 100)
		second := started(10)
		come(1, 1000)
		none("a third one")
		first.End()
		third := started(1)

		come(2, 1)
		second.End()
		none("a small one beside a full one")
		come(3, 1)
		third.End()
		started(5).End()
	})
}

func TestWhoWaitsWhenAStoreIsClosedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := redisstore.NewGathering()
		require.NoError(t, g.Come(1, 1))
		call := <-g.Calls()
		require.NoError(t, g.Come(3, 1))
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			g.Close()
		}()
		synctest.Wait()
		require.Error(t, g.Come(1, 1))
		select {
		case <-closed:
			require.Fail(t, "a call is under way")
		default:
		}
		call.End()
		<-closed
		require.Empty(t, g.Calls())
		require.Equal(t, 3, g.Failed())
	})
}

func TestManyEventsOfOneCallerGoInBoundedCallsAndKeepTheirOrder(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		insist(t, s, "first")
		a := watchAppends(s)
		close(a.gate)
		events := make([]router.Event, 2100)
		for i := range events {
			events[i] = event(t, fmt.Sprint(i), "x.y")
		}
		results := s.Append(t.Context(), events)
		require.Equal(t, []int{1000, 1000, 100}, a.made())
		for i := 1; i < len(results); i++ {
			require.NoError(t, results[i].Err)
			require.Positive(t, results[i].Position.Compare(results[i-1].Position))
		}
	})
}

func TestEventsOfOneCallerFindTheirPartitions(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.Partitions = 4 })
		events := make([]router.Event, 60)
		for i := range events {
			events[i] = event(t, fmt.Sprint(i), "x.y")
		}
		seen := map[int]bool{}
		for i, r := range s.Append(t.Context(), events) {
			require.NoError(t, r.Err)
			require.Equal(t, events[i].Partition(4), r.Position.Partition)
			found, err := s.ReadLogReverse(t.Context(), r.Position, 1)
			require.NoError(t, err)
			require.Equal(t, router.Record{Position: r.Position, Event: events[i]}, found[0])
			seen[r.Position.Partition] = true
		}
		require.Len(t, seen, 4)
	})
}

func TestACallerThatGivesUpDoesNotWait(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	insist(t, s, "first")
	a := watchAppends(s)
	defer close(a.gate)
	ctx, cancel := context.WithCancel(t.Context())
	results := make(chan router.Appended, 3)
	for i := range 3 { // some are under way, the others wait
		e := event(t, fmt.Sprint(i), "x.y")
		go func() { results <- s.Append(ctx, []router.Event{e})[0] }()
	}
	eventually(t, func() bool { return len(a.made()) > 0 }, "a call is under way")
	cancel()
	for range 3 {
		require.Equal(t, router.Unavailable, router.ErrorCode((<-results).Err))
	}
}

// Who gives up may use their slice for something else, though what they handed over is still on its way.
func TestWhatACallerDoesAfterGivingUpChangesNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		insist(t, s, "first")
		a := watchAppends(s)
		var others sync.WaitGroup
		others.Go(func() { s.Append(context.Background(), []router.Event{event(t, "under way", "x.y")}) })
		eventually(t, func() bool { return len(a.made()) == 1 }, "a call is under way")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		events := []router.Event{event(t, "mine", "x.y")}
		require.Error(t, s.Append(ctx, events)[0].Err)
		mine := events[0]
		events[0] = event(t, "a longer id for something else", "x.y")
		close(a.gate)
		others.Wait()
		stored := s.Append(t.Context(), []router.Event{mine})[0]
		require.NoError(t, stored.Err)
		require.True(t, stored.Duplicate)
		for _, p := range []router.Position{{}, {MS: 1}} { // out of memory where that goes so far back, and as it is stored
			records, err := s.ReadLog(t.Context(), p, 10, 0)
			require.NoError(t, err)
			require.Len(t, records, 3)
			for _, r := range records {
				require.NoError(t, r.Err)
			}
			require.Equal(t, "mine", records[2].Event.ID())
		}
	})
}

func TestAStoreThatIsClosedTakesNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s, err := redisstore.Open(t.Context(), redisstore.Config{URL: "redis://" + addr, Namespace: redistest.Namespace(t)})
		require.NoError(t, err)
		require.NoError(t, s.Close())
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		require.Equal(t, router.Unavailable, router.ErrorCode(s.Append(ctx, []router.Event{event(t, "a", "x.y")})[0].Err))
	})
}

func TestALargeEventIsStoredAlone(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	insist(t, s, "first")
	a := watchAppends(s)
	close(a.gate)
	large, err := router.NewEvent(router.EventFields{
		ID: "large", Source: "/t", Type: "x.y", Data: strings.Repeat("x", 2<<20), DataKind: router.TextData, DataContentType: "text/plain",
	})
	require.NoError(t, err)
	for _, r := range s.Append(t.Context(), []router.Event{event(t, "a", "x.y"), large, event(t, "b", "x.y")}) {
		require.NoError(t, r.Err)
	}
	require.Equal(t, []int{1, 1, 1}, a.made())
}
