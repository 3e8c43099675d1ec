package router

import (
	"context"
	"time"
)

// StopReason says why nothing is sent to a subscription's sink.
type StopReason string

// The reasons.
const (
	StoppedByOperator StopReason = "operator" // somebody asked for it
	StoppedGone       StopReason = "gone"     // the endpoint answered 410, and the subscription was disabled
	StoppedFailing    StopReason = "failing"  // the endpoint failed for too long, and the subscription was disabled
)

// Pause is that nothing is sent to a subscription's sink.
type Pause struct {
	Since  time.Time
	Reason StopReason
}

// Pauser pauses subscriptions. Safe for concurrent use; repeating a call is harmless.
type Pauser interface {
	// PauseSubscription stops sending: when it has returned, no replica claims a delivery of it any more. Events that match are queued, and attempts under
	// way finish. NotFound.
	PauseSubscription(ctx context.Context, id string) error
	// ResumeSubscription ends the pause, whatever its reason was, and closes the breaker. NotFound.
	ResumeSubscription(ctx context.Context, id string) error
}
