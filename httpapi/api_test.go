package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// api is a server of the API on a fake store. Every answer to do is held against openapi.yaml.
type api struct {
	t      testing.TB
	store  *fakeStore
	server *httpapi.Server
	url    string
	log    *lockedBuffer
}

// newAPI starts a server; with changes its configuration before that.
func newAPI(t testing.TB, with ...func(*httpapi.Config)) *api {
	t.Helper()
	return newAPIOn(t, newFakeStore(2), with...)
}

func newAPIOn(t testing.TB, store *fakeStore, with ...func(*httpapi.Config)) *api {
	t.Helper()
	a := &api{t: t, store: store, log: &lockedBuffer{}}
	feed := router.NewFeed(store, router.FeedConfig{Wait: 20 * time.Millisecond})
	cfg := httpapi.Config{
		Events: store, Log: store, Feed: feed, Subscriptions: store, Triggers: &store.triggers, Partials: &store.triggers, Sources: &store.sources,
		Inlets: &store.sources, DeadLetters: store, Status: store, Pauser: store, Tester: store, Puller: &store.puller, Deliveries: &store.deliveries, Ready: store.Ready,
		NewSecret: func() string { return freshSecret }, Version: "1.2.3", Logger: slog.New(slog.NewTextHandler(a.log, nil)),
		Rules: router.Rules{CheckSource: source.Check},
	}
	for _, change := range with {
		change(&cfg)
	}
	server, err := httpapi.New(cfg)
	require.NoError(t, err)
	a.server = server

	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- feed.Run(ctx) }()
	h := httptest.NewUnstartedServer(nil)
	h.Config = server.HTTPServer("")
	h.Start()
	a.url = h.URL
	t.Cleanup(func() {
		server.EndStreams()
		h.Close()
		stop()
		require.NoError(t, <-ran)
	})
	return a
}

// in is the same server for a subtest.
func (a *api) in(t testing.TB) *api {
	b := *a
	b.t = t
	return &b
}

const freshSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	body   string
	parsed any // of body, once it was looked at
}

// do sends a request. Headers are "name: value".
func (a *api) do(method, path, body string, headers ...string) *answer {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, strings.NewReader(body))
	require.NoError(a.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(a.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(a.t, err)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	checkAgainstDocument(a.t, req, res, text)
	return &answer{t: a.t, status: res.StatusCode, header: res.Header, body: string(text)}
}

// want checks the status and, where it is an error, its shape.
func (r *answer) want(status int) *answer {
	r.t.Helper()
	require.Equal(r.t, status, r.status, r.body)
	return r
}

// problem checks that the answer is a problem of this status and word.
func (r *answer) problem(status int, word string) *answer {
	r.t.Helper()
	r.want(status)
	require.Equal(r.t, "application/problem+json", r.header.Get("Content-Type"))
	require.Equal(r.t, "/problems/"+word, r.get("type"), r.body)
	require.EqualValues(r.t, status, r.get("status"))
	return r
}

// get reads a member of the body: get("errors", 0, "location").
func (r *answer) get(path ...any) any {
	r.t.Helper()
	if r.parsed == nil {
		require.NoError(r.t, json.Unmarshal([]byte(r.body), &r.parsed), r.body)
	}
	v := r.parsed
	for _, p := range path {
		switch p := p.(type) {
		case string:
			require.IsType(r.t, map[string]any{}, v, r.body)
			v = v.(map[string]any)[p]
		case int:
			require.IsType(r.t, []any{}, v, r.body)
			require.Greater(r.t, len(v.([]any)), p, r.body)
			v = v.([]any)[p]
		}
	}
	return v
}

// lockedBuffer is a log that a server writes while a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
