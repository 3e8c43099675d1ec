package webhook

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestRetryAfterIsReadAsSecondsOrAsADate(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		header, date string
		want         time.Duration
	}{
		"nothing":                  {"", "", 0},
		"seconds":                  {"120", "", 2 * time.Minute},
		"no wait":                  {"0", "", 0},
		"spaces":                   {"  7 ", "", 7 * time.Second},
		"a date":                   {"Sun, 01 Mar 2026 12:01:30 GMT", "", 90 * time.Second},
		"an old form of date":      {"Sunday, 01-Mar-26 12:01:30 GMT", "", 90 * time.Second},
		"a date that has passed":   {"Sun, 01 Mar 2026 11:00:00 GMT", "", 0},
		"by the endpoint's clock":  {"Sun, 01 Mar 2026 15:00:10 GMT", "Sun, 01 Mar 2026 15:00:00 GMT", 10 * time.Second},
		"a clock that is none":     {"Sun, 01 Mar 2026 12:00:10 GMT", "today", 10 * time.Second},
		"more than there is":       {"99999999999999999999999999", "", router.MaxRetryDelay.Std()},
		"many seconds":             {"18446744073709551615", "", router.MaxRetryDelay.Std()},
		"a date in another age":    {"Fri, 01 Mar 9999 12:00:00 GMT", "", router.MaxRetryDelay.Std()},
		"a fraction is not a wait": {"1.5", "", 0},
		"nor is what is negative":  {"-5", "", 0},
		"nor are words":            {"soon", "", 0},
	} {
		h := http.Header{}
		if c.header != "" {
			h.Set("Retry-After", c.header)
		}
		if c.date != "" {
			h.Set("Date", c.date)
		}
		require.Equal(t, c.want, retryAfter(h, now), name)
	}
}

func TestAFailureTellsTheWaitThatTheEndpointAskedFor(t *testing.T) {
	answer := func(status int) router.Attempt {
		s := fakeSender(t, func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: status, Header: http.Header{"Retry-After": {"30"}}, Body: io.NopCloser(strings.NewReader(""))}, nil
		})
		return s.Send(t.Context(), requestTo(t, "https://x.example/hook"))
	}
	for _, status := range []int{429, 503, 500, 302} {
		require.Equal(t, 30*time.Second, answer(status).RetryAfter, status)
	}
	require.Zero(t, answer(200).RetryAfter)
}

func TestA410SaysThatTheEndpointIsGone(t *testing.T) {
	s := fakeSender(t, func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusGone, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("no more"))}, nil
	})
	a := s.Send(t.Context(), requestTo(t, "https://x.example/hook"))
	require.Equal(t, router.OutcomeGone, a.Outcome)
	require.Equal(t, 410, a.StatusCode)
	require.Equal(t, "no more", a.Response)
}
