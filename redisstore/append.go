package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

const (
	commitEvents  = 512     // one script call stores at most so many events: about 2 ms of Redis
	commitBytes   = 1 << 20 // and about so many bytes, but always one event
	commitWorkers = 1       // events gather while one call is under way; a second worker would only make the calls smaller
	commitBudget  = 5 * time.Second
	appendBudget  = 2 * commitBudget // for a caller, who may have to wait for the commits of others
	repeatPause   = 20 * time.Millisecond
)

// Append stores events; see router.Appender.
func (s *Store) Append(ctx context.Context, events []router.Event) []router.Appended {
	if s.memory.full.Load() {
		return failAll(len(events), &router.Error{Code: router.Full, Message: "Redis is nearly full", RetryAfter: 5 * time.Second})
	}
	ctx, cancel := context.WithTimeoutCause(ctx, appendBudget, errUnconfirmed)
	defer cancel()
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
	identity, fingerprint, encoded string
}

func newItem(e router.Event) item {
	identity, fingerprint := e.DedupeKey(), e.Fingerprint()
	var both [32]byte
	copy(both[copy(both[:], identity[:]):], fingerprint[:])
	text := string(both[:])
	return item{identity: text[:16], fingerprint: text[16:], encoded: e.Encode()}
}

// pending is what one caller waits for.
type pending struct {
	items   []item
	results []router.Appended
	done    chan struct{}
}

// committer gathers the events of concurrent callers into few script calls (group commit).
type committer struct {
	store     *Store
	partition int
	queue     chan *pending
	ctx       context.Context
	stop      context.CancelFunc
	workers   sync.WaitGroup
}

func newCommitter(s *Store, partition int) *committer {
	c := &committer{store: s, partition: partition, queue: make(chan *pending)}
	c.ctx, c.stop = context.WithCancel(context.Background())
	for range commitWorkers {
		c.workers.Go(c.work)
	}
	return c
}

func (c *committer) close() {
	c.stop()
	c.workers.Wait()
}

// commit hands events to a worker and waits for what became of them.
func (c *committer) commit(ctx context.Context, events []router.Event) []router.Appended {
	results := make([]router.Appended, 0, len(events))
	for len(events) > 0 {
		n := min(len(events), commitEvents)
		results = append(results, c.commitSome(ctx, events[:n])...)
		events = events[n:]
	}
	return results
}

func (c *committer) commitSome(ctx context.Context, events []router.Event) []router.Appended {
	p := &pending{items: make([]item, len(events)), results: make([]router.Appended, len(events)), done: make(chan struct{})}
	for i, e := range events {
		p.items[i] = newItem(e)
	}
	select {
	case c.queue <- p:
	case <-ctx.Done():
		return failAll(len(events), unavailable(context.Cause(ctx), "wait for the log"))
	case <-c.ctx.Done():
		return failAll(len(events), unavailable(errClosed, "append"))
	}
	select {
	case <-p.done:
		return p.results
	case <-ctx.Done():
		return failAll(len(events), unavailable(context.Cause(ctx), "wait for the log"))
	}
}

var (
	errClosed      = errors.New("the store is closed")
	errUnconfirmed = errors.New("Redis did not confirm the events in time")
)

func (c *committer) work() {
	for {
		select {
		case first := <-c.queue:
			c.store.commitAll(c.ctx, c.partition, c.gather(first))
		case <-c.ctx.Done():
			return
		}
	}
}

// gather takes what waits at this moment, up to a batch.
func (c *committer) gather(first *pending) []*pending {
	batch, events, bytes := []*pending{first}, len(first.items), first.bytes()
	for events < commitEvents && bytes < commitBytes {
		select {
		case p := <-c.queue:
			batch, events, bytes = append(batch, p), events+len(p.items), bytes+p.bytes()
		default:
			return batch
		}
	}
	return batch
}

func (p *pending) bytes() (n int) {
	for _, it := range p.items {
		n += len(it.encoded)
	}
	return n
}

// commitAll stores a batch, in as many calls as its size asks for, and tells each caller.
func (s *Store) commitAll(ctx context.Context, partition int, batch []*pending) {
	var items []item
	for _, p := range batch {
		items = append(items, p.items...)
	}
	results := make([]router.Appended, 0, len(items))
	for len(items) > 0 {
		n := callSize(items)
		results = append(results, s.commitOnce(ctx, partition, items[:n])...)
		items = items[n:]
	}
	for _, p := range batch {
		copy(p.results, results)
		results = results[len(p.items):]
		close(p.done)
	}
}

func callSize(items []item) int {
	bytes := 0
	for i, it := range items {
		bytes += len(it.encoded)
		if i == commitEvents || (i > 0 && bytes > commitBytes) {
			return i
		}
	}
	return len(items)
}

// commitOnce calls append until its outcome is known or the budget is used up. It repeats the same call with the same nonce, which the
// script recognises, so that a lost reply neither doubles an event nor makes its sender see a duplicate.
func (s *Store) commitOnce(ctx context.Context, partition int, items []item) []router.Appended {
	ctx, cancel := context.WithTimeoutCause(ctx, commitBudget, errUnconfirmed)
	defer cancel()
	keys, args := s.appendCall(partition, items)
	for {
		reply, err := s.appendAndWait(ctx, keys, args)
		switch {
		case err == nil && reply == "rotate":
			err = s.rotate(ctx, partition)
		case err == nil:
			s.appended[partition].beat()
			results, err := appended(partition, len(items), reply)
			if err != nil {
				return failAll(len(items), fmt.Errorf("append: %w", err))
			}
			return results
		}
		if err != nil && !repeatable(err) {
			return failAll(len(items), unavailable(err, "append"))
		}
		if err != nil && !pause(ctx, repeatPause) {
			return failAll(len(items), unavailable(errors.Join(context.Cause(ctx), err), "append"))
		}
	}
}

func (s *Store) appendCall(partition int, items []item) (keys []string, args []any) {
	k := s.keys[partition]
	var nonce [8]byte
	_, _ = rand.Read(nonce[:]) // never fails, see crypto/rand
	args = make([]any, 1, 1+3*len(items))
	args[0] = string(nonce[:])
	for i := range items {
		args = append(args, &items[i].identity, &items[i].fingerprint, &items[i].encoded) // pointers: less garbage
	}
	return []string{k.state(), k.log(), k.seen(0), k.seen(1), k.seen(2)}, args
}

func (s *Store) rotate(ctx context.Context, partition int) error {
	k := s.keys[partition]
	_, err := s.run(ctx, s.scripts.Rotate, []string{k.state(), k.seen(0), k.seen(1), k.seen(2)})
	return err
}

// appendAndWait calls append and, where it is asked for, waits until Redis' replicas have what it wrote: on the same connection, since WAIT
// speaks of what that connection has written. A call that stores nothing, because it is a repeat or all are duplicates, must not be confirmed
// before what it found is replicated, so something is written in any case.
func (s *Store) appendAndWait(ctx context.Context, keys []string, args []any) (any, error) {
	if s.config.WaitReplicas == 0 {
		return s.run(ctx, s.scripts.Append, keys, args...)
	}
	client, err := s.master(ctx, keys[0])
	if err != nil {
		return nil, err
	}
	pipe := client.Pipeline()
	call := pipe.EvalSha(ctx, s.scripts.Append.Hash, keys, args...)
	pipe.HIncrBy(ctx, keys[0], "waits", 1)
	wait := pipe.Do(ctx, "WAIT", s.config.WaitReplicas, s.config.WaitTimeout.Milliseconds())
	_, err = pipe.Exec(ctx)
	if call.Err() != nil && strings.HasPrefix(call.Err().Error(), "NOSCRIPT") {
		if err := client.ScriptLoad(ctx, s.scripts.Append.Source).Err(); err != nil {
			return nil, fmt.Errorf("append: %w", err)
		}
		return s.appendAndWait(ctx, keys, args)
	}
	if err != nil {
		if cluster, ok := s.writer.(*redis.ClusterClient); ok {
			cluster.ReloadState(ctx) // it follows its nodes by itself only for calls that it routes itself
		}
		return nil, fmt.Errorf("append: %w", err)
	}
	if n, err := wait.Int(); err != nil || n < s.config.WaitReplicas {
		return nil, errors.Join(fmt.Errorf("%d of %d replicas confirmed the append", n, s.config.WaitReplicas), err)
	}
	return call.Val(), nil
}

// master is a client of the one node that holds a key.
func (s *Store) master(ctx context.Context, key string) (redis.Cmdable, error) {
	if cluster, ok := s.writer.(*redis.ClusterClient); ok {
		client, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("find the node of %s: %w", key, err)
		}
		return client, nil
	}
	return s.writer, nil
}

// appended reads append's reply: the stream ID of the first event that was stored, and what became of those that were not.
func appended(partition, n int, reply any) ([]router.Appended, error) {
	words, err := stringsOf(reply, 2)
	if err != nil {
		return nil, err
	}
	r := replyReader{words: words}
	ms, seq := r.integer(), r.integer()
	results, known := make([]router.Appended, n), make([]bool, n)
	for len(r.words) > 0 {
		i, word, id := r.integer(), r.word(), r.word()
		if r.err != nil || i < 1 || i > n {
			return nil, fmt.Errorf("unexpected reply: %w", r.err)
		}
		results[i-1], known[i-1] = notStored(partition, word, id), true
	}
	for i := range results {
		if !known[i] {
			results[i].Position = router.Position{Partition: partition, MS: int64(ms), Seq: uint64(seq)}
			seq++
		}
	}
	return results, r.err
}

// notStored is the result of an event whose identity was known.
func notStored(partition int, word, id string) router.Appended {
	position, err := router.ParseStreamID(partition, id)
	switch {
	case err != nil:
		return router.Appended{Err: fmt.Errorf("append: %w", err)}
	case word == "reused":
		return router.Appended{Position: position, Err: router.Errorf(router.IDReused, "an event with this source and id but other content was accepted at %s", position)}
	default:
		return router.Appended{Position: position, Duplicate: word == "duplicate"}
	}
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
