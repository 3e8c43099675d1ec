package webhook

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// truncate keeps at most n bytes of text, without tearing a character.
func truncate(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// cut is truncate that shows it.
func cut(s string, n int) string {
	if short := truncate(s, n); len(short) < len(s) {
		return short + "…"
	}
	return s
}

// Printable makes text of unknown origin fit for a message: valid UTF-8, without control characters or such as turn the direction of
// writing, at most 300 bytes.
func Printable(s string) string {
	clean := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '�'
	}, s)
	return cut(clean, 300)
}
