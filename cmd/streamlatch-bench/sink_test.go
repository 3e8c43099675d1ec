package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

func startTestSink(t *testing.T) *sinkProcess {
	server := httptest.NewServer(&newSink().handler)
	t.Cleanup(server.Close)
	return &sinkProcess{url: server.URL}
}

func TestASinkCountsEachEventOnceAndKnowsWhenAllAreThere(t *testing.T) {
	s := startTestSink(t)
	require.NoError(t, s.expect(t.Context(), "abcdefgh", 3))
	send := func(run string, seq int, sent int64) {
		t.Helper()
		require.NoError(t, post(t.Context(), http.DefaultClient, s.hookURL(), string(appendEvent(nil, run, seq, sent))))
	}
	now := time.Now().UnixNano()
	send("abcdefgh", 0, now)
	send("abcdefgh", 1, now)
	send("abcdefgh", 1, now)
	send("otherrun", 2, now)
	send("abcdefgh", 3, now)
	var r sinkReport
	require.NoError(t, call(t.Context(), http.MethodGet, s.url+"/report", nil, &r))
	require.EqualValues(t, 2, r.Distinct)
	require.EqualValues(t, 1, r.Repeats)
	require.Zero(t, r.P99, "not complete")

	send("abcdefgh", 2, now-int64(time.Hour))
	r, err := s.complete(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 3, r.Distinct)
	require.Positive(t, r.P50)
	require.Less(t, r.P50, time.Hour)
	require.GreaterOrEqual(t, r.P99, time.Hour)
	require.GreaterOrEqual(t, r.Last, now)
}

func TestAClosedGateHoldsDeliveriesUntilItOpens(t *testing.T) {
	s := startTestSink(t)
	require.NoError(t, s.expect(t.Context(), "abcdefgh", 1))
	require.NoError(t, s.setGate(t.Context(), false))
	sent := make(chan error, 1)
	go func() {
		sent <- post(context.Background(), http.DefaultClient, s.hookURL(), string(appendEvent(nil, "abcdefgh", 0, 0)))
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := s.complete(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)

	require.NoError(t, s.setGate(t.Context(), true))
	require.NoError(t, <-sent)
	_, err = s.complete(t.Context())
	require.NoError(t, err)
}

func TestTheSinkRefusesOrdersThatItDoesNotUnderstand(t *testing.T) {
	s := startTestSink(t)
	for _, path := range []string{"/expect?run=a&events=0", "/expect?events=x", "/gate?open=ajar"} {
		require.ErrorContains(t, call(t.Context(), http.MethodPost, s.url+path, nil, nil), "status 400")
	}
}

func TestConcurrentRequestsAreAllCommittedAndShareAPipeline(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		client := redistest.Client(t, addr)
		c := newCommitter(client, redistest.Namespace(t))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.run(ctx); close(done) }()
		errs := make(chan error, 50)
		for range cap(errs) {
			go func() { errs <- c.add(ctx, []byte("a"), []byte("b")) }()
		}
		for range cap(errs) {
			require.NoError(t, <-errs)
		}
		require.EqualValues(t, 100, client.XLen(t.Context(), c.stream).Val())
		cancel()
		<-done
	})
}

func TestACommitThatFailsIsToldToItsRequest(t *testing.T) {
	client := redistest.Client(t, redistest.Mini(t).Addr())
	c := newCommitter(client, "log")
	require.NoError(t, client.Set(t.Context(), "log", "not a stream", 0).Err())
	go c.run(t.Context())
	require.ErrorContains(t, c.add(t.Context(), []byte("a")), "WRONGTYPE")
}

func TestAnArrayIsSplitIntoItsElements(t *testing.T) {
	got, err := elements([]byte(` [ {"a":[1,2]} , "x]" , 3.50 ] `))
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte(`{"a":[1,2]}`), []byte(`"x]"`), []byte(`3.50`)}, got)
	got, err = elements([]byte(`[]`))
	require.NoError(t, err)
	require.Empty(t, got)
	_, err = elements([]byte(`[1,`))
	require.Error(t, err)
}
