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

// replyMargin is how long after a wait Redis may take to say that it is over, before it counts as gone; the library would take 10 s for that.
const replyMargin = 3 * time.Second

// ReadLog reads forward; see router.LogReader.
func (s *Store) ReadLog(ctx context.Context, after router.Position, limit int, wait time.Duration) ([]router.Record, error) {
	key := s.keys[after.Partition].log()
	if wait > 0 && s.plain {
		if err := s.awaitPlain(ctx, after, wait); err != nil {
			return nil, err
		}
		wait = 0
	}
	if wait <= 0 {
		entries, err := s.reader.XRangeN(ctx, key, "("+after.ID(), "+", int64(limit)).Result()
		return s.records(after.Partition, entries, err)
	}
	ctx, cancel := context.WithTimeout(ctx, wait+replyMargin)
	defer cancel()
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
		records[i] = recordOf(position, entry)
	}
	return records, nil
}

func recordOf(position router.Position, entry redis.XMessage) router.Record {
	raw, _ := entry.Values[eventField].(string)
	return record(position, raw)
}

func record(position router.Position, raw string) router.Record {
	event, err := router.DecodeEvent(raw)
	if err != nil {
		return router.Record{Position: position, Raw: raw, Err: err}
	}
	return router.Record{Position: position, Event: event}
}

// LoadEvents returns events for deliveries: from the log, else from the copies; see router.QueueStore. A queue that most events go to has
// most of what it needs side by side, so it reads a stretch of the log first and one by one only what that did not bring.
func (s *Store) LoadEvents(ctx context.Context, partition int, positions []router.Position) ([]router.Record, error) {
	found := make([]router.Record, len(positions))
	missing, err := s.loadStretch(ctx, partition, positions, found)
	if err != nil {
		return nil, err
	}
	if missing, err = s.loadSingly(ctx, partition, positions, missing, found); err != nil {
		return nil, err
	}
	return found, s.loadCopies(ctx, partition, positions, missing, found)
}

// loadStretch reads as many entries as there are positions, from the lowest on, and returns the indexes of what was not among them.
func (s *Store) loadStretch(ctx context.Context, partition int, positions []router.Position, into []router.Record) (missing []int, err error) {
	places := make(map[router.Position][]int, len(positions))
	low, high := positions[0], positions[0]
	for i, p := range positions {
		places[p] = append(places[p], i)
		if p.Compare(low) < 0 {
			low = p
		}
		if p.Compare(high) > 0 {
			high = p
		}
	}
	if len(positions) >= stretchFrom {
		entries, err := s.reader.XRangeN(ctx, s.keys[partition].log(), low.ID(), high.ID(), int64(len(places))).Result()
		if err != nil {
			return nil, unavailable(err, "read events of deliveries")
		}
		for _, entry := range entries {
			p, err := router.ParseStreamID(partition, entry.ID)
			if err != nil {
				return nil, fmt.Errorf("read events of deliveries: %w", err)
			}
			for _, i := range places[p] {
				into[i] = recordOf(p, entry)
			}
			delete(places, p)
		}
	}
	for _, indexes := range places {
		missing = append(missing, indexes...)
	}
	return missing, nil
}

// stretchFrom is from how many positions on a stretch is read.
const stretchFrom = 8

func (s *Store) loadSingly(ctx context.Context, partition int, positions []router.Position, wanted []int, into []router.Record) (missing []int, err error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	pipe := s.reader.Pipeline()
	calls := make([]*redis.XMessageSliceCmd, len(wanted))
	for i, index := range wanted {
		id := positions[index].ID()
		calls[i] = pipe.XRangeN(ctx, s.keys[partition].log(), id, id, 1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err, "read events of deliveries")
	}
	for i, call := range calls {
		if entries := call.Val(); len(entries) > 0 {
			into[wanted[i]] = recordOf(positions[wanted[i]], entries[0])
		} else {
			missing = append(missing, wanted[i])
		}
	}
	return missing, nil
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
