package source

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// handshake says, as data, what a provider asks of an inlet before, or instead of, sending events.
type handshake struct {
	name   string // as definitions call it
	method string
	query  string // the parameter that holds the challenge; such requests come before anything is signed
	where  [2]string
	body   string // or the ref of the challenge in the body of a verified message, in which the ref where[0] is where[1]
	answer answerKind

	plan            plan // where[0] and body made ready, and their numbers in it
	kind, challenge int
}

// answerKind is how a challenge is answered.
type answerKind uint8

// The kinds of answers.
const (
	echoAnswer answerKind = iota // with the challenge, as text
	crcAnswer                    // with its HMAC: {"response_token": "sha256=<base64>"}
	zoomAnswer                   // with it and its HMAC: {"plainToken": "…", "encryptedToken": "<hex>"}
)

// handshakes is the table. Where they are written down:
//
//	slack      api.slack.com/events/url_verification
//	challenge  dropbox.com/developers/reference/webhooks
//	hub        developers.facebook.com/docs/graph-api/webhooks/getting-started; its verify_token shows nothing that signatures do not
//	graph      learn.microsoft.com/graph/change-notifications-delivery-webhooks
//	crc        docs.x.com/x-api/webhooks
//	zoom       developers.zoom.us/docs/api/webhooks
func handshakes() []handshake {
	return []handshake{
		{name: "slack", method: http.MethodPost, where: [2]string{"data.type", "url_verification"}, body: "data.challenge"},
		{name: "challenge", method: http.MethodGet, query: "challenge"},
		{name: "hub", method: http.MethodGet, query: "hub.challenge"},
		{name: "graph", method: http.MethodPost, query: "validationToken"},
		{name: "crc", method: http.MethodGet, query: "crc_token", answer: crcAnswer},
		{name: "zoom", method: http.MethodPost, where: [2]string{"data.event", "endpoint.url_validation"}, body: "data.payload.plainToken", answer: zoomAnswer},
	}
}

// Handshakes lists the names of all handshakes.
func Handshakes() []string {
	var names []string
	for _, h := range handshakes() {
		names = append(names, h.name)
	}
	return names
}

// handshakesOf finds the handshake of a definition, or its provider's.
func handshakesOf(p provider, own string, f *faults) []handshake {
	name := own
	if name == "" {
		name = p.handshake
	}
	if name == "" {
		return nil
	}
	all := handshakes()
	i := slices.IndexFunc(all, func(h handshake) bool { return h.name == name })
	if i < 0 {
		f.addf(handshakeField, "must be one of %s", strings.Join(Handshakes(), ", "))
		return nil
	}
	h, err := all[i].ready()
	if err != nil {
		f.addf(handshakeField, "%v", err)
		return nil
	}
	return []handshake{h}
}

// ready makes what is read from messages ready.
func (h handshake) ready() (_ handshake, err error) {
	if h.body == "" {
		return h, nil
	}
	if h.kind, err = h.plan.add(h.where[0]); err != nil {
		return h, err
	}
	h.challenge, err = h.plan.add(h.body)
	return h, err
}

// Answer is what a handshake is answered with. It is never anything that a browser would run.
type Answer struct {
	ContentType string
	Body        string
}

// maxChallenge is the longest challenge that is answered.
const maxChallenge = 1 << 10

// Greet answers a request that a provider makes before it signs anything; ok is false for all others.
func (in *Inlet) Greet(m Message) (Answer, bool) {
	for _, h := range in.handshakes {
		given := m.Query[h.query]
		if h.query == "" || h.method != m.Method || len(given) != 1 {
			continue
		}
		return in.answer(h, given[0])
	}
	return Answer{}, false
}

// Challenge answers a verified message that is a handshake and no event; ok is false for all others.
func (in *Inlet) Challenge(m Message) (Answer, bool) {
	for _, h := range in.handshakes {
		if h.body == "" || h.method != m.Method {
			continue
		}
		v := h.plan.read(m, contentOf(m))
		if v[h.kind] == h.where[1] {
			return in.answer(h, v[h.challenge])
		}
	}
	return Answer{}, false
}

func (in *Inlet) answer(h handshake, challenge string) (Answer, bool) {
	if challenge == "" || len(challenge) > maxChallenge || !router.CanBeText(challenge) {
		return Answer{}, false
	}
	if h.answer == echoAnswer {
		return Answer{"text/plain; charset=utf-8", challenge}, true
	}
	keys := in.textKeys()
	if len(keys) == 0 || h.answer == crcAnswer && !isToken(challenge) {
		return Answer{}, false
	}
	sum := newMACs("sha256", keys[0]).sum([]byte(challenge))
	answer := map[string]string{"response_token": "sha256=" + base64.StdEncoding.EncodeToString(sum)}
	if h.answer == zoomAnswer {
		answer = map[string]string{"plainToken": challenge, "encryptedToken": hex.EncodeToString(sum)}
	}
	body, _ := json.Marshal(answer) // strings only
	return Answer{jsonType, string(body)}, true
}

// textKeys are the keys that challenges are signed with: the first secret is the newest.
func (in *Inlet) textKeys() []key {
	for _, l := range in.locks {
		if l.proof == hmacProof && l.secret == textSecret {
			return l.keys
		}
	}
	return nil
}

// checkNotAnswered refuses a body that could have been signed by the inlet itself: a CRC is answered with the signature of whatever a stranger asks for, so
// bodies must not look like what is answered.
func (in *Inlet) checkNotAnswered(m Message) error {
	if slices.ContainsFunc(in.handshakes, func(h handshake) bool { return h.answer == crcAnswer }) && isToken(string(m.Body)) {
		return ErrMismatch
	}
	return nil
}

// isToken tells whether a text is such as CRCs are answered for. No JSON object or array is.
func isToken(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool {
		alphanumeric := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return !alphanumeric && !strings.ContainsRune("+/=_-.", c)
	})
}
