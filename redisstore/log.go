package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// replyMargin is how long after a wait Redis may take to say that it is over, before it counts as gone; the library would take 10 s for that.
const replyMargin = 3 * time.Second

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
		wait = 0 // there is something, or the wait is over
	}
	if wait <= 0 {
		return s.readThrough(ctx, after, limit)
	}
	entries, err := s.awaitEntries(ctx, after, limit, wait)
	if err != nil {
		return nil, unavailable(err, "read the log")
	}
	records, err := s.records(after.Partition, entries)
	return behind(records, after, limit), err
}

// readThrough reads until it has all that is wanted or the log ends: how many events an entry holds is not known before.
func (s *Store) readThrough(ctx context.Context, after router.Position, limit int) ([]router.Record, error) {
	found := []router.Record{}
	for {
		count := s.density[after.Partition].entries(limit - len(found))
		entries, err := s.reader.XRangeN(ctx, s.keys[after.Partition].log(), "("+after.ID(), "+", count).Result()
		if err != nil {
			return nil, unavailable(err, "read the log")
		}
		records, err := s.records(after.Partition, entries)
		found = append(found, behind(records, after, limit-len(found))...)
		if err != nil || len(found) == limit || int64(len(entries)) < count {
			return found, err
		}
		after = records[len(records)-1].Position
	}
}

// behind is what stands behind a position, up to limit.
func behind(records []router.Record, p router.Position, limit int) []router.Record {
	first, _ := slices.BinarySearchFunc(records, p, func(r router.Record, p router.Position) int {
		return cmp.Or(r.Position.Compare(p), -1)
	})
	records = records[first:]
	return records[:min(limit, len(records))]
}

// readTail takes what follows a position out of memory. Where that is the last position that this process has appended, it waits a moment for more.
func (s *Store) readTail(ctx context.Context, after router.Position, limit int) []router.Record {
	t := &s.tails[after.Partition]
	grown := t.grown.wait()
	if records := t.after(after, limit); len(records) > 0 {
		return records
	}
	patience := t.patience(after)
	if patience == 0 {
		return nil
	}
	select {
	case <-grown:
	case <-time.After(patience):
	case <-ctx.Done():
	}
	return t.after(after, limit)
}

func (s *Store) awaitEntries(ctx context.Context, after router.Position, limit int, wait time.Duration) ([]redis.XMessage, error) {
	key, count := s.keys[after.Partition].log(), s.density[after.Partition].entries(limit)
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
	around, err := s.reader.XRangeN(ctx, key, from.ID(), "+", 1).Result()
	if err != nil {
		return nil, unavailable(err, "read the log")
	}
	found, err := s.records(from.Partition, around)
	above := slices.IndexFunc(found, func(r router.Record) bool { return r.Position.Compare(from) > 0 })
	if above >= 0 {
		found = found[:above]
	}
	slices.Reverse(found)
	for before := "(" + from.ID(); err == nil && len(found) < limit; {
		var entries []redis.XMessage
		count := s.density[from.Partition].entries(limit - len(found))
		if entries, err = s.reader.XRevRangeN(ctx, key, before, "-", count).Result(); err != nil {
			return nil, unavailable(err, "read the log")
		}
		var records []router.Record
		slices.Reverse(entries)
		records, err = s.records(from.Partition, entries)
		slices.Reverse(records)
		if found = append(found, records...); int64(len(entries)) < count {
			break
		}
		before = "(" + entries[0].ID
	}
	return found[:min(limit, len(found))], err
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
