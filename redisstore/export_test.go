package redisstore

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// Key is the name of a key in partition 0, for tests that look at what is stored.
func Key(s *Store, name string) string { return s.keys[0].prefix + name }

// KeyIn is the name of a key in a partition.
func KeyIn(s *Store, partition int, name string) string { return s.keys[partition].prefix + name }

// Home is the partition where a subscription's permits are.
func Home(s *Store, subscription string) int { return home(subscription, len(s.keys)) }

// ChangeScripts makes a store run other scripts than its own from its next call on.
func ChangeScripts(ctx context.Context, s *Store, change func(source string) string) error {
	for _, script := range s.scripts.All() {
		script.Source = change(script.Source)
		sum := sha1.Sum([]byte(script.Source))
		script.Hash = hex.EncodeToString(sum[:])
		if err := s.writer.ScriptLoad(ctx, script.Source).Err(); err != nil {
			return err
		}
	}
	return nil
}

// ScriptNames maps the hashes of a store's scripts to their names.
func ScriptNames(s *Store) map[string]string {
	names := make(map[string]string)
	for _, script := range s.scripts.All() {
		names[script.Hash] = script.Name
	}
	return names
}

// AddHook lets a hook see what a store sends, calls that wait excepted.
func AddHook(s *Store, hook redis.Hook) {
	s.writer.AddHook(hook)
	s.reader.AddHook(hook)
}

// Memory is what a store knows of its servers' memory.
type Memory = memory

// Record is what a look at the servers does.
func (m *memory) Record(used, limit int64, now time.Time) router.MemoryStatus {
	m.record(used, limit, now)
	return m.status()
}

// Fullest returns the memory of the fullest of several nodes, each given by what it uses and its limit.
func Fullest(nodes ...[2]int64) [2]int64 {
	var f fullest
	for _, node := range nodes {
		f.consider(node[0], node[1])
	}
	return [2]int64{f.used, f.limit}
}

// LookAtMemory is one look of WatchMemory.
func LookAtMemory(ctx context.Context, s *Store) error { return s.lookAtMemory(ctx) }

// CallSizes returns how many of the events of these sizes go into each call of append.
func CallSizes(sizes []int) (calls []int) {
	items := make([]*item, len(sizes))
	for i, size := range sizes {
		items[i] = &item{size: size}
	}
	for len(items) > 0 {
		n := callSize(items)
		calls, items = append(calls, n), items[n:]
	}
	return calls
}

// Gathering is where callers wait for calls that store nothing.
type Gathering struct {
	c     *committer
	calls chan Call
	mu    sync.Mutex
	come  []*pending
}

// Call is under way.
type Call struct {
	Callers int
	End     func()
}

// NewGathering makes one.
func NewGathering() *Gathering {
	calls := make(chan Call, 10)
	return &Gathering{c: newCommitter(func(_ context.Context, callers []*pending, stored func()) {
		ended := make(chan struct{})
		calls <- Call{len(callers), sync.OnceFunc(func() { close(ended) })}
		<-ended
		stored()
	}), calls: calls}
}

// Come lets callers come, each with that many events.
func (g *Gathering) Come(callers, events int) error {
	for range callers {
		p := &pending{items: make([]item, events), results: make([]router.Appended, events), since: time.Now(), done: make(chan struct{}, 1)}
		if err := g.c.join(p); err != nil {
			return err
		}
		g.mu.Lock()
		g.come = append(g.come, p)
		g.mu.Unlock()
	}
	return nil
}

// Calls are those that have been started, in their order.
func (g *Gathering) Calls() <-chan Call { return g.calls }

// Failed is how many callers were told that nothing was stored.
func (g *Gathering) Failed() (failed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range g.come {
		select {
		case <-p.done:
			if p.results[0].Err != nil {
				failed++
			}
		default:
		}
	}
	return failed
}

// Close fails those who wait.
func (g *Gathering) Close() { g.c.close() }

// Entry is what stands in the log for events that are stored together.
func Entry(events ...router.Event) string {
	items := make([]*item, len(events))
	for i, e := range events {
		items[i] = &item{event: e, size: e.EncodedLen()}
	}
	return newGroup(items).bytes
}

// Records takes an entry of the log apart.
func Records(last router.Position, entry redis.XMessage) []router.Record {
	return appendRecords(nil, last, entry)
}

// EntryOf is an entry of the log with these bytes.
func EntryOf(bytes string) redis.XMessage {
	return redis.XMessage{ID: "5-9", Values: map[string]any{countField: "0", eventsField: bytes}}
}

// Tail is the end of a partition's log as this process has appended it.
type Tail struct{ tail }

// Add says that records were appended right behind a position.
func (t *Tail) Add(previous router.Position, records []router.Record) { t.add(previous, records) }

// After returns up to limit records behind a position.
func (t *Tail) After(p router.Position, limit int) []router.Record { return t.after(p, limit) }

// Patience is how long a reader at a position waits for more.
func (t *Tail) Patience(p router.Position) time.Duration { return t.patience(p) }

// Patience is how long a reader of a store's log at a position waits for this process to append more.
func Patience(s *Store, p router.Position) time.Duration { return s.tails[p.Partition].patience(p) }

// Forget empties it.
func (t *Tail) Forget() { t.forget() }

// GoOn says that firings stand behind a position.
func (t *Tail) GoOn(p router.Position, firings ...router.Record) { t.goOn(p, firings) }

// Size is what it holds.
func (t *Tail) Size() (events, bytes, runs int) { return t.events, t.bytes, len(t.runs) }

// Namespace is a store's.
func Namespace(s *Store) string { return s.config.Namespace }

// AddReaderHook adds a hook to what a store reads with.
func AddReaderHook(s *Store, hook redis.Hook) { s.reader.AddHook(hook) }

// AddReadHook lets a hook see the calls that wait for new events.
func AddReadHook(s *Store, hook redis.Hook) { s.blocking.AddHook(hook) }

// Forget makes a store forget what it remembers of a log that is another one now.
func Forget(s *Store) {
	for p := range s.keys {
		s.forget(p)
	}
}

// SealDefinitions is what a store does when it opens.
func SealDefinitions(ctx context.Context, s *Store) error { return s.sealDefinitions(ctx) }

// MoveTo makes a store work on what another one has.
func MoveTo(s, other *Store) { s.keys = other.keys }
