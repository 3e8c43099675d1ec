package router

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	readEvents   = 512                    // records in one read of the log
	readWait     = 200 * time.Millisecond // how long a read waits for the first one; a stopping replica gives its lease up no sooner
	standbyEvery = 100 * time.Millisecond // how often a replica without the lease looks whether it was given up

	// In a stream of events a moment's pause makes larger batches, of which each event costs less. Events that come singly are not held up.
	gatherAbove = 8
	gatherBelow = batchEvents
	gatherTime  = time.Millisecond

	// Events that nothing wants wait for so many others, or so long, until the cursor moves past them.
	idleEvents = batchEvents
	idleTime   = 20 * time.Millisecond
)

// errLost ends the routing of a partition: another replica has the lease, or is to have it.
var errLost = errors.New("another replica routes this partition")

// partition routes one partition of the log while this replica holds its lease.
//
// An event's way: read → match → divide into batches → apply → dispatcher. All but applying runs ahead.
type partition struct {
	router      *Router
	number      int
	mostOffers  limit       // to triggers in a call of apply: fewer where they have much state
	mostEntries limit       // to queues in a call of apply: fewer where many find no room
	forwarding  *forwarding // nil: there is one partition
}

func newPartition(r *Router, number int) *partition {
	return &partition{router: r, number: number, mostOffers: limit{most: batchOffers}, mostEntries: limit{most: batchEntries}}
}

// run tries to get the lease, routes while it has it, and begins anew, until ctx ends.
func (p *partition) run(ctx context.Context) error {
	for ctx.Err() == nil {
		lease, err := p.take(ctx)
		switch {
		case err != nil:
			p.router.failed(ctx, "take the lease of a partition", err)
			sleep(ctx, failurePause)
		case lease.Held:
			p.hold(ctx, lease)
		default:
			sleep(ctx, min(lease.Left, standbyEvery))
		}
	}
	return nil
}

// take asks for the lease. A replica that has its share of the partitions leaves those that were given up to the others, and takes only
// those of a replica that died.
func (p *partition) take(ctx context.Context) (Lease, error) {
	return p.router.store.TakeLease(ctx, p.number, p.router.config.Replica, p.router.config.Lease, p.router.spare() < 1)
}

// spare is how many more partitions this replica would route if all live ones had equal shares.
func (r *Router) spare() int {
	live, all := int(r.live.Load()), len(r.partitions)
	return (all+live-1)/live - int(r.held.Load())
}

// hold routes until the lease is lost or ctx ends, and then gives it up.
func (p *partition) hold(ctx context.Context, lease Lease) {
	p.router.config.Logger.Debug("routing a partition", "partition", p.number)
	p.router.held.Add(1)
	defer p.router.held.Add(-1)
	if err := p.router.store.CheckLog(ctx, lease.Cursor.Position); err != nil {
		p.router.config.Logger.Error("routing goes on, but look at this", "partition", p.number, "error", err)
	}
	work, holding := errgroup.WithContext(ctx)
	work.Go(func() error { return p.renew(holding) })
	work.Go(func() error { return p.route(holding, lease.Cursor) })
	work.Go(func() error { return p.housekeep(holding) })
	if p.forwarding != nil {
		p.forwarding.begin(ctx)
		work.Go(func() error { return p.router.mergers[p.number].run(holding) })
	}
	if err := work.Wait(); err != nil && !errors.Is(err, errLost) {
		p.router.failed(ctx, "route a partition", err)
	}
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := p.router.store.ReleaseLease(release, p.number, p.router.config.Replica); err != nil {
		p.router.config.Logger.Warn("cannot give a lease up; it runs out by itself", "partition", p.number, "error", err)
	}
}

// renew keeps the lease. That renewing fails for a while is no reason to stop: only the cursor decides who applies.
func (p *partition) renew(ctx context.Context) error {
	for sleep(ctx, p.router.config.Lease/3) {
		lease, err := p.take(ctx)
		switch {
		case err != nil:
			p.router.failed(ctx, "renew the lease of a partition", err)
		case !lease.Held || p.router.spare() < 0:
			return errLost
		}
	}
	return nil
}

// route reads, matches and applies from the cursor on.
func (p *partition) route(ctx context.Context, from Cursor) error {
	work, ctx := errgroup.WithContext(ctx)
	read := make(chan []Record, 1)
	ready := make(chan division, 1)
	work.Go(func() error { return p.read(ctx, from, read) })
	work.Go(func() error { return p.match(ctx, read, &divider{partition: p, cursor: from, to: ready}) })
	work.Go(func() error { return newApplying(p, from).run(ctx, ready) })
	return work.Wait()
}

// read sends the log on, from the cursor's event on.
func (p *partition) read(ctx context.Context, from Cursor, to chan<- []Record) error {
	defer close(to)
	after := from.Position
	after.Partition = p.number
	if from.Target != "" {
		after = after.before()
	}
	for ctx.Err() == nil {
		records, err := p.router.store.ReadLog(ctx, after, readEvents, readWait)
		if err != nil {
			p.router.failed(ctx, "read the log", err)
			sleep(ctx, failurePause)
			continue
		}
		gather := len(records) > gatherAbove && len(records) < gatherBelow
		for len(records) > 0 {
			n := min(batchEvents, len(records))
			select {
			case to <- records[:n:n]:
			case <-ctx.Done():
				return nil
			}
			after, records = records[n-1].Position, records[n:]
		}
		if gather {
			sleep(ctx, gatherTime)
		}
	}
	return nil
}

// before is the highest position below p.
func (p Position) before() Position {
	if p.Seq > 0 {
		return Position{Partition: p.Partition, MS: p.MS, Seq: p.Seq - 1}
	}
	return Position{Partition: p.Partition, MS: max(p.MS-1, 0), Seq: 1<<64 - 1}
}

// match has batches made of what the records match. Where nothing wants them, all there is to do is to move the cursor, which can wait for a moment: it goes
// together with what comes next.
func (p *partition) match(ctx context.Context, from <-chan []Record, to *divider) error {
	defer close(to.to)
	var held matched
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case records, ok := <-from:
			if !ok {
				return nil
			}
			run := matchAll(p.router.definitions.snapshot.Load(), records)
			if len(held.records) == 0 {
				timer.Reset(p.idleTime())
			} else if held.snapshot != run.snapshot {
				if !to.send(ctx, held) {
					return nil
				}
				held = matched{}
			}
			if held = held.with(run); run.isIdle() && len(held.records) < idleEvents {
				continue
			}
		case <-timer.C:
			if len(held.records) == 0 {
				continue
			}
		case <-ctx.Done():
			return nil
		}
		if !to.send(ctx, held) {
			return nil
		}
		held = matched{}
	}
}

// idleTime is how long the cursor may wait. Where partitions are several, triggers wait for it.
func (p *partition) idleTime() time.Duration {
	if p.forwarding != nil && p.snapshot().triggers.size > 0 {
		return gatherTime
	}
	return idleTime
}

// current is a run as it is to be applied; false: the definitions have changed since it was matched, and it was matched again.
func (p *partition) current(run matched) (matched, bool) {
	if s := p.snapshot(); run.snapshot != s && !slices.Equal(run.snapshot.tokens, s.tokens) {
		return matchAll(s, run.records), false
	}
	return run, true
}

// applyOne applies a batch and tells whether that could be; else the run has to be divided in another way.
func (p *partition) applyOne(ctx context.Context, next division) (bool, error) {
	batch := next.batch
	if len(batch.Forwards) > 0 {
		if status, err := p.forwarding.all(ctx, batch.Forwards); err != nil || status != Done {
			return false, p.refused(ctx, status, err)
		}
	}
	start := time.Now()
	dispatcher := p.router.dispatchers[p.number]
	reserved := dispatcher.reserve(batch.Enqueues)
	applied, err := p.call(ctx, batch)
	dispatcher.slots.give(reserved - len(applied.Claimed))
	if err != nil {
		return false, err
	}
	switch applied.Status {
	case Done:
		p.done(next, applied, time.Since(start))
		return true, nil
	case Heavy:
		p.mostOffers.set(applied.Offers)
		return false, nil
	case Crowded:
		p.mostEntries.set(applied.Entries)
		return false, nil
	default:
		return false, p.refused(ctx, applied.Status, nil)
	}
}

// refused draws the conclusion from a call that did nothing, or failed.
func (p *partition) refused(ctx context.Context, status ApplyStatus, err error) error {
	switch {
	case err != nil:
		return err
	case status == Stale:
		p.router.config.Observer.Refused(p.number, Stale)
		return p.refresh(ctx)
	default:
		p.router.config.Observer.Refused(p.number, Fenced)
		return errLost
	}
}

// call applies a batch, without the queues that turn out to be unusable.
func (p *partition) call(ctx context.Context, batch Batch) (Applied, error) {
	for {
		applied, err := p.router.store.Apply(ctx, batch)
		switch {
		case err != nil && ctx.Err() != nil:
			return applied, ctx.Err()
		case err != nil:
			p.router.failed(ctx, "apply a batch", err)
			applied, again, err := p.resolve(ctx, batch)
			if err != nil || !again {
				return applied, err
			}
		case applied.Status == Unusable:
			batch = p.without(ctx, batch, applied.Unusable)
		default:
			return applied, nil
		}
	}
}

// resolve finds out what became of a batch whose answer did not arrive: the cursor tells.
func (p *partition) resolve(ctx context.Context, batch Batch) (applied Applied, again bool, err error) {
	for sleep(ctx, failurePause/10) {
		lease, err := p.take(ctx)
		switch {
		case err != nil:
			p.router.failed(ctx, "read the cursor", err)
			sleep(ctx, failurePause)
		case !lease.Held:
			return Applied{}, false, errLost
		case lease.Cursor == batch.From:
			return Applied{}, true, nil
		case lease.Cursor == batch.To:
			return appliedUnheard(batch), false, nil
		default:
			return Applied{Status: Fenced, Cursor: lease.Cursor}, false, nil
		}
	}
	return Applied{}, false, ctx.Err()
}

// appliedUnheard is what is known of a batch that was applied, though its answer is lost: what it leased comes back when the leases end.
func appliedUnheard(b Batch) Applied {
	return Applied{Status: Done, Cursor: b.To, Ready: queuesOf(b)}
}

// without leaves out of a batch what turned out to be unusable.
func (p *partition) without(ctx context.Context, b Batch, unfit Unfit) Batch {
	log := p.router.config.Logger
	switch {
	case unfit.Queue >= 0:
		log.Error("a queue's key holds something else; its deliveries become dead letters", "subscription", b.Enqueues[unfit.Queue].Queue.Subscription)
		return b.withoutQueue(unfit.Queue)
	case unfit.Trigger >= 0:
		log.Error("a trigger's key holds something else; its events become dead letters", "trigger", b.Work.Triggers[unfit.Trigger].ID)
		return b.withoutTrigger(unfit.Trigger)
	}
	partial := b.Work.Partials[unfit.Partial]
	log.Error("a partial's key holds something else; its events become dead letters", "trigger", b.Work.Triggers[partial.Trigger].ID, "partial", partial.Hash)
	if b.Events == 0 && b.From == b.To {
		p.forget(ctx, b.Work.Triggers[partial.Trigger], partial.Hash)
	}
	return b.withoutPartial(unfit.Partial)
}

// forget drops a partial that is none, so that its deadline is not looked at again and again.
func (p *partition) forget(ctx context.Context, t WorkTrigger, hash KeyHash) {
	if _, err := p.router.store.DropPartials(ctx, p.number, t.ID, t.Generation, []KeyHash{hash}); err != nil {
		p.router.failed(ctx, "drop a partial", err)
	}
}

// snapshot is the definitions as this replica knows them.
func (p *partition) snapshot() *snapshot { return p.router.definitions.snapshot.Load() }

func queuesOf(b Batch) []Queue {
	queues := make([]Queue, len(b.Enqueues))
	for i, e := range b.Enqueues {
		queues[i] = e.Queue
	}
	return queues
}

func (p *partition) refresh(ctx context.Context) error {
	for {
		err := p.router.definitions.refresh(ctx)
		if err == nil {
			return nil
		}
		p.router.failed(ctx, "read the definitions", err)
		if !sleep(ctx, failurePause) {
			return ctx.Err()
		}
	}
}

// done takes note of a batch that was applied.
func (p *partition) done(d division, applied Applied, took time.Duration) {
	p.handOver(d.touched(), d.batch, applied, took)
	p.mostOffers.raise()
	p.mostEntries.raise()
}

// handOver gives what was applied to the dispatcher.
func (p *partition) handOver(records []Record, batch Batch, applied Applied, took time.Duration) {
	deliveries := 0
	for _, e := range batch.Enqueues {
		deliveries += len(e.Entries)
	}
	p.router.config.Observer.Applied(p.number, batch.Events, deliveries, took)
	if deliveries > 0 {
		d := p.router.dispatchers[p.number]
		d.recent.add(records)
		d.accept(applied.Claimed, records)
		d.wake(applied.Ready)
	}
}

const (
	housekeepEvery  = 10 * time.Second
	housekeepAtOnce = 100 * time.Millisecond // where there is more to do
)

func (p *partition) housekeep(ctx context.Context) error {
	pause := housekeepAtOnce
	for sleep(ctx, pause) {
		more, err := p.tidy(ctx)
		switch {
		case err != nil:
			p.router.failed(ctx, "do the housekeeping", err)
			pause = housekeepEvery
		case more:
			pause = housekeepAtOnce
		default:
			pause = housekeepEvery
		}
	}
	return nil
}

// tidy does one round of housekeeping.
func (p *partition) tidy(ctx context.Context) (more bool, err error) {
	more, err = p.router.store.Housekeep(ctx, p.number)
	if err != nil {
		return more, err
	}
	expired, failed := p.expirePulled(ctx) // what is wrong with a queue keeps triggers from nothing
	again, err := p.freeTriggers(ctx)
	return more || expired || again, errors.Join(failed, err)
}

// expirePulled makes dead letters of deliveries whose last attempt was a worker's that has let its lease run out, though nobody pulls.
func (p *partition) expirePulled(ctx context.Context) (more bool, err error) {
	s := p.snapshot()
	dead, more, err := p.router.store.ExpirePulled(ctx, p.number, func(id string) (Queue, int, bool) {
		sub, ok := s.subscription(id)
		if !ok || sub.Sink.Kind != PullSink {
			return Queue{}, 0, false
		}
		return sub.Queue(), sub.Sink.MaxAttempts, true
	})
	for range dead {
		p.router.config.Observer.Attempted(PullSink, OutcomeExpired, 0)
		p.router.config.Observer.Settled(PullSink, Dead, 0)
	}
	return more, err
}

// freeTriggers frees a page of what each generation of a trigger has left that has passed.
func (p *partition) freeTriggers(ctx context.Context) (more bool, err error) {
	generations, err := p.router.store.TriggerGenerations(ctx, p.number)
	if err != nil {
		return false, err
	}
	s := p.snapshot()
	for _, g := range generations {
		if s.knows(g.Trigger, g.Generation) {
			continue
		}
		_, exists := s.trigger(g.Trigger)
		freed, err := p.router.store.FreeGeneration(ctx, p.number, s.tokens[p.number], g.Trigger, g.Generation, !exists)
		if err != nil {
			return false, err
		}
		if freed.Stale {
			return true, p.refresh(ctx)
		}
		more = more || freed.More
	}
	return more, nil
}
