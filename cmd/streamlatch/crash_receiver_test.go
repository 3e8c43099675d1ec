package main_test

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/webhook"
)

// receiver is an endpoint of webhooks that verifies and records what arrives. It has a path and a secret for each subscription.
type receiver struct {
	server  *httptest.Server
	latency time.Duration // before it answers

	mu     sync.Mutex
	hooks  map[string]*hook // by the subscription's name
	faults []string
}

// hook is what arrived for one subscription.
type hook struct {
	secret   string
	verifier webhook.Verifier
	arrived  map[string][]string // event id → the webhook-id of each arrival
}

func newReceiver(t testing.TB, latency time.Duration) *receiver {
	t.Helper()
	r := &receiver{latency: latency, hooks: map[string]*hook{}}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

// add makes a place for a subscription and returns its URL and secret.
func (r *receiver) add(t testing.TB, name string) (url, secret string) {
	t.Helper()
	text := webhook.NewSecret(rand.Reader)
	parsed, err := webhook.ParseSecret(text)
	require.NoError(t, err)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hooks[name] = &hook{secret: text, verifier: webhook.Verifier{Secrets: []webhook.Secret{parsed}}, arrived: map[string][]string{}}
	return r.server.URL + "/" + name, text
}

// ServeHTTP answers 204 to a webhook that is as it should be, and notes what is not.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // the replica was killed amid the request: it has not arrived
	}
	timer := time.NewTimer(r.latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-req.Context().Done():
	}
	if err := r.record(req, body); err != nil {
		r.mu.Lock()
		r.faults = append(r.faults, fmt.Sprintf("%s %s: %v: %s", req.Method, req.URL.Path, err, body))
		r.mu.Unlock()
		http.Error(w, "not a webhook", http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) record(req *http.Request, body []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.hooks[req.URL.Path[1:]]
	if !ok {
		return fmt.Errorf("there is no such subscription")
	}
	if err := h.verifier.Verify(req.Header, body, time.Now()); err != nil {
		return err
	}
	id, data, err := eventOf(req, body)
	if err != nil {
		return err
	}
	if data.ID != id {
		return fmt.Errorf("event %q has the data of %q", id, data.ID)
	}
	h.arrived[id] = append(h.arrived[id], req.Header.Get(webhook.HeaderID))
	return nil
}

// payload is the data of every event of a trial.
type payload struct {
	ID      string `json:"id"` // the event's
	Padding string `json:"padding"`
	Group   int    `json:"group"` // the key of triggers
}

// eventOf reads an event of either mode.
func eventOf(req *http.Request, body []byte) (id string, data payload, err error) {
	if id = req.Header.Get("Ce-Id"); id != "" {
		return id, data, json.Unmarshal(body, &data)
	}
	var event struct {
		ID   string  `json:"id"`
		Data payload `json:"data"`
	}
	err = json.Unmarshal(body, &event)
	return event.ID, event.Data, err
}
