package router

import (
	"context"
	"math"
	"slices"
	"time"
)

const (
	mergeSoon = time.Millisecond      // how long until a merger looks again that waits for a partition; twice as long each time, up to mergeIdle
	mergeIdle = 25 * time.Millisecond // how long what another replica forwarded goes unnoticed
	mergeRest = time.Second           // the same where there are no triggers
)

// merger applies what was forwarded to a partition, in the order in which its partials meet events, and settles their deadlines. It runs while this replica
// holds the partition's lease; no guarantee rests on that.
//
// An entry is applied when all partitions have forwarded all that was accepted before it or in the same millisecond, and a deadline when that holds of it. So
// what fires does not depend on which partition is ahead of which.
type merger struct {
	partition  *partition
	wake       chan struct{} // one token: something was forwarded by this replica
	mostOffers int           // in a call of Merge
	inbox      Inbox         // as it was read, and what was applied since is taken off
	mark       int64         // that was reached before it was read: what came into it later was accepted at that time or after it
	kept       bool          // there is more in it that can be applied
	wanted     int64         // the time that all partitions should have reached
	pause      time.Duration // until the next round, if nothing is done
	more       bool          // more deadlines can be settled
	late       bool          // some have passed that can't be settled yet
	looked     time.Time     // when that was found out
}

func newMerger(p *partition) *merger {
	return &merger{partition: p, wake: make(chan struct{}, 1), mostOffers: batchOffers}
}

// wakeUp says that something was forwarded.
func (m *merger) wakeUp() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// run merges until ctx ends.
func (m *merger) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-m.wake:
		case <-ctx.Done():
			return nil
		}
		pause, err := m.round(ctx)
		if err != nil {
			m.partition.router.failed(ctx, "apply forwarded events", err)
			pause = failurePause
		}
		timer.Reset(pause)
	}
}

// round applies and settles what can be, and returns how long until the next one.
func (m *merger) round(ctx context.Context) (time.Duration, error) {
	asked := m.wanted
	if err := m.read(ctx); err != nil {
		return 0, err
	}
	through, busy, err := m.merge(ctx)
	if err == nil && (m.more || m.late || time.Since(m.looked) >= settleEvery) {
		err = m.settle(ctx, through)
	}
	switch {
	case err != nil:
		return 0, err
	case busy || m.more || m.wanted > max(asked, m.mark): // that can be asked for at once
		m.pause = 0
	case m.partition.snapshot().triggers.size == 0:
		m.pause = mergeRest
	default:
		m.pause = min(max(2*m.pause, mergeSoon), mergeIdle)
	}
	return m.pause, nil
}

// read reads the inbox, unless enough of it is known.
func (m *merger) read(ctx context.Context) (err error) {
	if m.kept {
		return nil
	}
	r := m.partition.router
	m.mark = r.marks.reach(ctx, m.wanted)
	if m.inbox, err = r.store.ReadInbox(ctx, m.partition.number); err == nil {
		m.wanted = m.inbox.newest() + 1
	}
	return err
}

// newest is the accept time of the newest entry.
func (i Inbox) newest() (ms int64) {
	for _, list := range i.Lists {
		if n := len(list.Entries); n > 0 {
			ms = max(ms, list.Entries[n-1].Position.MS)
		}
	}
	return ms
}

// merge applies what was accepted before the mark, as much of it as goes into one call. It returns the time before which everything is applied then; busy says
// that there may be more to do at once.
func (m *merger) merge(ctx context.Context) (through int64, busy bool, err error) {
	batch, whole := m.partition.snapshot().merge(m.partition.number, m.inbox, m.mark, m.mostOffers)
	through, busy, m.kept = m.inbox.Cursor.Position.MS, m.kept, false
	if len(batch.Taken) > 0 || batch.From != batch.To {
		applied, err := m.call(ctx, batch)
		if err != nil {
			return through, true, err
		}
		if err := m.learn(ctx, applied); err != nil || applied.Status != Done {
			return through, true, err
		}
		m.inbox = m.inbox.after(batch)
		through, busy, m.kept = batch.To.Position.MS, true, !whole
	}
	if whole {
		through = m.mark
	}
	return through, busy, nil
}

// after is what is left of an inbox.
func (i Inbox) after(m Merge) Inbox {
	i.Cursor, i.Lists = m.To, slices.Clone(i.Lists)
	for _, taken := range m.Taken {
		i.Lists[taken.From].Entries = i.Lists[taken.From].Entries[taken.N:]
	}
	return i
}

// call makes a call of Merge, without what turns out to be unusable.
func (m *merger) call(ctx context.Context, batch Merge) (Applied, error) {
	for {
		applied, err := m.partition.router.store.Merge(ctx, batch)
		if err != nil || applied.Status != Unusable {
			return applied, err
		}
		batch = batch.with(m.partition.without(ctx, batch.batch(), applied.Unusable))
	}
}

// learn draws the conclusions from the answer of a call: how large the next one may be, whether to read the definitions.
func (m *merger) learn(ctx context.Context, applied Applied) error {
	switch applied.Status {
	case Done:
		m.mostOffers = min(2*m.mostOffers, batchOffers)
	case Heavy:
		m.mostOffers = max(applied.Offers, 1)
	case Stale:
		m.partition.router.config.Observer.Refused(m.partition.number, Stale)
		return m.partition.refresh(ctx)
	default: // another replica was faster
		m.partition.router.config.Observer.Refused(m.partition.number, Fenced)
	}
	return nil
}

// settle settles a page of the deadlines before a time up to which everything is applied.
func (m *merger) settle(ctx context.Context, through int64) error {
	p, at := m.partition, m.inbox.Cursor
	m.looked = time.Now()
	due, err := p.router.store.DuePartials(ctx, p.number, time.UnixMilli(through), p.snapshot().knows, settlePage)
	if err != nil {
		return err
	}
	m.more, m.late = due.More, due.Next == 0
	if m.late {
		m.wanted = math.MaxInt64
	}
	work := p.snapshot().settlement(due)
	for len(work.Triggers) > 0 {
		now, rest := work.split(m.mostOffers)
		applied, err := m.call(ctx, Merge{Partition: p.number, From: at, To: at, Token: p.snapshot().tokens[p.number], Work: now, Before: through})
		if err != nil {
			return err
		}
		if applied.Status == Done {
			work = rest
		} else if applied.Status != Heavy {
			work = TriggerWork{}
		}
		if err := m.learn(ctx, applied); err != nil {
			return err
		}
	}
	return nil
}
