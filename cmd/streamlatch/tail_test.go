package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// store appends events with these ids.
func store(t testing.TB, m *memory, ids ...string) {
	t.Helper()
	for _, id := range ids {
		e, err := router.NewEvent(router.EventFields{ID: id, Source: "/", Type: "t"})
		require.NoError(t, err)
		for _, a := range m.Append(t.Context(), []router.Event{e}) {
			require.NoError(t, a.Err)
		}
	}
}

// tailed are the ids in tail's output.
func tailed(stdout string) (ids []string) {
	for line := range strings.Lines(stdout) {
		ids = append(ids, strings.Fields(line)[4])
	}
	return ids
}

func TestTailPrintsEventsAsTheyCome(t *testing.T) {
	m := &memory{}
	url := startAPI(t, m, nil)
	store(t, m, "before")
	p, stdout, stderr := testProcess(serverVariable + "=" + url)
	p.pause = pause
	opened := make(chan struct{})
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forward(t, url, w, r, func() { close(opened) })
	}))
	defer proxy.Close()
	p.environ = []string{serverVariable + "=" + proxy.URL}
	ended := make(chan int, 1)
	go func() { ended <- p.run(context.Background(), []string{"tail", "-n", "2"}) }()
	<-opened
	store(t, m, "1", "2", "3")
	require.Equal(t, exitDone, <-ended, stderr.String())
	require.Equal(t, []string{"1", "2"}, tailed(stdout.String()))
}

// forward passes a request on to the server and its answer back, and calls begun when the first bytes of that have been passed on.
func forward(t testing.TB, url string, w http.ResponseWriter, r *http.Request, begun func()) {
	req, err := http.NewRequestWithContext(r.Context(), r.Method, url+r.URL.RequestURI(), r.Body)
	if err != nil {
		t.Errorf("forward: %v", err)
		return
	}
	req.Header = r.Header
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer func() { _ = res.Body.Close() }()
	w.Header().Set("Content-Type", res.Header.Get("Content-Type"))
	w.WriteHeader(res.StatusCode)
	var once sync.Once
	b := make([]byte, 1<<16)
	for {
		n, err := res.Body.Read(b)
		if _, failed := w.Write(b[:n]); failed != nil || err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		once.Do(begun)
	}
}

// What is accepted while the past is read comes from the past, from the stream, or from both, and is printed once.
func TestTailSinceHasNeitherGapNorRepeat(t *testing.T) {
	m := &memory{}
	url := startAPI(t, m, nil)
	store(t, m, "1", "2", "3")
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/events" {
			store(t, m, "4") // after the stream was opened, before the past is read
		}
		forward(t, url, w, r, func() {})
		if r.URL.Path == "/v1/events" {
			store(t, m, "5")
		}
	}))
	defer proxy.Close()
	stdout, stderr, code := runCommand(t, []string{serverVariable + "=" + proxy.URL}, "tail", "--since", "1h", "-n", "5")
	require.Equal(t, exitDone, code, stderr)
	require.Equal(t, []string{"1", "2", "3", "4", "5"}, tailed(stdout))
}

func TestTailGoesOnAfterALostConnection(t *testing.T) {
	m := &memory{}
	url := startAPI(t, m, nil)
	store(t, m, "1", "2")
	requests := 0
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch requests++; requests {
		case 1: // open, and lost at once
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "id: "+cursorOf(t, url)+"\n\n")
		case 2, 3:
			w.WriteHeader(http.StatusBadGateway)
		default:
			forward(t, url, w, r, func() { store(t, m, "3") })
		}
	}))
	defer proxy.Close()
	stdout, stderr, code := runCommand(t, []string{serverVariable + "=" + proxy.URL}, "tail", "-n", "1")
	require.Equal(t, exitDone, code, stderr)
	require.Equal(t, []string{"3"}, tailed(stdout))
	require.Equal(t, 1, strings.Count(stderr, "opening the stream anew"), "one outage is told once:\n%s", stderr)
}

// cursorOf is the cursor that the stream begins with.
func cursorOf(t testing.TB, url string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/events/stream", http.NoBody)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { require.NoError(t, res.Body.Close()) }()
	b := make([]byte, 1<<10)
	n, err := res.Body.Read(b)
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(b[:n]), "id: ")
	cursor, _, _ := strings.Cut(rest, "\n")
	return cursor
}

func TestTailEndsWhereThePastCannotBeRead(t *testing.T) {
	url := startAPI(t, &memory{}, nil)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/events" {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		forward(t, url, w, r, func() {})
	}))
	defer proxy.Close()
	_, stderr, code := runCommand(t, []string{serverVariable + "=" + proxy.URL}, "tail", "--since", "1h")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "500 Internal Server Error")
}
