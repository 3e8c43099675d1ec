package router_test

import (
	"context"
	"fmt"

	"github.com/streamlatch/streamlatch/router"
)

// A handler publishes with the context that it was given, so that events which are derived from each other in a circle come to an end. An id
// that is made of the cause's makes a repeated call harmless: the event is stored once.
func ExampleRouter_Publish() {
	r, _, stop := embedded(nil)
	defer stop()
	ctx := context.Background()

	ended := make(chan error)
	_, err := r.Subscribe(ctx, "order.*", "echo", func(ctx context.Context, e router.Event) error {
		if _, err := r.Publish(ctx, order(e.ID()+"x", "order.echoed")); err != nil {
			fmt.Println("after", e.Hops(), "hops:", router.ErrorCode(err))
			ended <- err
		}
		return nil
	}, router.HandlerConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := r.Publish(ctx, order("1", "order.paid")); err != nil {
		fmt.Println(err)
		return
	}
	if err := <-ended; err == nil {
		fmt.Println("it goes on for ever")
	}
	// Output: after 16 hops: loop
}
