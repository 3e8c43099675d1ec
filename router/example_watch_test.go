package router_test

import (
	"context"
	"fmt"

	"github.com/streamlatch/streamlatch/router"
)

// A cache that every replica keeps of its own is kept fresh in every replica. A function may end its own watching.
func ExampleRouter_Watch() {
	r, _, stop := embedded(nil)
	defer stop()
	ctx := context.Background()

	forgotten, last := make(chan string), make(chan string, 1)
	_, err := r.Watch(ctx, "price.*", func(_ context.Context, e router.Event) { forgotten <- e.ID() })
	if err != nil {
		fmt.Println(err)
		return
	}
	self := make(chan *router.Watching, 1)
	watching, err := r.Watch(ctx, "price.*", func(_ context.Context, e router.Event) {
		(<-self).Close()
		last <- e.ID()
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	self <- watching

	for _, id := range []string{"a", "b"} {
		if _, err := r.Publish(ctx, order(id, "price.changed")); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("forget", <-forgotten)
	}
	fmt.Println("the other one saw only", <-last)
	// Output:
	// forget a
	// forget b
	// the other one saw only a
}
