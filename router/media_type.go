package router

import "strings"

// MediaType is a media type (RFC 2045, section 5.1), as far as its parts decide how an event's data travels.
type MediaType struct {
	Type    string // lower-case: "application"
	Subtype string // lower-case: "json"
	Charset string // lower-case; "" where it is not given
}

// ParseMediaType reads a media type such as `text/plain; charset="utf-8"`; ok is false where it is not one. It takes printable ASCII only, so what it
// takes can stand in a header as it is.
func ParseMediaType(s string) (m MediaType, ok bool) {
	switch s { // by far the most frequent ones
	case "application/json":
		return MediaType{Type: "application", Subtype: "json"}, true
	case "application/cloudevents+json":
		return MediaType{Type: "application", Subtype: "cloudevents+json"}, true
	}
	kind, rest := cutToken(s)
	if kind == "" || !strings.HasPrefix(rest, "/") {
		return MediaType{}, false
	}
	subtype, rest := cutToken(rest[1:])
	if subtype == "" {
		return MediaType{}, false
	}
	m = MediaType{Type: strings.ToLower(kind), Subtype: strings.ToLower(subtype)}
	for rest = trimSpaces(rest); rest != ""; rest = trimSpaces(rest) {
		if rest, ok = m.cutParameter(rest); !ok {
			return MediaType{}, false
		}
	}
	return m, true
}

// IsJSON tells whether the type declares JSON data: */json or */*+json (CloudEvents JSON event format, section 3.1.1).
func (m MediaType) IsJSON() bool { return m.Subtype == "json" || strings.HasSuffix(m.Subtype, "+json") }

// IsUTF8 tells whether text of this type is UTF-8: the charset is utf-8, its subset us-ascii, or not given.
func (m MediaType) IsUTF8() bool {
	return m.Charset == "" || m.Charset == "utf-8" || m.Charset == "us-ascii"
}

// cutParameter takes one `; name=value` off, or a lone semicolon, which RFC 9110 (section 5.6.6) allows in a Content-Type.
func (m *MediaType) cutParameter(s string) (rest string, ok bool) {
	if s[0] != ';' {
		return s, false
	}
	s = trimSpaces(s[1:])
	if s == "" || s[0] == ';' {
		return s, true
	}
	name, rest := cutToken(s)
	if name == "" || !strings.HasPrefix(rest, "=") {
		return rest, false
	}
	value, rest, ok := cutValue(rest[1:])
	if ok && strings.EqualFold(name, "charset") {
		if m.Charset != "" {
			return rest, false
		}
		m.Charset = strings.ToLower(value)
	}
	return rest, ok
}

// cutValue takes a token or a quoted string off.
func cutValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		value, rest = cutToken(s)
		return value, rest, value != ""
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		if s[i] == '"' {
			return b.String(), s[i+1:], true
		}
		if s[i] == '\\' {
			i++
		}
		if i == len(s) || s[i] < ' ' || s[i] > '~' {
			return "", "", false
		}
		b.WriteByte(s[i])
	}
	return "", "", false
}

// cutToken takes the longest token (RFC 9110, section 5.6.2) off the front.
func cutToken(s string) (token, rest string) {
	i := 0
	for i < len(s) && tokenBytes[s[i]] {
		i++
	}
	return s[:i], s[i:]
}

// tokenBytes are the bytes that a token may have.
var tokenBytes = func() (t [256]bool) {
	for c := range 256 {
		t[c] = isAlphanumeric(byte(c))
	}
	for _, c := range []byte("!#$%&'*+-.^_`|~") {
		t[c] = true
	}
	return t
}()

func isAlphanumeric(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func trimSpaces(s string) string { return strings.Trim(s, " ") }
