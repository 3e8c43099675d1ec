package router

import (
	"context"
	"sync/atomic"

	"golang.org/x/sync/semaphore"
)

// slots bound the attempts that are under way in a replica. Safe for concurrent use.
type slots struct {
	semaphore *semaphore.Weighted
	total     int64
	taken     atomic.Int64
}

func newSlots(n int) *slots {
	return &slots{semaphore: semaphore.NewWeighted(int64(n)), total: int64(n)}
}

// free is about how many could be taken now.
func (s *slots) free() int { return int(max(s.total-s.taken.Load(), 0)) }

// inUse is about how many are taken.
func (s *slots) inUse() int { return int(s.taken.Load()) }

// take takes up to n without waiting, and tells how many.
func (s *slots) take(n int) int {
	for n = min(n, s.free()); n > 0; n /= 2 {
		if s.semaphore.TryAcquire(int64(n)) {
			s.taken.Add(int64(n))
			return n
		}
	}
	return 0
}

// wait takes one, and tells whether it could before ctx ended.
func (s *slots) wait(ctx context.Context) bool {
	if s.semaphore.Acquire(ctx, 1) != nil {
		return false
	}
	s.taken.Add(1)
	return true
}

// give gives n back.
func (s *slots) give(n int) {
	if n > 0 {
		s.taken.Add(-int64(n))
		s.semaphore.Release(int64(n))
	}
}
