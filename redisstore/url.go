package redisstore

import (
	"crypto/tls"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// ParseURL reads the address of a Redis:
//
//	redis://[user:password@]host[:port][/db]                      one server
//	unix:///path/to/socket[?db=n]                                 one server, over a socket
//	redis+sentinel://[user:password@]host[:port],…/master[?db=n]  what Sentinels at these addresses (port 26379) call master
//	redis+cluster://[user:password@]host[:port],…                 a Cluster, by some of its nodes
//
// With rediss in the place of redis the connection is encrypted. Sentinels that want a password of their own get it by
// ?sentinel_username= and ?sentinel_password=. Nothing of the URL but host names is ever in an error.
func ParseURL(text string) (*redis.UniversalOptions, error) {
	rest, hosts := cutHosts(text)
	u, err := url.Parse(rest)
	if err != nil {
		return nil, router.Errorf(router.Invalid, "redis: not a URL such as redis://127.0.0.1:6379")
	}
	if u.Fragment != "" {
		return nil, router.Errorf(router.Invalid, "redis: a # in a URL is written %%23")
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
	if err := locate(options, u, kind, hosts); err != nil {
		return nil, err
	}
	return options, nil
}

// cutHosts takes the list of hosts out of a URL: package net/url reads only one.
func cutHosts(text string) (rest, hosts string) {
	scheme, place, ok := strings.Cut(text, "://")
	if !ok {
		return text, ""
	}
	end := strings.IndexAny(place, "/?#")
	if end < 0 {
		end = len(place)
	}
	start := strings.LastIndexByte(place[:end], '@') + 1
	return scheme + "://" + place[:start] + place[end:], place[start:end]
}

// locate reads hosts and path, whose meaning depends on the kind of URL: what its scheme has behind redis or rediss.
func locate(options *redis.UniversalOptions, u *url.URL, kind, hosts string) (err error) {
	path := strings.Trim(u.Path, "/")
	switch {
	case kind == "" && strings.Contains(hosts, ","):
		return router.Errorf(router.Invalid, "redis: several hosts are those of Sentinels (redis+sentinel) or of a Cluster (redis+cluster)")
	case kind == "":
		if path != "" {
			if options.DB, err = database(path); err != nil {
				return err
			}
		}
		options.Addrs, err = addresses(hosts, redisPort)
	case u.Scheme == "unix" && (hosts != "" || u.Path == ""):
		return router.Errorf(router.Invalid, "redis: the path of a socket is absolute: unix:///path/to/socket")
	case u.Scheme == "unix":
		options.Addrs = []string{u.Path}
	case kind == "+sentinel" && path != "":
		options.MasterName = path
		options.Addrs, err = addresses(hosts, sentinelPort)
		options.SentinelUsername, options.SentinelPassword = u.Query().Get("sentinel_username"), u.Query().Get("sentinel_password")
	case kind == "+sentinel":
		return router.Errorf(router.Invalid, "redis: a Sentinel URL ends in the master's name: redis+sentinel://host:26379/mymaster")
	case kind == "+cluster" && path == "" && options.DB == 0:
		options.IsClusterMode = true
		options.Addrs, err = addresses(hosts, redisPort)
	case kind == "+cluster":
		return router.Errorf(router.Invalid, "redis: a Cluster has database 0 only")
	default:
		return router.Errorf(router.Invalid, "redis: unknown scheme; known are redis, rediss, unix, redis+sentinel and redis+cluster")
	}
	return err
}

const redisPort, sentinelPort = "6379", "26379"

var hostPattern = regexp.MustCompile(`^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$`)

// addresses splits a list of hosts and gives those a port that have none.
func addresses(hosts, port string) ([]string, error) {
	list := strings.Split(hosts, ",")
	for i, host := range list {
		found := hostPattern.FindStringSubmatch(host)
		switch {
		case host == "":
			return nil, router.Errorf(router.Invalid, "redis: the URL has no host")
		case found == nil:
			return nil, router.Errorf(router.Invalid, "redis: a host is a name, an IPv4 address or an IPv6 address in brackets, and may have a port")
		case found[1] == "":
			list[i] = host + ":" + port
		}
	}
	return list, nil
}

func database(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, router.Errorf(router.Invalid, "redis: the database is not a number")
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
			return router.Errorf(router.Invalid, "redis: unknown parameter in the URL; known are db, sentinel_username and sentinel_password")
		}
	}
	return nil
}
