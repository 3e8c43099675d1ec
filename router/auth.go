package router

import (
	"cmp"

	"github.com/go-json-experiment/json/jsontext"
)

// AuthKind says by what a webhook's requests show who sends them.
type AuthKind string

// The kinds of auth.
const (
	BearerAuth    AuthKind = "bearer" // the header authorization, with a token (RFC 6750)
	BasicAuth     AuthKind = "basic"  // the header authorization, with user and password (RFC 7617)
	MutualTLSAuth AuthKind = "mtls"   // a client certificate
)

// Auth is how a webhook's requests show who sends them, beside the signature. The fields that apply depend on Kind; the zero Auth is none.
type Auth struct {
	Kind        AuthKind `json:"kind"`
	Token       string   `json:"token,omitempty"` // bearer
	User        string   `json:"user,omitempty"`  // basic
	Password    string   `json:"password,omitempty"`
	Certificate string   `json:"certificate,omitempty"` // mtls: in PEM, with what is needed of its chain behind it
	Key         string   `json:"key,omitempty"`         // in PEM
}

// String says which kind it is, and no secrets.
func (a Auth) String() string { return cmp.Or(string(a.Kind), "none") }

// GoString says which kind it is, and no secrets.
func (a Auth) GoString() string { return "router.Auth(" + a.String() + ")" }

// readChange reads the auth of a document. What is left of it when single secrets are masked or left out, completedBy fills in.
func (a *Auth) readChange(n docNode) secretChange {
	if n.kind() == jsontext.KindNull {
		return removeSecret
	}
	if !n.present() {
		return keepSecret
	}
	n.object(a.read)
	if a.Kind == "" && n.faults.mode == strict {
		n.faults.add(memberAt(n.at, "kind"), "is required")
	}
	return setSecret
}

func (a *Auth) read(o *docObject) {
	kind := ""
	o.get("kind").text(&kind)
	a.Kind = AuthKind(kind)
	if o.faults.mode == namesOnly { // a patch to another kind removes what was of the one before
		o.ignore("token", "user", "password", "certificate", "key")
	}
	switch a.Kind {
	case BearerAuth:
		o.get("token").text(&a.Token)
	case BasicAuth:
		o.get("user").text(&a.User)
		o.get("password").text(&a.Password)
	case MutualTLSAuth:
		o.get("certificate").text(&a.Certificate)
		o.get("key").text(&a.Key)
	default:
		o.ignoreRest() // the kind is refused; what would go with it is of no interest
	}
}

// completedBy fills in the secrets that are masked or left out.
func (a Auth) completedBy(old Auth) Auth {
	keep := func(secret, old string) string {
		if secret == "" || isMasked(secret) && old != "" {
			return old
		}
		return secret
	}
	a.Token, a.Password, a.Key = keep(a.Token, old.Token), keep(a.Password, old.Password), keep(a.Key, old.Key)
	return a
}

// check records what is wrong with the auth of a sink at a place, whatever secrets are kept.
func (a Auth) check(f *docFaults, at string) {
	at = within(at, "sink.auth")
	switch a.Kind {
	case "":
		if a != (Auth{}) {
			f.add(within(at, "kind"), "is required")
		}
	case BearerAuth:
	case BasicAuth:
		a.require(f, at, "user", a.User)
	case MutualTLSAuth:
		a.require(f, at, "certificate", a.Certificate)
	default:
		f.add(within(at, "kind"), "%s is not a kind of auth; %q, %q and %q are", quoteShort(string(a.Kind)), BearerAuth, BasicAuth, MutualTLSAuth)
	}
}

func (a Auth) require(f *docFaults, at, field, value string) {
	if value == "" {
		f.add(within(at, field), "is required")
	}
}

// checkComplete records the secrets that are missing when there is nothing more to keep.
func (a Auth) checkComplete(f *docFaults, at string) {
	at = within(at, "sink.auth")
	switch a.Kind {
	case BearerAuth:
		a.require(f, at, "token", a.Token)
	case BasicAuth:
		a.require(f, at, "password", a.Password)
	case MutualTLSAuth:
		a.require(f, at, "key", a.Key)
	}
}

// write writes the member "auth", unless there is none.
func (a Auth) write(w *jsonWriter) {
	if a.Kind == "" {
		return
	}
	w.name("auth")
	w.open('{')
	w.text("kind", string(a.Kind))
	w.optional("token", a.Token)
	w.optional("user", a.User)
	w.optional("password", a.Password)
	w.optional("certificate", a.Certificate)
	w.optional("key", a.Key)
	w.close('}')
}
