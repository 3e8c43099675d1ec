package client_test

import (
	"context"
	"fmt"
	"net/http/httptest"

	"github.com/streamlatch/streamlatch/client"
)

func ExampleClient_Publish() {
	server := httptest.NewServer(stored("a1"))
	defer server.Close()

	c, err := client.New(client.Config{Server: server.URL})
	if err != nil {
		panic(err)
	}
	event, err := client.NewEvent(client.EventFields{ID: "a1", Source: "/shop", Type: "order.paid", Data: []byte(`{"total": 12}`)})
	if err != nil {
		panic(err)
	}
	results, err := c.Publish(context.Background(), []client.Event{event})
	fmt.Println(results[0].Position, results[0].Duplicate, err)
	// Output: 0:a1 false <nil>
}

func ExampleClient_Stream() {
	server := httptest.NewServer(sse("id: c1\ndata: {\"position\":\"0:1732128000000-0\",\"event\":{\"type\":\"order.paid\"}}\n\n"))
	defer server.Close()

	c, err := client.New(client.Config{Server: server.URL})
	if err != nil {
		panic(err)
	}
	for record, err := range c.Stream(context.Background(), client.StreamQuery{Types: []string{"order.*"}}) {
		if err != nil {
			panic(err)
		}
		fmt.Println(record.Position, string(record.Event))
		break
	}
	// Output: 0:1732128000000-0 {"type":"order.paid"}
}
