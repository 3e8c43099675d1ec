package httpapi_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// fakeStore is the stores' contracts in memory. What a test sets makes it misbehave.
type fakeStore struct {
	mu       sync.Mutex
	log      [][]router.Record
	grown    chan struct{}
	ms       int64 // the accept time of the next event
	seen     map[string]router.Position
	subs     []router.Subscription
	triggers fakeTriggers
	sources  fakeSources
	version  uint64

	down       error            // every call fails with it
	refuse     map[string]error // by event id: it is not stored
	beforeSet  func()           // called in ReplaceSubscription, before it looks
	beforeMake func()           // called in CreateSubscription, before it looks
	reads      int              // entries that were read backwards
	paused     *router.Pause
	breaker    router.BreakerStatus
	dead       []router.DeadLetter
	deadAsked  []any
	status     router.Status
	tested     []router.Subscription
	attempt    router.Attempt
	notReady   error
	puller     fakePuller
	deliveries fakeDeliveries
	operations fakeOperations
}

func newFakeStore(partitions int) *fakeStore {
	return &fakeStore{log: make([][]router.Record, partitions), grown: make(chan struct{}), ms: 1_732_128_000_000, seen: map[string]router.Position{}}
}

func (f *fakeStore) Partitions() int { return len(f.log) }

// Append puts events into the partitions in turn, each a millisecond after the one before.
func (f *fakeStore) Append(_ context.Context, events []router.Event) []router.Appended {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]router.Appended, len(events))
	for i, e := range events {
		out[i] = f.append(e)
	}
	return out
}

func (f *fakeStore) append(e router.Event) router.Appended {
	if err := cmp.Or(f.down, f.refuse[e.ID()]); err != nil {
		return router.Appended{Err: err}
	}
	key := e.Source() + " " + e.ID()
	if p, ok := f.seen[key]; ok {
		return router.Appended{Position: p, Duplicate: true}
	}
	p := router.Position{Partition: int(f.ms) % len(f.log), MS: f.ms}
	f.ms++
	f.seen[key] = p
	f.put(router.Record{Position: p, Event: e})
	return router.Appended{Position: p}
}

func (f *fakeStore) put(r router.Record) {
	f.log[r.Position.Partition] = append(f.log[r.Position.Partition], r)
	close(f.grown)
	f.grown = make(chan struct{})
}

// spoil adds an entry that can't be decoded.
func (f *fakeStore) spoil() router.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := router.Position{Partition: int(f.ms) % len(f.log), MS: f.ms}
	f.ms++
	f.put(router.Record{Position: p, Raw: "?", Err: errors.New("not an event")})
	return p
}

func (f *fakeStore) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = err
}

func (f *fakeStore) ReadLog(_ context.Context, after router.Position, most int, wait time.Duration) ([]router.Record, error) {
	timeout := time.After(wait)
	for {
		f.mu.Lock()
		all, down, grown := f.log[after.Partition], f.down, f.grown
		f.mu.Unlock()
		if down != nil {
			return nil, down
		}
		rest := slices.DeleteFunc(slices.Clone(all), func(r router.Record) bool { return r.Position.Compare(after) <= 0 })
		if len(rest) > 0 || wait <= 0 {
			return rest[:min(most, len(rest))], nil
		}
		select {
		case <-grown:
		case <-timeout:
			return nil, nil
		}
	}
}

func (f *fakeStore) ReadLogReverse(_ context.Context, from router.Position, most int) (out []router.Record, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range slices.Backward(f.log[from.Partition]) {
		if r.Position.Compare(from) <= 0 && len(out) < most {
			out = append(out, r)
		}
	}
	f.reads += len(out)
	return out, f.down
}

func (f *fakeStore) LogEnd(_ context.Context, partition int) (router.Position, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if n := len(f.log[partition]); n > 0 {
		return f.log[partition][n-1].Position, f.down
	}
	return router.Position{}, f.down
}

func (f *fakeStore) find(ref string) int {
	return slices.IndexFunc(f.subs, func(s router.Subscription) bool { return s.ID == ref || s.Name == ref })
}

func (f *fakeStore) taken(name, id string) bool {
	return slices.ContainsFunc(f.subs, func(s router.Subscription) bool { return s.Name == name && s.ID != id })
}

func (f *fakeStore) CreateSubscription(_ context.Context, s router.Subscription) (router.Subscription, error) {
	if f.beforeMake != nil {
		f.beforeMake()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return s, f.down
	}
	if f.taken(s.Name, "") {
		return s, router.Errorf(router.Conflict, "the name %q is taken", s.Name)
	}
	f.version++
	s.ID, s.Version = fmt.Sprintf("sub_%026d", f.version), f.version
	s.Created = time.UnixMilli(f.ms).UTC()
	s.Updated = s.Created
	f.subs = append(f.subs, s)
	return s, nil
}

func (f *fakeStore) Subscription(_ context.Context, ref string) (router.Subscription, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return router.Subscription{}, f.down
	}
	if i := f.find(ref); i >= 0 {
		return f.subs[i], nil
	}
	return router.Subscription{}, router.Errorf(router.NotFound, "there is no subscription %q", ref)
}

func (f *fakeStore) ReplaceSubscription(_ context.Context, s router.Subscription) (router.Subscription, error) {
	if f.beforeSet != nil {
		f.beforeSet()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.find(s.ID)
	switch {
	case i < 0:
		return s, router.Errorf(router.NotFound, "there is no subscription %q", s.ID)
	case f.taken(s.Name, s.ID):
		return s, router.Errorf(router.Conflict, "the name %q is taken", s.Name)
	case f.subs[i].Version != s.Version:
		return s, router.Errorf(router.Precondition, "it was changed")
	}
	f.version++
	s.Version = f.version
	f.subs[i] = s
	return s, nil
}

func (f *fakeStore) RotateSecret(ctx context.Context, s router.Subscription, fresh string) (router.Subscription, error) {
	rotated, err := s.RotateSecret(fresh, time.UnixMilli(f.ms).UTC())
	if err != nil {
		return s, err
	}
	return f.ReplaceSubscription(ctx, rotated)
}

func (f *fakeStore) DeleteSubscription(_ context.Context, id string, version uint64) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.find(id)
	if i < 0 {
		return 0, router.Errorf(router.NotFound, "there is no subscription %q", id)
	}
	if version != 0 && version != f.subs[i].Version {
		return 0, router.Errorf(router.Precondition, "it was changed")
	}
	f.subs = slices.Delete(f.subs, i, i+1)
	return 7, nil
}

func (f *fakeStore) Subscriptions(_ context.Context, after string, limit int) (out []router.Subscription, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.subs {
		if s.ID > after && len(out) < limit {
			out = append(out, s)
		}
	}
	return out, f.down
}

func (f *fakeStore) PauseSubscription(_ context.Context, id string) error {
	f.paused = &router.Pause{Since: time.UnixMilli(f.ms).UTC(), Reason: router.StoppedByOperator}
	return f.pauseFails(id)
}

func (f *fakeStore) ResumeSubscription(_ context.Context, id string) error {
	f.paused = nil
	return f.pauseFails(id)
}

func (f *fakeStore) pauseFails(id string) error {
	if f.down == nil && f.find(id) < 0 {
		return router.Errorf(router.NotFound, "there is no subscription %q", id)
	}
	return f.down
}

func (f *fakeStore) SubscriptionStatus(context.Context, string) (router.SubscriptionStatus, error) {
	return router.SubscriptionStatus{
		Backlog: 5, InFlight: 2, Retrying: 1, Dead: 3, Delivered: 100, OldestPending: time.UnixMilli(f.ms).UTC(), LastSuccess: time.UnixMilli(f.ms).UTC(),
		LastError: "connection refused", NotQueued: 4, OverCap: 2, Paused: f.paused, Breaker: f.breaker,
	}, nil
}

func (f *fakeStore) DeadLetters(_ context.Context, filter router.DeadLetterFilter, cursor string, limit int) ([]router.DeadLetter, string, error) {
	f.deadAsked = []any{filter, cursor, limit}
	if len(f.dead) > limit {
		return f.dead[:limit], "more", f.down
	}
	return f.dead, "", f.down
}

func (f *fakeStore) DeadLetter(_ context.Context, id string) (router.DeadLetter, error) {
	for _, d := range f.dead {
		if d.ID == id {
			return d, f.down
		}
	}
	return router.DeadLetter{}, router.Errorf(router.NotFound, "there is no dead letter %q", id)
}

func (f *fakeStore) Status(context.Context) (router.Status, error) { return f.status, f.down }

func (f *fakeStore) Test(_ context.Context, s router.Subscription) (router.Attempt, error) {
	f.tested = append(f.tested, s)
	return f.attempt, f.down
}

func (f *fakeStore) Ready(context.Context) error { return f.notReady }
