package router

import (
	"cmp"
	"slices"
	"strings"
)

// A call of apply holds Redis for a few milliseconds at most; these bound it.
const (
	batchEvents  = 1024
	batchQueues  = 1000
	batchEntries = 4096

	// What a batch may have to do with triggers. How much state they have is not known here: apply says where it is too much.
	batchOffers     = 256
	batchTriggers   = 128
	batchEventBytes = 1 << 20 // of the events that are offered, at least one
)

// matched is a run of records of a partition, in log order and without gaps, with the subscriptions that each matched.
type matched struct {
	records  []Record
	targets  [][]string       // ids of subscriptions in their order, for each record
	offers   [][]matchedOffer // to triggers, in the order of their targets, for each record; may be shorter
	misfits  []Misfit         // of the records, in their order
	snapshot *snapshot        // what they were matched under

	mostOffers  int // in one call, 0: batchOffers
	mostEntries int // in one call, 0: batchEntries
}

// matchAll matches records against a snapshot.
func matchAll(s *snapshot, records []Record) matched {
	m := matched{records: records, targets: make([][]string, len(records)), snapshot: s}
	found := make([]string, 0, len(records)) // by all records, side by side as long as there is room
	for i, record := range records {
		if record.Err != nil {
			m.misfits = append(m.misfits, Misfit{Position: record.Position, Reason: "malformed"})
			continue
		}
		view := NewView(record.Event)
		found = s.index.Match(view, found[len(found):])
		m.add(i, found)
		if view.GaveUp() {
			m.misfits = append(m.misfits, Misfit{Position: record.Position, Reason: "match-incomplete"})
		}
		view.Release()
	}
	return m
}

// isIdle tells whether nothing wants any of the records.
func (m matched) isIdle() bool {
	return len(m.misfits) == 0 && !slices.ContainsFunc(m.targets, func(targets []string) bool { return len(targets) > 0 }) &&
		!slices.ContainsFunc(m.offers, func(offers []matchedOffer) bool { return len(offers) > 0 })
}

// with is the run with another one behind it, which was matched under the same snapshot.
func (m matched) with(next matched) matched {
	if len(m.records) == 0 {
		return next
	}
	if m.offers != nil || next.offers != nil {
		m.offers = append(m.offers, make([][]matchedOffer, len(m.records)-len(m.offers))...)
		m.offers = append(m.offers, next.offers...)
	}
	m.records, m.targets, m.misfits = append(m.records, next.records...), append(m.targets, next.targets...), append(m.misfits, next.misfits...)
	return m
}

// add takes what matched a record: subscriptions, and behind them leaves of triggers.
func (m *matched) add(i int, ids []string) {
	first, _ := slices.BinarySearch(ids, string(TriggerID))
	m.targets[i] = ids[:first:first]
	if first < len(ids) {
		if m.offers == nil {
			m.offers = make([][]matchedOffer, len(m.records))
		}
		m.offers[i] = m.snapshot.offersOf(m.records[i].Event, ids[first:])
	}
}

// offersAt are the offers of a record.
func (m *matched) offersAt(i int) []matchedOffer {
	if i >= len(m.offers) {
		return nil
	}
	return m.offers[i]
}

// from is what remains from a record on.
func (m *matched) from(i int) matched {
	return matched{records: m.records[i:], targets: m.targets[i:], offers: m.offers[min(i, len(m.offers)):], snapshot: m.snapshot}
}

// batch makes the next call of apply: as much of the run as one call may do, after the cursor, which may stand amid the targets of an event.
// rest is what remains of the run.
func (m matched) batch(partition int, from Cursor) (b Batch, rest matched) {
	rest = matched{snapshot: m.snapshot}
	b = Batch{Partition: partition, From: from, To: from, Token: m.snapshot.tokens[partition]}
	build := batchBuilder{batch: &b, snapshot: m.snapshot, queues: make(map[string]int), most: cmp.Or(m.mostEntries, batchEntries), work: newWorkBuilder(&b.Work, cmp.Or(m.mostOffers, batchOffers))}
	if len(m.snapshot.tokens) > 1 {
		build.forward = newForwardBuilder(&b, m.snapshot)
	}
	for i, record := range m.records {
		if i == batchEvents || !build.add(record, m.targets[i], m.offersAt(i)) {
			rest = m.from(i)
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
	most     int // entries
	work     workBuilder
	forward  *forwardBuilder // nil: there is one partition
	done     Position        // the last record that was added whole
}

// add queues what a record matched; false: the batch is full, and its cursor stands where it ended, which may be amid this record.
func (b *batchBuilder) add(record Record, targets []string, offers []matchedOffer) bool {
	if b.batch.To.Position == record.Position {
		behind := b.batch.To.Target + "\x00" // the lowest one
		after, _ := slices.BinarySearch(targets, behind)
		targets = targets[after:]
		after, _ = slices.BinarySearchFunc(offers, behind, func(o matchedOffer, target string) int { return strings.Compare(o.target, target) })
		offers = offers[after:]
	}
	for _, id := range targets {
		if b.entries >= b.most || !b.enqueue(id, record) {
			return false
		}
		b.batch.To = Cursor{Position: record.Position, Target: id}
	}
	for i := range offers {
		if !b.offer(record, &offers[i]) {
			return false
		}
		b.batch.To = Cursor{Position: record.Position, Target: offers[i].target}
	}
	b.batch.To = Cursor{Position: record.Position}
	b.batch.Events++
	b.done = record.Position
	return true
}

// offer adds what a record has for a trigger; false: the batch has no room for it. Where there are several partitions it is forwarded, and only what is to be
// counted is counted here.
func (b *batchBuilder) offer(record Record, o *matchedOffer) bool {
	if b.forward == nil || o.countOnly() {
		return b.work.add(record, o)
	}
	return b.forward.add(record, o)
}

// enqueue adds a delivery; false: the batch has no room for another queue.
func (b *batchBuilder) enqueue(id string, record Record) bool {
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
		b.batch.Enqueues = append(b.batch.Enqueues, Enqueue{Queue: sub.Queue()})
	}
	e := &b.batch.Enqueues[i]
	e.Entries = append(e.Entries, record.Position)
	if sub, ok := b.snapshot.subscription(id); ok && sub.Ordered() {
		e.Lanes = append(e.Lanes, record.Event.Lane())
	}
	b.entries++
	return true
}

// Queue is what the store has to know of a subscription.
func (s *Subscription) Queue() Queue {
	q := Queue{Subscription: s.ID, Kind: s.Sink.Kind, Enabled: s.Enabled, MaxInFlight: s.Delivery.MaxInFlight, MaxBacklog: s.Delivery.MaxBacklog, Rate: s.Delivery.Rate, Breaker: s.breaker()}
	if q.Kind == PullSink {
		q.MaxInFlight, q.Rate = MaxPulled, Rate{} // how many workers there are, and how often they pull, is up to them
	}
	return q
}

// Ordered tells whether deliveries are made in order, per lane. Workers that pull get them as they come.
func (s *Subscription) Ordered() bool { return s.Delivery.Ordered && s.Sink.Kind != PullSink }

// breaker is the one that stands before the sink. The failures of Go code say nothing of an endpoint, nor do those of workers that pull.
func (s *Subscription) breaker() Breaker {
	if s.Sink.Kind == HandlerSink || s.Sink.Kind == PullSink {
		return Breaker{}
	}
	return s.Delivery.Breaker
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
