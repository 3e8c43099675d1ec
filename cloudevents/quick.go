package cloudevents

import (
	"errors"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// errUnsure says that a text has to be read thoroughly: it is not valid, or it has what quick knows nothing of.
var errUnsure = errors.New("not sure of this JSON")

// What quick reads. Most JSON is well within.
const (
	quickNames = 64 // in one object, since each is compared with all before it
	quickDepth = 64
)

// quick reads plain JSON in a fraction of the time that thorough takes. It takes nothing that thorough refuses, and gives the same for what it takes.
// What it is not sure of it refuses: everything invalid, names with escapes, \u escapes, large objects, deep ones.
type quick struct {
	text    string
	at      int
	awaited byte     // what has to stand before what comes next: ',', ':' or 0
	names   []string // of the objects that are open, those of the innermost last
	depth   int
	unsure  bool // from here on
}

func (q *quick) open(text string) {
	*q = quick{text: text, names: q.names[:0]}
}

func (q *quick) release() {
	clear(q.names[:cap(q.names)])
	*q = quick{names: q.names[:0]}
}

// peek passes what separates one value from the next, too.
func (q *quick) peek() jsontext.Kind {
	c := q.next()
	if q.awaited != 0 && c != ']' && c != '}' {
		separated := c == q.awaited
		q.at++
		c = q.next()
		q.awaited, q.unsure = 0, q.unsure || !separated || c == ']' || c == '}'
	}
	if q.unsure {
		return 0
	}
	if c == '-' || c >= '0' && c <= '9' {
		return '0'
	}
	return jsontext.Kind(c)
}

// next is the next byte that is no white space, 0 at the end.
func (q *quick) next() byte {
	for ; q.at < len(q.text); q.at++ {
		switch c := q.text[q.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

func (q *quick) step() error {
	switch q.peek() {
	case '{', '[':
		q.awaited = 0
		q.names = q.names[:0] // what lies around an event is an array
	case '}', ']':
		q.awaited = ','
	default:
		return errUnsure
	}
	q.at++
	return nil
}

func (q *quick) name() (string, error) { return q.nameSince(0) }

// nameSince reads a name of an object whose first name is at that place.
func (q *quick) nameSince(first int) (string, error) {
	if q.peek() != '"' {
		return "", errUnsure
	}
	start := q.at
	escaped, ok := q.quoted()
	name := q.text[start:q.at]
	if !ok || escaped || len(q.names)-first == quickNames || slices.Contains(q.names[first:], name) {
		return "", errUnsure
	}
	q.names = append(q.names, name)
	q.awaited = ':'
	return name, nil
}

func (q *quick) value() (string, error) {
	kind := q.peek()
	start := q.at
	if !q.pass(kind) {
		return "", errUnsure
	}
	q.awaited = ','
	return q.text[start:q.at], nil
}

func (q *quick) offset() int { return q.at }

func (q *quick) end() (more bool, err error) {
	if q.next() != 0 || q.at < len(q.text) || q.unsure {
		return false, errUnsure
	}
	return false, nil
}

// surelyValid tells whether a text is one JSON value that quick is sure of.
func surelyValid(text string) bool {
	r := readers.Get().(*reader)
	defer r.release()
	r.quick.open(text)
	if _, err := r.quick.value(); err != nil {
		return false
	}
	_, err := r.quick.end()
	return err == nil
}

// pass goes past a value of that kind. It tells whether it is sure that it is valid.
func (q *quick) pass(kind jsontext.Kind) bool {
	switch kind {
	case '"':
		_, ok := q.quoted()
		return ok
	case '0':
		return q.number()
	case '{':
		return q.object()
	case '[':
		return q.array()
	case 't':
		return q.literal("true")
	case 'f':
		return q.literal("false")
	case 'n':
		return q.literal("null")
	}
	return false
}

func (q *quick) literal(text string) bool {
	if !strings.HasPrefix(q.text[q.at:], text) {
		return false
	}
	q.at += len(text)
	return true
}

func (q *quick) object() bool {
	first := len(q.names)
	if !q.enter() {
		return false
	}
	for q.peek() != '}' {
		if _, err := q.nameSince(first); err != nil || !q.pass(q.peek()) {
			return false
		}
		q.awaited = ','
	}
	q.names = q.names[:first]
	q.leave()
	return true
}

func (q *quick) array() bool {
	if !q.enter() {
		return false
	}
	for kind := q.peek(); kind != ']'; kind = q.peek() {
		if !q.pass(kind) {
			return false
		}
		q.awaited = ','
	}
	q.leave()
	return true
}

// enter passes an opening bracket, if that is not too deep.
func (q *quick) enter() bool {
	q.at++
	q.depth++
	q.awaited = 0
	return q.depth <= quickDepth
}

func (q *quick) leave() {
	q.at++
	q.depth--
}

// number goes past a number (RFC 8259, section 6).
func (q *quick) number() bool {
	q.skip('-')
	if !q.skip('0') && !q.digits() {
		return false
	}
	if q.skip('.') && !q.digits() {
		return false
	}
	if q.skip('e') || q.skip('E') {
		_ = q.skip('+') || q.skip('-')
		return q.digits()
	}
	return true
}

func (q *quick) skip(c byte) bool {
	if q.at == len(q.text) || q.text[q.at] != c {
		return false
	}
	q.at++
	return true
}

// digits goes past at least one.
func (q *quick) digits() bool {
	start := q.at
	for q.at < len(q.text) && q.text[q.at] >= '0' && q.text[q.at] <= '9' {
		q.at++
	}
	return q.at > start
}

// quoted goes past a string.
func (q *quick) quoted() (escaped, ok bool) {
	q.at++
	start, ascii := q.at, true
	for {
		q.at = special(q.text, q.at)
		if q.at == len(q.text) {
			return escaped, false
		}
		switch c := q.text[q.at]; {
		case c == '"':
			ok := ascii || utf8.ValidString(q.text[start:q.at])
			q.at++
			return escaped, ok
		case c == '\\':
			if q.at+1 == len(q.text) || strings.IndexByte(`"\/bfnrt`, q.text[q.at+1]) < 0 {
				return true, false
			}
			escaped = true
			q.at += 2
		case c < ' ':
			return escaped, false
		default:
			ascii = false
			for q.at < len(q.text) && q.text[q.at] >= utf8.RuneSelf {
				q.at++
			}
		}
	}
}

// special returns where, from a place on, the first byte stands that is not ASCII, or may not stand in a JSON string as it is; the length where none does.
func special(s string, at int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; at+8 <= len(s); at += 8 {
		b := s[at : at+8]
		x := uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
		quote, backslash := x^ones*'"', x^ones*'\\'
		// (y - ones*n) &^ y has the high bit of a byte set where that byte of y is below n. What a borrow adds stands above such a byte.
		if found := ((quote-ones)&^quote | (backslash-ones)&^backslash | (x-ones*' ')&^x | x) & highs; found != 0 {
			return at + bits.TrailingZeros64(found)/8
		}
	}
	for ; at < len(s); at++ {
		if c := s[at]; c == '"' || c == '\\' || c < ' ' || c >= utf8.RuneSelf {
			return at
		}
	}
	return at
}
