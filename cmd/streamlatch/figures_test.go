package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/router"
)

// manyFigures are those of so many subscriptions.
type manyFigures int

func (n manyFigures) SubscriptionFigures(context.Context) (list []router.SubscriptionFigures, err error) {
	for i := range int(n) {
		list = append(list, router.SubscriptionFigures{
			Name: fmt.Sprintf("s%03d", i), Backlog: 1, InFlight: 2, Retrying: 3, Delivered: 4, Dead: 5, OverCap: 6, NotQueued: 7, Paused: int64(i % 2), BreakerOpen: 1,
			OldestPending: began.Add(-time.Duration(i) * time.Second),
		})
	}
	return list, nil
}

// gather collects metrics: "name label" to value.
func gather(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	families, err := registry.Gather()
	require.NoError(t, err)
	found := map[string]float64{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			name := family.GetName()
			for _, label := range m.GetLabel() {
				name += " " + label.GetValue()
			}
			found[strings.TrimPrefix(name, "streamlatch_subscription_")] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return found
}

func TestSeriesOfSubscriptionsAreBoundedAndTheRestIsAddedUp(t *testing.T) {
	for most, series := range map[int]int{0: 1, 1: 2, 100: 101, 299: 300, 300: 300, 1000: 300} {
		c := newFiguresCollector(t.Context(), slog.New(slog.DiscardHandler), manyFigures(300), most)
		c.latest.now = func() time.Time { return began }
		found := gather(t, c)
		require.Len(t, found, 1+10*series, "%d of their own", most)
		require.EqualValues(t, 300, found["streamlatch_subscriptions"])
		rest := float64(300 - min(most, 300))
		if rest > 0 {
			for name, want := range map[string]float64{
				"backlog": rest, "in_flight": 2 * rest, "retrying": 3 * rest, "delivered_total": 4 * rest, "dead_letters_total": 5 * rest, "over_cap_total": 6 * rest,
				"not_queued_total": 7 * rest, "breaker_open": rest, "backlog_seconds": 299,
			} {
				require.Equal(t, want, found[name+" _other"], name)
			}
		}
		if most > 1 {
			require.EqualValues(t, 1, found["paused s001"])
			require.EqualValues(t, 1, found["backlog_seconds s001"])
		}
	}
}

func TestWhatIsReadForMetricsIsReadSeldomAndTooOldFiguresAreLeftOut(t *testing.T) {
	ctx := t.Context()
	now, reads, fails := began, 0, false
	said := newOutput()
	l := newLatest(ctx, slog.New(slog.NewTextHandler(said, nil)), "numbers", func(context.Context) (int, error) {
		reads++
		if fails {
			return 0, errors.New("Redis is not there")
		}
		now = now.Add(time.Second) // it takes that long
		return reads, nil
	})
	l.wait, l.now = time.Minute, func() time.Time { return now }
	want := func(value int, up, ok bool) {
		t.Helper()
		gotValue, gotUp, gotOK := l.get()
		require.Equal(t, []any{value, up, ok}, []any{gotValue, gotUp, gotOK})
	}
	want(1, true, true)
	now = now.Add(19 * time.Second)
	want(1, true, true)
	now = now.Add(time.Second)
	want(2, true, true)
	require.Empty(t, said.String())
	fails = true
	now = now.Add(20 * time.Second)
	want(2, false, true)
	require.Contains(t, said.String(), `what=numbers error="Redis is not there"`)
	now = now.Add(39 * time.Second)
	want(2, false, true)
	now = now.Add(2 * time.Second)
	want(2, false, false)
	fails = false
	now = now.Add(5 * time.Second)
	want(5, true, true)
}

func TestAReadingThatHangsHoldsNoScrapeUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := newLatest(ctx, slog.New(slog.DiscardHandler), "numbers", func(ctx context.Context) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	l.wait = time.Millisecond
	for range 3 {
		_, up, ok := l.get()
		require.False(t, up || ok)
	}
	cancel()
	l.settle()
}

func TestAScrapeIsAnsweredWhileRedisIsNotThere(t *testing.T) {
	server := redistest.Start(t)
	url, _ := startServe(t, "--redis", server.URL(), "--metrics-subscriptions", "1")
	for _, name := range []string{"first", "second", "third"} {
		request(t, "POST", url+"/v1/subscriptions", "application/json", `{"name": "`+name+`", "sink": {"kind": "pull"}}`).want(t, http.StatusCreated)
	}
	postEvent(t, url, "x.y", "a", "{}").want(t, http.StatusAccepted)
	scrape := func() string { return request(t, "GET", url+"/metrics", "", "").want(t, http.StatusOK).body }
	require.Eventually(t, func() bool {
		text := scrape()
		return strings.Contains(text, `streamlatch_subscription_backlog{subscription="first"} 1`+"\n") && strings.Contains(text, `streamlatch_subscription_backlog{subscription="_other"} 2`+"\n")
	}, 30*time.Second, 50*time.Millisecond)
	require.NotContains(t, scrape(), `"second"`)
	require.Contains(t, scrape(), "streamlatch_redis_up 1\n")

	require.NoError(t, server.Pause()) // it takes connections and does not answer
	require.Eventually(t, func() bool { return strings.Contains(scrape(), "streamlatch_redis_up 0\n") }, 30*time.Second, 50*time.Millisecond)
	require.Contains(t, scrape(), `streamlatch_subscription_backlog{subscription="first"} 1`+"\n", "it was so a moment ago")
	require.NoError(t, server.Resume())
	require.Eventually(t, func() bool { return strings.Contains(scrape(), "streamlatch_redis_up 1\n") }, 60*time.Second, 50*time.Millisecond)
}
