package redisstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// committer gathers the events of concurrent callers into few script calls (group commit). Whatever is handed to it gets its results within
// appendBudget, about.
type committer struct {
	store     *Store
	partition int
	ctx       context.Context
	stop      context.CancelFunc
	worker    sync.WaitGroup
	lanes     chan struct{} // holds a token for each lane that is taken

	mu     sync.RWMutex // held for reading while something is handed over
	closed bool
	queue  chan *pending
}

func newCommitter(s *Store, partition int) *committer {
	c := makeCommitter(context.Background())
	c.store, c.partition = s, partition
	c.worker.Go(c.work)
	return c
}

func makeCommitter(ctx context.Context) *committer {
	c := &committer{lanes: make(chan struct{}, commitLanes), queue: make(chan *pending, commitEvents)}
	c.ctx, c.stop = context.WithCancel(ctx)
	return c
}

// close fails what is not under way, and returns when nothing is.
func (c *committer) close() {
	c.stop()
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.queue)
	}
	c.mu.Unlock()
	c.worker.Wait()
}

// commit hands events to the worker and waits for what became of them.
func (c *committer) commit(ctx context.Context, events []router.Event) []router.Appended {
	since := time.Now()
	if len(events) <= commitEvents {
		return c.commitSome(ctx, events, since)
	}
	results := make([]router.Appended, 0, len(events))
	for some := range slices.Chunk(events, commitEvents) {
		results = append(results, c.commitSome(ctx, some, since)...)
	}
	return results
}

// commitSome hands over what goes into one call, for a caller who has waited since that time.
func (c *committer) commitSome(ctx context.Context, events []router.Event, since time.Time) []router.Appended {
	p := newPending(events, since)
	if err := c.handOver(ctx, p); err != nil {
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

func (c *committer) handOver(ctx context.Context, p *pending) error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return unavailable(errClosed, "append")
	}
	select {
	case c.queue <- p:
		return nil
	default:
	}
	select {
	case c.queue <- p:
		return nil
	case <-ctx.Done():
		return unavailable(context.Cause(ctx), "wait for the log")
	}
}

var (
	errClosed      = errors.New("the store is closed")
	errUnconfirmed = errors.New("Redis did not confirm the events in time")
)

func (c *committer) work() {
	callers := 0
	for first := range c.queue {
		b, lanes := c.gather(first, worthACall(callers))
		callers = len(b.callers)
		c.worker.Go(func() {
			c.store.commitAll(c.ctx, c.partition, c.inTime(b.callers), func() { c.leave(lanes) })
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
func (c *committer) inTime(batch []*pending) []*pending {
	latest := time.Now().Add(commitBudget - appendBudget)
	return slices.DeleteFunc(batch, func(p *pending) bool {
		late := p.since.Before(latest)
		if late {
			p.fail(unavailable(errUnconfirmed, "wait for the log"))
		}
		return late
	})
}

// batch is who goes into one call.
type batch struct {
	callers       []*pending
	events, bytes int
}

func (b *batch) add(p *pending) {
	b.callers = append(b.callers, p)
	b.events += len(p.items)
	b.bytes += p.bytes()
}

func (b *batch) full() bool { return b.events >= commitEvents || b.bytes >= commitBytes }

// gather makes a batch of who comes, which has taken the lanes that it needs. Where it is not full and its callers are fewer than would be enough, it waits for more, for
// gatherTime in all.
func (c *committer) gather(first *pending, enough int) (b batch, lanes int) {
	b.add(first)
	lanes = c.enter(&b)
	late := c.ctx.Done()
	if enough > 1 && !b.full() {
		waiting, cancel := context.WithTimeout(c.ctx, gatherTime)
		defer cancel()
		late = waiting.Done()
	}
	for !b.full() {
		p, ok := c.next(len(b.callers) < enough, late)
		if !ok {
			return b, lanes
		}
		b.add(p)
	}
	c.leave(lanes - 1)
	return b, 1
}

// enter adds who comes to a batch until it can go: while nothing else is under way, or, where it is full, when a lane is free.
func (c *committer) enter(b *batch) (lanes int) {
	queue := c.queue
	for lanes < commitLanes && (lanes == 0 || !b.full()) {
		if b.full() {
			queue = nil
		}
		select {
		case c.lanes <- struct{}{}:
			lanes++
		case p, ok := <-queue:
			if !ok {
				queue = nil
				continue
			}
			b.add(p)
		}
	}
	return lanes
}

func (c *committer) leave(lanes int) {
	for range lanes {
		<-c.lanes
	}
}

// next takes who waits, or, with patience, who comes before it is late.
func (c *committer) next(patient bool, late <-chan struct{}) (p *pending, ok bool) {
	if patient {
		select {
		case p, ok = <-c.queue:
			return p, ok
		case <-late:
		}
	}
	select {
	case p, ok = <-c.queue:
	default:
	}
	return p, ok
}
