package router

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Miss says why an event does not match a filter: the first field that fails, in the order of types, filters and pattern.
type Miss struct {
	Field  string // an attribute, or a path into the payload: "data.total"; several, with commas between them, where only together they fail
	Wanted string // the part of the definition that fails, as JSON
	Found  string // the field's value as JSON, several as an array, long ones cut; "" where the event has none
}

// Explain tells why an event does not match; missed is false where it does.
func (c *CompiledFilter) Explain(v *View) (miss Miss, missed bool) {
	slots := c.useAlone(v)
	if !c.matchType(v) {
		return Miss{Field: "type", Wanted: typesAsJSON(c.types), Found: quoted(v.event.Type())}, true
	}
	for i := range c.dialects {
		if d := &c.dialects[i]; !d.match(&v.event) {
			return d.miss(&v.event), true
		}
	}
	if c.pattern.match(v, slots) {
		return Miss{}, false
	}
	return c.pattern.miss(v, slots), true
}

func typesAsJSON(types []TypePattern) string {
	var list []string
	for _, p := range types {
		list = append(list, quoted(p.text))
	}
	return "[" + strings.Join(list, ",") + "]"
}

// miss explains an expression that the event does not fulfil: of all, the first one within that it does not.
func (d *dialect) miss(e *Event) Miss {
	if d.op == "all" {
		i := slices.IndexFunc(d.of, func(of dialect) bool { return !of.match(e) })
		return d.of[i].miss(e)
	}
	m := Miss{Wanted: d.raw}
	names := d.names(nil)
	if i := slices.IndexFunc(d.pairs, func(p attributePair) bool { return !d.matchPair(p, e) }); i >= 0 {
		names = []string{d.pairs[i].name}
	}
	var found []string
	for _, name := range names {
		if kind, text, ok := e.attribute(name); ok {
			found = append(found, value{kind: kind, text: text}.json())
		}
	}
	m.Field, m.Found = strings.Join(names, ","), listed(found)
	return m
}

// names adds the attributes that an expression looks at to a list.
func (d *dialect) names(list []string) []string {
	for _, p := range d.pairs {
		if !slices.Contains(list, p.name) {
			list = append(list, p.name)
		}
	}
	for i := range d.of {
		list = d.of[i].names(list)
	}
	return list
}

// miss explains a pattern that the event does not match, by the combination of which the most fields match.
func (p pattern) miss(v *View, slots []slot) Miss {
	best, reached := Miss{}, -1
	for _, b := range p {
		i := slices.IndexFunc(b, func(f field) bool { return !f.match(v, slots[f.place]) })
		switch {
		case i < 0:
			return b.missTogether(v, slots)
		case i > reached:
			best, reached = b[i].miss(v, slots), i
		}
	}
	return best
}

func (f *field) miss(v *View, slots []slot) Miss {
	var found []string
	for _, value := range v.valuesOf(slots[f.place]) {
		found = append(found, value.json())
	}
	return Miss{Field: f.path, Wanted: f.wanted, Found: listed(found)}
}

// missTogether explains fields each of which matches, but not with values of the same array elements.
func (b branch) missTogether(v *View, slots []slot) Miss {
	var paths, wanted []string
	for _, f := range b {
		inArray := func(v value) bool { return v.element != 0 }
		if slices.ContainsFunc(v.valuesOf(slots[f.place]), inArray) {
			paths, wanted = append(paths, f.path), append(wanted, f.wanted)
		}
	}
	m := Miss{Field: strings.Join(paths, ","), Wanted: strings.Join(wanted, ","), Found: "no array element that has all of them"}
	if v.gaveUp {
		m.Found = "too many array elements to search"
	}
	return m
}

// json is the value's JSON text.
func (v value) json() string {
	if v.kind == stringKind {
		return quoted(v.text)
	}
	return cut(v.text)
}

func quoted(s string) string {
	b, _ := jsontext.AppendQuote(nil, cut(s)) // what is not UTF-8 is replaced
	return string(b)
}

// cut shortens a text that is for reading.
func cut(s string) string {
	const most = 200
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// listed joins found values; a long list is cut.
func listed(values []string) string {
	const most = 20
	if len(values) > most {
		values = append(values[:most:most], "…")
	}
	if len(values) == 1 {
		return values[0]
	}
	if len(values) == 0 {
		return ""
	}
	return "[" + strings.Join(values, ",") + "]"
}
