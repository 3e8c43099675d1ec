package router

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// billing is a webhook subscription with every field set.
func billing() Subscription {
	return Subscription{
		ID: "sub_01JD6Z3V9K8Q2M4N5P6R7S8T9V", Name: "orders-to-billing", Title: "Orders → billing", Enabled: true,
		Filter: Filter{
			Types:   []string{"order.*"},
			Filters: []json.RawMessage{json.RawMessage(`{"prefix":{"source":"/shop"}}`)},
			Pattern: json.RawMessage(`{"data":{"total":[{"numeric":[">",100]}]}}`),
		},
		Sink: Sink{
			Kind: WebhookSink, URL: "https://billing.example/hook", Mode: Binary, Headers: map[string]string{"x-team": "a", "x-area": "b"},
			Timeout: Duration(30 * time.Second), Secret: signingSecret,
		},
		Delivery: Delivery{
			Retry: Retry{Schedule: []Duration{Duration(5 * time.Second), Duration(7 * day)}, Jitter: 0.5}, MaxInFlight: 3,
			Breaker: Breaker{Failures: 5, Pause: Duration(time.Second), DisableAfter: Duration(7 * day)},
		},
		Version: 12,
		Created: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
		Updated: time.Date(2026, 11, 21, 12, 0, 0, 5e6, time.UTC),
	}
}

// invoicing is a subscription of Go code.
func invoicing() Subscription {
	return Subscription{
		ID: "sub_01JD6Z3V9K8Q2M4N5P6R7S8T9W", Name: "invoicing", Enabled: true, Filter: Filter{Types: []string{"order.paid"}},
		Sink: Sink{Kind: HandlerSink}, Delivery: DefaultDelivery(), Version: 3,
	}
}

func TestSubscriptionsOfWebhooksAndHandlersAreValid(t *testing.T) {
	require.NoError(t, billing().Validate(Rules{}))
	require.NoError(t, invoicing().Validate(Rules{}))
}

func TestValidateNamesEachFaultyField(t *testing.T) {
	for name, c := range map[string]struct {
		of     func() Subscription
		change func(*Subscription)
		want   string
	}{
		"no name":           {billing, func(s *Subscription) { s.Name = "" }, "name: is required"},
		"upper case":        {billing, func(s *Subscription) { s.Name = "Orders" }, "name: must be " + nameRule},
		"an id as name":     {billing, func(s *Subscription) { s.Name = s.ID }, "name: must be " + nameRule},
		"long name":         {billing, func(s *Subscription) { s.Name = strings.Repeat("a", 64) }, "name: must be " + nameRule},
		"long title":        {billing, func(s *Subscription) { s.Title = strings.Repeat("→", 201) }, "title: must have at most 200 characters"},
		"title of lines":    {billing, func(s *Subscription) { s.Title = "a\nb" }, "title: must not contain control characters"},
		"title of bytes":    {billing, func(s *Subscription) { s.Title = "\xff" }, "title: must not contain control characters"},
		"filter too large":  {billing, func(s *Subscription) { s.Filter.Types = []string{strings.Repeat("a", MaxFilterBytes)} }, "filter: has 65607 bytes; at most 65536 are possible"},
		"no kind":           {billing, func(s *Subscription) { s.Sink.Kind = "" }, "sink.kind: is required"},
		"other kind":        {billing, func(s *Subscription) { s.Sink.Kind = "ftp" }, `sink.kind: "ftp" is not a kind of sink; "webhook", "stream" and "pull" are`},
		"no URL":            {billing, func(s *Subscription) { s.Sink.URL = "" }, "sink.url: is required"},
		"relative URL":      {billing, func(s *Subscription) { s.Sink.URL = "/hook" }, "sink.url: must be an absolute http or https URL"},
		"other scheme":      {billing, func(s *Subscription) { s.Sink.URL = "file:///etc/passwd" }, "sink.url: must be an absolute http or https URL"},
		"long URL":          {billing, func(s *Subscription) { s.Sink.URL = "https://a/" + strings.Repeat("a", 4087) }, "sink.url: has 4097 bytes; at most 4096 are possible"},
		"no mode":           {billing, func(s *Subscription) { s.Sink.Mode = "" }, `sink.mode: must be "structured" or "binary"`},
		"no timeout":        {billing, func(s *Subscription) { s.Sink.Timeout = 0 }, "sink.timeout: must be from 100ms to 5m"},
		"large headers":     {billing, func(s *Subscription) { s.Sink.Headers["x"] = strings.Repeat("a", 8192) }, "sink.headers: has 8207 bytes; at most 8192 are possible"},
		"other secret":      {billing, func(s *Subscription) { s.Sink.Secret = "hunter2" }, `sink.secret: must begin with "whsec_"`},
		"none in flight":    {billing, func(s *Subscription) { s.Delivery.MaxInFlight = 0 }, "delivery.max_in_flight: must be from 1 to 1000"},
		"many in flight":    {billing, func(s *Subscription) { s.Delivery.MaxInFlight = 1001 }, "delivery.max_in_flight: must be from 1 to 1000"},
		"negative backlog":  {billing, func(s *Subscription) { s.Delivery.MaxBacklog = -1 }, "delivery.max_backlog: must be from 0 (no limit) to 100000000"},
		"endless backlog":   {billing, func(s *Subscription) { s.Delivery.MaxBacklog = 100_000_001 }, "delivery.max_backlog: must be from 0 (no limit) to 100000000"},
		"handler with URL":  {invoicing, func(s *Subscription) { s.Sink.URL = "https://a" }, "sink: is a Go handler, which has no url, mode, headers, secret, auth, stream or redis"},
		"handler's timeout": {invoicing, func(s *Subscription) { s.Sink.Timeout = 1 }, "sink.timeout: must be from 100ms to 5m"},
	} {
		t.Run(name, func(t *testing.T) {
			s := c.of()
			c.change(&s)
			code, got := problems(t, s.Validate(Rules{}))
			require.Equal(t, Invalid, code)
			require.Equal(t, []string{c.want}, got)
		})
	}
}

func TestTheRulesOfADeploymentDecideOnSinks(t *testing.T) {
	rules := Rules{
		CheckURL: func(url string) error {
			require.Equal(t, "https://billing.example/hook", url)
			return &Error{Code: Invalid, Problems: []Problem{{"sink.url", "goes to a private address"}}}
		},
		CheckHeaders: func(headers map[string]string) error {
			require.Equal(t, billing().Sink.Headers, headers)
			return &Error{Code: Invalid, Problems: []Problem{{"sink.headers.x-team", "no"}, {"sink.headers.x-area", "neither"}}}
		},
		CheckSecret: func(secret string) error {
			require.Equal(t, signingSecret, secret)
			return errors.New("is too short")
		},
	}
	_, got := problems(t, billing().Validate(rules))
	require.Equal(t, []string{"sink.url: goes to a private address", "sink.headers.x-team: no", "sink.headers.x-area: neither", "sink.secret: is too short"}, got)
}

func TestTheEntityTagIsTheVersionStrongAndQuoted(t *testing.T) {
	require.Equal(t, `"12"`, billing().ETag())
}
