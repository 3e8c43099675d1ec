package redisstore_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/router"
)

// cpuMicros is how much time a server's main thread has had.
func cpuMicros(t testing.TB, l *lab) (total float64) {
	t.Helper()
	info, err := l.raw.Info(t.Context(), "cpu").Result()
	require.NoError(t, err)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && strings.HasSuffix(name, "_main_thread") {
			seconds, err := strconv.ParseFloat(value, 64)
			require.NoError(t, err)
			total += seconds * 1e6
		}
	}
	return total
}

// batches divides the log behind the cursor.
func (l *lab) batches(t testing.TB, events, size int) (list []router.Batch) {
	from := l.cursor
	for events > 0 {
		records := l.unread(t)
		for len(records) > 0 && events > 0 {
			n := min(size, events, len(records))
			b := l.batch(records[:n])
			list = append(list, b)
			l.cursor, records, events = b.To, records[n:], events-n
		}
	}
	l.cursor = from
	return list
}

// BenchmarkPairs measures Redis' time for each event that is offered to a trigger of two children, with many keys: first those that are recorded, then those
// that make it fire.
func BenchmarkPairs(b *testing.B) {
	addr, _ := redistest.Shared(b)
	l := newLab(b, addr)
	pair := trigger(b, `{"name":"pair","key":["subject"],"when":{"all":[{"event":{"types":["a"]}},{"event":{"types":["b"]}}],"within":"1h"}}`)
	for b.Loop() {
		l.begin(b, pair)
		const keys = 50_000
		for i := 0; i < 2*keys; i += 500 {
			var events []router.Event
			for j := i; j < i+500; j++ {
				events = append(events, keyed(b, fmt.Sprint(j), []string{"a", "b"}[j/keys], fmt.Sprintf("order-%d", j%keys)))
			}
			for _, r := range l.store.Append(b.Context(), events) {
				require.NoError(b, r.Err)
			}
		}
		for _, what := range []string{"recorded", "fired"} {
			batches := l.batches(b, keys, 128)
			before := cpuMicros(b, l)
			for _, batch := range batches {
				l.apply(b, batch)
			}
			b.ReportMetric((cpuMicros(b, l)-before)/keys, "redis-µs/"+what)
		}
	}
}

const claimScript = `redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('HLEN', KEYS[1]) == 2 then redis.call('DEL', KEYS[1]) redis.call('XADD', KEYS[2], '*', 'e', ARGV[2]) return 1 end return 0`

// BenchmarkClaims is what BenchmarkPairs is held against: a script of the least that a pair needs, one call for each event, in pipelines.
func BenchmarkClaims(b *testing.B) {
	addr, namespace := redistest.Shared(b)
	l := newLab(b, addr)
	sha, err := l.raw.ScriptLoad(b.Context(), claimScript).Result()
	require.NoError(b, err)
	for b.Loop() {
		const keys = 50_000
		payload := keyed(b, "12345", "a", "order-1").Encode()
		for half, what := range []string{"recorded", "fired"} {
			before := cpuMicros(b, l)
			for i := 0; i < keys; i += 100 {
				pipe := l.raw.Pipeline()
				for j := i; j < i+100; j++ {
					pipe.EvalSha(b.Context(), sha, []string{fmt.Sprintf("%s:order-%d", namespace, j), namespace + ":firings"}, half, payload)
				}
				_, err := pipe.Exec(b.Context())
				require.NoError(b, err)
			}
			b.ReportMetric((cpuMicros(b, l)-before)/keys, "redis-µs/"+what)
		}
	}
}
