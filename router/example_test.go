package router_test

import (
	"context"
	"fmt"

	"github.com/alicebob/miniredis/v2"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// A program that routes events to its own code. With several replicas of it, each event is handled by one of them.
func Example() {
	redis, err := miniredis.Run() // stands in for a real Redis
	if err != nil {
		fmt.Println(err)
		return
	}
	defer redis.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	store, err := redisstore.Open(ctx, redisstore.Config{URL: "redis://" + redis.Addr()})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer store.Close()

	r := router.New(store, router.Config{})
	stopped := make(chan error)
	go func() { stopped <- r.Run(ctx) }()

	billed := make(chan string)
	_, err = r.Subscribe(ctx, "order.*", "billing", func(_ context.Context, e router.Event) error {
		billed <- e.Type() + " " + e.DataText()
		return nil
	}, router.HandlerConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}

	order, err := router.NewEvent(router.EventFields{ID: "1", Source: "/shop", Type: "order.paid", Data: `{"total": 12}`, DataKind: router.JSONData})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := r.Publish(ctx, order); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-billed)

	stop()
	fmt.Println(<-stopped)
	// Output:
	// order.paid {"total": 12}
	// <nil>
}

// embedded runs a Router on an embedded Redis until stop is called. It panics where that can't be done.
func embedded(senders map[router.SinkKind]router.Sender) (r *router.Router, store *redisstore.Store, stop func()) {
	redis, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	store, err = redisstore.Open(ctx, redisstore.Config{URL: "redis://" + redis.Addr()})
	if err != nil {
		panic(err)
	}
	r = router.New(store, router.Config{Senders: senders})
	stopped := make(chan error)
	go func() { stopped <- r.Run(ctx) }()
	return r, store, func() {
		cancel()
		if err := <-stopped; err != nil {
			panic(err)
		}
		if err := store.Close(); err != nil {
			panic(err)
		}
		redis.Close()
	}
}

// order makes an event.
func order(id, eventType string) router.Event {
	e, err := router.NewEvent(router.EventFields{ID: id, Source: "/shop", Type: eventType})
	if err != nil {
		panic(err)
	}
	return e
}
