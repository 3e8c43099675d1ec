package router

import (
	"context"
	"time"
)

const (
	settlePage  = 256                   // partials in one call: a few milliseconds
	settleEvery = 50 * time.Millisecond // how long a deadline that came up meanwhile goes unnoticed
	settleIdle  = time.Second           // the same where there are no triggers
	settleAgain = 5 * time.Millisecond  // after deadlines that had to wait for events
)

// deadlines settles what falls due in a partition, in bounded pages, for its apply loop.
//
// What is due by the clock can be settled once all events that were accepted before are applied; the script that settles sees to that. While events are
// applied, a page goes in between two batches of what is due by their accept times.
type deadlines struct {
	partition *partition
	timer     *time.Timer
	more      bool      // there may be more that is due by the events applied
	looked    time.Time // when that was found out
}

func newDeadlines(p *partition) *deadlines { return &deadlines{partition: p, timer: time.NewTimer(0)} }

func (d *deadlines) stop() { d.timer.Stop() }

// due says when to settle although no events come.
func (d *deadlines) due() <-chan time.Time { return d.timer.C }

// between settles a page after a batch.
func (d *deadlines) between(ctx context.Context, cursor Cursor) error {
	if !d.pressing() {
		return nil
	}
	return d.settle(ctx, cursor, cursor.Position.AcceptedAt())
}

// pressing tells whether it is time for a page.
func (d *deadlines) pressing() bool {
	return (d.more || time.Since(d.looked) >= settleEvery) && d.wanted()
}

// wanted tells whether there are triggers whose deadlines are settled here: with several partitions that is a merger's.
func (d *deadlines) wanted() bool {
	return d.partition.forwarding == nil && d.partition.snapshot().triggers.size > 0
}

// settle settles a page of what is due before a time, the zero time standing for now, and sets the timer for the next one.
func (d *deadlines) settle(ctx context.Context, cursor Cursor, before time.Time) error {
	d.looked = time.Now()
	if !d.wanted() {
		d.timer.Reset(settleIdle)
		return nil
	}
	p := d.partition
	due, err := p.router.store.DuePartials(ctx, p.number, before, p.snapshot().knows, settlePage)
	if err != nil {
		p.router.failed(ctx, "look for deadlines", err)
		d.timer.Reset(failurePause)
		return nil
	}
	d.more = due.More
	all, err := d.settleAll(ctx, cursor, due)
	if err != nil {
		return err
	}
	d.timer.Reset(d.pause(due, all))
	return nil
}

// pause is how long until deadlines are looked at again.
func (d *deadlines) pause(due Due, all bool) time.Duration {
	switch {
	case !all:
		return settleAgain
	case due.More:
		return 0
	case due.Next >= 0:
		return min(due.Next, settleEvery)
	}
	return settleEvery
}

// settleAll settles what was found, in as many calls as it takes; all says that the deadlines did not have to wait for events.
func (d *deadlines) settleAll(ctx context.Context, cursor Cursor, due Due) (all bool, err error) {
	p := d.partition
	work := p.snapshot().settlement(due)
	all = true
	for len(work.Triggers) > 0 {
		now, rest := work.split(p.mostOffers.now())
		batch := Batch{Partition: p.number, From: cursor, To: cursor, Token: p.snapshot().tokens[p.number], Work: now}
		applied, err := p.call(ctx, batch)
		switch {
		case err != nil:
			return false, err
		case applied.Status == Done:
			p.mostOffers.raise()
			all = all && applied.Settled
			work = rest
		case applied.Status == Heavy:
			p.mostOffers.set(applied.Offers)
		case applied.Status == Stale:
			p.router.config.Observer.Refused(p.number, Stale)
			return false, p.refresh(ctx)
		default:
			p.router.config.Observer.Refused(p.number, Fenced)
			return false, errLost
		}
	}
	return all, nil
}
