package router

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawSubscription draws a valid webhook subscription.
func drawSubscription(t *rapid.T) Subscription {
	return Subscription{
		ID: "sub_01JD6Z3V9K8Q2M4N5P6R7S8T9V", Version: rapid.Uint64().Draw(t, "version"),
		Name:    rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,62}`).Draw(t, "name"),
		Title:   strings.Map(printable, rapid.StringN(0, 50, -1).Draw(t, "title")),
		Enabled: rapid.Bool().Draw(t, "enabled"),
		Filter: Filter{
			Types:   rapid.SliceOfN(rapid.StringMatching(`[a-z]{1,3}(\.[a-z]{1,3}){0,2}(\.\*)?`), 0, 3).Draw(t, "types"),
			Filters: rapid.SliceOfN(rapid.Map(rapid.StringMatching(`[a-z/"\\<é]{1,5}`), prefixDialect), 0, 2).Draw(t, "filters"),
			Pattern: rapid.SampledFrom([]json.RawMessage{nil, json.RawMessage(`{"data":{"n":[1.50,"\u00e9",null]}}`)}).Draw(t, "pattern"),
		},
		Sink: Sink{
			Kind: WebhookSink, URL: "https://" + rapid.StringMatching(`[a-z]{1,9}/[a-z?&=0-9]{0,9}`).Draw(t, "url"),
			Mode:    rapid.SampledFrom([]Mode{Structured, Binary}).Draw(t, "mode"),
			Headers: rapid.MapOfN(rapid.StringMatching(`x-([a-z]{1,5}|key|auth-a)`), rapid.StringMatching(`[ -)+-~]{0,9}`), 0, 3).Draw(t, "headers"),
			Timeout: Duration(rapid.Int64Range(int64(MinSinkTimeout), int64(MaxSinkTimeout)).Draw(t, "timeout")),
			Secret:  rapid.SampledFrom([]string{"", signingSecret, otherSecret}).Draw(t, "secret"),
			Auth:    rapid.SampledFrom([]Auth{{}, bearer, basic, mutual}).Draw(t, "auth"),
		},
		Delivery: Delivery{
			Retry: Retry{
				Schedule: rapid.SliceOfN(rapid.Custom(drawDelay), 0, 20).Draw(t, "schedule"),
				Jitter:   rapid.Float64Range(0, 1).Draw(t, "jitter"),
			},
			MaxInFlight: rapid.IntRange(1, MaxMaxInFlight).Draw(t, "in flight"),
			MaxBacklog:  rapid.IntRange(0, MaxMaxBacklog).Draw(t, "backlog"),
		},
	}
}

func drawDelay(t *rapid.T) Duration {
	return Duration(rapid.Int64Range(1, int64(7*day)).Draw(t, "delay"))
}

func prefixDialect(source string) json.RawMessage {
	w := jsonWriter{}
	w.open('{')
	w.name("prefix")
	w.open('{')
	w.text("source", source)
	w.close('}')
	w.close('}')
	return json.RawMessage(w.b)
}

func printable(r rune) rune {
	if r < ' ' || r >= 0x7f && r < 0xa0 {
		return '-'
	}
	return r
}

func TestWhatGETGaveCanBePutBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		old := drawSubscription(t)
		shown := AppendSubscription(nil, old, SubscriptionView{Status: json.RawMessage(`{"backlog":1}`)})
		d, err := DecodeSubscription(shown, Rules{Delivery: Delivery{MaxInFlight: 7, MaxBacklog: 7}})
		require.NoError(t, err)
		again, err := d.Replace(old)
		require.NoError(t, err)
		require.True(t, EqualDefinition(old, again), "%s", shown)
		require.Equal(t, string(AppendSubscription(nil, old, SubscriptionView{Secret: true})), string(AppendSubscription(nil, again, SubscriptionView{Secret: true})))

		patched, err := PatchSubscription(old, shown, Rules{})
		require.NoError(t, err)
		require.True(t, EqualDefinition(old, patched))

		stored, err := DecodeStored(AppendStored(nil, old))
		require.NoError(t, err)
		require.Equal(t, string(AppendStored(nil, old)), string(AppendStored(nil, stored)))
	})
}

func FuzzDecodeSubscription(f *testing.F) {
	f.Add(AppendSubscription(nil, billing(), SubscriptionView{Secret: true}))
	f.Add(AppendSubscription(nil, invoicing(), SubscriptionView{}))
	for _, seed := range []string{
		`{"name":"a","sink":{"kind":"webhook","url":"https://a","headers":{"cookie":"x"},"auth":{"kind":"basic","user":"u","password":"****"}}}`,
		`{"name":"a","sink":{"kind":"stream","stream":"a{b}","maxlen":1,"redis":"redis+sentinel://u:p@a,b/m?sentinel_password=x"}}`,
		`{"name":"a","sink":{"kind":"webhook","url":"https://a","auth":{"kind":"mtls","certificate":"c","key":"k"}}}`,
		``, `{}`, `[]`, `null`, `{"name":"a","sink":{"kind":"webhook","url":"https://a"}}`, `{"name":"a","sink":{"kind":"webhook","url":"https://a","secret":null}}`,
		`{"a":{"b":[{"c":1,"c":2}]}}`, `{"sink":{"kind":"stream"}}`, `{"delivery":{"retry":{"schedule":["1e9h",5,"-1s","9999999d"]},"max_in_flight":1e400}}`,
		`{"title":"\ud83d\ude00\u0000","filter":{"types":[""],"filters":[[]],"pattern":{"$or":[]}}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := DecodeSubscription(text, Rules{})
		if err != nil {
			code := ErrorCode(err)
			require.Contains(t, []Code{Malformed, Invalid, TooLarge}, code)
			require.LessOrEqual(t, len(err.(*Error).Problems), MaxDocumentProblems)
			return
		}
		s := d.Definition()
		require.NoError(t, s.Validate(Rules{}))
		shown := AppendSubscription(nil, s, SubscriptionView{Secret: true})
		again, err := DecodeSubscription(shown, Rules{})
		require.NoError(t, err, "%s", shown)
		require.True(t, EqualDefinition(s.masked(true), again.Definition().masked(true)), "%s", shown)
		_, _ = d.Create("whsec_x") // must not panic, whatever is masked or missing
		_, _ = again.Replace(s)
	})
}
