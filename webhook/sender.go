package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// Config is what a Sender needs to know. The zero Config works.
type Config struct {
	// Version stands in the header user-agent: "streamlatch/<version>". Defaults to "dev".
	Version string
	// Guard decides which addresses may be dialled. Defaults to NewGuard(): public ones only.
	Guard *Guard
	// Roots are the authorities that certificates of endpoints are checked against. Defaults to the system's.
	Roots *x509.CertPool
	// Resolver looks up the names of endpoints. Defaults to net.DefaultResolver.
	Resolver *net.Resolver
	// IdlePerHost is how many unused connections to one endpoint are kept. Where it is below the number of attempts that are under way to one
	// endpoint at a time, connections are opened and closed for nothing. Defaults to 256.
	IdlePerHost int
	// Idle is how many unused connections are kept to all endpoints together. Defaults to 2048.
	Idle int
	// Now gives the time that is signed and recorded. Timeouts don't go by it. Defaults to time.Now.
	Now func() time.Time
}

// Sender makes attempts to deliver events to webhooks. Safe for concurrent use.
type Sender struct {
	transport  http.RoundTripper
	idle       interface{ CloseIdleConnections() }
	targets    targets
	identities identities // for sinks with a client certificate
	userAgent  []string
	now        func() time.Time
}

// New makes a Sender. Invalid: a version that can't stand in a header, a negative number.
func New(c Config) (*Sender, error) {
	if c.Version == "" {
		c.Version = "dev"
	}
	if len(c.Version) > maxHeaderName || strings.ContainsFunc(c.Version, notToken) {
		return nil, router.Errorf(router.Invalid, "Version %q can't stand in the header user-agent", cut(c.Version, 60))
	}
	if c.IdlePerHost < 0 || c.Idle < 0 {
		return nil, router.Errorf(router.Invalid, "IdlePerHost and Idle must not be negative")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	t := newTransport(c)
	return &Sender{
		transport: t, idle: t, identities: identities{config: c, known: map[identity]*identityTransport{}},
		userAgent: []string{"streamlatch/" + c.Version}, now: c.Now,
	}, nil
}

// Close closes the connections that are not in use. Attempts under way end by their own context.
func (s *Sender) Close() {
	s.idle.CloseIdleConnections()
	s.identities.CloseIdleConnections()
}

// Send makes one attempt, as a router.Sender: a POST of the event, signed where the sink has a secret, and done within the sink's timeout (DefaultSinkTimeout
// where it has none), reading the answer included. Success is a status of 2xx and nothing else; redirects are never followed. What was wrong
// stands in the attempt: Error is fit to be shown and holds neither secrets nor control characters, Response the first 4 KiB of a failure's answer,
// RetryAfter the wait that it asked for.
// When ctx ends first, the outcome is OutcomeCanceled. At most one request reaches the endpoint.
func (s *Sender) Send(ctx context.Context, r router.Sending) router.Attempt {
	at := s.now()
	a := s.attempt(ctx, r, at)
	a.At, a.Duration = at, router.Duration(max(s.now().Sub(at), 0))
	return a
}

func (s *Sender) attempt(ctx context.Context, r router.Sending, at time.Time) router.Attempt {
	timeout := r.Subscription.Sink.Timeout.Std()
	if timeout <= 0 {
		timeout = router.DefaultSinkTimeout.Std()
	}
	limited, cancel := context.WithTimeoutCause(ctx, timeout, timeoutError{"complete answer", timeout})
	defer cancel()
	req, err := s.request(limited, r, at)
	if err != nil {
		return router.Attempt{Outcome: router.OutcomeInvalid, Error: err.Error()}
	}
	transport, err := s.transportFor(r.Subscription.Sink.Auth, req.URL)
	if err != nil {
		return router.Attempt{Outcome: router.OutcomeInvalid, Error: err.Error()}
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		outcome, message := Classify(limited, err)
		return router.Attempt{Outcome: outcome, Error: redact(message, req.URL)}
	}
	a := readAnswer(res)
	a.Response = withoutSecrets(a.Response, *r.Subscription)
	if a.Outcome != router.OutcomeDelivered {
		a.RetryAfter = retryAfter(res.Header, s.now())
	}
	return a
}

// withoutSecrets masks what an endpoint repeats of a subscription's secrets, as those do that show a request in their error page.
func withoutSecrets(response string, s router.Subscription) string {
	const shortest = 6 // what is shorter stands there by chance
	mask := func(secret string) {
		if len(secret) >= shortest {
			response = strings.ReplaceAll(response, secret, router.Masked)
		}
	}
	if response == "" {
		return ""
	}
	_, credentials, _ := strings.Cut(authorization(s.Sink.Auth), " ")
	mask(credentials)
	s.MapSecrets(func(_, secret string) string {
		mask(secret)
		return secret
	})
	return response
}

// transportFor is what a sink's requests go through.
func (s *Sender) transportFor(a router.Auth, target *url.URL) (http.RoundTripper, error) {
	if a.Kind != router.MutualTLSAuth {
		return s.transport, nil
	}
	if target.Scheme != "https" { // the certificate would not be shown
		return nil, errors.New("sink.auth.kind " + onlyHTTPS)
	}
	t, err := s.identities.transport(a)
	if err != nil { // what it says could be of the key
		return nil, errors.New("sink.auth has no certificate with its private key, in PEM")
	}
	return t, nil
}

// request puts the attempt together.
func (s *Sender) request(ctx context.Context, r router.Sending, at time.Time) (*http.Request, error) {
	t, err := s.targets.of(r.Subscription)
	if err != nil {
		return nil, err
	}
	body := eventBody(r.Subscription.Sink.Mode, r.Event)
	header, err := s.header(t, r, body, at)
	if err != nil {
		return nil, err
	}
	req := &http.Request{Method: http.MethodPost, URL: t.url, Host: t.url.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1}
	if len(body) > 0 { // without a body, Content-Length: 0 is sent
		req.ContentLength = int64(len(body))
		// The transport asks for the body anew when a kept connection turns out dead before anything was written to it.
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	return req.WithContext(ctx), nil
}

// eventBody renders the body, in a buffer of its own. A pooled one would cost more than it saves: to learn when a transport is done with it, which can be
// after the answer, takes a body type of ours, and for such net/http sends header and body in two writes instead of one. Measured against a bare loop of
// POSTs: 0.70 of its throughput with a pool, 0.84 without.
func eventBody(mode router.Mode, e router.Event) []byte {
	if mode == router.Binary {
		return e.Data()
	}
	const attributes = 512 // usually enough
	return cloudevents.AppendStructured(make([]byte, 0, len(e.DataText())+attributes), e)
}

func (s *Sender) header(t *target, r router.Sending, body []byte, at time.Time) (http.Header, error) {
	h := eventHeader(r.Subscription.Sink.Mode, r.Event)
	for key, values := range t.header {
		if _, twice := h[key]; twice {
			return nil, errors.New(headerLocation(key) + " " + headerTwice)
		}
		h[key] = values
	}
	id := r.DeliveryID()
	if !validID(id) {
		return nil, fmt.Errorf("delivery id %q can't be signed", cut(id, 60))
	}
	timestamp := strconv.FormatInt(at.Unix(), 10)
	values := [...]string{id, timestamp, ""} // one allocation for three headers
	h[HeaderID], h[HeaderTimestamp], h["User-Agent"] = values[0:1:1], values[1:2:2], s.userAgent
	if secrets := t.secretsAt(at); len(secrets) > 0 {
		values[2] = sign(secrets, id, timestamp, body)
		h[HeaderSignature] = values[2:3:3]
	}
	return h, nil
}

// eventHeader gives the headers that describe the event, with room for ours.
func eventHeader(mode router.Mode, e router.Event) http.Header {
	if mode == router.Binary {
		return cloudevents.BinaryHeaders(e)
	}
	h := make(http.Header, 8)
	h["Content-Type"] = []string{cloudevents.StructuredType + "; charset=utf-8"}
	return h
}

// validID tells whether an id can stand in a header and be signed: printable ASCII without spaces and dots.
func validID(id string) bool {
	for i := range len(id) {
		if c := id[i]; c <= ' ' || c > '~' || c == '.' {
			return false
		}
	}
	return id != "" && len(id) <= maxHeaderName
}
