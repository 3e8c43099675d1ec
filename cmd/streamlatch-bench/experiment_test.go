package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBothSidesAreMeasuredInTurns(t *testing.T) {
	var order []string
	note := func(name string, value float64) measure {
		return func(context.Context) ([]float64, error) {
			order = append(order, name)
			return []float64{value}, nil
		}
	}
	all, err := measureRounds(t.Context(), []experiment{
		{name: "a", figures: make([]figure, 1), reference: note("a-ref", 1), ours: note("a-ours", 2), limit: time.Minute},
		{name: "b", figures: make([]figure, 1), reference: note("b-ref", 3), limit: time.Minute},
	}, 2, &calm{}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, []string{"a-ref", "a-ours", "b-ref", "a-ours", "a-ref", "b-ref"}, order)
	require.Equal(t, samples{{1, 1}}, all[0].reference)
	require.Equal(t, samples{{2, 2}}, all[0].ours)
	require.Equal(t, samples{{3, 3}}, all[1].reference)
	require.Equal(t, samples{nil}, all[1].ours)
	require.Len(t, all[0].others, 4)
	require.Len(t, all[1].others, 2)
}

func TestAFailedMeasurementSaysWhichItWas(t *testing.T) {
	fails := func(context.Context) ([]float64, error) { return nil, errors.New("no wind") }
	hangs := func(ctx context.Context) ([]float64, error) { <-ctx.Done(); return nil, context.Cause(ctx) }
	mumbles := func(context.Context) ([]float64, error) { return []float64{1, 2}, nil }
	for want, m := range map[string]measure{
		"kite, ours: no wind":                fails,
		"kite, ours: not done within 1ms":    hangs,
		"kite, ours: 2 values for 1 figures": mumbles,
	} {
		_, err := measureRounds(t.Context(), []experiment{{name: "kite", figures: make([]figure, 1), ours: m, limit: time.Millisecond}}, 1, &calm{}, io.Discard)
		require.EqualError(t, err, want)
	}
}

func TestTheTableHasMediansRatiosAndBounds(t *testing.T) {
	experiments := []experiment{
		{figures: []figure{{name: "fast enough", unit: "events/s", bound: 0.8}, {name: "slow", unit: "events/s", bound: 0.8}}},
		{figures: []figure{{name: "cheap", unit: "µs", bound: 1.8, atMost: true}, {name: "dear", unit: "ms", bound: 1.8, atMost: true}}},
		{figures: []figure{{name: "unbound", unit: "MB"}, {name: "reference only", unit: "ms", bound: 2}, {name: "ours only", unit: "bytes"}}},
	}
	all := []*results{
		{ours: samples{{90_000, 1, 80_000}, {1}}, reference: samples{{100_000}, {2}}, others: []float64{0.02, 0.5, 0.126}},
		{ours: samples{{18}, {0.19}}, reference: samples{{10}, {0.1}}},
		{ours: samples{{5}, nil, {1234567}}, reference: samples{{4}, {0.5}, nil}},
	}
	var out bytes.Buffer
	missed, err := printTable(&out, experiments, all)
	require.NoError(t, err)
	require.Equal(t, 2, missed)
	require.Equal(t, `figure          ours             reference         ratio  bound   ok   others
fast enough     80,000 events/s  100,000 events/s  0.80   ≥ 0.80  yes  13 %
slow            1.00 events/s    2.00 events/s     0.50   ≥ 0.80  NO   13 %
cheap           18.0 µs          10.0 µs           1.80   ≤ 1.80  yes  0 %
dear            0.19 ms          0.10 ms           1.90   ≤ 1.80  NO   0 %
unbound         5.00 MB          4.00 MB           1.25   –       –    0 %
reference only  –                0.50 ms           –      ≥ 2.00  –    0 %
ours only       1,234,567 bytes  –                 –      –       –    0 %
`, out.String())
}

func TestMedian(t *testing.T) {
	require.Zero(t, median(nil))
	require.Equal(t, 3.0, median([]float64{3}))
	require.Equal(t, 2.0, median([]float64{9, 1, 2}))
	require.Equal(t, 2.5, median([]float64{9, 1, 2, 3}))
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	hundred := make([]int, 100)
	for i := range hundred {
		hundred[i] = 100 - i
	}
	require.Zero(t, percentile([]int(nil), 0.5))
	require.Equal(t, 50, percentile(hundred, 0.50))
	require.Equal(t, 99, percentile(hundred, 0.99))
	require.Equal(t, 100, percentile(hundred, 1))
	require.Equal(t, 1, percentile(hundred, 0))
	require.Equal(t, 7, percentile([]int{7}, 0.99))
}

func TestWhatOthersDisturbIsMeasuredAgainAsLongAsPatienceGoes(t *testing.T) {
	c := calm{share: 0.2, patience: time.Minute}
	require.False(t, c.repeat(0.2, time.Second))
	require.True(t, c.repeat(0.3, 50*time.Second))
	require.True(t, c.repeat(0.3, 50*time.Second))
	require.False(t, c.repeat(0.9, time.Second), "patience is used up")
}

func TestWithoutPatienceNothingIsWaitedFor(t *testing.T) {
	require.NoError(t, (&calm{share: 0}).wait(t.Context()))
	require.NoError(t, (&calm{share: 1, patience: time.Hour}).wait(t.Context()))
}

func TestWaitingForOthersEndsWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, (&calm{share: -1, patience: time.Hour}).wait(ctx), context.Canceled)
}
