package webhook

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// roundTrip is a transport that answers in place of an endpoint.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// sent is what reached the endpoint.
type sent struct {
	req  *http.Request
	body string
}

// recorder answers 204 and keeps what came.
func recorder(t testing.TB, got *[]sent) roundTrip {
	return func(req *http.Request) (*http.Response, error) {
		var text []byte
		if req.Body != nil {
			var err error
			text, err = io.ReadAll(req.Body)
			require.NoError(t, err)
			require.NoError(t, req.Body.Close())
		}
		*got = append(*got, sent{req, string(text)})
		return answered(req, 204, ""), nil
	}
}

func answered(req *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Request: req, Header: http.Header{}, ContentLength: int64(len(body)), Body: io.NopCloser(strings.NewReader(body))}
}

var testClock = time.Unix(knownTime, 123456789)

// newSender makes a sender that may reach this machine and whose clock stands still.
func newSender(t testing.TB, c Config) *Sender {
	t.Helper()
	if c.Guard == nil {
		c.Guard = NewGuard(mustTargets(t, "127.0.0.0/8", "::1")...)
	}
	c.Version = "1.2.3"
	c.Now = func() time.Time { return testClock }
	s, err := New(c)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// fakeSender makes a sender whose requests a function answers.
func fakeSender(t testing.TB, f roundTrip) *Sender {
	s := newSender(t, Config{})
	s.transport = f
	return s
}

func mustEvent(t testing.TB, f router.EventFields) router.Event {
	t.Helper()
	e, err := router.NewEvent(f)
	require.NoError(t, err)
	return e
}

func orderEvent(t testing.TB) router.Event {
	return mustEvent(t, router.EventFields{
		ID: "a1", Source: "/shop", Type: "order.paid", Subject: "Größe 7", Time: "2026-11-21T09:00:00Z", DataContentType: "application/json",
		Extensions: []router.Extension{{Name: "streamlatchhops", Value: "2", Kind: router.IntegerValue}},
		Data:       `{"total": 1.50}`, DataKind: router.JSONData,
	})
}

// requestTo is a delivery of orderEvent to a URL, as a test changes it.
func requestTo(t testing.TB, url string, change ...func(*router.Sink)) router.Sending {
	r := router.Sending{Subscription: &router.Subscription{ID: "sub_01JD"}, Entry: router.Entry{Position: router.Position{MS: 1732128000000}}, Event: orderEvent(t)}
	r.Subscription.Sink = router.Sink{Kind: router.WebhookSink, URL: url, Mode: router.Structured, Secret: knownSecret, Timeout: router.Duration(10 * time.Second)}
	for _, f := range change {
		f(&r.Subscription.Sink)
	}
	return r
}

func binaryMode(s *router.Sink) { s.Mode = router.Binary }

func TestAStructuredDeliveryOnTheWire(t *testing.T) {
	var got []sent
	s := fakeSender(t, recorder(t, &got))
	r := requestTo(t, "https://billing.example/hook?x=1", func(s *router.Sink) { s.Headers = map[string]string{"x-team": "a"} })
	a := s.Send(t.Context(), r)
	require.Equal(t, router.Attempt{At: testClock, Outcome: router.OutcomeDelivered, StatusCode: 204}, a)

	require.Len(t, got, 1)
	req := got[0].req
	require.Equal(t, "POST https://billing.example/hook?x=1", req.Method+" "+req.URL.String())
	require.Equal(t, http.Header{
		"Content-Type":      {"application/cloudevents+json; charset=utf-8"},
		"User-Agent":        {"streamlatch/1.2.3"},
		"Webhook-Id":        {"dlv_0-1732128000000-0-01JD"},
		"Webhook-Timestamp": {"1614265330"},
		"Webhook-Signature": req.Header["Webhook-Signature"],
		"X-Team":            {"a"},
	}, req.Header)
	require.Equal(t, string(cloudevents.AppendStructured(nil, r.Event)), got[0].body)
	require.Equal(t, int64(len(got[0].body)), req.ContentLength)
	require.NoError(t, Verifier{Secrets: []Secret{mustSecret(t, knownSecret)}}.Verify(req.Header, []byte(got[0].body), testClock))
}

func TestABinaryDeliveryOnTheWire(t *testing.T) {
	var got []sent
	s := fakeSender(t, recorder(t, &got))
	s.Send(t.Context(), requestTo(t, "https://billing.example/", binaryMode))
	req := got[0].req
	require.Equal(t, `{"total": 1.50}`, got[0].body, "the payload's own bytes")
	require.Equal(t, "application/json", req.Header.Get("Content-Type"))
	require.Equal(t, "order.paid", req.Header.Get("Ce-Type"))
	require.Equal(t, "Gr%C3%B6%C3%9Fe%207", req.Header.Get("Ce-Subject"))
	require.Equal(t, "2", req.Header.Get("Ce-Streamlatchhops"))
	require.NoError(t, Verifier{Secrets: []Secret{mustSecret(t, knownSecret)}}.Verify(req.Header, []byte(got[0].body), testClock))
}

func TestAnEventWithoutDataHasAnEmptyBodyInBinaryMode(t *testing.T) {
	var got []sent
	s := fakeSender(t, recorder(t, &got))
	r := requestTo(t, "https://billing.example/", binaryMode)
	r.Event = mustEvent(t, router.EventFields{ID: "a1", Source: "/shop", Type: "order.paid"})
	s.Send(t.Context(), r)
	require.Empty(t, got[0].body)
	require.Nil(t, got[0].req.Body, "so that Content-Length: 0 is said, and not a chunked body")
	require.NoError(t, Verifier{Secrets: []Secret{mustSecret(t, knownSecret)}}.Verify(got[0].req.Header, nil, testClock))
}

func TestADeliveryWithoutSecretIsNotSigned(t *testing.T) {
	var got []sent
	s := fakeSender(t, recorder(t, &got))
	s.Send(t.Context(), requestTo(t, "https://billing.example/", func(s *router.Sink) { s.Secret = "" }))
	require.NotContains(t, got[0].req.Header, HeaderSignature)
	require.Contains(t, got[0].req.Header, HeaderID)
	require.Contains(t, got[0].req.Header, HeaderTimestamp)
}

func TestARepeatHasTheSameIDAndItsOwnTime(t *testing.T) {
	var got []sent
	s := fakeSender(t, recorder(t, &got))
	now := testClock
	s.now = func() time.Time { return now }
	r := requestTo(t, "https://billing.example/")
	s.Send(t.Context(), r)
	now = now.Add(time.Hour)
	s.Send(t.Context(), r)
	require.Equal(t, got[0].req.Header[HeaderID], got[1].req.Header[HeaderID])
	require.Equal(t, "1614268930", got[1].req.Header.Get(HeaderTimestamp))
	require.NotEqual(t, got[0].req.Header[HeaderSignature], got[1].req.Header[HeaderSignature])
}

func TestWhatCannotBeSentIsInvalidAndNeverSent(t *testing.T) {
	s := fakeSender(t, func(*http.Request) (*http.Response, error) {
		require.Fail(t, "sent")
		return nil, errors.New("sent")
	})
	header := func(name, value string) func(*router.Sink) {
		return func(s *router.Sink) { s.Headers = map[string]string{name: value} }
	}
	for message, change := range map[string]func(*router.Sink){
		"sink.url must start with http":            func(s *router.Sink) { s.URL = "file:///etc/passwd" },
		"sink.url must not hold a user":            func(s *router.Sink) { s.URL = "http://user:hunter2@x.example/" },
		"sink.secret is not padded":                func(s *router.Sink) { s.Secret = "hunter2" },
		"sink.headers.webhook-id is set by":        header("webhook-id", "other"),
		"sink.headers.Content-Length is set by":    header("Content-Length", "0"),
		"sink.headers.transfer-encoding is set by": header("transfer-encoding", "chunked"),
		"sink.headers.Host is set by":              header("Host", "internal"),
		"sink.headers.ce-id is set by":             header("ce-id", "other"),
		"sink.headers.x-a must not have control":   header("x-a", "hunter2\r\nwebhook-id: 1"),
		`sink.headers["x\ny"] must have a name`:    header("x\ny", "v"),
		`sink.headers.X-A is there twice`:          func(s *router.Sink) { s.Headers = map[string]string{"X-A": "1", "X-a": "1"} },
	} {
		a := s.Send(t.Context(), requestTo(t, "https://x.example/", change))
		require.Equal(t, router.OutcomeInvalid, a.Outcome, message)
		require.Equal(t, strings.ToLower(message), strings.ToLower(cut(a.Error, len(message)))[:len(message)])
		require.NotContains(t, a.Error, "hunter2")
	}
	for _, id := range []string{"a.b", "a b", "a\r\nb", "ü", strings.Repeat("x", 200)} {
		r := requestTo(t, "https://x.example/")
		r.Subscription.ID = id
		a := s.Send(t.Context(), r)
		require.Equal(t, router.OutcomeInvalid, a.Outcome, "%q", id)
		require.NotContains(t, a.Error, "\n")
	}
}

func TestOnly2xxIsSuccess(t *testing.T) {
	for status, want := range map[int]router.Outcome{
		101: router.OutcomeProtocol,
		200: router.OutcomeDelivered, 201: router.OutcomeDelivered, 202: router.OutcomeDelivered, 204: router.OutcomeDelivered, 299: router.OutcomeDelivered,
		300: router.OutcomeRedirect, 301: router.OutcomeRedirect, 302: router.OutcomeRedirect, 303: router.OutcomeRedirect, 304: router.OutcomeRedirect,
		307: router.OutcomeRedirect, 308: router.OutcomeRedirect, 399: router.OutcomeRedirect,
		0: router.OutcomeStatus, 400: router.OutcomeStatus, 404: router.OutcomeStatus, 410: router.OutcomeGone, 429: router.OutcomeStatus,
		500: router.OutcomeStatus, 503: router.OutcomeStatus, 600: router.OutcomeStatus, 999: router.OutcomeStatus,
	} {
		s := fakeSender(t, func(req *http.Request) (*http.Response, error) { return answered(req, status, "why not"), nil })
		a := s.Send(t.Context(), requestTo(t, "https://x.example/"))
		require.Equal(t, want, a.Outcome, status)
		require.Equal(t, status, a.StatusCode)
		require.Equal(t, want == router.OutcomeDelivered, a.Error == "", status)
		require.Equal(t, want == router.OutcomeStatus || want == router.OutcomeGone || want == router.OutcomeRedirect, a.Response == "why not", status)
	}
}

// measuredBody is an answer without end, or with an error, that knows how much of it was read and whether it was closed.
type measuredBody struct {
	fill   string
	read   int
	closed bool
}

func (b *measuredBody) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		n += copy(p[n:], b.fill)
	}
	b.read += n
	return n, nil
}

func (b *measuredBody) Close() error {
	b.closed = true
	return nil
}

func TestAnAnswerWithoutEndIsReadUpToALimitAndClosed(t *testing.T) {
	for _, c := range []struct {
		status int
		length int64
		most   int
	}{
		{200, -1, maxDrained},
		{500, -1, maxDrained},
		{200, maxDrained, maxDrained},
		{200, maxDrained + 1, 0},
		{500, 10 << 20, maxResponse},
		{101, -1, 0},
	} {
		body := &measuredBody{fill: "x"}
		s := fakeSender(t, func(req *http.Request) (*http.Response, error) {
			res := answered(req, c.status, "")
			res.Body, res.ContentLength = body, c.length
			return res, nil
		})
		a := s.Send(t.Context(), requestTo(t, "https://x.example/"))
		require.True(t, body.closed)
		require.LessOrEqual(t, body.read, c.most, "status %d, length %d", c.status, c.length)
		require.LessOrEqual(t, len(a.Response), maxResponse)
		require.Equal(t, c.status == 500, a.Response == strings.Repeat("x", maxResponse))
	}
}

func TestAResponseIsKeptAsValidText(t *testing.T) {
	for body, want := range map[string]string{
		"a\xffb":                        "a\uFFFDb",
		strings.Repeat("ü", 3000):       strings.Repeat("ü", 2048),
		"x" + strings.Repeat("ü", 3000): "x" + strings.Repeat("ü", 2047),
		"tail…":                         "tail…",
	} {
		s := fakeSender(t, func(req *http.Request) (*http.Response, error) { return answered(req, 500, body), nil })
		require.Equal(t, want, s.Send(t.Context(), requestTo(t, "https://x.example/")).Response)
	}
}

func TestARedirectIsNamedWithoutItsSecrets(t *testing.T) {
	s := fakeSender(t, func(req *http.Request) (*http.Response, error) {
		res := answered(req, 301, "")
		res.Header.Set("Location", "//user:hunter2@other.example/x?token=hunter2\u202e")
		return res, nil
	})
	a := s.Send(t.Context(), requestTo(t, "https://x.example/"))
	require.Equal(t, "the endpoint answered 301 Moved Permanently, and redirects are not followed; it points to https://other.example/x", a.Error)
}

func TestAContextThatEndsIsACancelAndNotAFailureOfTheEndpoint(t *testing.T) {
	s := fakeSender(t, func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("shutting down"))
	a := s.Send(ctx, requestTo(t, "https://x.example/"))
	require.Equal(t, router.OutcomeCanceled, a.Outcome)
	require.Contains(t, a.Error, "shutting down")
}

func TestTheTimeoutNamesItself(t *testing.T) {
	s := fakeSender(t, func(req *http.Request) (*http.Response, error) {
		<-req.Context().Done()
		return nil, req.Context().Err()
	})
	a := s.Send(t.Context(), requestTo(t, "https://x.example/", func(s *router.Sink) { s.Timeout = router.Duration(time.Millisecond) }))
	require.Equal(t, router.OutcomeTimeout, a.Outcome)
	require.Equal(t, "no complete answer within 1ms", a.Error)
}

func TestTheTimeoutHasADefault(t *testing.T) {
	s := fakeSender(t, func(req *http.Request) (*http.Response, error) {
		end, ok := req.Context().Deadline()
		require.True(t, ok)
		require.WithinDuration(t, time.Now().Add(15*time.Second), end, 5*time.Second)
		return answered(req, 200, ""), nil
	})
	a := s.Send(t.Context(), requestTo(t, "https://x.example/", func(s *router.Sink) { s.Timeout = 0 }))
	require.Equal(t, router.OutcomeDelivered, a.Outcome)
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for _, c := range []Config{{Version: "1\r\nx"}, {Version: "a b"}, {Version: strings.Repeat("1", 200)}, {Idle: -1}, {IdlePerHost: -1}} {
		_, err := New(c)
		require.Equal(t, router.Invalid, router.ErrorCode(err))
	}
	s, err := New(Config{})
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, []string{"streamlatch/dev"}, s.userAgent)
	a := s.Send(t.Context(), requestTo(t, "http://127.0.0.1:9/", func(s *router.Sink) { s.Secret = NewSecret(rand.Reader) }))
	require.Equal(t, router.OutcomeBlocked, a.Outcome, "the zero Config reaches public addresses only")
}

func TestASecretThatWasReplacedSignsAsWellUntilItsTime(t *testing.T) {
	const other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	for _, c := range []struct {
		until time.Time
		signs bool
	}{{testClock.Add(time.Second), true}, {testClock, false}, {testClock.Add(-time.Hour), false}} {
		var got []sent
		r := requestTo(t, "https://x.example/")
		r.Subscription.Rotated = []router.RotatedSecret{{Secret: other, Until: c.until}}
		require.Equal(t, router.OutcomeDelivered, fakeSender(t, recorder(t, &got)).Send(t.Context(), r).Outcome)
		verify := func(secret string) error {
			return Verifier{Secrets: []Secret{mustSecret(t, secret)}}.Verify(got[0].req.Header, []byte(got[0].body), testClock)
		}
		require.NoError(t, verify(knownSecret))
		require.Equal(t, c.signs, verify(other) == nil, c.until)
	}
}
