package router

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// SourceDraft is a source as a document describes it: valid, but without what only the server knows. Create or Replace makes it one that can be
// stored.
type SourceDraft struct {
	definition Source // where secret is setSecret, its secrets may hold masked ones, which stand for those at the same place
	secret     secretChange
}

// DecodeSource reads a document as the HTTP API describes it (Sources). What it leaves out has its default; what only the server sets (id, inlet, status,
// etag, version, created, updated) is passed over, so that what GET gave can be sent back. The errors are those of readDocument: Malformed, TooLarge, and
// Invalid with all that is wrong, at "body.extract.release.match". What belongs to providers is checked by rules.CheckSource.
func DecodeSource(text []byte, rules Rules) (SourceDraft, error) {
	f := &docFaults{}
	d := decodeSource(f, text, rules)
	if err := f.err("the source is not valid"); err != nil {
		return SourceDraft{}, err
	}
	return d, nil
}

func decodeSource(f *docFaults, text []byte, rules Rules) SourceDraft {
	d := SourceDraft{definition: Source{Name: rules.Name, Enabled: true}}
	f.read(text, func(o *docObject) {
		o.ignore(readOnlySourceFields()...)
		d.secret = d.definition.read(o)
		known := d.definition
		known.Secrets = slices.DeleteFunc(slices.Clone(known.Secrets), isMasked)
		known.check(f, documentRoot, rules)
	})
	return d
}

func readOnlySourceFields() []string { return append(readOnlyFields(), "inlet") }

// Definition returns what the document says, without secrets that it does not name.
func (d SourceDraft) Definition() Source {
	s := d.definition
	s.Secrets = slices.DeleteFunc(slices.Clone(s.Secrets), isMasked)
	return s
}

// Create makes a new source of the draft. One whose secret the document does not mention has fresh, which the caller may show this once; "": it has none, and
// takes nothing until it is given one. Invalid: the document has masked secrets among others.
func (d SourceDraft) Create(fresh string) (Source, error) {
	if d.secret == keepSecret && fresh != "" {
		d.definition.Secrets = []string{fresh}
		return d.definition, nil
	}
	return d.resolve(nil)
}

// Replace makes the draft take the place of old: it keeps the id, the version it was made from, the times, and secrets that the document does not change.
// Invalid: a masked secret stands where old has none, or a secret that is kept does not go with the provider.
func (d SourceDraft) Replace(old Source, rules Rules) (Source, error) {
	s, err := d.resolve(old.Secrets)
	if err != nil {
		return Source{}, err
	}
	s.ID, s.Version, s.Created, s.Updated = old.ID, old.Version, old.Created, old.Updated
	f := &docFaults{}
	s.check(f, documentRoot, rules)
	return s, f.err("the source is not valid")
}

// resolve puts the secrets that there are in the place of masked ones.
func (d SourceDraft) resolve(kept []string) (Source, error) {
	s := d.definition
	if d.secret == keepSecret {
		s.Secrets = kept
		return s, nil
	}
	s.Secrets = slices.Clone(s.Secrets)
	for i, secret := range s.Secrets {
		if !isMasked(secret) {
			continue
		}
		if i >= len(kept) {
			problem := Problem{itemAt(documentRoot+".secret", i), "is masked, and there is no secret at this place that it could stand for"}
			return Source{}, &Error{Code: Invalid, Message: "the source is not valid", Problems: []Problem{problem}}
		}
		s.Secrets[i] = kept[i]
	}
	return s, nil
}

// PatchSource applies a merge patch (RFC 7396) to a source as GET shows it, secrets masked. Secrets are kept unless the patch has others, and removed where
// it has null for them. The errors are those of DecodeSource and Replace; fields that the patch removes must be known too.
func PatchSource(old Source, patch []byte, rules Rules) (Source, error) {
	change, err := parseStrict(patch)
	if err != nil {
		return Source{}, err
	}
	shown, err := parseStrict(AppendSource(nil, old, SourceView{}))
	if err != nil {
		return Source{}, err
	}
	f := &docFaults{mode: namesOnly}
	docNode{change, documentRoot, f}.object(func(o *docObject) {
		o.ignore(readOnlySourceFields()...)
		new(Source).read(o)
	})
	f.mode = strict
	d := decodeSource(f, appendMerged(nil, shown, change), rules)
	if err := f.err("the patched source is not valid"); err != nil {
		return Source{}, err
	}
	if change.member("secret").kind() == jsontext.KindNull {
		d.secret = removeSecret
	}
	return d.Replace(old, rules)
}

// read takes the members of a definition, and tells what it says about the secrets.
func (s *Source) read(o *docObject) secretChange {
	o.get("name").text(&s.Name)
	o.get("title").text(&s.Title)
	o.get("enabled").bool(&s.Enabled)
	o.get("provider").text(&s.Provider)
	change := s.readSecrets(o.get("secret"))
	o.get("public_key").text(&s.PublicKey)
	o.get("user").text(&s.User)
	o.get("url").text(&s.URL)
	o.get("signature").object(s.Signature.read)
	o.get("token").object(func(o *docObject) {
		o.get("header").text(&s.Token.Header)
		o.get("query").text(&s.Token.Query)
	})
	o.get("handshake").text(&s.Handshake)
	if n := o.get("type_prefix"); n.present() {
		prefix := ""
		n.text(&prefix)
		s.TypePrefix = &prefix
	}
	o.get("map").object(s.Map.read)
	o.get("extract").object(func(o *docObject) { s.readExtracts(o) })
	o.get("reply").object(func(o *docObject) {
		s.Reply.Status = 200
		o.get("status").integer(&s.Reply.Status)
		o.get("content_type").text(&s.Reply.ContentType)
		o.get("body").text(&s.Reply.Body)
	})
	o.get("rate").object(func(o *docObject) {
		s.Rate.Per = Duration(defaultRatePeriod)
		if limit := o.get("limit"); limit.present() {
			limit.integer(&s.Rate.Limit)
		} else {
			limit.faults.add(limit.at, "is required")
		}
		o.get("per").duration(&s.Rate.Per)
	})
	return change
}

// readSecrets reads one secret or a list of them. A single masked one stands for all that there are.
func (s *Source) readSecrets(n docNode) secretChange {
	switch n.kind() {
	case jsontext.KindNull:
		return removeSecret
	case jsontext.KindBeginArray:
		n.list(MaxSourceSecrets, func(n int) { s.Secrets = make([]string, n) }, func(i int, n docNode) {
			n.text(&s.Secrets[i])
			if s.Secrets[i] == "" {
				n.faults.add(n.at, "must not be empty")
			}
		})
		return setSecret
	}
	secret := ""
	n.text(&secret)
	switch {
	case !n.present() || isMasked(secret) && n.faults.mode != tolerant:
		return keepSecret
	case secret == "":
		n.faults.add(n.at, "must not be empty; null removes it")
		return keepSecret
	}
	s.Secrets = []string{secret}
	return setSecret
}

func (d *SourceSignature) read(o *docObject) {
	o.get("header").text(&d.Header)
	o.get("algorithm").text(&d.Algorithm)
	o.get("encoding").text(&d.Encoding)
	o.get("prefix").text(&d.Prefix)
	o.get("separator").text(&d.Separator)
	o.get("signed").text(&d.Signed)
	o.get("timestamp").object(func(o *docObject) {
		o.get("header").text(&d.Timestamp.Header)
		o.get("prefix").text(&d.Timestamp.Prefix)
		o.get("unit").text(&d.Timestamp.Unit)
	})
}

func (m *SourceMap) read(o *docObject) {
	o.get("type").text(&m.Type)
	o.get("source").text(&m.Source)
	o.get("subject").text(&m.Subject)
	o.get("id").text(&m.ID)
	o.get("time").text(&m.Time)
}

func (s *Source) readExtracts(o *docObject) {
	o.each(MaxExtracts, func(name string, n docNode) {
		x := Extract{Name: name}
		n.object(func(o *docObject) {
			o.get("path").text(&x.Path)
			o.get("match").text(&x.Match)
		})
		s.Extract = append(s.Extract, x)
	})
	slices.SortFunc(s.Extract, func(a, b Extract) int { return strings.Compare(a.Name, b.Name) })
}

// SourceView is how a source is shown.
type SourceView struct {
	Secret bool            // in clear: only in the answer to the call that made it
	Inlet  string          // where it takes messages; empty: is not said
	Status json.RawMessage // an object for the member "status"; empty: none
}

// AppendSource appends the JSON that the API shows, its members in the order of the API's description. What only the server knows is left out of a definition
// that has no id. DecodeSource reads it back to an equal definition.
func AppendSource(dst []byte, s Source, v SourceView) []byte {
	w := &jsonWriter{dst}
	w.open('{')
	w.optional("id", s.ID)
	s.write(w, v.Secret)
	w.optional("inlet", v.Inlet)
	w.time("created", s.Created)
	w.time("updated", s.Updated)
	if s.ID != "" {
		w.text("etag", s.ETag())
	}
	if len(v.Status) > 0 {
		w.literal("status", string(v.Status))
	}
	w.close('}')
	return w.b
}

// MarshalJSON gives what AppendSource does for the zero SourceView: secrets are masked.
func (s Source) MarshalJSON() ([]byte, error) { return AppendSource(nil, s, SourceView{}), nil }

// AppendStoredSource appends the JSON that is stored: all of it, the secrets in clear, and the version.
func AppendStoredSource(dst []byte, s Source) []byte {
	w := &jsonWriter{dst}
	w.open('{')
	w.optional("id", s.ID)
	s.write(w, true)
	w.literal("version", strconv.FormatUint(s.Version, 10))
	w.time("created", s.Created)
	w.time("updated", s.Updated)
	w.close('}')
	return w.b
}

// DecodeStoredSource reads what AppendStoredSource wrote, also if it was a newer version that knows more fields, and what the API shows, masked secrets as
// they are. It checks types, not rules: the provider may be one that this version does not have.
func DecodeStoredSource(text []byte) (Source, error) {
	var s Source
	err := readStored(text, func(o *docObject) {
		o.get("id").text(&s.ID)
		s.read(o)
		readVersion(o, &s.Version)
		o.get("created").time(&s.Created)
		o.get("updated").time(&s.Updated)
	})
	if err != nil {
		return Source{}, err
	}
	return s, nil
}
