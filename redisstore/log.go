package redisstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// eventField is the only field of an entry of the log.
const eventField = "e"

// ReadLog reads forward; see router.LogReader.
func (s *Store) ReadLog(ctx context.Context, after router.Position, limit int, wait time.Duration) ([]router.Record, error) {
	key := s.keys[after.Partition].log()
	if wait <= 0 {
		entries, err := s.reader.XRangeN(ctx, key, "("+after.ID(), "+", int64(limit)).Result()
		return s.records(after.Partition, entries, err)
	}
	streams, err := s.blocking.XRead(ctx, &redis.XReadArgs{Streams: []string{key, after.ID()}, Count: int64(limit), Block: max(wait, time.Millisecond)}).Result()
	if errors.Is(err, redis.Nil) || len(streams) == 0 {
		return s.records(after.Partition, nil, ignoreNil(err))
	}
	return s.records(after.Partition, streams[0].Messages, err)
}

// ReadLogReverse reads backward; see router.LogReader.
func (s *Store) ReadLogReverse(ctx context.Context, from router.Position, limit int) ([]router.Record, error) {
	entries, err := s.reader.XRevRangeN(ctx, s.keys[from.Partition].log(), from.ID(), "-", int64(limit)).Result()
	return s.records(from.Partition, entries, err)
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

func (s *Store) records(partition int, entries []redis.XMessage, err error) ([]router.Record, error) {
	if err != nil {
		return nil, unavailable(err, "read the log")
	}
	records := make([]router.Record, len(entries))
	for i, entry := range entries {
		position, err := router.ParseStreamID(partition, entry.ID)
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		raw, _ := entry.Values[eventField].(string)
		records[i] = record(position, raw)
	}
	return records, nil
}

func record(position router.Position, raw string) router.Record {
	event, err := router.DecodeEvent(raw)
	if err != nil {
		return router.Record{Position: position, Raw: raw, Err: err}
	}
	return router.Record{Position: position, Event: event}
}

// LoadEvents returns events for deliveries: from the log, else from the copies; see router.QueueStore.
func (s *Store) LoadEvents(ctx context.Context, partition int, positions []router.Position) ([]router.Record, error) {
	found := make([]router.Record, len(positions))
	pipe := s.reader.Pipeline()
	calls := make([]*redis.XMessageSliceCmd, len(positions))
	for i, position := range positions {
		calls[i] = pipe.XRangeN(ctx, s.keys[partition].log(), position.ID(), position.ID(), 1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err, "read events of deliveries")
	}
	var missing []int
	for i, call := range calls {
		entries := call.Val()
		if len(entries) == 0 {
			missing = append(missing, i)
			continue
		}
		raw, _ := entries[0].Values[eventField].(string)
		found[i] = record(positions[i], raw)
	}
	return found, s.loadCopies(ctx, partition, positions, missing, found)
}

func (s *Store) loadCopies(ctx context.Context, partition int, positions []router.Position, missing []int, into []router.Record) error {
	if len(missing) == 0 {
		return nil
	}
	fields := make([]string, len(missing))
	for i, index := range missing {
		fields[i] = positions[index].ID()
	}
	copies, err := s.reader.HMGet(ctx, s.keys[partition].copies(), fields...).Result()
	if err != nil {
		return unavailable(err, "read copies of events")
	}
	for i, index := range missing {
		raw, ok := copies[i].(string)
		into[index] = record(positions[index], raw)
		if !ok {
			into[index] = router.Record{Position: positions[index], Err: errors.New("the event is neither in the log nor among the copies")}
		}
	}
	return nil
}
