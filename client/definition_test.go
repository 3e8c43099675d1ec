package client_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
)

func TestADefinitionKeepsItsTextAndTag(t *testing.T) {
	const text = `{"name":"a","filter":{"pattern":{"data":{"n":[1.0]}}},"etag":"\"7\""}`
	c, s, _ := start(t, ok(text, "ETag", `"7"`), ok(`{"items":[`+text+`]}`))
	d, err := c.Definition(t.Context(), client.Subscription, "a")
	require.NoError(t, err)
	require.Equal(t, client.Definition{Kind: client.Subscription, Document: []byte(text), ETag: `"7"`}, d)
	require.Equal(t, "/v1/subscriptions/a", s.at(0).url.Path)
	for listed, err := range c.Definitions(t.Context(), client.Subscription) {
		require.NoError(t, err)
		require.Equal(t, d, listed)
	}
}

func TestARefIsEscaped(t *testing.T) {
	c, s, _ := start(t, problem(404, `{"title":"There is no such thing"}`))
	_, err := c.Definition(t.Context(), client.Subscription, "../a?b")
	require.EqualError(t, err, "404 There is no such thing")
	require.Equal(t, "/v1/subscriptions/..%2Fa%3Fb", s.at(0).url.EscapedPath())
}

func TestConditionsAreSent(t *testing.T) {
	c, s, _ := start(t, ok(`{}`), ok(`{}`), ok(`{}`), ok(`{"dropped_deliveries":3}`))
	_, err := c.Put(t.Context(), client.Subscription, "a", []byte(`{"x":1}`), client.Condition{})
	require.NoError(t, err)
	_, err = c.Put(t.Context(), client.Subscription, "a", []byte(`{"x":1}`), client.Condition{ETag: `"7"`})
	require.NoError(t, err)
	_, err = c.Put(t.Context(), client.Subscription, "a", []byte(`{"x":1}`), client.Condition{Absent: true})
	require.NoError(t, err)
	dropped, err := c.Delete(t.Context(), client.Subscription, "a", client.Condition{ETag: `"8"`})
	require.NoError(t, err)
	require.EqualValues(t, 3, dropped)

	require.Equal(t, `{"x":1}`, s.at(0).body)
	require.Equal(t, "application/json", s.at(0).header.Get("Content-Type"))
	require.Empty(t, s.at(0).header.Get("If-Match"))
	require.Equal(t, `"7"`, s.at(1).header.Get("If-Match"))
	require.Equal(t, "*", s.at(2).header.Get("If-None-Match"))
	require.Equal(t, `"8"`, s.at(3).header.Get("If-Match"))
	require.Equal(t, "DELETE", s.at(3).method)
}

// What was done and whose answer was lost would be refused the second time, or done twice.
func TestOnlyWhatCanBeRepeatedIsRepeatedAfterALostAnswer(t *testing.T) {
	t.Run("put", func(t *testing.T) {
		c, _, w := start(t, hangUp, ok(`{}`))
		_, err := c.Put(t.Context(), client.Subscription, "a", nil, client.Condition{})
		require.NoError(t, err)
		require.Len(t, w.list, 1)
	})
	t.Run("pause and resume", func(t *testing.T) {
		c, s, _ := start(t, hangUp, ok(`{"name":"a"}`), hangUp, ok(`{"name":"a"}`))
		for i, change := range []func(context.Context, string) (client.Definition, error){c.Pause, c.Resume} {
			d, err := change(t.Context(), "a")
			require.NoError(t, err)
			require.JSONEq(t, `{"name":"a"}`, string(d.Document))
			require.Equal(t, "/v1/subscriptions/a/"+[]string{"pause", "resume"}[i], s.at(2*i+1).url.Path)
			require.Equal(t, "POST", s.at(2*i+1).method)
		}
	})
	for name, call := range map[string]func(*client.Client) error{
		"put with a condition": func(c *client.Client) error {
			_, err := c.Put(t.Context(), client.Subscription, "a", nil, client.Condition{Absent: true})
			return err
		},
		"create": func(c *client.Client) error { _, err := c.Create(t.Context(), client.Subscription, nil); return err },
		"delete": func(c *client.Client) error {
			_, err := c.Delete(t.Context(), client.Subscription, "a", client.Condition{})
			return err
		},
		"rotate": func(c *client.Client) error { _, err := c.RotateSecret(t.Context(), "a"); return err },
		"test":   func(c *client.Client) error { _, err := c.Test(t.Context(), "a"); return err },
		"sample": func(c *client.Client) error { _, err := c.TestSource(t.Context(), "a"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			c, _, _ := start(t, hangUp)
			require.ErrorContains(t, call(c), "no answer from "+c.Server())
		})
	}
}

func TestASampleIsSentToASource(t *testing.T) {
	c, s, _ := start(t, ok(`{"position":"0:1-1","event":{"type":"github.ping"}}`))
	tested, err := c.TestSource(t.Context(), "git hub")
	require.NoError(t, err)
	require.Equal(t, "0:1-1", tested.Position)
	require.JSONEq(t, `{"type":"github.ping"}`, string(tested.Event))
	require.Equal(t, "/v1/sources/git%20hub/test", s.at(0).url.EscapedPath())
}

func TestARefusalForTheRateIsRepeatedForEveryCall(t *testing.T) {
	c, _, w := start(t, problem(429, `{"retryable":true}`, "Retry-After", "1"), reply(201, "application/json", `{"name":"a"}`))
	d, err := c.Create(t.Context(), client.Subscription, []byte(`{}`))
	require.NoError(t, err)
	require.JSONEq(t, `{"name":"a"}`, string(d.Document))
	require.Len(t, w.list, 1)
}

func TestTestReturnsTheAttempt(t *testing.T) {
	c, s, _ := start(t, ok(`{"at":"2024-11-20T18:40:00.123Z","duration":"12ms","outcome":"status","status_code":500,"response":"oh"}`))
	a, err := c.Test(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, "status", a.Outcome)
	require.Equal(t, 500, a.StatusCode)
	require.Equal(t, "/v1/subscriptions/a/test", s.at(0).url.Path)
}

func TestARotatedSecretIsInTheAnswer(t *testing.T) {
	c, s, _ := start(t, ok(`{"sink":{"secret":"whsec_new"}}`, "ETag", `"8"`))
	d, err := c.RotateSecret(t.Context(), "a/b")
	require.NoError(t, err)
	require.Equal(t, "POST /v1/subscriptions/a%2Fb/rotate-secret", s.at(0).method+" "+s.at(0).url.EscapedPath())
	require.Equal(t, `"8"`, d.ETag)
	require.JSONEq(t, `{"sink":{"secret":"whsec_new"}}`, string(d.Document))
}
