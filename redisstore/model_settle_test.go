package redisstore_test

import (
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// settle: only who holds a delivery's lease decides what becomes of it, and what is done never comes back. Of a deleted subscription nothing is
// decided any more: its deliveries are dropped. Where it is asked for, fresh deliveries are leased along with it.
func (m *model) settle(p *modelPartition, settlements []router.Settlement, next []router.Claim) []router.Settled {
	var settled []router.Settled
	for _, group := range groups(settlements) {
		one := m.settleGroup(p, group, next)
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

func (m *model) settleGroup(p *modelPartition, group []router.Settlement, next []router.Claim) router.Settled {
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
	for _, c := range next {
		if c.Queue == queue && gate == 0 && !m.several() && queue.Rate.Limit == 0 && !p.stands(queue.Subscription) {
			one.Claimed = p.leaseNext(m.now, c)
		}
	}
	if next, work := p.reschedule(queue, m.now, gate); work {
		one.Work, one.Next = true, time.Duration(max(next-m.now, 0))*time.Millisecond
	}
	return one
}

// leaseNext: only fresh deliveries are leased along with a settlement, and none while a claim has to see to it that others get their share.
func (p *modelPartition) leaseNext(now int64, c router.Claim) (claimed []router.Claimed) {
	q := p.queue(c.Queue.Subscription)
	if len(q.due(q.retries, micros(now))) > 0 {
		return nil
	}
	expires := now + c.Lease.Milliseconds()
	q.takeFresh(min(c.Max, c.Queue.MaxInFlight-len(q.leases)), func(entry router.Entry) {
		q.leases[entry] = expires
		one := claimedAs(c.Queue, entry, 1, expires)
		one.Name = q.name(entry)
		claimed = append(claimed, one)
	})
	return claimed
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
	q, entry := p.queue(s.Claimed.Queue.Subscription), s.Claimed.Entry
	if _, gone := p.gone[s.Claimed.Queue.Subscription]; gone || !q.isLeased(now, entry, s.Claimed.Lease) {
		return false
	}
	delete(q.leases, entry)
	delete(q.receipts, entry)
	switch {
	case s.Unstarted:
		q.retries[entry] = micros(now)
	case s.Verdict == router.Delivered:
		q.delivered++
		q.success = now
		q.finish(entry)
		q.advance(now, entry)
	case s.Verdict == router.Dead:
		q.fail(now, s)
		q.dead++
		p.bury(now, deadName{entry, s.Claimed.Queue.Subscription}, q.attempts[entry].list)
		q.finish(entry)
		q.advance(now, entry)
	default:
		q.fail(now, s)
		q.retries[entry] = micros(now + s.After.Milliseconds())
	}
	return true
}

func (q *modelQueue) fail(now int64, s router.Settlement) {
	q.failed(s.Claimed.Entry, s.Attempt)
	q.failure, q.lastError = now, lastError(s.Attempt)
}

func (q *modelQueue) finish(entry router.Entry) {
	q.done[entry] = true
	delete(q.attempts, entry)
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
