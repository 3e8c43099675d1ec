package source

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Message is a request to an inlet as it came.
type Message struct {
	Method   string
	Header   http.Header
	Query    url.Values
	RawQuery string // what Query was read from, as it came
	Key      string // what the path has behind the source's name
	Body     []byte
}

// Why a message is not verified. They are for the operator; who sent the message is told no more than that it is not.
var (
	ErrNoSecret  = errors.New("the source has no secret")
	ErrMissing   = errors.New("what should show who sent it is missing, doubled or not well-formed")
	ErrTimestamp = errors.New("its time is more than 5 minutes away from this clock")
	ErrMismatch  = errors.New("what should show who sent it does not fit")
)

// maxSignatures bounds the work that a header can ask for: rotation needs two or three.
const maxSignatures = 32

// lock is what a message has to fit: a scheme, and the keys it is used with.
type lock struct {
	compiled
	keys       []key
	macs       []*macs // with the keys, one of each
	publicKeys []ed25519.PublicKey
	user       key    // of basic authentication
	url        string // that is signed, without a query
}

func (l lock) empty() bool { return len(l.keys) == 0 && len(l.publicKeys) == 0 }

// Verify tells whether a message comes from who knows one of the source's secrets: nil, or one of the errors above. It looks at the raw bytes of the
// body, before anything is parsed; secrets and signatures are compared in constant time. Safe for concurrent use.
func (in *Inlet) Verify(m Message, now time.Time) error {
	failed := ErrNoSecret
	for _, l := range in.locks {
		if l.empty() {
			continue
		}
		err := l.verify(m, now)
		if err == nil {
			return in.checkNotAnswered(m)
		}
		if errors.Is(failed, ErrNoSecret) || errors.Is(failed, ErrMissing) { // of several schemes the one that was used says why
			failed = err
		}
	}
	return failed
}

func (l lock) verify(m Message, now time.Time) error {
	switch l.proof {
	case hmacProof, publicKeyProof:
		return l.verifySigned(m, now)
	case tokenProof:
		return l.verifyToken(m)
	case basicProof:
		return l.verifyBasic(m)
	case pathProof:
		return l.verifyText(m.Key)
	}
	return ErrMissing
}

// single returns a header's value where it is there exactly once and not empty.
func single(h http.Header, name string) (string, bool) {
	v := h[name]
	if len(v) != 1 || v[0] == "" {
		return "", false
	}
	return v[0], true
}

// verifySigned checks a message that is signed as a whole.
func (l lock) verifySigned(m Message, now time.Time) error {
	header, ok := single(m.Header, l.header)
	if !ok {
		return ErrMissing
	}
	signatures, at, ok := l.takeApart(header)
	if !ok {
		return ErrMissing
	}
	if l.timestamp.header != "" {
		if at, ok = single(m.Header, l.timestamp.header); !ok {
			return ErrMissing
		}
	}
	if l.timestamp.exists() {
		if err := l.timestamp.check(at, now); err != nil {
			return err
		}
	}
	signed, err := l.signedParts(m, at)
	if err != nil {
		return err
	}
	if l.fits(signatures, signed) {
		return nil
	}
	return ErrMismatch
}

// takeApart gives the signatures in a header, decoded, and the time where it is one of the items. It fails where there is no signature, or the time is
// not there once.
func (l lock) takeApart(header string) (signatures [][]byte, at string, ok bool) {
	items := []string{header}
	if l.separator != "" {
		items = strings.SplitN(header, l.separator, maxSignatures+1)
	}
	if len(items) > maxSignatures {
		return nil, "", false
	}
	times := 0
	for _, item := range items {
		if l.separator != "" {
			item = strings.Trim(item, " ")
		}
		if t, isTime := strings.CutPrefix(item, l.timestamp.prefix); isTime && l.timestamp.prefix != "" {
			at, times = t, times+1
			continue
		}
		if s, isSignature := strings.CutPrefix(item, l.prefix); isSignature {
			if decoded, err := l.decode(s); err == nil {
				signatures = append(signatures, decoded)
			}
		}
	}
	return signatures, at, len(signatures) > 0 && (l.timestamp.prefix == "" || times == 1)
}

func (l lock) decode(s string) ([]byte, error) {
	if l.encoding == "hex" {
		return hex.DecodeString(s)
	}
	if strings.ContainsAny(s, "\r\n") {
		return nil, errNoBase64
	}
	return base64.StdEncoding.Strict().DecodeString(s)
}

// signedParts gives the bytes that are signed, in pieces. A header that is part of them must be there once and not hold the text that stands behind it, or the
// same bytes could be taken apart in another way.
func (l lock) signedParts(m Message, at string) (signed [][]byte, err error) {
	for i, p := range l.parts {
		switch p.kind {
		case textPart:
			signed = append(signed, []byte(p.text))
		case bodyPart:
			signed = append(signed, m.Body)
		case timePart:
			signed = append(signed, []byte(at))
		case headerPart:
			value, ok := single(m.Header, p.text)
			if !ok || strings.Contains(value, l.parts[i+1].text) {
				return nil, ErrMissing
			}
			signed = append(signed, []byte(value))
		case urlPart:
			signed = append(signed, []byte(l.url))
			if m.RawQuery != "" {
				signed = append(signed, []byte("?"+m.RawQuery))
			}
		case formPart:
			fields, ok := signedForm(m)
			if !ok {
				return nil, ErrMissing
			}
			signed = append(signed, fields)
		case digestPart:
			if err := checkDigest(m, p.text); err != nil {
				return nil, err
			}
		}
	}
	return signed, nil
}

// checkDigest tells whether a parameter of the query, which is signed, is the body's SHA-256 in hexadecimal digits.
func checkDigest(m Message, name string) error {
	values := m.Query[name]
	if len(values) != 1 {
		return ErrMissing
	}
	given, err := hex.DecodeString(values[0])
	if err != nil {
		return ErrMissing
	}
	if sum := sha256.Sum256(m.Body); !hmac.Equal(given, sum[:]) {
		return ErrMismatch
	}
	return nil
}

// fits tells whether any key fits any signature. All are tried, whichever fits.
func (l lock) fits(signatures, signed [][]byte) bool {
	fits := false
	for _, m := range l.macs {
		want := m.sum(signed...)
		for _, got := range signatures {
			fits = hmac.Equal(got, want) || fits
		}
	}
	if len(l.publicKeys) == 0 {
		return fits
	}
	var message []byte
	for _, p := range signed {
		message = append(message, p...)
	}
	for _, k := range l.publicKeys {
		for _, got := range signatures {
			fits = ed25519.Verify(k, message, got) || fits
		}
	}
	return fits
}

// verifyToken checks a message that holds the secret.
func (l lock) verifyToken(m Message) error {
	if l.query == "" {
		token, _ := single(m.Header, l.header)
		return l.verifyText(token)
	}
	if values := m.Query[l.query]; len(values) == 1 {
		return l.verifyText(values[0])
	}
	return ErrMissing
}

// verifyText checks a text that has to be one of the secrets.
func (l lock) verifyText(text string) error {
	if text == "" {
		return ErrMissing
	}
	fits := false
	for _, k := range l.keys {
		fits = sameSecret(text, k) || fits
	}
	if !fits {
		return ErrMismatch
	}
	return nil
}

// verifyBasic checks a user's name and password. The first colon ends the name; passwords may have more (RFC 7617, section 2).
func (l lock) verifyBasic(m Message) error {
	value, ok := single(m.Header, l.header)
	scheme, encoded, _ := strings.Cut(value, " ")
	decoded, err := base64.StdEncoding.DecodeString(strings.Trim(encoded, " "))
	user, password, separated := strings.Cut(string(decoded), ":")
	if !ok || err != nil || !separated || !strings.EqualFold(scheme, "Basic") {
		return ErrMissing
	}
	sameUser, err := sameSecret(user, l.user), l.verifyText(password)
	if !sameUser && err == nil {
		return ErrMismatch
	}
	return err
}
