package router

import (
	"context"
	"crypto/rand"
	"time"
)

// TestType is the type of the event that Test sends.
const TestType = "streamlatch.test"

// Test sends one event of type TestType to a subscription's sink, once, and returns the attempt. The event is not stored, and what becomes of it
// is not recorded. Invalid: this replica can't send to the sink.
func (r *Router) Test(ctx context.Context, s Subscription) (Attempt, error) {
	sender := r.config.Senders[s.Sink.Kind]
	if s.Sink.Kind == HandlerSink && r.handlers.get(s.Name) != nil {
		sender = r.handlers
	}
	if s.Sink.Kind == PullSink {
		return Attempt{}, Errorf(Invalid, "nothing is sent to a sink of kind %q, so there is nothing to test; workers pull from it", s.Sink.Kind)
	}
	if sender == nil {
		return Attempt{}, Errorf(Invalid, "this replica can't send to a sink of kind %q; a Go handler runs elsewhere", s.Sink.Kind)
	}
	id := rand.Text()
	e, err := NewEvent(EventFields{
		ID: id, Source: "/streamlatch/test", Type: TestType, Time: FormatTime(time.Now()), DataContentType: "application/json",
		Data: `{"subscription":"` + s.Name + `"}`, DataKind: JSONData,
	})
	if err != nil {
		return Attempt{}, err
	}
	return sender.Send(ctx, Sending{Subscription: &s, Entry: Entry{Suffix: "~test" + id}, Event: e, Attempt: 1}), nil
}
