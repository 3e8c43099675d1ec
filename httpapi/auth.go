package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// authenticate tells who makes a request and whether they may.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request, needed Scope) (*caller, error) {
	if len(s.callers) == 0 {
		return s.anybody, s.checkLocal(r)
	}
	if needed == open {
		return s.anybody, nil
	}
	c, err := s.keyOwner(w, r)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(c.scopes, needed) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="streamlatch", error="insufficient_scope", scope="`+string(needed)+`"`)
		return nil, router.Errorf(router.Forbidden, "the API key lacks the scope %q", string(needed))
	}
	return c, nil
}

// keyOwner finds whose API key the request has (RFC 6750).
func (s *Server) keyOwner(w http.ResponseWriter, r *http.Request) (*caller, error) {
	given := r.Header.Get("Authorization")
	if given == "" {
		w.Header().Set("WWW-Authenticate", `Bearer realm="streamlatch"`)
		return nil, router.Errorf(router.Unauthorized, "send an API key: authorization: Bearer slk_…")
	}
	if scheme, key, ok := strings.Cut(given, " "); ok && strings.EqualFold(scheme, "Bearer") {
		if c := s.callers.find(strings.TrimSpace(key)); c != nil {
			return c, nil
		}
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="streamlatch", error="invalid_token"`)
	return nil, router.Errorf(router.Unauthorized, "the API key is not valid")
}

// checkLocal protects a server without keys, which listens on loopback, from web pages in a browser on the same machine: from names that are made to
// stand for loopback (DNS rebinding), and from requests that pages of other sites send.
func (s *Server) checkLocal(r *http.Request) error {
	if !s.isOwnHost(r.Host) {
		return router.Errorf(router.Forbidden, "while no API keys are configured, requests have to be to localhost or an IP address, not to another name")
	}
	if err := s.origins.Check(r); err != nil {
		return &router.Error{Code: router.Forbidden, Message: "while no API keys are configured, other sites' pages may not send requests", Err: err}
	}
	return nil
}

func (s *Server) isOwnHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	if host == "" || strings.EqualFold(host, "localhost") || slices.ContainsFunc(s.hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
