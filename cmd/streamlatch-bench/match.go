package main

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

const (
	matchEvents = 10_000 // different ones, spread over all subscriptions
	matchTurns  = 10     // how often all of them are matched
)

// mixedFilter is the filter of the i-th subscription: a third wants one type, a third types with a star, and a third three fields of the payload of one
// type, of which two have ten values each and the last is unique.
func mixedFilter(i int) router.Filter {
	n := i / 3
	switch i % 3 {
	case 0:
		return router.Filter{Types: []string{fmt.Sprintf("shop%d.order.paid", n)}}
	case 1:
		return router.Filter{Types: []string{fmt.Sprintf("shop%d.*.eu", n)}}
	}
	return router.Filter{Types: []string{"order.placed"}, Pattern: fmt.Appendf(nil,
		`{"data": {"region": ["r%d"], "tier": [%d], "customer": {"id": ["c%d"]}}}`, n%10, n/10%10, n)}
}

// mixedEvent is an event that the i-th subscription alone wants, as it is stored.
func mixedEvent(i int) (string, error) {
	n, eventType := i/3, "order.placed"
	switch i % 3 {
	case 0:
		eventType = fmt.Sprintf("shop%d.order.paid", n)
	case 1:
		eventType = fmt.Sprintf("shop%d.order.eu", n)
	}
	data := fmt.Sprintf(`{"id":"8e03978e-40d5-43e8-bc93-6894a57f9324","total":%d.50,"region":"r%d","tier":%d,`+
		`"customer":{"name":"Ada Lovelace","id":"c%d"},"items":[{"sku":"a-1","count":2},{"sku":"b-7","count":1}],"note":"`,
		i, n%10, n/10%10, n)
	const closing = `"}`
	data += strings.Repeat("x", max(0, payloadSize-len(data)-len(closing))) + closing
	e, err := router.NewEvent(router.EventFields{
		ID: fmt.Sprint(i), Source: "/shop", Type: eventType, Time: "2026-11-20T12:00:00Z",
		DataContentType: "application/json", Data: data, DataKind: router.JSONData,
	})
	return e.Encode(), err
}

func mixedIndex(subscriptions int) (*router.Index, error) {
	edit := router.NewIndex().Edit()
	for i := range subscriptions {
		filter, err := mixedFilter(i).Compile()
		if err != nil {
			return nil, fmt.Errorf("filter %d: %w", i, err)
		}
		edit.Set(fmt.Sprintf("sub_%026d", i), filter)
	}
	return edit.Index(), nil
}

// patterned is the number of a subscription with a pattern, so that the payload of its event has to be decoded, near the i-th.
func patterned(i int) int { return i/3*3 + 2 }

// storedEvents are events that are spread over all subscriptions, or over those with a pattern.
func storedEvents(subscriptions int, all bool) ([]string, error) {
	const stride = 7919 // a prime, so that neighbours are far apart in the index
	stored := make([]string, matchEvents)
	for i := range stored {
		wanted := i * stride % (subscriptions / 3 * 3)
		if !all {
			wanted = patterned(wanted)
		}
		var err error
		if stored[i], err = mixedEvent(wanted); err != nil {
			return nil, err
		}
	}
	return stored, nil
}

// matchResult has the nanoseconds that it takes to decode and match one event.
type matchResult struct {
	Patterned float64 // that one with a pattern wants
	Any       float64
}

// runMatch is the role "role-match": it matches stored events with a number of subscriptions and prints how long that takes.
func runMatch(_ context.Context, args []string, say func(any) error) error {
	f := flag.NewFlagSet("role-match", flag.ContinueOnError)
	subscriptions := f.Int("subscriptions", 100, "how many, at least 3")
	if err := f.Parse(args); err != nil {
		return err
	}
	index, err := mixedIndex(*subscriptions)
	if err != nil {
		return err
	}
	var result matchResult
	if result.Patterned, err = timeMatches(index, *subscriptions, false); err != nil {
		return err
	}
	if result.Any, err = timeMatches(index, *subscriptions, true); err != nil {
		return err
	}
	return say(result)
}

// timeMatches returns the median of the nanoseconds that one event takes.
func timeMatches(index *router.Index, subscriptions int, all bool) (float64, error) {
	stored, err := storedEvents(subscriptions, all)
	if err != nil {
		return 0, err
	}
	runtime.GC() // or it marks the index while the time is taken
	var times []float64
	for range matchTurns {
		took, err := matchAll(index, stored)
		if err != nil {
			return 0, err
		}
		times = append(times, float64(took)/matchEvents)
	}
	return median(times), nil
}

// matchAll decodes and matches events, each of which one subscription wants.
func matchAll(index *router.Index, stored []string) (time.Duration, error) {
	matched, ids := 0, make([]string, 0, 1)
	began := time.Now()
	for _, raw := range stored {
		event, err := router.DecodeEvent(raw)
		if err != nil {
			return 0, err
		}
		view := router.NewView(event)
		ids = index.Match(view, ids[:0])
		view.Release()
		matched += len(ids)
	}
	took := time.Since(began)
	if matched != len(stored) {
		return 0, fmt.Errorf("%d events matched %d subscriptions; each should match one", len(stored), matched)
	}
	return took, nil
}

// measureMatch returns how many microseconds it takes to decode an event and to find out which of a number of subscriptions want it: first of events of
// which a pattern wants values of the payload, then of events of all kinds.
func measureMatch(ctx context.Context, subscriptions int) ([]float64, error) {
	r, _, err := finish[matchResult](ctx, "role-match", "-subscriptions", fmt.Sprint(subscriptions))
	return []float64{r.Patterned / 1000, r.Any / 1000}, err
}
