package router

import (
	"slices"
	"time"
)

const defaultRatePeriod = time.Second

// check records what is wrong with a definition that stands at a place.
func (s Source) check(f *docFaults, at string, rules Rules) {
	if s.Name == "" {
		f.add(memberAt(at, "name"), "is required")
	} else if !namePattern.MatchString(s.Name) {
		f.add(memberAt(at, "name"), "must be %s", nameRule)
	}
	checkTitle(f, memberAt(at, "title"), s.Title)
	for _, secret := range s.Secrets {
		if len(secret) > MaxSourceSecretBytes {
			f.add(memberAt(at, "secret"), "must have at most %d bytes", MaxSourceSecretBytes)
		}
	}
	if s.Rate != (SourceRate{}) {
		if s.Rate.Limit < 1 || s.Rate.Limit > MaxSourceRate {
			f.add(within(at, "rate.limit"), "must be from 1 to %d", MaxSourceRate)
		}
		if s.Rate.Per < Duration(time.Millisecond) || s.Rate.Per > Duration(day) {
			f.add(within(at, "rate.per"), "must be from 1ms to 1d")
		}
	}
	switch {
	case s.Provider == "":
		f.add(memberAt(at, "provider"), "is required")
	case rules.CheckSource == nil:
		f.add(memberAt(at, "provider"), "is not known here")
	default:
		f.refuse(at, "provider", rules.CheckSource(s))
	}
}

// write writes the definition's members.
func (s Source) write(w *jsonWriter, secret bool) {
	w.text("name", s.Name)
	w.optional("title", s.Title)
	w.bool("enabled", s.Enabled)
	w.text("provider", s.Provider)
	s.writeSecrets(w, secret)
	w.optional("public_key", s.PublicKey)
	w.optional("user", s.User)
	w.optional("url", s.URL)
	s.Signature.write(w)
	w.group("token", s.Token != (SourceToken{}), func() {
		w.optional("header", s.Token.Header)
		w.optional("query", s.Token.Query)
	})
	w.optional("handshake", s.Handshake)
	if s.TypePrefix != nil {
		w.text("type_prefix", *s.TypePrefix)
	}
	w.group("map", s.Map != (SourceMap{}), func() {
		w.optional("type", s.Map.Type)
		w.optional("source", s.Map.Source)
		w.optional("subject", s.Map.Subject)
		w.optional("id", s.Map.ID)
		w.optional("time", s.Map.Time)
	})
	w.group("extract", len(s.Extract) > 0, func() {
		for _, x := range s.Extract {
			w.group(x.Name, true, func() {
				w.optional("path", x.Path)
				w.optional("match", x.Match)
			})
		}
	})
	w.group("reply", s.Reply != (SourceReply{}), func() {
		w.integer("status", s.Reply.Status)
		w.optional("content_type", s.Reply.ContentType)
		w.optional("body", s.Reply.Body)
	})
	w.group("rate", s.Rate != (SourceRate{}), func() {
		w.integer("limit", s.Rate.Limit)
		w.text("per", s.Rate.Per.String())
	})
}

// writeSecrets writes one secret as text, several as a list.
func (s Source) writeSecrets(w *jsonWriter, clear bool) {
	shown := func(secret string) string {
		if clear {
			return secret
		}
		return Masked
	}
	switch len(s.Secrets) {
	case 0:
		w.literal("secret", "null") // not left out: that would mean "as it is" on the way back
	case 1:
		w.text("secret", shown(s.Secrets[0]))
	default:
		w.name("secret")
		w.open('[')
		for _, secret := range s.Secrets {
			w.item(shown(secret))
		}
		w.close(']')
	}
}

func (d SourceSignature) write(w *jsonWriter) {
	w.group("signature", d != (SourceSignature{}), func() {
		w.optional("header", d.Header)
		w.optional("algorithm", d.Algorithm)
		w.optional("encoding", d.Encoding)
		w.optional("prefix", d.Prefix)
		w.optional("separator", d.Separator)
		w.optional("signed", d.Signed)
		w.group("timestamp", d.Timestamp != (SourceTimestamp{}), func() {
			w.optional("header", d.Timestamp.Header)
			w.optional("prefix", d.Timestamp.Prefix)
			w.optional("unit", d.Timestamp.Unit)
		})
	})
}

// group writes a member that is an object, where it is there.
func (w *jsonWriter) group(name string, present bool, members func()) {
	if !present {
		return
	}
	w.name(name)
	w.open('{')
	members()
	w.close('}')
}

// Definition gives the definition, without what only the server sets, as maps and lists to print as JSON or YAML, the secrets masked.
func (s Source) Definition() map[string]any {
	w := &jsonWriter{}
	w.open('{')
	s.write(w, false)
	w.close('}')
	v, err := parseJSON(w.b, &docFaults{})
	if err != nil {
		return nil // only invalid UTF-8 could do that, and it is replaced
	}
	definition, _ := v.plain().(map[string]any)
	return definition
}

// MapSecrets returns the source with each of its secrets replaced by what f makes of it; place is "secret" for all of them.
func (s Source) MapSecrets(f func(place, secret string) string) Source {
	s.Secrets = slices.Clone(s.Secrets)
	for i := range s.Secrets {
		s.Secrets[i] = f("secret", s.Secrets[i])
	}
	return s
}

// AppendSourceSecretsPatch appends a merge patch (RFC 7396) that changes a stored source's secrets to those of s and nothing else of it.
func AppendSourceSecretsPatch(dst []byte, s Source) []byte {
	w := &jsonWriter{dst}
	w.open('{')
	s.writeSecrets(w, true)
	w.close('}')
	return w.b
}
