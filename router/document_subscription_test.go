package router

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	freshSecret = "whsec_ZnJlc2ggZnJlc2ggZnJlc2ggZnJlc2g="
	otherSecret = "whsec_b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXI="
)

// created decodes a document and makes a new subscription of it.
func created(t testing.TB, doc string, rules Rules) Subscription {
	t.Helper()
	d, err := DecodeSubscription([]byte(doc), rules)
	require.NoError(t, err)
	s, err := d.Create(freshSecret)
	require.NoError(t, err)
	return s
}

// replaced decodes a document and puts it in the place of old.
func replaced(t testing.TB, doc string, old Subscription) (Subscription, error) {
	t.Helper()
	d, err := DecodeSubscription([]byte(doc), Rules{})
	require.NoError(t, err)
	return d.Replace(old)
}

func TestASubscriptionHasTheDefaultsOfTheAPI(t *testing.T) {
	s := created(t, `{"name": "a", "sink": {"kind": "webhook", "url": "https://a.example"}}`, Rules{})
	require.Equal(t, Subscription{
		Name: "a", Enabled: true,
		Sink: Sink{Kind: WebhookSink, URL: "https://a.example", Mode: Structured, Timeout: Duration(15 * time.Second), Secret: freshSecret},
		Delivery: Delivery{
			Retry: Retry{Jitter: 0.2, Schedule: []Duration{
				Duration(5 * time.Second), Duration(5 * time.Minute), Duration(30 * time.Minute), Duration(2 * time.Hour), Duration(5 * time.Hour), Duration(10 * time.Hour),
			}},
			MaxInFlight: 16,
			Breaker:     Breaker{Failures: 10, Pause: Duration(10 * time.Second), DisableAfter: Duration(5 * 24 * time.Hour)},
		},
	}, s)
}

func TestASubscriptionIsReadAsItIsWritten(t *testing.T) {
	s := created(t, `{
		"name": "orders-to-billing", "title": "Orders → billing", "enabled": false,
		"filter": {"types": ["order.*"], "filters": [{"prefix": {"source": "/shop"}}], "pattern": {"data": {"total": [{"numeric": [">", 100.0]}]}}},
		"sink": {"kind": "webhook", "url": "https://billing.example/hook", "mode": "binary", "headers": {"x-team": "a"}, "timeout": "1m30s", "secret": "`+signingSecret+`"},
		"delivery": {"retry": {"schedule": [], "jitter": 1}, "max_in_flight": 1000, "max_backlog": 5000, "rate": {"limit": 100, "per": "1m"},
			"breaker": {"failures": 3, "pause": "1m", "disable_after": "0s"}, "ordered": true}
	}`, Rules{})
	require.Equal(t, Subscription{
		Name: "orders-to-billing", Title: "Orders → billing",
		Filter: Filter{
			Types: []string{"order.*"}, Filters: []json.RawMessage{json.RawMessage(`{"prefix":{"source":"/shop"}}`)},
			Pattern: json.RawMessage(`{"data":{"total":[{"numeric":[">",100.0]}]}}`),
		},
		Sink: Sink{
			Kind: WebhookSink, URL: "https://billing.example/hook", Mode: Binary, Headers: map[string]string{"x-team": "a"},
			Timeout: Duration(90 * time.Second), Secret: signingSecret,
		},
		Delivery: Delivery{Retry: Retry{Schedule: []Duration{}, Jitter: 1}, MaxInFlight: 1000, MaxBacklog: 5000, Rate: Rate{Limit: 100, Per: Duration(time.Minute)}, Breaker: Breaker{Failures: 3, Pause: Duration(time.Minute)}, Ordered: true},
	}, s)
}

func TestDefaultsOfTheServerFillWhatDeliveryLeavesOut(t *testing.T) {
	rules := Rules{Delivery: Delivery{Retry: Retry{Schedule: []Duration{Duration(time.Second)}, Jitter: 0}, MaxInFlight: 2}}
	const doc = `{"name": "a", "sink": {"kind": "webhook", "url": "https://a.example"}%s}`
	require.Equal(t, rules.Delivery, created(t, fmt.Sprintf(doc, ``), rules).Delivery)
	s := created(t, fmt.Sprintf(doc, `, "delivery": {"retry": {"jitter": 0.25}}`), rules)
	require.Equal(t, Delivery{Retry: Retry{Schedule: []Duration{Duration(time.Second)}, Jitter: 0.25}, MaxInFlight: 2}, s.Delivery)
	s.Delivery.Retry.Schedule[0] = 0
	require.Equal(t, Duration(time.Second), rules.Delivery.Retry.Schedule[0], "the defaults are nobody's to change")
}

func TestTheNameMayComeFromTheURL(t *testing.T) {
	const doc = `{%s"sink": {"kind": "webhook", "url": "https://a.example"}}`
	require.Equal(t, "from-url", created(t, fmt.Sprintf(doc, ``), Rules{Name: "from-url"}).Name)
	require.Equal(t, "own", created(t, fmt.Sprintf(doc, `"name": "own", `), Rules{Name: "from-url"}).Name)
}

func TestEachFaultOfASubscriptionIsNamedAtItsPlace(t *testing.T) {
	with := func(member string) string {
		return `{"name": "a", "sink": {"kind": "webhook", "url": "https://a.example"}, ` + member + `}`
	}
	sink := func(members string) string {
		return `{"name": "a", "sink": {"kind": "webhook", "url": "https://a.example", ` + members + `}}`
	}
	retry := func(members string) string { return with(`"delivery": {"retry": {` + members + `}}`) }
	for name, c := range map[string]struct {
		doc  string
		want []string
	}{
		"nothing":            {`{}`, []string{"body.name: is required", "body.sink.kind: is required"}},
		"name":               {`{"name": "A", "sink": {"kind": "webhook", "url": "https://a"}}`, []string{"body.name: must be " + nameRule}},
		"null name":          {`{"name": null, "sink": {"kind": "webhook", "url": "https://a"}}`, []string{"body.name: must be a string, not null"}},
		"title":              {with(`"title": "\u0007"`), []string{"body.title: must not contain control characters"}},
		"enabled":            {with(`"enabled": 1`), []string{"body.enabled: must be a boolean, not a number"}},
		"unknown":            {with(`"enable": true`), []string{"body.enable: is not a known field"}},
		"case":               {with(`"Enabled": false`), []string{`body.Enabled: is not a known field; did you mean "enabled"?`}},
		"filter":             {with(`"filter": []`), []string{"body.filter: must be an object, not an array"}},
		"filter unknown":     {with(`"filter": {"type": ["a"]}`), []string{"body.filter.type: is not a known field"}},
		"types":              {with(`"filter": {"types": "a"}`), []string{"body.filter.types: must be an array, not a string"}},
		"no types":           {with(`"filter": {"types": []}`), []string{"body.filter.types: must name a type pattern; leave it out to match every type"}},
		"a type":             {with(`"filter": {"types": ["a", 1]}`), []string{"body.filter.types[1]: must be a string, not a number"}},
		"null pattern":       {with(`"filter": {"pattern": null}`), []string{"body.filter.pattern: must be an object, not null"}},
		"filters":            {with(`"filter": {"filters": {}}`), []string{"body.filter.filters: must be an array, not an object"}},
		"many types":         {with(`"filter": {"types": [""` + strings.Repeat(`,""`, 1000) + `]}`), []string{"body.filter.types: has 1001 items; at most 1000 are possible"}},
		"large filter":       {with(`"filter": {"pattern": {"id": ["` + strings.Repeat(`a`, MaxFilterBytes) + `"]}}`), []string{"body.filter: has 65547 bytes; at most 65536 are possible"}},
		"sink":               {`{"name": "a", "sink": "https://a"}`, []string{"body.sink: must be an object, not a string"}},
		"no kind":            {`{"name": "a", "sink": {"url": "https://a"}}`, []string{"body.sink.kind: is required"}},
		"pull":               {`{"name": "a", "sink": {"kind": "pull", "lease": "99ms", "max_attempts": 0}}`, []string{"body.sink.lease: must be from 100ms to 12h", "body.sink.max_attempts: must be from 1 to 100"}},
		"field of a pull":    {`{"name": "a", "sink": {"kind": "pull", "url": "https://a"}}`, []string{"body.sink.url: is not a known field"}},
		"no stream":          {`{"name": "a", "sink": {"kind": "stream"}}`, []string{"body.sink.stream: is required"}},
		"stream":             {`{"name": "a", "sink": {"kind": "stream", "stream": "a b"}}`, []string{"body.sink.stream: must be " + streamNameRule}},
		"two hash tags":      {`{"name": "a", "sink": {"kind": "stream", "stream": "{a}{b}"}}`, []string{"body.sink.stream: must be " + streamNameRule}},
		"half a hash tag":    {`{"name": "a", "sink": {"kind": "stream", "stream": "a}"}}`, []string{"body.sink.stream: must be " + streamNameRule}},
		"long stream":        {`{"name": "a", "sink": {"kind": "stream", "stream": "` + strings.Repeat("a", 256) + `"}}`, []string{"body.sink.stream: must be " + streamNameRule}},
		"our own log":        {`{"name": "a", "sink": {"kind": "stream", "stream": "sl:{0}:log"}}`, []string{"body.sink.stream: is the name of a key of a deployment of Streamlatch"}},
		"maxlen":             {`{"name": "a", "sink": {"kind": "stream", "stream": "s", "maxlen": -1}}`, []string{"body.sink.maxlen: must be from 0, which keeps all, to 1000000000000"}},
		"redis":              {`{"name": "a", "sink": {"kind": "stream", "stream": "s", "redis": "host:6379"}}`, []string{"body.sink.redis: must be a URL such as rediss://user:password@redis.example:6379"}},
		"stream's timeout":   {`{"name": "a", "sink": {"kind": "stream", "stream": "s", "timeout": "1ms"}}`, []string{"body.sink.timeout: must be from 100ms to 5m"}},
		"secret of a stream": {`{"name": "a", "sink": {"kind": "stream", "stream": "s", "secret": "whsec_a"}}`, []string{"body.sink.secret: is not a known field"}},
		"no such kind":       {`{"name": "a", "sink": {"kind": "smtp\n"}}`, []string{`body.sink.kind: "smtp\n" is not a kind of sink; "webhook", "stream" and "pull" are`}},
		"no URL":             {`{"name": "a", "sink": {"kind": "webhook"}}`, []string{"body.sink.url: is required"}},
		"URL":                {`{"name": "a", "sink": {"kind": "webhook", "url": "a.example"}}`, []string{"body.sink.url: must be an absolute http or https URL"}},
		"mode":               {sink(`"mode": "batch"`), []string{`body.sink.mode: must be "structured" or "binary"`}},
		"timeout":            {sink(`"timeout": "6m"`), []string{"body.sink.timeout: must be from 100ms to 5m"}},
		"short timeout":      {sink(`"timeout": "0s"`), []string{"body.sink.timeout: must be from 100ms to 5m"}},
		"timeout as number":  {sink(`"timeout": 15`), []string{`body.sink.timeout: must be a duration such as "90s" or "7d", not a number`}},
		"headers":            {sink(`"headers": ["a"]`), []string{"body.sink.headers: must be an object, not an array"}},
		"a header":           {sink(`"headers": {"x-n": 1}`), []string{"body.sink.headers.x-n: must be a string, not a number"}},
		"a repeated header":  {sink(`"headers": {"x-n": "1", "x-n": "2"}`), []string{"body.sink.headers.x-n: stands here more than once"}},
		"secret":             {sink(`"secret": "whsek_"`), []string{`body.sink.secret: must begin with "whsec_"`}},
		"empty secret":       {sink(`"secret": ""`), []string{"body.sink.secret: must not be empty; null removes it"}},
		"auth":               {sink(`"auth": "bearer t"`), []string{"body.sink.auth: must be an object, not a string"}},
		"no kind of auth":    {sink(`"auth": {}`), []string{"body.sink.auth.kind: is required"}},
		"kind of auth":       {sink(`"auth": {"kind": "ntlm", "user": "u"}`), []string{`body.sink.auth.kind: "ntlm" is not a kind of auth; "bearer", "basic" and "mtls" are`}},
		"field of auth":      {sink(`"auth": {"kind": "bearer", "user": "u"}`), []string{"body.sink.auth.user: is not a known field"}},
		"no user":            {sink(`"auth": {"kind": "basic", "password": "p"}`), []string{"body.sink.auth.user: is required"}},
		"no certificate":     {sink(`"auth": {"kind": "mtls", "key": "k"}`), []string{"body.sink.auth.certificate: is required"}},
		"null token":         {sink(`"auth": {"kind": "bearer", "token": null}`), []string{"body.sink.auth.token: must be a string, not null"}},
		"field of a stream":  {sink(`"maxlen": 5`), []string{"body.sink.maxlen: is not a known field"}},
		"field of a webhook": {`{"name": "a", "sink": {"kind": "handler", "url": "https://a"}}`, []string{"body.sink.url: is not a known field"}},
		"delivery":           {with(`"delivery": null`), []string{"body.delivery: must be an object, not null"}},
		"delivery unknown":   {with(`"delivery": {"retries": 3}`), []string{"body.delivery.retries: is not a known field"}},
		"schedule":           {retry(`"schedule": "5s"`), []string{"body.delivery.retry.schedule: must be an array, not a string"}},
		"a delay":            {retry(`"schedule": ["5s", "5m", "0s"]`), []string{"body.delivery.retry.schedule[2]: is 0s; it must be above 0s and at most " + MaxRetryDelay.String()}},
		"a long delay":       {retry(`"schedule": ["400d"]`), []string{"body.delivery.retry.schedule[0]: is 400d; it must be above 0s and at most " + MaxRetryDelay.String()}},
		"delays": {retry(`"schedule": [5, "x", "5s"]`), []string{
			`body.delivery.retry.schedule[0]: must be a duration such as "90s" or "7d", not a number`,
			`body.delivery.retry.schedule[1]: duration "x" is not of the form "90s", "1h30m" or "7d", or longer than 292 years`,
		}},
		"many delays": {retry(`"schedule": ["1s"` + strings.Repeat(`,"1s"`, MaxRetries) + `]`), []string{
			fmt.Sprintf("body.delivery.retry.schedule: has %d items; at most %d are possible", MaxRetries+1, MaxRetries),
		}},
		"jitter":         {retry(`"jitter": 1.01`), []string{"body.delivery.retry.jitter: must be a number from 0 to 1"}},
		"in flight":      {with(`"delivery": {"max_in_flight": 0}`), []string{"body.delivery.max_in_flight: must be from 1 to 1000"}},
		"half in flight": {with(`"delivery": {"max_in_flight": 0.5}`), []string{"body.delivery.max_in_flight: must be a whole number within ±2^53"}},
		"rate":           {with(`"delivery": {"rate": {"limit": 0, "per": "1ms"}}`), []string{"body.delivery.rate.limit: must be from 1 to 1000000", "body.delivery.rate.per: must be from 1s to 31d"}},
		"half a rate":    {with(`"delivery": {"rate": {"limit": 5}}`), []string{"body.delivery.rate.per: must be from 1s to 31d"}},
		"an empty rate":  {with(`"delivery": {"rate": {}}`), []string{"body.delivery.rate.limit: must be from 1 to 1000000", "body.delivery.rate.per: must be from 1s to 31d"}},
		"a rate per day": {with(`"delivery": {"rate": {"limit": 1000001, "per": "32d", "burst": 1}}`), []string{"body.delivery.rate.burst: is not a known field", "body.delivery.rate.limit: must be from 1 to 1000000", "body.delivery.rate.per: must be from 1s to 31d"}},
		"breaker": {with(`"delivery": {"breaker": {"failures": 1001, "pause": "10ms", "disable_after": "1s", "probes": 2}}`), []string{
			"body.delivery.breaker.probes: is not a known field", "body.delivery.breaker.failures: must be from 0 to 1000",
			"body.delivery.breaker.pause: must be from 100ms to 1h", "body.delivery.breaker.disable_after: must be 0s, for never, or from 1m to 365d",
		}},
		"ordered": {with(`"delivery": {"ordered": "yes"}`), []string{"body.delivery.ordered: must be a boolean, not a string"}},
		"several": {`{"name": "-", "sink": {"kind": "webhook", "url": 1, "timeout": "1h"}, "delivery": {"max_in_flight": 5000, "x": 1}}`, []string{
			"body.sink.url: must be a string, not a number", "body.delivery.x: is not a known field",
			"body.name: must be " + nameRule, "body.sink.timeout: must be from 100ms to 5m",
			"body.delivery.max_in_flight: must be from 1 to 1000",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := DecodeSubscription([]byte(c.doc), Rules{})
			code, got := problems(t, err)
			require.Equal(t, Invalid, code)
			require.Equal(t, c.want, got)
		})
	}
}

func TestFaultsOfAFilterAreNamedWithinTheDocument(t *testing.T) {
	_, err := DecodeSubscription([]byte(`{"name": "a", "sink": {"kind": "webhook", "url": "https://a"}, "filter": {"types": ["a..b"]}}`), Rules{})
	_, got := problems(t, err)
	require.Len(t, got, 1)
	require.True(t, strings.HasPrefix(got[0], "body.filter.types[0]: "), got[0])
}

func TestFaultsThatARuleFindsAreNamedWithinTheDocument(t *testing.T) {
	rules := Rules{CheckURL: func(string) error {
		return &Error{Code: Invalid, Problems: []Problem{{"sink.url", "goes to a private address"}}}
	}}
	_, err := DecodeSubscription([]byte(`{"name": "a", "sink": {"kind": "webhook", "url": "http://10.0.0.1"}}`), rules)
	_, got := problems(t, err)
	require.Equal(t, []string{"body.sink.url: goes to a private address"}, got)
}

func TestASecretIsKeptSetOrRemoved(t *testing.T) {
	const left, doc = "", `{"name": "a", "sink": {"kind": "webhook", "url": "https://a.example"%s}}`
	unsigned := billing()
	unsigned.Sink.Secret = ""
	for _, c := range []struct{ says, onCreate, onReplace, onReplaceOfUnsigned string }{
		{left, freshSecret, signingSecret, ""},
		{`, "secret": "whsec_****"`, freshSecret, signingSecret, ""},
		{`, "secret": "whsec_…"`, freshSecret, signingSecret, ""},
		{`, "secret": "` + otherSecret + `"`, otherSecret, otherSecret, otherSecret},
		{`, "secret": null`, "", "", ""},
	} {
		text := fmt.Sprintf(doc, c.says)
		require.Equal(t, c.onCreate, created(t, text, Rules{}).Sink.Secret, c.says)
		for old, want := range map[*Subscription]string{{Sink: Sink{Kind: WebhookSink, Secret: signingSecret}}: c.onReplace, &unsigned: c.onReplaceOfUnsigned} {
			s, err := replaced(t, text, *old)
			require.NoError(t, err)
			require.Equal(t, want, s.Sink.Secret, c.says)
		}
	}
}

func TestReplaceKeepsWhatOnlyTheServerSets(t *testing.T) {
	old := billing()
	s, err := replaced(t, `{"id": "sub_x", "version": 99, "etag": 1, "created": [], "updated": {}, "status": null,
		"name": "renamed", "sink": {"kind": "webhook", "url": "https://a.example"}}`, old)
	require.NoError(t, err)
	require.Equal(t, []any{old.ID, old.Version, old.Created, old.Updated}, []any{s.ID, s.Version, s.Created, s.Updated})
	require.Equal(t, "renamed", s.Name)
	require.Empty(t, s.Title, "what a PUT leaves out has its default")
}

func TestAHandlersSubscriptionIsNotChangedOverTheAPI(t *testing.T) {
	const message = "body.sink.kind: is Go code that subscribes under this name, and only that code changes it"
	old := invoicing()
	shown := string(AppendSubscription(nil, old, SubscriptionView{}))
	same, err := replaced(t, shown, old)
	require.NoError(t, err, "what GET gave can be PUT back")
	require.Equal(t, old, same)

	for name, c := range map[string]struct {
		old Subscription
		doc string
	}{
		"changed":           {old, strings.Replace(shown, `"enabled":true`, `"enabled":false`, 1)},
		"became a webhook":  {old, `{"name": "invoicing", "sink": {"kind": "webhook", "url": "https://a"}}`},
		"webhook became it": {billing(), shown},
	} {
		_, err := replaced(t, c.doc, c.old)
		code, got := problems(t, err)
		require.Equal(t, Invalid, code, name)
		require.Equal(t, []string{message}, got, name)
	}

	d, err := DecodeSubscription([]byte(shown), Rules{})
	require.NoError(t, err)
	_, err = d.Create(freshSecret)
	_, got := problems(t, err)
	require.Equal(t, []string{"body.sink.kind: is made by Go code, which subscribes under this name; it can't be created here"}, got)
}

func TestASubscriptionIsShownInTheOrderOfTheAPIWithItsSecretMasked(t *testing.T) {
	const shown = `{"id":"sub_01JD6Z3V9K8Q2M4N5P6R7S8T9V","name":"orders-to-billing","title":"Orders → billing","enabled":true,` +
		`"filter":{"types":["order.*"],"filters":[{"prefix":{"source":"/shop"}}],"pattern":{"data":{"total":[{"numeric":[">",100]}]}}},` +
		`"sink":{"kind":"webhook","url":"https://billing.example/hook","mode":"binary","headers":{"x-area":"b","x-team":"a"},"timeout":"30s","secret":"whsec_****"},` +
		`"delivery":{"retry":{"schedule":["5s","7d"],"jitter":0.5},"max_in_flight":3,"max_backlog":0,"breaker":{"failures":5,"pause":"1s","disable_after":"7d"}},` +
		`"created":"2026-11-20T12:00:00.000Z","updated":"2026-11-21T12:00:00.005Z","etag":"\"12\""`
	require.Equal(t, shown+`}`, string(AppendSubscription(nil, billing(), SubscriptionView{})))
	require.Equal(t, `[`+shown+`,"status":{"backlog":1}}`, string(AppendSubscription([]byte(`[`), billing(), SubscriptionView{Status: json.RawMessage(`{"backlog":1}`)})))
	require.Equal(t, strings.Replace(shown, "whsec_****", signingSecret, 1)+`}`, string(AppendSubscription(nil, billing(), SubscriptionView{Secret: true})))

	marshalled, err := json.Marshal(map[string]any{"items": []Subscription{billing()}})
	require.NoError(t, err)
	require.NotContains(t, string(marshalled), signingSecret)

	unsigned := billing()
	unsigned.Sink.Secret = ""
	require.Contains(t, string(AppendSubscription(nil, unsigned, SubscriptionView{})), `"secret":null`, "left out it would mean: as it is")
	require.Equal(t, `{"name":"a","enabled":false,"filter":{},"sink":{"kind":"handler"},"delivery":{"retry":{"schedule":[],"jitter":0},"max_in_flight":0,"max_backlog":0,"breaker":{"failures":0,"pause":"0s","disable_after":"0s"}}}`,
		string(AppendSubscription(nil, Subscription{Name: "a", Sink: Sink{Kind: HandlerSink}}, SubscriptionView{})))
}

func TestWhatIsStoredIsReadBackWhole(t *testing.T) {
	for _, s := range []Subscription{billing(), invoicing(), {}} {
		got, err := DecodeStored(AppendStored(nil, s))
		require.NoError(t, err)
		require.True(t, EqualDefinition(s, got))
		require.Equal(t, []any{s.ID, s.Version, s.Created, s.Updated, s.Sink}, []any{got.ID, got.Version, got.Created, got.Updated, got.Sink})
	}
}

func TestWhatANewerVersionStoredCanBeRead(t *testing.T) {
	s, err := DecodeStored([]byte(`{"id":"sub_1","name":"a","enabled":true,"owner":"x","filter":{"types":["a"],"sql":"1=1"},
		"sink":{"kind":"webhook","url":"https://a","mode":"structured","timeout":"1s","auth":{"kind":"bearer"},"secret":"whsec_a","new":1},
		"delivery":{"retry":{"schedule":[],"jitter":0,"max":1},"max_in_flight":1,"rate":{},"ordered":false},"version":7}`))
	require.NoError(t, err)
	require.Equal(t, []any{"sub_1", uint64(7), "whsec_a", []string{"a"}}, []any{s.ID, s.Version, s.Sink.Secret, s.Filter.Types})

	require.Equal(t, DefaultBreaker(), s.Delivery.Breaker, "older versions stored none")

	s, err = DecodeStored([]byte(`{"name":"a","sink":{"kind":"stream","stream":"orders"}}`))
	require.NoError(t, err)
	require.Equal(t, SinkKind("stream"), s.Sink.Kind)

	for _, text := range []string{``, `[]`, `{"name":1}`, `{"version":-1}`, `{"created":"now"}`} {
		_, err := DecodeStored([]byte(text))
		require.Error(t, err, text)
	}
}

func TestWhatTheAPIShowsCanBeReadByAClient(t *testing.T) {
	s, err := DecodeStored(AppendSubscription(nil, billing(), SubscriptionView{Status: json.RawMessage(`{}`)}))
	require.NoError(t, err)
	want := billing()
	want.Sink.Secret = MaskedSecret
	require.Equal(t, want, s)
}

func TestAPatchChangesWhatItNames(t *testing.T) {
	same := func(*Subscription) {}
	for patch, change := range map[string]func(*Subscription){
		`{}`: same,
		`{"id": "x", "version": 1, "status": null}`: same,
		`{"title": "New"}`:                          func(s *Subscription) { s.Title = "New" },
		`{"title": null}`:                           func(s *Subscription) { s.Title = "" },
		`{"enabled": false}`:                        func(s *Subscription) { s.Enabled = false },
		`{"filter": null}`:                          func(s *Subscription) { s.Filter = Filter{} },
		`{"filter": {"types": null}}`:               func(s *Subscription) { s.Filter.Types = nil },
		`{"filter": {"pattern": {"data": {"total": null, "n": [1]}}}}`: func(s *Subscription) { s.Filter.Pattern = json.RawMessage(`{"data":{"n":[1]}}`) },
		`{"sink": {"headers": {"x-team": null, "x-new": "n"}}}`:        func(s *Subscription) { s.Sink.Headers = map[string]string{"x-area": "b", "x-new": "n"} },
		`{"sink": {"mode": null, "timeout": null}}`:                    func(s *Subscription) { s.Sink.Mode, s.Sink.Timeout = Structured, DefaultSinkTimeout },
		`{"sink": {"url": "https://b"}}`:                               func(s *Subscription) { s.Sink.URL = "https://b" },
		`{"sink": {"secret": null}}`:                                   func(s *Subscription) { s.Sink.Secret = "" },
		`{"sink": {"secret": "whsec_****"}}`:                           same,
		`{"sink": {"secret": "` + otherSecret + `"}}`:                  func(s *Subscription) { s.Sink.Secret = otherSecret },
		`{"delivery": {"retry": {"schedule": ["1s"]}}}`:                func(s *Subscription) { s.Delivery.Retry.Schedule = []Duration{Duration(time.Second)} },
		`{"delivery": null}`:                                           func(s *Subscription) { s.Delivery = DefaultDelivery() },
	} {
		want := billing()
		change(&want)
		got, err := PatchSubscription(billing(), []byte(patch), Rules{})
		require.NoError(t, err, patch)
		require.True(t, EqualDefinition(want, got), "%s gave %s", patch, AppendStored(nil, got))
		require.Equal(t, want.Version, got.Version)
		require.Equal(t, want.ID, got.ID)
	}
}

func TestAPatchOfAnUnsignedSubscriptionLeavesItUnsigned(t *testing.T) {
	unsigned := billing()
	unsigned.Sink.Secret = ""
	got, err := PatchSubscription(unsigned, []byte(`{"title": "New"}`), Rules{})
	require.NoError(t, err)
	require.Empty(t, got.Sink.Secret)
}

func TestAPatchIsRefusedWhereItsResultWouldBe(t *testing.T) {
	for patch, want := range map[string]struct {
		code     Code
		problems []string
	}{
		`{`:                            {Malformed, []string{"body: ends too early, at line 1, column 2"}},
		`[]`:                           {Invalid, []string{"body: must be an object, not an array"}},
		`null`:                         {Invalid, []string{"body: must be an object, not null"}},
		`{"title": "a", "title": "b"}`: {Invalid, []string{"body.title: stands here more than once"}},
		`{"name": null}`:               {Invalid, []string{"body.name: is required"}},
		`{"sink": null}`:               {Invalid, []string{"body.sink.kind: is required"}},
		`{"sink": []}`:                 {Invalid, []string{"body.sink: must be an object, not an array"}},
		`{"sink": {"kind": "handler"}}`: {Invalid, []string{
			"body.sink.url: is not a known field", "body.sink.mode: is not a known field",
			"body.sink.headers: is not a known field", "body.sink.secret: is not a known field",
		}},
		`{"titel": "a"}`:                             {Invalid, []string{"body.titel: is not a known field"}},
		`{"titel": null}`:                            {Invalid, []string{"body.titel: is not a known field"}},
		`{"sink": {"URL": null}}`:                    {Invalid, []string{`body.sink.URL: is not a known field; did you mean "url"?`}},
		`{"delivery": {"ordered": 1}, "nope": null}`: {Invalid, []string{"body.nope: is not a known field", "body.delivery.ordered: must be a boolean, not a number"}},
	} {
		_, err := PatchSubscription(billing(), []byte(patch), Rules{})
		code, got := problems(t, err)
		require.Equal(t, want.code, code, patch)
		require.Equal(t, want.problems, got, patch)
	}
	_, err := PatchSubscription(invoicing(), []byte(`{"enabled": false}`), Rules{})
	_, got := problems(t, err)
	require.Equal(t, []string{"body.sink.kind: is Go code that subscribes under this name, and only that code changes it"}, got)
}

func TestDefinitionsAreEqualWhateverTheirText(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Subscription)
		equal  bool
	}{
		"nothing":         {func(*Subscription) {}, true},
		"server's fields": {func(s *Subscription) { s.ID, s.Version, s.Created, s.Updated = "", 0, time.Time{}, time.Time{} }, true},
		"pattern's text": {func(s *Subscription) {
			s.Filter.Pattern = json.RawMessage(`{ "\u0064ata": {"total": [{"numeric": [">", 1.00e2]}]} }`)
		}, true},
		"pattern": {func(s *Subscription) {
			s.Filter.Pattern = json.RawMessage(`{"data":{"total":[{"numeric":[">",101]}]}}`)
		}, false},
		"empty headers":    {func(s *Subscription) { s.Sink.Headers["x-team"] = "" }, false},
		"secret":           {func(s *Subscription) { s.Sink.Secret = otherSecret }, false},
		"no secret":        {func(s *Subscription) { s.Sink.Secret = "" }, false},
		"a retry":          {func(s *Subscription) { s.Delivery.Retry.Schedule = s.Delivery.Retry.Schedule[:1] }, false},
		"the filter's end": {func(s *Subscription) { s.Filter.Pattern = json.RawMessage(`{`) }, false},
	} {
		s := billing()
		c.change(&s)
		require.Equal(t, c.equal, EqualDefinition(billing(), s), name)
		if c.equal {
			require.Equal(t, billing().Definition(), s.Definition(), name)
		}
	}
}

func TestADefinitionForPrintingHasNoSecret(t *testing.T) {
	s := billing()
	s.Filter = Filter{Types: []string{"order.*"}}
	require.Equal(t, map[string]any{
		"name": "orders-to-billing", "title": "Orders → billing", "enabled": true,
		"filter": map[string]any{"types": []any{"order.*"}},
		"sink": map[string]any{
			"kind": "webhook", "url": "https://billing.example/hook", "mode": "binary", "headers": map[string]any{"x-team": "a", "x-area": "b"},
			"timeout": "30s", "secret": "whsec_****",
		},
		"delivery": map[string]any{"retry": map[string]any{"schedule": []any{"5s", "7d"}, "jitter": 0.5}, "max_in_flight": int64(3), "max_backlog": int64(0),
			"breaker": map[string]any{"failures": int64(5), "pause": "1s", "disable_after": "7d"}},
	}, s.Definition())
}
