package webhook

import (
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// benchConcurrency is how many attempts are under way at a time.
const benchConcurrency = 64

// BenchmarkPost compares a delivery, rendered, signed, checked and guarded, with a bare loop of POSTs of the same bytes over a transport tuned in the same
// way, to one local endpoint. What counts is the ratio of bare to structured.
func BenchmarkPost(b *testing.B) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer srv.Close()
	r := requestTo(b, srv.URL)
	r.Event = mustEvent(b, router.EventFields{
		ID: "a1", Source: "/shop", Type: "order.paid", Time: "2026-11-21T09:00:00Z", DataContentType: "application/json",
		Data: `{"text":"` + strings.Repeat("x", 245) + `"}`, DataKind: router.JSONData,
	})
	text := cloudevents.AppendStructured(nil, r.Event)

	b.Run("bare", func(b *testing.B) {
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, MaxIdleConns: 256, DialContext: (&net.Dialer{}).DialContext}}
		defer client.CloseIdleConnections()
		inParallel(b, func() bool {
			res, err := client.Post(srv.URL, "application/json", bytes.NewReader(text))
			if err != nil {
				return false
			}
			_, _ = io.Copy(io.Discard, res.Body)
			return res.Body.Close() == nil && res.StatusCode == http.StatusNoContent
		})
	})
	for _, mode := range []router.Mode{router.Structured, router.Binary} {
		b.Run(string(mode), func(b *testing.B) {
			s := newSender(b, Config{})
			r := r
			r.Subscription.Sink.Mode = mode
			inParallel(b, func() bool { return s.Send(b.Context(), r).Outcome == router.OutcomeDelivered })
		})
	}
}

func inParallel(b *testing.B, post func() bool) {
	b.ReportAllocs()
	b.SetParallelism(benchConcurrency)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if !post() {
				b.Error("not delivered")
			}
		}
	})
}

func BenchmarkSign(b *testing.B) {
	secret, err := ParseSecret(knownSecret)
	require.NoError(b, err)
	body := []byte(strings.Repeat("x", 256))
	b.ReportAllocs()
	for b.Loop() {
		sign([]Secret{secret}, knownID, "1614265330", body)
	}
}
