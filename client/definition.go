package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Kind is a kind of definitions.
type Kind string

// The kinds.
const (
	Subscription Kind = "subscription"
	Trigger      Kind = "trigger"
	Source       Kind = "source"
)

// path is where definitions of the kind are.
func (k Kind) path() string { return "/v1/" + string(k) + "s" }

func (k Kind) at(ref string) string { return k.path() + "/" + url.PathEscape(ref) }

// Definition is what the server has under a name or id: a JSON document, kept as it was sent.
type Definition struct {
	Kind     Kind
	Document json.RawMessage
	ETag     string // of the version that Document is
}

// Decode reads the document into a value, as encoding/json does.
func (d Definition) Decode(v any) error {
	if err := json.Unmarshal(d.Document, v); err != nil {
		return fmt.Errorf("decode the %s: %w", d.Kind, err)
	}
	return nil
}

// Definitions yields all of a kind, in the server's order. An error is the last element.
func (c *Client) Definitions(ctx context.Context, kind Kind) iter.Seq2[Definition, error] {
	return func(yield func(Definition, error) bool) {
		for document, err := range list[json.RawMessage](ctx, c, kind.path(), nil) {
			var tag struct {
				ETag string `json:"etag"`
			}
			if err == nil {
				err = Definition{Kind: kind, Document: document}.Decode(&tag)
			}
			if !yield(Definition{kind, document, tag.ETag}, err) || err != nil {
				return
			}
		}
	}
}

// Definition returns the one with that id or name, its status included.
func (c *Client) Definition(ctx context.Context, kind Kind, ref string) (Definition, error) {
	a, err := c.do(ctx, request{method: http.MethodGet, path: kind.at(ref), repeat: always})
	return a.definition(kind), err
}

// Create makes a new one. The answer shows a secret that the server made, once.
func (c *Client) Create(ctx context.Context, kind Kind, document []byte) (Definition, error) {
	a, err := c.do(ctx, request{method: http.MethodPost, path: kind.path(), header: jsonHeader(), body: document})
	return a.definition(kind), err
}

// Condition is what must hold for a change to be made; else it is refused with status 412. The zero Condition always holds.
type Condition struct {
	ETag   string // the definition has this version
	Absent bool   // there is none yet
}

func (cond Condition) addTo(h http.Header) http.Header {
	if cond.ETag != "" {
		h["If-Match"] = []string{cond.ETag}
	}
	if cond.Absent {
		h["If-None-Match"] = []string{"*"}
	}
	return h
}

// Put makes the document the definition of that name: it creates or replaces.
func (c *Client) Put(ctx context.Context, kind Kind, name string, document []byte, cond Condition) (Definition, error) {
	r := request{method: http.MethodPut, path: kind.at(name), header: cond.addTo(jsonHeader()), body: document, repeat: always}
	if cond != (Condition{}) {
		r.repeat = refused // a repeat of what was done would be refused
	}
	a, err := c.do(ctx, r)
	return a.definition(kind), err
}

// Delete removes one, and tells how much is dropped with it: of a subscription, deliveries that were waiting; of a trigger, keys for which something was
// recorded; of a source, nothing.
func (c *Client) Delete(ctx context.Context, kind Kind, ref string, cond Condition) (dropped int64, err error) {
	a, err := c.do(ctx, request{method: http.MethodDelete, path: kind.at(ref), header: cond.addTo(http.Header{})})
	if err != nil {
		return 0, err
	}
	var got struct {
		Deliveries int64 `json:"dropped_deliveries"`
		Partials   int64 `json:"dropped_partials"`
	}
	err = a.decode(&got)
	return got.Deliveries + got.Partials, err
}

// Pause stops sending to a subscription's sink: events that match are queued. It returns the subscription with its status.
func (c *Client) Pause(ctx context.Context, ref string) (Definition, error) {
	a, err := c.do(ctx, request{method: http.MethodPost, path: Subscription.at(ref) + "/pause", repeat: always})
	return a.definition(Subscription), err
}

// Resume ends a pause, and returns the subscription with its status.
func (c *Client) Resume(ctx context.Context, ref string) (Definition, error) {
	a, err := c.do(ctx, request{method: http.MethodPost, path: Subscription.at(ref) + "/resume", repeat: always})
	return a.definition(Subscription), err
}

func jsonHeader() http.Header { return http.Header{"Content-Type": {"application/json"}} }

func (a answer) definition(kind Kind) Definition {
	return Definition{kind, json.RawMessage(a.body), a.header.Get("Etag")}
}

// RotateSecret gives a subscription a new signing secret, which the answer shows, this once. The one before signs as well for 24 hours.
func (c *Client) RotateSecret(ctx context.Context, ref string) (Definition, error) {
	a, err := c.do(ctx, request{method: http.MethodPost, path: Subscription.at(ref) + "/rotate-secret"})
	return a.definition(Subscription), err
}

// Attempt is one try at a delivery.
type Attempt struct {
	At         time.Time `json:"at"`
	Duration   string    `json:"duration"` // "12ms"
	Outcome    string    `json:"outcome"`  // "delivered", or why not: "refused", "status", "timeout", …
	StatusCode int       `json:"status_code"`
	Error      string    `json:"error"`
	Response   string    `json:"response"` // the beginning of a failure's answer
}

// Test has the server send one marked test event to a subscription's sink, and returns the attempt.
func (c *Client) Test(ctx context.Context, ref string) (Attempt, error) {
	a, err := c.do(ctx, request{method: http.MethodPost, path: Subscription.at(ref) + "/test"})
	if err != nil {
		return Attempt{}, err
	}
	var attempt Attempt
	err = a.decode(&attempt)
	return attempt, err
}

// TestedSource is what became of a sample.
type TestedSource struct {
	Position string          `json:"position"` // in the log
	Event    json.RawMessage `json:"event"`    // a CloudEvent in JSON
}

// TestSource has the server make a message as a source's provider would send it, and take it like any other one. It is stored.
func (c *Client) TestSource(ctx context.Context, ref string) (TestedSource, error) {
	a, err := c.do(ctx, request{method: http.MethodPost, path: Source.at(ref) + "/test"})
	if err != nil {
		return TestedSource{}, err
	}
	var tested TestedSource
	err = a.decode(&tested)
	return tested, err
}
