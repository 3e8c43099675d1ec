package redisstore

import (
	"context"
	"math"
	"slices"
	"strconv"

	"github.com/streamlatch/streamlatch/router"
)

// ReplayCursor tells how far a replay is; see router.ReplayStore.
func (s *Store) ReplayCursor(ctx context.Context, operation string, partition int) (router.ReplayCursor, error) {
	text, err := s.progressAt(ctx, operation, partition)
	switch {
	case err != nil || text == "":
		return router.ReplayCursor{}, err
	case text == progressEnd:
		return router.ReplayCursor{Begun: true, Ended: true}, nil
	}
	position, err := router.ParseStreamID(partition, text)
	return router.ReplayCursor{Position: position, Begun: true}, err
}

func replayCursorText(c router.ReplayCursor) string {
	switch {
	case c.Ended:
		return progressEnd
	case c.Begun:
		return c.Position.ID()
	}
	return ""
}

// Replay queues a page of events again; see router.ReplayStore.
func (s *Store) Replay(ctx context.Context, partition int, page router.ReplayPage) error {
	k, id := s.keys[partition], page.Queue.Subscription
	keys := []string{
		k.state(), k.log(), k.copies(), k.holds(), k.gone(), k.progress(page.Operation), s.scheduleKey(partition, page.Queue.Kind),
		k.fresh(id), k.retries(id), k.leases(id), k.paused(), k.lanes(id), k.waiting(id),
	}
	args := []any{id, page.Queue.MaxInFlight, page.Suffix, replayCursorText(page.From), replayCursorText(page.To), page.Passed, operationKept.Milliseconds()}
	args = appendStringArgs(args, freshNames(page.Events, page.Lanes))
	reply, err := s.run(ctx, s.scripts.Replay, keys, args...)
	if err != nil {
		return unavailable(err, "replay events")
	}
	if reply == "gone" {
		return router.Errorf(router.NotFound, "the subscription was deleted")
	}
	return nil
}

// QueueRoom tells how many deliveries an operation may add to a queue; see router.ReplayStore. What apply adds meanwhile is not known, which the half that is
// left for it makes good.
func (s *Store) QueueRoom(ctx context.Context, partition int, q router.Queue) (int, error) {
	if q.MaxBacklog == 0 {
		return math.MaxInt, nil
	}
	k, id := s.keys[partition], q.Subscription
	pipe := s.reader.Pipeline()
	sizes := askSizes(ctx, pipe, k, id)
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, unavailable(err, "look for room in a queue")
	}
	return (q.MaxBacklog+1)/2 - int(sizes.backlog()), nil
}

// replayNumber gives a replay a number that no other has, in base 36.
func (s *Store) replayNumber(ctx context.Context) (string, error) {
	n, err := s.writer.HIncrBy(ctx, s.keys[0].meta(), "replays", 1).Result()
	if err != nil {
		return "", unavailable(err, "number a replay")
	}
	return strconv.FormatInt(n, 36), nil
}

// countLog counts the events that a replay looks at.
func (s *Store) countLog(ctx context.Context, o router.Operation) (n int64, err error) {
	from, to := int64(0), o.Created.UnixMilli()+1
	if !o.Replay.From.IsZero() {
		from = wholeMillisecond(o.Replay.From)
	}
	if !o.Replay.To.IsZero() {
		to = min(to, wholeMillisecond(o.Replay.To))
	}
	for p := range s.keys {
		first, err := s.ReadLog(ctx, router.Position{Partition: p, MS: max(from-1, 0), Seq: 1 << 62}, 1, 0)
		if err != nil {
			return 0, err
		}
		last, err := s.ReadLogReverse(ctx, router.Position{Partition: p, MS: max(to-1, 0), Seq: math.MaxUint64}, 1)
		if err != nil {
			return 0, err
		}
		if len(first) == 0 || len(last) == 0 || last[0].Position.Compare(first[0].Position) < 0 {
			continue
		}
		low, err := s.ordinal(ctx, first[0].Position)
		if err != nil {
			return 0, err
		}
		high, err := s.ordinal(ctx, last[0].Position)
		if err != nil {
			return 0, err
		}
		n += high - low + 1
	}
	return n, nil
}

// ordinal is how many events the partition had ever stored before the one at a position.
func (s *Store) ordinal(ctx context.Context, position router.Position) (int64, error) {
	entries, err := s.reader.XRangeN(ctx, s.keys[position.Partition].log(), position.ID(), "+", 1).Result()
	if err != nil || len(entries) == 0 {
		return 0, wrapped(err, "count events")
	}
	records, err := s.records(position.Partition, entries)
	if err != nil {
		return 0, err
	}
	before, _ := entries[0].Values[countField].(string)
	return counter(before) + int64(slices.IndexFunc(records, func(r router.Record) bool { return r.Position == position })), nil
}
