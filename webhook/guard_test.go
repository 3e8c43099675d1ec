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
		err := g.Check(netip.AddrPortFrom(netip.MustParseAddr(text), 9))
		require.Equal(t, ok, err == nil, "%s: %v", text, err)
	}
}

func TestTheGuardKeepsOurOwnStorageOutOfReachEvenWhereItsRangeIsAllowed(t *testing.T) {
	g := NewGuard(mustTargets(t, "127.0.0.0/8", "::1", "10.0.0.0/8", "0.0.0.0", "::")...)
	g.Deny(netip.MustParseAddrPort("127.0.0.1:6379"), netip.MustParseAddrPort("10.0.0.5:6380"))
	for text, ok := range map[string]bool{
		"127.0.0.1:6379":          false,
		"127.9.9.9:6379":          false,
		"[::1]:6379":              false,
		"0.0.0.0:6379":            false,
		"[::]:6379":               false,
		"[::ffff:127.0.0.1]:6379": false,
		"127.0.0.1:6380":          true,
		"10.0.0.5:6380":           false,
		"[::ffff:10.0.0.5]:6380":  false,
		"10.0.0.5:6379":           true,
		"10.0.0.6:6380":           true,
	} {
		err := g.Check(netip.MustParseAddrPort(text))
		require.Equal(t, ok, err == nil, "%s: %v", text, err)
	}
	g.Deny(netip.MustParseAddrPort("10.0.0.6:6380"))
	require.ErrorIs(t, g.Check(netip.MustParseAddrPort("10.0.0.6:6380")), ErrBlocked, "a connection made later counts too")
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
