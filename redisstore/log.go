package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// replyMargin is how long after a wait Redis may take to say that it is over, before it counts as gone; the library would take 10 s for that.
const replyMargin = 3 * time.Second

// tailPatience is how long a reader that has come to the end of the log waits for this process to append more, before it asks Redis what others have
// appended: while events come in here, they need no reading.
const tailPatience = time.Millisecond

// ReadLog reads forward; see router.LogReader. A reader that waits is one that follows the log: what this process has appended itself it gets without
// reading.
func (s *Store) ReadLog(ctx context.Context, after router.Position, limit int, wait time.Duration) ([]router.Record, error) {
	if wait > 0 {
		if records := s.readTail(ctx, after, limit); len(records) > 0 {
			return records, nil
		}
	}
	if wait > 0 && s.plain {
		if err := s.awaitPlain(ctx, after, wait); err != nil {
			return nil, err
		}
		wait = 0
	}
	entries, err := s.readEntries(ctx, after, limit, wait)
	if err != nil {
		return nil, unavailable(err, "read the log")
	}
	records, err := s.records(after.Partition, entries)
	behind, _ := slices.BinarySearchFunc(records, after, func(r router.Record, p router.Position) int {
		return cmp.Or(r.Position.Compare(p), -1)
	})
	records = records[behind:]
	return records[:min(limit, len(records))], err
}

// readTail takes what follows a position out of memory. Where that is the last position that this process has appended, it waits a moment for more.
func (s *Store) readTail(ctx context.Context, after router.Position, limit int) []router.Record {
	t := &s.tails[after.Partition]
	grown := t.grown.wait()
	if records := t.after(after, limit); len(records) > 0 || !t.endsAt(after) {
		return records
	}
	select {
	case <-grown:
	case <-time.After(tailPatience):
	case <-ctx.Done():
	}
	return t.after(after, limit)
}

func (s *Store) readEntries(ctx context.Context, after router.Position, limit int, wait time.Duration) ([]redis.XMessage, error) {
	key, count := s.keys[after.Partition].log(), s.density[after.Partition].entries(limit)
	if wait <= 0 {
		return s.reader.XRangeN(ctx, key, "("+after.ID(), "+", count).Result()
	}
	ctx, cancel := context.WithTimeout(ctx, wait+replyMargin)
	defer cancel()
	streams, err := s.blocking.XRead(ctx, &redis.XReadArgs{Streams: []string{key, after.ID()}, Count: count, Block: max(wait, time.Millisecond)}).Result()
	if errors.Is(err, redis.Nil) || len(streams) == 0 {
		return nil, ignoreNil(err)
	}
	return streams[0].Messages, err
}

// ReadLogReverse reads backward; see router.LogReader. The group that the position is in has an ID at or above it.
func (s *Store) ReadLogReverse(ctx context.Context, from router.Position, limit int) ([]router.Record, error) {
	key := s.keys[from.Partition].log()
	pipe := s.reader.Pipeline()
	around := pipe.XRangeN(ctx, key, from.ID(), "+", 1)
	below := pipe.XRevRangeN(ctx, key, "("+from.ID(), "-", s.density[from.Partition].entries(limit))
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err, "read the log")
	}
	entries := append(around.Val(), below.Val()...)
	slices.Reverse(entries)
	records, err := s.records(from.Partition, entries)
	above := slices.IndexFunc(records, func(r router.Record) bool { return r.Position.Compare(from) > 0 })
	if above >= 0 {
		records = records[:above]
	}
	slices.Reverse(records)
	return records[:min(limit, len(records))], err
}

// LogEnd returns the position of the newest event.
func (s *Store) LogEnd(ctx context.Context, partition int) (router.Position, error) {
	last, err := s.ReadLogReverse(ctx, router.Position{Partition: partition, MS: math.MaxInt64, Seq: math.MaxUint64}, 1)
	if err != nil || len(last) == 0 {
		return router.Position{Partition: partition}, err
	}
	return last[0].Position, nil
}

func ignoreNil(err error) error {
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}

// records takes entries apart, in log order.
func (s *Store) records(partition int, entries []redis.XMessage) ([]router.Record, error) {
	records := make([]router.Record, 0, s.density[partition].events(len(entries)))
	for _, entry := range entries {
		last, err := router.ParseStreamID(partition, entry.ID)
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		records = appendRecords(records, last, entry)
	}
	s.density[partition].learn(len(records), len(entries))
	return records, nil
}

// meanEvents is about how many events the entries of a log hold, so that a read asks for about as much as is wanted. Safe for concurrent use.
type meanEvents struct{ of16 atomic.Int64 } // 16 times the mean, at least 16

func (m *meanEvents) learn(events, entries int) {
	if entries > 0 {
		m.of16.Store((3*max(m.of16.Load(), 16) + int64(16*events/entries)) / 4)
	}
}

// entries is how many entries to read for so many events.
func (m *meanEvents) entries(events int) int64 {
	return max(int64(events)*16/max(m.of16.Load(), 16), 1)
}

func (m *meanEvents) events(entries int) int {
	return int(int64(entries)*max(m.of16.Load(), 16)/16) + 1
}

// LoadEvents returns events for deliveries: from the log, else from the copies; see router.QueueStore. A queue that most events go to has
// most of what it needs side by side, so it reads a stretch of the log first and one by one only what that did not bring.
func (s *Store) LoadEvents(ctx context.Context, partition int, positions []router.Position) ([]router.Record, error) {
	l := loading{store: s, partition: partition, positions: positions, found: make([]router.Record, len(positions)), places: make(map[router.Position][]int, len(positions))}
	for i, p := range positions {
		l.places[p] = append(l.places[p], i)
	}
	for _, step := range []func(context.Context) error{l.readStretch, l.readSingly, l.readCopies} {
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

// take keeps what is looked for of some entries.
func (l *loading) take(entries []redis.XMessage) error {
	records, err := l.store.records(l.partition, entries)
	for _, r := range records {
		for _, i := range l.places[r.Position] {
			l.found[i] = r
		}
		delete(l.places, r.Position)
	}
	return err
}

// readStretch reads about as many events as there are positions, from the lowest on.
func (l *loading) readStretch(ctx context.Context) error {
	if len(l.positions) < stretchFrom {
		return nil
	}
	low := slices.MinFunc(l.positions, router.Position.Compare)
	entries, err := l.store.reader.XRangeN(ctx, l.store.keys[l.partition].log(), low.ID(), "+", 1+l.store.density[l.partition].entries(len(l.places))).Result()
	if err != nil {
		return unavailable(err, "read events of deliveries")
	}
	return l.take(entries)
}

// stretchFrom is from how many positions on a stretch is read.
const stretchFrom = 8

// readSingly reads the group of each position that is still missing.
func (l *loading) readSingly(ctx context.Context) error {
	if len(l.places) == 0 {
		return nil
	}
	pipe := l.store.reader.Pipeline()
	calls := make([]*redis.XMessageSliceCmd, 0, len(l.places))
	for p := range l.places {
		calls = append(calls, pipe.XRangeN(ctx, l.store.keys[l.partition].log(), p.ID(), "+", 1))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return unavailable(err, "read events of deliveries")
	}
	for _, call := range calls {
		if err := l.take(call.Val()); err != nil {
			return err
		}
	}
	return nil
}

// readCopies takes what the log has no more from the copies.
func (l *loading) readCopies(ctx context.Context) error {
	if len(l.places) == 0 {
		return nil
	}
	missing := slices.Collect(maps.Keys(l.places))
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
		for _, place := range l.places[p] {
			l.found[place] = one
		}
	}
	return nil
}
