package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

const (
	commitEvents = 1000    // one script call stores at most so many events: about 3 ms of Redis
	commitBytes  = 1 << 20 // and about so many bytes, but always one event
	// In a stream of requests larger calls cost less an event. Callers that come singly are not held up.
	gatherAbove = 16
	gatherTime  = time.Millisecond // at most

	commitBudget = 5 * time.Second
	appendBudget = 2 * commitBudget // for a caller, who may have to wait for the commits of others
	repeatPause  = 20 * time.Millisecond
)

// Append stores events; see router.Appender.
func (s *Store) Append(ctx context.Context, events []router.Event) []router.Appended {
	if s.memory.full.Load() {
		return failAll(len(events), &router.Error{Code: router.Full, Message: "Redis is nearly full", RetryAfter: 5 * time.Second})
	}
	if len(s.keys) == 1 {
		return s.committers[0].commit(ctx, events)
	}
	results := make([]router.Appended, len(events))
	var all sync.WaitGroup
	for p, indexes := range s.byPartition(events) {
		all.Go(func() {
			mine := make([]router.Event, len(indexes))
			for i, index := range indexes {
				mine[i] = events[index]
			}
			for i, result := range s.committers[p].commit(ctx, mine) {
				results[indexes[i]] = result
			}
		})
	}
	all.Wait()
	return results
}

func (s *Store) byPartition(events []router.Event) map[int][]int {
	parts := make(map[int][]int)
	for i, e := range events {
		p := e.Partition(len(s.keys))
		parts[p] = append(parts[p], i)
	}
	return parts
}

func failAll(n int, err error) []router.Appended {
	results := make([]router.Appended, n)
	for i := range results {
		results[i].Err = err
	}
	return results
}

// item is one event on its way into the log.
type item struct {
	event                 *router.Event // the caller's
	identity, fingerprint string
	size                  int // of the event, encoded
}

// newItems makes items of a caller's events. Their identities and fingerprints are parts of one string.
func newItems(events []router.Event) []item {
	var text strings.Builder
	text.Grow(len(events) * (identityBytes + fingerprintBytes))
	for i := range events {
		identity, fingerprint := events[i].DedupeKey(), events[i].Fingerprint()
		text.Write(identity[:])
		text.Write(fingerprint[:])
	}
	items, rest := make([]item, len(events)), text.String()
	for i := range items {
		it := &items[i]
		it.event, it.size = &events[i], events[i].EncodedLen()
		it.identity, rest = rest[:identityBytes], rest[identityBytes:]
		it.fingerprint, rest = rest[:fingerprintBytes], rest[fingerprintBytes:]
	}
	return items
}

// pending is what one caller waits for.
type pending struct {
	items   []item
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
type committer struct {
	store     *Store
	partition int
	ctx       context.Context
	stop      context.CancelFunc
	worker    sync.WaitGroup

	mu     sync.RWMutex // held for reading while something is handed over
	closed bool
	queue  chan *pending
}

func newCommitter(s *Store, partition int) *committer {
	c := &committer{store: s, partition: partition, queue: make(chan *pending, commitEvents)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.worker.Go(c.work)
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
		batch := c.gather(first, worthACall(callers))
		callers = len(batch)
		c.store.commitAll(c.ctx, c.partition, c.inTime(batch))
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

// gather takes what waits at this moment, up to a batch. Where those are fewer callers than would be enough, it waits for more, for gatherTime in all.
func (c *committer) gather(first *pending, enough int) []*pending {
	late := c.ctx.Done()
	if enough > 1 {
		waiting, cancel := context.WithTimeout(c.ctx, gatherTime)
		defer cancel()
		late = waiting.Done()
	}
	batch, events, bytes := []*pending{first}, len(first.items), first.bytes()
	for events < commitEvents && bytes < commitBytes {
		p, ok := c.next(len(batch) < enough, late)
		if !ok {
			break
		}
		batch, events, bytes = append(batch, p), events+len(p.items), bytes+p.bytes()
	}
	return batch
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

func (p *pending) bytes() (n int) {
	for _, it := range p.items {
		n += it.size
	}
	return n
}

// commitAll stores a batch, in as many calls as its size asks for, and tells each caller, within commitBudget.
func (s *Store) commitAll(ctx context.Context, partition int, batch []*pending) {
	ctx, cancel := context.WithTimeoutCause(ctx, commitBudget, errUnconfirmed)
	defer cancel()
	var items []*item
	for _, p := range batch {
		for i := range p.items {
			items = append(items, &p.items[i])
		}
	}
	results := make([]router.Appended, 0, len(items))
	for len(items) > 0 {
		n := callSize(items)
		results = append(results, s.commitSome(ctx, partition, items[:n])...)
		items = items[n:]
	}
	for _, p := range batch {
		results = results[copy(p.results, results):]
		p.done <- struct{}{}
	}
	s.tails[partition].grown.beat() // last, so that the events are routed first: of those who wait, the one told last runs next
}

func callSize(items []*item) int {
	bytes := 0
	for i, it := range items {
		bytes += it.size
		if i == commitEvents || (i > 0 && bytes > commitBytes) {
			return i
		}
	}
	return len(items)
}

// commitSome stores what goes into one call. Of several events with the same identity the first goes first, and the others are then judged by it.
func (s *Store) commitSome(ctx context.Context, partition int, items []*item) []router.Appended {
	results := make([]router.Appended, len(items))
	places := make([]int, len(items)) // of what is still to be stored
	for i := range places {
		places[i] = i
	}
	for len(places) > 0 {
		now, later := withoutTwins(items, places)
		s.commitOnce(ctx, partition, items, now, results)
		places = later
	}
	return results
}

// withoutTwins divides places into those of the first event of each identity and the rest.
func withoutTwins(items []*item, places []int) (first, rest []int) {
	seen := make(map[string]struct{}, len(places))
	first = places[:0]
	for _, place := range places {
		identity := items[place].identity
		if _, twin := seen[identity]; twin {
			rest = append(rest, place)
			continue
		}
		seen[identity] = struct{}{}
		first = append(first, place)
	}
	return first, rest
}

// commitOnce calls append until its outcome is known or ctx ends. It repeats the same call with the same nonce, under which it
// recognises what it stored itself, so that a lost reply neither doubles an event nor makes its sender see a duplicate.
func (s *Store) commitOnce(ctx context.Context, partition int, items []*item, places []int, results []router.Appended) {
	call := newAppendCall(partition, items, places)
	for len(call.places) > 0 {
		reply, err := s.runAndWait(ctx, s.scripts.Append, s.appendKeys(partition), call.args()...)
		if err == nil {
			err = s.take(ctx, call, reply, results)
		}
		if err != nil && (!repeatable(err) || !pause(ctx, repeatPause)) {
			if cause := context.Cause(ctx); cause != nil {
				err = errors.Join(cause, err)
			}
			for _, place := range call.places {
				results[place].Err = unavailable(err, "append")
			}
			return
		}
	}
}

// take reads a reply: what is settled by it leaves the call.
func (s *Store) take(ctx context.Context, call *appendCall, reply any, results []router.Appended) error {
	if reply == "rotate" {
		return s.rotate(ctx, call.partition)
	}
	words, err := stringsOf(reply, 3)
	if err != nil {
		return fmt.Errorf("append: %w", err)
	}
	if words[0] == "known" {
		return call.settleKnown(words[1:], results)
	}
	records, previous, err := call.settleStored(words[1:], results)
	if err != nil {
		return err
	}
	s.tails[call.partition].add(previous, records)
	return nil
}

func (s *Store) appendKeys(partition int) []string {
	k := s.keys[partition]
	return []string{k.state(), k.log(), k.seen(0), k.seen(1), k.seen(2)}
}

func (s *Store) rotate(ctx context.Context, partition int) error {
	k := s.keys[partition]
	_, err := s.run(ctx, s.scripts.Rotate, []string{k.state(), k.seen(0), k.seen(1), k.seen(2)})
	return err
}

// repeatable tells whether a call that failed may succeed when it is repeated: no answer at all, or a server that is busy starting, moving
// or failing over. What it was may have been executed.
func repeatable(err error) bool {
	if !isReply(err) {
		return !errors.Is(err, redis.ErrClosed)
	}
	for _, word := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "BUSY", "NOREPLICAS", "UNBLOCKED"} {
		if strings.Contains(err.Error(), word+" ") {
			return true
		}
	}
	return false
}

// pause waits, and tells whether ctx is still good.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
