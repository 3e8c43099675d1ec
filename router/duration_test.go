package router_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestParseDurationReadsGoUnitsAndDays(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"0":        0,
		"0s":       0,
		"5s":       5 * time.Second,
		"90s":      90 * time.Second,
		"1h30m":    90 * time.Minute,
		"1.5h":     90 * time.Minute,
		"250ms":    250 * time.Millisecond,
		"1µs":      time.Microsecond,
		"7d":       7 * 24 * time.Hour,
		"1d12h":    36 * time.Hour,
		"0.5d":     12 * time.Hour,
		"1d0.5s":   24*time.Hour + 500*time.Millisecond,
		"106751d":  106751 * 24 * time.Hour,
		"2562047h": 2562047 * time.Hour,
	} {
		got, err := router.ParseDuration(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got.Std(), in)
	}
}

func TestParseDurationRefusesWhatItCannotReadWithTheTextInTheMessage(t *testing.T) {
	for _, in := range []string{
		"", " ", "5", "d", "h", "5x", "5 s", " 5s", "1d 2h", "1h2d", "1dd", "1d0", "d5s", "1d2", "-5s", "+5s", "1d-2h", "-0s",
		"1e3s", "106752d", "9999999999999h", "106751d24h", "0x5s", "5s\n", "5s\x00", "٥s", "NaNs", "Infd", "1_000s",
	} {
		_, err := router.ParseDuration(in)
		require.Error(t, err, "%q", in)
		require.Equal(t, router.Invalid, router.ErrorCode(err))
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "\x00")
	}
	_, err := router.ParseDuration("7days")
	require.ErrorContains(t, err, `"7days"`)
	_, err = router.ParseDuration(strings.Repeat("9", 10_000))
	require.Less(t, len(err.Error()), 200)
}

func TestDurationPrintsOneCanonicalForm(t *testing.T) {
	for want, in := range map[string]time.Duration{
		"0s":      0,
		"5s":      5 * time.Second,
		"1m30s":   90 * time.Second,
		"1m30.5s": 90500 * time.Millisecond,
		"5m":      5 * time.Minute,
		"2h":      2 * time.Hour,
		"1h250ms": time.Hour + 250*time.Millisecond,
		"1h1ns":   time.Hour + 1,
		"1d":      24 * time.Hour,
		"1d12h":   36 * time.Hour,
		"7d":      7 * 24 * time.Hour,
		"250ms":   250 * time.Millisecond,
		"1µs":     time.Microsecond,
		"-1d1s":   -24*time.Hour - time.Second,
	} {
		require.Equal(t, want, router.Duration(in).String())
	}
	require.NotPanics(t, func() { _ = router.Duration(math.MinInt64).String() })
}

func TestDurationIsAStringInJSON(t *testing.T) {
	type document struct {
		Timeout router.Duration `json:"timeout,omitempty"`
	}
	var d document
	require.NoError(t, json.Unmarshal([]byte(`{"timeout":"36h"}`), &d))
	require.Equal(t, 36*time.Hour, d.Timeout.Std())
	b, err := json.Marshal(d)
	require.NoError(t, err)
	require.JSONEq(t, `{"timeout":"1d12h"}`, string(b))
	require.NoError(t, json.Unmarshal([]byte(`{"timeout":null}`), &d))
	require.Equal(t, 36*time.Hour, d.Timeout.Std(), "null changes nothing")

	b, err = json.Marshal(document{})
	require.NoError(t, err)
	require.JSONEq(t, `{}`, string(b))

	for _, bad := range []string{`{"timeout":15}`, `{"timeout":"15"}`, `{"timeout":{}}`, `{"timeout":true}`, `{"timeout":"-1s"}`} {
		require.Error(t, json.Unmarshal([]byte(bad), &d), bad)
	}
	require.ErrorContains(t, json.Unmarshal([]byte(`{"timeout":15}`), &d), `such as "90s" or "7d", not "15"`)
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"0", "5s", "1d12h", "0.5d", "1h1ns", "106751d23h47m16s854ms", "-1s", "1dd", "9e9d", "d", "1d1d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := router.ParseDuration(s)
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, d, router.Duration(0))
		again, err := router.ParseDuration(d.String())
		require.NoError(t, err)
		require.Equal(t, d, again, "String is the inverse of ParseDuration")
		if std, err := time.ParseDuration(s); err == nil {
			require.Equal(t, std, d.Std(), "Go's durations mean what they mean in Go")
		}
	})
}
