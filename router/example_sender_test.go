package router_test

import (
	"context"
	"fmt"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// printer is a Sender that prints instead of sending.
type printer chan string

func (p printer) Send(_ context.Context, s router.Sending) router.Attempt {
	p <- fmt.Sprintf("%s: attempt %d of %s for %s", s.Subscription.Name, s.Attempt, s.Event.Type(), s.Subscription.Sink.URL)
	return router.Attempt{At: time.Now(), Outcome: router.OutcomeDelivered}
}

// A Sender makes the attempts for one kind of sink; queues, limits, retries and dead letters are the Router's.
func ExampleSender() {
	sent := make(printer)
	r, store, stop := embedded(map[router.SinkKind]router.Sender{router.WebhookSink: sent})
	defer stop()
	ctx := context.Background()

	_, err := store.CreateSubscription(ctx, router.Subscription{
		Name: "billing", Enabled: true,
		Filter:   router.Filter{Types: []string{"order.*"}},
		Sink:     router.Sink{Kind: router.WebhookSink, URL: "https://billing.example/hook", Mode: router.Structured, Timeout: router.DefaultSinkTimeout},
		Delivery: router.DefaultDelivery(),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := r.Publish(ctx, order("1", "order.paid")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-sent)
	// Output: billing: attempt 1 of order.paid for https://billing.example/hook
}
