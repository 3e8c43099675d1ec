package source

import (
	"crypto/ed25519"
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/streamlatch/streamlatch/router"
)

// Inlet is a source made ready to take messages. It is immutable and safe for concurrent use.
type Inlet struct {
	locks      []lock
	mapper     *mapper
	handshakes []handshake
	sample     sample
}

// Compile makes a source ready. The error is that of Check.
func Compile(s router.Source) (*Inlet, error) {
	f := &faults{}
	in := compile(s, f)
	return in, f.err()
}

// Check tells whether a definition can be used: an *router.Error (Invalid) whose problems have locations such as "signature.header". A source without a secret
// is good, and takes nothing. It fits router.Rules.
func Check(s router.Source) error {
	_, err := Compile(s)
	return err
}

// Event makes the event that a verified message is. newID makes the id of one whose sender gives none; it is not known when it is repeated. The error is an
// *router.Error: Reserved, or Malformed.
func (in *Inlet) Event(m Message, newID func() string) (router.Event, error) {
	return in.mapper.event(m, newID)
}

// compile records what is wrong with a source; what it returns is good where that is nothing.
func compile(s router.Source, f *faults) *Inlet {
	p, ok := findProvider(s.Provider)
	if !ok {
		f.addf("provider", "must be one of %s", strings.Join(Providers(), ", "))
		return nil
	}
	checkFields(p, s, f)
	in := &Inlet{locks: newLocks(p, s, f), mapper: newMapper(p, s, f), sample: p.sample}
	in.handshakes = handshakesOf(p, s.Handshake, f)
	if s.TypePrefix != nil && *s.TypePrefix != "" && (!router.CanBeText(*s.TypePrefix) || len(*s.TypePrefix) > maxTypePart) {
		f.addf("type_prefix", "must be text of at most %d bytes without control characters", maxTypePart)
	}
	checkReply(s.Reply, f)
	return in
}

// checkFields refuses what does not go with the provider.
func checkFields(p provider, s router.Source, f *faults) {
	given := map[string]bool{
		signatureField: s.Signature != (router.SourceSignature{}), tokenField: s.Token != (router.SourceToken{}), userField: s.User != "",
		publicKeyField: s.PublicKey != "", handshakeField: s.Handshake != "", urlField: s.URL != "",
	}
	for _, field := range specificFields() {
		if given[field] && !slices.Contains(p.fields, field) {
			f.addf(field, "does not go with the provider %s", p.name)
		}
	}
	if slices.Contains(p.fields, userField) && (s.User == "" || strings.Contains(s.User, ":") || !router.CanBeText(s.User)) {
		f.addf(userField, "is required, without a colon")
	}
	if s.Token.Header != "" && s.Token.Query != "" {
		f.addf(tokenField, "must have either header or query")
	}
	if s.Token.Header != "" && !isHeaderName(s.Token.Header) {
		f.addf(tokenField+".header", "must be the name of a header")
	}
}

// newLocks makes the schemes of a source ready, each with those of the secrets that it can use. A secret that none can use is a fault.
func newLocks(p provider, s router.Source, f *faults) []lock {
	if slices.Contains(p.fields, signatureField) {
		checkSignature(s.Signature, f)
	}
	var locks []lock
	for _, one := range schemesOf(p, s) {
		c, err := one.compile()
		f.add(signatureField+".signed", err)
		locks = append(locks, lock{compiled: c, user: key{[]byte(s.User)}, url: s.URL})
	}
	checkURL(locks, s.URL, f)
	for _, secret := range s.Secrets {
		addSecret(locks, secret, f)
	}
	if s.PublicKey != "" {
		k, err := makePublicKey(s.PublicKey)
		f.add(publicKeyField, err)
		addPublicKey(locks, k)
	}
	return locks
}

// checkURL holds that an address which is signed is known, and is one.
func checkURL(locks []lock, address string, f *faults) {
	signed := slices.ContainsFunc(locks, func(l lock) bool {
		return slices.ContainsFunc(l.parts, func(p part) bool { return p.kind == urlPart })
	})
	u, err := url.Parse(address)
	switch {
	case address == "" && signed:
		f.addf(urlField, "is required: the address of the inlet as it is called is part of what is signed")
	case address != "" && !signed:
		f.addf(urlField, "is not part of what is signed")
	case address != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(address, "?#") || u.User != nil || len(address) > router.MaxSinkURL):
		f.addf(urlField, "must be an http or https URL without query, fragment and user")
	}
}

func addSecret(locks []lock, secret string, f *faults) {
	var last error
	used := false
	for i := range locks {
		if locks[i].proof == publicKeyProof {
			continue
		}
		k, err := makeKey(secret, locks[i].secret)
		if err == nil && locks[i].proof == pathProof && !isPathKey(secret) {
			err = errPathKey
		}
		if err != nil {
			last = err
			continue
		}
		locks[i].keys, used = append(locks[i].keys, k), true
		locks[i].macs = append(locks[i].macs, newMACs(locks[i].hash, k))
	}
	if !used {
		f.add("secret", last)
	}
	if strings.ContainsFunc(secret, unicode.IsControl) {
		f.addf("secret", "must not have control characters, such as the end of a line")
	}
}

func addPublicKey(locks []lock, k ed25519.PublicKey) {
	for i := range locks {
		if locks[i].proof == publicKeyProof {
			locks[i].publicKeys = append(locks[i].publicKeys, k)
		}
	}
}

// checkSignature holds what a definition says of its signatures to what there is.
func checkSignature(d router.SourceSignature, f *faults) {
	s := ownSignature(d)
	at := signatureField + "."
	if !isHeaderName(s.header) {
		f.addf(at+"header", "must be the name of a header")
	}
	if hashOf(s.hash) == nil {
		f.addf(at+"algorithm", "must be sha256, sha384, sha512 or sha1")
	}
	if s.encoding != "hex" && s.encoding != "base64" {
		f.addf(at+"encoding", "must be hex or base64")
	}
	if len(s.prefix) > 64 || len(d.Timestamp.Prefix) > 64 || len(s.signed) > router.MaxPathBytes {
		f.addf(signatureField, "has too long a prefix or template")
	}
	checkItems(s, f)
	checkTimestamp(d.Timestamp, s, f)
}

// checkItems holds that signatures can be told from what else is in their header.
func checkItems(s scheme, f *faults) {
	at := signatureField + "."
	if len(s.separator) > 1 || s.separator != "" && isToken(s.separator) {
		f.addf(at+"separator", "must be one character that can't be part of a signature")
	}
	if s.separator != "" && (strings.Contains(s.prefix, s.separator) || strings.Contains(s.timestamp.prefix, s.separator)) {
		f.addf(at+"separator", "must not be part of a prefix")
	}
	if strings.HasPrefix(s.prefix, " ") || strings.HasPrefix(s.timestamp.prefix, " ") {
		f.addf(at+"prefix", "must not begin with a space")
	}
	if s.timestamp.prefix != "" && (s.prefix == "" || strings.HasPrefix(s.prefix, s.timestamp.prefix)) {
		f.addf(at+"prefix", "is required where the time is in the same header, and must not begin like the time's")
	}
}

// checkTimestamp holds that the time of a message can be found.
func checkTimestamp(t router.SourceTimestamp, s scheme, f *faults) {
	at := signatureField + "."
	if t.Header != "" && !isHeaderName(t.Header) {
		f.addf(at+"timestamp.header", "must be the name of a header")
	}
	if t.Header != "" && t.Prefix != "" || t.Header == "" && t.Prefix == "" && t.Unit != "" {
		f.addf(at+"timestamp", "must have either header or prefix")
	}
	if t.Prefix != "" && s.separator == "" {
		f.addf(at+"separator", "is required where the time is in the signature's header")
	}
	if t.Unit != "" && t.Unit != "s" && t.Unit != "ms" {
		f.addf(at+"timestamp.unit", "must be s or ms")
	}
}

// checkReply holds the answer of a source to what senders take for success.
func checkReply(r router.SourceReply, f *faults) {
	if r == (router.SourceReply{}) {
		return
	}
	if r.Status < 200 || r.Status > 299 {
		f.addf("reply.status", "must be from 200 to 299")
	}
	if _, ok := router.ParseMediaType(r.ContentType); !ok && r.ContentType != "" {
		f.addf("reply.content_type", "must be a media type such as text/plain")
	}
	if r.Status == 204 && r.Body != "" {
		f.addf("reply.body", "must be empty with the status 204")
	}
	if len(r.Body) > router.MaxReplyBytes {
		f.addf("reply.body", "must have at most %d bytes", router.MaxReplyBytes)
	}
}

// faults are what is wrong with a definition, by the places of fields.
type faults struct{ problems []router.Problem }

func (f *faults) addf(at, format string, args ...any) {
	f.add(at, router.Errorf(router.Invalid, format, args...))
}

func (f *faults) add(at string, err error) {
	if err == nil {
		return
	}
	message := err.Error()
	if e, ok := errors.AsType[*router.Error](err); ok {
		message = e.Message
	}
	f.problems = append(f.problems, router.Problem{Location: at, Message: message})
}

// expression compiles a regular expression. Those of Go take a time in proportion to the text, whatever they are.
func (f *faults) expression(at, text string) *regexp.Regexp {
	if len(text) > router.MaxMatchBytes {
		f.addf(at, "must have at most %d bytes", router.MaxMatchBytes)
		return nil
	}
	match, err := regexp.Compile(text)
	if err != nil {
		f.addf(at, "must be a regular expression as Go has them (RE2)")
	}
	return match
}

func (f *faults) err() error {
	if len(f.problems) == 0 {
		return nil
	}
	return &router.Error{Code: router.Invalid, Message: "the source is not valid", Problems: f.problems}
}
