package redisstore

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// repeatPause is how long a call that failed waits before it is made again.
const repeatPause = 20 * time.Millisecond

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
