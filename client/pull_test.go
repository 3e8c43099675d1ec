package client_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
)

func TestAWorkerPullsAndSaysWhatBecameOfIt(t *testing.T) {
	c, s, _ := start(t,
		ok(`{"items":[{"receipt":"rcp_1","delivery":"dlv_1","attempt":2,"lease_until":"2026-11-20T12:00:30.000Z","event":{"id":"a"}}]}`),
		ok(`{"results":[{"receipt":"rcp_1","result":"ok","lease_until":"2026-11-20T12:01:00.000Z"}]}`),
		ok(`{"results":[{"receipt":"rcp_1","result":"ok"}]}`),
		ok(`{"results":[{"receipt":"rcp_1","result":"expired"}]}`),
	)
	pulled, err := c.Pull(t.Context(), "jobs", client.PullOptions{Max: 3, Wait: 20 * time.Second, Lease: time.Minute, Worker: "w1"})
	require.NoError(t, err)
	until := time.Date(2026, 11, 20, 12, 0, 30, 0, time.UTC)
	require.Equal(t, []client.Pulled{{Receipt: "rcp_1", Delivery: "dlv_1", Attempt: 2, LeaseUntil: until, Event: []byte(`{"id":"a"}`)}}, pulled)
	require.Equal(t, "/v1/subscriptions/jobs/pull", s.at(0).url.Path)
	require.JSONEq(t, `{"max":3,"wait":"20s","lease":"1m0s","worker":"w1"}`, s.at(0).body)

	progress, note := 50, "half"
	results, err := c.Extend(t.Context(), "jobs", client.ExtendOptions{Lease: time.Minute, Progress: &progress, Note: &note}, "rcp_1")
	require.NoError(t, err)
	require.Equal(t, until.Add(30*time.Second), results[0].LeaseUntil)
	require.Equal(t, "/v1/subscriptions/jobs/extend", s.at(1).url.Path)
	require.JSONEq(t, `{"receipts":["rcp_1"],"lease":"1m0s","progress":50,"note":"half"}`, s.at(1).body)

	results, err = c.Nack(t.Context(), "jobs", time.Second, "rcp_1")
	require.NoError(t, err)
	require.True(t, results[0].OK())
	require.Equal(t, "/v1/subscriptions/jobs/nack", s.at(2).url.Path)
	require.JSONEq(t, `{"receipts":["rcp_1"],"delay":"1s"}`, s.at(2).body)

	results, err = c.Ack(t.Context(), "jobs", "rcp_1")
	require.NoError(t, err)
	require.False(t, results[0].OK())
	require.Equal(t, "/v1/subscriptions/jobs/ack", s.at(3).url.Path)
	require.JSONEq(t, `{"receipts":["rcp_1"]}`, s.at(3).body)
}

func TestAPullIsGivenTheTimeThatItWaitsOnTopOfThatOfACall(t *testing.T) {
	slow := func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(150 * time.Millisecond):
		case <-r.Context().Done():
		}
		ok(`{"items":[]}`)(w, r)
	}
	c, _, _ := startWith(t, client.Config{Timeout: 100 * time.Millisecond, Retry: client.Retry{For: -1}}, slow, slow)
	pulled, err := c.Pull(t.Context(), "jobs", client.PullOptions{Wait: 10 * time.Second})
	require.NoError(t, err)
	require.Empty(t, pulled)
	_, err = c.Pull(t.Context(), "jobs", client.PullOptions{})
	require.ErrorContains(t, err, "no answer within 100ms")
}

func TestAnErrorIsNotMistakenForNothingToPull(t *testing.T) {
	down := problem(503, `{"type":"/problems/unavailable","title":"Not available at the moment","status":503,"detail":"Redis can't be reached","retryable":true}`)
	c, s, _ := startWith(t, client.Config{Retry: client.Retry{For: -1}}, down)
	pulled, err := c.Pull(t.Context(), "jobs", client.PullOptions{})
	require.ErrorContains(t, err, "Redis can't be reached")
	require.Nil(t, pulled)
	require.Equal(t, 1, s.count())
}
