package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// TakeLease takes or renews a lease; see router.PartitionStore.
func (s *Store) TakeLease(ctx context.Context, partition int, replica string, ttl time.Duration, orphan bool) (router.Lease, error) {
	which := "any"
	if orphan {
		which = "orphan"
	}
	reply, err := s.run(ctx, s.scripts.Lease, []string{s.keys[partition].state()}, replica, ttl.Milliseconds(), which)
	if err != nil {
		return router.Lease{}, unavailable(err, "take the lease")
	}
	words, err := stringsOf(reply, 4)
	if err != nil {
		return router.Lease{}, fmt.Errorf("take the lease: %w", err)
	}
	left, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return router.Lease{}, fmt.Errorf("take the lease: %w", err)
	}
	cursor, err := cursorOf(partition, words[2], words[3])
	return router.Lease{Held: words[0] == "held", Left: time.Duration(left) * time.Millisecond, Cursor: cursor}, err
}

// ReleaseLease gives a lease up; see router.PartitionStore.
func (s *Store) ReleaseLease(ctx context.Context, partition int, replica string) error {
	if _, err := s.run(ctx, s.scripts.Release, []string{s.keys[partition].state()}, replica); err != nil {
		return unavailable(err, "release the lease")
	}
	return nil
}

func cursorOf(partition int, id, target string) (router.Cursor, error) {
	position, err := router.ParseStreamID(partition, id)
	if err != nil {
		return router.Cursor{}, fmt.Errorf("cursor of partition %d: %w", partition, err)
	}
	return router.Cursor{Position: position, Target: target}, nil
}

// Apply applies a batch; see router.PartitionStore.
func (s *Store) Apply(ctx context.Context, b router.Batch) (router.Applied, error) {
	keys, args := s.applyCall(b)
	script := s.scripts.Apply
	if len(b.Work.Triggers) > 0 {
		script = s.scripts.ApplyWork
	}
	reply, err := s.run(ctx, script, keys, args...)
	if err != nil {
		return router.Applied{}, unavailable(err, "apply a batch")
	}
	words, err := stringsOf(reply, 1)
	if err != nil {
		return router.Applied{}, fmt.Errorf("apply a batch: %w", err)
	}
	switch words[0] {
	case "fenced":
		s.forget(b.Partition)
		cursor, err := cursorOf(b.Partition, words[1], words[2])
		return router.Applied{Status: router.Fenced, Cursor: cursor}, err
	case "stale":
		return router.Applied{Status: router.Stale}, nil
	case "unusable":
		unfit, err := readUnfit(b.Work, words[1:])
		return router.Applied{Status: router.Unusable, Unusable: unfit}, err
	case "heavy":
		n, err := strconv.Atoi(words[1])
		return router.Applied{Status: router.Heavy, Offers: n}, err
	case "crowded":
		n, err := strconv.Atoi(words[1])
		return router.Applied{Status: router.Crowded, Entries: n}, err
	}
	r := replyReader{words: words[1:]}
	firings := r.integer()
	told := s.tellOfFirings(b.Partition, firings, &r)
	applied, err := readApplied(b, firings, &r)
	return applied, errors.Join(err, told)
}

// tellOfFirings reads from a reply where firings stand in the log, and as what if they are small, and lets those know who follow the log.
func (s *Store) tellOfFirings(partition, firings int, r *replyReader) error {
	id := r.word()
	var entries []redis.XMessage
	for range r.integer() {
		entries = append(entries, redis.XMessage{ID: r.word(), Values: map[string]any{"e": r.word()}})
	}
	if r.err != nil || firings == 0 {
		return r.err
	}
	before, err := router.ParseStreamID(partition, id)
	if err != nil {
		return fmt.Errorf("read where firings stand: %w", err)
	}
	records, err := s.records(partition, entries)
	s.tails[partition].goOn(before, records)
	return err
}

// forget drops what this process remembers of a partition's log.
func (s *Store) forget(partition int) {
	s.tails[partition].forget()
	s.loaded[partition].forget()
}

// readUnfit reads what is unusable: a word, and a number from 1.
func readUnfit(w router.TriggerWork, words []string) (router.Unfit, error) {
	unfit := router.Unfit{Queue: -1, Trigger: -1, Partial: -1}
	r := replyReader{words: words}
	what, i := r.word(), r.integer()-1
	switch {
	case r.err == nil && what == "queue":
		unfit.Queue = i
	case r.err == nil && what == "trigger":
		unfit.Trigger = i
	case r.err == nil && what == "partial" && i >= 0 && i < len(w.Partials):
		unfit.Partial = partialOrder(w)[i]
	default:
		return unfit, fmt.Errorf("apply a batch: unexpected reply: %w", r.err)
	}
	return unfit, nil
}

// readApplied reads the number of firings, whether all deadlines could be settled, then for each queue that could be sent from: the queue, how many were leased, when the leases run out.
func readApplied(b router.Batch, firings int, r *replyReader) (router.Applied, error) {
	applied := router.Applied{Status: router.Done, Cursor: b.To, Firings: firings, Settled: r.word() == "all"}
	for len(r.words) > 0 {
		i, taken, lease := r.integer(), r.integer(), r.word()
		if r.err != nil || i < 1 || i > len(b.Enqueues) {
			return applied, fmt.Errorf("apply a batch: unexpected reply: %w", r.err)
		}
		e := b.Enqueues[i-1]
		for _, position := range e.Entries[:min(taken, len(e.Entries))] {
			applied.Claimed = append(applied.Claimed, router.Claimed{Queue: e.Queue, Entry: router.Entry{Position: position}, Attempt: 1, Lease: lease, Name: position.ID()})
		}
		if taken < len(e.Entries) {
			applied.Ready = append(applied.Ready, e.Queue)
		}
	}
	return applied, nil
}

func (s *Store) applyCall(b router.Batch) (keys []string, args []any) {
	k := s.keys[b.Partition]
	keys = make([]string, 0, 13+3*len(b.Enqueues)+2*len(b.Work.Triggers)+len(b.Work.Partials))
	keys = append(keys, k.state(), k.log(), k.ready(), k.handlers(), k.copies(), k.holds(), k.dead(), k.deadAt(), k.announced(), k.triggers(), k.paused(), k.pulls(), k.open())
	args = append(args, b.From.Position.ID(), b.From.Target, b.Token, b.To.Position.ID(), b.To.Target, b.Events, misfitRecord(loopReason), len(b.Enqueues))
	for _, e := range b.Enqueues {
		id := e.Queue.Subscription
		keys = append(keys, k.fresh(id), k.leases(id), k.counters(id))
		most := 0
		if e.Queue.Enabled && e.Queue.MaxBacklog > 0 {
			most = e.Queue.MaxBacklog
			keys = append(keys, k.retries(id), k.waiting(id))
		}
		args = append(args, id, schedule(e.Queue), e.Queue.MaxInFlight, s.atOnce(e), e.Lease.Milliseconds(), most, len(e.Entries))
		args = appendStringArgs(args, freshNames(e.Entries, e.Lanes))
	}
	keys, args = s.appendWork(k, b.Work, keys, args)
	for _, m := range b.Misfits {
		args = append(args, m.Position.ID(), orLog(m.Subscription), misfitRecord(m.Reason))
	}
	return keys, args
}

// freshNames are fresh deliveries in a queue, which has lanes or has none.
func freshNames(positions []router.Position, lanes []string) []string {
	names := newTexts(len(positions), 24)
	for i, position := range positions {
		names.bytes = position.AppendID(names.bytes)
		if lanes != nil {
			names.bytes = append(append(names.bytes, '#'), lanes[i]...)
		}
		names.end()
	}
	return names.strings()
}

// atOnce is how many deliveries apply may lease: none where that takes permits, or the lanes have to be looked at.
func (s *Store) atOnce(e router.Enqueue) int {
	if s.needsPermits(e.Queue) || e.Lanes != nil {
		return 0
	}
	return e.Take
}

// schedule is where a queue waits to be looked at: "off" where nothing is queued.
func schedule(q router.Queue) string {
	switch {
	case !q.Enabled:
		return "off"
	case q.Kind == router.HandlerSink:
		return "handlers"
	case q.Kind == router.PullSink:
		return "pulls"
	default:
		return "ready"
	}
}

// logItself stands in a dead letter's name where an entry of the log, not a delivery, was given up.
const logItself = "log"

func orLog(subscription string) string {
	if subscription == "" {
		return logItself
	}
	return subscription
}
