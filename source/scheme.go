package source

import (
	"crypto/sha1" //nolint:gosec // some senders have nothing better; HMAC does not need collision resistance
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// scheme says, as data, what shows that a message comes from who knows a secret.
type scheme struct {
	proof     proof
	header    string     // where the signatures are, or the token
	query     string     // of a token: the parameter where it is, in place of a header
	hash      string     // of an HMAC
	encoding  string     // of a signature: "hex", in either case, or "base64", padded
	separator string     // between several items of the header; "": there is one
	prefix    string     // of an item that is a signature; others are passed over
	signed    string     // template of the bytes that are signed; see parseTemplate
	timestamp timestamp  // part of what is signed; zero: there is none
	secret    secretForm // how a secret is made a key
}

// proof is a kind of scheme.
type proof uint8

// The kinds. The zero proof is none, which nothing satisfies.
const (
	_              proof = iota
	hmacProof            // a signature with the secret
	publicKeyProof       // a signature with ed25519
	tokenProof           // the secret itself
	basicProof           // a user's name and the secret as the password (RFC 7617)
	pathProof            // the secret ends the path
)

// secretForm is how the text of a secret becomes a key.
type secretForm uint8

// The forms.
const (
	textSecret   secretForm = iota // as it is
	base64Secret                   // "whsec_", which may be missing, and base64 (Standard Webhooks)
)

// timestamp says where the time of a message is, in whole units since 1970.
type timestamp struct {
	header string
	prefix string // in place of header: of the item that it is, in the signature's header
	millis bool
}

func (t timestamp) exists() bool { return t.header != "" || t.prefix != "" }

// check holds the time of a message against the clock. It must be written the one way that signers write it: a fraction, a sign or leading zeros
// are not a time.
func (t timestamp) check(text string, now time.Time) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != text {
		return ErrMissing
	}
	at := time.Unix(n, 0)
	if t.millis {
		at = time.UnixMilli(n)
	}
	if age := now.Sub(at); age > Tolerance || age < -Tolerance {
		return ErrTimestamp
	}
	return nil
}

// hashOf gives a hash by its name, nil for one that is not known.
func hashOf(name string) func() hash.Hash {
	switch name {
	case "sha1":
		return sha1.New
	case "sha256":
		return sha256.New
	case "sha384":
		return sha512.New384
	case "sha512":
		return sha512.New
	}
	return nil
}

// part is a piece of a template: text, or something of the message.
type part struct {
	kind partKind
	text string // of text; of a header: its name
}

type partKind uint8

const (
	textPart partKind = iota
	bodyPart
	timePart
	headerPart
	urlPart    // the address that was called, its query included
	formPart   // the fields of a form
	digestPart // nothing, but the body's SHA-256 has to be in the query under a name
)

// parseTemplate reads what is signed: text in which {body} stands for the body, {timestamp} for the time as it was sent, {header:Name} for a header, {url} for the
// address that was called, its query included, {form} for the fields of a form by their names, each with its value behind it. {digest:name} stands for nothing, and
// says that the query, which {url} signs, has the body's SHA-256 under a name.
// It must have one of {body}, {form} and {digest:name}, {timestamp} if and only if there is a time, and text after a header, or it could be read in two ways.
func parseTemplate(s string, timed bool) ([]part, error) {
	var parts []part
	for rest := s; rest != ""; {
		text, after, opened := strings.Cut(rest, "{")
		if text != "" {
			parts = append(parts, part{textPart, text})
		}
		if !opened {
			break
		}
		name, next, closed := strings.Cut(after, "}")
		p, err := placeholder(name)
		if err != nil || !closed {
			return nil, router.Errorf(router.Invalid, "must consist of text, {body}, {timestamp}, {header:Name}, {url}, {form} and {digest:name}")
		}
		parts, rest = append(parts, p), next
	}
	return parts, checkTemplate(parts, timed)
}

func placeholder(name string) (part, error) {
	header, isHeader := strings.CutPrefix(name, "header:")
	parameter, isDigest := strings.CutPrefix(name, "digest:")
	switch {
	case name == "body":
		return part{kind: bodyPart}, nil
	case name == "url":
		return part{kind: urlPart}, nil
	case name == "form":
		return part{kind: formPart}, nil
	case isDigest && parameter != "":
		return part{digestPart, parameter}, nil
	case name == "timestamp":
		return part{kind: timePart}, nil
	case isHeader && isHeaderName(header):
		return part{headerPart, textproto.CanonicalMIMEHeaderKey(header)}, nil
	}
	return part{}, fmt.Errorf("%q is no placeholder", name)
}

func checkTemplate(parts []part, timed bool) error {
	count := func(kind partKind) (n int) {
		for _, p := range parts {
			if p.kind == kind {
				n++
			}
		}
		return n
	}
	switch {
	case count(bodyPart)+count(formPart)+count(digestPart) != 1:
		return router.Errorf(router.Invalid, "must have {body}, {form} or {digest:name} once: what is not signed can be changed by anybody")
	case count(digestPart) > count(urlPart):
		return router.Errorf(router.Invalid, "must have {url} with {digest:name}, which is in the query")
	case timed && count(timePart) != 1:
		return router.Errorf(router.Invalid, "must have {timestamp} once: a time that is not signed can be changed by anybody")
	case !timed && count(timePart) > 0:
		return router.Errorf(router.Invalid, "has {timestamp}, and timestamp does not say where it is")
	}
	for i, p := range parts {
		if p.kind == headerPart && (i+1 == len(parts) || parts[i+1].kind != textPart) {
			return router.Errorf(router.Invalid, "must have text after {header:%s}, or it could be read in two ways", p.text)
		}
	}
	return nil
}

// isHeaderName tells whether a text can be the name of a header (RFC 9110, section 5.1).
func isHeaderName(s string) bool {
	if s == "" || len(s) > 128 {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return !alphanumeric && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	})
}

// compiled is a scheme made ready: its template parsed, its header's name in the form of net/http.
type compiled struct {
	scheme
	parts []part
}

func (s scheme) compile() (c compiled, err error) {
	c.scheme = s
	c.header, c.timestamp.header = textproto.CanonicalMIMEHeaderKey(s.header), textproto.CanonicalMIMEHeaderKey(s.timestamp.header)
	if s.proof == hmacProof || s.proof == publicKeyProof {
		c.parts, err = parseTemplate(s.signed, s.timestamp.exists())
	}
	return c, err
}

// schemesOf gives the schemes of a definition: its provider's, with what the definition adds.
func schemesOf(p provider, s router.Source) []scheme {
	if slices.Contains(p.fields, signatureField) {
		return []scheme{ownSignature(s.Signature)}
	}
	schemes := slices.Clone(p.schemes)
	if slices.Contains(p.fields, tokenField) && s.Token != (router.SourceToken{}) {
		schemes[0].header, schemes[0].query = s.Token.Header, s.Token.Query
	}
	return schemes
}

// ownSignature is the scheme that a definition describes, with the defaults for what it leaves out.
func ownSignature(d router.SourceSignature) scheme {
	s := scheme{
		proof: hmacProof, header: d.Header, hash: d.Algorithm, encoding: d.Encoding, separator: d.Separator, prefix: d.Prefix, signed: d.Signed,
		timestamp: timestamp{header: d.Timestamp.Header, prefix: d.Timestamp.Prefix, millis: d.Timestamp.Unit == "ms"},
	}
	if s.header == "" {
		s.header = "X-Signature"
	}
	if s.hash == "" {
		s.hash = "sha256"
	}
	if s.encoding == "" {
		s.encoding = "hex"
	}
	if s.signed == "" {
		s.signed = "{body}"
		if s.timestamp.exists() {
			s.signed = "{timestamp}.{body}"
		}
	}
	return s
}
