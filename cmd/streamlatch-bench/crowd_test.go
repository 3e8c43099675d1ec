package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/hostile"
	"github.com/streamlatch/streamlatch/router"
)

func TestOfACrowdEachEventGoesToEightHealthySubscriptionsAndTwoBadOnes(t *testing.T) {
	var documents [][]byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body) // one that is cut short is not decoded
		documents = append(documents, text)
	}))
	defer server.Close()
	s := crowdSubject{&streamlatch{url: server.URL}}
	require.NoError(t, s.Subscribe(t.Context(), "http://sink.example"+hookPath, 1))
	urls := make([]string, crowdGroups*crowdBad)
	for i := range urls {
		urls[i] = "http://bad.example/"
	}
	require.NoError(t, s.subscribeBad(t.Context(), urls))

	edit, sinks := router.NewIndex().Edit(), map[string]string{}
	for _, text := range documents {
		draft, err := router.DecodeSubscription(text, router.Rules{})
		require.NoError(t, err)
		sub, err := draft.Create("")
		require.NoError(t, err)
		filter, err := sub.Filter.Compile()
		require.NoError(t, err)
		edit.Set(sub.Name, filter)
		sinks[sub.Name] = sub.Sink.URL
	}
	require.Len(t, sinks, 200)

	index := edit.Index()
	for seq := range 200 {
		e, err := router.NewEvent(router.EventFields{
			ID: "a", Source: "/bench", Type: eventType, DataContentType: "application/json", DataKind: router.JSONData,
			Data: string(appendPayload(nil, "abcdefgh", seq, 0)),
		})
		require.NoError(t, err)
		view := router.NewView(e)
		targets := map[string]int{}
		for _, name := range index.Match(view, nil) {
			targets[sinks[name]]++
		}
		view.Release()
		require.Equal(t, crowdBad, targets["http://bad.example/"], "event %d: %v", seq, targets)
		for nth := range crowdHealthy {
			require.Equal(t, 1, targets[fmt.Sprintf("http://sink.example/hook/%d/%d", crowdHealthy, nth)], "event %d: %v", seq, targets)
		}
		require.Len(t, targets, 1+crowdHealthy)
	}
}

func TestDeliveriesOfOneEventCountEach(t *testing.T) {
	s := startTestSink(t)
	require.NoError(t, s.expect(t.Context(), "abcdefgh", 6))
	for range 2 {
		for seq := range 2 {
			for nth := range 3 {
				target := fmt.Sprintf("%s/3/%d", s.hookURL(), nth)
				require.NoError(t, post(t.Context(), http.DefaultClient, target, string(appendEvent(nil, "abcdefgh", seq, 0))))
			}
		}
	}
	r, err := s.complete(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 6, r.Distinct)
	require.EqualValues(t, 6, r.Repeats)
}

func TestEachKindOfMisbehaviourIsServed(t *testing.T) {
	c, err := startRole("role-misbehave", "-endpoints", strconv.Itoa(len(hostile.Kinds())+1))
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	var a addresses
	require.NoError(t, c.read(t.Context(), &a))
	require.Len(t, a.URLs, len(hostile.Kinds())+1)
	client := &http.Client{
		Timeout:       200 * time.Millisecond, // of those that don't answer
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for i, url := range a.URLs {
		kind := hostile.Kinds()[i%len(hostile.Kinds())]
		require.Equal(t, kind == hostile.WrongTLS, strings.HasPrefix(url, "https:"), kind)
		err := post(t.Context(), client, url, "{}")
		require.Error(t, err, kind)
		require.NotContains(t, err.Error(), "refused", kind)
	}
}
