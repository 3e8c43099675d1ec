package router

import (
	"fmt"
	"time"
)

// Limits of a breaker.
const (
	MaxBreakerFailures = 1000
	MinBreakerPause    = Duration(100 * time.Millisecond)
	MaxBreakerPause    = Duration(time.Hour)
	MinDisableAfter    = Duration(time.Minute)
	MaxDisableAfter    = Duration(365 * 24 * time.Hour)
)

// Breaker says when an endpoint is left alone. When Failures attempts in a row have failed, over all replicas, none is made for Pause; then one at a time, as
// a probe: each that fails doubles the pause, up to 5 minutes (or Pause, if that is longer), and one that arrives closes the breaker. When the endpoint has been failing for
// DisableAfter and the breaker is open, the subscription is disabled.
type Breaker struct {
	Failures     int      `json:"failures"`      // 0: there is no breaker, and nothing is disabled
	Pause        Duration `json:"pause"`         //
	DisableAfter Duration `json:"disable_after"` // 0: never
}

// DefaultBreaker returns the breaker of subscriptions that don't say: ten failures, ten seconds, five days.
func DefaultBreaker() Breaker {
	return Breaker{Failures: 10, Pause: Duration(10 * time.Second), DisableAfter: Duration(5 * 24 * time.Hour)}
}

// Check tells whether the breaker can be used. The zero Breaker is valid. The error is an *Error (Invalid) that names every faulty field
// ("delivery.breaker.pause").
func (b Breaker) Check() error {
	if b == (Breaker{}) {
		return nil
	}
	var faults []Problem
	if b.Failures < 0 || b.Failures > MaxBreakerFailures {
		faults = append(faults, Problem{"delivery.breaker.failures", fmt.Sprintf("must be from 0 to %d", MaxBreakerFailures)})
	}
	if b.Pause < MinBreakerPause || b.Pause > MaxBreakerPause {
		faults = append(faults, Problem{"delivery.breaker.pause", fmt.Sprintf("must be from %s to %s", MinBreakerPause, MaxBreakerPause)})
	}
	if b.DisableAfter != 0 && (b.DisableAfter < MinDisableAfter || b.DisableAfter > MaxDisableAfter) {
		faults = append(faults, Problem{"delivery.breaker.disable_after", fmt.Sprintf("must be 0s, for never, or from %s to %s", MinDisableAfter, MaxDisableAfter)})
	}
	if faults == nil {
		return nil
	}
	return &Error{Code: Invalid, Message: "the breaker is not valid", Problems: faults}
}

func (b *Breaker) read(o *docObject) {
	o.get("failures").integer(&b.Failures)
	o.get("pause").duration(&b.Pause)
	o.get("disable_after").duration(&b.DisableAfter)
}

func (b Breaker) write(w *jsonWriter) {
	w.name("breaker")
	w.open('{')
	w.integer("failures", b.Failures)
	w.text("pause", b.Pause.String())
	w.text("disable_after", b.DisableAfter.String())
	w.close('}')
}

// BreakerStatus is how an endpoint is doing.
type BreakerStatus struct {
	Failures     int64     // attempts that failed in a row
	FailingSince time.Time // when the first of them failed; zero: none has
	NextProbe    time.Time // the breaker is open; when the next attempt is made, or, while Probing, when the one under way is given up. zero: it is closed
	Probing      bool
}
