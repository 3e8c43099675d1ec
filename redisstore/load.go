package redisstore

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// LoadEvents returns events for deliveries: from the log, else from the copies; see router.QueueStore. A queue that most events go to needs what
// stands side by side, now or soon, so it reads a stretch of the log first, one by one only what that did not bring, and remembers the groups that it
// read last.
func (s *Store) LoadEvents(ctx context.Context, partition int, positions []router.Position) ([]router.Record, error) {
	l := loading{store: s, partition: partition, positions: positions, found: make([]router.Record, len(positions)), places: make(map[router.Position][]int, len(positions))}
	for i, p := range positions {
		l.places[p] = append(l.places[p], i)
	}
	for _, step := range []func(context.Context) error{l.remember, l.readStretch, l.readSingly, l.readCopies} {
		if len(l.places) == 0 {
			break
		}
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return l.found, nil
}

// loading looks for the events at some positions of a partition.
type loading struct {
	store     *Store
	partition int
	positions []router.Position
	found     []router.Record
	places    map[router.Position][]int // of what is missing: where in positions it stands
}

// missing is what is still looked for, in log order.
func (l *loading) missing() []router.Position {
	return slices.SortedFunc(maps.Keys(l.places), router.Position.Compare)
}

func (l *loading) take(r router.Record) {
	for _, i := range l.places[r.Position] {
		l.found[i] = r
	}
	delete(l.places, r.Position)
}

// takeAll keeps what is looked for of some entries.
func (l *loading) takeAll(entries []redis.XMessage) error {
	for _, entry := range entries {
		last, err := router.ParseStreamID(l.partition, entry.ID)
		if err != nil {
			return unavailable(err, "read events of deliveries")
		}
		records := appendRecords(nil, last, entry)
		l.store.loaded[l.partition].add(records)
		for _, r := range records {
			l.take(r)
		}
	}
	return nil
}

func (l *loading) remember(context.Context) error {
	for _, r := range l.store.loaded[l.partition].find(l.missing()) {
		l.take(r)
	}
	return nil
}

// readStretch reads about as many events as there are positions, from the lowest on.
func (l *loading) readStretch(ctx context.Context) error {
	low, count := l.missing()[0], l.store.density[l.partition].entries(len(l.places))
	entries, err := l.store.reader.XRangeN(ctx, l.store.keys[l.partition].log(), low.ID(), "+", count).Result()
	if err != nil {
		return unavailable(err, "read events of deliveries")
	}
	return l.takeAll(entries)
}

// readSingly reads the group of each position that is still missing.
func (l *loading) readSingly(ctx context.Context) error {
	pipe := l.store.reader.Pipeline()
	calls := make([]*redis.XMessageSliceCmd, 0, len(l.places))
	for _, p := range l.missing() {
		calls = append(calls, pipe.XRangeN(ctx, l.store.keys[l.partition].log(), p.ID(), "+", 1))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return unavailable(err, "read events of deliveries")
	}
	for _, call := range calls {
		if err := l.takeAll(call.Val()); err != nil {
			return err
		}
	}
	return nil
}

// readCopies takes what the log has no more from the copies.
func (l *loading) readCopies(ctx context.Context) error {
	missing := l.missing()
	ids := make([]string, len(missing))
	for i, p := range missing {
		ids[i] = p.ID()
	}
	copies, err := l.store.reader.HMGet(ctx, l.store.keys[l.partition].copies(), ids...).Result()
	if err != nil {
		return unavailable(err, "read copies of events")
	}
	for i, p := range missing {
		one := router.Record{Position: p, Err: errors.New("the event is neither in the log nor among the copies")}
		if encoded, ok := copies[i].(string); ok {
			one = record(p, encoded)
		}
		l.take(one)
	}
	return nil
}

// loadedGroups is how many groups are remembered.
const loadedGroups = 32

// loadedRing remembers the groups that were read last. Safe for concurrent use.
type loadedRing struct {
	mu     sync.Mutex
	groups [loadedGroups][]router.Record
	next   int
}

func (r *loadedRing) add(group []router.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.groups[r.next] = group
	r.next = (r.next + 1) % loadedGroups
}

func (r *loadedRing) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.groups[:])
}

// find returns the records at those of the positions that are in a group that is remembered.
func (r *loadedRing) find(positions []router.Position) (found []router.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range positions {
		for _, group := range r.groups {
			if len(group) == 0 || p.Compare(group[0].Position) < 0 || p.Compare(group[len(group)-1].Position) > 0 {
				continue
			}
			if i, ok := slices.BinarySearchFunc(group, p, func(r router.Record, p router.Position) int { return r.Position.Compare(p) }); ok {
				found = append(found, group[i])
				break
			}
		}
	}
	return found
}
