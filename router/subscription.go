package router

import "time"

// SinkKind says where a subscription's deliveries go.
type SinkKind string

// The kinds of sinks.
const (
	WebhookSink SinkKind = "webhook"
	HandlerSink SinkKind = "handler"
)

// Mode is the CloudEvents HTTP content mode of a webhook.
type Mode string

// The content modes.
const (
	Structured Mode = "structured"
	Binary     Mode = "binary"
)

// Subscription is a filter and a sink: every event that the filter matches becomes one delivery to the sink.
type Subscription struct {
	ID       string   `json:"id"` // "sub_" and a ULID; made by the server
	Name     string   `json:"name"`
	Title    string   `json:"title,omitempty"`
	Enabled  bool     `json:"enabled"` // false: new events are not queued, the backlog goes on
	Filter   Filter   `json:"filter"`
	Sink     Sink     `json:"sink"`
	Delivery Delivery `json:"delivery"`

	Version uint64    `json:"-"` // grows with each change of any definition; the ETag is made of it
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// Sink is where deliveries go. The fields that apply depend on Kind.
type Sink struct {
	Kind    SinkKind          `json:"kind"`
	URL     string            `json:"url,omitempty"`
	Mode    Mode              `json:"mode,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Timeout Duration          `json:"timeout,omitempty"`
	Secret  string            `json:"secret,omitempty"` // "whsec_…"
}

// Delivery says how deliveries are made.
type Delivery struct {
	Retry       Retry `json:"retry"`
	MaxInFlight int   `json:"max_in_flight"`
}

// Retry is when failed attempts are made again: attempt n+1 follows attempt n after Schedule[n-1], give or take Jitter
// (a fraction of it). After the last one the delivery becomes a dead letter.
type Retry struct {
	Schedule []Duration `json:"schedule"`
	Jitter   float64    `json:"jitter"`
}
