// Package client calls the HTTP API of a Streamlatch server. The command line is made of it.
//
// # Usage
//
//	c, err := client.New(client.Config{Server: "https://events.example", APIKey: key})
//	…
//	event, err := client.NewEvent(client.EventFields{Type: "order.paid", Source: "/shop", Data: []byte(`{"total": 12}`)})
//	…
//	results, err := c.Publish(ctx, []client.Event{event})
//
// # Guarantees
//
//   - What is sent again is safe to send again: events have their ids before the first attempt, so that a repeat is a duplicate and is stored
//     once; other calls are repeated only where that changes nothing, or where the server says that nothing was done.
//   - The text of an event is never rewritten: payload, times and numbers reach the server as they were given.
//   - Stream goes on after a lost connection where it stopped, by the server's cursor.
//   - An answer that is an error is an *Error, with the faulty fields where the server named them.
//
// # Limits
//
// Redirects are not followed, since they would carry the API key elsewhere. Answers are read up to 64 MiB.
package client
