package streamsink

import (
	"net"
	"net/netip"
	"strings"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/webhook"
)

// CheckURL tells, when a subscription is saved, whether its stream may be on the Redis of a URL (see redisstore.ParseURL): not one behind a socket of this machine. Addresses as
// hosts must be permitted by the guard, and so must localhost; other names are not looked up, since only what they stand for when dialled matters. The error is an
// *router.Error (Invalid) at "sink.redis"; it repeats nothing but an address. It fits router.Rules.
func CheckURL(g *webhook.Guard, url string) error {
	fault := urlFault(g, url)
	if fault == "" {
		return nil
	}
	return &router.Error{Code: router.Invalid, Message: "the stream is not valid", Problems: []router.Problem{{Location: "sink.redis", Message: fault}}}
}

func urlFault(g *webhook.Guard, url string) string {
	if strings.HasPrefix(url, "unix:") {
		return "must not be a socket of this machine"
	}
	options, err := redisstore.ParseURL(url)
	if e, ok := err.(*router.Error); ok { //nolint:errorlint // ParseURL's own
		return strings.TrimPrefix(e.Message, "redis: ")
	} else if err != nil {
		return "is not the URL of a Redis"
	}
	for _, address := range options.Addrs {
		if err := checkHost(g, address); err != nil {
			return err.Error() + " (allow its range with --allow-targets if it is meant; a stream on Streamlatch's own Redis names none)"
		}
	}
	return ""
}

func checkHost(g *webhook.Guard, address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		host = "127.0.0.1"
	}
	if a, err := netip.ParseAddrPort(net.JoinHostPort(host, port)); err == nil {
		return g.CheckAddress(a)
	}
	return nil
}
