// Package hostile answers webhooks as bad endpoints do: slowly, wrongly, too late, without end. It is for tests, and for trying out by hand what
// becomes of deliveries to such an endpoint (streamlatch listen --misbehave).
package hostile

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is a way to misbehave.
type Kind string

// The kinds.
const (
	Slow        Kind = "slow"         // the answer trickles in, and never becomes complete
	Hang        Kind = "hang"         // there is no answer
	Late        Kind = "late"         // 200, when the sender has given up
	Reset       Kind = "reset"        // the connection is reset in the place of an answer
	Garbage     Kind = "garbage"      // the answer is not HTTP
	Endless     Kind = "endless"      // 200, with a body that never ends
	HugeHeaders Kind = "huge-headers" // 200, with a header of a megabyte
	Redirect    Kind = "redirect"     // 307, to the metadata of a cloud
	Flapping    Kind = "flapping"     // 503, and each third time 200
	RateLimited Kind = "rate-limited" // 429 with Retry-After, and each third time 200
	WrongTLS    Kind = "wrong-tls"    // TLS, with an expired certificate for another name
)

// Kinds lists them.
func Kinds() []Kind {
	return []Kind{Slow, Hang, Late, Reset, Garbage, Endless, HugeHeaders, Redirect, Flapping, RateLimited, WrongTLS}
}

// Config says how to misbehave. The zero Config works.
type Config struct {
	// Pace is the time between two bytes of a slow answer. Defaults to 200ms.
	Pace time.Duration
	// Patience is how long a sender that does not give up is kept waiting. Defaults to 10 minutes.
	Patience time.Duration
	// RetryAfter is what a rate-limited sender is told to wait. Defaults to 1s.
	RetryAfter time.Duration
}

// Endpoint misbehaves in one way. Safe for concurrent use.
type Endpoint struct {
	kind   Kind
	config Config
	asked  atomic.Int64
	done   chan struct{}
	close  func()
}

// New makes an endpoint of a kind. The error lists the kinds there are.
func New(kind Kind, c Config) (*Endpoint, error) {
	if !slices.Contains(Kinds(), kind) {
		return nil, fmt.Errorf("%q is none of %s", kind, strings.Trim(fmt.Sprint(Kinds()), "[]"))
	}
	c.Pace, c.Patience, c.RetryAfter = cmp.Or(c.Pace, 200*time.Millisecond), cmp.Or(c.Patience, 10*time.Minute), cmp.Or(c.RetryAfter, time.Second)
	e := &Endpoint{kind: kind, config: c, done: make(chan struct{})}
	e.close = sync.OnceFunc(func() { close(e.done) })
	return e, nil
}

// Close ends answers that are under way.
func (e *Endpoint) Close() { e.close() }

// Answer answers a request whose body has been read, and tells whether the answer was a success, whenever it came. It may end by panicking with
// http.ErrAbortHandler, as handlers do that cut a connection.
func (e *Endpoint) Answer(w http.ResponseWriter, r *http.Request) (success bool) {
	switch e.kind {
	case Slow:
		e.trickle(w)
	case Hang:
		e.waitForEnd(r)
		panic(http.ErrAbortHandler)
	case Late:
		e.waitForEnd(r)
		w.WriteHeader(http.StatusOK)
		return true
	case Reset:
		e.reset(w)
	case Garbage:
		e.take(w, func(c net.Conn) { _, _ = io.WriteString(c, "+OK\r\n-ERR unknown command\r\n") })
	case Endless:
		e.flood(w)
		return true
	case HugeHeaders:
		w.Header().Set("X-Huge", strings.Repeat("x", 1<<20))
		w.WriteHeader(http.StatusOK) // which nobody gets to see
	case Redirect:
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
	default:
		return e.sometimes(w)
	}
	return false
}

// sometimes succeeds each third time.
func (e *Endpoint) sometimes(w http.ResponseWriter) bool {
	if e.asked.Add(1)%3 == 0 || e.kind == WrongTLS { // whoever does not mind the certificate gets an answer
		w.WriteHeader(http.StatusOK)
		return true
	}
	status := http.StatusServiceUnavailable
	if e.kind == RateLimited {
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", fmt.Sprintf("%.0f", e.config.RetryAfter.Seconds()))
	}
	w.WriteHeader(status)
	return false
}

// waitForEnd waits until the sender gives up.
func (e *Endpoint) waitForEnd(r *http.Request) {
	patience := time.NewTimer(e.config.Patience)
	defer patience.Stop()
	select {
	case <-r.Context().Done():
	case <-patience.C:
	case <-e.done:
	}
}

// take has a function answer on the bare connection, and closes it.
func (*Endpoint) take(w http.ResponseWriter, answer func(net.Conn)) {
	c, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	answer(c)
	_ = c.Close() // the sender may have closed it
}

func (e *Endpoint) reset(w http.ResponseWriter) {
	e.take(w, func(c net.Conn) {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // closing it sends a reset, where that is possible
		}
	})
}

// trickle sends an answer byte by byte.
func (e *Endpoint) trickle(w http.ResponseWriter) {
	e.take(w, func(c net.Conn) {
		pace, patience := time.NewTicker(e.config.Pace), time.NewTimer(e.config.Patience)
		defer pace.Stop()
		defer patience.Stop()
		const answer = "HTTP/1.1 200 OK\r\nX-Slow: "
		for i := 0; ; i++ {
			next := byte('x')
			if i < len(answer) {
				next = answer[i]
			}
			if _, err := c.Write([]byte{next}); err != nil {
				return
			}
			select {
			case <-pace.C:
			case <-patience.C:
				return
			case <-e.done:
				return
			}
		}
	})
}

// flood sends a body until nobody takes it any more.
func (e *Endpoint) flood(w http.ResponseWriter) {
	w.WriteHeader(http.StatusOK)
	chunk := make([]byte, 32<<10)
	for {
		select {
		case <-e.done:
			return
		default:
		}
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// Scheme is that of the endpoint's URLs.
func (e *Endpoint) Scheme() string {
	if e.kind == WrongTLS {
		return "https"
	}
	return "http"
}

// Listener is what the endpoint listens on, made of a plain listener.
func (e *Endpoint) Listener(l net.Listener) (net.Listener, error) {
	if e.kind != WrongTLS {
		return l, nil
	}
	certificate, err := wrongCertificate()
	if err != nil {
		return nil, fmt.Errorf("make a wrong certificate: %w", err)
	}
	return tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}), nil
}

// wrongCertificate has expired, is for another name, and nobody vouches for it.
func wrongCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"somewhere-else.invalid"},
		NotBefore: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
