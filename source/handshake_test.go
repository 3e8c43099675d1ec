package source_test

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"

	"crypto/sha256"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

func TestHandshakesBeforeAnythingIsSigned(t *testing.T) {
	for name, c := range map[string]struct {
		method, query string
		want          source.Answer
	}{
		"challenge": {http.MethodGet, "challenge=abc", source.Answer{ContentType: "text/plain; charset=utf-8", Body: "abc"}},
		"hub":       {http.MethodGet, "hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=x", source.Answer{ContentType: "text/plain; charset=utf-8", Body: "1158201444"}},
		"graph":     {http.MethodPost, "validationToken=Validation%3A+Testing", source.Answer{ContentType: "text/plain; charset=utf-8", Body: "Validation: Testing"}},
		"crc": {http.MethodGet, "crc_token=tok", source.Answer{
			ContentType: "application/json", Body: `{"response_token":"sha256=` + base64.StdEncoding.EncodeToString(mac(t, sha256.New, []byte("key"), "tok")) + `"}`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			in := compile(t, router.Source{Name: "n", Provider: "hmac", Secrets: []string{"key", "older"}, Handshake: name})
			m := source.Message{Method: c.method}
			m.Query, _ = url.ParseQuery(c.query)
			got, ok := in.Greet(m)
			require.True(t, ok)
			require.Equal(t, c.want, got)

			m.Method = http.MethodPut
			_, ok = in.Greet(m)
			require.False(t, ok)
			for key, values := range m.Query {
				m.Query[key] = append(values, values[0])
			}
			m.Method = c.method
			_, ok = in.Greet(m)
			require.False(t, ok, "doubled")
			_, ok = compile(t, router.Source{Name: "n", Provider: "hmac", Secrets: []string{"key"}}).Greet(source.Message{Method: c.method, Query: m.Query})
			require.False(t, ok, "nobody asked for it")
		})
	}
}

func TestHandshakesThatAreSigned(t *testing.T) {
	slack := compile(t, router.Source{Name: "n", Provider: "slack", Secrets: []string{"s"}})
	got, ok := slack.Challenge(message(`{"token":"t","challenge":"3eZb","type":"url_verification"}`))
	require.True(t, ok)
	require.Equal(t, source.Answer{ContentType: "text/plain; charset=utf-8", Body: "3eZb"}, got)
	for _, body := range []string{`{"type":"event_callback","challenge":"x"}`, `{"type":"url_verification"}`, `{"type":"url_verification","challenge":{}}`, `x`, ``} {
		_, ok = slack.Challenge(message(body))
		require.False(t, ok, body)
	}

	zoom := compile(t, router.Source{Name: "n", Provider: "hmac", Secrets: []string{"key"}, Handshake: "zoom", Signature: router.SourceSignature{
		Header: "x-zm-signature", Prefix: "v0=", Signed: "v0:{timestamp}:{body}", Timestamp: router.SourceTimestamp{Header: "x-zm-request-timestamp"},
	}})
	got, ok = zoom.Challenge(message(`{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8"}}`))
	require.True(t, ok)
	require.Equal(t, source.Answer{ContentType: "application/json", Body: `{"encryptedToken":"` + hexMAC(t, "key", "qgg8") + `","plainToken":"qgg8"}`}, got)
}

func TestACRCCanNotBeUsedToHaveABodySigned(t *testing.T) {
	in := compile(t, router.Source{Name: "n", Provider: "hmac", Secrets: []string{"key"}, Handshake: "crc", Signature: router.SourceSignature{Encoding: "base64", Prefix: "sha256="}})
	signed := func(body string) source.Message {
		return message(body, "X-Signature", "sha256="+base64.StdEncoding.EncodeToString(mac(t, sha256.New, []byte("key"), body)))
	}
	for _, body := range []string{`{"a":1}`, `[1]`, `"x"`, `a b`} {
		require.NoError(t, in.Verify(signed(body), now))
		_, ok := in.Greet(source.Message{Method: http.MethodGet, Query: url.Values{"crc_token": {body}}})
		require.False(t, ok, "%s: it would be signed for anybody who asks", body)
	}
	for _, token := range []string{"tok", "1700000000.abc", "a+/=_-.", "17"} {
		_, ok := in.Greet(source.Message{Method: http.MethodGet, Query: url.Values{"crc_token": {token}}})
		require.True(t, ok)
		require.ErrorIs(t, in.Verify(signed(token), now), source.ErrMismatch, "anybody can have that signed")
	}
	require.Error(t, in.Verify(signed(""), now))
}
