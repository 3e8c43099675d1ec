package redisstore_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// model is what a store must hold, in plain Go and without Redis: the reference that the scripts are compared with, step by step (world). It is
// written for clarity and used by one goroutine. Times are milliseconds of Redis' clock; it starts empty.
//
// Where a rule of the design is at stake, the function that holds it says which.
type model struct {
	now           int64
	dedupeWindow  time.Duration
	deadRetention time.Duration
	partitions    []*modelPartition
	version       uint64
	subs          map[string]router.Subscription // the live ones
	changed       map[string]uint64              // version of each one's last change, deletions included
	permits       map[string]map[string]int64    // subscription → permit → when it runs out; with several partitions only
	rates         map[string]modelRate           // subscription → permits of its rate that count, by date
	breakers      map[string]*modelBreaker
	snapshots     []modelSnapshot   // what a replica may know, the newest last
	operations    []*modelOperation // those under way
	replays       int64             // ever begun
}

// modelSnapshot is what a replica read of the definitions at some time.
type modelSnapshot struct {
	tokens []string
	subs   map[string]router.Subscription
}

// modelChange is a change of the definitions as a partition heard of it: its version and the last position that was given out by then.
type modelChange struct {
	version uint64
	last    router.Position
}

// modelPartition is one partition: its log, how far that is applied, and its queues.
type modelPartition struct {
	number    int
	log       []router.Record // all that was ever accepted
	known     map[[16]byte]knownEvent
	ring      [3]int64 // the half windows that are known
	cursor    router.Cursor
	token     string
	changes   []modelChange
	queues    map[string]*modelQueue // also of deleted subscriptions, until they are purged
	schedules map[router.SinkKind]map[string]int64
	dead      map[deadName]router.DeadLetter
	paused    map[string]router.Pause
	gone      map[string]router.Position // deleted subscriptions, and the last event that may still be queued for them
	routed    int64
	owner     string
	leaseEnds int64
}

// knownEvent is what the dedupe ring knows of an event, by the half window in which it was stored.
type knownEvent struct {
	half        int64
	fingerprint [16]byte
	position    router.Position
}

// deadName is a delivery that failed: its entry, and the subscription that did not get it, "" for the log itself.
type deadName struct {
	entry        router.Entry
	subscription string
}

func newModel(now int64, partitions int, dedupeWindow, deadRetention time.Duration) *model {
	m := &model{
		now: now, dedupeWindow: dedupeWindow, deadRetention: deadRetention,
		subs: map[string]router.Subscription{}, changed: map[string]uint64{}, permits: map[string]map[string]int64{}, rates: map[string]modelRate{}, breakers: map[string]*modelBreaker{},
	}
	for n := range partitions {
		m.partitions = append(m.partitions, &modelPartition{
			number: n, cursor: router.Cursor{Position: router.Position{Partition: n}}, known: map[[16]byte]knownEvent{},
			queues: map[string]*modelQueue{}, dead: map[deadName]router.DeadLetter{}, gone: map[string]router.Position{}, paused: map[string]router.Pause{},
			schedules: map[router.SinkKind]map[string]int64{router.WebhookSink: {}, router.HandlerSink: {}, router.PullSink: {}},
		})
	}
	return m
}

// append: an event is stored once within the dedupe window, whatever happens to the clock; positions never go back.
func (m *model) append(events []router.Event) []router.Appended {
	results := make([]router.Appended, len(events))
	for i, e := range events {
		results[i] = m.partitions[e.Partition(len(m.partitions))].append(m.now, m.dedupeWindow, e)
	}
	return results
}

func (p *modelPartition) append(now int64, window time.Duration, e router.Event) router.Appended {
	position := p.next(now)
	p.rotate(now, window)
	half := position.MS / (window.Milliseconds() / 2)
	if known, ok := p.known[e.DedupeKey()]; ok && half-known.half <= 2 && p.ring[known.half%3] == known.half {
		if known.fingerprint != e.Fingerprint() {
			return router.Appended{Position: known.position, Err: router.Errorf(router.IDReused, "")}
		}
		return router.Appended{Position: known.position, Duplicate: true}
	}
	p.known[e.DedupeKey()] = knownEvent{half: half, fingerprint: e.Fingerprint(), position: position}
	p.log = append(p.log, router.Record{Position: position, Event: e})
	return router.Appended{Position: position}
}

// rotate forgets the half window in whose place a new one comes, wherever the clock goes after that.
func (p *modelPartition) rotate(now int64, window time.Duration) {
	half := max(now, p.end().MS) / (window.Milliseconds() / 2)
	p.ring[half%3] = half
}

// next is the position that an event accepted now gets.
func (p *modelPartition) next(now int64) router.Position {
	if end := p.end(); now <= end.MS {
		end.Seq++
		return end
	}
	return router.Position{Partition: p.number, MS: now}
}

func (p *modelPartition) end() router.Position {
	if len(p.log) == 0 {
		return router.Position{Partition: p.number}
	}
	return p.log[len(p.log)-1].Position
}

func (p *modelPartition) event(position router.Position) router.Event {
	i, _ := slices.BinarySearchFunc(p.log, position, func(r router.Record, q router.Position) int { return r.Position.Compare(q) })
	return p.log[i].Event
}

// apply: all of a batch, once, or nothing of it; and nothing that was accepted after a change under older definitions.
func (m *model) apply(b router.Batch) router.Applied {
	p := m.partitions[b.Partition]
	if p.cursor != b.From {
		return router.Applied{Status: router.Fenced, Cursor: p.cursor}
	}
	if p.token != b.Token && !p.precedesChanges(b) {
		return router.Applied{Status: router.Stale}
	}
	applied := router.Applied{Status: router.Done, Cursor: b.To}
	for _, e := range b.Enqueues {
		if len(m.partitions) > 1 || e.Queue.Rate.Limit > 0 {
			e.Take = 0 // that takes permits
		}
		if b := m.breakers[e.Queue.Subscription]; b != nil && b.open > 0 {
			e.Take = 0 // only claims let probes through
		}
		p.enqueue(m.now, e, &applied)
	}
	for _, misfit := range b.Misfits {
		p.bury(m.now, deadName{router.Entry{Position: misfit.Position}, misfit.Subscription}, []router.Attempt{{At: time.UnixMilli(0).UTC(), Outcome: router.Outcome(misfit.Reason)}})
	}
	p.cursor = b.To
	p.routed += int64(b.Events)
	return applied
}

// precedesChanges: whether all of a batch was accepted before the first change after the definitions that it was matched under. Where a partition
// does not know of a change before that one, it can't tell.
func (p *modelPartition) precedesChanges(b router.Batch) bool {
	digits, _, _ := strings.Cut(b.Token, ".")
	i := slices.IndexFunc(p.changes, func(c modelChange) bool { return c.version > uint64(integer(digits)) })
	return i > 0 && b.To.Position.Compare(p.changes[i].last) <= 0
}

// bury makes a dead letter.
func (p *modelPartition) bury(now int64, name deadName, attempts []router.Attempt) {
	letter := router.DeadLetter{
		Subscription: name.subscription, Position: name.entry.Position, At: time.UnixMilli(now).UTC(), Event: p.event(name.entry.Position),
		Reason: string(attempts[len(attempts)-1].Outcome), Attempts: attempts,
	}
	if name.subscription != "" {
		letter.ID = router.DeliveryID(name.subscription, name.entry)
	}
	p.dead[name] = letter
}

// define is what creating or replacing a subscription does.
func (m *model) define(s router.Subscription) {
	m.subs[s.ID] = s
	m.announce(s.ID, s.Version)
}

// announce: a change is in force in every partition before it is confirmed.
func (m *model) announce(id string, version uint64) {
	m.version, m.changed[id] = version, version
	for _, p := range m.partitions {
		p.changes = append(p.changes, modelChange{version, p.end()})
	}
}

// remove is what deleting one does: its queues leave the schedules at once and go with the next housekeeping. It returns how many deliveries
// are dropped.
func (m *model) remove(id string) (dropped int64) {
	delete(m.subs, id)
	m.announce(id, m.version+1)
	for _, p := range m.partitions {
		p.gone[id] = p.end()
		for _, schedule := range p.schedules {
			delete(schedule, id)
		}
		dropped += int64(len(p.queue(id).outstanding()))
	}
	return dropped
}

// purge empties the queue of a deleted subscription. That is forgotten when nothing can be queued for it any more.
func (p *modelPartition) purge(id string) (forgotten bool) {
	last, ok := p.gone[id]
	if !ok {
		return false
	}
	q := p.queue(id)
	for _, entry := range q.outstanding() {
		q.finish(entry)
	}
	q.fresh, q.retries, q.leases, q.waiting = nil, map[router.Entry]int64{}, map[router.Entry]int64{}, map[string][]router.Entry{}
	if last.Compare(p.applied()) > 0 {
		return false
	}
	delete(p.gone, id)
	delete(p.paused, id)
	delete(p.queues, id)
	for _, schedule := range p.schedules {
		delete(schedule, id)
	}
	return true
}

// applied is the last event that was applied as a whole.
func (p *modelPartition) applied() router.Position {
	if p.cursor.Target == "" {
		return p.cursor.Position
	}
	last := router.Position{Partition: p.number}
	for _, r := range p.log {
		if r.Position.Compare(p.cursor.Position) < 0 {
			last = r.Position
		}
	}
	return last
}

// expire removes dead letters that have been kept for their time.
func (m *model) expire(p *modelPartition) {
	before := time.UnixMilli(m.now).Add(-m.deadRetention)
	maps.DeleteFunc(p.dead, func(_ deadName, d router.DeadLetter) bool { return d.At.Before(before) })
}

// takeLease: a partition is read by one replica at a time.
func (m *model) takeLease(p *modelPartition, replica string, ttl time.Duration, orphan bool) router.Lease {
	left := max(p.leaseEnds-m.now, 0)
	if p.owner != replica && (left > 0 || p.owner == "" && orphan) {
		return router.Lease{Left: time.Duration(left) * time.Millisecond, Cursor: p.cursor}
	}
	p.owner, p.leaseEnds = replica, m.now+ttl.Milliseconds()
	return router.Lease{Held: true, Left: ttl, Cursor: p.cursor}
}

func (p *modelPartition) releaseLease(replica string) {
	if p.owner == replica {
		p.owner, p.leaseEnds = "", 0
	}
}

// deadLetters lists what a filter selects, newest first within a partition.
func (m *model) deadLetters(f router.DeadLetterFilter) []router.DeadLetter {
	letters := []router.DeadLetter{}
	for _, p := range m.partitions {
		mine := slices.SortedFunc(maps.Keys(p.dead), func(a, b deadName) int {
			return cmp.Or(p.dead[b].At.Compare(p.dead[a].At), compareText(b.String(), a.String()))
		})
		for _, name := range mine {
			d := p.dead[name]
			if (f.Subscription == "" || f.Subscription == d.Subscription) && (f.Reason == "" || f.Reason == d.Reason) &&
				!d.At.Before(f.From) && (f.To.IsZero() || d.At.Before(f.To)) {
				letters = append(letters, d)
			}
		}
	}
	return letters
}
