package router

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// target is the id of the n-th subscription, in the order of n.
func target(n int) string { return fmt.Sprintf("sub_%026d", n) }

func targets(from, to int) []string {
	var ids []string
	for n := from; n < to; n++ {
		ids = append(ids, target(n))
	}
	return ids
}

// batchSnapshot has n subscriptions. Their filters match nothing: what matches is said by the tests.
func batchSnapshot(t testing.TB, n int) *snapshot {
	t.Helper()
	d := Definitions{Version: 7, Tokens: []string{"7.zero", "7.one"}}
	for i := range n {
		d.Subscriptions = append(d.Subscriptions, Subscription{
			ID: target(i), Enabled: i%2 == 0, Filter: Filter{Types: []string{"nothing"}},
			Sink: Sink{Kind: WebhookSink}, Delivery: Delivery{MaxInFlight: i%9 + 1},
		})
	}
	s, err := (&snapshot{index: NewIndex()}).with(d)
	require.NoError(t, err)
	return s
}

// at is the position of the n-th record of a run; several share a millisecond.
func at(n int) Position { return Position{Partition: 1, MS: int64(1000 + n/3), Seq: uint64(n % 3)} }

// runOf is a run of records that matched these targets.
func runOf(s *snapshot, matches ...[]string) matched {
	m := matched{targets: matches, snapshot: s}
	for n := range matches {
		m.records = append(m.records, Record{Position: at(n)})
	}
	return m
}

// repeated gives n records the same targets.
func repeated(n int, ids []string) [][]string { return slices.Repeat([][]string{ids}, n) }

// delivery is one event queued for one subscription.
type delivery struct {
	position     Position
	subscription string
}

// deliveriesOf are what a batch queues, in the order that it must be applied in: by position, then by target.
func deliveriesOf(b Batch) []delivery {
	var all []delivery
	for _, e := range b.Enqueues {
		for _, p := range e.Entries {
			all = append(all, delivery{p, e.Queue.Subscription})
		}
	}
	slices.SortFunc(all, func(a, b delivery) int {
		if c := a.position.Compare(b.position); c != 0 {
			return c
		}
		return slices.Compare([]string{a.subscription}, []string{b.subscription})
	})
	return all
}

// wantedOf are the deliveries of a whole run.
func wantedOf(m matched) []delivery {
	var all []delivery
	for i, record := range m.records {
		for _, id := range m.targets[i] {
			all = append(all, delivery{record.Position, id})
		}
	}
	return all
}

// requireWithin holds a batch to the budget of one call.
func requireWithin(t require.TestingT, b Batch) {
	require.LessOrEqual(t, b.Events, batchEvents)
	require.LessOrEqual(t, len(b.Enqueues), batchQueues)
	require.LessOrEqual(t, len(deliveriesOf(b)), batchEntries)
}

func TestABatchQueuesEachRecordForItsTargetsInLogOrder(t *testing.T) {
	s := batchSnapshot(t, 3)
	from := Cursor{Position: Position{Partition: 1, MS: 1}}
	b, rest := runOf(s, targets(0, 2), nil, targets(1, 3)).batch(1, from)
	require.Empty(t, rest.records)
	require.Equal(t, Batch{
		Partition: 1, From: from, To: Cursor{Position: at(2)}, Token: "7.one", Events: 3,
		Enqueues: []Enqueue{
			{Queue: Queue{Subscription: target(0), Kind: WebhookSink, Enabled: true, MaxInFlight: 1}, Entries: []Position{at(0)}},
			{Queue: Queue{Subscription: target(1), Kind: WebhookSink, Enabled: false, MaxInFlight: 2}, Entries: []Position{at(0), at(2)}},
			{Queue: Queue{Subscription: target(2), Kind: WebhookSink, Enabled: true, MaxInFlight: 3}, Entries: []Position{at(2)}},
		},
	}, b)
}

func TestABatchOfRecordsThatNothingMatchesMovesTheCursor(t *testing.T) {
	b, rest := runOf(batchSnapshot(t, 0), nil, nil).batch(1, Cursor{})
	require.Empty(t, rest.records)
	require.Empty(t, b.Enqueues)
	require.Equal(t, Cursor{Position: at(1)}, b.To)
	require.Equal(t, 2, b.Events)
}

func TestABatchCompletesAtMost128Events(t *testing.T) {
	run := runOf(batchSnapshot(t, 1), repeated(batchEvents+1, targets(0, 1))...)
	b, rest := run.batch(1, Cursor{})
	require.Equal(t, batchEvents, b.Events)
	require.Equal(t, Cursor{Position: at(batchEvents - 1)}, b.To)
	require.Len(t, rest.records, 1)
	require.Len(t, rest.targets, 1)
	require.Equal(t, at(batchEvents), rest.records[0].Position)
}

func TestABatchOpensAtMost1000QueuesAndEndsAmidTheEventsTargets(t *testing.T) {
	run := runOf(batchSnapshot(t, 2500), targets(0, 2500), targets(2400, 2500))
	first, rest := run.batch(1, Cursor{})
	require.Len(t, first.Enqueues, batchQueues)
	require.Equal(t, Cursor{Position: at(0), Target: target(999)}, first.To)
	require.Zero(t, first.Events, "the event is not complete")
	require.Len(t, rest.records, 2)

	second, rest := rest.batch(1, first.To)
	require.Equal(t, first.To, second.From)
	require.Equal(t, Cursor{Position: at(0), Target: target(1999)}, second.To)
	require.Equal(t, target(1000), second.Enqueues[0].Queue.Subscription)

	third, rest := rest.batch(1, second.To)
	require.Empty(t, rest.records)
	require.Equal(t, Cursor{Position: at(1)}, third.To)
	require.Equal(t, 2, third.Events)
	require.Len(t, third.Enqueues, 500, "both events share the queues that they have in common")
}

func TestABatchQueuesAtMost4096DeliveriesAndEndsAmidAnEventsTargets(t *testing.T) {
	const each = 40
	run := runOf(batchSnapshot(t, each), repeated(batchEvents, targets(0, each))...)
	b, rest := run.batch(1, Cursor{})
	require.Len(t, deliveriesOf(b), batchEntries)
	last := batchEntries / each
	require.Equal(t, last, b.Events)
	require.Equal(t, Cursor{Position: at(last), Target: target(batchEntries%each - 1)}, b.To)
	require.Equal(t, at(last), rest.records[0].Position)
}

func TestAFullBatchEndsBetweenTwoEventsWhereItCan(t *testing.T) {
	const each = 64 // divides the limit
	run := runOf(batchSnapshot(t, each), repeated(batchEvents, targets(0, each))...)
	b, rest := run.batch(1, Cursor{})
	require.Len(t, deliveriesOf(b), batchEntries)
	require.Equal(t, Cursor{Position: at(batchEntries/each - 1)}, b.To)
	require.Equal(t, at(batchEntries/each), rest.records[0].Position)
}

// Between two calls the definitions may have changed: the rest of the event is matched again, and the cursor's target need not be among its targets.
func TestResumingAmidAnEventTakesWhatStandsBehindTheTargetWhetherThatIsStillThereOrNot(t *testing.T) {
	s := batchSnapshot(t, 20)
	amid := Cursor{Position: at(0), Target: target(5)}
	for name, c := range map[string]struct{ now, want []string }{
		"the target is there":        {targets(3, 8), targets(6, 8)},
		"the target is gone":         {[]string{target(2), target(4), target(6), target(9)}, []string{target(6), target(9)}},
		"one came before it":         {[]string{target(1), target(5), target(6)}, []string{target(6)}},
		"nothing is behind it":       {targets(0, 6), nil},
		"nothing matches any more":   {nil, nil},
		"all that match are behind":  {targets(6, 9), targets(6, 9)},
		"only the target is left":    {targets(5, 6), nil},
		"the target was never there": {targets(0, 3), nil},
	} {
		t.Run(name, func(t *testing.T) {
			b, rest := runOf(s, c.now, targets(0, 1)).batch(1, amid)
			require.Empty(t, rest.records)
			var got []string
			for _, d := range deliveriesOf(b) {
				if d.position == at(0) {
					got = append(got, d.subscription)
				}
			}
			require.Equal(t, c.want, got)
			require.Equal(t, 2, b.Events, "the event is complete now")
			require.Equal(t, Cursor{Position: at(1)}, b.To)
		})
	}
}

func TestTheCallsForARunQueueEachDeliveryOnceInOrderWithinTheBudget(t *testing.T) {
	const subscriptions = 1500
	s := batchSnapshot(t, subscriptions)
	rapid.Check(t, func(t *rapid.T) {
		var matches [][]string
		for range rapid.IntRange(1, 150).Draw(t, "records") {
			n := rapid.SampledFrom([]int{0, 0, 1, 1, 2, 3, 5, 8, 50, 1200}).Draw(t, "targets")
			first := rapid.IntRange(0, subscriptions-n).Draw(t, "first")
			matches = append(matches, targets(first, first+n))
		}
		whole := runOf(s, matches...)
		var got []delivery
		cursor, events := Cursor{}, 0
		for run := whole; len(run.records) > 0; {
			b, rest := run.batch(1, cursor)
			requireWithin(t, b)
			require.Equal(t, cursor, b.From)
			require.NotEqual(t, b.From, b.To, "each call gets on")
			got = append(got, deliveriesOf(b)...)
			events += b.Events
			cursor, run = b.To, rest
		}
		require.Equal(t, wantedOf(whole), got)
		require.Equal(t, len(matches), events, "each event is completed once")
		require.Equal(t, Cursor{Position: at(len(matches) - 1)}, cursor)
	})
}

func TestAnEntryThatCannotBeDecodedIsAMisfitAndDoesNotHoldOthersUp(t *testing.T) {
	whole := runOf(batchSnapshot(t, 1), targets(0, 1), nil, targets(0, 1))
	whole.records[1].Err = errors.New("not an event")
	run := matchAll(whole.snapshot, whole.records)
	run.targets = whole.targets
	misfit := []Misfit{{Position: at(1), Reason: "malformed"}}
	require.Equal(t, misfit, run.misfits)
	b, rest := run.batch(1, Cursor{})
	require.Empty(t, rest.records)
	require.Equal(t, misfit, b.Misfits)
	require.Equal(t, []delivery{{at(0), target(0)}, {at(2), target(0)}}, deliveriesOf(b))
	require.Equal(t, 3, b.Events)
}

func TestMatchingLeavesOutWhatCannotBeDecodedAndOrdersTargetsByID(t *testing.T) {
	d := Definitions{Tokens: []string{"1.x"}}
	for _, n := range []int{4, 2, 9, 1} {
		d.Subscriptions = append(d.Subscriptions, Subscription{ID: target(n), Filter: Filter{Types: []string{"x.*"}}})
	}
	s, err := (&snapshot{index: NewIndex()}).with(d)
	require.NoError(t, err)
	e, err := NewEvent(EventFields{ID: "a", Source: "/test", Type: "x.y"})
	require.NoError(t, err)
	other, err := NewEvent(EventFields{ID: "b", Source: "/test", Type: "y.y"})
	require.NoError(t, err)
	m := matchAll(s, []Record{{Position: at(0), Event: e}, {Position: at(1), Err: errors.New("broken")}, {Position: at(2), Event: other}})
	require.Equal(t, []string{target(1), target(2), target(4), target(9)}, m.targets[0])
	require.Empty(t, m.targets[1])
	require.Empty(t, m.targets[2])
}

func TestWithoutAQueueItsDeliveriesBecomeMisfitsAndTheOthersStay(t *testing.T) {
	whole, _ := runOf(batchSnapshot(t, 3), targets(0, 3), targets(1, 2), targets(0, 2)).batch(1, Cursor{})
	whole.Misfits = []Misfit{{Position: at(9), Reason: "malformed"}}
	before := fmt.Sprint(whole)

	less := whole.withoutQueue(1)
	require.Equal(t, []Misfit{
		{Position: at(9), Reason: "malformed"},
		{Position: at(0), Subscription: target(1), Reason: "queue-unusable"},
		{Position: at(1), Subscription: target(1), Reason: "queue-unusable"},
		{Position: at(2), Subscription: target(1), Reason: "queue-unusable"},
	}, less.Misfits)
	require.Equal(t, []delivery{{at(0), target(0)}, {at(0), target(2)}, {at(2), target(0)}}, deliveriesOf(less))
	require.Equal(t, whole.From, less.From)
	require.Equal(t, whole.To, less.To)
	require.Equal(t, whole.Events, less.Events)
	require.Equal(t, before, fmt.Sprint(whole), "the batch itself is as it was")

	require.Empty(t, less.withoutQueue(1).withoutQueue(0).Enqueues)
}

func TestAMisfitIsReportedByTheBatchThatCompletesItsRecord(t *testing.T) {
	matches := repeated(batchEvents+10, nil)
	run := runOf(batchSnapshot(t, 1), matches...)
	early, late := Misfit{Position: at(3), Reason: "malformed"}, Misfit{Position: at(batchEvents + 5), Reason: "match-incomplete"}
	run.misfits = []Misfit{early, late}
	b, rest := run.batch(1, Cursor{})
	require.Equal(t, []Misfit{early}, b.Misfits)
	b, rest = rest.batch(1, b.To)
	require.Empty(t, rest.records)
	require.Equal(t, []Misfit{late}, b.Misfits)
}
