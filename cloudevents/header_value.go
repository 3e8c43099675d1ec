package cloudevents

import (
	"strings"
	"unicode/utf8"
)

// encodeHeaderValue percent-encodes an attribute's value: all but the printable ASCII characters, and the space, the double quote and the percent sign
// (HTTP protocol binding, section 3.1.3.2).
func encodeHeaderValue(s string) string {
	n := 0
	for i := range len(s) {
		if !standsInHeader(s[i]) {
			n++
		}
	}
	if n == 0 {
		return s
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+2*n)
	for i := range len(s) {
		if c := s[i]; standsInHeader(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', digits[c>>4], digits[c&15])
		}
	}
	return string(b)
}

func standsInHeader(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }

// decodeHeaderValue undoes double-quoted strings, which older senders write, and then, once, percent-encoding (HTTP protocol binding, section 3.1.3.2).
// Characters that should have been encoded are taken as they are. Which characters a value may have is not looked at, but that it is UTF-8.
func decodeHeaderValue(s string) (value, fault string) {
	value = strings.Trim(s, " \t")
	if strings.IndexByte(value, '"') >= 0 {
		if value, fault = unquoteHeader(value); fault != "" {
			return "", fault
		}
	}
	if strings.IndexByte(value, '%') >= 0 {
		if value, fault = percentDecode(value); fault != "" {
			return "", fault
		}
	}
	if !utf8.ValidString(value) {
		return "", "must be valid UTF-8"
	}
	return value, ""
}

// unquoteHeader takes the quotes and backslashes out of quoted strings (RFC 7230, section 3.2.6), wherever in the value they stand.
func unquoteHeader(s string) (value, fault string) {
	b := make([]byte, 0, len(s))
	inQuotes := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			inQuotes = !inQuotes
		case c == '\\' && inQuotes && i+1 < len(s):
			i++
			b = append(b, s[i])
		default:
			b = append(b, c)
		}
	}
	if inQuotes {
		return "", "has a double quote that is not closed"
	}
	return string(b), ""
}

func percentDecode(s string) (value, fault string) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", badPercent
		}
		high, low := hexDigit(s[i+1]), hexDigit(s[i+2])
		if high > 15 || low > 15 {
			return "", badPercent
		}
		b = append(b, high<<4|low)
		i += 2
	}
	return string(b), ""
}

const badPercent = "must be percent-encoded: two hexadecimal digits have to follow each %"

// hexDigit is the value of a hexadecimal digit, or more than 15.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
