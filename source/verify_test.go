package source_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

const body = `{"hello":"world"}`

// each calls test with every way of sending.
func each(t *testing.T, test func(t *testing.T, name string, s sender)) {
	for name, s := range senders() {
		t.Run(name, func(t *testing.T) { test(t, name, s) })
	}
}

func TestEveryProviderHasASender(t *testing.T) {
	all := senders()
	for _, name := range source.Providers() {
		require.Contains(t, all, name)
	}
}

func TestAMessageThatItsProviderSentIsVerified(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		in := compile(t, s.source(name, s.secret))
		require.NoError(t, in.Verify(s.send(t, s.secret, now, body), now))
		require.NoError(t, in.Verify(s.send(t, s.secret, now, ""), now), "an empty body is a body")
		require.NoError(t, in.Verify(s.send(t, s.secret, now, "\xff\x00"), now), "whatever the body holds")
	})
}

func TestAMessageWithAnotherSecretIsNotVerified(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		in := compile(t, s.source(name, s.secret))
		require.ErrorIs(t, in.Verify(s.send(t, s.other, now, body), now), source.ErrMismatch)
	})
}

func TestASignatureIsOfOneBodyOnly(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		m := s.send(t, s.secret, now, body)
		m.Body = []byte(body + " ")
		err := compile(t, s.source(name, s.secret)).Verify(m, now)
		switch s.source(name).Provider {
		case "token", "basic", "none":
			require.NoError(t, err, "these protect no body")
		case "gitlab":
			require.Equal(t, s.timed, err != nil, "GitLab's token protects no body, its signing token does")
		default:
			require.ErrorIs(t, err, source.ErrMismatch)
		}
	})
}

func TestASourceWithoutSecretsTakesNothing(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		in := compile(t, s.source(name))
		require.ErrorIs(t, in.Verify(s.send(t, s.secret, now, body), now), source.ErrNoSecret)
		if name != "standard-webhooks" && name != "gitlab signing token" {
			require.Error(t, in.Verify(s.send(t, "", now, body), now))
		}
		require.Error(t, source.Check(s.source(name, "")), "and an empty secret is none")
	})
}

func TestAnySecretThatFitsIsEnough(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		for _, secrets := range [][]string{{s.secret, s.other}, {s.other, s.secret}} {
			in := compile(t, s.source(name, secrets...))
			require.NoError(t, in.Verify(s.send(t, s.secret, now, body), now))
			require.NoError(t, in.Verify(s.send(t, s.other, now, body), now))
		}
	})
}

func TestATimeMoreThanFiveMinutesAwayIsRefusedInBothDirections(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		in := compile(t, s.source(name, s.secret))
		for _, off := range []time.Duration{source.Tolerance, -source.Tolerance} {
			require.NoError(t, in.Verify(s.send(t, s.secret, now.Add(off), body), now))
		}
		for _, off := range []time.Duration{source.Tolerance + time.Second, -source.Tolerance - time.Second, -24 * time.Hour, 24 * time.Hour} {
			err := in.Verify(s.send(t, s.secret, now.Add(off), body), now)
			if s.timed {
				require.ErrorIs(t, err, source.ErrTimestamp)
			} else {
				require.NoError(t, err)
			}
		}
	})
}

func TestAHeaderThatIsMissingEmptyOrDoubledIsRefused(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		in := compile(t, s.source(name, s.secret))
		good := s.send(t, s.secret, now, body)
		for header, value := range good.Header {
			if strings.HasPrefix(header, "X-Github-") || header == "X-Shopify-Topic" || header == "Content-Type" {
				continue // say nothing of who sends
			}
			for _, values := range [][]string{nil, {""}, {value[0], value[0]}, {"x", value[0]}, {value[0], ""}} {
				m := good
				m.Header = good.Header.Clone()
				m.Header[header] = values
				require.Error(t, in.Verify(m, now), "%s: %q", header, values)
			}
		}
		for _, values := range [][]string{nil, {""}, {s.secret, s.secret}} {
			m := s.send(t, s.secret, now, body)
			if m.Query.Has("token") {
				m.Query["token"] = values
				require.Error(t, in.Verify(m, now))
			}
		}
		require.Error(t, in.Verify(message(body), now), "nothing at all")
	})
}

func TestHexMayBeInUpperCase(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		if !s.hex {
			return
		}
		m := s.send(t, s.secret, now, body)
		value := []byte(m.Header.Get(s.header))
		digits := 0
		for i := len(value) - 1; i >= 0 && digits < 40; i-- {
			if c := value[i]; c >= 'a' && c <= 'f' {
				value[i] = c - 'a' + 'A'
			}
			digits++
		}
		m.Header.Set(s.header, string(value))
		require.NoError(t, compile(t, s.source(name, s.secret)).Verify(m, now))
	})
}

func TestASignatureThatIsCutOrPaddedIsRefused(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		in := compile(t, s.source(name, s.secret))
		if s.header == "" || name == "token" || name == "gitlab" || name == "basic" {
			return
		}
		good := s.send(t, s.secret, now, body)
		value := good.Header.Get(s.header)
		if name == "stripe" {
			value, _, _ = strings.Cut(value, ",v0=")
		}
		for _, changed := range []string{value[:len(value)-1], value[:len(value)-4], value + "00", value + "\n", value + "=", " " + value + "0", value[:5]} {
			m := good
			m.Header = good.Header.Clone()
			m.Header.Set(s.header, changed)
			require.Error(t, in.Verify(m, now), "%q", changed)
		}
	})
}

func TestATimeIsWrittenInOneWayOnly(t *testing.T) {
	s := senders()["slack"]
	in := compile(t, s.source("slack", s.secret))
	for _, at := range []string{"", "x", "+" + unix(now), "0" + unix(now), unix(now) + ".0", " " + unix(now), "-1", "1e9", unix(now) + "000", "99999999999999999999"} {
		m := message(body, "X-Slack-Request-Timestamp", at, "X-Slack-Signature", "v0="+hexMAC(t, s.secret, "v0:"+at+":"+body))
		require.Error(t, in.Verify(m, now), "%q", at)
	}
}

func TestATimeThatIsThereTwiceIsRefused(t *testing.T) {
	s := senders()["stripe"]
	m := s.send(t, s.secret, now, body)
	m.Header.Set("Stripe-Signature", "t="+unix(now)+","+m.Header.Get("Stripe-Signature"))
	require.ErrorIs(t, compile(t, s.source("stripe", s.secret)).Verify(m, now), source.ErrMissing)
}

func TestTheSignedBytesCanNotBeTakenApartInAnotherWay(t *testing.T) {
	s := senders()["standard-webhooks"]
	in := compile(t, s.source("standard-webhooks", s.secret))
	at := unix(now)
	// What was signed as the id "a" at a time, with a body that begins like a time and a dot, could be the id "a.<time>" now.
	old := unix(now.Add(-time.Hour))
	m := message("x", "Webhook-Id", "a."+old, "Webhook-Timestamp", at, "Webhook-Signature", standardMAC(t, s.secret, "a."+old+"."+at+".x"))
	require.ErrorIs(t, in.Verify(m, now), source.ErrMissing)
}

func TestAHeaderWithVeryManySignaturesIsRefused(t *testing.T) {
	s := senders()["standard-webhooks"]
	m := s.send(t, s.secret, now, body)
	in := compile(t, s.source("standard-webhooks", s.secret))
	good := m.Header.Get("Webhook-Signature")
	m.Header.Set("Webhook-Signature", strings.Repeat("v1,AAAA ", 31)+good)
	require.NoError(t, in.Verify(m, now))
	m.Header.Set("Webhook-Signature", strings.Repeat("v1,AAAA ", 32)+good)
	require.ErrorIs(t, in.Verify(m, now), source.ErrMissing)
}

func TestGitHubsSHA1IsRefused(t *testing.T) {
	s := senders()["hmac with sha1"]
	m := s.send(t, s.secret, now, body)
	require.ErrorIs(t, compile(t, senders()["github"].source("github", s.secret)).Verify(m, now), source.ErrMissing)
}

func TestAPublicKeyIsEnoughForStandardWebhooks(t *testing.T) {
	public, private, err := ed25519.GenerateKey(strings.NewReader(strings.Repeat("seed", 8)))
	require.NoError(t, err)
	in := compile(t, router.Source{Name: "n", Provider: "standard-webhooks", PublicKey: "whpk_" + base64.StdEncoding.EncodeToString(public)})
	signature := "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte("m."+unix(now)+"."+body)))
	m := message(body, "Webhook-Id", "m", "Webhook-Timestamp", unix(now), "Webhook-Signature", signature)
	require.NoError(t, in.Verify(m, now))
	m.Body = []byte("{}")
	require.ErrorIs(t, in.Verify(m, now), source.ErrMismatch)
	m.Header.Set("Webhook-Signature", strings.Replace(signature, "v1a,", "v1,", 1))
	require.Error(t, in.Verify(m, now))
}

func TestTheNameOfAUserCounts(t *testing.T) {
	s := senders()["basic"]
	in := compile(t, s.source("basic", s.secret))
	for _, credentials := range []string{"bob:pa:ss", ":pa:ss", "ann", "ann:", "ann:pa", "annpa:ss", ""} {
		m := message(body, "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(credentials)))
		require.Error(t, in.Verify(m, now), credentials)
	}
	m := message(body, "Authorization", "basic "+base64.StdEncoding.EncodeToString([]byte("ann:pa:ss")))
	require.NoError(t, in.Verify(m, now), "schemes have no case")
	require.Error(t, in.Verify(message(body, "Authorization", "Bearer "+base64.StdEncoding.EncodeToString([]byte("ann:pa:ss"))), now))
}

func TestSamplesAreVerifiedAndBecomeEvents(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		in := compile(t, s.source(name, s.secret))
		m, err := in.Sample(now, "01jd")
		require.NoError(t, err)
		require.NoError(t, in.Verify(m, now))
		_, err = in.Event(m, func() string { return "new" })
		require.NoError(t, err)
		_, err = compile(t, s.source(name)).Sample(now, "01jd")
		require.Equal(t, router.Invalid, router.ErrorCode(err))
	})
}

func TestSecretsAreNotInWhatIsPrinted(t *testing.T) {
	each(t, func(t *testing.T, name string, s sender) {
		in := compile(t, s.source(name, s.secret))
		require.NotContains(t, hex.EncodeToString([]byte(source.Print(in))), hex.EncodeToString([]byte(s.secret)))
	})
}
