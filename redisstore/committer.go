package redisstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

const (
	// In a stream of requests larger calls cost less an event. Callers that come singly are not held up.
	gatherAbove = 16
	gatherTime  = time.Millisecond // at most

	// Calls under way share the lanes. A full one takes one, so that Redis has the next one at hand when it is done with it; another one takes all, so that the next
	// one gathers meanwhile.
	commitLanes = 2

	appendBudget = 2 * commitBudget // for a caller, who may have to wait for the commits of others
)

// pending is what one caller waits for.
type pending struct {
	items   []item
	bytes   int // of all
	results []router.Appended
	since   time.Time
	done    chan struct{} // gets one token when the results are there
}

// pendings are kept for the next callers.
var pendings = sync.Pool{New: func() any { return &pending{done: make(chan struct{}, 1)} }}

// newPending is given back with release by a caller that has its results.
func newPending(events []router.Event, since time.Time) *pending {
	p, _ := pendings.Get().(*pending)
	p.items, p.results, p.since = newItems(events), make([]router.Appended, len(events)), since
	p.bytes = 0
	for i := range p.items {
		p.bytes += p.items[i].size
	}
	return p
}

func (p *pending) release() {
	p.items, p.results = nil, nil
	pendings.Put(p)
}

// fail gives all of a caller's events one error.
func (p *pending) fail(err error) {
	for i := range p.results {
		p.results[i].Err = err
	}
	p.done <- struct{}{}
}

// committer gathers the events of concurrent callers into few script calls (group commit). Whatever is handed to it gets its results within
// appendBudget, about.
//
// Callers join those who wait. A call goes as soon as there is a way for it and it is worth it, started by whoever makes that so: who joins, a call that ends, or
// the timer of those who wait for more. Nobody is woken for less. Safe for concurrent use.
type committer struct {
	store func(ctx context.Context, callers []*pending, stored func()) // stores, calls stored, and tells the callers
	ctx   context.Context
	stop  context.CancelFunc
	calls sync.WaitGroup

	mu       sync.Mutex // guards what follows
	waiting  batch
	lanes    int // that calls under way have taken
	before   int // callers of the last call
	patience *time.Timer
	patient  bool // the timer runs
	closed   bool
}

func newCommitter(store func(context.Context, []*pending, func())) *committer {
	c := &committer{store: store}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.patience = time.AfterFunc(time.Hour, c.waitNoLonger)
	c.patience.Stop()
	return c
}

// close fails what is not under way, and returns when nothing is.
func (c *committer) close() {
	c.stop()
	c.mu.Lock()
	c.closed = true
	left := c.waiting.callers
	c.waiting = batch{}
	c.mu.Unlock()
	for _, p := range left {
		p.fail(unavailable(errClosed, "append"))
	}
	c.calls.Wait()
}

// commit has events stored and waits for what became of them.
func (c *committer) commit(ctx context.Context, events []router.Event) []router.Appended {
	since := time.Now()
	if len(events) <= commitEvents {
		return c.commitPart(ctx, events, since)
	}
	results := make([]router.Appended, 0, len(events))
	for part := range slices.Chunk(events, commitEvents) {
		results = append(results, c.commitPart(ctx, part, since)...)
	}
	return results
}

// commitPart commits what goes into one call, for a caller who has waited since that time.
func (c *committer) commitPart(ctx context.Context, events []router.Event, since time.Time) []router.Appended {
	p := newPending(events, since)
	if err := c.join(p); err != nil {
		return failAll(len(events), err)
	}
	if ctx.Done() == nil {
		<-p.done
	} else {
		select {
		case <-p.done:
		case <-ctx.Done():
			return failAll(len(events), unavailable(context.Cause(ctx), "wait for the log"))
		}
	}
	results := p.results
	p.release()
	return results
}

var (
	errClosed      = errors.New("the store is closed")
	errUnconfirmed = errors.New("Redis did not confirm the events in time")
)

// join adds a caller to those who wait.
func (c *committer) join(p *pending) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return unavailable(errClosed, "append")
	}
	c.waiting.add(p)
	c.start(worthACall(c.before))
	return nil
}

// leave says that a call does not need its lanes any more.
func (c *committer) leave(lanes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lanes -= lanes
	c.start(worthACall(c.before))
}

// waitNoLonger is called by the timer.
func (c *committer) waitNoLonger() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.patient = false
	c.start(1)
}

// start starts the calls that can go: full ones while there is a lane, and another one when there is nothing else under way, which takes all lanes. Where it has fewer
// callers then than would be enough, it waits for more, for gatherTime at most.
func (c *committer) start(enough int) {
	for len(c.waiting.callers) > 0 {
		lanes := commitLanes
		if c.waiting.full() {
			lanes = 1
		}
		switch {
		case c.lanes+lanes > commitLanes:
			return
		case lanes > 1 && len(c.waiting.callers) < enough:
			if !c.patient {
				c.patient = true
				c.patience.Reset(gatherTime)
			}
			return
		}
		if c.patient {
			c.patient = false
			c.patience.Stop()
		}
		callers := c.waiting.take()
		c.lanes, c.before = c.lanes+lanes, len(callers)
		c.calls.Go(func() {
			c.store(c.ctx, inTime(callers), func() { c.leave(lanes) })
		})
	}
}

// worthACall is how many callers are worth a call behind one that had so many. Of callers that each wait for their answer, nearly as many come again while that
// one is under way, so that waiting for them leaves no processor idle; a pause of fixed length would.
func worthACall(before int) int {
	if before <= gatherAbove {
		return 1
	}
	return before * 3 / 4
}

// inTime leaves out those that have waited so long that their callers would have to wait too long in all.
func inTime(callers []*pending) []*pending {
	latest := time.Now().Add(commitBudget - appendBudget)
	return slices.DeleteFunc(callers, func(p *pending) bool {
		late := p.since.Before(latest)
		if late {
			p.fail(unavailable(errUnconfirmed, "wait for the log"))
		}
		return late
	})
}

// batch is callers who wait for a call, in the order in which they came.
type batch struct {
	callers       []*pending
	events, bytes int
}

func (b *batch) add(p *pending) {
	b.callers = append(b.callers, p)
	b.events += len(p.items)
	b.bytes += p.bytes
}

// full tells whether there is enough for a call.
func (b *batch) full() bool { return b.events >= commitEvents || b.bytes >= commitBytes }

// take takes those who go into one call.
func (b *batch) take() []*pending {
	call := batch{callers: b.callers[:0:len(b.callers)]}
	for _, p := range b.callers {
		if call.full() {
			break
		}
		call.add(p)
	}
	n := len(call.callers)
	*b = batch{
		callers: append(make([]*pending, 0, len(b.callers)), b.callers[n:]...),
		events:  b.events - call.events, bytes: b.bytes - call.bytes,
	}
	return call.callers[:n:n]
}
