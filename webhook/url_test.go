package webhook

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestCheckURLTakesWebAddresses(t *testing.T) {
	for _, ok := range []string{
		"https://billing.example/hook",
		"http://billing.example",
		"HTTPS://Billing.Example:8443/a/b?token=x&y=%20",
		"https://xn--bcher-kva.example/",
		"https://billing.example./hook",
		"https://8.8.8.8/",
		"https://[2606:4700::1111]:8443/",
		"http://my_service:8080/hook",
		"http://service/",
		"http://x:9000/",
		"https://metadata.google.internal/", // a name: what it stands for is seen when it is dialled
		"https://1e100.net/",
		"https://0xdeadbeef.example/",
		"https://a.example/" + strings.Repeat("x", 1900),
	} {
		require.NoError(t, NewGuard().CheckURL(ok), ok)
	}
}

func TestCheckURLRefusesWithAReasonThatDoesNotRepeatIt(t *testing.T) {
	for in, reason := range map[string]string{
		"":                                                 "must start with http",
		"billing.example/hook":                             "must start with http",
		"//billing.example/hook":                           "must start with http",
		"file:///etc/passwd":                               "must start with http",
		"gopher://127.0.0.1:6379/_":                        "must start with http",
		"ftp://billing.example":                            "must start with http",
		"javascript:alert(1)":                              "must start with http",
		"http:billing.example":                             "has no host",
		"http://":                                          "has no host",
		"http:///hook":                                     "has no host",
		"http://:80/hook":                                  "has no host",
		"http://user:hunter2@x.example":                    "user or password",
		"http://a@127.0.0.1/":                              "user or password",
		"http://@x.example/":                               "user or password",
		"http://x.example/#part":                           "fragment",
		"http://x.example/#":                               "fragment",
		"http://x.example:0/":                              "port",
		"http://x.example:25/":                             "port 25 is that of SMTP",
		"http://x.example:6379/":                           "port 6379 is that of Redis",
		"https://x.example:6379/":                          "--allow-ports",
		"http://8.8.8.8:11211/":                            "port 11211 is that of memcached",
		"http://%31%32%37.0.0.1/":                          "not a valid URL",
		"http://0/":                                        "complete IPv4",
		"http://[::ffff:127.0.0.1]/":                       "127.0.0.1: not a permitted target",
		"http://[64:ff9b::7f00:1]/":                        "not a permitted target",
		"http://[2002:7f00:1::]/":                          "not a permitted target",
		"http://x.example:/":                               "port",
		"http://x.example:65536/":                          "port",
		"http://x.example:http/":                           "not a valid URL",
		"http://x.example:-1/":                             "not a valid URL",
		"http://[fe80::1%25eth0]/":                         "network interface",
		"http://[::1":                                      "not a valid URL",
		"http://[127.0.0.1]/":                              "not", // brackets are for IPv6 only
		"http://x y/":                                      "plain ASCII",
		"http://x.example/a b":                             "plain ASCII",
		"http://x.example/\r\nHost: y":                     "plain ASCII",
		"http://x.example/\x00":                            "plain ASCII",
		"http://good.example\\@evil/":                      "plain ASCII",
		"http://①②⑦.0.0.1/":                                "punycode",
		"http://127。0。0。1/":                                "punycode",
		"http://exаmple.com/":                              "punycode", // with a Cyrillic а
		"http://bücher.example/":                           "punycode",
		"http://x.example/?q=ü":                            "percent-encoded",
		"http://127.1/":                                    "complete IPv4",
		"http://2130706433/":                               "complete IPv4",
		"http://0x7f000001/":                               "complete IPv4",
		"http://0X7F.1/":                                   "complete IPv4",
		"http://127.0.0.0x1/":                              "complete IPv4",
		"http://0177.0.0.1/":                               "complete IPv4",
		"http://127.0.0.1.:80/":                            "complete IPv4",
		"http://1.2.3.4.5/":                                "complete IPv4",
		"http://x..example/":                               "neither a valid name",
		"http://-x.example/":                               "neither a valid name",
		"http://.x.example/":                               "neither a valid name",
		"http://x.example../":                              "neither a valid name",
		"http://*.example/":                                "neither a valid name",
		"http://x%41.example/":                             "not",
		"http://" + strings.Repeat("a", 64) + ".example/":  "neither a valid name",
		"http://" + strings.Repeat("a", 300) + ".example/": "253",
		"http://" + strings.Repeat("a.", 127) + "aa/":      "253",
		"http://x.example/" + strings.Repeat("a", router.MaxSinkURL): "at most",
	} {
		err := NewGuard().CheckURL(in)
		require.ErrorContains(t, err, reason, "%q", in)
		require.Equal(t, router.Invalid, router.ErrorCode(err))
		require.ErrorContains(t, err, "sink.url: ")
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestCheckURLAsksTheGuardAboutAddressesAndLocalNames(t *testing.T) {
	for address, what := range specialAddresses {
		a := netip.MustParseAddr(address)
		if a.Zone() != "" {
			continue
		}
		host := address
		if a.Is6() {
			host = "[" + address + "]"
		}
		require.Equal(t, what == "", NewGuard().CheckURL("http://"+host+":8080/x") == nil, "%s", address)
	}
	for _, name := range []string{"localhost", "LOCALHOST", "localhost.", "a.localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback", "localhost6"} {
		raw := "http://" + name + ":8080/"
		require.ErrorContains(t, NewGuard().CheckURL(raw), "--allow-targets", name)
		require.NoError(t, NewGuard(mustTargets(t, "127.0.0.0/8")...).CheckURL(raw), name)
		require.NoError(t, NewGuard(mustTargets(t, "::1")...).CheckURL(raw), name)
	}
	require.NoError(t, NewGuard().CheckURL("http://localhost.example/"))
}

func TestCheckURLKnowsThePortThatASchemeMeans(t *testing.T) {
	g := NewGuard(mustTargets(t, "127.0.0.0/8", "::1")...)
	g.Deny(netip.MustParseAddrPort("127.0.0.1:443"), netip.MustParseAddrPort("127.0.0.1:7000"))
	require.ErrorContains(t, g.CheckURL("https://127.0.0.1/"), "storage")
	require.ErrorContains(t, g.CheckURL("http://localhost:7000/"), "storage")
	require.NoError(t, g.CheckURL("http://127.0.0.1/"))
	require.NoError(t, g.CheckURL("https://localhost:444/"))
}

func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://billing.example/hook?x=1", "http://127.1", "http://[::1]:80/", "http://a@b/", "http://x:0", "http:x", "http://[fe80::1%25eth0]", "http://0x7f.1",
		"http://x.example/\\", "http://localhost:80/#", "http://[::ffff:10.0.0.1]/", "HTTP://LOCALHOST",
	} {
		f.Add(seed)
	}
	g := NewGuard()
	f.Fuzz(func(t *testing.T, raw string) {
		if g.CheckURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, u.Scheme)
		require.Nil(t, u.User)
		require.NotEmpty(t, u.Hostname())
		if a, err := netip.ParseAddr(u.Hostname()); err == nil {
			require.NoError(t, g.Check(netip.AddrPortFrom(a, 80)))
		} else {
			require.False(t, isLocalName(u.Hostname()))
		}
		_, fault := parseURL(u.String())
		require.Empty(t, fault, "what is taken stays valid as net/url prints it")
	})
}
