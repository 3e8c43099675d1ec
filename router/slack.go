package router

import (
	"sync/atomic"
	"time"
)

const (
	minSlack = 5 * time.Millisecond
	maxSlack = leaseMargin
)

// slack is how long this replica needs from asking for a delivery to the beginning of its attempt, so to say: a permit of a rate is good for so long. A
// short one wastes less of the rate; with one that is too short, attempts come too late and are not made. So it grows at once, and shrinks slowly. The
// zero value is ready. Safe for concurrent use.
type slack struct{ atomic.Int64 }

// allowed is what to ask for.
func (s *slack) allowed() time.Duration { return max(time.Duration(s.Load()), minSlack) }

// observe learns from one attempt that began, or would have begun, after so long.
func (s *slack) observe(took time.Duration) {
	wanted, now := min(2*took, maxSlack), s.allowed()
	if wanted < now {
		wanted = max(now-(now-wanted)/64, minSlack)
	}
	s.Store(int64(wanted)) // of concurrent ones any may win
}
