package router

import "sync/atomic"

// limit is how much of something a call of apply may have: less after one that had too much, and twice as much after each that had not, up to the most.
type limit struct {
	most  int
	lower atomic.Int64 // 0: the most
}

func (l *limit) now() int {
	if lower := int(l.lower.Load()); lower > 0 {
		return min(lower, l.most)
	}
	return l.most
}

func (l *limit) raise() {
	if lower := l.lower.Load(); lower > 0 {
		l.lower.Store(min(2*lower, int64(l.most)))
	}
}

func (l *limit) set(lower int) { l.lower.Store(int64(max(lower, 1))) }
