package streamsink

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/webhook"
)

//go:embed append.lua
var appendSource string

// remembered is for how long, at least, a repeat of a delivery is known.
const remembered = time.Hour

// Config is what a Sender needs to know. The zero Config works for sinks that name a public Redis.
type Config struct {
	// Own is the URL of Streamlatch's own Redis, for sinks that name none. Without it such sinks can't be used.
	Own string
	// OwnTLS is used where that URL asks for TLS. Defaults to the system's certificate authorities.
	OwnTLS *tls.Config
	// Guard decides which addresses of other Redises may be dialled. Defaults to webhook.NewGuard(): public ones only.
	Guard *webhook.Guard
	// Roots are the authorities that the certificates of other Redises are checked against. Defaults to the system's.
	Roots *x509.CertPool
	// Resolver looks up the names of other Redises. Defaults to net.DefaultResolver.
	Resolver *net.Resolver
	// Now gives the time that is recorded. Defaults to time.Now.
	Now func() time.Time
}

// Sender makes attempts to deliver events to streams. Safe for concurrent use.
type Sender struct {
	targets *targets
	script  *redis.Script
	now     func() time.Time
}

// New makes a Sender. It connects when there is something to send.
func New(c Config) *Sender {
	if c.Guard == nil {
		c.Guard = webhook.NewGuard()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Sender{targets: newTargets(c), script: redis.NewScript(appendSource), now: c.Now}
}

// Close closes all connections; attempts under way fail.
func (s *Sender) Close() error { return s.targets.close() }

// Send makes one attempt, as a router.Sender: it appends the event to the sink's stream, unless an earlier attempt at the same delivery did, within the sink's timeout.
// What was wrong stands in the attempt: Error is fit to be shown and holds no secrets. When ctx ends first, the outcome is OutcomeCanceled; whether
// the event was appended is not known then, and the next attempt finds out.
func (s *Sender) Send(ctx context.Context, r router.Sending) router.Attempt {
	at := s.now()
	a := s.attempt(ctx, r)
	a.At, a.Duration = at, router.Duration(max(s.now().Sub(at), 0))
	return a
}

func (s *Sender) attempt(ctx context.Context, r router.Sending) router.Attempt {
	timeout := cmp.Or(r.Subscription.Sink.Timeout, router.DefaultSinkTimeout).Std()
	limited, cancel := context.WithTimeoutCause(ctx, timeout, timeoutError(timeout))
	defer cancel()
	if err := checkStored(r.Subscription.Sink); err != nil {
		return router.Attempt{Outcome: router.OutcomeInvalid, Error: err.Error()}
	}
	t, err := s.targets.take(r.Subscription.Sink.Redis)
	if err != nil {
		return router.Attempt{Outcome: router.OutcomeInvalid, Error: webhook.Printable(err.Error())}
	}
	defer s.targets.giveBack(t)
	if err := s.append(limited, t, r); err != nil {
		outcome, message := classify(limited, err)
		return router.Attempt{Outcome: outcome, Error: message}
	}
	return router.Attempt{Outcome: router.OutcomeDelivered}
}

// checkStored looks again at what was checked when it was saved, since it may have been stored by another version, or by hand.
func checkStored(sink router.Sink) error {
	s := router.Subscription{Name: "x", Sink: sink, Delivery: router.DefaultDelivery()}
	if e, ok := errors.AsType[*router.Error](s.Validate(router.Rules{})); ok {
		return errors.New(e.Problems[0].Location + " " + e.Problems[0].Message)
	}
	return nil
}

func (s *Sender) append(ctx context.Context, t *target, r router.Sending) error {
	sink, id := r.Subscription.Sink, r.DeliveryID()
	done := t.takeDone(sink.Stream)
	args := []any{
		id, cloudevents.AppendStructured(nil, r.Event), strconv.Itoa(sink.MaxLen),
		repeats(r.Subscription.Delivery.Retry, r.Attempt).Milliseconds(), remembered.Milliseconds(),
	}
	for _, one := range done {
		args = append(args, one)
	}
	reply, err := s.script.Run(ctx, t.client, []string{sink.Stream, Memory(sink.Stream)}, args...).StringSlice()
	if err != nil {
		t.putDone(sink.Stream, done...) // it may have come to nothing
		return err
	}
	if len(reply) == 0 || reply[0] != "appended" && reply[0] != "known" {
		return fmt.Errorf("unexpected reply %q", reply)
	}
	t.putDone(sink.Stream, id)
	return nil
}

// Memory is the key beside a stream, in its slot, that has the deliveries that were appended to it.
func Memory(stream string) string {
	return "{" + router.StreamSlot(stream) + "}:streamlatch:" + strings.NewReplacer("{", "", "}", "").Replace(stream)
}

// repeats is for how long other attempts may follow an attempt: what is left of the schedule, and some more.
func repeats(retry router.Retry, attempt int) time.Duration {
	left := time.Duration(0)
	for i := max(attempt, 1) - 1; i < len(retry.Schedule); i++ {
		left += retry.Schedule[i].Std()
	}
	return left + time.Duration(float64(left)*retry.Jitter) + remembered
}

// timeoutError is the cause of a context that ended because Redis was too slow.
type timeoutError time.Duration

func (e timeoutError) Error() string {
	return "no reply of Redis within " + router.Duration(e).String()
}

// Timeout tells that it is one.
func (timeoutError) Timeout() bool { return true }

// Temporary tells that it may pass.
func (timeoutError) Temporary() bool { return true }

// tlsError marks an error of the TLS handshake, which crypto/tls has no type for.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// classify tells what an error means, and says it in a message without control characters.
func classify(ctx context.Context, err error) (router.Outcome, string) {
	_, ours := errors.AsType[timeoutError](context.Cause(ctx))
	_, isTLS := errors.AsType[*tlsError](err)
	var reply redis.Error
	switch {
	case ctx.Err() != nil && ours:
		return router.OutcomeTimeout, context.Cause(ctx).Error()
	case errors.As(err, &reply):
		return router.OutcomeStatus, webhook.Printable("Redis answered: " + reply.Error())
	case isTLS && ctx.Err() == nil:
		return router.OutcomeTLS, webhook.Printable(err.Error())
	}
	return webhook.Classify(ctx, err)
}
