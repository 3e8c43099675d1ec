package redisstore

import (
	"crypto/tls"
	"net/url"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// ParseURL reads the address of a Redis:
//
//	redis://[user:password@]host[:port][/db]                      one server
//	unix:///path/to/socket[?db=n]                                 one server, over a socket
//	redis+sentinel://[user:password@]host[:port],…/master[?db=n]  what Sentinels at these addresses call master
//	redis+cluster://[user:password@]host[:port],…                 a Cluster, by some of its nodes
//
// With rediss in the place of redis the connection is encrypted. Sentinels that want a password of their own get it by
// ?sentinel_username= and ?sentinel_password=. Nothing of the URL but host names is ever in an error.
func ParseURL(text string) (*redis.UniversalOptions, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, router.Errorf(router.Invalid, "redis: not a URL such as redis://127.0.0.1:6379")
	}
	options := &redis.UniversalOptions{Username: u.User.Username()}
	options.Password, _ = u.User.Password()
	kind, encrypted := strings.CutPrefix(u.Scheme, "rediss")
	if !encrypted {
		kind, _ = strings.CutPrefix(u.Scheme, "redis")
	} else {
		options.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	query := u.Query()
	if err := allowOnly(query, "db", "sentinel_username", "sentinel_password"); err != nil {
		return nil, err
	}
	if options.DB, err = database(query.Get("db")); err != nil {
		return nil, err
	}
	path := strings.Trim(u.Path, "/")
	switch {
	case kind == "" && path != "":
		options.Addrs = addresses(u.Host)
		options.DB, err = database(path)
	case kind == "":
		options.Addrs = addresses(u.Host)
	case u.Scheme == "unix":
		options.Addrs = []string{u.Path}
	case kind == "+sentinel" && path != "":
		options.Addrs, options.MasterName = addresses(u.Host), path
		options.SentinelUsername, options.SentinelPassword = query.Get("sentinel_username"), query.Get("sentinel_password")
	case kind == "+sentinel":
		return nil, router.Errorf(router.Invalid, "redis: a Sentinel URL ends in the master's name: redis+sentinel://host:26379/mymaster")
	case kind == "+cluster" && path == "" && options.DB == 0:
		options.Addrs, options.IsClusterMode = addresses(u.Host), true
	case kind == "+cluster":
		return nil, router.Errorf(router.Invalid, "redis: a Cluster has database 0 only")
	default:
		return nil, router.Errorf(router.Invalid, "redis: unknown scheme %q; known are redis, rediss, unix, redis+sentinel and redis+cluster", u.Scheme)
	}
	if err == nil && options.Addrs[0] == "" {
		err = router.Errorf(router.Invalid, "redis: the URL has no host")
	}
	return options, err
}

// addresses splits a list of hosts and gives each a port.
func addresses(hosts string) []string {
	list := strings.Split(hosts, ",")
	for i, host := range list {
		if host != "" && !strings.Contains(host[strings.LastIndexByte(host, ']')+1:], ":") {
			list[i] = host + ":6379"
		}
	}
	return list
}

func database(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, router.Errorf(router.Invalid, "redis: database %q is not a number", text)
	}
	return n, nil
}

func allowOnly(query url.Values, names ...string) error {
	for name := range query {
		known := false
		for _, n := range names {
			known = known || n == name
		}
		if !known {
			return router.Errorf(router.Invalid, "redis: unknown parameter %q in the URL", name)
		}
	}
	return nil
}
