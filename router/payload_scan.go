package router

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxPayloadDepth is how deep objects and arrays of a payload may lie within each other; filters see a deeper payload as absent.
const MaxPayloadDepth = 1000

// scanner reads a JSON text (RFC 8259, narrowed by RFC 7493: valid UTF-8, no lone surrogates) once, checks all of it, and hands the scalars
// that somebody asks for to a View. It copies nothing but strings with escapes.
type scanner struct {
	text  string
	pos   int
	depth int
	view  *View
	paths *paths
}

// scan reads the whole text as one value, taking what is asked for below n; false: it is not JSON.
func (s *scanner) scan(n *pathNode) bool {
	if !utf8.ValidString(s.text) || !s.value(n, 0) {
		return false
	}
	s.space()
	return s.pos == len(s.text)
}

// value reads a value that stands at n (nil: nobody asks for it) in an element of an array.
func (s *scanner) value(n *pathNode, element int32) bool {
	s.space()
	switch c := s.peek(); c {
	case '{':
		return s.enter() && s.object(n, element)
	case '[':
		return s.enter() && s.array(n, element)
	case '"':
		raw, escaped, ok := s.quoted()
		if ok && n != nil && n.users > 0 {
			if escaped {
				raw = unescaped(raw)
			}
			s.view.add(n.slot, stringKind, raw, element)
		}
		return ok
	case 't', 'f', 'n':
		return s.take(n, literalKind, element, s.literal)
	}
	return s.take(n, numberKind, element, s.number)
}

// take reads a scalar whose value is its text.
func (s *scanner) take(n *pathNode, kind valueKind, element int32, read func() bool) bool {
	start := s.pos
	if !read() {
		return false
	}
	if n != nil && n.users > 0 {
		s.view.add(n.slot, kind, s.text[start:s.pos], element)
	}
	return true
}

// enter goes over an opening bracket.
func (s *scanner) enter() bool {
	s.pos++
	s.depth++
	return s.depth <= MaxPayloadDepth
}

// closes goes over a closing bracket if that is next.
func (s *scanner) closes(bracket byte) bool {
	s.space()
	if s.peek() != bracket {
		return false
	}
	s.pos++
	s.depth--
	return true
}

// next goes over a character that must come next.
func (s *scanner) next(c byte) bool {
	s.space()
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

func (s *scanner) object(n *pathNode, element int32) bool {
	if s.closes('}') {
		return true
	}
	for {
		s.space()
		name, escaped, ok := s.quoted()
		if !ok || !s.next(':') {
			return false
		}
		if !s.value(s.member(n, name, escaped), element) {
			return false
		}
		if s.closes('}') {
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

// member is the node that a name leads to from n.
func (s *scanner) member(n *pathNode, name string, escaped bool) *pathNode {
	if n == nil || n.children.size == 0 {
		return nil
	}
	if escaped {
		name = unescaped(name)
	}
	return s.paths.below(n, name)
}

func (s *scanner) array(n *pathNode, element int32) bool {
	if s.closes(']') {
		return true
	}
	number := s.view.enterArray()
	for {
		if !s.item(n, number, element) {
			return false
		}
		if s.closes(']') {
			s.view.leaveArray(number)
			return true
		}
		if !s.next(',') {
			return false
		}
	}
}

// item reads an element of an array: scalars count as values of the array's own field.
func (s *scanner) item(n *pathNode, array, element int32) bool {
	s.space()
	if c := s.peek(); n == nil || c != '{' && c != '[' {
		return s.value(n, element)
	}
	number := s.view.enterElement(array, element)
	ok := s.value(n, number)
	s.view.leaveElement(number)
	return ok
}

// peek is the next byte, 0 at the end: no JSON token starts with it.
func (s *scanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.text) {
		switch s.text[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) literal() bool {
	for _, word := range [...]string{"true", "false", "null"} {
		if strings.HasPrefix(s.text[s.pos:], word) {
			s.pos += len(word)
			return true
		}
	}
	return false
}

func (s *scanner) number() bool {
	s.skip('-')
	if !s.skip('0') && !s.digits() {
		return false
	}
	if s.skip('.') && !s.digits() {
		return false
	}
	if s.skip('e') || s.skip('E') {
		if !s.skip('+') {
			s.skip('-')
		}
		return s.digits()
	}
	return true
}

// skip goes over c if it comes next.
func (s *scanner) skip(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.pos++
	return true
}

// digits goes over one or more digits.
func (s *scanner) digits() bool {
	start := s.pos
	for c := s.peek(); c >= '0' && c <= '9'; c = s.peek() {
		s.pos++
	}
	return s.pos > start
}

// quoted reads a string and gives what stands between the quotes.
func (s *scanner) quoted() (raw string, escaped, ok bool) {
	if s.peek() != '"' {
		return "", false, false
	}
	s.pos++
	start := s.pos
	for s.pos < len(s.text) {
		switch c := s.text[s.pos]; {
		case c == '"':
			s.pos++
			return s.text[start : s.pos-1], escaped, true
		case c == '\\':
			if !s.escape() {
				return "", false, false
			}
			escaped = true
		case c < ' ':
			return "", false, false
		default:
			s.pos++
		}
	}
	return "", false, false
}

// escape goes over a backslash and what belongs to it.
func (s *scanner) escape() bool {
	s.pos++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return true
	case 'u':
		s.pos--
		_, size := unicodeEscape(s.text[s.pos:])
		s.pos += size
		return size > 0
	}
	return false
}

// unicodeEscape reads `\uXXXX`, or two of them that are a pair of surrogates. Size is 0 where there is none, and for a lone surrogate.
func unicodeEscape(s string) (r rune, size int) {
	r, ok := hexEscape(s)
	switch {
	case !ok:
		return 0, 0
	case !utf16.IsSurrogate(r):
		return r, 6
	}
	low, ok := hexEscape(s[6:])
	if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// hexEscape reads `\uXXXX`.
func hexEscape(s string) (r rune, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, c := range []byte(s[2:6]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// unescaped is what a string says whose escapes have been checked.
func unescaped(raw string) string {
	b := make([]byte, 0, len(raw))
	for {
		i := strings.IndexByte(raw, '\\')
		if i < 0 {
			return string(append(b, raw...))
		}
		b, raw = append(b, raw[:i]...), raw[i:]
		if r, size := unicodeEscape(raw); size > 0 {
			b, raw = utf8.AppendRune(b, r), raw[size:]
			continue
		}
		b, raw = append(b, simpleEscape(raw[1])), raw[2:]
	}
}

// simpleEscape is the character that an escape of one letter stands for.
func simpleEscape(c byte) byte {
	switch c {
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return c
}
