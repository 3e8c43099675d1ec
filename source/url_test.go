package source_test

import (
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

const twilioURL = "https://hooks.example/in/twilio"

// form is a form that is signed as Twilio does it, with this text behind the address.
func form(t *testing.T, body, query, signed string) source.Message {
	m := source.Message{Method: http.MethodPost, Header: http.Header{}, Body: []byte(body), RawQuery: query}
	m.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	m.Header.Set("X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac(t, sha1.New, []byte("12345"), signed)))
	values, err := url.ParseQuery(query)
	require.NoError(t, err)
	m.Query = values
	return m
}

func TestAFormIsSignedByItsFieldsAndTheAddressThatWasCalled(t *testing.T) {
	in := compile(t, router.Source{Name: "inlet", Provider: "twilio", URL: twilioURL, Secrets: []string{"12345"}})
	require.NoError(t, in.Verify(form(t, "b=2&a=1+1", "", twilioURL+"a1 1b2"), now))
	require.NoError(t, in.Verify(form(t, "b=2&a=1+1", "x=y&z", twilioURL+"?x=y&za1 1b2"), now), "the query as it came")
	for name, m := range map[string]source.Message{
		"another field":   form(t, "b=2&a=1&c=3", "", twilioURL+"a1b2"),
		"another query":   form(t, "b=2&a=1", "x=y", twilioURL+"a1b2"),
		"another address": form(t, "b=2&a=1", "", "https://other.example/in/twilioa1b2"),
		"a doubled field": form(t, "a=1&a=2", "", twilioURL+"a1a2"),
		"no form":         form(t, "%zz", "", twilioURL+"%zz"),
	} {
		require.Error(t, in.Verify(m, now), name)
	}
	m := form(t, `{"a":1}`, "", twilioURL)
	m.Header.Set("Content-Type", "application/json")
	require.Error(t, in.Verify(m, now), "the address alone says nothing of the body")
	m = form(t, `{"a":1}`, "bodySHA256=00", twilioURL+"?bodySHA256=00")
	m.Header.Set("Content-Type", "application/json")
	require.ErrorIs(t, in.Verify(m, now), source.ErrMismatch, "nor does the digest of another body")
}

func TestAnAddressThatIsSignedMustBeKnown(t *testing.T) {
	for _, wrong := range []string{"", "hooks.example", "ftp://hooks.example/", "https://hooks.example/?a=b", "https://ann@hooks.example/", "https://hooks.example/#x"} {
		require.ErrorContains(t, source.Check(router.Source{Name: "inlet", Provider: "twilio", URL: wrong}), "not valid", wrong)
	}
	require.Error(t, source.Check(router.Source{Name: "inlet", Provider: "github", URL: twilioURL}), "GitHub signs no address")
	require.Error(t, source.Check(router.Source{Name: "inlet", Provider: "hmac", URL: twilioURL}), "nor does this template")
	for signed, good := range map[string]bool{"{url}{body}": true, "{url}{form}": true, "{url}{digest:d}": true, "{digest:d}": false, "{url}": false, "{url}{body}{form}": false} {
		s := router.Source{Name: "inlet", Provider: "hmac", URL: twilioURL, Signature: router.SourceSignature{Signed: signed}}
		require.Equal(t, good, source.Check(s) == nil, signed)
	}
}
