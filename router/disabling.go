package router

import (
	"context"
	"encoding/json"
	"strconv"
	"time"
)

// DisabledType is the type of the event that says that a subscription was disabled for what its endpoint did. Its source is /streamlatch/subscriptions/<name>,
// its subject the subscription's id, its data {"subscription", "name", "reason", "error"}.
const DisabledType = "streamlatch.subscription.disabled"

// Disabler disables subscriptions.
type Disabler interface {
	// DisableSubscription disables a subscription, if its definition is still of that version, and has the notice, an event, appended to the log
	// once: also if the replica dies on the way. Then it pauses the subscription for that reason, so that its backlog stays; ReplaceSubscription with
	// a definition that is enabled ends this pause. One that is disabled already is only paused. Precondition: it has changed since; NotFound.
	// Nothing was done then.
	DisableSubscription(ctx context.Context, id string, version uint64, reason StopReason, notice Event) error
}

// disableTime is how long disabling may take: the attempt that was the reason is settled after it.
const disableTime = leaseMargin / 2

// disable disables a subscription for the outcome of an attempt, which was made under the definition that is given. Where that is not the present one any
// more, the attempt says nothing of the subscription: nothing is done. Nothing has to be repeated here: the next attempt will have the same outcome.
func (r *Router) disable(ctx context.Context, s *Subscription, reason StopReason, a Attempt) {
	ctx, cancel := context.WithTimeout(ctx, disableTime)
	defer cancel()
	notice, err := disabledNotice(s, reason, a)
	if err == nil {
		err = r.store.DisableSubscription(ctx, s.ID, s.Version, reason, notice)
	}
	switch code := ErrorCode(err); {
	case err == nil:
		r.config.Logger.Warn("a subscription was disabled for what its endpoint did", "subscription", s.ID, "name", s.Name, "reason", string(reason))
	case code != Precondition && code != NotFound:
		r.failed(ctx, "disable a subscription", err)
	}
}

// disabledNotice is the event that says so. It has the same id whoever makes it.
func disabledNotice(s *Subscription, reason StopReason, a Attempt) (Event, error) {
	data, err := json.Marshal(struct {
		Subscription string     `json:"subscription"`
		Name         string     `json:"name"`
		Reason       StopReason `json:"reason"`
		Error        string     `json:"error,omitempty"`
	}{s.ID, s.Name, reason, a.Error})
	if err != nil {
		return Event{}, err //nolint:wrapcheck // can't be: there is nothing in it that JSON has no form for
	}
	at := a.At
	if at.IsZero() {
		at = time.Now()
	}
	return NewEvent(EventFields{
		ID: "disabled-" + s.ID + "-" + strconv.FormatUint(s.Version, 10), Source: "/streamlatch/subscriptions/" + s.Name, Type: DisabledType,
		Subject: s.ID, Time: FormatTime(at), DataContentType: "application/json", Data: string(data), DataKind: JSONData,
	})
}
