package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"syscall"

	"code.dny.dev/ssrf"

	"github.com/streamlatch/streamlatch/router"
)

// ErrBlocked is in the chain of every error by which the guard refuses an address.
var ErrBlocked = errors.New("not a permitted target")

// Guard decides which addresses webhooks may go to: public ones, and those that the operator allows. It looks at the address
// that is dialled, after the name has been resolved, so a name that resolves differently the second time gains nothing. Refused are the special
// purpose ranges of IANA's registries (private, loopback, link-local with the clouds' metadata, carrier NAT, benchmarking, documentation, multicast,
// reserved), everything in IPv6 outside of 2000::/3, and 6to4; an IPv4 address within an IPv6 one counts as what it is. Safe for concurrent use.
type Guard struct {
	ranges *ssrf.Guardian

	mu     sync.RWMutex
	denied map[netip.AddrPort]struct{}
}

// NewGuard makes a guard that permits public addresses and the given ranges (ParseTargets reads them), on any port.
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
// commands. All loopback addresses of one port count as one. It may be called at any time, for each connection that is made to Redis.
func (g *Guard) Deny(addrs ...netip.AddrPort) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, a := range addrs {
		g.denied[deniedKey(a)] = struct{}{}
	}
}

// deniedKey is one address for all by which a process reaches its own machine.
func deniedKey(a netip.AddrPort) netip.AddrPort {
	ip := a.Addr().Unmap().WithZone("")
	if ip.IsLoopback() || ip.IsUnspecified() {
		ip = netip.IPv6LinkLocalAllNodes() // stands for "this machine"; nothing can be dialled there by TCP
	}
	return netip.AddrPortFrom(ip, a.Port())
}

// Check tells whether an address may be dialled; the error holds ErrBlocked.
func (g *Guard) Check(a netip.AddrPort) error {
	ip := a.Addr().Unmap().WithZone("")
	g.mu.RLock()
	_, denied := g.denied[deniedKey(a)]
	g.mu.RUnlock()
	if denied {
		return fmt.Errorf("%s is kept for Streamlatch's own storage: %w", netip.AddrPortFrom(ip, a.Port()), ErrBlocked)
	}
	if g.ranges.SafeAddr(ip) != nil {
		return fmt.Errorf("address %s: %w", ip, ErrBlocked)
	}
	if v4, ok := translated(ip); ok && g.ranges.SafeAddr(v4) != nil {
		return fmt.Errorf("address %s, which stands for %s: %w", ip, v4, ErrBlocked)
	}
	return nil
}

// translated returns the IPv4 address that a NAT64 gateway would connect to (RFC 6052). Such addresses are only permitted where the operator allows
// their range, and then stand for IPv4 addresses of every kind.
func translated(ip netip.Addr) (netip.Addr, bool) {
	if !ssrf.IPv6NAT64Prefix.Contains(ip) {
		return netip.Addr{}, false
	}
	b := ip.As16()
	return netip.AddrFrom4([4]byte(b[12:])), true
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
