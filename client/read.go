package client

import (
	"context"
	"encoding/json"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Record is an event of the log.
type Record struct {
	Position   string          `json:"position"` // "0:1732128000000-0"
	AcceptedAt time.Time       `json:"accepted_at"`
	Event      json.RawMessage `json:"event"` // the CloudEvent
	Cursor     string          `json:"-"`     // in a stream: where it can go on after this record
}

// EventQuery chooses events. All that is set must fit.
type EventQuery struct {
	Types   []string // type patterns
	Source  string
	Subject string
	ID      string
	From    time.Time // accepted at or after
	To      time.Time // accepted before
}

func (q EventQuery) values() url.Values {
	v := url.Values{}
	if len(q.Types) > 0 {
		v.Set("types", strings.Join(q.Types, ","))
	}
	for name, value := range map[string]string{"source": q.Source, "subject": q.Subject, "id": q.ID, "from": formatTime(q.From), "to": formatTime(q.To)} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

// Events yields the retained events that fit, newest first, page after page as they are asked for. An error is the last element.
func (c *Client) Events(ctx context.Context, q EventQuery) iter.Seq2[Record, error] {
	return list[Record](ctx, c, "/v1/events", q.values())
}

// Event returns the event at a position.
func (c *Client) Event(ctx context.Context, position string) (Record, error) {
	var r Record
	err := c.getJSON(ctx, "/v1/events/"+url.PathEscape(position), nil, &r)
	return r, err
}

// page is how many items one call asks for.
const page = 500

// list yields the items of a list, page after page.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		q := url.Values{"limit": {strconv.Itoa(page)}}
		maps.Copy(q, query)
		for {
			var got struct {
				Items []T    `json:"items"`
				Next  string `json:"next"`
			}
			if err := c.getJSON(ctx, path, q, &got); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range got.Items {
				if !yield(item, nil) {
					return
				}
			}
			if got.Next == "" {
				return
			}
			q.Set("cursor", got.Next)
		}
	}
}

// Status returns the state of the deployment, as the API describes it.
func (c *Client) Status(ctx context.Context) (json.RawMessage, error) {
	var status json.RawMessage
	err := c.getJSON(ctx, "/v1/status", nil, &status)
	return status, err
}

// Healthy asks once whether the process answers; the error says why not.
func (c *Client) Healthy(ctx context.Context) error { return c.probe(ctx, "/healthz") }

// Ready asks once whether the server can do its work; the error says why not.
func (c *Client) Ready(ctx context.Context) error { return c.probe(ctx, "/readyz") }

func (c *Client) probe(ctx context.Context, path string) error {
	_, err := c.once(ctx, request{method: http.MethodGet, path: path})
	return err
}
