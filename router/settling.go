package router

import (
	"context"
	"slices"
)

// settleAll records results until there are no more, as many at a time as have come in. Few of many that are under way wait for others, until there is one for
// four of those: by then what a settlement costs is shared by some, and most of what may be in flight still is.
func (d *dispatcher) settleAll(ctx context.Context) {
	enough := func() int { return min((d.slots.inUse()+3)/4, settleSome) }
	for {
		results := d.outbox.take(enough)
		if results == nil {
			return
		}
		for batch := range slices.Chunk(results, settleSome) {
			d.settle(ctx, batch)
		}
		d.outbox.giveBack(results)
	}
}

// settle records a batch of results, and starts as many attempts in their place as it could lease deliveries for. What was delivered must be known to have been, or it
// is delivered again, so it insists until the leases have run out anyway.
func (d *dispatcher) settle(ctx context.Context, batch []Settlement) {
	ctx, cancel := context.WithTimeout(ctx, leaseMargin)
	defer cancel()
	next, reserved := d.reserveNext(batch)
	for {
		settled, token, err := d.router.store.SettleDeliveries(ctx, d.partition, batch, next)
		if err == nil {
			d.settled(ctx, batch, settled)
			d.sendNext(settled, token, reserved)
			return
		}
		d.router.failed(ctx, "record what became of deliveries", err)
		if !sleep(ctx, failurePause/4) {
			d.router.config.Logger.Error("what became of deliveries could not be recorded; they are made again", "deliveries", len(batch), "error", err)
			d.sendNext(nil, "", reserved)
			return
		}
	}
}

// reserveNext asks for as many deliveries as there are results, of the same queues, and reserves slots for them. It asks for none of a queue that could take all slots
// that are free: it is not the queue's own limit that holds its deliveries up, and claims, which bring more at once, and new events are the better use of them. Nor
// where claims take permits, which takes a call of its own. sendNext must follow.
func (d *dispatcher) reserveNext(results []Settlement) (next []Claim, reserved int) {
	if d.router.store.Partitions() > 1 {
		return nil, 0
	}
	var queues []Queue
	ended := make(map[string]int, 1)
	for i := range results {
		q := &results[i].Claimed.Queue
		if ended[q.Subscription]++; ended[q.Subscription] == 1 {
			queues = append(queues, *q)
		}
	}
	for _, q := range queues {
		sub, ok := d.router.definitions.snapshot.Load().subscription(q.Subscription)
		if !ok || sub.Queue() != q || q.Rate.Limit > 0 || q.MaxInFlight > d.slots.free() {
			continue
		}
		if n := d.slots.take(min(ended[q.Subscription], d.room(sub))); n > 0 {
			next = append(next, Claim{Queue: q, Max: n, Lease: sub.timeLimit() + leaseMargin})
			reserved += n
		}
	}
	if !d.expect(reserved) {
		d.slots.give(reserved)
		return nil, 0
	}
	return next, reserved
}

// sendNext starts the attempts for what was leased along with a settlement, in the slots that were reserved. It does not wait for the events, which settlements
// would wait for too.
func (d *dispatcher) sendNext(settled []Settled, token string, reserved int) {
	var claimed []Claimed
	for i := range settled {
		claimed = append(claimed, settled[i].Claimed...)
	}
	d.slots.give(reserved - len(claimed))
	d.attempts.Add(len(claimed) - reserved)
	if len(claimed) == 0 {
		return
	}
	go func() {
		records, ok := d.prepare(d.sending, claimed, token)
		if !ok || d.isStopped() {
			for _, c := range claimed {
				d.finish(Settlement{Claimed: c, Unstarted: true})
			}
			return
		}
		jobs := make([]job, len(claimed))
		for i, c := range claimed {
			jobs[i] = job{claimed: c, record: records[i]}
		}
		d.workers.start(jobs...)
	}()
}

func (d *dispatcher) settled(ctx context.Context, batch []Settlement, settled []Settled) {
	for _, one := range batch {
		d.router.config.Observer.Settled(one.Claimed.Queue.Kind, one.Verdict, 0)
	}
	var due []Queue
	for _, q := range settled {
		if q.Lost > 0 {
			d.router.config.Observer.Settled(q.Queue.Kind, Retrying, q.Lost)
		}
		if q.Work && q.Next <= 0 {
			due = append(due, q.Queue)
		}
	}
	d.wake(due)
	for _, q := range settled {
		if q.Failing > 0 {
			d.disableFailing(ctx, batch, q)
		}
	}
}

// disableFailing disables a subscription whose endpoint has been failing for too long.
func (d *dispatcher) disableFailing(ctx context.Context, batch []Settlement, q Settled) {
	sub, ok := d.router.definitions.snapshot.Load().subscription(q.Queue.Subscription)
	if limit := q.Queue.Breaker.DisableAfter.Std(); !ok || limit == 0 || q.Failing < limit {
		return
	}
	for _, one := range batch {
		if one.Fault && one.Claimed.Queue.Subscription == sub.ID {
			d.router.disable(ctx, sub, StoppedFailing, one.Attempt)
			return
		}
	}
}
