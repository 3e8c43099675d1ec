package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
)

// script answers requests one after the other; a request beyond its end fails the test.
type script struct {
	t     testing.TB
	mu    sync.Mutex
	steps []http.HandlerFunc
	seen  []seen
}

// seen is a request that came in.
type seen struct {
	method string
	url    *url.URL
	header http.Header
	body   string
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("read the request: %v", err)
	}
	s.mu.Lock()
	n := len(s.seen)
	s.seen = append(s.seen, seen{r.Method, r.URL, r.Header, string(body)})
	s.mu.Unlock()
	if n >= len(s.steps) {
		s.t.Errorf("unexpected request %d: %s %s", n+1, r.Method, r.URL)
		return
	}
	s.steps[n](w, r)
}

// at is the request that came in as number n, counted from 0.
func (s *script) at(n int) seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[n]
}

func (s *script) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// waits notes what was waited, without waiting.
type waits struct {
	mu   sync.Mutex
	list []time.Duration
}

func (w *waits) sleep(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.list = append(w.list, d)
	return context.Cause(ctx)
}

func start(t testing.TB, steps ...http.HandlerFunc) (*client.Client, *script, *waits) {
	t.Helper()
	return startWith(t, client.Config{APIKey: "slk_test"}, steps...)
}

func startWith(t testing.TB, cfg client.Config, steps ...http.HandlerFunc) (*client.Client, *script, *waits) {
	t.Helper()
	s, w := &script{t: t, steps: steps}, &waits{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	cfg.Server, cfg.Sleep = server.URL, w.sleep
	c, err := client.New(cfg)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	t.Cleanup(func() { require.Equal(t, len(steps), s.count(), "every step of the script was asked for") })
	return c, s, w
}

// reply answers with a body; headers are names and values.
func reply(status int, contentType, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func ok(body string, headers ...string) http.HandlerFunc {
	return reply(http.StatusOK, "application/json", body, headers...)
}

func problem(status int, body string, headers ...string) http.HandlerFunc {
	return reply(status, "application/problem+json", body, headers...)
}

// hangUp ends the connection without an answer.
func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func TestNewRefusesWhatCannotBeCalled(t *testing.T) {
	for _, server := range []string{"localhost:8080", "ftp://x", "http://", "http://user:pw@host", "http://host?x=1", "http://host#x", "://"} {
		_, err := client.New(client.Config{Server: server})
		require.ErrorContains(t, err, "is not a URL such as http://127.0.0.1:8080", server)
	}
	_, err := client.New(client.Config{APIKey: "slk_a\nb"})
	require.EqualError(t, err, "the API key holds characters that no key has")
	c, err := client.New(client.Config{})
	require.NoError(t, err)
	require.Equal(t, client.DefaultServer, c.Server())
}

func TestEachRequestCarriesTheKeyAndItsSender(t *testing.T) {
	c, s, _ := start(t, ok(`{"lag": 0}`))
	status, err := c.Status(t.Context())
	require.NoError(t, err)
	require.JSONEq(t, `{"lag": 0}`, string(status))
	require.Equal(t, "Bearer slk_test", s.at(0).header.Get("Authorization"))
	require.Equal(t, "streamlatch-client", s.at(0).header.Get("User-Agent"))
}

func TestAPathBeforeTheAPIIsKept(t *testing.T) {
	s := &script{t: t, steps: []http.HandlerFunc{ok(`{}`)}}
	server := httptest.NewServer(s)
	defer server.Close()
	c, err := client.New(client.Config{Server: server.URL + "/events/"})
	require.NoError(t, err)
	_, err = c.Status(t.Context())
	require.NoError(t, err)
	require.Equal(t, "/events/v1/status", s.at(0).url.Path)
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	c, _, _ := start(t, reply(http.StatusTemporaryRedirect, "text/plain", "", "Location", "http://elsewhere.example/"))
	_, err := c.Status(t.Context())
	e, is := errors.AsType[*client.Error](err)
	require.True(t, is)
	require.Equal(t, http.StatusTemporaryRedirect, e.Status)
}

func TestAProblemIsATypedError(t *testing.T) {
	c, _, _ := start(t, problem(422, `{"type":"/problems/invalid","title":"Understood and refused","status":422,"detail":"the parameters are not valid","retryable":false,
		"errors":[{"location":"query.limit","message":"must be a number"}]}`))
	_, err := c.Status(t.Context())
	e, is := errors.AsType[*client.Error](err)
	require.True(t, is)
	require.Equal(t, "invalid", e.Word())
	require.Equal(t, []client.Problem{{Location: "query.limit", Message: "must be a number"}}, e.Problems)
	require.EqualError(t, err, "422 Understood and refused: the parameters are not valid; query.limit must be a number")
}

func TestWhatIsNoProblemIsAStatus(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"a page":        reply(404, "text/html", "<h1>Not Found</h1>"),
		"a broken one":  reply(404, "application/problem+json", "{"),
		"another shape": reply(404, "application/problem+json", `[1]`),
	} {
		t.Run(name, func(t *testing.T) {
			c, _, _ := start(t, answer)
			_, err := c.Status(t.Context())
			require.EqualError(t, err, "404 Not Found")
		})
	}
}

func TestAReadIsRepeatedUntilThePatienceIsOver(t *testing.T) {
	busy := problem(503, `{"type":"/problems/unavailable","retryable":true}`, "Retry-After", "2")
	var told []time.Duration
	onWait := func(err error, d time.Duration) {
		require.ErrorContains(t, err, "503")
		told = append(told, d)
	}
	c, _, w := startWith(t, client.Config{Retry: client.Retry{For: 5 * time.Second, OnWait: onWait}}, busy, busy, busy)
	_, err := c.Status(t.Context())
	require.ErrorContains(t, err, "503")
	require.Equal(t, w.list, told)
	require.Equal(t, []time.Duration{2 * time.Second, 2 * time.Second}, w.list)
}

func TestWaitsDoubleAndAreSpread(t *testing.T) {
	busy := reply(502, "text/plain", "")
	c, _, w := startWith(t, client.Config{Retry: client.Retry{First: time.Second, Most: 3 * time.Second}}, busy, busy, busy, busy, ok(`{}`))
	_, err := c.Status(t.Context())
	require.NoError(t, err)
	require.Len(t, w.list, 4)
	for i, most := range []time.Duration{1, 2, 3, 3} {
		require.GreaterOrEqual(t, w.list[i], most*time.Second/2)
		require.LessOrEqual(t, w.list[i], most*time.Second)
	}
}

func TestAnErrorForGoodIsNotRepeated(t *testing.T) {
	c, _, w := start(t, problem(500, `{"type":"/problems/internal","retryable":false}`))
	_, err := c.Status(t.Context())
	require.ErrorContains(t, err, "500")
	require.Empty(t, w.list)
}

func TestALostConnectionNamesTheServer(t *testing.T) {
	c, s, _ := startWith(t, client.Config{Retry: client.Retry{For: -1}}, hangUp)
	_, err := c.Status(t.Context())
	lost, is := errors.AsType[*client.ConnectionError](err)
	require.True(t, is)
	require.Equal(t, c.Server(), lost.Server)
	require.Equal(t, 1, s.count())
}

func TestAnEndedContextShowsThroughTheError(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by hand")
	c, _, _ := start(t, func(http.ResponseWriter, *http.Request) { cancel(stopped); panic(http.ErrAbortHandler) })
	_, err := c.Status(ctx)
	require.ErrorIs(t, err, stopped)
}

func TestHealthAsksOnce(t *testing.T) {
	c, s, w := start(t, ok(`{"status":"ok"}`), problem(503, `{"title":"Not available","detail":"Redis is unreachable","retryable":true}`))
	require.NoError(t, c.Healthy(t.Context()))
	require.EqualError(t, c.Ready(t.Context()), "503 Not available: Redis is unreachable")
	require.Equal(t, "/healthz", s.at(0).url.Path)
	require.Equal(t, "/readyz", s.at(1).url.Path)
	require.Empty(t, w.list)
}

func TestAListIsReadPageAfterPage(t *testing.T) {
	c, s, _ := start(t,
		ok(`{"items":[{"position":"0:2-0"}],"next":"p2"}`),
		ok(`{"items":[],"next":"p3"}`), // a filtered page may be empty
		ok(`{"items":[{"position":"0:1-0"}]}`))
	var got []string
	for r, err := range c.Events(t.Context(), client.EventQuery{Types: []string{"order.*", "a"}, From: time.UnixMilli(1732128000123)}) {
		require.NoError(t, err)
		got = append(got, r.Position)
	}
	require.Equal(t, []string{"0:2-0", "0:1-0"}, got)
	require.Equal(t, url.Values{"limit": {"500"}, "types": {"order.*,a"}, "from": {"2024-11-20T18:40:00.123Z"}}, s.at(0).url.Query())
	require.Equal(t, "p3", s.at(2).url.Query().Get("cursor"))
}

func TestAListEndsWithItsError(t *testing.T) {
	c, _, _ := start(t, ok(`{"items":[{"position":"0:2-0"}],"next":"p2"}`), problem(422, `{"title":"no"}`))
	var got []error
	for _, err := range c.Events(t.Context(), client.EventQuery{}) {
		got = append(got, err)
	}
	require.Len(t, got, 2)
	require.NoError(t, got[0])
	require.EqualError(t, got[1], "422 no")
}

func TestOneEvent(t *testing.T) {
	c, s, _ := start(t, ok(`{"position":"0:1-0","accepted_at":"2024-11-20T18:40:00.123Z","event":{"id":"a"}}`))
	r, err := c.Event(t.Context(), "0:1-0")
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"a"}`, string(r.Event))
	require.Equal(t, time.UnixMilli(1732128000123).UTC(), r.AcceptedAt)
	require.Equal(t, "/v1/events/0:1-0", s.at(0).url.Path)
}
