package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/internal/hostile"
	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/webhook"
)

// badReceiver is an endpoint that misbehaves and keeps what came of each request.
type badReceiver struct {
	url string

	mu       sync.Mutex
	arrivals map[string][]bool // webhook-id → whether each request with it was answered with success, once it was
}

// startBadReceiver serves an endpoint of a kind; "" behaves.
func startBadReceiver(t testing.TB, kind hostile.Kind) *badReceiver {
	t.Helper()
	r := &badReceiver{arrivals: map[string][]bool{}}
	answer := func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, scheme, end := plain, "http", func() {}
	if kind != "" {
		bad, err := hostile.New(kind, hostile.Config{Pace: 10 * time.Millisecond})
		require.NoError(t, err)
		l, err = bad.Listener(plain)
		require.NoError(t, err)
		answer, scheme, end = bad.Answer, bad.Scheme(), bad.Close
	}
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		id := req.Header.Get(webhook.HeaderID)
		r.mu.Lock()
		i := len(r.arrivals[id])
		r.arrivals[id] = append(r.arrivals[id], false)
		r.mu.Unlock()
		success := answer(w, req)
		r.mu.Lock()
		r.arrivals[id][i] = success
		r.mu.Unlock()
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() {
		end()
		require.NoError(t, server.Close())
	})
	r.url = scheme + "://" + plain.Addr().String() + "/"
	return r
}

// subscriptionState is what this test wants to know of a subscription.
type subscriptionState struct {
	ID     string `json:"id"`
	Status struct {
		Backlog, Delivered, Dead int
	} `json:"status"`
}

// unanswered are the kinds that have their senders wait for as long as those do. What others answer must not come too late because this machine is busy.
var unanswered = []hostile.Kind{hostile.Slow, hostile.Hang, hostile.Late}

// Whatever an endpoint does, each of its deliveries ends, delivered or dead, and what it took in time it is not sent again.
func TestEveryDeliveryToAHostileReceiverEndsDeliveredOrDeadAndIsNotRepeatedAfterASuccess(t *testing.T) {
	const events = 12
	server := redistest.Start(t)
	url, _ := startServe(t, "--redis", server.URL(), "--allow-targets", "127.0.0.0/8")
	api, err := client.New(client.Config{Server: url})
	require.NoError(t, err)
	defer api.Close()
	receivers := map[string]*badReceiver{}
	for _, kind := range append(hostile.Kinds(), "") {
		name, timeout := "to-"+string(kind)+"x", "15s"
		if slices.Contains(unanswered, kind) {
			timeout = "250ms"
		}
		receivers[name] = startBadReceiver(t, kind)
		_, err := api.Create(t.Context(), client.Subscription, []byte(fmt.Sprintf(`{"name": %q, "sink": {"kind": "webhook", "url": %q, "timeout": %q},
			"delivery": {"retry": {"schedule": ["10ms", "20ms", "10ms"], "jitter": 0}, "breaker": {"failures": 0}}}`, name, receivers[name].url, timeout)))
		require.NoError(t, err)
	}
	var batch []string
	for i := range events {
		batch = append(batch, fmt.Sprintf(`{"specversion":"1.0","type":"order.paid","source":"/shop","id":"%d"}`, i))
	}
	res, err := http.Post(url+"/v1/events", "application/cloudevents-batch+json", strings.NewReader("["+strings.Join(batch, ",")+"]"))
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusAccepted, res.StatusCode)

	state := func(name string) (s subscriptionState) {
		d, err := api.Definition(t.Context(), client.Subscription, name)
		require.NoError(t, err)
		require.NoError(t, d.Decode(&s))
		return s
	}
	for name, r := range receivers {
		require.Eventually(t, func() bool {
			s := state(name).Status
			return s.Backlog == 0 && s.Delivered+s.Dead == events
		}, time.Minute, 20*time.Millisecond, "%s: %+v", name, state(name))
		kind := hostile.Kind(strings.TrimSuffix(strings.TrimPrefix(name, "to-"), "x"))
		checkHostile(t, kind, r, state(name), events)
	}
}

// checkHostile holds what is recorded of a subscription against what its receiver did.
func checkHostile(t *testing.T, kind hostile.Kind, r *badReceiver, s subscriptionState, events int) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	always := []hostile.Kind{hostile.Endless, ""}
	mixed := []hostile.Kind{hostile.Flapping, hostile.RateLimited}
	switch {
	case slices.Contains(always, kind):
		require.Equal(t, events, s.Status.Delivered, kind)
	case !slices.Contains(mixed, kind):
		require.Equal(t, events, s.Status.Dead, kind)
	}
	succeeded := 0
	for id, answers := range r.arrivals {
		first := slices.Index(answers, true)
		if first < 0 {
			continue
		}
		succeeded++
		if kind != hostile.Late {
			require.Len(t, answers, first+1, "%s: %s was sent again after it had been taken", kind, id)
		}
	}
	if kind != hostile.Late {
		require.Equal(t, s.Status.Delivered, succeeded, "%s: as many were taken as are recorded", kind)
	}
}
