package redisstore_test

import (
	"cmp"
	"context"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// modelOperation is an operation under way, and how far it is in each partition.
type modelOperation struct {
	router.Operation
	at []modelProgress
}

// modelProgress stands behind a dead letter, by its time and then its name, or, of a replay, behind an event.
type modelProgress struct {
	ms     int64
	letter string
	ended  bool
	replay router.ReplayCursor
}

// isOld tells whether it may soon be forgotten how far an operation under way is in some partition: that is kept for a week.
func (o *modelOperation) isOld(now int64) bool {
	return now-o.Created.UnixMilli() > (6 * 24 * time.Hour).Milliseconds()
}

func (o *modelOperation) did(what string, n int) {
	if n > 0 {
		o.Progress[what] += int64(n)
	}
}

// begin: of those that do the same there is one at a time. A replay's entries have a suffix that no other's have.
func (m *model) begin(o router.Operation, total int64) *modelOperation {
	if o.Kind == router.ReplayOperation {
		m.replays++
		o.Suffix = router.ReplayEntrySuffix(strconv.FormatInt(m.replays, 36))
	}
	for _, other := range m.operations {
		if other.Kind == o.Kind && reflect.DeepEqual(other.Letters, o.Letters) && reflect.DeepEqual(other.Replay, o.Replay) {
			return other
		}
	}
	o.Created, o.Total, o.Progress = time.UnixMilli(m.now).UTC(), total, map[string]int64{}
	begun := &modelOperation{Operation: o, at: make([]modelProgress, len(m.partitions))}
	m.operations = append(m.operations, begun)
	return begun
}

// selected are the dead letters of a partition that an operation still has before it, the oldest first; those that it names, by their names. What became one
// after it began is left alone.
func (p *modelPartition) selected(o *modelOperation) (names []deadName) {
	at, s := o.at[p.number], o.Letters
	byName := s.IDs != nil
	for name, d := range p.dead {
		ms, text := d.At.UnixMilli(), name.String()
		switch {
		case ms > o.Created.UnixMilli() || d.At.Before(s.From) || !s.To.IsZero() && !d.At.Before(s.To):
		case s.Subscription != "" && d.Subscription != s.Subscription || s.Reason != "" && d.Reason != s.Reason:
		case byName && (!slices.Contains(s.IDs, d.ID) || text <= at.letter):
		case !byName && (ms < at.ms || ms == at.ms && text <= at.letter):
		default:
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b deadName) int {
		if byName {
			return compareText(a.String(), b.String())
		}
		return cmp.Or(p.dead[a].At.Compare(p.dead[b].At), compareText(a.String(), b.String()))
	})
	return names
}

// moveLetters goes on with a redrive or a purge, by up to most letters. It ends before one whose queue has no room.
func (m *model) moveLetters(o *modelOperation, most int) (moved int, more bool, err error) {
	for _, p := range m.partitions {
		for !o.at[p.number].ended {
			names := p.selected(o)
			left := most - moved
			if o.Kind == router.RedriveOperation {
				left = min(left, m.roomFor(p, names))
			}
			if len(names) > left {
				if left == 0 {
					return moved, true, router.ErrBacklogFull
				}
				names = names[:left]
				last := names[left-1]
				o.at[p.number] = modelProgress{ms: p.dead[last].At.UnixMilli(), letter: last.String()}
			} else {
				o.at[p.number].ended = true
			}
			if o.Kind == router.PurgeOperation {
				moved += p.discard(o, names)
			} else {
				moved += m.redrive(p, o, names)
			}
			if moved >= most {
				return moved, true, nil
			}
		}
	}
	return moved, false, nil
}

// room: half of what a queue may hold is for new events; what is put back finds room in the other half.
func (p *modelPartition) room(sub router.Subscription) int {
	if sub.Delivery.MaxBacklog == 0 {
		return math.MaxInt
	}
	return (sub.Delivery.MaxBacklog+1)/2 - len(p.queue(sub.ID).outstanding())
}

// roomFor is how many letters go back before the first one that finds no room. Those without a subscription need none.
func (m *model) roomFor(p *modelPartition, names []deadName) int {
	put := map[string]int{}
	for i, name := range names {
		if sub, live := m.subs[name.subscription]; live && put[sub.ID] >= p.room(sub) {
			return i
		}
		put[name.subscription]++
	}
	return len(names)
}

func (p *modelPartition) discard(o *modelOperation, names []deadName) int {
	for _, name := range names {
		delete(p.dead, name)
	}
	o.did(router.ProgressPurged, len(names))
	return len(names)
}

// redrive: letters go back into their queues, with their attempts behind them and a new schedule before them. Those without a subscription stay.
func (m *model) redrive(p *modelPartition, o *modelOperation, names []deadName) (moved int) {
	var order []string
	groups := map[string][]deadName{}
	for _, name := range names {
		if groups[name.subscription] == nil {
			order = append(order, name.subscription)
		}
		groups[name.subscription] = append(groups[name.subscription], name)
	}
	for _, id := range order {
		sub, live := m.subs[id]
		if !live {
			o.did(router.ProgressSkipped, len(groups[id]))
			continue
		}
		q := p.queue(id)
		for _, name := range groups[id] {
			q.attempts[name.entry] = modelAttempts{list: p.dead[name].Attempts}
			delete(p.dead, name)
			delete(q.lane, name.entry)
			if sub.Ordered() {
				q.lane[name.entry] = p.event(name.entry.Position).Lane()
			}
			q.requeue(m.now, name.entry, moved)
			moved++
		}
		if !p.stands(id) {
			p.reschedule(queueOf(sub), m.now, 0)
		}
	}
	o.did(router.ProgressRedriven, moved)
	return moved
}

// requeue puts a delivery behind those that are due already, where its lane is free. What is put back together keeps its order.
func (q *modelQueue) requeue(now int64, entry router.Entry, place int) {
	q.enqueued[entry], q.putBack[entry] = true, true
	delete(q.done, entry)
	if q.goesFirst(entry) {
		q.retries[entry] = micros(now-1) + int64(place)
	}
}

// replay queues a page of events again, once. What has gone from the log since it was read is passed over.
func (m *model) replay(p *modelPartition, o *modelOperation, page router.ReplayPage, kept retained) error {
	if o.at[p.number].replay != page.From {
		return nil
	}
	id := page.Queue.Subscription
	if _, gone := p.gone[id]; gone {
		return router.Errorf(router.NotFound, "")
	}
	q, count := p.queue(id), 0
	for i, position := range page.Events {
		if position.Compare(kept.horizon) <= 0 && !slices.Contains(kept.log, position) && kept.copies[position.ID()] == "" {
			continue
		}
		entry := router.Entry{Position: position, Suffix: page.Suffix}
		if page.Lanes != nil {
			q.lane[entry] = page.Lanes[i]
		}
		q.requeue(m.now, entry, count)
		count++
	}
	o.did(router.ProgressPassed, page.Passed+len(page.Events)-count)
	o.did(router.ProgressReplayed, count)
	o.at[p.number].replay = page.To
	if page.To.Ended {
		o.at[p.number].replay.Position = router.Position{}
	}
	if !p.stands(id) {
		p.reschedule(page.Queue, m.now, 0)
	}
	return nil
}

// beginMoving begins to redrive or to purge: all dead letters, one, some, or those of a selection.
func (w *world) beginMoving(t *rapid.T) {
	o := router.Operation{Kind: rapid.SampledFrom([]router.OperationKind{router.RedriveOperation, router.RedriveOperation, router.PurgeOperation}).Draw(t, "kind")}
	switch rapid.IntRange(0, 5).Draw(t, "selection") {
	case 0:
	case 1:
		if sub, ok := w.some(t); ok {
			o.Letters.Subscription = sub.ID
		}
	case 2:
		o.Letters.Reason = rapid.SampledFrom([]string{"status", "nacked", "queue-unusable"}).Draw(t, "reason")
	case 3:
		o.Letters.From, o.Letters.To = time.UnixMilli(w.m.now-5000).UTC(), time.UnixMilli(w.m.now).UTC()
	default:
		for _, d := range w.m.deadLetters(router.DeadLetterFilter{}) {
			if d.ID != "" && (len(o.Letters.IDs) == 0 || rapid.IntRange(0, 3).Draw(t, "another") == 0) {
				id, _, _ := strings.Cut(d.ID, "~")
				o.Letters.IDs = append(o.Letters.IDs, d.ID, id+"~other")
			}
		}
	}
	total := int64(0)
	for _, p := range w.m.partitions {
		total += int64(len(p.selected(&modelOperation{
			Operation: router.Operation{Letters: o.Letters, Created: time.UnixMilli(w.m.now).UTC()}, at: make([]modelProgress, len(w.m.partitions)),
		})))
	}
	n, err := w.store.CountDeadLetters(context.Background(), o.Letters)
	require.NoError(t, err)
	require.Equal(t, total, n, "what a dry run says")
	w.beginAsModel(t, o, total)
}

// beginReplay begins to replay what the log has, to one subscription.
func (w *world) beginReplay(t *rapid.T) {
	sub, ok := w.some(t)
	if !ok {
		return
	}
	total := int64(0)
	for n := range w.m.partitions {
		_, kept := w.look(t, n)
		for _, position := range kept.log {
			if position.MS <= w.m.now {
				total++
			}
		}
	}
	w.beginAsModel(t, router.Operation{Kind: router.ReplayOperation, Replay: router.ReplayRequest{Subscription: sub.ID}}, total)
}

func (w *world) beginAsModel(t *rapid.T, o router.Operation, total int64) {
	expected := w.m.begin(o, total)
	got, err := w.store.BeginOperation(context.Background(), o)
	require.NoError(t, err)
	if expected.ID == "" {
		expected.ID = got.ID
	}
	require.Equal(t, expected.ID, got.ID, "one that does the same is under way")
	w.checkOperation(t, expected)
}

func (w *world) checkOperation(t *rapid.T, o *modelOperation) {
	got, err := w.store.Operation(context.Background(), o.ID)
	require.NoError(t, err)
	require.Equal(t, o.Operation, got)
}

// goOn takes the next step of an operation, as the replica does whose turn it is.
func (w *world) goOn(t *rapid.T) {
	if len(w.m.operations) == 0 {
		return
	}
	w.step(t, rapid.SampledFrom(w.m.operations).Draw(t, "operation"), rapid.SampledFrom([]int{1, 2, 10}).Draw(t, "most"))
}

// step tells whether the operation waits for room in a queue.
func (w *world) step(t *rapid.T, o *modelOperation, most int) (full bool) {
	var more bool
	if o.Kind == router.ReplayOperation {
		more, full = w.stepReplay(t, o, most)
	} else {
		var expected int
		var expectedErr error
		expected, more, expectedErr = w.m.moveLetters(o, most)
		moved, gotMore, err := w.store.MoveDeadLetters(context.Background(), o.Operation, most)
		require.Equal(t, expectedErr, err)
		require.Equal(t, expected, moved)
		require.Equal(t, more, gotMore)
		full = err != nil
	}
	w.checkOperation(t, o)
	if more {
		return full
	}
	require.NoError(t, w.store.EndOperation(context.Background(), o.Operation))
	o.Ended = time.UnixMilli(w.m.now).UTC()
	w.checkOperation(t, o)
	w.m.operations = slices.DeleteFunc(w.m.operations, func(other *modelOperation) bool { return other == o })
	return false
}

// stepReplay reads a page that finds room and queues it, perhaps later, and perhaps one that was read earlier.
func (w *world) stepReplay(t *rapid.T, o *modelOperation, most int) (more, full bool) {
	sub, live := w.m.subs[o.Replay.Subscription]
	if !live {
		return false, false
	}
	for _, p := range w.m.partitions {
		if o.at[p.number].replay.Ended {
			continue
		}
		room, err := w.store.QueueRoom(context.Background(), p.number, queueOf(sub))
		require.NoError(t, err)
		require.Equal(t, p.room(sub), room)
		if room <= 0 {
			return true, true
		}
		w.pages = append(w.pages, replayPage{o, w.readPage(t, p, o, sub, min(most, room))})
		page := w.pages[rapid.IntRange(max(len(w.pages)-3, 0), len(w.pages)-1).Draw(t, "page")]
		w.replayAsModel(t, page)
		return true, false
	}
	return false, false
}

// replayLate queues a page a day after it was read, when the log may have been trimmed.
func (w *world) replayLate(t *rapid.T) {
	p := w.partition(t)
	for _, o := range w.m.operations {
		sub, live := w.m.subs[o.Replay.Subscription]
		if o.Kind != router.ReplayOperation || !live || o.at[p.number].replay.Ended {
			continue
		}
		page := replayPage{o, w.readPage(t, p, o, sub, 3)}
		w.pass((w.retain + time.Hour).Milliseconds())
		w.housekeep(t)
		w.replayAsModel(t, page)
		w.checkOperation(t, o)
		return
	}
}

// replayPage is a page of a replay that a replica has read.
type replayPage struct {
	operation *modelOperation
	page      router.ReplayPage
}

func (w *world) readPage(t *rapid.T, p *modelPartition, o *modelOperation, sub router.Subscription, most int) router.ReplayPage {
	cursor, err := w.store.ReplayCursor(context.Background(), o.ID, p.number)
	require.NoError(t, err)
	require.Equal(t, o.at[p.number].replay, cursor)
	after := router.Position{Partition: p.number}
	if cursor.Begun {
		after = cursor.Position
	}
	records, err := w.store.ReadLog(context.Background(), after, most, 0)
	require.NoError(t, err)
	page := router.ReplayPage{Operation: o.ID, Suffix: o.Suffix, Queue: queueOf(sub), From: cursor, To: router.ReplayCursor{Begun: true, Position: after}}
	for _, r := range records {
		if rapid.IntRange(0, 3).Draw(t, "passed over") == 0 {
			page.Passed++
			continue
		}
		page.Events = append(page.Events, r.Position)
		if sub.Ordered() {
			page.Lanes = append(page.Lanes, r.Event.Lane())
		}
	}
	if page.To.Ended = len(records) < most; !page.To.Ended {
		page.To.Position = records[len(records)-1].Position
	}
	return page
}

// replayAsModel queues a page, unless its subscription was deleted so long ago that nobody knows it any more.
func (w *world) replayAsModel(t *rapid.T, r replayPage) {
	id := r.page.Queue.Subscription
	p := w.m.partitions[r.page.To.Position.Partition]
	_, gone := p.gone[id]
	if _, live := w.m.subs[id]; !live && !gone {
		return
	}
	_, kept := w.look(t, p.number)
	expected, err := w.m.replay(p, r.operation, r.page, kept), w.store.Replay(context.Background(), p.number, r.page)
	require.Equal(t, router.ErrorCode(expected), router.ErrorCode(err), "%v", err)
}

// endOperations brings all that are under way to their ends, with deliveries in between where they wait for room. What would take too many days is given up.
func (w *world) endOperations(t *rapid.T) {
	w.pages = nil
	for len(w.m.operations) > 0 {
		o := w.m.operations[0]
		switch {
		case o.isOld(w.m.now):
			require.NoError(t, w.store.EndOperation(context.Background(), o.Operation))
			w.m.operations = w.m.operations[1:]
		case w.step(t, o, 100):
			for _, p := range w.m.partitions {
				w.drain(t, p)
			}
		}
		w.pages = nil
	}
	left, err := w.raw.Exists(context.Background(), redisstore.Key(w.store, "ops"), redisstore.Key(w.store, "ops:same")).Result()
	require.NoError(t, err)
	require.Zero(t, left, "nothing is left of what has ended")
}
