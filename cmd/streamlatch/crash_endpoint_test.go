package main_test

import (
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/hostile"
	"github.com/streamlatch/streamlatch/webhook"
)

// endpoint is where the webhooks of one subscription go. It verifies them, and keeps when each arrived and what came of it.
type endpoint struct {
	url      string
	secret   string
	verifier webhook.Verifier
	answer   func(w http.ResponseWriter, r *http.Request) (success bool)

	mu       sync.Mutex
	arrivals map[string][]*arrival // by webhook-id, in the order in which they came
	faults   []string
}

// arrival is a request that came in whole.
type arrival struct {
	at      time.Time
	sent    time.Time // what the webhook says, in whole seconds: when the attempt began
	replica string    // that sent it
	event   string    // its id
	taken   bool      // it was answered with success, whether or not somebody still waited for that
}

func newEndpoint(t testing.TB) *endpoint {
	t.Helper()
	e := &endpoint{secret: webhook.NewSecret(rand.Reader), arrivals: map[string][]*arrival{}}
	secret, err := webhook.ParseSecret(e.secret)
	require.NoError(t, err)
	e.verifier = webhook.Verifier{Secrets: []webhook.Secret{secret}}
	return e
}

// ServeHTTP notes what is not as it should be, and answers the rest.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the replica was killed amid the request: it has not arrived
	}
	a, err := e.arrive(r, body, at)
	if err != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.faults = append(e.faults, fmt.Sprintf("%s %s: %v: %s", r.Method, r.URL.Path, err, body))
		return
	}
	taken := e.answer(w, r)
	e.mu.Lock()
	defer e.mu.Unlock()
	a.taken = taken
}

func (e *endpoint) arrive(r *http.Request, body []byte, at time.Time) (*arrival, error) {
	if err := e.verifier.Verify(r.Header, body, at); err != nil {
		return nil, err
	}
	id, data, err := eventOf(r, body)
	if err != nil {
		return nil, err
	}
	if data.ID != id {
		return nil, fmt.Errorf("event %q has the data of %q", id, data.ID)
	}
	sent, err := strconv.ParseInt(r.Header.Get(webhook.HeaderTimestamp), 10, 64)
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	a := &arrival{at: at, sent: time.Unix(sent, 0), replica: strings.TrimPrefix(r.UserAgent(), "streamlatch/"), event: id}
	delivery := r.Header.Get(webhook.HeaderID)
	e.arrivals[delivery] = append(e.arrivals[delivery], a)
	return a, nil
}

// behave has an endpoint answer 204 after a while.
func (e *endpoint) behave(latency time.Duration) {
	e.answer = func(w http.ResponseWriter, r *http.Request) bool {
		pause(r.Context(), latency)
		w.WriteHeader(http.StatusNoContent)
		return true
	}
}

// misbehave has it answer as a kind of hostile endpoints does, on a server of its own.
func (e *endpoint) misbehave(t testing.TB, kind hostile.Kind) {
	t.Helper()
	bad, err := hostile.New(kind, hostile.Config{Pace: 20 * time.Millisecond})
	require.NoError(t, err)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := bad.Listener(plain)
	require.NoError(t, err)
	e.answer = bad.Answer
	serve(t, l, e, bad.Close)
	e.url = bad.Scheme() + "://" + plain.Addr().String() + "/"
}

// serve serves until the test ends. before is called first then.
func serve(t testing.TB, l net.Listener, h http.Handler, before func()) {
	server := &http.Server{Handler: h, ReadHeaderTimeout: patience, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		before()
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
	})
}

// wellBehaved is one receiver for many endpoints, each with a path of its own.
type wellBehaved struct {
	url string
	mux *http.ServeMux
}

func newWellBehaved(t testing.TB) *wellBehaved {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := &wellBehaved{"http://" + l.Addr().String() + "/", http.NewServeMux()}
	serve(t, l, b.mux, func() {})
	return b
}

// add gives an endpoint a path.
func (b *wellBehaved) add(e *endpoint, name string, latency time.Duration) {
	e.behave(latency)
	e.url = b.url + name
	b.mux.Handle("POST /"+name, e)
}
