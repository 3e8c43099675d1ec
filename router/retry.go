package router

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Limits of a retry schedule.
const (
	MaxRetries    = 50                            // steps of a schedule
	MaxRetryDelay = Duration(30 * 24 * time.Hour) // one step
)

// DefaultRetry returns the schedule of the Standard Webhooks recommendation, up to 10 h and spread by ±20 %: seven attempts within about 18 hours.
func DefaultRetry() Retry {
	return Retry{
		Schedule: []Duration{
			Duration(5 * time.Second), Duration(5 * time.Minute), Duration(30 * time.Minute),
			Duration(2 * time.Hour), Duration(5 * time.Hour), Duration(10 * time.Hour),
		},
		Jitter: 0.2,
	}
}

// Check tells whether the schedule can be used: at most MaxRetries steps, each above zero and at most MaxRetryDelay, and a jitter of 0 to 1. An
// empty schedule is valid: nothing is tried twice. The error is an *Error (Invalid) that names every faulty field ("delivery.retry.schedule[2]").
func (r Retry) Check() error {
	var faults []Problem
	if len(r.Schedule) > MaxRetries {
		faults = append(faults, Problem{"delivery.retry.schedule", fmt.Sprintf("has %d steps; at most %d are possible", len(r.Schedule), MaxRetries)})
	}
	for i, d := range r.Schedule[:min(len(r.Schedule), MaxRetries)] {
		if d <= 0 || d > MaxRetryDelay {
			faults = append(faults, Problem{fmt.Sprintf("delivery.retry.schedule[%d]", i), fmt.Sprintf("is %s; it must be above 0s and at most %s", d, MaxRetryDelay)})
		}
	}
	if !(r.Jitter >= 0 && r.Jitter <= 1) { // NaN is neither
		faults = append(faults, Problem{"delivery.retry.jitter", "must be a number from 0 to 1"})
	}
	if faults == nil {
		return nil
	}
	return &Error{Code: Invalid, Message: "the retry schedule is not valid", Problems: faults}
}

// Result is what an attempt came to, as far as it decides what happens next.
type Result struct {
	Outcome    Outcome
	RetryAfter time.Duration // what the endpoint asked for; zero: nothing
}

// Reason says why a Decision was made.
type Reason string

// The reasons of decisions.
const (
	ReasonDelivered  Reason = "delivered"   // it arrived
	ReasonScheduled  Reason = "scheduled"   // it failed, and the schedule has another step
	ReasonRetryAfter Reason = "retry-after" // the same, and the endpoint asked for a longer wait
	ReasonReleased   Reason = "released"    // this replica gave it back before it was decided
	ReasonExhausted  Reason = "exhausted"   // it failed, and the schedule is at its end
	ReasonGone       Reason = "gone"        // the endpoint wants no deliveries any more
)

// Decision is what becomes of a delivery after an attempt.
type Decision struct {
	Verdict Verdict
	After   time.Duration // until the next attempt, where Verdict is Retrying
	Reason  Reason
	Disable bool // the subscription is to be disabled
}

// Next decides what becomes of a delivery after its attempt number attempt (the first is 1) came to result. It is pure: rnd, from 0 up to 1,
// places the delay within the jitter (0: earliest, 0.5: as the schedule says).
//
//	delivered                          Delivered
//	canceled                           Retrying at once: it was never decided, so it does not become a dead letter
//	gone                               Dead, and Disable
//	anything else, a step is left      Retrying after Schedule[attempt-1] × (1 ± Jitter)
//	anything else, at the end          Dead
//
// Where the endpoint asked for a longer wait than that step, it gets it, spread by up to Jitter to the later side, and never longer than the longest step
// of the schedule, spread likewise. It never gets a shorter one.
func (r Retry) Next(attempt int, result Result, rnd float64) Decision {
	switch result.Outcome {
	case OutcomeDelivered:
		return Decision{Verdict: Delivered, Reason: ReasonDelivered}
	case OutcomeCanceled:
		return Decision{Verdict: Retrying, Reason: ReasonReleased}
	case OutcomeGone:
		return Decision{Verdict: Dead, Reason: ReasonGone, Disable: true}
	}
	step := max(attempt, 1) - 1
	if step >= len(r.Schedule) {
		return Decision{Verdict: Dead, Reason: ReasonExhausted}
	}
	after, asked := r.spread(r.Schedule[step], rnd), r.asked(result.RetryAfter, rnd)
	if asked > after {
		return Decision{Verdict: Retrying, After: asked, Reason: ReasonRetryAfter}
	}
	return Decision{Verdict: Retrying, After: after, Reason: ReasonScheduled}
}

// asked is the wait that the endpoint asked for, within bounds.
func (r Retry) asked(wait time.Duration, rnd float64) time.Duration {
	later := 0.5 + rnd/2
	return r.spread(min(Duration(wait), slices.Max(r.Schedule)), later)
}

// spread moves a delay by up to the jitter, earlier or later.
func (r Retry) spread(d Duration, rnd float64) time.Duration {
	moved := float64(d) * (1 + r.Jitter*(2*rnd-1))
	return time.Duration(min(max(moved, 0), math.MaxInt64/2))
}
