package router_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// A handler that fails is called again by its schedule. What it returns decides about its own deliveries only.
func ExampleRouter_Subscribe() {
	r, _, stop := embedded(nil)
	defer stop()
	ctx := context.Background()

	results := make(chan string)
	attempts := 0
	_, err := r.Subscribe(ctx, "order.paid", "ship", func(_ context.Context, e router.Event) error {
		attempts++ // one call at a time, see MaxInFlight
		if attempts == 1 {
			results <- e.ID() + " failed"
			return errors.New("no stock")
		}
		results <- e.ID() + " shipped"
		return nil
	}, router.HandlerConfig{
		Timeout:     10 * time.Second,
		MaxInFlight: 1,
		Retry:       &router.Retry{Schedule: []router.Duration{router.Duration(20 * time.Millisecond), router.Duration(time.Minute)}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := r.Publish(ctx, order("42", "order.paid")); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-results)
	fmt.Println(<-results)
	// Output:
	// 42 failed
	// 42 shipped
}

// What is queued while no replica has the handler waits for the next one that subscribes under its name.
func ExampleHandling_Close() {
	r, _, stop := embedded(nil)
	defer stop()
	ctx := context.Background()

	handled := make(chan string)
	handler := func(_ context.Context, e router.Event) error {
		handled <- e.ID()
		return nil
	}
	handling, err := r.Subscribe(ctx, "order.*", "billing", handler, router.HandlerConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	handling.Close()
	if _, err := r.Publish(ctx, order("1", "order.paid")); err != nil {
		fmt.Println(err)
		return
	}
	if _, err := r.Subscribe(ctx, "order.*", "billing", handler, router.HandlerConfig{}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-handled)
	// Output: 1
}
