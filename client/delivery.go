package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Delivery is what is recorded of one delivery.
type Delivery struct {
	ID           string    `json:"id"`
	Subscription string    `json:"subscription"` // id
	Position     string    `json:"position"`     // of its event
	Status       string    `json:"status"`       // "pending", "retrying", "delivered" or "dead"
	Attempts     []Attempt `json:"attempts"`     // those that ended, the first one first
	NextAttempt  time.Time `json:"next_attempt,omitzero"`
	LeaseUntil   time.Time `json:"lease_until,omitzero"` // under way: until when it is somebody's
	Worker       string    `json:"worker,omitempty"`     // who has pulled it, and what it says of it
	Progress     *int      `json:"progress,omitempty"`
	Note         string    `json:"note,omitempty"`
}

// DeliveryQuery chooses deliveries. All that is set must fit.
type DeliveryQuery struct {
	Subscription string // id or name
	Status       string
	Event        string // position of the event
}

// Deliveries yields those that fit, page after page as they are asked for. What moves meanwhile may be listed twice, or not. An error is the last element.
func (c *Client) Deliveries(ctx context.Context, q DeliveryQuery) iter.Seq2[Delivery, error] {
	v := url.Values{}
	for name, value := range map[string]string{"subscription": q.Subscription, "status": q.Status, "event": q.Event} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return list[Delivery](ctx, c, "/v1/deliveries", v)
}

// Delivery returns one.
func (c *Client) Delivery(ctx context.Context, id string) (Delivery, error) {
	var d Delivery
	err := c.getJSON(ctx, "/v1/deliveries/"+url.PathEscape(id), nil, &d)
	return d, err
}

// RetryDelivery makes one due now that waits for its next attempt, and returns it.
func (c *Client) RetryDelivery(ctx context.Context, id string) (Delivery, error) {
	var d Delivery
	a, err := c.do(ctx, request{method: http.MethodPost, path: "/v1/deliveries/" + url.PathEscape(id) + "/retry", repeat: always})
	if err != nil {
		return d, err
	}
	return d, a.decode(&d)
}
