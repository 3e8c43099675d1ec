package router

import "encoding/json"

// Filter is the definition of which events match: all fields given must match; the zero Filter matches every event.
// Compile makes it fit for use.
type Filter struct {
	Types   []string          `json:"types,omitempty"`   // any of these type patterns
	Filters []json.RawMessage `json:"filters,omitempty"` // all of these CloudEvents Subscriptions API dialects
	Pattern json.RawMessage   `json:"pattern,omitempty"` // an EventBridge event pattern over the whole event
}
