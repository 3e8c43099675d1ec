package router

import (
	"encoding/json"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of the field "filters".
const (
	MaxDialectDepth = 8   // of all, any and not within each other; an expression of the list is at 1
	MaxDialects     = 256 // expressions in all, nested ones and each attribute of exact, prefix and suffix included
)

// dialect is an expression of the CloudEvents Subscriptions API (section 3.2.4.1.1 of its specification): exact, prefix and suffix over context
// attributes, all of whose pairs must match, and all, any and not over other expressions. Attributes are compared as their canonical
// strings, with regard to case; an attribute that the event does not have fails the pair.
type dialect struct {
	op    string
	pairs []attributePair // of exact, prefix, suffix
	of    []dialect       // of all, any, not
	raw   string          // the JSON text
}

// attributePair is a context attribute and the text to compare it with.
type attributePair struct{ name, text string }

// dialectCompiler turns the field "filters" into dialects.
type dialectCompiler struct {
	faults *docFaults
	count  int
}

func compileDialects(faults *docFaults, list []json.RawMessage) []dialect {
	if len(list) > MaxFilterItems {
		faults.spoil("filters", "has %d items; at most %d are possible", len(list), MaxFilterItems)
		return nil
	}
	c := dialectCompiler{faults: faults}
	var dialects []dialect
	for i, raw := range list {
		at := itemAt("filters", i)
		n, err := parseSyntax(raw)
		if err != nil {
			faults.add(at, "%s", err)
			continue
		}
		dialects = append(dialects, c.expression(n, at, 1))
	}
	if c.count > MaxDialects {
		faults.spoil("filters", "holds %d expressions; at most %d are possible", c.count, MaxDialects)
	}
	return dialects
}

func (c *dialectCompiler) expression(n syntaxNode, at string, depth int) dialect {
	c.count++
	d := dialect{raw: n.raw}
	m, ok := n.only()
	if !ok {
		c.faults.add(at, `must be an object with one dialect, such as {"exact": {"type": "order.paid"}}`)
		return d
	}
	if depth > MaxDialectDepth {
		c.faults.add(at, "is nested more than %d levels deep", MaxDialectDepth)
		return d
	}
	d.op, at = m.name, memberAt(at, m.name)
	switch m.name {
	case "exact", "prefix", "suffix":
		d.pairs = c.attributes(m.value, at)
	case "all", "any":
		d.of = c.list(m.value, at, depth)
	case "not":
		d.of = []dialect{c.expression(m.value, at, depth+1)}
	case "sql":
		c.faults.add(at, "the dialect sql is not supported; exact, prefix, suffix, all, any and not are")
	default:
		c.faults.add(at, "is not a dialect; exact, prefix, suffix, all, any and not are")
	}
	return d
}

func (c *dialectCompiler) list(n syntaxNode, at string, depth int) []dialect {
	if n.kind != jsontext.KindBeginArray || len(n.members) == 0 {
		c.faults.add(at, "must be an array of at least one expression")
		return nil
	}
	of := make([]dialect, len(n.members))
	for i, m := range n.members {
		of[i] = c.expression(m.value, itemAt(at, i), depth+1)
	}
	return of
}

func (c *dialectCompiler) attributes(n syntaxNode, at string) []attributePair {
	if n.kind != jsontext.KindBeginObject || len(n.members) == 0 {
		c.faults.add(at, "must be an object of at least one attribute and its text")
		return nil
	}
	pairs := make([]attributePair, len(n.members))
	for i, m := range n.members {
		c.count++
		pairs[i] = c.pair(m, pairs[:i], memberAt(at, m.name))
	}
	return pairs
}

func (c *dialectCompiler) pair(m syntaxMember, before []attributePair, at string) attributePair {
	for _, p := range before {
		if p.name == m.name {
			c.faults.add(at, "stands here more than once")
		}
	}
	switch fault := nameFault(m.name); {
	case m.name == "data" || m.name == "data_base64":
		c.faults.add(at, "is not an attribute; the payload is matched by a pattern")
	case !isReservedName(m.name) && fault != "":
		c.faults.add(at, "%s", fault)
	case m.value.kind != jsontext.KindString || m.value.text == "":
		c.faults.add(at, "must be a string that is not empty")
	}
	return attributePair{m.name, m.value.text}
}

// match tells whether an event fulfils the expression.
func (d *dialect) match(e *Event) bool {
	switch d.op {
	case "any":
		for i := range d.of {
			if d.of[i].match(e) {
				return true
			}
		}
		return false
	case "not":
		return !d.of[0].match(e)
	}
	for i := range d.of {
		if !d.of[i].match(e) {
			return false
		}
	}
	for _, p := range d.pairs {
		if !d.matchPair(p, e) {
			return false
		}
	}
	return true
}

func (d *dialect) matchPair(p attributePair, e *Event) bool {
	_, text, ok := e.attribute(p.name)
	switch {
	case !ok:
		return false
	case d.op == "exact":
		return text == p.text
	case d.op == "prefix":
		return strings.HasPrefix(text, p.text)
	}
	return strings.HasSuffix(text, p.text)
}
