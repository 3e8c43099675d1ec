package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/webhook"
)

// full is a Redis whose maxmemory is reached, so that Redis itself refuses what needs memory.
type full struct {
	client *redis.Client
}

func (f full) used(t *testing.T) int {
	info := f.client.InfoMap(t.Context(), "memory").Val()["Memory"]
	used, err := strconv.Atoi(info["used_memory"])
	require.NoError(t, err)
	return used
}

func (f full) limit(t *testing.T, bytes int) {
	require.NoError(t, f.client.Do(t.Context(), "CONFIG", "SET", "maxmemory", bytes).Err())
}

// fill lowers the limit to three quarters of what is used, so that buffers, which come and go, make no room.
func (f full) fill(t *testing.T) {
	f.limit(t, f.used(t)/4*3)
	f.check(t)
}

func (f full) check(t *testing.T) {
	require.ErrorContains(t, f.client.Set(t.Context(), "more", "x", 0).Err(), "OOM ")
}

// switched is an endpoint that is down or up, and keeps what it took.
type switched struct {
	url string
	up  atomic.Bool

	mu    sync.Mutex
	taken map[string]int    // webhook-id → successes
	bytes map[string]string // by the event's id
}

func startSwitched(t *testing.T) *switched {
	s := &switched{taken: map[string]int{}, bytes: map[string]string{}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || !s.up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken[r.Header.Get(webhook.HeaderID)]++
		s.bytes[r.Header.Get("ce-id")] = string(body)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *switched) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken)
}

// answered is what a request was answered.
type answered struct {
	code   int
	header http.Header
	body   string
}

func (a answered) want(t *testing.T, code int) answered {
	t.Helper()
	require.Equal(t, code, a.code, a.body)
	return a
}

func request(t *testing.T, method, url, contentType, body string) answered {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", contentType)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return answered{res.StatusCode, res.Header, string(text)}
}

func postEvent(t *testing.T, url, typ, subject, data string) answered {
	t.Helper()
	return request(t, "POST", url+"/v1/events", "application/cloudevents+json",
		fmt.Sprintf(`{"specversion":"1.0","type":%[1]q,"source":"/full","subject":%[2]q,"id":"%[1]s %[2]s","data":%[3]s}`, typ, subject, data))
}

// queueState is what a test wants to know of a subscription.
type queueState struct {
	Backlog, Delivered, Dead int
}

// jobData is a large payload.
func jobData(i int) string { return fmt.Sprintf(`{"n":%d,"pad":"%s"}`, i, strings.Repeat("p", 30_000)) }

// While Redis refuses every write that needs memory, publishing answers 503, and all that was accepted before is routed, joined, sent and pulled; a replica can even
// start. What frees memory can be done. When the backlog is gone, publishing works again, under the same limit.
func TestWhatWasAcceptedDrainsThoughMaxmemoryIsReached(t *testing.T) {
	const jobs, pairs = 200, 40
	server, other := redistest.Start(t, redistest.MaxMemory(1<<30, "noeviction")), redistest.Start(t)
	redisFull := full{redistest.Client(t, server.Addr())}
	endpoint := startSwitched(t)
	flags := []string{"--redis", server.URL(), "--allow-targets", "127.0.0.0/8", "--log-max-bytes", "1MiB"}
	url, stop := startServe(t, flags...)
	api, err := client.New(client.Config{Server: url})
	require.NoError(t, err)
	retries := make([]string, 50)
	for i := range retries {
		retries[i] = `"1s"`
	}
	delivery := `"delivery": {"retry": {"schedule": [` + strings.Join(retries, ",") + `], "jitter": 0}, "breaker": {"failures": 0}}`
	for kind, documents := range map[client.Kind][]string{
		client.Subscription: {
			`{"name": "hook", "filter": {"types": ["job.*", "trigger.pair"]}, "sink": {"kind": "webhook", "mode": "binary", "url": "` + endpoint.url + `"}, ` + delivery + `}`,
			`{"name": "work", "filter": {"types": ["job.*"]}, "sink": {"kind": "pull"}}`,
			`{"name": "elsewhere", "filter": {"types": ["job.*"]}, "sink": {"kind": "stream", "stream": "jobs", "redis": "` + other.URL() + `"}, ` + delivery + `}`,
			`{"name": "here", "filter": {"types": ["part.b"]}, "sink": {"kind": "stream", "stream": "parts"}, ` + delivery + `}`,
			`{"name": "useless", "filter": {"types": ["job.*"]}, "sink": {"kind": "pull"}}`,
		},
		client.Trigger: {`{"name": "pair", "key": {"k": "subject"}, "when": {"all": [{"event": {"types": ["part.a"]}}, {"event": {"types": ["part.b"]}}]}}`},
	} {
		for _, document := range documents {
			_, err := api.Create(t.Context(), kind, []byte(document))
			require.NoError(t, err)
		}
	}
	status := func(name string) queueState {
		var s struct{ Status queueState }
		text := request(t, "GET", url+"/v1/subscriptions/"+name, "", "").want(t, http.StatusOK).body
		require.NoError(t, json.Unmarshal([]byte(text), &s))
		return s.Status
	}
	for i := range pairs {
		postEvent(t, url, "part.a", fmt.Sprint(i), "{}").want(t, http.StatusAccepted)
	}
	for i := range jobs / 2 {
		postEvent(t, url, "job.done", fmt.Sprint(i), jobData(i)).want(t, http.StatusAccepted)
	}
	require.Eventually(t, func() bool { return status("hook").Backlog == jobs/2 }, 20*time.Second, 5*time.Millisecond)
	stop()

	// What nobody has routed when the memory runs out: the rest of the jobs, and what completes the pairs.
	store, err := redisstore.Open(t.Context(), redisstore.Config{URL: server.URL(), DedupeWindow: time.Hour})
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	appended := func(typ, subject, data string) error {
		e, err := router.NewEvent(router.EventFields{ID: typ + " " + subject, Source: "/full", Type: typ, Subject: subject, Data: data, DataKind: router.JSONData, DataContentType: "application/json"})
		require.NoError(t, err)
		return store.Append(t.Context(), []router.Event{e})[0].Err
	}
	for i := jobs / 2; i < jobs; i++ {
		require.NoError(t, appended("job.done", fmt.Sprint(i), jobData(i)))
	}
	for i := range pairs {
		require.NoError(t, appended("part.b", fmt.Sprint(i), "{}"))
		require.NoError(t, appended("part.a", fmt.Sprint("alone", i), "{}"))
	}
	redisFull.fill(t)
	require.Equal(t, router.Full, router.ErrorCode(appended("job.done", "refused", "{}")), "by Redis itself: nobody watches its memory here")

	url, _ = startServe(t, flags...)
	api, err = client.New(client.Config{Server: url})
	require.NoError(t, err)
	defer api.Close()
	refused := postEvent(t, url, "job.done", "refused", "{}").want(t, http.StatusServiceUnavailable)
	require.NotEmpty(t, refused.header.Get("Retry-After"))
	require.Equal(t, "application/problem+json", refused.header.Get("Content-Type"))
	require.Contains(t, refused.body, `"type":"/problems/full"`)
	require.Contains(t, refused.body, `"retryable":true`)
	request(t, "POST", url+"/v1/subscriptions", "application/json", `{"name": "new", "sink": {"kind": "pull"}}`).want(t, http.StatusServiceUnavailable)

	require.Eventually(t, func() bool { return status("hook").Backlog == jobs+pairs }, 30*time.Second, 10*time.Millisecond, "all is routed, and every pair fires")
	redisFull.check(t)
	pulled := map[string]bool{}
	for len(pulled) < jobs {
		items, err := api.Pull(t.Context(), "work", client.PullOptions{Max: 50})
		require.NoError(t, err)
		require.NotEmpty(t, items)
		receipts := make([]string, len(items))
		for i, item := range items {
			require.False(t, pulled[item.Delivery], "each once")
			pulled[item.Delivery] = true
			receipts[i] = item.Receipt
		}
		results, err := api.Ack(t.Context(), "work", receipts...)
		require.NoError(t, err)
		require.Len(t, results, len(items))
	}
	require.Zero(t, status("work").Backlog)
	redisFull.check(t)
	endpoint.up.Store(true)
	require.Eventually(t, func() bool { return status("hook").Backlog == 0 }, 30*time.Second, 10*time.Millisecond, "what is queued drains")
	require.Eventually(t, func() bool { return status("elsewhere").Backlog == 0 }, 30*time.Second, 10*time.Millisecond)
	require.Equal(t, pairs, status("here").Backlog, "a stream in the full Redis has to wait")
	redisFull.check(t)

	request(t, "DELETE", url+"/v1/subscriptions/useless", "", "").want(t, http.StatusOK)
	require.Eventually(t, func() bool { return postEvent(t, url, "job.done", "again", "{}").code == http.StatusAccepted }, 30*time.Second, 100*time.Millisecond, "there is room again")
	require.Eventually(t, func() bool { return endpoint.count() == jobs+pairs+1 && status("here").Backlog == 0 }, 30*time.Second, 10*time.Millisecond)

	for _, name := range []string{"hook", "work", "elsewhere", "here"} {
		require.Zero(t, status(name).Dead, name)
	}
	endpoint.mu.Lock()
	defer endpoint.mu.Unlock()
	for id, n := range endpoint.taken {
		require.Equal(t, 1, n, id)
	}
	for i := range jobs {
		require.Equal(t, jobData(i), endpoint.bytes[strings.ReplaceAll(fmt.Sprint("job.done ", i), " ", "%20")])
	}
	require.EqualValues(t, jobs+1, redistest.Client(t, other.Addr()).XLen(t.Context(), "jobs").Val())
	require.EqualValues(t, pairs, redisFull.client.XLen(t.Context(), "parts").Val(), "each once")
}
