package redisstore_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// modelQueue is a subscription's queue in one partition. A delivery is in one of fresh, waiting, retries and leases, and then done, unless it is redriven.
type modelQueue struct {
	fresh     []router.Entry
	lane      map[router.Entry]string   // of those that were queued when the subscription was ordered
	first     map[string]router.Entry   // of each lane, while it is not done
	waiting   map[string][]router.Entry // behind it, in log order
	retries   map[router.Entry]int64    // when it is due, in microseconds: what is put back together keeps its order
	leases    map[router.Entry]int64    // when the lease runs out, which also names it where nobody pulls
	receipts  map[router.Entry]modelReceipt
	attempts  map[router.Entry]modelAttempts
	enqueued  map[router.Entry]bool // all there ever were
	putBack   map[router.Entry]bool // by a redrive or a replay, behind what stood there already
	done      map[router.Entry]bool // delivered or dead
	delivered int64
	dead      int64
	notQueued int64
	overCap   int64
	success   int64
	failure   int64
	lastError string
}

// modelAttempts are those that a delivery has behind it: how many of them its schedule has seen, and all that are recorded.
type modelAttempts struct {
	count int
	list  []router.Attempt
}

func (p *modelPartition) queue(id string) *modelQueue {
	if p.queues[id] == nil {
		p.queues[id] = &modelQueue{
			retries: map[router.Entry]int64{}, leases: map[router.Entry]int64{}, receipts: map[router.Entry]modelReceipt{}, attempts: map[router.Entry]modelAttempts{},
			enqueued: map[router.Entry]bool{}, putBack: map[router.Entry]bool{}, done: map[router.Entry]bool{},
			lane: map[router.Entry]string{}, first: map[string]router.Entry{}, waiting: map[string][]router.Entry{},
		}
	}
	return p.queues[id]
}

func (q *modelQueue) outstanding() []router.Entry {
	all := slices.Clone(q.fresh)
	for _, behind := range q.waiting {
		all = append(all, behind...)
	}
	all = slices.AppendSeq(all, maps.Keys(q.retries))
	return slices.AppendSeq(all, maps.Keys(q.leases))
}

// due returns what of a set is due, the longest due first.
func (q *modelQueue) due(set map[router.Entry]int64, now int64) []router.Entry {
	var list []router.Entry
	for entry, at := range set {
		if at <= now {
			list = append(list, entry)
		}
	}
	slices.SortFunc(list, func(a, b router.Entry) int {
		return cmp.Or(cmp.Compare(set[a], set[b]), compareText(q.name(a), q.name(b))) // as Redis orders equal scores
	})
	return list
}

// micros are microseconds of a time in milliseconds, as retries have them; millis is the way back, rounded as the scripts do it.
func micros(ms int64) int64 { return 1000 * ms }

func millis(us int64) int64 { return (us + 500) / 1000 }

// compareText orders as Redis orders the members of a sorted set.
func compareText(a, b string) int { return strings.Compare(a, b) }

func (n deadName) String() string {
	return n.entry.Position.ID() + n.entry.Suffix + " " + cmp.Or(n.subscription, "log")
}

// first is when the first of a set is due; ok is false for an empty one.
func first(set map[router.Entry]int64) (at int64, ok bool) {
	for _, t := range set {
		if !ok || t < at {
			at, ok = t, true
		}
	}
	return at, ok
}

// enqueue: a disabled subscription's events are counted and not queued. Of a queue that was empty, deliveries are leased at once, within what
// may be in flight, and the caller hears whether more are left.
func (p *modelPartition) enqueue(now int64, e router.Enqueue, applied *router.Applied) {
	q := p.queue(e.Queue.Subscription)
	if !e.Queue.Enabled {
		q.notQueued += int64(len(e.Entries))
		return
	}
	room := 0
	if e.Lanes != nil {
		e.Take = 0 // claims look at lanes
		for i, position := range e.Entries {
			q.lane[router.Entry{Position: position}] = e.Lanes[i]
		}
	}
	if _, paused := p.paused[e.Queue.Subscription]; len(q.fresh) == 0 && !paused {
		room = max(e.Queue.MaxInFlight-len(q.leases), 0)
	}
	came := len(e.Entries)
	e.Entries = p.withinCap(now, q, e)
	taken := min(room, e.Take, len(e.Entries))
	expires := now + e.Lease.Milliseconds()
	for i, position := range e.Entries {
		entry := router.Entry{Position: position}
		q.enqueued[entry] = true
		if i < taken {
			q.leases[entry] = expires
			applied.Claimed = append(applied.Claimed, claimedAs(e.Queue, entry, 1, expires))
		} else {
			q.fresh = append(q.fresh, entry)
		}
	}
	if room == 0 || len(e.Entries) == 0 {
		return // it is in the schedule if it has work
	}
	look := expires
	if taken < min(room, len(e.Entries)) {
		look = now
	}
	p.lookNoLaterThan(e.Queue, look)
	if taken < came {
		applied.Ready = append(applied.Ready, e.Queue)
	}
}

// withinCap: of what comes to a queue that may hold so many, the newest become dead letters that say why, and are counted.
func (p *modelPartition) withinCap(now int64, q *modelQueue, e router.Enqueue) []router.Position {
	if e.Queue.MaxBacklog == 0 {
		return e.Entries
	}
	fit := min(max(e.Queue.MaxBacklog-len(q.outstanding()), 0), len(e.Entries))
	for _, position := range e.Entries[fit:] {
		entry := router.Entry{Position: position}
		delete(q.lane, entry)
		p.bury(now, deadName{entry, e.Queue.Subscription}, []router.Attempt{{At: time.UnixMilli(now).UTC(), Outcome: router.OutcomeBacklogFull}})
		q.dead++
		q.overCap++
	}
	return e.Entries[:fit]
}

func claimedAs(q router.Queue, entry router.Entry, attempt int, expires int64) router.Claimed {
	return router.Claimed{Queue: q, Entry: entry, Attempt: attempt, Lease: decimal(expires), Name: entry.Position.ID() + entry.Suffix}
}

func (p *modelPartition) lookNoLaterThan(q router.Queue, at int64) {
	schedule := p.schedules[q.Kind]
	if old, ok := schedule[q.Subscription]; !ok || at < old {
		schedule[q.Subscription] = at
	}
}

// reschedule: a queue is looked at when something can be claimed from it, or a lease runs out; one without work, or of a deleted subscription,
// is not, and neither is a paused one. It is not looked at before the gate.
func (p *modelPartition) reschedule(queue router.Queue, now, gate int64) (next int64, work bool) {
	q, schedule := p.queue(queue.Subscription), p.schedules[queue.Kind]
	next, work = first(q.leases)
	if len(q.leases) < queue.MaxInFlight {
		at, ok := first(q.retries)
		at = millis(at)
		if len(q.fresh) > 0 {
			at, ok = now, true
		}
		if ok && (!work || at < next || at == now) {
			next, work = at, true
		}
	}
	if p.stands(queue.Subscription) || !work {
		delete(schedule, queue.Subscription)
		return 0, false
	}
	next = max(next, gate)
	schedule[queue.Subscription] = next
	return next, true
}

// stands tells whether nothing of a queue may be sent: its subscription is deleted or paused.
func (p *modelPartition) stands(id string) bool {
	_, gone := p.gone[id]
	_, paused := p.paused[id]
	return gone || paused
}

// pause: nothing is claimed any more. Who was paused stays so since then, and an operator's pause stays his.
func (p *modelPartition) pause(now int64, id string, reason router.StopReason) {
	old, ok := p.paused[id]
	if !ok {
		old.Since = time.UnixMilli(now).UTC()
	}
	if old.Reason != router.StoppedByOperator {
		old.Reason = reason
	}
	p.paused[id] = old
	for _, schedule := range p.schedules {
		delete(schedule, id)
	}
}

// resume: all that waits is looked at.
func (p *modelPartition) resume(now int64, sub router.Subscription, all bool) (resumed bool) {
	old, ok := p.paused[sub.ID]
	if !all && (!ok || old.Reason == router.StoppedByOperator) {
		return false
	}
	delete(p.paused, sub.ID)
	if len(p.queue(sub.ID).outstanding()) > 0 {
		p.schedules[sub.Sink.Kind][sub.ID] = now
	}
	return true
}

// dueQueues: the longest due first, and when the next one is due.
func (p *modelPartition) dueQueues(now int64, kind router.SinkKind, limit int) (ids []string, next time.Duration) {
	next = -1
	for id, at := range p.schedules[kind] {
		if at <= now {
			ids = append(ids, id)
		} else if wait := time.Duration(at-now) * time.Millisecond; next < 0 || wait < next {
			next = wait
		}
	}
	slices.SortFunc(ids, func(a, b string) int {
		return cmp.Or(cmp.Compare(p.schedules[kind][a], p.schedules[kind][b]), compareText(a, b))
	})
	return ids[:min(len(ids), limit)], next
}

func (p *modelPartition) claim(now int64, c router.Claim, permits modelPermits, b *modelBreaker) (claimed []router.Claimed) {
	q := p.queue(c.Queue.Subscription)
	expires := now + c.Lease.Milliseconds()
	take := func(entry router.Entry) {
		q.leases[entry] = expires
		one := claimedAs(c.Queue, entry, q.attempts[entry].count+1, expires)
		one.Date, one.Name = permits.date, q.name(entry)
		claimed = append(claimed, one)
	}
	if p.stands(c.Queue.Subscription) {
		p.reschedule(c.Queue, now, 0)
		return nil
	}
	q.take(now, permits.allowed, c.Queue.MaxInFlight, take)
	if permits.probing && len(claimed) > 0 && b.fields["probe"] != unnamed {
		b.begin(claimed[0].Name, expires)
		permits.gate = max(permits.gate, expires)
	}
	p.reschedule(c.Queue, now, permits.gate)
	return claimed
}

// take: first leases that ran out, each counting as an attempt that did not come to an end; then retries that are due and fresh deliveries, each
// half of the room where both could fill it.
func (q *modelQueue) take(now int64, want, maxInFlight int, take func(router.Entry)) {
	expired := q.due(q.leases, now)
	expired = expired[:min(want, len(expired))]
	room := min(want-len(expired), maxInFlight-len(q.leases))
	for _, entry := range expired {
		q.failed(entry, router.Attempt{At: time.UnixMilli(now).UTC(), Outcome: router.OutcomeExpired})
		take(entry)
	}
	if room < 1 {
		return
	}
	retries := q.due(q.retries, micros(now))
	retries = retries[:min(len(retries), room-min(len(q.fresh), room/2))]
	for _, entry := range retries {
		delete(q.retries, entry)
		take(entry)
	}
	q.takeFresh(room-len(retries), take)
}

func (q *modelQueue) takeFresh(room int, take func(router.Entry)) {
	for room > 0 && len(q.fresh) > 0 {
		entry := q.fresh[0]
		q.fresh = slices.Clone(q.fresh[1:])
		if q.goesFirst(entry) {
			take(entry)
			room--
		}
	}
}

// failed records an attempt.
func (q *modelQueue) failed(entry router.Entry, a router.Attempt) {
	old := q.attempts[entry]
	q.attempts[entry] = modelAttempts{old.count + 1, append(slices.Clip(old.list), a)}
}

// goesFirst: of a lane one delivery at a time is under way or waits for another attempt; the others wait behind it.
func (q *modelQueue) goesFirst(entry router.Entry) bool {
	lane, ok := q.lane[entry]
	if !ok {
		return true
	}
	if _, taken := q.first[lane]; taken {
		q.waiting[lane] = append(slices.Clip(q.waiting[lane]), entry)
		slices.SortFunc(q.waiting[lane], func(a, b router.Entry) int {
			return cmp.Or(a.Position.Compare(b.Position), compareText(q.name(a), q.name(b)))
		})
		return false
	}
	q.first[lane] = entry
	return true
}

// advance: when the first of a lane is done, the next one comes forward.
func (q *modelQueue) advance(now int64, entry router.Entry) {
	lane, ok := q.lane[entry]
	switch behind := q.waiting[lane]; {
	case !ok || q.first[lane] != entry:
	case len(behind) == 0:
		delete(q.first, lane)
		delete(q.waiting, lane)
	default:
		q.first[lane], q.waiting[lane], q.retries[behind[0]] = behind[0], behind[1:], micros(now)
	}
}

// name is how the delivery is called in the queue.
func (q *modelQueue) name(entry router.Entry) string {
	if lane, ok := q.lane[entry]; ok {
		return entry.Position.ID() + entry.Suffix + "#" + lane
	}
	return entry.Position.ID() + entry.Suffix
}

// isNext tells whether all that was queued of its lane before it is done. What was put back does not count: it comes too late for some, and before what is fresh.
func (q *modelQueue) isNext(entry router.Entry) bool {
	if q.putBack[entry] {
		return true
	}
	for other := range q.enqueued {
		if lane, ok := q.lane[entry]; ok && q.lane[other] == lane && other.Position.Compare(entry.Position) < 0 && !q.done[other] && !q.putBack[other] {
			return false
		}
	}
	return true
}

// isAlone tells whether nothing else of its lane is under way or waits for another attempt.
func (q *modelQueue) isAlone(entry router.Entry) bool {
	lane, ok := q.lane[entry]
	for _, set := range []map[router.Entry]int64{q.leases, q.retries} {
		for other := range set {
			if of, laned := q.lane[other]; ok && laned && of == lane && other != entry {
				return false
			}
		}
	}
	return true
}

// status adds a subscription's queues up.
func (m *model) status(id string) (s router.SubscriptionStatus) {
	if b := m.breakers[id]; b != nil {
		s.Breaker = router.BreakerStatus{
			Failures: integer(b.fields["failures"]), FailingSince: later(time.Time{}, integer(b.fields["since"])), NextProbe: later(time.Time{}, b.open),
			Probing: b.fields["probe"] != "",
		}
	}
	for _, p := range m.partitions {
		q := p.queue(id)
		s.InFlight += int64(len(q.leases))
		s.Retrying += int64(len(q.retries))
		s.Backlog += int64(len(q.outstanding()))
		s.Delivered += q.delivered
		s.Dead += q.dead
		s.NotQueued += q.notQueued
		s.OverCap += q.overCap
		if pause, ok := p.paused[id]; ok && (s.Paused == nil || pause.Since.Before(s.Paused.Since)) {
			s.Paused = &pause
		}
		s.LastSuccess = later(s.LastSuccess, q.success)
		if before := s.LastFailure; later(before, q.failure) != before {
			s.LastFailure, s.LastError = later(before, q.failure), q.lastError
		}
		for _, entry := range q.outstanding() {
			if at := entry.Position.AcceptedAt(); s.OldestPending.IsZero() || at.Before(s.OldestPending) {
				s.OldestPending = at
			}
		}
	}
	return s
}

func later(t time.Time, ms int64) time.Time {
	if u := time.UnixMilli(ms).UTC(); ms != 0 && u.After(t) {
		return u
	}
	return t
}
