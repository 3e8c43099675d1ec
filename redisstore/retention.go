package redisstore

import (
	"context"
	"fmt"
	"strconv"

	"github.com/streamlatch/streamlatch/router"
)

// Retention, in the order that makes it safe: the horizon is raised, never past the cursor; from then on, whatever moves in a queue and points
// at or below the horizon keeps a copy of its event; then every queue is gone through for what does not move; then the log is trimmed.

const (
	keepPage     = 500  // entries of a queue that one call of keep looks at
	trimPage     = 1000 // entries of the log that one call of trim removes
	purgePage    = 500
	countedBytes = 4 << 20 // what one call may look at when it counts entries
	entryCost    = 48      // bytes that Redis needs for an entry beside its event, measured
)

// Housekeep does the housekeeping of a partition; see router.Keeper.
func (s *Store) Housekeep(ctx context.Context, partition int) (more bool, err error) {
	for _, step := range []func(context.Context, int) (bool, error){s.trimLog, s.purgeQueues, s.expireDeadLetters, s.refreshRing, s.tellLateNotices} {
		again, err := step(ctx, partition)
		if err != nil {
			return false, err
		}
		more = more || again
	}
	return more, nil
}

func (s *Store) trimLog(ctx context.Context, partition int) (more bool, err error) {
	horizon, more, err := s.raiseHorizon(ctx, partition)
	if err != nil || horizon == (router.Position{Partition: partition}) {
		return false, err
	}
	oldest, err := s.reader.XRangeN(ctx, s.keys[partition].log(), "-", horizon.ID(), 1).Result()
	if err != nil || len(oldest) == 0 {
		return more, wrapped(err, "look for events to trim")
	}
	if found, err := s.keepAll(ctx, partition); err != nil || !found {
		return true, err
	}
	for {
		reply, err := s.run(ctx, s.scripts.Trim, []string{s.keys[partition].state(), s.keys[partition].log()}, horizon.ID(), trimPage)
		if err != nil {
			return false, unavailable(err, "trim the log")
		}
		if n, ok := reply.(int64); !ok || n == 0 {
			return more, nil
		}
	}
}

func (s *Store) raiseHorizon(ctx context.Context, partition int) (horizon router.Position, more bool, err error) {
	k := s.keys[partition]
	now, err := s.now(ctx)
	if err != nil {
		return horizon, false, err
	}
	text, err := s.reader.HGet(ctx, k.state(), "size").Result()
	if ignoreNil(err) != nil {
		return horizon, false, unavailable(err, "read the size of events")
	}
	size := entryCost
	if mean, err := strconv.ParseFloat(text, 64); err == nil {
		size += int(mean)
	}
	keep := max(s.config.LogMaxBytes/int64(len(s.keys))/int64(size), 1)
	page := max(min(countedBytes/size, trimPage), 1)
	reply, err := s.run(ctx, s.scripts.Horizon, []string{k.state(), k.log()}, now.Add(-s.config.Retention).UnixMilli(), keep, page)
	if err != nil {
		return horizon, false, unavailable(err, "raise the horizon")
	}
	words, err := stringsOf(reply, 2)
	if err != nil {
		return horizon, false, fmt.Errorf("raise the horizon: %w", err)
	}
	length, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		return horizon, false, fmt.Errorf("raise the horizon: %w", err)
	}
	horizon, err = router.ParseStreamID(partition, words[0])
	return horizon, length-keep > int64(page), err
}

// keepAll goes through every queue that holds anything: those in the schedules, and those that are paused. It tells whether it has found them all, which it
// can't where one was paused or resumed meanwhile.
func (s *Store) keepAll(ctx context.Context, partition int) (found bool, err error) {
	k := s.keys[partition]
	before, err := s.pauses(ctx, partition)
	if err != nil {
		return false, err
	}
	for _, schedule := range []string{k.ready(), k.handlers(), k.pulls()} {
		if err := s.keepScheduled(ctx, partition, schedule); err != nil {
			return false, err
		}
	}
	paused, err := s.reader.HKeys(ctx, k.paused()).Result()
	if err != nil {
		return false, unavailable(err, "list paused queues")
	}
	for _, id := range paused {
		if err := s.keepQueue(ctx, partition, id); err != nil {
			return false, err
		}
	}
	after, err := s.pauses(ctx, partition)
	return before == after, err
}

// pauses is how often queues of a partition were paused and resumed.
func (s *Store) pauses(ctx context.Context, partition int) (string, error) {
	n, err := s.reader.HGet(ctx, s.keys[partition].state(), "pauses").Result()
	return n, wrapped(ignoreNil(err), "read the number of pauses")
}

func (s *Store) keepScheduled(ctx context.Context, partition int, schedule string) error {
	var cursor uint64
	for {
		members, next, err := s.reader.ZScan(ctx, schedule, cursor, "", keepPage).Result()
		if err != nil {
			return unavailable(err, "list queues")
		}
		for i := 0; i < len(members); i += 2 {
			if err := s.keepQueue(ctx, partition, members[i]); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// keepQueue goes through leases before retries: a delivery that settle puts back meanwhile was seen among the leases or is found among the
// retries, and what claim moves, it copies, as settle does with what comes forward in its lane.
func (s *Store) keepQueue(ctx context.Context, partition int, subscription string) error {
	k := s.keys[partition]
	keys := []string{k.state(), k.log(), k.copies(), k.holds(), k.fresh(subscription), k.retries(subscription), k.leases(subscription), k.counters(subscription), k.waiting(subscription)}
	for _, part := range []string{"fresh", "waiting", "leases", "retries"} {
		at := "0"
		for more := true; more; {
			reply, err := s.run(ctx, s.scripts.Keep, keys, subscription, part, at, keepPage)
			if err != nil {
				return unavailable(err, "copy events that a queue needs")
			}
			words, err := stringsOf(reply, 2)
			if err != nil {
				return fmt.Errorf("copy events that a queue needs: %w", err)
			}
			more, at = words[0] == "more", words[1]
		}
	}
	return nil
}

// purgeQueues removes a page of each deleted subscription's queue.
func (s *Store) purgeQueues(ctx context.Context, partition int) (more bool, err error) {
	k := s.keys[partition]
	gone, err := s.reader.HKeys(ctx, k.gone()).Result()
	if err != nil {
		return false, unavailable(err, "list deleted subscriptions")
	}
	for _, id := range gone {
		keys := []string{
			k.state(), k.gone(), k.copies(), k.holds(), k.fresh(id), k.retries(id), k.leases(id), k.attempts(id), k.counters(id),
			k.ready(), k.handlers(), k.permits(id), k.paused(), k.rate(id), k.pulls(), k.successes(id),
			k.open(), k.breaker(id), k.lanes(id), k.waiting(id),
		}
		reply, err := s.run(ctx, s.scripts.Purge, keys, id, purgePage)
		if err != nil {
			return false, unavailable(err, "remove a deleted subscription's queue")
		}
		words, err := stringsOf(reply, 2)
		if err != nil {
			return false, fmt.Errorf("remove a deleted subscription's queue: %w", err)
		}
		more = more || words[0] == "more"
	}
	return more, nil
}

func (s *Store) expireDeadLetters(ctx context.Context, partition int) (more bool, err error) {
	now, err := s.now(ctx)
	if err != nil {
		return false, err
	}
	k := s.keys[partition]
	before := now.Add(-s.config.DeadLetterRetention).UnixMilli()
	reply, err := s.run(ctx, s.scripts.Expire, []string{k.state(), k.copies(), k.holds(), k.dead(), k.deadAt()}, before, purgePage)
	if err != nil {
		return false, unavailable(err, "remove old dead letters")
	}
	n, ok := reply.(int64)
	return ok && n == purgePage, nil
}

// refreshRing frees the dedupe window that has passed also when nothing is published.
func (s *Store) refreshRing(ctx context.Context, partition int) (more bool, err error) {
	return false, s.rotate(ctx, partition)
}

func wrapped(err error, doing string) error {
	if err == nil {
		return nil
	}
	return unavailable(err, doing)
}
