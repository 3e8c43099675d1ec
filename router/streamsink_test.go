package router

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func archive() Subscription {
	s := billing()
	s.Sink = Sink{Kind: StreamSink, Stream: "archive:{eu}:orders", MaxLen: 1000, Redis: "rediss://joe:hunter2@redis.example:6380/2", Timeout: Duration(2 * time.Second)}
	return s
}

func TestAStreamSinkIsReadAsItIsWritten(t *testing.T) {
	s := created(t, `{"name": "a", "sink": {"kind": "stream", "stream": "orders"}}`, Rules{})
	require.Equal(t, Sink{Kind: StreamSink, Stream: "orders", Timeout: DefaultSinkTimeout}, s.Sink, "it has no secret, and is given none")
	text := string(AppendSubscription(nil, s, SubscriptionView{}))
	require.Contains(t, text, `"sink":{"kind":"stream","timeout":"15s","stream":"orders"}`)
	stored, err := DecodeStored(AppendStored(nil, archive()))
	require.NoError(t, err)
	require.Equal(t, archive().Sink, stored.Sink)
}

func TestThePasswordOfAStreamsRedisIsMaskedAndKept(t *testing.T) {
	old := archive()
	shown := string(AppendSubscription(nil, old, SubscriptionView{Secret: true}))
	require.NotContains(t, shown, "hunter2")
	require.Contains(t, shown, `"redis":"rediss://joe:****@redis.example:6380/2"`)
	again, err := replaced(t, shown, old)
	require.NoError(t, err)
	require.True(t, EqualDefinition(old, again), "what GET gave can be PUT back")
	patched, err := PatchSubscription(old, []byte(`{"sink": {"maxlen": 5}}`), Rules{})
	require.NoError(t, err)
	require.Equal(t, old.Sink.Redis, patched.Sink.Redis)
	patched, err = PatchSubscription(old, []byte(`{"sink": {"redis": null}}`), Rules{})
	require.NoError(t, err)
	require.Empty(t, patched.Sink.Redis)

	for _, doc := range []string{strings.Replace(shown, "redis.example", "evil.example", 1), strings.Replace(shown, ":6380/2", ":6380/3", 1)} {
		d, err := DecodeSubscription([]byte(doc), Rules{})
		require.NoError(t, err)
		_, err = d.Replace(old)
		_, got := problems(t, err)
		require.Equal(t, []string{"body.sink.redis: is masked, and there is none to keep; give it in full"}, got, "nobody else is shown the password")
		_, err = d.Create("")
		require.Error(t, err)
	}
}

func TestPasswordsInRedisURLsAreMasked(t *testing.T) {
	for url, want := range map[string]string{
		"redis://host:1/2":                                  "redis://host:1/2",
		"redis://:p@host":                                   "redis://:****@host",
		"rediss://user:p:a@ss@host:1/2?db=3":                "rediss://user:****@host:1/2?db=3",
		"redis+cluster://u:p@a:1,b:2":                       "redis+cluster://u:****@a:1,b:2",
		"redis+sentinel://u:p@a/m?sentinel_password=x&db=1": "redis+sentinel://u:****@a/m?sentinel_password=****&db=1",
		"redis://user@host":                                 "redis://user@host",
		"p@host":                                            "****",
	} {
		require.Equal(t, want, maskRedisURL(url))
		require.Equal(t, want, maskRedisURL(want), "masked once more it stays")
	}
}

func TestTheSlotOfAStreamIsThatOfItsHashTag(t *testing.T) {
	for name, want := range map[string]string{"orders": "orders", "a{b}c": "b", "{b}": "b", "a:b/c": "a:b/c"} {
		require.Equal(t, want, StreamSlot(name))
		require.NoError(t, Subscription{Name: "a", Sink: Sink{Kind: StreamSink, Stream: name, Timeout: DefaultSinkTimeout}, Delivery: DefaultDelivery()}.Validate(Rules{}), name)
	}
}

func TestTheRulesDecideOnAStreamsRedis(t *testing.T) {
	rules := Rules{CheckRedis: func(string) error { return errors.New("is not permitted") }}
	_, err := DecodeSubscription([]byte(`{"name": "a", "sink": {"kind": "stream", "stream": "s", "redis": "redis://x"}}`), rules)
	_, got := problems(t, err)
	require.Equal(t, []string{"body.sink.redis: is not permitted"}, got)
	_, err = DecodeSubscription([]byte(`{"name": "a", "sink": {"kind": "stream", "stream": "s"}}`), rules)
	require.NoError(t, err)
}
