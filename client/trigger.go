package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Partial is what a trigger has recorded for a key.
type Partial struct {
	ID           string          `json:"id"`
	Key          json.RawMessage `json:"key"`
	Have         []Held          `json:"have"`
	Missing      []string        `json:"missing"` // names of leaves; empty where only time is missing
	Deadline     *time.Time      `json:"deadline"`
	CoolingUntil *time.Time      `json:"cooling_until"`
}

// Held is an event that a partial holds.
type Held struct {
	Leaf     string     `json:"leaf"`
	Position string     `json:"position"`
	ID       string     `json:"id"`
	Source   string     `json:"source"`
	Time     time.Time  `json:"time"`     // when it was accepted
	StaleAt  *time.Time `json:"stale_at"` // the last millisecond at which it can be of use; nil: no time makes it stale
}

// Firing is an event that a trigger has appended.
type Firing struct {
	Position string          `json:"position"`
	ID       string          `json:"id"`
	Time     time.Time       `json:"time"`
	Key      json.RawMessage `json:"key"`
	Events   []Joined        `json:"events"`
}

// Joined is an event that a firing joined.
type Joined struct {
	Name     string `json:"name"` // of the leaf that it met
	Position string `json:"position"`
	ID       string `json:"id"`
	Source   string `json:"source"`
}

// Explanation says what became of an event.
type Explanation struct {
	Subscriptions []SubscriptionFate `json:"subscriptions"`
	Triggers      []TriggerFate      `json:"triggers"`
	Truncated     bool               `json:"truncated"` // the log has more events than were looked at
}

// SubscriptionFate is what an event is to a subscription.
type SubscriptionFate struct {
	Ref      string `json:"ref"`
	Matched  bool   `json:"matched"`
	Delivery string `json:"delivery"`
	Status   string `json:"status"`
	Reason   string `json:"reason"`
	Field    string `json:"field"` // the first one that does not match
	Wanted   string `json:"wanted"`
	Found    string `json:"found"`
}

// TriggerFate is what became of an event at a leaf of a trigger.
type TriggerFate struct {
	Ref     string          `json:"ref"`
	Leaf    string          `json:"leaf"`
	Key     json.RawMessage `json:"key"`
	Outcome string          `json:"outcome"`
	Missing []string        `json:"missing"`
	Firing  string          `json:"firing"`
	By      string          `json:"by"`
	Reason  string          `json:"reason"`
	Field   string          `json:"field"`
	Wanted  string          `json:"wanted"`
	Found   string          `json:"found"`
}

// Partials yields what a trigger has recorded, of one key where that is not nil. An error is the last element.
func (c *Client) Partials(ctx context.Context, ref string, key json.RawMessage) iter.Seq2[Partial, error] {
	q := url.Values{}
	if key != nil {
		q.Set("key", string(key))
	}
	return list[Partial](ctx, c, Trigger.at(ref)+"/partials", q)
}

// DropPartial drops what a trigger has recorded for one key.
func (c *Client) DropPartial(ctx context.Context, ref, id string) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: Trigger.at(ref) + "/partials/" + url.PathEscape(id)})
	return err
}

// Firings yields a trigger's firings that the log still has, newest first. An error is the last element.
func (c *Client) Firings(ctx context.Context, ref string) iter.Seq2[Firing, error] {
	return list[Firing](ctx, c, Trigger.at(ref)+"/firings", nil)
}

// Explain says what became of the event at a position; with a subscription or a trigger, also why that did not match.
func (c *Client) Explain(ctx context.Context, position, subscription, trigger string) (Explanation, error) {
	q := url.Values{}
	for name, value := range map[string]string{"subscription": subscription, "trigger": trigger} {
		if value != "" {
			q.Set(name, value)
		}
	}
	var e Explanation
	err := c.getJSON(ctx, "/v1/events/"+url.PathEscape(position)+"/explain", q, &e)
	return e, err
}
