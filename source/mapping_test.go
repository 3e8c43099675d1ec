package source_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

// mapped is what a message becomes, in the words of a test.
type mapped struct {
	kind, subject, id, time string
	extensions              map[string]string
}

func event(t testing.TB, s router.Source, m source.Message) router.Event {
	if s.Name == "" {
		s.Name = "inlet"
	}
	e, err := compile(t, s).Event(m, func() string { return "made" })
	require.NoError(t, err)
	require.Equal(t, string(m.Body), e.DataText(), "the body is the data, byte for byte")
	return e
}

func describe(e router.Event) mapped {
	d := mapped{e.Type(), e.Subject(), e.ID(), e.TimeText(), map[string]string{}}
	for x := range e.Extensions {
		d.extensions[x.Name] = x.Value
	}
	return d
}

func TestMessagesBecomeEventsInTheirProvidersTerms(t *testing.T) {
	form := func(body string) source.Message {
		m := message(body)
		m.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return m
	}
	for name, c := range map[string]struct {
		provider string
		m        source.Message
		want     mapped
	}{
		"GitHub, with an action": {
			"github",
			message(`{"action":"opened","pull_request":{"updated_at":"2026-11-20T12:00:00Z"},"repository":{"full_name":"acme/shop"},"sender":{"login":"ann"}}`,
				"X-GitHub-Event", "pull_request", "X-GitHub-Delivery", "72d3162e", "X-GitHub-Hook-ID", "42"),
			mapped{"github.pull_request.opened", "acme/shop", "72d3162e", "2026-11-20T12:00:00Z", map[string]string{"githubevent": "pull_request", "githubhook": "42", "githubsender": "ann"}},
		},
		"GitHub, without one": {
			"github", message(`{"ref":"refs/tags/1.4","repository":{"full_name":"acme/shop"}}`, "X-GitHub-Event", "push", "X-GitHub-Delivery", "d"),
			mapped{"github.push", "acme/shop", "d", "", map[string]string{"githubevent": "push"}},
		},
		"GitHub, as a form": {
			"github",
			func() source.Message {
				m := form("payload=" + url.QueryEscape(`{"action":"created","repository":{"full_name":"acme/shop"}}`))
				m.Header.Set("X-GitHub-Event", "release")
				m.Header.Set("X-GitHub-Delivery", "d")
				return m
			}(),
			mapped{"github.release.created", "acme/shop", "d", "", map[string]string{"githubevent": "release"}},
		},
		"GitLab": {
			"gitlab",
			message(`{"object_kind":"merge_request","project":{"path_with_namespace":"acme/shop"},"object_attributes":{"action":"open","updated_at":"2013-12-03 17:23:34 UTC"}}`,
				"X-Gitlab-Event", "Merge Request Hook", "Idempotency-Key", "f5e5", "X-Gitlab-Instance", "https://gitlab.example"),
			mapped{"gitlab.merge_request.open", "acme/shop", "f5e5", "2013-12-03T17:23:34.000Z", map[string]string{"gitlabevent": "Merge Request Hook", "gitlabinstance": "https://gitlab.example"}},
		},
		"GitLab, with nothing but a header": {
			"gitlab", message(`{}`, "X-Gitlab-Event", "Merge Request Hook"),
			mapped{"gitlab.Merge_Request_Hook", "", "made", "", map[string]string{"gitlabevent": "Merge Request Hook"}},
		},
		"Stripe": {
			"stripe", message(`{"id":"evt_1","object":"event","api_version":"2025-06-30","created":1492774577,"type":"invoice.paid","account":"acct_1","data":{"object":{"id":"in_1"}}}`),
			mapped{"stripe.invoice.paid", "in_1", "evt_1", "2017-04-21T11:36:17.000Z", map[string]string{"stripeaccount": "acct_1", "stripeversion": "2025-06-30"}},
		},
		"Slack, a message": {
			"slack", message(`{"team_id":"T1","api_app_id":"A1","type":"event_callback","event_id":"Ev1","event_time":1531431954,"event":{"type":"message","subtype":"bot_message","channel":"C1","user":"U1","text":"hi"}}`),
			mapped{"slack.message.bot_message", "C1", "Ev1", "2018-07-12T21:45:54.000Z", map[string]string{"slackteam": "T1", "slackuser": "U1", "slackapp": "A1"}},
		},
		"Slack, an event about an object": {
			"slack", message(`{"event_id":"Ev2","event":{"type":"channel_created","channel":{"id":"C2","name":"fun"}}}`),
			mapped{"slack.channel_created", "C2", "Ev2", "", map[string]string{}},
		},
		"Slack, a command": {
			"slack", form("team_id=T1&channel_id=C1&user_id=U1&command=%2Fdeploy&text=approve+1.4&trigger_id=398.474.803"),
			mapped{"slack.command.deploy", "C1", "398.474.803", "", map[string]string{"slackteam": "T1", "slackuser": "U1"}},
		},
		"Slack, a button": {
			"slack", form("payload=" + url.QueryEscape(`{"type":"block_actions","trigger_id":"12.3","user":{"id":"U1"},"team":{"id":"T1"},"channel":{"id":"C1"}}`)),
			mapped{"slack.block_actions", "C1", "12.3", "", map[string]string{"slackteam": "T1", "slackuser": "U1"}},
		},
		"Shopify": {
			"shopify",
			message(`{"id":820982911946154508,"updated_at":"2021-12-31T19:00:00-05:00"}`, "X-Shopify-Topic", "orders/create", "X-Shopify-Event-Id", "98880550", "X-Shopify-Shop-Domain", "acme.myshopify.com"),
			mapped{
				"shopify.orders.create", "820982911946154508", "98880550/orders/create", "2021-12-31T19:00:00-05:00",
				map[string]string{"shopifytopic": "orders/create", "shopifyshop": "acme.myshopify.com"},
			},
		},
		"Standard Webhooks": {
			"standard-webhooks", message(`{"type":"user.created","timestamp":"2022-11-03T20:26:10.344522Z","data":{}}`, "Webhook-Id", "msg_1"),
			mapped{"inlet.user.created", "", "msg_1", "2022-11-03T20:26:10.344522Z", map[string]string{}},
		},
		"anybody, with a type":  {"hmac", message(`{"type":"order.paid"}`), mapped{"inlet.order.paid", "", "made", "", map[string]string{}}},
		"anybody, with a word":  {"token", message(`{"event":"paid"}`), mapped{"inlet.paid", "", "made", "", map[string]string{}}},
		"anybody, with nothing": {"none", message(`[1]`), mapped{"inlet.received", "", "made", "", map[string]string{}}},
	} {
		t.Run(name, func(t *testing.T) {
			e := event(t, router.Source{Provider: c.provider}, c.m)
			require.Equal(t, c.want, describe(e))
			require.Equal(t, "/in/inlet", e.Source())
		})
	}
}

func TestBodiesTravelAsWhatTheyAre(t *testing.T) {
	for name, c := range map[string]struct {
		contentType, body string
		kind              router.DataKind
		shown             string
	}{
		"JSON":                          {"application/json; charset=utf-8", ` {"a": 1.0}` + "\n", router.JSONData, "application/json; charset=utf-8"},
		"JSON without a type":           {"", `{"a":1}`, router.JSONData, ""},
		"what is not the JSON it says":  {"application/json", `{"a":`, router.BinaryData, "application/json"},
		"JSON with a name twice":        {"application/json", `{"a":1,"a":2}`, router.BinaryData, "application/json"},
		"a form":                        {"application/x-www-form-urlencoded", "a=1&b=%20", router.TextData, "application/x-www-form-urlencoded"},
		"a form that is none":           {"application/x-www-form-urlencoded", "\xff", router.BinaryData, "application/x-www-form-urlencoded"},
		"text":                          {"text/plain", "hällo", router.TextData, "text/plain"},
		"bytes":                         {"application/octet-stream", "\x00\xff", router.BinaryData, "application/octet-stream"},
		"nothing":                       {"application/json", "", router.NoData, "application/json"},
		"bytes without a type":          {"", "\x00\xff", router.BinaryData, ""},
		"a content type that is none":   {"?!", `{"a":1}`, router.JSONData, ""},
		"a content type of another set": {"text/plain; charset=latin1", "h\xe4llo", router.BinaryData, "text/plain; charset=latin1"},
	} {
		t.Run(name, func(t *testing.T) {
			m := message(c.body)
			m.Header.Del("Content-Type")
			if c.contentType != "" {
				m.Header.Set("Content-Type", c.contentType)
			}
			e := event(t, router.Source{Provider: "hmac"}, m)
			require.Equal(t, c.kind, e.DataKind())
			require.Equal(t, c.shown, e.DataContentType())
		})
	}
}

func TestADefinitionSaysWhereAttributesComeFrom(t *testing.T) {
	prefix := "shop."
	s := router.Source{
		Provider: "hmac", TypePrefix: &prefix,
		Map: router.SourceMap{Type: "data.what", Source: "query.shop", Subject: "data.orders[1].id", ID: "header.x-id", Time: "data.at"},
	}
	m := message(`{"what":"order.paid","orders":[{"id":1},{"id":2}],"at":1492774577000}`, "X-Id", "id 1")
	m.Query = url.Values{"shop": {"https://shop.example/eu"}}
	e := event(t, s, m)
	require.Equal(t, mapped{"shop.order.paid", "2", "id 1", "2017-04-21T11:36:17.000Z", map[string]string{}}, describe(e))
	require.Equal(t, "https://shop.example/eu", e.Source())

	s.Provider = "stripe"
	e = event(t, s, message(`{"id":"evt_1","type":"invoice.paid","created":1492774577,"data":{"object":{"id":"in_1"}}}`))
	require.Equal(t, mapped{"shop.invoice.paid", "in_1", "evt_1", "2017-04-21T11:36:17.000Z", map[string]string{}}, describe(e), "where a message has no such thing, its provider's is taken")
	require.Equal(t, "/in/inlet", e.Source())
	empty := ""
	s.TypePrefix = &empty
	require.Equal(t, "invoice.paid", event(t, s, message(`{"type":"invoice.paid"}`)).Type())
}

func TestPartsOfAMessageBecomeExtensionAttributes(t *testing.T) {
	approve := router.Source{Provider: "slack", Extract: []router.Extract{
		{Name: "all", Path: "data.text", Match: `[0-9.]+`},
		{Name: "channel", Path: "data.channel_name"},
		{Name: "release", Path: "data.text", Match: `^approve (\S+)$`},
		{Name: "retry", Path: "header.x-slack-retry-num"},
		{Name: "slackuser", Path: "data.user_name"},
		{Name: "tenant", Path: "query.tenant"},
	}}
	m := message("command=%2Frelease&text=approve+1.4&channel_name=ops&user_id=U1&user_name=ann", "X-Slack-Retry-Num", "1")
	m.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	m.Query.Set("tenant", "eu")
	require.Equal(t, map[string]string{"all": "1.4", "channel": "ops", "release": "1.4", "retry": "1", "slackuser": "ann", "tenant": "eu"}, describe(event(t, approve, m)).extensions,
		"a provider's own extension can be replaced")
	m.Body = []byte("command=%2Frelease&text=reject+1.4")
	require.NotContains(t, describe(event(t, approve, m)).extensions, "release", "what does not match is left out")
}

func TestWhatCanNotStandInAnAttributeIsLeftOut(t *testing.T) {
	long := strings.Repeat("x", 2000)
	s := router.Source{Provider: "hmac", Map: router.SourceMap{Type: "data.t", Source: "data.s", Subject: "data.s", Time: "data.time"}, Extract: []router.Extract{{Name: "x", Path: "data.s"}}}
	for _, value := range []string{`"a\nb"`, `"\u0000"`, `"\u0085"`, `"\ufdd0"`, `""`, `null`, `{}`, `[]`, `"` + long + `"`} {
		e := event(t, s, message(`{"t":`+value+`,"s":`+value+`,"time":`+value+`}`))
		require.Equal(t, mapped{"inlet.received", "", "made", "", map[string]string{}}, describe(e), value)
		require.Equal(t, "/in/inlet", e.Source())
	}
	for _, value := range []string{"-5", "1e99", `"yesterday"`, `"2026-11-20"`, "99999999999999999999", "true"} {
		require.Empty(t, event(t, s, message(`{"time":`+value+`}`)).TimeText(), value)
	}
	require.Equal(t, "/in/inlet", event(t, s, message(`{"s":"no uri"}`)).Source())
}

func TestTypesHaveNoEmptySegmentsAndNoStars(t *testing.T) {
	s := router.Source{Provider: "hmac"}
	for given, want := range map[string]string{
		"a.b": "inlet.a.b", "a//b": "inlet.a.b", ".a..b.": "inlet.a.b", "a b": "inlet.a_b", "/a/": "inlet.a", "...": "inlet.received", "a.*": "inlet.a._", "a ": "inlet.a",
	} {
		require.Equal(t, want, event(t, s, message(`{"type":"`+given+`"}`)).Type(), given)
	}
}

func TestAnIDThatIsTooLongStandsForItselfByItsHash(t *testing.T) {
	s := router.Source{Provider: "hmac", Map: router.SourceMap{ID: "data.id"}}
	long := strings.Repeat("x", 5000)
	first := event(t, s, message(`{"id":"`+long+`"}`)).ID()
	require.Regexp(t, "^sha256-[0-9a-f]{64}$", first)
	require.Equal(t, first, event(t, s, message(`{"id":"`+long+`", "again": true}`)).ID())
	require.NotEqual(t, first, event(t, s, message(`{"id":"`+long+`y"}`)).ID())
}

func TestWhatIsReservedToStreamlatchIsRefused(t *testing.T) {
	empty := ""
	in := compile(t, router.Source{Name: "n", Provider: "hmac", TypePrefix: &empty, Map: router.SourceMap{Source: "data.source"}})
	for _, body := range []string{`{"type":"streamlatch.x"}`, `{"source":"/streamlatch/triggers/x"}`} {
		_, err := in.Event(message(body), func() string { return "made" })
		require.Equal(t, router.Reserved, router.ErrorCode(err), body)
	}
}

func TestWhatIsWrongInADefinitionIsNamedWithItsPlace(t *testing.T) {
	long := strings.Repeat("x", 200)
	for place, s := range map[string]router.Source{
		"provider":                   {Provider: "githbu"},
		"secret":                     {Provider: "standard-webhooks", Secrets: []string{"whsec_!"}},
		"secret of another form":     {Provider: "github", Secrets: []string{"a\n"}},
		"public_key":                 {Provider: "standard-webhooks", PublicKey: "whpk_AAAA"},
		"user":                       {Provider: "basic"},
		"signature":                  {Provider: "github", Signature: router.SourceSignature{Header: "X"}},
		"signature.header":           {Provider: "hmac", Signature: router.SourceSignature{Header: "a b"}},
		"signature.algorithm":        {Provider: "hmac", Signature: router.SourceSignature{Algorithm: "md5"}},
		"signature.encoding":         {Provider: "hmac", Signature: router.SourceSignature{Encoding: "base32"}},
		"signature.signed":           {Provider: "hmac", Signature: router.SourceSignature{Signed: "{timestamp}"}},
		"signature.signed, body":     {Provider: "hmac", Signature: router.SourceSignature{Signed: "{header:X-Id}"}},
		"signature.signed, open":     {Provider: "hmac", Signature: router.SourceSignature{Signed: "{body"}},
		"signature.signed, two ways": {Provider: "hmac", Signature: router.SourceSignature{Signed: "{header:X-Id}{body}"}},
		"signature.signed, time": {Provider: "hmac", Signature: router.SourceSignature{
			Signed: "{body}", Timestamp: router.SourceTimestamp{Header: "X-Time"},
		}},
		"signature.separator":                {Provider: "hmac", Signature: router.SourceSignature{Timestamp: router.SourceTimestamp{Prefix: "t="}}},
		"signature.separator, of signatures": {Provider: "hmac", Signature: router.SourceSignature{Separator: "a"}},
		"signature.separator, of a prefix":   {Provider: "hmac", Signature: router.SourceSignature{Separator: ",", Prefix: "v1,"}},
		"signature.prefix":                   {Provider: "hmac", Signature: router.SourceSignature{Separator: ",", Prefix: "t=1", Timestamp: router.SourceTimestamp{Prefix: "t="}}},
		"signature.prefix, none":             {Provider: "hmac", Signature: router.SourceSignature{Separator: ",", Timestamp: router.SourceTimestamp{Prefix: "t="}}},
		"signature.prefix, space":            {Provider: "hmac", Signature: router.SourceSignature{Prefix: " v1="}},
		"signature.timestamp.unit":           {Provider: "hmac", Signature: router.SourceSignature{Timestamp: router.SourceTimestamp{Header: "X-Time", Unit: "h"}}},
		"token":                              {Provider: "token", Token: router.SourceToken{Header: "a", Query: "b"}},
		"handshake":                          {Provider: "hmac", Handshake: "x"},
		"handshake of others":                {Provider: "github", Handshake: "crc"},
		"type_prefix":                        {Provider: "github", TypePrefix: &long},
		"map.type":                           {Provider: "github", Map: router.SourceMap{Type: "subject"}},
		"map.id":                             {Provider: "github", Map: router.SourceMap{ID: "header."}},
		"map.subject":                        {Provider: "github", Map: router.SourceMap{Subject: "data"}},
		"map.time":                           {Provider: "github", Map: router.SourceMap{Time: "data..x"}},
		"map.source":                         {Provider: "github", Map: router.SourceMap{Source: "query."}},
		"extract.Release":                    {Provider: "github", Extract: []router.Extract{{Name: "Release", Path: "data.x"}}},
		"extract.streamlatchhops":            {Provider: "github", Extract: []router.Extract{{Name: "streamlatchhops", Path: "data.x"}}},
		"extract.a.path":                     {Provider: "github", Extract: []router.Extract{{Name: "a"}}},
		"extract.a.match":                    {Provider: "github", Extract: []router.Extract{{Name: "a", Path: "data.x", Match: "("}}},
		"reply.status":                       {Provider: "github", Reply: router.SourceReply{Status: 302}},
		"reply.content_type":                 {Provider: "github", Reply: router.SourceReply{Status: 200, ContentType: "html"}},
		"reply.body":                         {Provider: "github", Reply: router.SourceReply{Status: 204, Body: "x"}},
	} {
		s.Name = "n"
		if s.Provider == "basic" && place != "user" {
			s.User = "ann"
		}
		err := source.Check(s)
		require.Error(t, err, place)
		e, ok := err.(*router.Error)
		require.True(t, ok)
		field, _, _ := strings.Cut(place, ", ")
		field, _, _ = strings.Cut(field, " of ")
		require.True(t, slices.ContainsFunc(e.Problems, func(p router.Problem) bool { return p.Location == field }), "%s: %v", place, err)
		require.Equal(t, router.Invalid, e.Code)
	}
}

func TestAMessageIsMappedTheSameEachTime(t *testing.T) {
	s := router.Source{Provider: "github", Name: "n"}
	in := compile(t, s)
	m := message(`{"action":"opened","repository":{"full_name":"a/b"}}`, "X-GitHub-Event", "issues", "X-GitHub-Delivery", "d")
	first, err := in.Event(m, func() string { return "" })
	require.NoError(t, err)
	second, err := in.Event(source.Message{Method: http.MethodPost, Header: m.Header.Clone(), Body: slices.Clone(m.Body)}, func() string { return "" })
	require.NoError(t, err)
	require.Equal(t, first.Encode(), second.Encode(), "so that a repeat is a duplicate")
}

func TestPathsFindWhatTheyNameInAnyJSON(t *testing.T) {
	s := router.Source{Provider: "hmac", Extract: []router.Extract{
		{Name: "a", Path: `data.a`}, {Name: "dotted", Path: `data["a.b"]`}, {Name: "item", Path: `data.list[1].id`}, {Name: "nested", Path: `data.o.list[0][1]`}, {Name: "quote", Path: `data["\""]`},
	}}
	for body, want := range map[string]map[string]string{
		`{"a":"x"}`:                                     {"a": "x"},
		" {\n\t\"a\" :\r 1.50 } ":                       {"a": "1.50"},
		`{"b":{"a":"no"},"a":true}`:                     {"a": "true"},
		`{"b":["a",{"a":"}"},"\\\""],"a":"y\\"}`:        {"a": `y\`},
		`{"\u0061":"\u00e9\n"}`:                         {},
		`{"\u0061":"\u00e9"}`:                           {"a": "é"},
		`{"a":null,"a.b":-1e5}`:                         {"dotted": "-1e5"},
		`{"a":{},"list":[{"id":1},{"id":2,"x":[]}]}`:    {"item": "2"},
		`{"list":[[],[]],"o":{"list":[[1,"z",3],[4]]}}`: {"nested": "z"},
		`{"list":{"1":{"id":"no"}},"\"":"q"}`:           {"quote": "q"},
		`[{"a":"no"}]`:                                  {},
		`"a"`:                                           {},
		`{}`:                                            {},
	} {
		require.Equal(t, want, describe(event(t, s, message(body))).extensions, body)
	}
}
