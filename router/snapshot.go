package router

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// snapshot is the definitions as of one moment. It is immutable, and swapped as a whole: what dispatches never iterates anything that a
// concurrent change can touch.
type snapshot struct {
	version       uint64
	tokens        []string // of each partition, read before the definitions: apply compares the partition's
	index         *Index
	subscriptions hamt[string, *Subscription]
	triggers      hamt[string, *liveTrigger]
	sources       hamt[string, *Source] // by id
	inlets        hamt[string, *Source] // by name
}

var snapshotSeed = maphash.MakeSeed()

func (s *snapshot) subscription(id string) (*Subscription, bool) {
	return s.subscriptions.get(maphash.String(snapshotSeed, id), id)
}

// with returns a snapshot with changes, at a cost in proportion to them.
func (s *snapshot) with(d Definitions) (*snapshot, error) {
	if d.Complete {
		s = &snapshot{index: NewIndex()}
	}
	next := &snapshot{version: d.Version, tokens: d.Tokens, index: s.index, subscriptions: s.subscriptions, triggers: s.triggers, sources: s.sources, inlets: s.inlets}
	owner := new(edit)
	index := s.index.Edit()
	for i := range d.Subscriptions {
		sub := &d.Subscriptions[i]
		filter, err := sub.Filter.Compile()
		if err != nil {
			return nil, fmt.Errorf("filter of subscription %s: %w", sub.ID, err)
		}
		index.Set(sub.ID, filter)
		next.subscriptions = next.subscriptions.with(owner, maphash.String(snapshotSeed, sub.ID), sub.ID, sub)
	}
	for _, id := range d.Deleted { // last: an id never comes back
		index.Remove(id)
		next.subscriptions = next.subscriptions.without(owner, maphash.String(snapshotSeed, id), id)
	}
	if err := next.withTriggers(owner, index, d); err != nil {
		return nil, err
	}
	next.withSources(owner, d)
	next.index = index.Index()
	return next, nil
}

// definitions holds this replica's snapshot.
type definitions struct {
	store    DefinitionStore
	snapshot atomic.Pointer[snapshot]
	mu       sync.Mutex // one refresh at a time
}

func newDefinitions(store DefinitionStore) *definitions {
	return &definitions{store: store}
}

// refresh brings the snapshot up to what is stored. A refresh that began after the call did is enough for it.
func (d *definitions) refresh(ctx context.Context) error {
	before := d.snapshot.Load()
	d.mu.Lock()
	defer d.mu.Unlock()
	current := d.snapshot.Load()
	if current != before && current != nil && before != nil && current.version != before.version {
		return nil // somebody refreshed while this call waited; if that was too early, apply says so again
	}
	if current == nil {
		current = &snapshot{index: NewIndex()}
	}
	changes, err := d.store.Definitions(ctx, current.version)
	if err != nil {
		return err
	}
	next, err := current.with(changes)
	if err != nil {
		return err
	}
	d.snapshot.Store(next)
	return nil
}

// followEvery is how often definitions are looked at that no batch has asked for: what a queue is sent by may have changed.
const followEvery = time.Second

func (d *definitions) follow(ctx context.Context, r *Router) error {
	for sleep(ctx, followEvery) {
		if err := d.refresh(ctx); err != nil {
			r.failed(ctx, "read the definitions", err)
		}
	}
	return nil
}
