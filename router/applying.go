package router

import (
	"context"
	"time"
)

// applying applies the batches of a partition, in order, and settles deadlines in between.
//
// In a backlog a batch is sent while the one before it is under way, so that Redis need not wait for us. That is no risk: it is applied where the cursor stands behind
// the one before, and else nothing is done, and it is applied again when that one is.
type applying struct {
	partition *partition
	deadlines *deadlines
	cursor    Cursor
	flights   []*flight // at most two
}

// flightLead is how much later than the one before it a batch is sent. They take two connections, and one that arrives too early does nothing.
const flightLead = time.Millisecond

// flight is a batch under way.
type flight struct {
	division
	reserved int // slots of the dispatcher
	start    time.Time
	done     chan struct{} // closed when there is an answer
	applied  Applied
	err      error
}

func newApplying(p *partition, from Cursor) *applying {
	return &applying{partition: p, deadlines: newDeadlines(p), cursor: from}
}

func (a *applying) run(ctx context.Context, from <-chan division) error {
	ctx, cancel := context.WithCancel(ctx)
	defer a.abandon()
	defer cancel()
	defer a.deadlines.stop()
	for {
		var err error
		select {
		case next, ok := <-from:
			if !ok {
				return a.landAll(ctx)
			}
			err = a.take(ctx, next, len(from) > 0)
		case <-a.first():
			err = a.land(ctx)
		case <-a.deadlines.due():
			if err = a.landAll(ctx); err == nil {
				err = a.deadlines.settle(ctx, a.cursor, time.Time{})
			}
		}
		if err != nil {
			return err
		}
	}
}

// take applies a batch, or, where more are ready or one is under way, sends it.
func (a *applying) take(ctx context.Context, next division, more bool) error {
	_, current := a.partition.current(next.run)
	ahead := current && len(next.batch.Forwards) == 0 && next.batch.From == a.end()
	if !ahead || a.deadlines.pressing() || len(a.flights) == 0 && !more {
		if err := a.landAll(ctx); err != nil {
			return err
		}
		return a.now(ctx, next)
	}
	if len(a.flights) > 0 {
		a.flights[0].leave()
	}
	a.launch(ctx, next)
	if len(a.flights) > 1 {
		return a.land(ctx)
	}
	return nil
}

// leave waits until a flight is likely to be ahead of one that is sent now.
func (f *flight) leave() {
	timer := time.NewTimer(flightLead - time.Since(f.start))
	defer timer.Stop()
	select {
	case <-f.done:
	case <-timer.C:
	}
}

// end is where the cursor stands when all that is under way is applied.
func (a *applying) end() Cursor {
	if n := len(a.flights); n > 0 {
		return a.flights[n-1].batch.To
	}
	return a.cursor
}

func (a *applying) launch(ctx context.Context, next division) {
	p := a.partition
	f := &flight{division: next, reserved: p.router.dispatchers[p.number].reserve(next.batch.Enqueues), start: time.Now(), done: make(chan struct{})}
	a.flights = append(a.flights, f)
	go func() {
		defer close(f.done)
		f.applied, f.err = p.router.store.Apply(ctx, f.batch)
	}()
}

// first tells when there is an answer for the first flight; nil: there is none.
func (a *applying) first() <-chan struct{} {
	if len(a.flights) == 0 {
		return nil
	}
	return a.flights[0].done
}

// land waits for the answer for the first flight. Where that is not that it was applied, it and the one behind it are applied as if they had not been sent.
func (a *applying) land(ctx context.Context) error {
	f := a.flights[0]
	<-f.done
	if f.err != nil && a.nextApplied() {
		a.partition.router.failed(ctx, "apply a batch", f.err)
		f.err, f.applied = nil, appliedUnheard(f.batch)
	}
	if f.err == nil && f.applied.Status == Done {
		a.flights = a.flights[1:]
		a.applied(f)
		return nil
	}
	flights := a.flights
	a.abandon()
	if f.err != nil {
		if err := a.resolve(ctx, f); err != nil {
			return err
		}
	}
	for _, f := range flights {
		if err := a.now(ctx, f.division); err != nil {
			return err
		}
	}
	return nil
}

// nextApplied tells whether the second flight was applied, which it can be only behind the first: then that was applied, too, though its answer is lost, and what the second
// one leased is not.
func (a *applying) nextApplied() bool {
	if len(a.flights) < 2 {
		return false
	}
	first, second := a.flights[0], a.flights[1]
	<-second.done
	return second.batch.From == first.batch.To && second.err == nil && second.applied.Status == Done
}

func (a *applying) landAll(ctx context.Context) error {
	for len(a.flights) > 0 {
		if err := a.land(ctx); err != nil {
			return err
		}
	}
	return nil
}

// applied takes note of a flight that was applied.
func (a *applying) applied(f *flight) {
	p := a.partition
	p.router.dispatchers[p.number].slots.give(f.reserved - len(f.applied.Claimed))
	p.done(f.division, f.applied, time.Since(f.start))
	a.cursor = f.batch.To
}

// resolve finds out whether a flight without an answer was applied.
func (a *applying) resolve(ctx context.Context, f *flight) error {
	p := a.partition
	if ctx.Err() != nil {
		return ctx.Err()
	}
	p.router.failed(ctx, "apply a batch", f.err)
	applied, again, err := p.resolve(ctx, f.batch)
	switch {
	case err != nil || again:
		return err
	case applied.Status != Done:
		return p.refused(ctx, applied.Status, nil)
	}
	f.reserved, f.applied = 0, applied
	a.applied(f)
	return nil
}

// abandon waits for the answers for all flights, and gives back what was reserved for them. What one of them leased comes back when the lease ends.
func (a *applying) abandon() {
	p := a.partition
	for _, f := range a.flights {
		<-f.done
		p.router.dispatchers[p.number].slots.give(f.reserved)
	}
	a.flights = nil
}

// now applies a batch that was made ahead, unless that was done. Where it can't be as it is, the run that it begins is divided anew, and applied to its end; the batches
// that were made of the rest come later and do not start where the cursor stands then.
func (a *applying) now(ctx context.Context, next division) error {
	if next.batch.From != a.cursor {
		return nil
	}
	for again := false; ; again = true {
		if run, ok := a.partition.current(next.run); again || !ok {
			next, again = a.partition.divide(run, a.cursor), true
		}
		applied, err := a.partition.applyOne(ctx, next)
		if err != nil {
			return err
		}
		if !applied {
			continue
		}
		a.cursor = next.batch.To
		if err := a.deadlines.between(ctx, a.cursor); err != nil {
			return err
		}
		if next.run = next.rest; !again || len(next.run.records) == 0 {
			return nil
		}
	}
}
