package router_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestARateIsNothingToASinkThatIsPulledFrom(t *testing.T) {
	sub := router.Subscription{Sink: router.Sink{Kind: router.PullSink}, Delivery: router.DefaultDelivery()}
	sub.Delivery.Rate = router.Rate{Limit: 1, Per: router.Duration(time.Hour)}
	require.Zero(t, sub.Queue().Rate)
	sub.Sink.Kind = router.WebhookSink
	require.Equal(t, sub.Delivery.Rate, sub.Queue().Rate)
}
