package webhook

import (
	"crypto/tls"
	"net/http"
	"sync"

	"github.com/streamlatch/streamlatch/router"
)

// maxIdentities is how many client certificates have connections of their own at a time.
const maxIdentities = 256

// identities are the transports for sinks with a client certificate. A connection belongs to the certificate that it was opened with, so no two of
// them share one, nor a TLS session. Safe for concurrent use.
type identities struct {
	config Config

	mu    sync.Mutex
	used  uint64 // counts uses
	known map[identity]*identityTransport
}

// identity is a certificate and its key, in PEM.
type identity struct{ certificate, key string }

type identityTransport struct {
	http *http.Transport
	last uint64 // use
}

// transport returns the one for a sink's certificate, and makes it where there is none yet; the one that has not been used for longest makes room for it.
func (i *identities) transport(a router.Auth) (*http.Transport, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.used++
	id := identity{a.Certificate, a.Key}
	if t, ok := i.known[id]; ok {
		t.last = i.used
		return t.http, nil
	}
	certificate, err := clientCertificate(a)
	if err != nil {
		return nil, err
	}
	if len(i.known) >= maxIdentities {
		i.forgetOldest()
	}
	t := newTransport(i.config, certificate)
	i.known[id] = &identityTransport{t, i.used}
	return t, nil
}

// forgetOldest drops a transport. Attempts under way on it end as they would have.
func (i *identities) forgetOldest() {
	var oldest identity
	last := i.used
	for id, t := range i.known {
		if t.last < last {
			oldest, last = id, t.last
		}
	}
	i.known[oldest].http.CloseIdleConnections()
	delete(i.known, oldest)
}

func (i *identities) CloseIdleConnections() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, t := range i.known {
		t.http.CloseIdleConnections()
	}
}

// clientCertificates is how a TLS configuration holds them.
func clientCertificates(certificates []tls.Certificate) func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if len(certificates) == 0 {
		return nil
	}
	// Certificates alone would be shown only to who names the right authority, and many name none, or others by mistake.
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificates[0], nil }
}
