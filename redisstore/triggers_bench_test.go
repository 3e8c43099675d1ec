package redisstore_test

import (
	"fmt"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/router"
)

var evalTime = regexp.MustCompile(`cmdstat_evalsha:calls=(\d+),usec=(\d+)`)

// evalMicros is how much time a server has spent on scripts.
func evalMicros(t testing.TB, l *lab) int {
	t.Helper()
	info, err := l.raw.Info(t.Context(), "commandstats").Result()
	require.NoError(t, err)
	m := evalTime.FindStringSubmatch(info)
	require.NotNil(t, m)
	n, err := strconv.Atoi(m[2])
	require.NoError(t, err)
	return n
}

// BenchmarkPairs measures Redis' time for each event offered to a trigger of two children, with 100,000 keys.
func BenchmarkPairs(b *testing.B) {
	addr, _ := redistest.Shared(b)
	l := newLab(b, addr)
	pair := trigger(b, `{"name":"pair","key":["subject"],"when":{"all":[{"event":{"types":["a"]}},{"event":{"types":["b"]}}],"within":"1h"}}`)
	for b.Loop() {
		l.begin(b, pair)
		const keys = 20_000
		for i := 0; i < 2*keys; i += 500 {
			var events []router.Event
			for j := i; j < i+500; j++ {
				events = append(events, keyed(b, fmt.Sprint(j), []string{"a", "b"}[j/keys], fmt.Sprintf("order-%d", j%keys)))
			}
			for _, r := range l.store.Append(b.Context(), events) {
				require.NoError(b, r.Err)
			}
		}
		for half := range 2 {
			before := evalMicros(b, l)
			records := l.unread(b)
			n := 0
			for n < keys {
				size := min(128, keys-n, len(records))
				l.apply(b, l.batch(records[:size]))
				records = records[size:]
				n += size
				if len(records) == 0 {
					records = l.unread(b)
				}
			}
			b.ReportMetric(float64(evalMicros(b, l)-before)/keys, fmt.Sprintf("redis-us/%d", half))
		}
	}
}
