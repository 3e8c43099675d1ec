package redisstore_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// BenchmarkForwarding measures what triggers cost on several partitions beside one, on a single Redis: its time for each event of pairs, from publishing to the
// firing, and how long a firing takes after the event that completes it, when nothing else goes on.
func BenchmarkForwarding(b *testing.B) {
	for _, partitions := range []int{1, 3} {
		b.Run(fmt.Sprint(partitions, " partitions"), func(b *testing.B) {
			server := redistest.Start(b)
			s := open(b, server.Addr(), func(c *redisstore.Config) { c.Partitions = partitions })
			_, err := s.CreateTrigger(b.Context(), draft(b, pair).Create())
			require.NoError(b, err)
			start(b, s, newSink())
			l := &lab{raw: redistest.Client(b, server.Addr())}
			fired := func(n int) func() bool {
				status := must(s.Trigger(b.Context(), "pair"))
				return func() bool { return must(s.TriggerStatus(b.Context(), status)).Firings >= int64(n) }
			}
			n := 0
			for b.Loop() {
				const keys = 20_000
				before, began := cpuMicros(b, l), time.Now()
				for i := 0; i < 2*keys; i += 500 {
					var events []router.Event
					for j := i; j < i+500; j++ {
						events = append(events, scattered(b, fmt.Sprint(n, "-", j), []string{"a", "b"}[j/keys], fmt.Sprint(n, "-", j%keys)))
					}
					for _, r := range s.Append(b.Context(), events) {
						require.NoError(b, r.Err)
					}
				}
				n++
				require.Eventually(b, fired(n*keys), time.Minute, time.Millisecond)
				b.ReportMetric((cpuMicros(b, l)-before)/(2*keys), "redis-µs/event")
				b.ReportMetric(2*keys/time.Since(began).Seconds(), "events/s")
			}
			total := must(s.TriggerStatus(b.Context(), must(s.Trigger(b.Context(), "pair")))).Firings
			var took []time.Duration
			for i := range 200 {
				appendOne(b, s, scattered(b, fmt.Sprint("a", i), "a", fmt.Sprint("one", i)))
				appendOne(b, s, scattered(b, fmt.Sprint("b", i), "b", fmt.Sprint("one", i)))
				began := time.Now()
				require.Eventually(b, fired(int(total)+i+1), time.Minute, 100*time.Microsecond)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[100].Microseconds())/1000, "ms-p50")
			b.ReportMetric(float64(took[198].Microseconds())/1000, "ms-p99")
		})
	}
}
