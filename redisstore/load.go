package redisstore

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// LoadEvents returns events for deliveries: from the log, else from the copies; see router.QueueStore. A queue that most events go to needs what
// stands side by side, now or soon, so it reads a stretch of the log first, one by one only what that did not bring, and remembers the groups that it
// read last.
func (s *Store) LoadEvents(ctx context.Context, partition int, positions []router.Position) ([]router.Record, error) {
	l := loading{store: s, partition: partition, positions: positions, found: make([]router.Record, len(positions)), missing: make([]int, len(positions))}
	for i := range positions {
		l.missing[i] = i
	}
	if inOrder := func(i, j int) int { return positions[i].Compare(positions[j]) }; !slices.IsSortedFunc(l.missing, inOrder) {
		slices.SortFunc(l.missing, inOrder)
	}
	for _, step := range []func(context.Context) error{l.remember, l.readStretch, l.readSingly, l.readCopies} {
		if len(l.missing) == 0 {
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
	found     []router.Record // in the order of positions
	missing   []int           // what is still looked for: where it stands in positions, in log order
}

// take keeps what find has of what is missing.
func (l *loading) take(find func(router.Position) (router.Record, bool)) {
	l.missing = slices.DeleteFunc(l.missing, func(i int) (ok bool) {
		l.found[i], ok = find(l.positions[i])
		return ok
	})
}

// takeFrom keeps what is looked for of some entries of the log, in their order.
func (l *loading) takeFrom(entries []redis.XMessage) error {
	groups := make([]loadedGroup, len(entries))
	for i, entry := range entries {
		last, err := router.ParseStreamID(l.partition, entry.ID)
		if err != nil {
			return unavailable(err, "read events of deliveries")
		}
		groups[i] = newLoadedGroup(last, entry)
	}
	l.store.loaded[l.partition].add(groups)
	l.take(func(p router.Position) (router.Record, bool) {
		i, _ := slices.BinarySearchFunc(groups, p, func(g loadedGroup, p router.Position) int { return g.last.Compare(p) })
		if i == len(groups) {
			return router.Record{}, false
		}
		return groups[i].find(p)
	})
	return nil
}

func (l *loading) remember(context.Context) error {
	l.take(l.store.loaded[l.partition].find)
	return nil
}

// readStretch reads about as many events as are missing, from the lowest on.
func (l *loading) readStretch(ctx context.Context) error {
	low, count := l.positions[l.missing[0]], l.store.density[l.partition].entries(len(l.missing))+1 // they seldom begin where a group does
	entries, err := l.store.reader.XRangeN(ctx, l.store.keys[l.partition].log(), low.ID(), "+", count).Result()
	if err != nil {
		return unavailable(err, "read events of deliveries")
	}
	return l.takeFrom(entries)
}

// readSingly reads the group of each position that is still missing.
func (l *loading) readSingly(ctx context.Context) error {
	pipe := l.store.reader.Pipeline()
	calls := make([]*redis.XMessageSliceCmd, 0, len(l.missing))
	for _, i := range l.missing {
		calls = append(calls, pipe.XRangeN(ctx, l.store.keys[l.partition].log(), l.positions[i].ID(), "+", 1))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return unavailable(err, "read events of deliveries")
	}
	for _, call := range calls {
		if err := l.takeFrom(call.Val()); err != nil {
			return err
		}
	}
	return nil
}

// readCopies takes what the log has no more from the copies.
func (l *loading) readCopies(ctx context.Context) error {
	ids := make([]string, len(l.missing))
	for k, i := range l.missing {
		ids[k] = l.positions[i].ID()
	}
	copies, err := l.store.reader.HMGet(ctx, l.store.keys[l.partition].copies(), ids...).Result()
	if err != nil {
		return unavailable(err, "read copies of events")
	}
	for k, i := range l.missing {
		l.found[i] = router.Record{Position: l.positions[i], Err: errors.New("the event is neither in the log nor among the copies")}
		if encoded, ok := copies[k].(string); ok {
			l.found[i] = record(l.positions[i], encoded)
		}
	}
	return nil
}

// loadedGroup is an entry of the log that was read. Its events are decoded when they are wanted.
type loadedGroup struct {
	last    router.Position
	events  []string
	invalid router.Record // what it is where it is no group
}

func newLoadedGroup(last router.Position, entry redis.XMessage) loadedGroup {
	events, err := eventsOf(last, entry)
	if err != nil {
		return loadedGroup{last: last, invalid: router.Record{Position: last, Raw: rawOf(entry), Err: err}}
	}
	return loadedGroup{last: last, events: events}
}

// find returns what stands at a position, if the group has it.
func (g loadedGroup) find(p router.Position) (router.Record, bool) {
	if p == g.last && g.invalid.Err != nil {
		return g.invalid, true
	}
	if behind := g.last.Seq - p.Seq; p.MS == g.last.MS && p.Seq <= g.last.Seq && behind < uint64(len(g.events)) {
		return record(p, g.events[uint64(len(g.events))-1-behind]), true
	}
	return router.Record{}, false
}

// loadedGroups is how many groups are remembered.
const loadedGroups = 32

// loadedRing remembers the groups that were read last. Safe for concurrent use.
type loadedRing struct {
	mu     sync.Mutex
	groups [loadedGroups]loadedGroup
	next   int // where the next one goes
	hit    int // where the last one was found
}

func (r *loadedRing) add(groups []loadedGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, group := range groups[max(0, len(groups)-loadedGroups):] {
		r.groups[r.next] = group
		r.next = (r.next + 1) % loadedGroups
	}
}

func (r *loadedRing) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.groups[:])
}

// find returns what stands at a position, if it is in a group that is remembered: mostly that which the last one was in, or the one behind it.
func (r *loadedRing) find(p router.Position) (router.Record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.groups {
		at := (r.hit + i) % loadedGroups
		if found, ok := r.groups[at].find(p); ok {
			r.hit = at
			return found, true
		}
	}
	return router.Record{}, false
}
