package router_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestRatesBreakersAndOrderAreNothingToASinkThatIsPulledFrom(t *testing.T) {
	sub := router.Subscription{Sink: router.Sink{Kind: router.PullSink}, Delivery: router.DefaultDelivery()}
	sub.Delivery.Rate = router.Rate{Limit: 1, Per: router.Duration(time.Hour)}
	sub.Delivery.Ordered = true
	require.Zero(t, sub.Queue().Rate)
	require.Zero(t, sub.Queue().Breaker)
	require.False(t, sub.Ordered())
	sub.Sink.Kind = router.WebhookSink
	require.Equal(t, sub.Delivery.Rate, sub.Queue().Rate)
	require.Equal(t, sub.Delivery.Breaker, sub.Queue().Breaker)
	require.True(t, sub.Ordered())
}
