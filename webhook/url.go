package webhook

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// CheckURL tells, when a subscription is saved, whether webhooks may go to a URL: absolute, http or https, with a host, without user, password or
// fragment, in plain ASCII, at most router.MaxSinkURL bytes. An address as host, and a name of this machine, must be permitted by the guard; other names are not
// looked up, since only what they stand for when dialled matters. The error is an *router.Error (Invalid) at "sink.url"; it does not repeat the URL, whose path or query may be secret. It fits router.Rules.
func (g *Guard) CheckURL(raw string) error {
	u, fault := parseURL(raw)
	if fault == "" {
		fault = g.hostFault(u)
	}
	if fault == "" {
		return nil
	}
	return refusal(router.Problem{Location: "sink.url", Message: fault})
}

// parseURL reads a target's URL; fault says what is wrong with it, without repeating it.
func parseURL(raw string) (u *url.URL, fault string) {
	if len(raw) > router.MaxSinkURL {
		return nil, fmt.Sprintf("must have at most %d bytes", router.MaxSinkURL)
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c > '~' || c == '\\' {
			return nil, "must be plain ASCII without spaces: write other characters percent-encoded, and in the host as punycode (xn--…)"
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, "is not a valid URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "must start with http:// or https://"
	case u.Hostname() == "": // also of "http:host", which has no //
		return nil, "has no host"
	case u.User != nil:
		return nil, "must not hold a user or password; use a header"
	case strings.Contains(raw, "#"):
		return nil, "must not have a fragment (#)"
	case !validPort(u):
		return nil, "has a port that is not a number from 1 to 65535"
	}
	return u, hostNameFault(u.Hostname())
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0
}

// hostNameFault says what is wrong with a host that is not an address in its usual form. Beside the rules of DNS it refuses what some resolvers take
// for an address and others for a name: "127.1", "2130706433", "0x7f.1" (WHATWG URL, section 3.5, "ends in a number").
func hostNameFault(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		if a.Zone() != "" {
			return "must not name a network interface in its address"
		}
		return ""
	}
	name := strings.TrimSuffix(host, ".")
	labels := strings.Split(name, ".")
	if len(name) > 253 {
		return "has a host name of more than 253 characters"
	}
	for _, l := range labels {
		if !validLabel(l) {
			return "has a host that is neither a valid name nor an address"
		}
	}
	if last := strings.ToLower(labels[len(labels)-1]); strings.Trim(last, "0123456789") == "" || strings.HasPrefix(last, "0x") && strings.Trim(last[2:], "0123456789abcdef") == "" {
		return "has a host that is not a complete IPv4 address (four decimal numbers) and not a name"
	}
	return ""
}

// validLabel takes underscores too: names within a cluster have them.
func validLabel(l string) bool {
	if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
		return false
	}
	for i := range len(l) {
		if c := l[i]; !isAlphaNumeric(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isAlphaNumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// hostFault asks the guard about hosts whose address is known without a look-up.
func (g *Guard) hostFault(u *url.URL) string {
	port := uint16(80)
	if u.Scheme == "https" {
		port = 443
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		port = uint16(n)
	}
	if err := g.checkPort(port); err != nil {
		return err.Error() + " (--allow-ports decides)"
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		return guardFault(g.Check(netip.AddrPortFrom(a, port)))
	}
	if !isLocalName(u.Hostname()) {
		return ""
	}
	// One of the two is enough: which of them the name stands for is seen when it is dialled.
	v4 := g.Check(netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port))
	if v4 == nil || g.Check(netip.AddrPortFrom(netip.IPv6Loopback(), port)) == nil {
		return ""
	}
	return guardFault(v4)
}

func guardFault(err error) string {
	if err == nil {
		return ""
	}
	return err.Error() + " (allow its range with --allow-targets if it is meant)"
}

// isLocalName knows the names of the own machine (RFC 6761, section 6.3) and those that common hosts files add.
func isLocalName(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	switch name {
	case "localhost", "localhost.localdomain", "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback":
		return true
	}
	return strings.HasSuffix(name, ".localhost")
}
