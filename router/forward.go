package router

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"
	"time"
)

// Where a deployment has several partitions, a trigger's partial need not be where the events are that it waits for: it is at home in the partition that its
// trigger and key say. The reader of a partition forwards what its events have for triggers to the inboxes of their homes, its own among them, before its
// cursor moves. There the events of all partitions are merged, in the order of their accept times: see merger, and docs/decisions/0015.

// homeOf is the partition of n where a trigger's partial is at home. It must never change, since partials stand where it said.
func homeOf(trigger string, key KeyHash, n int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(trigger)) // a hash never fails
	return int((h.Sum32() ^ binary.BigEndian.Uint32(key[:])) % uint32(n))
}

// Forwarded is an event of another partition, or of the same one, with what it has for the partials that are at home in a partition.
type Forwarded struct {
	Position Position // where it stands in the log
	Event    Event
	Offers   []ForwardedOffer // at least one, in the order of their targets
	Raw      string           // what is stored, where it can't be read: there are no offers then
}

// ForwardedOffer is what an event has for a partial.
type ForwardedOffer struct {
	Trigger    string
	Generation uint64
	Hash       KeyHash // of the key
	Key        string  // Key.Encode
	Reset      bool    // the event meets a leaf of reset_on
	Leaves     []MetLeaf
}

// Target is the offer's place among all that its event has.
func (o *ForwardedOffer) Target() string { return partialTarget(o.Trigger, o.Hash.String()) }

// End is how far everything is taken once f is; where it can't be read, nothing more is taken with it.
func (f *Forwarded) End() Cursor {
	if len(f.Offers) == 0 {
		return Cursor{}
	}
	return Cursor{Position: f.Position, Target: f.Offers[len(f.Offers)-1].Target()}
}

// behind is what of f stands behind a cursor; false: nothing does.
func (f Forwarded) behind(c Cursor) (Forwarded, bool) {
	for len(f.Offers) > 0 && (Cursor{f.Position, f.Offers[0].Target()}).compareAll(c) <= 0 {
		f.Offers = f.Offers[1:]
	}
	return f, len(f.Offers) > 0
}

// compareAll orders cursors likewise, and then by target.
func (c Cursor) compareAll(d Cursor) int {
	return cmp.Or(c.Position.compareAll(d.Position), strings.Compare(c.Target, d.Target))
}

// Forward brings events of one partition into the inbox of another.
type Forward struct {
	From, To int    // the partitions
	Token    string // of the definitions in To that the events were matched under
	After    Cursor // the last thing that was forwarded before
	Entries  []Forwarded
}

// behind is what of f stands behind a cursor.
func (f Forward) behind(c Cursor) Forward {
	rest := Forward{From: f.From, To: f.To, Token: f.Token, After: c}
	for _, e := range f.Entries {
		if e, ok := e.behind(c); ok {
			rest.Entries = append(rest.Entries, e)
		}
	}
	return rest
}

// Inbox is what waits in a partition for its partials.
type Inbox struct {
	Cursor Cursor      // how far the events of all partitions are applied, in the order in which partials meet events
	Lists  []InboxList // of each partition, from the oldest on
}

// InboxList is what came from one partition.
type InboxList struct {
	Entries []Forwarded
	More    bool // there may be more than these
}

// Merge is what one call of Merge does in a partition: it applies the first entries of its inbox, or, where it takes none, settles deadlines.
type Merge struct {
	Partition int
	From, To  Cursor // of the inbox
	Token     string
	Work      TriggerWork
	Taken     []Taken
	Before    int64  // deadlines before this time are settled, in milliseconds, where nothing is taken
	Lost      []Lost // events that become dead letters
}

// Taken is how much a Merge takes of what came from a partition.
type Taken struct {
	From int
	N    int       // how many entries
	Last Forwarded // the last one
}

// Lost is an event that can't be applied.
type Lost struct {
	Event  Event
	Raw    string // what is stored, where it can't be read
	Reason string
}

// ForwardStore is what triggers need where there are several partitions. Safe for concurrent use.
type ForwardStore interface {
	// Forward brings entries into an inbox. Done: they are there; Stale: the definitions have changed, and nothing was done; Fenced: something else than After
	// was forwarded last, which is returned, and nothing was done. Of any number of calls with the same After at most one adds something. After an error it is
	// not known whether they are there, and calling again tells.
	Forward(ctx context.Context, f Forward) (ApplyStatus, Cursor, error)
	// HoldUp says in a partition's status why forwarding from it stands still; "": it does not.
	HoldUp(ctx context.Context, partition int, reason string) error
	// Mark returns a time, in milliseconds: all events of a partition that were accepted before it are forwarded, and none will be accepted before it any more. It
	// is at least wanted, where that can be.
	Mark(ctx context.Context, partition int, wanted int64) (int64, error)
	// ReadInbox reads the beginning of a partition's inbox.
	ReadInbox(ctx context.Context, partition int) (Inbox, error)
	// Merge applies a batch of an inbox: all of it, once, or nothing. Of any number of calls with the same From that take something, at most one returns Done.
	Merge(ctx context.Context, m Merge) (Applied, error)
}

// forwarding brings what the events of a partition have for triggers to where their partials are. Used by one goroutine, but for what a batch has for several
// partitions.
type forwarding struct {
	partition *partition
	last      []Cursor // for each partition, the last thing that was forwarded to it, as far as known

	mu     sync.Mutex
	paused bool // it may have been said that forwarding is held up
}

func newForwarding(p *partition, partitions int) *forwarding {
	return &forwarding{partition: p, last: make([]Cursor, partitions)}
}

// begin is called when this replica begins to route the partition: what another one said of it may still stand.
func (f *forwarding) begin(ctx context.Context) {
	f.paused = true
	f.goOn(ctx)
}

// all forwards what a batch has. Stale: the definitions have changed.
func (f *forwarding) all(ctx context.Context, forwards []Forward) (ApplyStatus, error) {
	statuses := make([]ApplyStatus, len(forwards))
	var all sync.WaitGroup
	for i := range forwards {
		all.Go(func() { statuses[i] = f.one(ctx, forwards[i]) })
	}
	all.Wait()
	if ctx.Err() != nil {
		return Fenced, ctx.Err()
	}
	for _, status := range statuses {
		if status != Done {
			return status, nil
		}
	}
	f.goOn(ctx)
	return Done, nil
}

// one calls until all is where it belongs: whatever became of a call, the next one tells.
func (f *forwarding) one(ctx context.Context, what Forward) ApplyStatus {
	r := f.partition.router
	for ctx.Err() == nil {
		if what = what.behind(f.last[what.To]); len(what.Entries) == 0 {
			r.mergers[what.To].wakeUp()
			return Done
		}
		status, last, err := r.store.Forward(ctx, what)
		switch {
		case err != nil:
			r.failed(ctx, "forward events to another partition", err)
			f.holdUp(ctx, what.To, err)
			sleep(ctx, failurePause)
			continue
		case status == Stale:
			return Stale
		case last.compareAll(f.last[what.To]) < 0:
			r.config.Logger.Error("a partition has lost what was forwarded to it, in a failover of Redis", "from", what.From, "to", what.To, "after", last.Position.String())
		}
		f.last[what.To] = last
	}
	return Fenced
}

// holdUp says in the status why forwarding stands still.
func (f *forwarding) holdUp(ctx context.Context, to int, cause error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	reason := "Redis can't be reached"
	if known, ok := errors.AsType[*Error](cause); ok {
		reason = known.Message
	}
	text := fmt.Sprintf("forwarding events of triggers to partition %d is held up: %s", to, reason)
	if err := f.partition.router.store.HoldUp(ctx, f.partition.number, text); err == nil {
		f.paused = true
	}
}

// goOn takes that back.
func (f *forwarding) goOn(ctx context.Context) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.paused {
		return
	}
	if err := f.partition.router.store.HoldUp(ctx, f.partition.number, ""); err == nil {
		f.paused = false
	}
}

// marks are how far each partition is with forwarding, as this replica knows: see ForwardStore.Mark. They only rise. Safe for concurrent use.
type marks struct {
	router *Router

	mu     sync.Mutex
	times  []int64
	asked  time.Time
	failed []time.Time // when asking failed last
}

// markEvery is how often this replica asks at most.
const markEvery = time.Millisecond

// lowest is the time that all have reached.
func (m *marks) lowest() int64 { return slices.Min(m.times) }

// reach asks the partitions that are not known to have come so far, and returns the time that all have reached.
func (m *marks) reach(ctx context.Context, wanted int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.lowest() < wanted && time.Since(m.asked) >= markEvery {
		var all sync.WaitGroup
		for p, known := range m.times {
			if known < wanted && time.Since(m.failed[p]) >= failurePause {
				all.Go(func() { m.ask(ctx, p, wanted) })
			}
		}
		all.Wait()
		m.asked = time.Now()
	}
	return m.lowest()
}

func (m *marks) ask(ctx context.Context, partition int, wanted int64) {
	t, err := m.router.store.Mark(ctx, partition, wanted)
	if err != nil {
		m.failed[partition] = time.Now()
		m.router.failed(ctx, "learn how far a partition is", err)
		return
	}
	m.times[partition] = max(m.times[partition], t)
}

// forwardBuilder fills what a batch forwards.
type forwardBuilder struct {
	batch    *Batch
	snapshot *snapshot
	offers   int         // how many more
	bytes    int         // how many more bytes of events
	places   map[int]int // partition to place in batch.Forwards
}

func newForwardBuilder(b *Batch, s *snapshot) *forwardBuilder {
	return &forwardBuilder{batch: b, snapshot: s, offers: batchOffers, bytes: batchEventBytes, places: make(map[int]int)}
}

// add adds an offer; false: the batch has no room for it.
func (b *forwardBuilder) add(record Record, o *matchedOffer) bool {
	size := record.Event.EncodedLen()
	if b.offers == 0 || size > b.bytes && b.offers < batchOffers {
		return false
	}
	f := b.to(homeOf(o.trigger.ID, o.hash, len(b.snapshot.tokens)))
	if n := len(f.Entries); n == 0 || f.Entries[n-1].Position != record.Position {
		f.Entries = append(f.Entries, Forwarded{Position: record.Position, Event: record.Event})
		b.bytes -= size
	}
	last := &f.Entries[len(f.Entries)-1]
	last.Offers = append(last.Offers, ForwardedOffer{
		Trigger: o.trigger.ID, Generation: o.trigger.Generation, Hash: o.hash, Key: o.key, Reset: o.reset, Leaves: o.leaves,
	})
	b.offers--
	return true
}

// to is what the batch forwards to a partition.
func (b *forwardBuilder) to(partition int) *Forward {
	place, known := b.places[partition]
	if !known {
		place = len(b.batch.Forwards)
		b.places[partition] = place
		b.batch.Forwards = append(b.batch.Forwards, Forward{From: b.batch.Partition, To: partition, Token: b.snapshot.tokens[partition]})
	}
	return &b.batch.Forwards[place]
}
