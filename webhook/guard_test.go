package webhook

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func mustTargets(t testing.TB, targets ...string) []netip.Prefix {
	t.Helper()
	p, err := ParseTargets(targets...)
	require.NoError(t, err)
	return p
}

// specialAddresses are such as webhooks must not reach, with what they are.
var specialAddresses = map[string]string{
	"0.0.0.0":              "this machine",
	"0.1.2.3":              "this network",
	"10.0.0.1":             "private",
	"100.64.0.1":           "carrier NAT",
	"100.100.100.200":      "metadata of a cloud, in carrier NAT",
	"127.0.0.1":            "loopback",
	"127.255.255.254":      "loopback",
	"169.254.169.254":      "metadata of clouds",
	"172.16.0.1":           "private",
	"172.31.255.255":       "private",
	"192.0.0.192":          "metadata of a cloud, in protocol assignments",
	"192.0.2.1":            "documentation",
	"192.88.99.1":          "6to4 relay",
	"192.168.1.1":          "private",
	"198.18.0.1":           "benchmarking",
	"198.19.255.255":       "benchmarking",
	"198.51.100.1":         "documentation",
	"203.0.113.1":          "documentation",
	"224.0.0.1":            "multicast",
	"240.0.0.1":            "reserved",
	"255.255.255.255":      "broadcast",
	"::":                   "this machine",
	"::1":                  "loopback",
	"::127.0.0.1":          "IPv4-compatible",
	"::ffff:127.0.0.1":     "mapped loopback",
	"::ffff:169.254.1.1":   "mapped link-local",
	"::ffff:0:127.0.0.1":   "translated (SIIT)",
	"64:ff9b::7f00:1":      "NAT64 of loopback",
	"64:ff9b::808:808":     "NAT64",
	"64:ff9b:1::a00:1":     "local NAT64",
	"100::1":               "discard",
	"2001::1":              "Teredo",
	"2001:db8::1":          "documentation",
	"2002:7f00:1::":        "6to4 of loopback",
	"2002:0808:0808::1":    "6to4",
	"3fff::1":              "documentation",
	"fc00::1":              "unique local",
	"fd00:ec2::254":        "metadata of a cloud",
	"fd12:3456:789a::1":    "unique local",
	"fe80::1":              "link-local",
	"fe80::1%eth0":         "link-local",
	"fec0::1":              "site-local",
	"ff02::1":              "multicast",
	"2606:4700::1111%eth0": "", // public: a zone changes nothing
	"8.8.8.8":              "",
	"100.63.255.255":       "",
	"100.128.0.1":          "",
	"172.15.255.255":       "",
	"172.32.0.1":           "",
	"223.255.255.255":      "",
	"::ffff:8.8.8.8":       "",
	"2606:4700::1111":      "",
}

func TestTheGuardPermitsPublicAddressesOnly(t *testing.T) {
	g := NewGuard()
	for text, what := range specialAddresses {
		address := netip.AddrPortFrom(netip.MustParseAddr(text), 443).String()
		network := "tcp4"
		if netip.MustParseAddr(text).Is6() {
			network = "tcp6"
		}
		err := g.Control(network, address, nil)
		if what == "" {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorIs(t, err, ErrBlocked, "%s (%s)", text, what)
	}
}

func TestTheGuardRefusesWhatItCannotRead(t *testing.T) {
	g := NewGuard(mustTargets(t, "0.0.0.0/0", "::/0")...)
	for network, address := range map[string]string{"unix": "/run/x.sock", "udp4": "8.8.8.8:80", "tcp": "8.8.8.8:80", "tcp4": "example.com:80", "tcp6": ""} {
		require.ErrorIs(t, g.Control(network, address, nil), ErrBlocked, network)
	}
}

func TestTheGuardPermitsAllowedRangesAndNoMore(t *testing.T) {
	g := NewGuard(mustTargets(t, "127.0.0.1", "10.1.0.0/16", "fd00:1::/32", "64:ff9b::/96")...)
	for text, ok := range map[string]bool{
		"127.0.0.1":        true,
		"::ffff:127.0.0.1": true, // the same address in another form
		"127.0.0.2":        false,
		"::1":              false,
		"10.1.255.255":     true,
		"10.2.0.0":         false,
		"fd00:1::9":        true,
		"fd00:2::9":        false,
		"64:ff9b::808:808": true,
		"64:ff9b::a00:1":   false, // 10.0.0.1 behind NAT64
		"64:ff9b::a01:1":   true,  // 10.1.0.1, which is allowed
		"169.254.169.254":  false,
		"8.8.8.8":          true,
	} {
		err := g.Check(netip.AddrPortFrom(netip.MustParseAddr(text), 8443))
		require.Equal(t, ok, err == nil, "%s: %v", text, err)
	}
}

func TestTheGuardKeepsOurOwnStorageOutOfReachEvenWhereItsRangeIsAllowed(t *testing.T) {
	g := NewGuard(mustTargets(t, "0.0.0.0/0", "::/0")...)
	g.Deny(netip.MustParseAddrPort("127.0.0.1:7000"), netip.MustParseAddrPort("10.0.0.5:7001"))
	for text, ok := range map[string]bool{
		"127.0.0.1:7000":                   false,
		"127.9.9.9:7000":                   false,
		"[::1]:7000":                       false,
		"0.0.0.0:7000":                     false,
		"[::]:7000":                        false,
		"[::ffff:127.0.0.1]:7000":          false,
		"[64:ff9b::7f00:1]:7000":           false,
		"[2002:7f00:1::]:7000":             false,
		"127.0.0.1:7001":                   true,
		"10.0.0.5:7001":                    false,
		"[::ffff:10.0.0.5]:7001":           false,
		"[64:ff9b::a00:5]:7001":            false,
		"[64:ff9b:1::a00:5]:7001":          false,
		"[2002:a00:5::1]:7001":             false,
		"[2001:0:a00:5::1]:7001":           false, // the server of a Teredo tunnel
		"[2001:0:808:808::f5ff:fffa]:7001": false, // its client, with its bits turned
		"[2001:0:808:808::1]:7001":         true,
		"10.0.0.5:7000":                    true,
		"10.0.0.6:7001":                    true,
	} {
		err := g.Check(netip.MustParseAddrPort(text))
		require.Equal(t, ok, err == nil, "%s: %v", text, err)
	}
	g.Deny(netip.MustParseAddrPort("10.0.0.6:7001"))
	require.ErrorIs(t, g.Check(netip.MustParseAddrPort("10.0.0.6:7001")), ErrBlocked, "a connection made later counts too")
	for own := range ownAddresses() {
		require.ErrorIs(t, g.Check(netip.AddrPortFrom(own, 7000)), ErrBlocked, "%s is this machine as well", own)
	}
}

// specialRanges are all of IANA's registries of special purpose addresses (of 2026) that are not public, and what else must not be reached.
var specialRanges = map[string]string{
	"0.0.0.0/8": "this network", "10.0.0.0/8": "private", "100.64.0.0/10": "carrier NAT", "127.0.0.0/8": "loopback", "169.254.0.0/16": "link-local",
	"172.16.0.0/12": "private", "192.0.0.0/24": "protocol assignments", "192.0.2.0/24": "documentation", "192.88.99.0/24": "6to4 relays", "192.168.0.0/16": "private",
	"198.18.0.0/15": "benchmarking", "198.51.100.0/24": "documentation", "203.0.113.0/24": "documentation", "224.0.0.0/4": "multicast", "240.0.0.0/4": "reserved",
	"::/128": "unspecified", "::1/128": "loopback", "::/96": "IPv4-compatible", "::ffff:0:0:0/96": "SIIT", "64:ff9b::/96": "NAT64", "64:ff9b:1::/48": "local NAT64",
	"100::/64": "discard", "100:0:0:1::/64": "dummy", "2001::/32": "Teredo", "2001:2::/48": "benchmarking", "2001:10::/28": "ORCHID",
	"2001:db8::/32": "documentation", "2002::/16": "6to4", "3fff::/20": "documentation", "5f00::/16": "segment routing", "fc00::/7": "unique local", "fe80::/10": "link-local",
	"fec0::/10": "site-local", "ff00::/8": "multicast", "4000::/3": "unassigned", "8000::/1": "unassigned, in part",
}

// bounds are the first and the last address of a range.
func bounds(p netip.Prefix) []netip.Addr {
	last := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < 8*len(last); i++ {
		last[i/8] |= 1 << (7 - i%8)
	}
	end, _ := netip.AddrFromSlice(last)
	return []netip.Addr{p.Masked().Addr(), end}
}

func TestTheGuardRefusesEverySpecialRangeFromEndToEndInEveryForm(t *testing.T) {
	g := NewGuard()
	for text, what := range specialRanges {
		for _, a := range bounds(netip.MustParsePrefix(text)) {
			forms := []netip.Addr{a}
			if a.Is4() {
				b := a.As4()
				forms = append(forms, netip.AddrFrom16(a.As16()), // mapped
					netip.AddrFrom16([16]byte{0x20, 0x02, b[0], b[1], b[2], b[3]}), netip.AddrFrom16([16]byte{0, 0x64, 0xff, 0x9b, 12: b[0], b[1], b[2], b[3]}))
			}
			for _, form := range forms {
				require.ErrorIs(t, g.Check(netip.AddrPortFrom(form, 443)), ErrBlocked, "%s of %s (%s)", form, text, what)
			}
		}
	}
}

func TestAnIPv4AddressWithinAnAllowedRangeOfIPv6MustBePermittedItself(t *testing.T) {
	g := NewGuard(mustTargets(t, "::/0", "10.1.0.0/16")...)
	for text, ok := range map[string]bool{
		"64:ff9b::808:808": true, "64:ff9b::a01:1": true, "64:ff9b::a02:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b:1::7f00:1": false,
		"2002:808:808::1": true, "2002:a01:1::1": true, "2002:7f00:1::1": false, "2001:0:808:808::1": false, /* client 255.255.255.254 */
		"2001:0:808:808::f7f7:f7f7": true, "2001:0:7f00:1::f7f7:f7f7": false, "::ffff:0:127.0.0.1": false, "::ffff:0:8.8.8.8": true, "::127.0.0.1": false, "::8.8.8.8": true,
		"::ffff:10.2.0.1": false, "::1": true, "fd00::1": true,
	} {
		err := g.Check(netip.AddrPortFrom(netip.MustParseAddr(text), 443))
		require.Equal(t, ok, err == nil, "%s: %v", text, err)
	}
}

func TestPortsOfServicesThatTakeLinesForCommandsAreRefusedEverywhere(t *testing.T) {
	g := NewGuard(mustTargets(t, "10.0.0.0/8")...)
	for port, service := range linePorts {
		for _, ip := range []string{"8.8.8.8", "10.0.0.1", "2606:4700::1111"} {
			err := g.Check(netip.AddrPortFrom(netip.MustParseAddr(ip), port))
			require.ErrorIs(t, err, ErrBlocked)
			require.ErrorContains(t, err, service)
		}
	}
	for _, port := range []uint16{80, 443, 3000, 5000, 8000, 8080, 8443, 9000, 9443, 65535} {
		require.NoError(t, g.Check(netip.AddrPortFrom(netip.MustParseAddr("8.8.8.8"), port)))
	}
	g.OnlyPorts(443, 25)
	for port, ok := range map[uint16]bool{443: true, 25: true, 80: false, 8443: false} {
		err := g.Check(netip.AddrPortFrom(netip.MustParseAddr("8.8.8.8"), port))
		require.Equal(t, ok, err == nil, "%d: %v", port, err)
	}
	require.ErrorContains(t, g.CheckURL("http://x.example/"), "port 80 is not among those that are allowed")
	require.NoError(t, g.CheckURL("https://x.example/"))
}

func TestParseTargetsNamesWhatIsNotARange(t *testing.T) {
	require.Equal(t, []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.168.1.7/32"), netip.MustParsePrefix("fd00::/8"),
		netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.1/32"),
	}, mustTargets(t, "10.0.0.0/8", "192.168.1.7", "fd00::/8", "::1", "::ffff:127.0.0.1"))
	for _, bad := range []string{"", "localhost", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "/8", "10/8", "fe80::1%eth0", "fe80::%eth0/64", "::ffff:10.0.0.0/104", "10.0.0.0/8 ", "10.0.0.0-10.0.0.9"} {
		_, err := ParseTargets("10.0.0.0/8", bad)
		require.ErrorContains(t, err, `"`+bad+`"`)
		require.Equal(t, router.Invalid, router.ErrorCode(err))
	}
}
