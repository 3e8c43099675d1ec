package router_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestRetryFollowsTheScheduleAndEndsInTheDeadLetters(t *testing.T) {
	const middle = 0.5 // no jitter
	failed := router.Result{Outcome: router.OutcomeStatus}
	for i, want := range []string{"5s", "5m", "30m", "2h", "5h", "10h"} {
		d, err := router.ParseDuration(want)
		require.NoError(t, err)
		require.Equal(t,
			router.Decision{Verdict: router.Retrying, After: d.Std(), Reason: router.ReasonScheduled},
			router.DefaultRetry().Next(i+1, failed, middle))
	}
	for _, attempt := range []int{7, 8, 1_000_000} {
		require.Equal(t,
			router.Decision{Verdict: router.Dead, Reason: router.ReasonExhausted},
			router.DefaultRetry().Next(attempt, failed, middle))
	}
}

func TestRetryTreatsEveryFailureTheSameExceptAShutdownAndAnEndpointThatIsGone(t *testing.T) {
	r := router.Retry{Schedule: []router.Duration{router.Duration(time.Minute)}}
	for _, outcome := range router.Outcomes() {
		first, last := r.Next(1, router.Result{Outcome: outcome}, 0), r.Next(2, router.Result{Outcome: outcome}, 0)
		switch outcome {
		case router.OutcomeDelivered:
			require.Equal(t, router.Decision{Verdict: router.Delivered, Reason: router.ReasonDelivered}, first)
			require.Equal(t, first, last)
		case router.OutcomeCanceled:
			require.Equal(t, router.Decision{Verdict: router.Retrying, Reason: router.ReasonReleased}, first)
			require.Equal(t, first, last, "a shutdown never makes a dead letter")
		case router.OutcomeGone:
			require.Equal(t, router.Decision{Verdict: router.Dead, Reason: router.ReasonGone, Disable: true}, first)
			require.Equal(t, first, last)
		default:
			require.Equal(t, router.Decision{Verdict: router.Retrying, After: time.Minute, Reason: router.ReasonScheduled}, first, outcome)
			require.Equal(t, router.Decision{Verdict: router.Dead, Reason: router.ReasonExhausted}, last, outcome)
		}
	}
}

func TestRetrySpreadsDelaysWithinTheJitterOnly(t *testing.T) {
	minute := []router.Duration{router.Duration(time.Minute)}
	for _, c := range []struct {
		jitter, rnd float64
		want        time.Duration
	}{
		{0.2, 0, 48 * time.Second},
		{0.2, 0.25, 54 * time.Second},
		{0.2, 0.5, time.Minute},
		{0.2, 0.75, 66 * time.Second},
		{0.2, math.Nextafter(1, 0), 72 * time.Second},
		{0, 0, time.Minute},
		{0, 0.999, time.Minute},
		{1, 0, 0},
		{1, math.Nextafter(1, 0), 2 * time.Minute},
	} {
		got := router.Retry{Schedule: minute, Jitter: c.jitter}.Next(1, router.Result{Outcome: router.OutcomeTimeout}, c.rnd)
		require.InDelta(t, float64(c.want), float64(got.After), float64(time.Microsecond), "jitter %v, rnd %v", c.jitter, c.rnd)
	}
}

func TestTheWaitThatAnEndpointAsksForIsGivenWithinTheSchedule(t *testing.T) {
	schedule := []router.Duration{router.Duration(10 * time.Second), router.Duration(time.Minute), router.Duration(30 * time.Second)}
	for name, c := range map[string]struct {
		asked   time.Duration
		attempt int
		jitter  float64
		rnd     float64
		want    time.Duration
		reason  router.Reason
	}{
		"nothing":                     {0, 1, 0, 0.5, 10 * time.Second, router.ReasonScheduled},
		"less than the step":          {3 * time.Second, 1, 0, 0.5, 10 * time.Second, router.ReasonScheduled},
		"as much as the step":         {10 * time.Second, 1, 0, 0.5, 10 * time.Second, router.ReasonScheduled},
		"more than the step":          {40 * time.Second, 1, 0, 0.5, 40 * time.Second, router.ReasonRetryAfter},
		"more than the longest step":  {time.Hour, 1, 0, 0.5, time.Minute, router.ReasonRetryAfter},
		"on the longest step":         {time.Hour, 2, 0, 0.5, time.Minute, router.ReasonScheduled},
		"on the last step":            {time.Hour, 3, 0, 0.5, time.Minute, router.ReasonRetryAfter},
		"never earlier than asked":    {40 * time.Second, 1, 0.2, 0, 40 * time.Second, router.ReasonRetryAfter},
		"spread to the later side":    {40 * time.Second, 1, 0.2, 0.5, 44 * time.Second, router.ReasonRetryAfter},
		"a step that jitter makes so": {10 * time.Second, 1, 0.2, 0, 10 * time.Second, router.ReasonRetryAfter},
		"negative":                    {-time.Hour, 1, 0, 0.5, 10 * time.Second, router.ReasonScheduled},
	} {
		retry := router.Retry{Schedule: schedule, Jitter: c.jitter}
		got := retry.Next(c.attempt, router.Result{Outcome: router.OutcomeStatus, RetryAfter: c.asked}, c.rnd)
		require.Equal(t, router.Retrying, got.Verdict, name)
		require.Equal(t, c.reason, got.Reason, name)
		require.InDelta(t, float64(c.want), float64(got.After), float64(time.Microsecond), name)
	}
	over := router.Retry{Schedule: schedule}.Next(4, router.Result{Outcome: router.OutcomeStatus, RetryAfter: time.Second}, 0)
	require.Equal(t, router.Decision{Verdict: router.Dead, Reason: router.ReasonExhausted}, over, "it does not lengthen the schedule")
}

func TestAnEmptyScheduleTriesOnce(t *testing.T) {
	require.Equal(t, router.Dead, router.Retry{}.Next(1, router.Result{Outcome: router.OutcomeRefused}, 0).Verdict)
	require.NoError(t, router.Retry{}.Check())
}

func TestRetryCheckNamesEveryFaultyField(t *testing.T) {
	require.NoError(t, router.DefaultRetry().Check())
	second := router.Duration(time.Second)
	for _, c := range []struct {
		retry router.Retry
		at    []string
	}{
		{router.Retry{Schedule: []router.Duration{second, 0}}, []string{"delivery.retry.schedule[1]"}},
		{router.Retry{Schedule: []router.Duration{-second}}, []string{"delivery.retry.schedule[0]"}},
		{router.Retry{Schedule: []router.Duration{router.MaxRetryDelay + 1, second, -1}}, []string{"delivery.retry.schedule[0]", "delivery.retry.schedule[2]"}},
		{router.Retry{Schedule: make([]router.Duration, 10_000)}, nil},
		{router.Retry{Jitter: -0.1}, []string{"delivery.retry.jitter"}},
		{router.Retry{Jitter: 1.1}, []string{"delivery.retry.jitter"}},
		{router.Retry{Jitter: math.NaN()}, []string{"delivery.retry.jitter"}},
	} {
		var refused *router.Error
		require.ErrorAs(t, c.retry.Check(), &refused)
		require.Equal(t, router.Invalid, refused.Code)
		var at []string
		for _, p := range refused.Problems {
			at = append(at, p.Location)
		}
		if c.at != nil {
			require.Equal(t, c.at, at)
		}
		require.LessOrEqual(t, len(at), router.MaxRetries+2, "a long list does not make a long answer")
	}
}

func TestOutcomesAreDistinctLabels(t *testing.T) {
	seen := map[router.Outcome]bool{}
	for _, o := range router.Outcomes() {
		require.False(t, seen[o], o)
		require.Equal(t, strings.ToLower(string(o)), string(o))
		require.NotContains(t, string(o), " ")
		seen[o] = true
	}
}
