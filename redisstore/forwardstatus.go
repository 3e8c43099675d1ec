package redisstore

import (
	"context"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// addForwarded tells what waits in the inboxes of all partitions, and for whom.
func (s *Store) addForwarded(ctx context.Context, status *router.Status) error {
	if len(s.keys) == 1 {
		return nil
	}
	marks, err := s.knownMarks(ctx)
	if err != nil {
		return err
	}
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	used, err := s.usedInboxes(ctx)
	if err != nil {
		return err
	}
	for q := range s.keys {
		f := &router.ForwardedStatus{WaitsFor: []int{}}
		status.Partitions[q].Forwarded = f
		if !used[q] {
			continue
		}
		waiting, oldest, err := s.inboxState(ctx, q)
		if err != nil {
			return err
		}
		if f.Waiting = waiting; waiting == 0 {
			continue
		}
		f.Age = max(0, now.Sub(time.UnixMilli(oldest)))
		for p, mark := range marks {
			if mark <= oldest {
				f.WaitsFor = append(f.WaitsFor, p)
			}
		}
	}
	return nil
}

// usedInboxes tells in which partitions something waits.
func (s *Store) usedInboxes(ctx context.Context) ([]bool, error) {
	pipe := s.reader.Pipeline()
	calls := make([]*redis.IntCmd, len(s.keys))
	for q, k := range s.keys {
		lists := make([]string, len(s.keys))
		for from := range s.keys {
			lists[from] = k.inbox(from)
		}
		calls[q] = pipe.Exists(ctx, lists...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err, "look at inboxes")
	}
	used := make([]bool, len(s.keys))
	for q, call := range calls {
		used[q] = call.Val() > 0
	}
	return used, nil
}

// knownMarks is how far each partition is known to be with forwarding: see scripts/mark.lua.
func (s *Store) knownMarks(ctx context.Context) ([]int64, error) {
	pipe := s.reader.Pipeline()
	calls := make([]*redis.SliceCmd, len(s.keys))
	for p, k := range s.keys {
		calls[p] = pipe.HMGet(ctx, k.state(), "cursor", "settled")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err, "read how far partitions are")
	}
	marks := make([]int64, len(s.keys))
	for p, call := range calls {
		cursor, _ := call.Val()[0].(string)
		settled, _ := call.Val()[1].(string)
		ms, _, _ := strings.Cut(cursor, "-")
		marks[p] = max(counter(ms), counter(settled))
	}
	return marks, nil
}

// inboxState is how many entries wait in an inbox, and when the oldest event was accepted.
func (s *Store) inboxState(ctx context.Context, partition int) (waiting, oldest int64, err error) {
	lengths, heads := s.reader.Pipeline(), s.reader.Pipeline()
	calls := make([]*redis.IntCmd, len(s.keys))
	for from := range s.keys {
		calls[from] = lengths.LLen(ctx, s.keys[partition].inbox(from))
	}
	if _, err := lengths.Exec(ctx); err != nil {
		return 0, 0, unavailable(err, "look at an inbox")
	}
	var first []*redis.StringCmd
	for from, call := range calls {
		if call.Val() > 0 {
			waiting += call.Val()
			first = append(first, heads.LIndex(ctx, s.keys[partition].inbox(from), 0))
		}
	}
	if len(first) == 0 {
		return 0, 0, nil
	}
	if _, err := heads.Exec(ctx); ignoreNil(err) != nil {
		return 0, 0, unavailable(err, "look at an inbox")
	}
	for _, call := range first {
		ms, _, _ := strings.Cut(call.Val(), "-")
		if at := counter(ms); at > 0 && (oldest == 0 || at < oldest) {
			oldest = at
		}
	}
	return waiting, oldest, nil
}
