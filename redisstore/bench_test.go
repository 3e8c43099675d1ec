package redisstore_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/router"
)

// BenchmarkRoute routes a backlog to a Go handler that counts.
func BenchmarkRoute(b *testing.B) {
	addr, _ := redistest.Shared(b)
	n := 200_000
	s := open(b, addr)
	events := make([]router.Event, n)
	pad := make([]byte, 200)
	for i := range pad {
		pad[i] = 'x'
	}
	for i := range events {
		e, err := router.NewEvent(router.EventFields{ID: fmt.Sprintf("id-%d", i), Source: "/bench", Type: "order.paid", Data: fmt.Sprintf(`{"n":%d,"p":"%s"}`, i, pad), DataKind: router.JSONData, DataContentType: "application/json"})
		require.NoError(b, err)
		events[i] = e
	}
	start := time.Now()
	for i := 0; i < n; i += 500 {
		for _, r := range s.Append(context.Background(), events[i:min(i+500, n)]) {
			require.NoError(b, r.Err)
		}
	}
	b.Logf("append %.0f/s", float64(n)/time.Since(start).Seconds())
	var count atomic.Int64
	done := make(chan struct{})
	r := router.New(s, router.Config{})
	ctx, cancel := context.WithCancel(context.Background())
	_, err := r.Subscribe(ctx, "order.*", "counter", func(context.Context, router.Event) error {
		if count.Add(1) == int64(n) {
			close(done)
		}
		return nil
	}, router.HandlerConfig{MaxInFlight: 1000})
	require.NoError(b, err)
	b.ResetTimer()
	start = time.Now()
	stopped := make(chan error)
	go func() { stopped <- r.Run(ctx) }()
	<-done
	b.Logf("route %.0f/s", float64(n)/time.Since(start).Seconds())
	cancel()
	require.NoError(b, <-stopped)
}
