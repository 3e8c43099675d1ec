package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/streamlatch/streamlatch/router"
)

// Limits of auth.
const (
	maxCredential  = 4096     // bytes of a token, a user, a password
	maxCertificate = 32 << 10 // bytes of a certificate with its chain, or of a key
)

// CheckAuth tells whether a webhook can be sent with its auth: a bearer token of visible ASCII; a user without colon, and a password, both without control
// characters (RFC 7617, section 2); a certificate that is valid at the time given, and its private key, unencrypted, for an https URL. A sink with bearer or basic
// auth has no header authorization of its own. The error is an *router.Error (Invalid) that names the faulty field ("sink.auth.token") and repeats
// nothing of it. It fits router.Rules, given a clock.
func CheckAuth(s router.Sink, now time.Time) error {
	field, fault := credentialFault(s.Auth)
	if s.Auth.Kind == router.MutualTLSAuth {
		field, fault = mutualTLSFault(s, now)
	}
	if fault != "" {
		return refusal(router.Problem{Location: "sink.auth." + field, Message: fault})
	}
	if name := authorizationHeader(s); name != "" {
		return refusal(router.Problem{Location: headerLocation(name), Message: headerOfAuth})
	}
	return nil
}

// headerOfAuth is the fault of a header that the sink's auth sets.
const headerOfAuth = "is set by sink.auth; one of the two is possible"

// authorizationHeader is the name of a sink's own header that its auth would overwrite.
func authorizationHeader(s router.Sink) string {
	if s.Auth.Kind != router.BearerAuth && s.Auth.Kind != router.BasicAuth {
		return ""
	}
	for name := range s.Headers {
		if strings.EqualFold(name, "authorization") {
			return name
		}
	}
	return ""
}

// credentialFault says what is wrong with what goes into the header authorization, and in which field.
func credentialFault(a router.Auth) (field, fault string) {
	switch a.Kind {
	case router.BearerAuth:
		return "token", tokenFault(a.Token)
	case router.BasicAuth:
		return basicFault(a)
	}
	return "", ""
}

func tokenFault(token string) string {
	if token == "" || len(token) > maxCredential {
		return fmt.Sprintf("must have 1 to %d characters", maxCredential)
	}
	for i := range len(token) {
		if c := token[i]; c <= ' ' || c > '~' {
			return "must be visible ASCII characters, without spaces"
		}
	}
	return ""
}

func basicFault(a router.Auth) (field, fault string) {
	if strings.Contains(a.User, ":") {
		return "user", "must not have a colon"
	}
	if fault := textFault(a.User); fault != "" {
		return "user", fault
	}
	return "password", textFault(a.Password)
}

func textFault(text string) string {
	if text == "" || len(text) > maxCredential {
		return fmt.Sprintf("must have 1 to %d bytes", maxCredential)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return "must not have control characters or line breaks"
	}
	return ""
}

const onlyHTTPS = "is of use with an https URL only"

func mutualTLSFault(s router.Sink, now time.Time) (field, fault string) {
	if !strings.HasPrefix(strings.ToLower(s.URL), "https://") {
		return "kind", onlyHTTPS
	}
	if len(s.Auth.Certificate) > maxCertificate {
		return "certificate", fmt.Sprintf("has %d bytes; at most %d are possible", len(s.Auth.Certificate), maxCertificate)
	}
	if len(s.Auth.Key) > maxCertificate {
		return "key", fmt.Sprintf("has %d bytes; at most %d are possible", len(s.Auth.Key), maxCertificate)
	}
	block, _ := pem.Decode([]byte(s.Auth.Certificate))
	if block == nil || block.Type != "CERTIFICATE" {
		return "certificate", "is not a certificate in PEM"
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "certificate", "can't be parsed"
	case now.After(leaf.NotAfter):
		return "certificate", "has expired at " + router.FormatTime(leaf.NotAfter)
	}
	if _, err := clientCertificate(s.Auth); err != nil {
		return "key", "is not the private key of the certificate, in PEM and not encrypted"
	}
	return "", ""
}

// clientCertificate makes what a TLS client shows.
func clientCertificate(a router.Auth) (tls.Certificate, error) {
	return tls.X509KeyPair([]byte(a.Certificate), []byte(a.Key))
}

// authorization is the value of the header authorization that a sink's auth sets, "" where it sets none.
func authorization(a router.Auth) string {
	switch a.Kind {
	case router.BearerAuth:
		return "Bearer " + a.Token
	case router.BasicAuth:
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.User+":"+a.Password))
	}
	return ""
}
