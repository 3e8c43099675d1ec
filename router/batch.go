package router

import (
	"cmp"
	"slices"
)

// A call of apply holds Redis for a few milliseconds at most; these bound it.
const (
	batchEvents  = 1024
	batchQueues  = 1000
	batchEntries = 4096
)

// matched is a run of records of a partition, in log order and without gaps, with the subscriptions that each matched.
type matched struct {
	records  []Record
	targets  [][]string // ids in their order, for each record
	misfits  []Misfit   // of the records, in their order
	snapshot *snapshot  // what they were matched under
}

// matchAll matches records against a snapshot.
func matchAll(s *snapshot, records []Record) matched {
	m := matched{records: records, targets: make([][]string, len(records)), snapshot: s}
	for i, record := range records {
		if record.Err != nil {
			m.misfits = append(m.misfits, Misfit{Position: record.Position, Reason: "malformed"})
			continue
		}
		view := NewView(record.Event)
		m.targets[i] = s.index.Match(view, nil)
		if view.GaveUp() {
			m.misfits = append(m.misfits, Misfit{Position: record.Position, Reason: "match-incomplete"})
		}
		view.Release()
	}
	return m
}

// isIdle tells whether nothing wants any of the records.
func (m matched) isIdle() bool {
	return len(m.misfits) == 0 && !slices.ContainsFunc(m.targets, func(targets []string) bool { return len(targets) > 0 })
}

// with is the run with another one behind it, which was matched under the same snapshot.
func (m matched) with(next matched) matched {
	if len(m.records) == 0 {
		return next
	}
	m.records, m.targets, m.misfits = append(m.records, next.records...), append(m.targets, next.targets...), append(m.misfits, next.misfits...)
	return m
}

// batch makes the next call of apply: as much of the run as one call may do, after the cursor, which may stand amid the targets of an event.
// rest is what remains of the run.
func (m matched) batch(partition int, from Cursor) (b Batch, rest matched) {
	rest = matched{snapshot: m.snapshot}
	b = Batch{Partition: partition, From: from, To: from, Token: m.snapshot.tokens[partition]}
	build := batchBuilder{batch: &b, snapshot: m.snapshot, queues: make(map[string]int)}
	for i, record := range m.records {
		if i == batchEvents || !build.add(record, m.targets[i]) {
			rest = matched{records: m.records[i:], targets: m.targets[i:], snapshot: m.snapshot}
			break
		}
	}
	first, _ := slices.BinarySearchFunc(m.misfits, build.done, func(misfit Misfit, done Position) int {
		return cmp.Or(misfit.Position.Compare(done), -1) // behind it
	})
	b.Misfits, rest.misfits = m.misfits[:first:first], m.misfits[first:]
	return b, rest
}

// batchBuilder fills a batch.
type batchBuilder struct {
	batch    *Batch
	snapshot *snapshot
	queues   map[string]int // subscription to index in batch.Enqueues
	entries  int
	done     Position // the last record that was added whole
}

// add queues what a record matched; false: the batch is full, and its cursor stands where it ended, which may be amid this record.
func (b *batchBuilder) add(record Record, targets []string) bool {
	if b.batch.To.Position == record.Position {
		after, _ := slices.BinarySearch(targets, b.batch.To.Target+"\x00") // the first one behind the target
		targets = targets[after:]
	}
	for _, id := range targets {
		if b.entries == batchEntries || !b.enqueue(id, record.Position) {
			return false
		}
		b.batch.To = Cursor{Position: record.Position, Target: id}
	}
	b.batch.To = Cursor{Position: record.Position}
	b.batch.Events++
	b.done = record.Position
	return true
}

// enqueue adds a delivery; false: the batch has no room for another queue.
func (b *batchBuilder) enqueue(id string, position Position) bool {
	i, known := b.queues[id]
	if !known {
		if len(b.queues) == batchQueues {
			return false
		}
		sub, ok := b.snapshot.subscription(id)
		if !ok {
			return true // index and subscriptions are of one snapshot, so this can't be
		}
		i = len(b.batch.Enqueues)
		b.queues[id] = i
		b.batch.Enqueues = append(b.batch.Enqueues, Enqueue{Queue: sub.queue()})
	}
	b.batch.Enqueues[i].Entries = append(b.batch.Enqueues[i].Entries, position)
	b.entries++
	return true
}

// queue is what the store has to know of a subscription.
func (s *Subscription) queue() Queue {
	return Queue{Subscription: s.ID, Kind: s.Sink.Kind, Enabled: s.Enabled, MaxInFlight: s.Delivery.MaxInFlight}
}

// withoutQueue turns what a batch adds to one queue into dead letters, since the queue can't take it.
func (b Batch) withoutQueue(i int) Batch {
	bad := b.Enqueues[i]
	b.Enqueues = slices.Delete(slices.Clone(b.Enqueues), i, i+1)
	for _, position := range bad.Entries {
		b.Misfits = append(b.Misfits, Misfit{Position: position, Subscription: bad.Queue.Subscription, Reason: "queue-unusable"})
	}
	return b
}
