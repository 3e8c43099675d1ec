package webhook

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// Times after which a connection is given up, within the attempt's own timeout or, where the attempt ended first, after it.
const (
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	idleTimeout      = 30 * time.Second // below what servers and load balancers usually keep
	pingAfter        = 15 * time.Second // an HTTP/2 connection that is silent
	pingTimeout      = 15 * time.Second
)

// newTransport makes a transport that dials what the guard permits and nothing else: no proxy from the environment, which would dial in its place.
// It doesn't inflate compressed answers, of which a small one can become a very large one. certificates has the one that it shows, if any.
func newTransport(c Config, certificates ...tls.Certificate) *http.Transport {
	guard := c.Guard
	if guard == nil {
		guard = NewGuard()
	}
	d := &dialer{
		tcp: net.Dialer{Timeout: dialTimeout, Control: guard.Control, Resolver: c.Resolver},
		tls: tls.Config{
			RootCAs: c.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, ClientSessionCache: tls.NewLRUClientSessionCache(0),
			GetClientCertificate: clientCertificates(certificates),
		},
	}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            d.dial,
		DialTLSContext:         d.dialTLS,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           cmp.Or(c.Idle, 2048),
		MaxIdleConnsPerHost:    cmp.Or(c.IdlePerHost, 256),
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// dialer opens connections to endpoints.
type dialer struct {
	tcp net.Dialer
	tls tls.Config
}

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	return d.tcp.DialContext(ctx, network, address)
}

// dialTLS does what net/http would do, and marks what goes wrong in the handshake.
func (d *dialer) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	conn, err := d.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	config := d.tls.Clone()
	config.ServerName = strings.TrimSuffix(host, ".")
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout, timeoutError{"TLS handshake", handshakeTimeout})
	defer cancel()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, &tlsError{cmp.Or(context.Cause(ctx), err)}
	}
	return secure, nil
}
