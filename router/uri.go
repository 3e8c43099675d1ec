package router

import (
	"fmt"
	"net/netip"
	"strings"
)

// What a byte may be in a URI (RFC 3986, section 2 and appendix A).
const (
	uriPlain    byte = 1 << iota // anywhere
	uriPercent                   // starts an encoded byte
	uriColon                     // ends a scheme
	uriHash                      // starts the fragment
	uriBrackets                  // only around an IP address
)

// uriBytes classifies every byte; 0 may not stand in a URI.
var uriBytes = func() (t [256]byte) {
	for c := range 256 {
		if isAlphanumeric(byte(c)) {
			t[c] = uriPlain
		}
	}
	for _, c := range []byte("-._~!$&'()*+,;=@/?") {
		t[c] = uriPlain
	}
	t['%'], t[':'], t['#'], t['['], t[']'] = uriPercent, uriColon, uriHash, uriBrackets, uriBrackets
	return t
}()

// uriFault says why s is not a URI reference (RFC 3986, section 4.1), or with absolute, not a URI with a scheme. "" is no fault. A URI's fragment
// is allowed although section 4.3 has none: schemas are often named with one.
func uriFault(s string, absolute bool) string {
	seen, fault := scanURI(s)
	if fault != "" {
		return fault
	}
	if !absolute && seen&^uriPlain == 0 && !strings.HasPrefix(s, "//") {
		return ""
	}
	scheme, rest, fault := cutScheme(s)
	switch {
	case fault != "":
		return fault
	case absolute && scheme == "":
		return "must be an absolute URI, with a scheme"
	}
	hier, fragment, _ := strings.Cut(rest, "#")
	hier, query, _ := strings.Cut(hier, "?")
	authority, path := cutAuthority(hier)
	switch {
	case strings.Contains(fragment, "#"):
		return "must be a URI reference: it has two fragments"
	case strings.ContainsAny(path, "[]"), strings.ContainsAny(query, "[]"), strings.ContainsAny(fragment, "[]"):
		return "must be a URI reference: [ and ] may only stand around an IP address"
	case !validAuthority(authority):
		return "must be a URI reference: its host, port or user is ill-formed"
	}
	return ""
}

// scanURI checks the bytes one by one and returns which classes it has met.
func scanURI(s string) (seen byte, fault string) {
	for i := range len(s) {
		class := uriBytes[s[i]]
		if class == 0 {
			return seen, fmt.Sprintf("must be a URI reference: %s has to be percent-encoded", quoteFirstRune(s[i:]))
		}
		if class == uriPercent && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
			return seen, "must be a URI reference: a % has to be followed by two hexadecimal digits"
		}
		seen |= class
	}
	return seen, ""
}

// cutScheme takes the scheme off, if there is one.
func cutScheme(s string) (scheme, rest, fault string) {
	i := strings.IndexAny(s, ":/?#")
	if i < 0 || s[i] != ':' {
		return "", s, ""
	}
	for j := range i {
		c := s[j]
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (j == 0 || !isAlphanumeric(c) && c != '+' && c != '-' && c != '.') {
			i = 0
			break
		}
	}
	if i == 0 {
		return "", "", "must be a URI reference: what stands before its first colon is not a scheme"
	}
	return s[:i], s[i+1:], ""
}

func cutAuthority(s string) (authority, path string) {
	if !strings.HasPrefix(s, "//") {
		return "", s
	}
	if i := strings.IndexByte(s[2:], '/'); i >= 0 {
		return s[2 : i+2], s[i+2:]
	}
	return s[2:], ""
}

// validAuthority checks [user@]host[:port] (RFC 3986, section 3.2).
func validAuthority(s string) bool {
	if user, host, ok := strings.Cut(s, "@"); ok {
		if strings.ContainsAny(user, "[]") {
			return false
		}
		s = host
	}
	if strings.HasPrefix(s, "[") {
		address, port, ok := strings.Cut(s[1:], "]")
		return ok && validIPLiteral(address) && (port == "" || port[0] == ':' && isDigits(port[1:]))
	}
	host, port, _ := strings.Cut(s, ":")
	return !strings.ContainsAny(host, "[]@") && isDigits(port)
}

func validIPLiteral(s string) bool {
	if version, address, ok := strings.Cut(s, "."); ok && len(version) > 1 && version[0]|0x20 == 'v' {
		return address != "" && !strings.ContainsAny(address, "%/?@[")
	}
	address, err := netip.ParseAddr(s)
	return err == nil && address.Is6() && address.Zone() == ""
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f'
}
