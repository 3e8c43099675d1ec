package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

const (
	commitEvents = 1000    // one script call stores at most so many events: about 3 ms of Redis
	commitBytes  = 1 << 20 // and about so many bytes, but always one event

	commitBudget = 5 * time.Second
)

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
