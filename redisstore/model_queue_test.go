package redisstore_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// modelQueue is a subscription's queue in one partition. A delivery is in one of fresh, waiting, retries and leases, and then done, for good.
type modelQueue struct {
	fresh     []router.Position
	lane      map[router.Position]string   // of those that were queued when the subscription was ordered
	first     map[string]router.Position   // of each lane, while it is not done
	waiting   map[string][]router.Position // behind it, in log order
	retries   map[router.Position]int64    // when it is due
	leases    map[router.Position]int64    // when the lease runs out, which also names it
	attempts  map[router.Position][]router.Attempt
	enqueued  map[router.Position]bool // all there ever were
	done      map[router.Position]bool // delivered or dead
	delivered int64
	dead      int64
	notQueued int64
	overCap   int64
	success   int64
	failure   int64
	lastError string
}

func (p *modelPartition) queue(id string) *modelQueue {
	if p.queues[id] == nil {
		p.queues[id] = &modelQueue{
			retries: map[router.Position]int64{}, leases: map[router.Position]int64{}, attempts: map[router.Position][]router.Attempt{},
			enqueued: map[router.Position]bool{}, done: map[router.Position]bool{},
			lane: map[router.Position]string{}, first: map[string]router.Position{}, waiting: map[string][]router.Position{},
		}
	}
	return p.queues[id]
}

func (q *modelQueue) outstanding() []router.Position {
	all := slices.Clone(q.fresh)
	for _, behind := range q.waiting {
		all = append(all, behind...)
	}
	all = slices.AppendSeq(all, maps.Keys(q.retries))
	return slices.AppendSeq(all, maps.Keys(q.leases))
}

// due returns what of a set is due, the longest due first.
func due(set map[router.Position]int64, now int64) []router.Position {
	var list []router.Position
	for position, at := range set {
		if at <= now {
			list = append(list, position)
		}
	}
	slices.SortFunc(list, func(a, b router.Position) int {
		return cmp.Or(cmp.Compare(set[a], set[b]), compareText(a.ID()+"#", b.ID()+"#")) // as Redis orders equal scores
	})
	return list
}

// compareText orders as Redis orders the members of a sorted set.
func compareText(a, b string) int { return strings.Compare(a, b) }

func deadMember(d router.DeadLetter) string {
	return d.Position.ID() + " " + cmp.Or(d.Subscription, "log")
}

// first is when the first of a set is due; ok is false for an empty one.
func first(set map[router.Position]int64) (at int64, ok bool) {
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
			q.lane[position] = e.Lanes[i]
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
		q.enqueued[position] = true
		if i < taken {
			q.leases[position] = expires
			applied.Claimed = append(applied.Claimed, claimedAs(e.Queue, position, 1, expires))
		} else {
			q.fresh = append(q.fresh, position)
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
		delete(q.lane, position)
		p.bury(now, deadName{position, e.Queue.Subscription}, []router.Attempt{{At: time.UnixMilli(now).UTC(), Outcome: router.OutcomeBacklogFull}})
		q.dead++
		q.overCap++
	}
	return e.Entries[:fit]
}

func claimedAs(q router.Queue, position router.Position, attempt int, expires int64) router.Claimed {
	return router.Claimed{Queue: q, Entry: router.Entry{Position: position}, Attempt: attempt, Lease: decimal(expires), Name: position.ID()}
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
	take := func(position router.Position) {
		q.leases[position] = expires
		one := claimedAs(c.Queue, position, q.tried(position)+1, expires)
		one.Date, one.Name = permits.date, q.name(position)
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
func (q *modelQueue) take(now int64, want, maxInFlight int, take func(router.Position)) {
	expired := due(q.leases, now)
	expired = expired[:min(want, len(expired))]
	room := min(want-len(expired), maxInFlight-len(q.leases))
	for _, position := range expired {
		q.attempts[position] = append(q.attempts[position], router.Attempt{At: time.UnixMilli(now).UTC(), Outcome: router.OutcomeExpired})
		take(position)
	}
	if room < 1 {
		return
	}
	retries := due(q.retries, now)
	retries = retries[:min(len(retries), room-min(len(q.fresh), room/2))]
	for _, position := range retries {
		delete(q.retries, position)
		take(position)
	}
	for room -= len(retries); room > 0 && len(q.fresh) > 0; {
		position := q.fresh[0]
		q.fresh = slices.Clone(q.fresh[1:])
		if q.goesFirst(position) {
			take(position)
			room--
		}
	}
}

// goesFirst: of a lane one delivery at a time is under way or waits for another attempt; the others wait behind it.
func (q *modelQueue) goesFirst(position router.Position) bool {
	lane, ok := q.lane[position]
	if !ok {
		return true
	}
	if _, taken := q.first[lane]; taken {
		q.waiting[lane] = append(q.waiting[lane], position)
		return false
	}
	q.first[lane] = position
	return true
}

// advance: when the first of a lane is done, the next one comes forward.
func (q *modelQueue) advance(now int64, position router.Position) {
	lane, ok := q.lane[position]
	switch behind := q.waiting[lane]; {
	case !ok:
	case len(behind) == 0:
		delete(q.first, lane)
		delete(q.waiting, lane)
	default:
		q.first[lane], q.waiting[lane], q.retries[behind[0]] = behind[0], behind[1:], now
	}
}

// name is how the delivery is called in the queue.
func (q *modelQueue) name(position router.Position) string {
	if lane, ok := q.lane[position]; ok {
		return position.ID() + "#" + lane
	}
	return position.ID()
}

// isNext tells whether all that was queued of its lane before it is done.
func (q *modelQueue) isNext(position router.Position) bool {
	for other := range q.enqueued {
		if lane, ok := q.lane[position]; ok && q.lane[other] == lane && other.Compare(position) < 0 && !q.done[other] {
			return false
		}
	}
	return true
}

// tried is how many attempts at a delivery there were.
func (q *modelQueue) tried(position router.Position) int { return len(q.attempts[position]) }

// settle: only who holds a delivery's lease decides what becomes of it, and what is done never comes back. Of a deleted subscription nothing is
// decided any more: its deliveries are dropped.
func (m *model) settle(p *modelPartition, settlements []router.Settlement) []router.Settled {
	var settled []router.Settled
	for _, group := range groups(settlements) {
		one := m.settleGroup(p, group)
		settled = append(settled, one)
	}
	for i, group := range groups(settlements) {
		queue := group[0].Claimed.Queue
		var verdicts modelVerdicts
		for _, s := range group {
			delete(m.permits[queue.Subscription], s.Claimed.Permit)
			verdicts.add(s.Claimed.Permit, s, settled[i].Lost > 0)
		}
		m.returnRate(group)
		if m.several() {
			m.livePermits(queue.Subscription)
			settled[i].Failing = m.judge(queue, verdicts)
		}
	}
	return settled
}

func (m *model) settleGroup(p *modelPartition, group []router.Settlement) router.Settled {
	queue := group[0].Claimed.Queue
	one := router.Settled{Queue: queue}
	verdicts := modelVerdicts{}
	for _, s := range group {
		if p.settle(m.now, s) {
			verdicts.add(s.Claimed.Name, s, false)
		} else {
			one.Lost++
		}
	}
	gate := int64(0)
	if !m.several() {
		one.Failing = m.judge(queue, verdicts)
		gate = m.breaker(queue).open
	}
	if _, gone := p.gone[queue.Subscription]; gone {
		return one
	}
	if next, work := p.reschedule(queue, m.now, gate); work {
		one.Work, one.Next = true, time.Duration(max(next-m.now, 0))*time.Millisecond
	}
	return one
}

// groups are the settlements of each subscription, in the order of their first ones.
func groups(settlements []router.Settlement) (list [][]router.Settlement) {
	index := map[string]int{}
	for _, s := range settlements {
		i, ok := index[s.Claimed.Queue.Subscription]
		if !ok {
			i = len(list)
			index[s.Claimed.Queue.Subscription] = i
			list = append(list, nil)
		}
		list[i] = append(list[i], s)
	}
	return list
}

func (p *modelPartition) settle(now int64, s router.Settlement) (held bool) {
	q, position := p.queue(s.Claimed.Queue.Subscription), s.Claimed.Entry.Position
	expires, held := q.leases[position]
	if _, gone := p.gone[s.Claimed.Queue.Subscription]; gone || !held || decimal(expires) != s.Claimed.Lease {
		return false
	}
	delete(q.leases, position)
	switch {
	case s.Unstarted:
		q.retries[position] = now
	case s.Verdict == router.Delivered:
		q.delivered++
		q.success = now
		q.finish(position)
		q.advance(now, position)
	case s.Verdict == router.Dead:
		q.fail(now, s)
		q.dead++
		p.bury(now, deadName{position, s.Claimed.Queue.Subscription}, q.attempts[position])
		q.finish(position)
		q.advance(now, position)
	default:
		q.fail(now, s)
		q.retries[position] = now + s.After.Milliseconds()
	}
	return true
}

func (q *modelQueue) fail(now int64, s router.Settlement) {
	position := s.Claimed.Entry.Position
	q.attempts[position] = append(q.attempts[position], s.Attempt)
	q.failure, q.lastError = now, lastError(s.Attempt)
}

func (q *modelQueue) finish(position router.Position) {
	q.done[position] = true
	delete(q.attempts, position)
}

// lastError is how a status tells of a failure.
func lastError(a router.Attempt) string {
	switch {
	case a.Error != "":
		return string(a.Outcome) + ": " + a.Error
	case a.StatusCode != 0:
		return string(a.Outcome) + ": status " + decimal(int64(a.StatusCode))
	default:
		return string(a.Outcome)
	}
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
		for _, position := range q.outstanding() {
			if at := position.AcceptedAt(); s.OldestPending.IsZero() || at.Before(s.OldestPending) {
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
