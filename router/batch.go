package router

import "slices"

// A call of apply holds Redis for a few milliseconds at most; these bound it.
const (
	batchEvents  = 128
	batchQueues  = 1000
	batchEntries = 4096
)

// matched is a run of records of a partition, in log order and without gaps, with the subscriptions that each matched.
type matched struct {
	records  []Record
	targets  [][]string // ids in their order, for each record
	snapshot *snapshot  // what they were matched under
}

// matchAll matches records against a snapshot.
func matchAll(s *snapshot, records []Record) matched {
	m := matched{records: records, targets: make([][]string, len(records)), snapshot: s}
	for i := range records {
		if records[i].Err != nil {
			continue
		}
		view := NewView(records[i].Event)
		m.targets[i] = s.index.Match(view, nil)
		view.Release()
	}
	return m
}

// batch makes the next call of apply: as much of the run as one call may do, after the cursor, which may stand amid the targets of an event.
// rest is what remains of the run.
func (m matched) batch(partition int, from Cursor) (b Batch, rest matched) {
	b = Batch{Partition: partition, From: from, To: from, Token: m.snapshot.tokens[partition]}
	build := batchBuilder{batch: &b, snapshot: m.snapshot, queues: make(map[string]int)}
	for i, record := range m.records {
		if i == batchEvents || !build.add(record, m.targets[i]) {
			return b, matched{records: m.records[i:], targets: m.targets[i:], snapshot: m.snapshot}
		}
	}
	return b, matched{snapshot: m.snapshot}
}

// batchBuilder fills a batch.
type batchBuilder struct {
	batch    *Batch
	snapshot *snapshot
	queues   map[string]int // subscription to index in batch.Enqueues
	entries  int
}

// add queues what a record matched; false: the batch is full, and its cursor stands where it ended, which may be amid this record.
func (b *batchBuilder) add(record Record, targets []string) bool {
	if b.batch.To.Position == record.Position {
		after, _ := slices.BinarySearch(targets, b.batch.To.Target+"\x00") // the first one behind the target
		targets = targets[after:]
	}
	if record.Err != nil {
		b.batch.Misfits = append(b.batch.Misfits, Misfit{Position: record.Position, Reason: "malformed"})
	}
	for _, id := range targets {
		if b.entries == batchEntries || !b.enqueue(id, record.Position) {
			return false
		}
		b.batch.To = Cursor{Position: record.Position, Target: id}
	}
	b.batch.To = Cursor{Position: record.Position}
	b.batch.Events++
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
func (b Batch) withoutQueue(i int, reason string) Batch {
	bad := b.Enqueues[i]
	b.Enqueues = slices.Delete(slices.Clone(b.Enqueues), i, i+1)
	for _, position := range bad.Entries {
		b.Misfits = append(b.Misfits, Misfit{Position: position, Subscription: bad.Queue.Subscription, Reason: reason})
	}
	return b
}
