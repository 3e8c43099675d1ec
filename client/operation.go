package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/url"
	"time"
)

// DeadLetter is a delivery that was given up, or an entry of the log that can't be routed.
type DeadLetter struct {
	ID           string          `json:"id,omitempty"`           // of the delivery; none for an entry of the log
	Subscription string          `json:"subscription,omitempty"` // id
	Position     string          `json:"position"`
	At           time.Time       `json:"at"` // when it was given up
	Reason       string          `json:"reason"`
	Attempts     []Attempt       `json:"attempts"`
	Event        json.RawMessage `json:"event,omitempty"`
	Raw          []byte          `json:"raw_base64,omitempty"` // the stored entry where it can't be decoded
}

// DeadLetterQuery chooses dead letters. All that is set must fit.
type DeadLetterQuery struct {
	Subscription string // id, also of one that is gone, or name
	Reason       string
	From         time.Time // given up at or after
	To           time.Time // given up before
}

func (q DeadLetterQuery) each(set func(name, value string)) {
	for name, value := range map[string]string{"subscription": q.Subscription, "reason": q.Reason, "from": formatTime(q.From), "to": formatTime(q.To)} {
		if value != "" {
			set(name, value)
		}
	}
}

// DeadLetters yields those that fit, newest first, page after page as they are asked for. An error is the last element.
func (c *Client) DeadLetters(ctx context.Context, q DeadLetterQuery) iter.Seq2[DeadLetter, error] {
	v := url.Values{}
	q.each(v.Set)
	return list[DeadLetter](ctx, c, "/v1/dead-letters", v)
}

// DeadLetter returns the one of a delivery.
func (c *Client) DeadLetter(ctx context.Context, id string) (DeadLetter, error) {
	var d DeadLetter
	err := c.getJSON(ctx, "/v1/dead-letters/"+url.PathEscape(id), nil, &d)
	return d, err
}

// Rate is how many of something there may be in a time.
type Rate struct {
	Limit int
	Per   time.Duration
}

// DeadLetterSelection says which dead letters to redrive or purge. One that selects by nothing is refused, unless All is set.
type DeadLetterSelection struct {
	DeadLetterQuery
	IDs  []string // of deliveries
	All  bool
	Rate Rate // of a redrive. Defaults to as fast as it goes.
}

func (s DeadLetterSelection) body() map[string]any {
	body := map[string]any{}
	s.each(func(name, value string) { body[name] = value })
	if len(s.IDs) > 0 {
		body["ids"] = s.IDs
	}
	if s.All {
		body["all"] = true
	}
	if s.Rate.Limit != 0 {
		body["rate"] = map[string]any{"limit": s.Rate.Limit, "per": s.Rate.Per.String()}
	}
	return body
}

// Redrive begins to put dead letters back into their queues, and returns the operation's id.
func (c *Client) Redrive(ctx context.Context, s DeadLetterSelection) (operation string, err error) {
	return c.begin(ctx, "/v1/dead-letters/redrive", s.body())
}

// Purge begins to remove dead letters, and returns the operation's id.
func (c *Client) Purge(ctx context.Context, s DeadLetterSelection) (operation string, err error) {
	return c.begin(ctx, "/v1/dead-letters/purge", s.body())
}

// CountDeadLetters tells how many a selection selects.
func (c *Client) CountDeadLetters(ctx context.Context, s DeadLetterSelection) (n int64, err error) {
	s.Rate = Rate{}
	return c.count(ctx, "/v1/dead-letters/purge", s.body())
}

// Replay says which retained events to deliver to a subscription again: those that its filter matches now. One that selects by nothing is refused, unless All is set.
type Replay struct {
	From  time.Time // accepted at or after
	To    time.Time // accepted before; zero: until now
	Types []string  // type patterns
	All   bool
}

func (r Replay) body() map[string]any {
	body := map[string]any{}
	for name, value := range map[string]string{"from": formatTime(r.From), "to": formatTime(r.To)} {
		if value != "" {
			body[name] = value
		}
	}
	if len(r.Types) > 0 {
		body["types"] = r.Types
	}
	if r.All {
		body["all"] = true
	}
	return body
}

// Replay begins to deliver retained events to a subscription again, as new deliveries, and returns the operation's id.
func (c *Client) Replay(ctx context.Context, ref string, r Replay) (operation string, err error) {
	return c.begin(ctx, Subscription.at(ref)+"/replay", r.body())
}

// CountReplay tells how many events a replay would deliver.
func (c *Client) CountReplay(ctx context.Context, ref string, r Replay) (n int64, err error) {
	return c.count(ctx, Subscription.at(ref)+"/replay", r.body())
}

// begin asks for an operation. Asking again is safe: while one that does the same is under way, there is no other.
func (c *Client) begin(ctx context.Context, path string, body map[string]any) (operation string, err error) {
	var got struct {
		Operation string `json:"operation"`
	}
	err = c.post(ctx, request{path: path, repeat: always}, body, &got)
	return got.Operation, err
}

func (c *Client) count(ctx context.Context, path string, body map[string]any) (n int64, err error) {
	var got struct {
		Count int64 `json:"count"`
	}
	body["dry_run"] = true
	err = c.post(ctx, request{path: path, repeat: always}, body, &got)
	return got.Count, err
}

// Operation is work that takes longer than a request.
type Operation struct {
	ID      string           `json:"id"`
	Kind    string           `json:"kind"`   // "redrive", "purge", "replay"
	Status  string           `json:"status"` // "running", "done", "failed"
	Created time.Time        `json:"created"`
	Ended   time.Time        `json:"ended,omitzero"`
	Total   int64            `json:"total"` // what there was to do when it began
	Done    int64            `json:"done"`
	Counts  map[string]int64 `json:"counts"` // what was done, in a word each
	Error   string           `json:"error,omitempty"`
}

// Operation returns one.
func (c *Client) Operation(ctx context.Context, id string) (Operation, error) {
	var o Operation
	err := c.getJSON(ctx, "/v1/operations/"+url.PathEscape(id), nil, &o)
	return o, err
}

// Await asks for an operation until it has ended, and shows each answer to watch, which may be nil.
func (c *Client) Await(ctx context.Context, id string, watch func(Operation)) (Operation, error) {
	const first, most = 50 * time.Millisecond, time.Second
	for wait := first; ; wait = min(2*wait, most) {
		o, err := c.Operation(ctx, id)
		if err != nil {
			return o, err
		}
		if watch != nil {
			watch(o)
		}
		if o.Status != "running" {
			return o, nil
		}
		if err := c.cfg.Sleep(ctx, wait); err != nil {
			return o, err
		}
	}
}
