package router

import (
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// secretPrefix begins a signing secret (Standard Webhooks).
const secretPrefix = "whsec_"

// What the API shows in the place of a secret that there is.
const (
	Masked       = "****"
	MaskedSecret = secretPrefix + Masked // of a signing secret
)

// isMasked tells whether a secret is one that was masked: it is, behind the prefix that it may have, nothing but stars, dots or ellipses.
func isMasked(secret string) bool {
	rest := strings.TrimPrefix(secret, secretPrefix)
	return rest != "" && strings.Trim(rest, "*.…•") == ""
}

// MapSecrets returns the sink with each of its secrets replaced by what f makes of it. place says which one it is, relative to the sink:
// "secret", "auth.token", "headers.authorization". What is not there is not asked for. Which parts of a sink are secret is decided here alone, for masking,
// keeping and storing.
func (s Sink) MapSecrets(f func(place, secret string) string) Sink {
	replace := func(place string, secret *string) {
		if *secret != "" {
			*secret = f(place, *secret)
		}
	}
	replace("secret", &s.Secret)
	replace("auth.token", &s.Auth.Token)
	replace("auth.password", &s.Auth.Password)
	replace("auth.key", &s.Auth.Key)
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.Headers)), func(name string) bool { return !isSecretHeader(name) || s.Headers[name] == "" })
	if len(names) > 0 {
		s.Headers = maps.Clone(s.Headers)
	}
	for _, name := range names {
		s.Headers[name] = f(headerPlace+name, s.Headers[name])
	}
	return s
}

// headerPlace begins the places of headers.
const headerPlace = "headers."

// MapSecrets is Sink.MapSecrets for all secrets of the subscription.
func (s Subscription) MapSecrets(f func(place, secret string) string) Subscription {
	s.Sink = s.Sink.MapSecrets(f)
	s.Rotated = slices.Clone(s.Rotated)
	for i := range s.Rotated {
		s.Rotated[i].Secret = f("rotated", s.Rotated[i].Secret)
	}
	return s
}

// AppendSecretsPatch appends a merge patch (RFC 7396) that changes a stored subscription's secrets to those of s and nothing else of it.
func AppendSecretsPatch(dst []byte, s Subscription) []byte {
	groups := map[string]map[string]string{}
	s.Sink.MapSecrets(func(place, secret string) string {
		group, name, nested := strings.Cut(place, ".")
		if !nested {
			group, name = "", place
		}
		if groups[group] == nil {
			groups[group] = map[string]string{}
		}
		groups[group][name] = secret
		return secret
	})
	w := &jsonWriter{dst}
	w.open('{')
	w.name("sink")
	w.open('{')
	w.texts(groups[""])
	delete(groups, "")
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		w.name(group)
		w.open('{')
		w.texts(groups[group])
		w.close('}')
	}
	w.close('}')
	s.writeRotated(w)
	w.close('}')
	return w.b
}

// isSecretHeader tells by its name that a header holds what nobody else should see.
func isSecretHeader(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"authorization", "cookie", "token", "secret", "key", "password", "credential"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return slices.Contains(strings.FieldsFunc(name, func(c rune) bool { return c == '-' || c == '_' }), "auth")
}

// masked is the subscription as it is shown: with its secrets masked, or with all but the signing secret.
func (s Subscription) masked(signingInClear bool) Subscription {
	s.Sink = s.Sink.MapSecrets(func(place, secret string) string {
		switch {
		case place != "secret":
			return Masked
		case signingInClear:
			return secret
		}
		return MaskedSecret
	})
	return s
}

// secretChange is what a document says about a secret.
type secretChange uint8

// The changes of a secret.
const (
	keepSecret   secretChange = iota // left out, or masked as the API shows it: it stays
	setSecret                        // it is this one
	removeSecret                     // null: there is none
)

// sinkChanges are what a document says about a sink's secrets, beside the new ones themselves.
type sinkChanges struct {
	secret secretChange // kept where there is none: a new definition is given one
	auth   secretChange // setSecret: as a whole; single secrets in it may be masked, or left out
}

// remove notes the nulls of a merge patch, which leave no trace in what is merged.
func (c *sinkChanges) remove(sink jsonValue) {
	if sink.member("secret").kind() == jsontext.KindNull {
		c.secret = removeSecret
	}
	if sink.member("auth").kind() == jsontext.KindNull {
		c.auth = removeSecret
	}
}

// keep returns a new sink with the secrets of the old one that the document does not change.
func (c sinkChanges) keep(s, old Sink) Sink {
	if c.secret == keepSecret {
		s.Secret = old.Secret
	}
	if c.auth == keepSecret && s.Kind == old.Kind {
		s.Auth = old.Auth
	}
	if s.Auth.Kind == old.Auth.Kind {
		s.Auth = s.Auth.completedBy(old.Auth)
	}
	return s.MapSecrets(func(place, secret string) string {
		if name, ok := strings.CutPrefix(place, headerPlace); ok && isMasked(secret) && old.Headers[name] != "" {
			return old.Headers[name]
		}
		return secret
	})
}

// checkSecrets tells whether a sink has all the secrets that it needs, some of them kept from an old one, and asks the rules about them.
func (d SubscriptionDraft) checkSecrets(s, old Sink) error {
	f := &docFaults{}
	kept := map[string]string{}
	old.MapSecrets(func(place, secret string) string {
		kept[place] = secret
		return secret
	})
	s.MapSecrets(func(place, secret string) string {
		if isMasked(secret) && kept[place] != secret { // those of a definition that a client has are masked, all of them
			f.add(within(documentRoot+".sink", place), "is masked, and there is none to keep; give it in full")
		}
		return secret
	})
	s.Auth.checkComplete(f, documentRoot)
	if len(f.problems) == 0 && s.Auth.Kind != "" && d.rules.CheckAuth != nil {
		f.refuse(documentRoot, "sink.auth", d.rules.CheckAuth(s))
	}
	return f.err("the subscription is not valid")
}

// readSecret reads a signing secret.
func (s *Sink) readSecret(n docNode) secretChange {
	if n.kind() == jsontext.KindNull {
		return removeSecret
	}
	secret := ""
	n.text(&secret)
	switch {
	case !n.present() || isMasked(secret) && n.faults.mode != tolerant:
		return keepSecret
	case secret == "":
		n.faults.add(n.at, "must not be empty; null removes it")
	}
	s.Secret = secret
	return setSecret
}
