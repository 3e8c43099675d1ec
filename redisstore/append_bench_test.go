package redisstore_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/router"
)

// BenchmarkAppend stores events in calls of different sizes, and says what a call takes of Redis, by its own measure.
func BenchmarkAppend(b *testing.B) {
	for _, size := range []int{1, 8, 24, 64, 500} {
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			server := redistest.Start(b)
			s := open(b, server.Addr())
			client := redis.NewClient(redistest.Options(server.Addr()))
			b.Cleanup(func() { require.NoError(b, client.Close()) })
			data := `{"pad":"` + strings.Repeat("x", 240) + `"}`
			n, events := 0, make([]router.Event, size)
			require.NoError(b, client.ConfigResetStat(context.Background()).Err())
			for b.Loop() {
				for i := range events {
					n++
					e, err := router.NewParsedEvent(router.EventFields{ID: fmt.Sprintf("run-%d", n), Source: "/bench", Type: "order.paid", Data: data, DataKind: router.JSONData})
					require.NoError(b, err)
					events[i] = e
				}
				for _, r := range s.Append(context.Background(), events) {
					require.NoError(b, r.Err)
				}
			}
			b.ReportMetric(usecPerCall(b, client, "evalsha"), "redis-µs/call")
			b.ReportMetric(usecPerCall(b, client, "evalsha")/float64(size), "redis-µs/event")
		})
	}
}

// usecPerCall is the mean time that Redis spent on a command.
func usecPerCall(b *testing.B, client *redis.Client, command string) float64 {
	b.Helper()
	info, err := client.InfoMap(context.Background(), "commandstats").Result()
	require.NoError(b, err)
	_, after, found := strings.Cut(info["Commandstats"]["cmdstat_"+command], "usec_per_call=")
	require.True(b, found)
	text, _, _ := strings.Cut(after, ",")
	usec, err := strconv.ParseFloat(text, 64)
	require.NoError(b, err)
	return usec
}
