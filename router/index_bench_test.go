package router

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// mixedFilter is the i-th filter of the mix that is measured: a third exact types, a third types with stars, a third patterns of three fields over one
// shared type, of which the first two have ten values each and the last is unique.
func mixedFilter(i int) Filter {
	n := i / 3
	switch i % 3 {
	case 0:
		return Filter{Types: []string{fmt.Sprintf("shop%d.order.paid", n)}}
	case 1:
		return Filter{Types: []string{fmt.Sprintf("shop%d.*.eu", n)}}
	}
	return Filter{Types: []string{"order.placed"}, Pattern: fmt.Appendf(nil,
		`{"data": {"region": ["r%d"], "tier": [%d], "customer": {"id": ["c%d"]}}}`, n%10, n/10%10, n)}
}

// mixedEvent is an event with 256 bytes of payload that matches one filter: the i-th.
func mixedEvent(i int) Event {
	n, eventType := i/3, "order.placed"
	switch i % 3 {
	case 0:
		eventType = fmt.Sprintf("shop%d.order.paid", n)
	case 1:
		eventType = fmt.Sprintf("shop%d.order.eu", n)
	}
	data := fmt.Sprintf(`{"id":"8e03978e-40d5-43e8-bc93-6894a57f9324","total":%d.50,"region":"r%d","tier":%d,`+
		`"customer":{"name":"Ada Lovelace","id":"c%d"},"items":[{"sku":"a-1","count":2},{"sku":"b-7","count":1}],"note":""}`,
		i, n%10, n/10%10, n)
	data = data[:len(data)-2] + strings.Repeat("x", max(0, 256-len(data))) + data[len(data)-2:]
	return Event{f: &EventFields{ID: fmt.Sprint(i), Source: "/shop", Type: eventType, Time: "2026-11-20T12:00:00Z",
		DataContentType: "application/json", Data: data, DataKind: JSONData}}
}

func mixedIndex(t testing.TB, size int) *Index {
	e := NewIndex().Edit()
	for i := range size {
		filter, err := mixedFilter(i).Compile()
		require.NoError(t, err)
		e.Set(fmt.Sprintf("sub_%026d", i), filter)
	}
	return e.Index()
}

// BenchmarkIndexMatch is the match time of one event, decoding included, which must hardly depend on the number of filters: of events over the whole mix,
// a third of which has its payload decoded, and of events that all have. Those of "spread" are thousands that lead all over the index, so
// that their time is mostly that of memory which is in no cache.
func BenchmarkIndexMatch(b *testing.B) {
	for _, size := range []int{100, 10_000, 100_000} {
		index := mixedIndex(b, size)
		run := func(name string, events int, which func(i int) int) {
			list := make([]Event, events)
			for i := range list {
				list[i] = mixedEvent(which(i))
			}
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) { benchmarkMatch(b, index, list) })
		}
		run("mix", 99, func(i int) int { return i })
		run("payload", 99, func(i int) int { return i%33*3 + 2 })
		run("payload-spread", 4096, func(i int) int { return i*7919%(size/3)*3 + 2 })
	}
}

func benchmarkMatch(b *testing.B, index *Index, events []Event) {
	view, out, matched := &View{}, []string{}, 0
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		view.Reset(events[i%len(events)])
		out = index.Match(view, out[:0])
		matched += len(out)
	}
	b.ReportMetric(float64(matched)/float64(b.N), "matches/op")
}

// BenchmarkIndexChange is the cost of one change: a filter put in the place of another.
func BenchmarkIndexChange(b *testing.B) {
	for _, size := range []int{100, 100_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			index := mixedIndex(b, size)
			filters := make([]*CompiledFilter, 99)
			for i := range filters {
				filters[i], _ = mixedFilter(i).Compile()
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				index.With(fmt.Sprintf("sub_%026d", i%len(filters)), filters[(i+1)%len(filters)])
			}
		})
	}
}
