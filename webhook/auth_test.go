package webhook

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// clientIdentity makes a certificate that signs itself, valid around testClock, and its key, in PEM.
func clientIdentity(t testing.TB, name string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: testClock.Add(-time.Hour), NotAfter: testClock.Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	public, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: public})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

func withAuth(a router.Auth) func(*router.Sink) {
	return func(s *router.Sink) { s.Auth = a }
}

func mutualTLS(certificate, key string) router.Auth {
	return router.Auth{Kind: router.MutualTLSAuth, Certificate: certificate, Key: key}
}

func TestAuthGoesIntoTheHeader(t *testing.T) {
	for want, a := range map[string]router.Auth{
		"Bearer a.b-c_d~e+f/g==":              {Kind: router.BearerAuth, Token: "a.b-c_d~e+f/g=="},
		"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==":  {Kind: router.BasicAuth, User: "Aladdin", Password: "open sesame"},
		"Basic am9lOmE6YjrDvA==":              {Kind: router.BasicAuth, User: "joe", Password: "a:b:ü"},
		"Bearer " + strings.Repeat("x", 4096): {Kind: router.BearerAuth, Token: strings.Repeat("x", 4096)},
	} {
		var got []sent
		r := requestTo(t, "https://x.example/", withAuth(a))
		require.NoError(t, CheckAuth(r.Subscription.Sink, testClock))
		require.Equal(t, router.OutcomeDelivered, fakeSender(t, recorder(t, &got)).Send(t.Context(), r).Outcome)
		require.Equal(t, []string{want}, got[0].req.Header["Authorization"])
	}
}

func TestAuthThatCannotBeSentIsRefusedWhenSavedAndNeverSent(t *testing.T) {
	certificate, key := clientIdentity(t, "a")
	_, otherKey := clientIdentity(t, "b")
	const secret = "hunter2"
	bearer := func(token string) router.Auth { return router.Auth{Kind: router.BearerAuth, Token: token} }
	basic := func(user, password string) router.Auth {
		return router.Auth{Kind: router.BasicAuth, User: user, Password: password}
	}
	for name, c := range map[string]struct {
		auth         router.Auth
		field, fault string
	}{
		"injected header":    {bearer(secret + "\r\nwebhook-id: 1"), "token", "visible ASCII"},
		"line feed":          {bearer(secret + "\n"), "token", "visible ASCII"},
		"space":              {bearer(secret + " x"), "token", "visible ASCII"},
		"other characters":   {bearer(secret + "ü"), "token", "visible ASCII"},
		"no token":           {bearer(""), "token", "1 to 4096"},
		"long token":         {bearer(strings.Repeat(secret, 1000)), "token", "1 to 4096"},
		"colon":              {basic("a:b", secret), "user", "colon"},
		"line feed in user":  {basic("a\n", secret), "user", "control"},
		"no user":            {basic("", secret), "user", "1 to 4096"},
		"NUL in password":    {basic("a", secret+"\x00"), "password", "control"},
		"invalid UTF-8":      {basic("a", secret+"\xff"), "password", "control"},
		"long password":      {basic("a", strings.Repeat(secret, 1000)), "password", "1 to 4096"},
		"no PEM":             {mutualTLS(secret, key), "certificate", "not a certificate in PEM"},
		"key as certificate": {mutualTLS(key, key), "certificate", "not a certificate in PEM"},
		"broken certificate": {mutualTLS("-----BEGIN CERTIFICATE-----\naGk=\n-----END CERTIFICATE-----\n", key), "certificate", "parsed"},
		"large certificate":  {mutualTLS(strings.Repeat("x", 40<<10), key), "certificate", "40960 bytes"},
		"key of another":     {mutualTLS(certificate, otherKey), "key", "not the private key"},
		"certificate as key": {mutualTLS(certificate, certificate), "key", "not the private key"},
		"encrypted key":      {mutualTLS(certificate, "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGk=\n-----END ENCRYPTED PRIVATE KEY-----\n"), "key", "not encrypted"},
		"large key":          {mutualTLS(certificate, strings.Repeat("x", 40<<10)), "key", "40960 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			r := requestTo(t, "https://x.example/", withAuth(c.auth))
			err := CheckAuth(r.Subscription.Sink, testClock)
			var refused *router.Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, router.Invalid, refused.Code)
			require.Equal(t, "sink.auth."+c.field, refused.Problems[0].Location)
			require.Contains(t, refused.Problems[0].Message, c.fault)
			require.NotContains(t, err.Error(), secret)

			if c.fault == "40960 bytes" {
				return // this could be sent
			}
			a := fakeSender(t, func(*http.Request) (*http.Response, error) {
				require.Fail(t, "sent")
				return nil, io.EOF
			}).Send(t.Context(), r)
			require.Equal(t, router.OutcomeInvalid, a.Outcome)
			require.Contains(t, a.Error, "sink.auth")
			require.NotContains(t, a.Error, secret)
		})
	}
}

func TestACertificateNeedsHTTPSAndTimeLeft(t *testing.T) {
	certificate, key := clientIdentity(t, "a")
	r := requestTo(t, "https://x.example/", withAuth(mutualTLS(certificate, key)))
	require.NoError(t, CheckAuth(r.Subscription.Sink, testClock))
	require.ErrorContains(t, CheckAuth(r.Subscription.Sink, testClock.Add(2*time.Hour)), "has expired at 2021-02-25T16:02:10.000Z")
	r.Subscription.Sink.URL = "http://x.example/"
	require.ErrorContains(t, CheckAuth(r.Subscription.Sink, testClock), "https URL only")
	a := newSender(t, Config{}).Send(t.Context(), r)
	require.Equal(t, router.OutcomeInvalid, a.Outcome)
}

func TestAHeaderOfTheSinksOwnDoesNotContradictItsAuth(t *testing.T) {
	r := requestTo(t, "https://x.example/", withAuth(router.Auth{Kind: router.BearerAuth, Token: "t"}), func(s *router.Sink) {
		s.Headers = map[string]string{"AUTHORIZATION": "Bearer other"}
	})
	require.ErrorContains(t, CheckAuth(r.Subscription.Sink, testClock), "sink.headers.AUTHORIZATION: is set by sink.auth")
	a := fakeSender(t, recorder(t, &[]sent{})).Send(t.Context(), r)
	require.Equal(t, router.OutcomeInvalid, a.Outcome)
}

func TestAnEndpointThatRepeatsSecretsDoesNotHaveThemRecorded(t *testing.T) {
	s := fakeSender(t, func(req *http.Request) (*http.Response, error) {
		return answered(req, 500, req.Header.Get("Authorization")+" "+req.Header.Get("X-Api-Key")+" "+knownSecret+" hunter2-password"), nil
	})
	a := s.Send(t.Context(), requestTo(t, "https://x.example/", withAuth(router.Auth{Kind: router.BasicAuth, User: "joe", Password: "hunter2-password"}), func(s *router.Sink) {
		s.Headers = map[string]string{"x-api-key": "hunter2-header"}
	}))
	require.Equal(t, "Basic **** **** **** ****", a.Response)
}

// mutualEndpoint is a server that wants a certificate and tells whose it got, connection by connection.
func mutualEndpoint(t testing.TB) (url string, roots *x509.CertPool, names func() []string) {
	t.Helper()
	var mu sync.Mutex
	var seen []string
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		name := ""
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		seen = append(seen, name)
	}))
	srv.EnableHTTP2 = true
	srv.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	srv.Config.ErrorLog = discardLog()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots = x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	return srv.URL, roots, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return seen
	}
}

func TestACertificateIsShownToItsOwnEndpointAndOnNoOtherSinksConnection(t *testing.T) {
	target, roots, names := mutualEndpoint(t)
	s := newSender(t, Config{Roots: roots})
	var identities []router.Auth
	for _, name := range []string{"a", "b"} {
		identities = append(identities, mutualTLS(clientIdentity(t, name)))
	}
	for _, a := range []router.Auth{identities[0], {}, identities[1], identities[0], {}, identities[1]} {
		got := s.Send(t.Context(), requestTo(t, target, withAuth(a)))
		require.Equal(t, router.OutcomeDelivered, got.Outcome, got.Error)
	}
	require.Equal(t, []string{"a", "", "b", "a", "", "b"}, names())
}

func TestTheConnectionsOfCertificatesAreBounded(t *testing.T) {
	s := newSender(t, Config{})
	certificate, key := clientIdentity(t, "a")
	first, err := s.identities.transport(mutualTLS(certificate, key))
	require.NoError(t, err)
	for i := range 2 * maxIdentities { // each text is another identity
		_, err := s.identities.transport(mutualTLS(certificate+strings.Repeat("\n", i+1), key))
		require.NoError(t, err)
		again, err := s.identities.transport(mutualTLS(certificate, key))
		require.NoError(t, err)
		require.Same(t, first, again, "what is used stays")
	}
	require.Len(t, s.identities.known, maxIdentities)
}
