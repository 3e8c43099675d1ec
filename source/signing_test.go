package source_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

// What providers do, written down once more without the table of providers, so that the table is held against something.

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

const standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func mac(t testing.TB, h func() hash.Hash, key []byte, text string) []byte {
	m := hmac.New(h, key)
	_, err := m.Write([]byte(text))
	require.NoError(t, err)
	return m.Sum(nil)
}

func hexMAC(t testing.TB, secret, text string) string {
	return hex.EncodeToString(mac(t, sha256.New, []byte(secret), text))
}

func standardMAC(t testing.TB, secret, text string) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	require.NoError(t, err)
	return "v1," + base64.StdEncoding.EncodeToString(mac(t, sha256.New, key, text))
}

// sender is a provider's way of sending.
type sender struct {
	definition router.Source // without secrets
	secret     string
	other      string // another one that could be it
	hex        bool
	timed      bool
	header     string // that shows who sends
	send       func(t testing.TB, secret string, at time.Time, body string) source.Message
}

func message(body string, headers ...string) source.Message {
	m := source.Message{Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}}, Query: url.Values{}, Body: []byte(body)}
	for i := 0; i < len(headers); i += 2 {
		m.Header.Add(headers[i], headers[i+1])
	}
	return m
}

func unix(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

func senders() map[string]sender {
	standard := func(t testing.TB, secret string, at time.Time, body string) source.Message {
		return message(body, "Webhook-Id", "msg_1", "Webhook-Timestamp", unix(at), "Webhook-Signature", standardMAC(t, secret, "msg_1."+unix(at)+"."+body))
	}
	otherStandard := "whsec_" + base64.StdEncoding.EncodeToString([]byte("another secret of 24 byte"))
	return map[string]sender{
		"github": {
			secret: "It's a Secret to Everybody", other: "s", hex: true, header: "X-Hub-Signature-256",
			send: func(t testing.TB, secret string, _ time.Time, body string) source.Message {
				return message(body, "X-GitHub-Event", "push", "X-GitHub-Delivery", "d-1", "X-Hub-Signature-256", "sha256="+hexMAC(t, secret, body))
			},
		},
		"gitlab": {
			secret: "s3cr3t", other: "s3cr3", header: "X-Gitlab-Token",
			send: func(_ testing.TB, secret string, _ time.Time, body string) source.Message {
				return message(body, "X-Gitlab-Token", secret)
			},
		},
		"gitlab signing token": {
			definition: router.Source{Provider: "gitlab"}, secret: standardSecret, other: otherStandard, timed: true, header: "Webhook-Signature", send: standard,
		},
		"stripe": {
			secret: "whsec_test_secret", other: "whsec_other_secret", hex: true, timed: true, header: "Stripe-Signature",
			send: func(t testing.TB, secret string, at time.Time, body string) source.Message {
				return message(body, "Stripe-Signature", "t="+unix(at)+",v1="+hexMAC(t, secret, unix(at)+"."+body)+",v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39")
			},
		},
		"slack": {
			secret: "8f742231b10e8888abcd99yyyzzz85a5", other: "8f742231b10e8888abcd99yyyzzz85a6", hex: true, timed: true, header: "X-Slack-Signature",
			send: func(t testing.TB, secret string, at time.Time, body string) source.Message {
				return message(body, "X-Slack-Request-Timestamp", unix(at), "X-Slack-Signature", "v0="+hexMAC(t, secret, "v0:"+unix(at)+":"+body))
			},
		},
		"shopify": {
			secret: "hush", other: "hush!", header: "X-Shopify-Hmac-Sha256",
			send: func(t testing.TB, secret string, _ time.Time, body string) source.Message {
				return message(body, "X-Shopify-Topic", "orders/create", "X-Shopify-Hmac-Sha256", base64.StdEncoding.EncodeToString(mac(t, sha256.New, []byte(secret), body)))
			},
		},
		"twilio": {
			definition: router.Source{Provider: "twilio", URL: "https://hooks.example/in/twilio"}, secret: "12345", other: "1234", header: "X-Twilio-Signature",
			send: func(t testing.TB, secret string, _ time.Time, body string) source.Message {
				sum := sha256.Sum256([]byte(body))
				query := "bodySHA256=" + hex.EncodeToString(sum[:])
				m := message(body, "X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac(t, sha1.New, []byte(secret), "https://hooks.example/in/twilio?"+query)))
				m.RawQuery = query
				m.Query.Set("bodySHA256", hex.EncodeToString(sum[:]))
				return m
			},
		},
		"standard-webhooks": {secret: standardSecret, other: otherStandard, timed: true, header: "Webhook-Signature", send: standard},
		"hmac": {
			secret: "topsecret", other: "topsecret ", hex: true, header: "X-Signature",
			send: func(t testing.TB, secret string, _ time.Time, body string) source.Message {
				return message(body, "X-Signature", hexMAC(t, secret, body))
			},
		},
		"hmac with all there is": {
			definition: router.Source{Provider: "hmac", Signature: router.SourceSignature{
				Header: "x-sig", Algorithm: "sha512", Encoding: "base64", Prefix: "sig:", Separator: ";", Signed: "{header:x-id}|{timestamp}|{body}",
				Timestamp: router.SourceTimestamp{Prefix: "at:", Unit: "ms"},
			}},
			secret: "topsecret", other: "topsecre", timed: true, header: "X-Sig",
			send: func(t testing.TB, secret string, at time.Time, body string) source.Message {
				ms := strconv.FormatInt(at.UnixMilli(), 10)
				return message(body, "X-Id", "a/b", "X-Sig", "sig:AAAA; at:"+ms+";sig:"+base64.StdEncoding.EncodeToString(mac(t, sha512.New, []byte(secret), "a/b|"+ms+"|"+body)))
			},
		},
		"hmac with sha1": {
			definition: router.Source{Provider: "hmac", Signature: router.SourceSignature{Algorithm: "sha1", Header: "X-Hub-Signature", Prefix: "sha1="}},
			secret:     "topsecret", other: "x", hex: true, header: "X-Hub-Signature",
			send: func(t testing.TB, secret string, _ time.Time, body string) source.Message {
				return message(body, "X-Hub-Signature", "sha1="+hex.EncodeToString(mac(t, sha1.New, []byte(secret), body)))
			},
		},
		"token": {
			secret: "tok", other: "to", header: "X-Webhook-Token",
			send: func(_ testing.TB, secret string, _ time.Time, body string) source.Message {
				return message(body, "X-Webhook-Token", secret)
			},
		},
		"token in the query": {
			definition: router.Source{Provider: "token", Token: router.SourceToken{Query: "token"}}, secret: "tok", other: "token",
			send: func(_ testing.TB, secret string, _ time.Time, body string) source.Message {
				m := message(body)
				m.Query.Set("token", secret)
				return m
			},
		},
		"basic": {
			definition: router.Source{Provider: "basic", User: "ann"}, secret: "pa:ss", other: "pass", header: "Authorization",
			send: func(_ testing.TB, secret string, _ time.Time, body string) source.Message {
				return message(body, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("ann:"+secret)))
			},
		},
		"none": {
			secret: "an-unguessable-path", other: "an-unguessable-pat",
			send: func(_ testing.TB, secret string, _ time.Time, body string) source.Message {
				m := message(body)
				m.Key = secret
				return m
			},
		},
	}
}

// source gives the definition of a source for the sender, with secrets.
func (s sender) source(name string, secrets ...string) router.Source {
	d := s.definition
	if d.Provider == "" {
		d.Provider = name
	}
	d.Name, d.Secrets = "inlet", secrets
	return d
}

func compile(t testing.TB, s router.Source) *source.Inlet {
	in, err := source.Compile(s)
	require.NoError(t, err)
	return in
}
