package router

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// test is what a pattern wants of one value. A field of an event has as many values as its arrays hold; the field matches if one of them passes one of
// its tests.
type test interface {
	pass(v *value) bool
}

// textTest passes values of one kind that have this text: strings, true, false, null, and numbers beyond comparison.
type textTest struct {
	kind valueKind
	text string
}

func (t textTest) pass(v *value) bool { return v.kind == t.kind && v.text == t.text }

// numberTest passes numbers of this value.
type numberTest float64

func (t numberTest) pass(v *value) bool {
	x, ok := v.number()
	return ok && x == float64(t)
}

// number is the value of a comparable number.
func (v *value) number() (x float64, ok bool) {
	if v.kind != numberKind {
		return 0, false
	}
	return comparableNumber(v.text)
}

// rangeTest passes numbers between two bounds, which belong to the range unless they are open.
type rangeTest struct {
	low, high         float64 // infinite: no bound
	lowOpen, highOpen bool
}

func (t rangeTest) pass(v *value) bool {
	x, ok := v.number()
	return ok && x >= t.low && x <= t.high && !(t.lowOpen && x == t.low) && !(t.highOpen && x == t.high)
}

// addressTest passes strings that spell an IP address, in whatever way.
type addressTest netip.Addr

func (t addressTest) pass(v *value) bool {
	a, ok := v.address()
	return ok && a == netip.Addr(t)
}

// networkTest passes strings that spell an IP address within a network.
type networkTest netip.Prefix

func (t networkTest) pass(v *value) bool {
	a, ok := v.address()
	return ok && netip.Prefix(t).Contains(a)
}

// address is the IP address that a string spells.
func (v *value) address() (netip.Addr, bool) {
	if v.kind != stringKind {
		return netip.Addr{}, false
	}
	return parseAddress(v.text)
}

// parseAddress reads an IP address as EventBridge does: four decimal numbers, zeros before them allowed, or hexadecimal groups and colons, an
// IPv4 address mapped into IPv6 being that IPv4 address.
func parseAddress(s string) (netip.Addr, bool) {
	const longest = len("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")
	if len(s) < len("::") || len(s) > longest {
		return netip.Addr{}, false
	}
	if strings.Count(s, ".") == 3 {
		return parseIPv4(s)
	}
	if strings.ContainsAny(s, ".%") || !strings.Contains(s, ":") {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil
}

func parseIPv4(s string) (netip.Addr, bool) {
	const longest = len("255.255.255.255")
	if len(s) > longest {
		return netip.Addr{}, false
	}
	var bytes [4]byte
	for i := range bytes {
		var part string
		part, s, _ = strings.Cut(s, ".")
		n, ok := smallInteger(part)
		if !ok || part == "" || part[0] == '-' || n > 255 {
			return netip.Addr{}, false
		}
		bytes[i] = byte(n)
	}
	return netip.AddrFrom4(bytes), true
}

// prefixTest passes strings that begin with this text.
type prefixTest string

func (t prefixTest) pass(v *value) bool {
	return v.kind == stringKind && strings.HasPrefix(v.text, string(t))
}

// suffixTest passes strings that end with this text.
type suffixTest string

func (t suffixTest) pass(v *value) bool {
	return v.kind == stringKind && strings.HasSuffix(v.text, string(t))
}

// wildcardTest passes strings that fit a wildcard.
type wildcardTest struct{ wildcard }

func (t wildcardTest) pass(v *value) bool { return v.kind == stringKind && t.match(v.text) }

// foldTest passes strings that equal this text but for case.
type foldTest string

func (t foldTest) pass(v *value) bool {
	rest, ok := cutFoldedPrefix(v, string(t))
	return ok && rest == ""
}

// foldPrefixTest passes strings that begin with this text but for case.
type foldPrefixTest string

func (t foldPrefixTest) pass(v *value) bool {
	_, ok := cutFoldedPrefix(v, string(t))
	return ok
}

// foldSuffixTest passes strings that end with this text but for case.
type foldSuffixTest string

func (t foldSuffixTest) pass(v *value) bool {
	text, want := v.text, string(t)
	for want != "" && v.kind == stringKind {
		w, n := utf8.DecodeLastRuneInString(want)
		r, m := utf8.DecodeLastRuneInString(text)
		if m == 0 || !equalFolded(r, w) {
			return false
		}
		want, text = want[:len(want)-n], text[:len(text)-m]
	}
	return v.kind == stringKind
}

// cutFoldedPrefix takes want, or what equals it but for case, off the front of a string; the two may be of different length.
func cutFoldedPrefix(v *value, want string) (rest string, ok bool) {
	text := v.text
	for want != "" && v.kind == stringKind {
		w, n := utf8.DecodeRuneInString(want)
		r, m := utf8.DecodeRuneInString(text)
		if m == 0 || !equalFolded(r, w) {
			return "", false
		}
		want, text = want[n:], text[m:]
	}
	return text, v.kind == stringKind
}

// equalFolded tells whether an event's character equals a wanted one but for case, which for EventBridge is: it is the lower or the upper case of it.
func equalFolded(r, want rune) bool {
	return r == want || r == unicode.ToLower(want) || r == unicode.ToUpper(want)
}

// existsTest passes every value.
type existsTest struct{}

func (existsTest) pass(*value) bool { return true }

// exceptTest passes every value, of whatever kind, that passes none of these.
type exceptTest []test

func (t exceptTest) pass(v *value) bool {
	for _, excepted := range t {
		if excepted.pass(v) {
			return false
		}
	}
	return true
}
