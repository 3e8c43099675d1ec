package redisstore

import (
	"context"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// A subscription's breaker is in its home partition. With one partition that is where its queue is, so claim.lua and settle.lua ask and tell it; with several,
// permit.lua does, which is called there before each claim and after each settlement anyway.

// longestPause is what the pauses of a breaker grow to, unless the first one is longer.
const longestPause = 5 * time.Minute

// breakerHere tells claim.lua whether a queue's breaker has to be asked there.
func (s *Store) breakerHere(q router.Queue) string {
	if s.countsInFlight() || q.Breaker.Failures == 0 {
		return ""
	}
	return "here"
}

// appendBreaker appends what a script has to know of a queue's breaker that judges attempts: nothing where that happens elsewhere.
func appendBreaker(args []any, q router.Queue, here bool) []any {
	threshold, pause := q.Breaker.Failures, q.Breaker.Pause.Std()
	if !here {
		threshold = 0
	}
	return append(args, threshold, pause.Milliseconds(), max(pause, longestPause).Milliseconds())
}

func (s *Store) breakerStatus(ctx context.Context, id string) (b router.BreakerStatus, err error) {
	k := s.keys[home(id, len(s.keys))]
	pipe := s.reader.Pipeline()
	open, state := pipe.HMGet(ctx, k.open(), id), pipe.HGetAll(ctx, k.breaker(id))
	if _, err := pipe.Exec(ctx); err != nil {
		return b, unavailable(err, "read the state of a breaker")
	}
	b.Failures, b.FailingSince = counter(state.Val()["failures"]), moment(state.Val()["since"])
	if at, ok := open.Val()[0].(string); ok {
		b.NextProbe, b.Probing = moment(at), state.Val()["probe"] != ""
	}
	return b, nil
}
