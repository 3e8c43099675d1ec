package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

func TestAnEventIsACloudEventWithAPayloadOf256Bytes(t *testing.T) {
	event := appendEvent(nil, "abcdefgh", 42, 1732128000000000000)
	var got struct {
		SpecVersion, ID, Source, Type, DataContentType string
		Data                                           json.RawMessage
	}
	require.NoError(t, json.Unmarshal(event, &got))
	require.Len(t, got.Data, payloadSize)
	require.Equal(t, "1.0", got.SpecVersion)
	require.Equal(t, "abcdefgh-0000000042", got.ID)

	run, seq, sent, ok := readMarks(event)
	require.True(t, ok)
	require.Equal(t, "abcdefgh", run)
	require.Equal(t, 42, seq)
	require.EqualValues(t, 1732128000000000000, sent)
}

func TestAStampedDocumentIsWhatWouldHaveBeenWritten(t *testing.T) {
	for _, n := range []int{1, 2, 100} {
		d := newDocument("abcdefgh", n)
		d.stamp(1234, 5678)
		var want []string
		for i := range n {
			want = append(want, string(appendEvent(nil, "abcdefgh", 1234+i, 5678)))
		}
		text := strings.Join(want, ",")
		if n > 1 {
			text = "[" + text + "]"
		}
		require.Equal(t, text, string(d.body))
	}
}

func TestWhatIsNotOursHasNoMarks(t *testing.T) {
	event := string(appendEvent(nil, "abcdefgh", 1, 2))
	for name, text := range map[string]string{
		"empty":        "",
		"other event":  `{"id":"a"}`,
		"cut in run":   event[:strings.Index(event, runMark)+len(runMark)+3],
		"cut in seq":   event[:strings.Index(event, seqMark)+len(seqMark)+3],
		"cut in sent":  event[:strings.Index(event, sentMark)+len(sentMark)+3],
		"not a number": strings.Replace(event, `"seq":"0`, `"seq":"x`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, _, ok := readMarks([]byte(text))
			require.False(t, ok)
		})
	}
}

// collector is an HTTP server that remembers which events it was sent.
type collector struct {
	*httptest.Server
	mu   sync.Mutex
	seqs []int
}

func collect(t *testing.T, answer http.HandlerFunc) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "cut short", http.StatusBadRequest)
			return
		}
		events := [][]byte{body}
		if r.Header.Get("Content-Type") == manyEvents {
			if events, err = elements(body); err != nil {
				http.Error(w, "not an array", http.StatusBadRequest)
				return
			}
		}
		c.mu.Lock()
		for _, event := range events {
			if _, seq, _, ok := readMarks(event); ok {
				c.seqs = append(c.seqs, seq)
			}
		}
		c.mu.Unlock()
		answer(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

func accepted(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusAccepted) }

func (c *collector) sorted() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(slices.Values(c.seqs))
}

func upTo(n int) (seqs []int) {
	for i := range n {
		seqs = append(seqs, i)
	}
	return seqs
}

func TestALoadPublishesEachEventOnce(t *testing.T) {
	for name, l := range map[string]load{
		"one connection":     {Events: 100, Batch: 1, Connections: 1},
		"many connections":   {Events: 1000, Batch: 1, Connections: 16},
		"batches":            {Events: 1000, Batch: 100, Connections: 4},
		"at a rate":          {Events: 50, Batch: 1, Connections: 4, Rate: 2000},
		"batches at a rate":  {Events: 100, Batch: 10, Connections: 4, Rate: 2000},
		"fewer than workers": {Events: 2, Batch: 1, Connections: 8},
	} {
		t.Run(name, func(t *testing.T) {
			c := collect(t, accepted)
			l.URL, l.Run = c.URL+eventsPath, newRun()
			result, err := l.carry(t.Context())
			require.NoError(t, err)
			require.Equal(t, upTo(l.Events), c.sorted())
			require.Positive(t, result.elapsed())
			if l.Rate > 0 {
				least := time.Duration(float64(l.Events-l.Batch) / l.Rate * float64(time.Second))
				require.GreaterOrEqual(t, result.elapsed(), least)
			}
		})
	}
}

func TestASignedLoadIsSignedLikeWebhooksOfGitHub(t *testing.T) {
	in, err := source.Compile(router.Source{Name: "bench", Provider: "github", Secrets: []string{"key"}})
	require.NoError(t, err)
	var mu sync.Mutex
	ids := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m := source.Message{Method: r.Method, Header: r.Header, Body: body}
		if err := in.Verify(m, time.Now()); err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		ids[r.Header.Get("X-GitHub-Delivery")] = true
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(server.Close)
	_, err = load{URL: server.URL, Run: "abcdefgh", Events: 100, Batch: 1, Connections: 4, Secret: "key"}.carry(t.Context())
	require.NoError(t, err)
	require.Len(t, ids, 100)
	require.True(t, ids["abcdefgh-0000000099"])
}

func TestALoadEndsAtTheFirstRefusalAndSaysWhatItWas(t *testing.T) {
	c := collect(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no room", http.StatusServiceUnavailable) })
	_, err := load{URL: c.URL, Run: newRun(), Events: 100, Batch: 1, Connections: 2}.carry(t.Context())
	require.ErrorContains(t, err, "status 503: no room")
}

func TestALoadEndsWithItsContext(t *testing.T) {
	for _, rate := range []float64{0, 1} {
		ctx, cancel := context.WithCancel(t.Context())
		c := collect(t, func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		})
		_, err := load{URL: c.URL, Run: newRun(), Events: 100, Batch: 1, Connections: 2, Rate: rate}.carry(ctx)
		require.Error(t, err)
	}
}

func TestAPosterReadsEveryKindOfAnswer(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, answer := range map[string]http.HandlerFunc{
		"no body": accepted,
		"length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(long)))
			w.WriteHeader(http.StatusAccepted)
			_, _ = io.WriteString(w, long)
		},
		"chunks": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			for range 3 {
				_, _ = io.WriteString(w, long)
				_ = http.NewResponseController(w).Flush()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := collect(t, answer)
			p, err := dialPoster(t.Context(), c.URL+"/x?y=z", newDocument(newRun(), 1), "")
			require.NoError(t, err)
			defer func() { require.NoError(t, p.Close()) }()
			for range 3 {
				require.NoError(t, p.post())
			}
			require.Zero(t, p.replies.Buffered())
		})
	}
}
