package router

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of a definition document, whatever it defines.
const (
	MaxDocumentBytes    = 256 << 10 // over it: TooLarge
	MaxDocumentDepth    = 64        // objects and arrays within each other; the document itself is 1
	MaxDocumentProblems = 20        // faults that one Error lists
)

// documentRoot is what a location in a request's document starts with (docs: RFC 9457 errors, "body.sink.timeout").
const documentRoot = "body"

// readDocument parses a JSON object and has read take what it knows out of it. A definition of any kind is decoded this way:
//
//	err := readDocument(text, func(o *docObject) {
//		o.ignore("id", "status")
//		o.get("name").text(&t.Name)
//		o.get("window").object(func(o *docObject) { … })
//	})
//
// Names are compared exactly; what read does not ask for is an unknown field. The error is nil or one *Error that lists up to
// MaxDocumentProblems faults, each with its place: Malformed where the text is not JSON as RFC 7493 narrows it (valid UTF-8, no lone
// surrogates), TooLarge, or Invalid for all else, repeated names included. The time taken is linear in the text.
func readDocument(text []byte, read func(*docObject)) error {
	f := &docFaults{}
	f.read(text, read)
	return f.err("the definition is not valid")
}

// readStored is readDocument for what was stored, or answered, by a Streamlatch that may be newer: unknown fields are passed over.
func readStored(text []byte, read func(*docObject)) error {
	f := &docFaults{mode: tolerant}
	f.read(text, read)
	return f.err("the stored definition can't be read")
}

// docFaults collects what is wrong with one document.
type docFaults struct {
	problems []Problem
	spoilt   []string // places whose values are unusable as a whole: what is wrong below them is a consequence
	more     bool     // there are more than fit
	fatal    error    // the document can't be looked at; problems do not matter
	mode     docMode
}

// docMode says which faults count.
type docMode uint8

// The modes.
const (
	strict    docMode = iota // all
	tolerant                 // all but unknown fields
	namesOnly                // unknown fields
)

// read parses a document and has its root object read.
func (f *docFaults) read(text []byte, read func(*docObject)) {
	root, err := parseJSON(text, f)
	if err != nil {
		f.fatal = err
		return
	}
	docNode{jsonValue: root, at: documentRoot, faults: f}.object(read)
}

// add records a fault, unless one is known at the same place, or the place lies in a spoilt one: the first is the cause.
func (f *docFaults) add(at, format string, args ...any) {
	if f.mode != namesOnly {
		f.record(at, format, args...)
	}
}

func (f *docFaults) record(at, format string, args ...any) {
	if slices.ContainsFunc(f.problems, func(p Problem) bool { return p.Location == at }) ||
		slices.ContainsFunc(f.spoilt, func(outer string) bool { return holds(outer, at) }) {
		return
	}
	if len(f.problems) == MaxDocumentProblems {
		f.more = true
		return
	}
	f.problems = append(f.problems, Problem{Location: at, Message: fmt.Sprintf(format, args...)})
}

// spoil records a fault that makes the value at a place unusable as a whole.
func (f *docFaults) spoil(at, format string, args ...any) {
	f.add(at, format, args...)
	if f.mode != namesOnly && !f.more {
		f.spoilt = append(f.spoilt, at)
	}
}

// refuse records the error of a check: its problems, whose locations are relative to base, or else its message at a field of base.
func (f *docFaults) refuse(base, field string, err error) {
	if err == nil {
		return
	}
	e, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		f.add(within(base, field), "%s", err.Error())
	case len(e.Problems) == 0:
		f.add(within(base, field), "%s", e.Message)
	default:
		for _, p := range e.Problems {
			f.add(within(base, p.Location), "%s", p.Message)
		}
	}
}

// full tells whether looking for more is in vain.
func (f *docFaults) full() bool { return f.more }

// err gives everything as one error, or nil.
func (f *docFaults) err(message string) error {
	if f.fatal != nil {
		return f.fatal
	}
	if len(f.problems) == 0 {
		return nil
	}
	if f.more {
		message += fmt.Sprintf(" (the first %d faults are listed)", MaxDocumentProblems)
	}
	return &Error{Code: Invalid, Message: message, Problems: f.problems}
}

// holds tells whether the place outer is inner, or one that inner lies in.
func holds(outer, inner string) bool {
	rest, ok := strings.CutPrefix(inner, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// within joins a place and a location relative to it.
func within(at, location string) string {
	if at == "" || location == "" || location[0] == '[' {
		return at + location
	}
	return at + "." + location
}

// memberAt is the place of an object's member: "body.sink", or body["a.b"] for a name that is not a plain word. Long names, which are
// the caller's text, are cut.
func memberAt(at, name string) string { return string(appendMemberAt([]byte(at), name)) }

func appendMemberAt(at []byte, name string) []byte {
	const longest = 64
	if name != "" && len(name) <= longest && strings.IndexFunc(name, isNotWord) < 0 {
		if len(at) > 0 {
			at = append(at, '.')
		}
		return append(at, name...)
	}
	cut := ""
	if len(name) > longest {
		name, cut = strings.ToValidUTF8(name[:longest], ""), "…"
	}
	at = strconv.AppendQuote(append(at, '['), name)
	return append(append(at, cut...), ']')
}

func isNotWord(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '-' && r != '$'
}

// itemAt is the place of an array's item.
func itemAt(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }
