package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// PullOptions say what to pull. The zero value takes up to ten deliveries, without waiting.
type PullOptions struct {
	Max    int           // deliveries, 1 to 100
	Wait   time.Duration // for the first one, up to a minute
	Lease  time.Duration // how long they are the worker's. Defaults to what the subscription says.
	Worker string        // what the worker calls itself, for people
}

// Pulled is a delivery that a worker has until LeaseUntil. Before that, it says what became of it, with the receipt.
type Pulled struct {
	Receipt    string          `json:"receipt"`
	Delivery   string          `json:"delivery"` // the delivery's id, the same at each attempt
	Attempt    int             `json:"attempt"`  // counted from 1
	LeaseUntil time.Time       `json:"lease_until"`
	Event      json.RawMessage `json:"event"` // the CloudEvent
}

// Pull takes deliveries of a subscription whose sink is pulled from. None, without an error, means that there was none in all the time that it waited.
func (c *Client) Pull(ctx context.Context, ref string, o PullOptions) ([]Pulled, error) {
	body := map[string]any{}
	if o.Max != 0 {
		body["max"] = o.Max
	}
	if o.Worker != "" {
		body["worker"] = o.Worker
	}
	for name, d := range map[string]time.Duration{"wait": o.Wait, "lease": o.Lease} {
		if d != 0 {
			body[name] = d.String()
		}
	}
	var got struct {
		Items []Pulled `json:"items"`
	}
	// Where an answer is lost, the leases of what it held run out.
	err := c.post(ctx, request{path: Subscription.at(ref) + "/pull", repeat: always, wait: o.Wait}, body, &got)
	return got.Items, err
}

// ReceiptResult says what became of a receipt.
type ReceiptResult struct {
	Receipt    string    `json:"receipt"`
	Result     string    `json:"result"`               // "ok", or "expired": it was not good any more, and nothing was changed
	LeaseUntil time.Time `json:"lease_until,omitzero"` // of Extend
}

// OK tells whether the receipt was good.
func (r ReceiptResult) OK() bool { return r.Result == "ok" }

// Ack says that deliveries are done. It is not repeated by itself: an answer that was lost would make good receipts look expired.
func (c *Client) Ack(ctx context.Context, ref string, receipts ...string) ([]ReceiptResult, error) {
	return c.answerPulled(ctx, ref, "ack", map[string]any{"receipts": receipts})
}

// Nack gives deliveries back after a failure, to be pulled again after a delay; those whose attempts are used up become dead letters.
func (c *Client) Nack(ctx context.Context, ref string, delay time.Duration, receipts ...string) ([]ReceiptResult, error) {
	return c.answerPulled(ctx, ref, "nack", map[string]any{"receipts": receipts, "delay": delay.String()})
}

// ExtendOptions are what a worker says while it works.
type ExtendOptions struct {
	Lease    time.Duration // from now on. Defaults to what the subscription says.
	Progress *int          // 0 to 100. Defaults to what was said before.
	Note     *string       // Defaults to what was said before.
}

// Extend makes the leases of deliveries end at another time. The receipts stay the same.
func (c *Client) Extend(ctx context.Context, ref string, o ExtendOptions, receipts ...string) ([]ReceiptResult, error) {
	body := map[string]any{"receipts": receipts}
	if o.Lease != 0 {
		body["lease"] = o.Lease.String()
	}
	if o.Progress != nil {
		body["progress"] = *o.Progress
	}
	if o.Note != nil {
		body["note"] = *o.Note
	}
	return c.answerPulled(ctx, ref, "extend", body)
}

func (c *Client) answerPulled(ctx context.Context, ref, what string, body any) ([]ReceiptResult, error) {
	var got struct {
		Results []ReceiptResult `json:"results"`
	}
	err := c.post(ctx, request{path: Subscription.at(ref) + "/" + what}, body, &got)
	return got.Results, err
}

// post makes a POST call with a JSON body and decodes the answer.
func (c *Client) post(ctx context.Context, r request, body, v any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("make a request: %w", err)
	}
	r.method, r.header, r.body = http.MethodPost, jsonHeader(), text
	a, err := c.do(ctx, r)
	if err != nil {
		return err
	}
	return a.decode(v)
}
