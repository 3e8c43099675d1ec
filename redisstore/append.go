package redisstore

import (
	"context"
	"errors"
	"fmt"
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

	// Calls under way share the lanes. A full one takes one, so that Redis has the next one at hand when it is done with it; another one takes all, so that the next
	// one gathers meanwhile.
	commitLanes = 2

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
	event                 router.Event // not the caller's variable: who gives up may use that for something else
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
		it.event, it.size = events[i], events[i].EncodedLen()
		it.identity, rest = rest[:identityBytes], rest[identityBytes:]
		it.fingerprint, rest = rest[:fingerprintBytes], rest[fingerprintBytes:]
	}
	return items
}

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

// commitAll stores what callers have handed over, in as many calls as its size asks for, and tells each of them, within commitBudget. It calls stored before it tells them.
func (s *Store) commitAll(ctx context.Context, partition int, callers []*pending, stored func()) {
	ctx, cancel := context.WithTimeoutCause(ctx, commitBudget, errUnconfirmed)
	defer cancel()
	var items []*item
	for _, p := range callers {
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
	stored()
	for _, p := range callers {
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
