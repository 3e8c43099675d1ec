package webhook

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"

	"code.dny.dev/ssrf"

	"github.com/streamlatch/streamlatch/router"
)

// ErrBlocked is in the chain of every error by which the guard refuses an address.
var ErrBlocked = errors.New("not a permitted target")

// Guard decides which addresses deliveries may go to: public ones, and those that the operator allows. It looks at the address
// that is dialled, after the name has been resolved, so a name that resolves differently the second time gains nothing. Refused are the special
// purpose ranges of IANA's registries (private, loopback, link-local with the clouds' metadata, carrier NAT, benchmarking, documentation, multicast,
// reserved), everything in IPv6 outside of 2000::/3, Teredo and 6to4; an IPv4 address within an IPv6 one must be permitted itself. Ports of services that would take
// the lines of a request for commands are refused everywhere (unless OnlyPorts says which ones are permitted), and our own Redis (Deny). Safe for concurrent use, once it is set up.
type Guard struct {
	ranges *ssrf.Guardian
	ports  map[uint16]bool // empty: all but linePorts

	mu     sync.RWMutex
	denied map[netip.AddrPort]struct{}
	own    map[netip.Addr]struct{} // addresses of this machine, when an address was last denied
}

// NewGuard makes a guard that permits public addresses and the given ranges (ParseTargets reads them).
func NewGuard(allowed ...netip.Prefix) *Guard {
	var v4, v6 []netip.Prefix
	for _, p := range allowed {
		if p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return &Guard{
		ranges: ssrf.New(ssrf.WithAnyPort(), ssrf.WithAllowedV4Prefixes(v4...), ssrf.WithAllowedV6Prefixes(v6...)),
		denied: map[netip.AddrPort]struct{}{},
	}
}

// OnlyPorts permits these ports and no others. It is called before the guard is used; without ports it changes nothing.
func (g *Guard) OnlyPorts(ports ...uint16) {
	g.ports = make(map[uint16]bool, len(ports))
	for _, p := range ports {
		g.ports[p] = true
	}
}

// ParseTargets reads allowed ranges as --allow-targets gives them: "10.1.0.0/16", "fd00::/8", or one address. Invalid: the first that is not one, or that
// has bits set beyond its length.
func ParseTargets(texts ...string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range texts {
		p, err := parseTarget(s)
		if err != nil {
			return nil, router.Errorf(router.Invalid, "allowed target %q: %s", cut(s, 60), err)
		}
		out = append(out, p)
	}
	return out, nil
}

func parseTarget(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, errors.New(`must be a range such as "10.1.0.0/16" or an address`)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New(`must be a range such as "10.1.0.0/16" or "fd00::/8"`)
	case p.Addr().Is4In6():
		return netip.Prefix{}, errors.New("must be written as IPv4")
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("has bits beyond its length; did you mean %s?", p.Masked())
	}
	return p, nil
}

// Deny refuses addresses with their port even where their range is allowed: those of our own Redis, which would take an HTTP request for
// commands. All addresses of this machine count as one. It may be called at any time, for each connection that is made to Redis.
func (g *Guard) Deny(addrs ...netip.AddrPort) {
	own := ownAddresses()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.own = own
	for _, a := range addrs {
		g.denied[g.deniedKey(a)] = struct{}{}
	}
}

// ownAddresses are those of this machine's interfaces, as far as it tells.
func ownAddresses() map[netip.Addr]struct{} {
	own := map[netip.Addr]struct{}{}
	list, _ := net.InterfaceAddrs() // a machine that tells none has loopback, which is known
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own[p.Addr().Unmap().WithZone("")] = struct{}{}
		}
	}
	return own
}

// deniedKey is one address for all by which a process reaches its own machine.
func (g *Guard) deniedKey(a netip.AddrPort) netip.AddrPort {
	ip := a.Addr().Unmap().WithZone("")
	if _, own := g.own[ip]; own || ip.IsLoopback() || ip.IsUnspecified() {
		ip = netip.IPv6LinkLocalAllNodes() // stands for "this machine"; nothing can be dialled there by TCP
	}
	return netip.AddrPortFrom(ip, a.Port())
}

func (g *Guard) isDenied(a netip.AddrPort) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	_, denied := g.denied[g.deniedKey(a)]
	return denied
}

// Check tells whether an address may be dialled; the error holds ErrBlocked.
func (g *Guard) Check(a netip.AddrPort) error {
	if err := g.checkPort(a.Port()); err != nil {
		return err
	}
	ip := a.Addr().Unmap().WithZone("")
	for _, means := range append(embedded(ip), ip) {
		as := fmt.Sprintf("address %s", ip)
		if means != ip {
			as += fmt.Sprintf(", which holds %s", means)
		}
		if g.isDenied(netip.AddrPortFrom(means, a.Port())) {
			return fmt.Errorf("%s with port %d is kept for Streamlatch's own storage: %w", as, a.Port(), ErrBlocked)
		}
		if g.ranges.SafeAddr(means) != nil {
			return fmt.Errorf("%s: %w", as, ErrBlocked)
		}
	}
	return nil
}

func (g *Guard) checkPort(port uint16) error {
	switch {
	case len(g.ports) > 0 && !g.ports[port]:
		return fmt.Errorf("port %d is not among those that are allowed: %w", port, ErrBlocked)
	case len(g.ports) == 0 && linePorts[port] != "":
		return fmt.Errorf("port %d is that of %s: %w", port, linePorts[port], ErrBlocked)
	}
	return nil
}

// linePorts are ports of services that would read the lines of a request one by one, and take some for commands.
var linePorts = map[uint16]string{
	21: "FTP", 22: "SSH", 23: "Telnet", 25: "SMTP", 43: "WHOIS", 53: "DNS", 70: "Gopher", 79: "Finger", 109: "POP2", 110: "POP3", 113: "Ident", 119: "NNTP",
	143: "IMAP", 194: "IRC", 465: "SMTP", 512: "rexec", 513: "rlogin", 514: "rsh", 515: "LPD", 563: "NNTP", 587: "SMTP", 873: "rsync", 993: "IMAP", 995: "POP3",
	2525: "SMTP", 4190: "ManageSieve", 5060: "SIP", 5061: "SIP", 6379: "Redis", 6667: "IRC", 6697: "IRC", 9100: "printers", 11211: "memcached", 26379: "Redis Sentinel",
}

// Prefixes of IPv6 addresses that hold an IPv4 address, to which a gateway, a relay or a translator would go on.
var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	localNAT64 = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215; where in it the address stands is up to the operator, at its end usually
	sixToFour  = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo     = netip.MustParsePrefix("2001::/32")       // RFC 4380
	siit       = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765
	compatible = netip.MustParsePrefix("::/96")           // RFC 4291, section 2.5.5.1
)

// embedded returns the IPv4 addresses within an IPv6 one. Their ranges are only permitted where the operator allows them, and then stand for IPv4 addresses
// of every kind.
func embedded(ip netip.Addr) []netip.Addr {
	if !ip.Is6() {
		return nil
	}
	b := ip.As16()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case sixToFour.Contains(ip):
		return []netip.Addr{at(2)}
	case teredo.Contains(ip):
		return []netip.Addr{at(4), netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]})} // server, and client with its bits turned
	case nat64.Contains(ip), localNAT64.Contains(ip), siit.Contains(ip), compatible.Contains(ip) && ip != netip.IPv6Loopback() && !ip.IsUnspecified():
		return []netip.Addr{at(12)}
	}
	return nil
}

// Control is a net.Dialer's Control function: it refuses an address before anything is sent to it.
func (g *Guard) Control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return fmt.Errorf("network %s: %w", network, ErrBlocked)
	}
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, ErrBlocked)
	}
	return g.Check(a)
}
