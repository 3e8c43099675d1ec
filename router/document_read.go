package router

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// docNode is a value of a document and where it stands. Each of its methods sets what it is given from the value. Where the value is
// absent, or of another type, which it records as a fault, what it is given stays as it was: so defaults are set beforehand.
type docNode struct {
	jsonValue
	at     string
	faults *docFaults
}

// present tells whether the document has this value.
func (n docNode) present() bool { return n.src != nil }

// is tells whether the value is of a type; if it is of another, that is a fault.
func (n docNode) is(kind jsontext.Kind, want string) bool {
	got := n.kind()
	if got != kind && n.present() {
		n.faults.spoil(n.at, "must be %s, not %s", want, kindName(got))
	}
	return got == kind
}

func kindName(k jsontext.Kind) string {
	switch k {
	case jsontext.KindNull:
		return "null"
	case jsontext.KindTrue, jsontext.KindFalse:
		return "a boolean"
	case jsontext.KindString:
		return "a string"
	case jsontext.KindNumber:
		return "a number"
	case jsontext.KindBeginArray:
		return "an array"
	}
	return "an object"
}

// text reads a string.
func (n docNode) text(dst *string) {
	if n.is(jsontext.KindString, "a string") {
		*dst = unquote(n.src)
	}
}

// unquote gives the text of a JSON string that was parsed before.
func unquote(src []byte) string {
	b, _ := jsontext.AppendUnquote(nil, src) // valid, or the parser would have refused it
	return string(b)
}

// bool reads true or false.
func (n docNode) bool(dst *bool) {
	if n.kind() == jsontext.KindTrue || n.is(jsontext.KindFalse, "a boolean") {
		*dst = n.kind() == jsontext.KindTrue
	}
}

// integer reads a number without a fraction; 16.0 and 1e3 are such, since JSON knows only one type of number.
func (n docNode) integer(dst *int) {
	if !n.is(jsontext.KindNumber, "a number") {
		return
	}
	if i, err := strconv.Atoi(string(n.src)); err == nil {
		*dst = i
		return
	}
	const exact = 1 << 53
	if x, err := strconv.ParseFloat(string(n.src), 64); err == nil && x == math.Trunc(x) && math.Abs(x) <= exact {
		*dst = int(x)
		return
	}
	n.faults.add(n.at, "must be a whole number within ±2^53")
}

// float reads a number.
func (n docNode) float(dst *float64) {
	if !n.is(jsontext.KindNumber, "a number") {
		return
	}
	x, err := strconv.ParseFloat(string(n.src), 64)
	if err != nil {
		n.faults.add(n.at, "is too large a number")
		return
	}
	*dst = x
}

// unsigned reads a number that counts something.
func (n docNode) unsigned(dst *uint64) {
	if !n.is(jsontext.KindNumber, "a number") {
		return
	}
	u, err := strconv.ParseUint(string(n.src), 10, 64)
	if err != nil {
		n.faults.add(n.at, "must be a whole number that is not negative")
		return
	}
	*dst = u
}

// time reads an RFC 3339 timestamp.
func (n docNode) time(dst *time.Time) {
	if !n.is(jsontext.KindString, "an RFC 3339 timestamp") {
		return
	}
	t, err := ParseTime(unquote(n.src))
	if err != nil {
		n.faults.add(n.at, "must be an RFC 3339 timestamp such as 2026-11-20T12:00:00Z")
		return
	}
	*dst = t
}

// duration reads a string such as "1h30m".
func (n docNode) duration(dst *Duration) {
	if !n.is(jsontext.KindString, `a duration such as "90s" or "7d"`) {
		return
	}
	d, err := ParseDuration(unquote(n.src))
	if err != nil {
		n.faults.refuse(n.at, "", err)
		return
	}
	*dst = d
}

// raw reads any value, as a copy of its text without the space between its tokens.
func (n docNode) raw(dst *json.RawMessage) {
	if !n.present() {
		return
	}
	v := jsontext.Value(bytes.Clone(n.src))
	_ = v.Compact() // valid, or the parser would have refused it
	*dst = json.RawMessage(v)
}

// list reads an array of at most so many items.
func (n docNode) list(most int, items func(n int), item func(i int, n docNode)) {
	if !n.is(jsontext.KindBeginArray, "an array") {
		return
	}
	if len(n.members) > most {
		n.faults.spoil(n.at, "has %d items; at most %d are possible", len(n.members), most)
		return
	}
	items(len(n.members))
	for i, m := range n.members {
		item(i, docNode{m.value, itemAt(n.at, i), n.faults})
	}
}

// object reads an object: read asks for each member it knows, and the others are recorded as unknown.
func (n docNode) object(read func(*docObject)) {
	if !n.is(jsontext.KindBeginObject, "an object") {
		return
	}
	o := &docObject{docNode: n}
	read(o)
	if n.faults.mode != tolerant {
		o.reportUnknown()
	}
}

// docObject is an object of a document while it is being read.
type docObject struct {
	docNode
	asked []string
	whole bool // every member has been dealt with
}

// get returns the member of that name, absent where there is none.
func (o *docObject) get(name string) docNode {
	o.asked = append(o.asked, name)
	return docNode{o.member(name), memberAt(o.at, name), o.faults}
}

// each reads all members, whatever their names, of which there may be so many.
func (o *docObject) each(most int, read func(name string, n docNode)) {
	o.whole = true
	if len(o.members) > most {
		o.faults.spoil(o.at, "has %d members; at most %d are possible", len(o.members), most)
		return
	}
	for _, m := range o.members {
		read(m.name, docNode{m.value, memberAt(o.at, m.name), o.faults})
	}
}

// ignore passes over members that only the server sets.
func (o *docObject) ignore(names ...string) { o.asked = append(o.asked, names...) }

// ignoreRest passes over all members that have not been asked for.
func (o *docObject) ignoreRest() { o.whole = true }

// unavailable refuses a member that the API describes and this version does not have.
func (o *docObject) unavailable(names ...string) {
	for _, name := range names {
		if n := o.get(name); n.present() && o.faults.mode != tolerant {
			o.faults.add(n.at, "is not available in this version")
		}
	}
}

// reportUnknown records the members that were not asked for.
func (o *docObject) reportUnknown() {
	for _, m := range o.members {
		if o.whole || o.faults.full() {
			return
		}
		if slices.Contains(o.asked, m.name) {
			continue
		}
		meant := slices.IndexFunc(o.asked, func(known string) bool { return strings.EqualFold(known, m.name) })
		if meant >= 0 {
			o.faults.record(memberAt(o.at, m.name), "is not a known field; did you mean %q?", o.asked[meant])
		} else {
			o.faults.record(memberAt(o.at, m.name), "is not a known field")
		}
	}
}

// scalar gives a string, number or boolean; ok is false for anything else, which is no fault by itself.
func (n docNode) scalar() (s Scalar, ok bool) {
	switch n.kind() {
	case jsontext.KindString:
		return scalarOf(stringKind, unquote(n.src))
	case jsontext.KindNumber:
		return scalarOf(numberKind, string(n.src))
	case jsontext.KindTrue, jsontext.KindFalse:
		return scalarOf(literalKind, string(n.src))
	}
	return Scalar{}, false
}
