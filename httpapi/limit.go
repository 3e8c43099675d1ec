package httpapi

import (
	"math"

	"golang.org/x/time/rate"

	"github.com/streamlatch/streamlatch/router"
)

// newPublishLimiter limits one caller to so many events a second; 0 or less is no limit. It lets a burst of one second through, and at least one full batch,
// which would never pass otherwise.
func newPublishLimiter(perSecond float64, batch int) *rate.Limiter {
	if perSecond <= 0 {
		return nil
	}
	burst := min(max(math.Ceil(perSecond), float64(batch)), math.MaxInt32)
	return rate.NewLimiter(rate.Limit(perSecond), int(burst))
}

// take lets n events of a caller pass, or says when they could.
func (s *Server) take(c *caller, n int) error {
	if c.publish == nil {
		return nil
	}
	now := s.now()
	r := c.publish.ReserveN(now, n)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now)
	return &router.Error{Code: router.RateLimited, Message: "over the publish rate of this caller", RetryAfter: wait}
}
