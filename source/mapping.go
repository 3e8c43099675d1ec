package source

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/streamlatch/streamlatch/router"
)

// mapping says, as data, how a provider's messages become events. Values are named by refs; of several with bars between them the first that is there counts.
type mapping struct {
	prefix     string     // begins the types; "": the source's name and a dot
	types      []typeRule // the first one that applies
	id         []string   // joined by "/"; the first must be there
	subject    string
	time       string            // RFC 3339, or seconds or milliseconds since 1970
	extensions map[string]string // extension attribute to ref
}

// typeRule makes a type of a word and of parts, those that are there, with dots between them. It applies where all that it names is there.
type typeRule struct {
	where string // a ref; "": everywhere
	word  string
	parts []string
}

// fallbackType is the type of what says nothing of what it is.
const fallbackType = "received"

// The lengths at which a value is taken for a mistake. They leave room for all attributes of an event together.
const (
	maxTypePart  = 128
	maxAttribute = 1 << 10
)

// mapper is a mapping made ready for one source.
type mapper struct {
	plan       plan
	source     string
	prefix     string
	types      []compiledType
	ownType    choice // what the definition says goes before what the provider has
	ownSource  choice
	ownID      choice
	id         []choice
	subject    choice
	time       choice
	extensions []compiledExtension
}

type compiledType struct {
	where choice
	word  string
	parts []choice
}

// compiledExtension is an extension attribute and what makes it.
type compiledExtension struct {
	name  string
	value choice
	match *regexp.Regexp // nil: the value as it is
}

// event makes the event that a message is. newID makes the id of one whose sender gives none. The error is an *router.Error.
func (mp *mapper) event(m Message, newID func() string) (router.Event, error) {
	c := contentOf(m)
	v := mp.plan.read(m, c)
	f := router.EventFields{
		ID: mp.idOf(v), Source: mp.sourceOf(v), Type: mp.typeOf(v), Subject: attribute(v.first(mp.subject)), Time: timeOf(v.first(mp.time)),
		DataContentType: c.contentType, Data: c.text, DataKind: c.kind, Extensions: mp.extensionsOf(v),
	}
	if f.ID == "" {
		f.ID = newID()
	}
	e, err := router.NewParsedEvent(f)
	if err != nil {
		return router.Event{}, err
	}
	return e, router.CheckReserved(e)
}

// attribute gives what can stand in an attribute, and nothing of what can't.
func attribute(s string) string {
	if len(s) > maxAttribute || !router.CanBeText(s) {
		return ""
	}
	return s
}

func (mp *mapper) sourceOf(v values) string {
	if own := attribute(v.first(mp.ownSource)); own != "" && router.CanBeSource(own) {
		return own
	}
	return mp.source
}

// idOf gives the id by which a repeat is known: "" where there is none. One that can't be an id stands for itself by its hash.
func (mp *mapper) idOf(v values) string {
	if own := v.first(mp.ownID); own != "" {
		return identifier(own)
	}
	id := ""
	for i, c := range mp.id {
		part := v.first(c)
		switch {
		case part == "" && i == 0:
			return ""
		case i == 0:
			id = part
		case part != "":
			id += "/" + part
		}
	}
	if id == "" {
		return ""
	}
	return identifier(id)
}

func identifier(s string) string {
	if attribute(s) != "" {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// typeOf gives the type: the prefix, and words with dots between them.
func (mp *mapper) typeOf(v values) string {
	if own := typePart(v.first(mp.ownType)); own != "" {
		return mp.prefix + own
	}
	for _, rule := range mp.types {
		if rule.where != nil && v.first(rule.where) == "" {
			continue
		}
		words := rule.word
		for _, part := range rule.parts {
			words = withWord(words, typePart(v.first(part)))
		}
		if words != "" {
			return mp.prefix + words
		}
	}
	return mp.prefix + fallbackType
}

func withWord(words, word string) string {
	if words == "" || word == "" {
		return words + word
	}
	return words + "." + word
}

// typePart makes segments of a type of what a sender calls something: "orders/create" is two, "/deploy" is one; spaces become underscores.
func typePart(s string) string {
	if isWord(s) && len(s) <= maxTypePart {
		return s
	}
	if attribute(s) == "" || len(s) > maxTypePart {
		return ""
	}
	segments := strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '/' })
	for i, segment := range segments {
		segments[i] = strings.Join(strings.FieldsFunc(strings.ReplaceAll(segment, "*", "_"), unicode.IsSpace), "_")
	}
	segments = slices.DeleteFunc(segments, func(segment string) bool { return segment == "" })
	return strings.Join(segments, ".")
}

// isWord tells that a text is a segment of a type as it is; most are.
func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// gitLabTime is how GitLab writes some of its times.
const gitLabTime = "2006-01-02 15:04:05 UTC"

// timeOf gives RFC 3339, or nothing for what is no time.
func timeOf(s string) string {
	if s == "" || len(s) > 64 {
		return ""
	}
	if _, err := router.ParseTime(s); err == nil {
		return s
	}
	if t, err := time.Parse(gitLabTime, s); err == nil {
		return router.FormatTime(t)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	const millis = 100_000_000_000 // in seconds the year 5138, in milliseconds 1973
	switch {
	case err != nil || n <= 0 || n > millis*1000:
		return ""
	case n >= millis:
		return router.FormatTime(time.UnixMilli(n))
	}
	return router.FormatTime(time.Unix(n, 0))
}

func (mp *mapper) extensionsOf(v values) (all []router.Extension) {
	for _, x := range mp.extensions {
		value := v.first(x.value)
		if x.match != nil {
			value = found(x.match, value)
		}
		if value = attribute(value); value != "" {
			all = append(all, router.Extension{Name: x.name, Value: value})
		}
	}
	return all
}

// found is what the first group of an expression matches, or all that it matches where it has no group.
func found(match *regexp.Regexp, s string) string {
	groups := match.FindStringSubmatch(s)
	switch {
	case groups == nil:
		return ""
	case len(groups) > 1:
		return groups[1]
	}
	return groups[0]
}

// newMapper makes the mapping of a provider ready for a source, with what the definition has of its own. Faults are put where they belong in the definition.
func newMapper(p provider, s router.Source, f *faults) *mapper {
	mp := &mapper{source: s.InletPath(""), prefix: p.mapping.prefix}
	if mp.prefix == "" {
		mp.prefix = s.Name + "."
	}
	if s.TypePrefix != nil {
		mp.prefix = *s.TypePrefix
	}
	own := func(field, path string) choice {
		if path == "" {
			return nil
		}
		n, err := mp.plan.add(path)
		f.add(field, err)
		return choice{n}
	}
	mp.ownType, mp.ownSource, mp.ownID = own("map.type", s.Map.Type), own("map.source", s.Map.Source), own("map.id", s.Map.ID)
	mp.subject = append(own("map.subject", s.Map.Subject), mp.builtIn(p.mapping.subject)...)
	mp.time = append(own("map.time", s.Map.Time), mp.builtIn(p.mapping.time)...)
	for _, id := range p.mapping.id {
		mp.id = append(mp.id, mp.builtIn(id))
	}
	mp.addTypes(p.mapping.types)
	mp.addExtensions(p.mapping.extensions, s.Extract, own, f)
	return mp
}

// builtIn is a choice that the table of providers has, all of which are well-formed.
func (mp *mapper) builtIn(text string) choice {
	c, err := mp.plan.addChoice(text)
	if err != nil {
		panic("source: the table of providers has an ill-formed path: " + text)
	}
	return c
}

func (mp *mapper) addTypes(rules []typeRule) {
	for _, rule := range rules {
		compiled := compiledType{where: mp.builtIn(rule.where), word: rule.word}
		for _, part := range rule.parts {
			compiled.parts = append(compiled.parts, mp.builtIn(part))
		}
		mp.types = append(mp.types, compiled)
	}
}

// addExtensions takes in what the provider has and what the definition extracts, which may be something else under the same name.
func (mp *mapper) addExtensions(builtIn map[string]string, extracts []router.Extract, own func(field, path string) choice, f *faults) {
	for _, name := range slices.Sorted(maps.Keys(builtIn)) {
		if !slices.ContainsFunc(extracts, func(x router.Extract) bool { return x.Name == name }) {
			mp.extensions = append(mp.extensions, compiledExtension{name: name, value: mp.builtIn(builtIn[name])})
		}
	}
	for _, x := range extracts {
		at := "extract." + x.Name
		f.add(at, router.CheckExtensionName(x.Name))
		compiled := compiledExtension{name: x.Name, value: own(at+".path", x.Path)}
		if x.Path == "" {
			f.addf(at+".path", "is required")
		}
		if x.Match != "" {
			compiled.match = f.expression(at+".match", x.Match)
		}
		mp.extensions = append(mp.extensions, compiled)
	}
}
