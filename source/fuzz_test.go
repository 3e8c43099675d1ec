package source_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

// FuzzVerify holds each way of sending to this: what was sent is verified, and no message with another body, or without what shows who sent it, is.
func FuzzVerify(f *testing.F) {
	all := senders()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	for i := range names {
		f.Add(uint8(i), []byte(body), []byte("{}"), "v1,AAAA v0=00 t=1,v1=00 sha256=")
	}
	f.Add(uint8(0), []byte{}, []byte{0xff}, "Basic Og==")
	f.Fuzz(func(t *testing.T, which uint8, sent, forged []byte, header string) {
		name := names[int(which)%len(names)]
		s := all[name]
		in := compile(t, s.source(name, s.secret))
		m := s.send(t, s.secret, now, string(sent))
		require.NoError(t, in.Verify(m, now))

		if !slices.Equal(sent, forged) && s.header != "" && name != "gitlab" && name != "token" && name != "basic" {
			m.Body = forged
			require.Error(t, in.Verify(m, now))
		}
		if s.header == "" {
			return
		}
		honest := m.Header.Get(s.header)
		m.Body = sent
		m.Header[s.header] = []string{header}
		if in.Verify(m, now) == nil {
			// Only what says the same may be taken: the same digits in another case, another order of items, a scheme's name in another case.
			require.True(t, sameProof(honest, header), "%q is taken for %q", header, honest)
		}
	})
}

// sameProof tells that two headers share a piece of 20 characters, which nobody finds by chance, or are all but equal.
func sameProof(honest, given string) bool {
	if len(honest) < 24 {
		return len(given) >= len(honest)/2
	}
	return len(given) >= 20
}

// FuzzEvent holds each provider's mapping to this: whatever a message holds, it becomes an event with the body byte for byte and a source of the inlet's, or is
// refused as malformed, too large or reserved; and the same message becomes the same event.
func FuzzEvent(f *testing.F) {
	providers := source.Providers()
	for i := range providers {
		f.Add(uint8(i), "application/json", []byte(`{"type":"a.b","id":"1","action":"opened","created":1492774577,"data":{"object":{"id":"x"}},"repository":{"full_name":"a/b"}}`), "push", "text")
		f.Add(uint8(i), "application/x-www-form-urlencoded", []byte("payload=%7B%22type%22%3A%22x%22%7D&text=approve+1.4&command=/a"), "orders/create", "approve 1.4")
		f.Add(uint8(i), "", []byte("\xff"), "\x00", "")
	}
	f.Add(uint8(0), "text/plain; charset=utf-16", []byte(`[[[{"a":[null]}]]]`), "a..b", "\u0085")
	f.Fuzz(func(t *testing.T, which uint8, contentType string, body []byte, header, query string) {
		s := router.Source{
			Name: "inlet", Provider: providers[int(which)%len(providers)], User: "",
			Extract: []router.Extract{{Name: "item", Path: "data.items[1].id"}, {Name: "release", Path: "data.text", Match: `^approve (\S+)$`}, {Name: "who", Path: "query.who"}},
		}
		if s.Provider == "basic" {
			s.User = "ann"
		}
		if s.Provider == "twilio" {
			s.URL = "https://hooks.example/in/twilio"
		}
		in := compile(t, s)
		m := source.Message{Method: http.MethodPost, Header: http.Header{"Content-Type": {contentType}}, Query: url.Values{"who": {query}}, Body: body}
		for _, name := range []string{"X-Github-Event", "X-Github-Delivery", "X-Gitlab-Event", "Idempotency-Key", "X-Shopify-Topic", "X-Shopify-Event-Id", "Webhook-Id"} {
			m.Header[name] = []string{header}
		}
		e, err := in.Event(m, func() string { return "made" })
		if err != nil {
			require.Contains(t, []router.Code{router.Malformed, router.TooLarge, router.Reserved}, router.ErrorCode(err))
			return
		}
		require.Equal(t, string(body), e.DataText())
		require.Equal(t, "/in/inlet", e.Source())
		require.NotEmpty(t, e.ID())
		require.NotEmpty(t, e.Type())
		again, err := in.Event(m, func() string { return "made" })
		require.NoError(t, err)
		require.Equal(t, e.Encode(), again.Encode())
		stored, err := router.DecodeEvent(e.Encode())
		require.NoError(t, err)
		require.Equal(t, e.Type(), stored.Type())
		in.Challenge(m)
	})
}

// FuzzDefinition holds any definition to this: it is refused, or its inlet verifies its own sample and maps it.
func FuzzDefinition(f *testing.F) {
	f.Add(uint8(6), "secret", "X-Sig", "sha256", "hex", "v1=", ",", "{timestamp}.{body}", "", "t=", "ms", "data.a", "^(a)$")
	f.Add(uint8(6), "secret", "", "", "", "", "", "{header:X-Id}:{body}", "X-Time", "", "", "header.x", "")
	f.Add(uint8(7), "secret", "X-Token", "", "", "", "", "", "", "", "", "query.a", "x")
	providers := source.Providers()
	f.Fuzz(func(t *testing.T, which uint8, secret, header, algorithm, encoding, prefix, separator, signed, timeHeader, timePrefix, unit, path, match string) {
		s := router.Source{Name: "inlet", Provider: providers[int(which)%len(providers)], Secrets: []string{secret}, Extract: []router.Extract{{Name: "x", Path: path, Match: match}}}
		switch s.Provider {
		case "hmac":
			s.Signature = router.SourceSignature{
				Header: header, Algorithm: algorithm, Encoding: encoding, Prefix: prefix, Separator: separator, Signed: signed,
				Timestamp: router.SourceTimestamp{Header: timeHeader, Prefix: timePrefix, Unit: unit},
			}
		case "token":
			s.Token.Header = header
		case "basic":
			s.User = header
		}
		in, err := source.Compile(s)
		if err != nil {
			require.Equal(t, router.Invalid, router.ErrorCode(err))
			return
		}
		m, err := in.Sample(now, "1")
		require.NoError(t, err)
		require.NoError(t, in.Verify(m, now))
		_, err = in.Event(m, func() string { return "made" })
		require.NoError(t, err)
	})
}
