package webhook

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// endpoint starts a server that counts its connections.
func endpoint(t testing.TB, h http.HandlerFunc) (url string, connections *atomic.Int32) {
	t.Helper()
	connections = &atomic.Int32{}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, connections
}

// rawEndpoint starts a listener whose connections a function handles after it has read a request's header.
func rawEndpoint(t testing.TB, handle func(net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				handle(c)
			})
		}
	})
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		all.Wait()
	})
	return "http://" + l.Addr().String() + "/"
}

// readRequest reads a request to its end, or until it turns out to be something else.
func readRequest(c net.Conn) {
	if req, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		_, _ = io.Copy(io.Discard, req.Body)
	}
}

func short(s *router.Sink) { s.Timeout = router.Duration(50 * time.Millisecond) }

func TestConnectionsAreUsedAgain(t *testing.T) {
	for _, status := range []int{200, 302, 500} {
		target, connections := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, strings.Repeat("x", 20<<10))
		})
		s := newSender(t, Config{})
		for range 20 {
			require.Equal(t, status, s.Send(t.Context(), requestTo(t, target)).StatusCode)
		}
		require.EqualValues(t, 1, connections.Load(), status)
	}
}

func TestRedirectsAreNeverFollowed(t *testing.T) {
	internal, reached := endpoint(t, func(http.ResponseWriter, *http.Request) {})
	for _, status := range []int{301, 302, 303, 307, 308} {
		target, _ := endpoint(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, internal, status) })
		a := newSender(t, Config{}).Send(t.Context(), requestTo(t, target))
		require.Equal(t, router.OutcomeRedirect, a.Outcome)
		require.Equal(t, status, a.StatusCode)
	}
	require.Zero(t, reached.Load())
}

func TestAnEndpointThatHangsCostsTheTimeoutAndNoMore(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	target, _ := endpoint(t, func(http.ResponseWriter, *http.Request) { <-release })
	a := newSender(t, Config{}).Send(t.Context(), requestTo(t, target, short))
	require.Equal(t, router.OutcomeTimeout, a.Outcome)
	require.Equal(t, "no complete answer within 50ms", a.Error)
}

func TestAStatusCountsEvenWhenItsBodyNeverEnds(t *testing.T) {
	for status, want := range map[int]router.Outcome{200: router.OutcomeDelivered, 500: router.OutcomeStatus} {
		release := make(chan struct{})
		target, _ := endpoint(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "so far")
			w.(http.Flusher).Flush()
			<-release
		})
		a := newSender(t, Config{}).Send(t.Context(), requestTo(t, target, short))
		close(release)
		require.Equal(t, want, a.Outcome)
		require.Equal(t, status == 500, a.Response == "so far")
	}
}

func TestNetworkFailuresAreToldApart(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := "http://" + closed.Addr().String() + "/"
	require.NoError(t, closed.Close())
	answers := func(text string) string {
		return rawEndpoint(t, func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, text)
			_, _ = io.Copy(io.Discard, c) // until the sender has had enough
		})
	}
	silent := rawEndpoint(t, readRequest)
	for _, c := range []struct {
		rule, target string
		want         router.Outcome
	}{
		{"nobody listens", nobody, router.OutcomeRefused},
		{"closed without an answer", silent, router.OutcomeReset},
		{"reset without an answer", rawEndpoint(t, func(c net.Conn) { readRequest(c); _ = c.(*net.TCPConn).SetLinger(0) }), router.OutcomeReset},
		{"not HTTP", answers("+OK\r\n"), router.OutcomeProtocol},
		{"an endless header", answers("HTTP/1.1 200 OK\r\nx: " + strings.Repeat("x", 100<<10)), router.OutcomeProtocol},
		{"switched protocols", answers("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"), router.OutcomeProtocol},
		{"no TLS there", strings.Replace(answers("HTTP/1.1 400 Bad Request\r\n\r\n"), "http:", "https:", 1), router.OutcomeTLS},
		{"closed in the handshake", strings.Replace(silent, "http:", "https:", 1), router.OutcomeTLS},
	} {
		t.Run(c.rule, func(t *testing.T) {
			a := newSender(t, Config{}).Send(t.Context(), requestTo(t, c.target))
			require.Equal(t, c.want, a.Outcome, a.Error)
			require.NotEmpty(t, a.Error)
		})
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			w.WriteHeader(http.StatusHTTPVersionNotSupported)
		}
	}))
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = discardLog()
	srv.StartTLS()
	defer srv.Close()
	a := newSender(t, Config{}).Send(t.Context(), requestTo(t, srv.URL))
	require.Equal(t, router.OutcomeTLS, a.Outcome, "nobody vouches for it")

	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	a = newSender(t, Config{Roots: roots}).Send(t.Context(), requestTo(t, srv.URL))
	require.Equal(t, router.OutcomeDelivered, a.Outcome, "over HTTP/2: %s", a.Error)

	here := answering(func() net.IP { return net.IPv4(127, 0, 0, 1) })
	a = newSender(t, Config{Roots: roots, Resolver: here}).Send(t.Context(), requestTo(t, strings.Replace(srv.URL, "127.0.0.1", "other.test", 1)))
	require.Equal(t, router.OutcomeTLS, a.Outcome, "another name than the certificate's: %s", a.Error)
}

// answering is a resolver for whom every name has one IPv4 address.
func answering(address func() net.IP) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			for answerQuery(server, address) == nil {
			}
		}()
		return client, nil
	}}
}

// answerQuery answers one question of a name server's client (RFC 1035, section 4.2.2: length, then message).
func answerQuery(c net.Conn, address func() net.IP) error {
	length := make([]byte, 2)
	if _, err := io.ReadFull(c, length); err != nil {
		return err
	}
	query := make([]byte, binary.BigEndian.Uint16(length))
	if _, err := io.ReadFull(c, query); err != nil {
		return err
	}
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the root label, type, class
	answers := byte(0)
	var record []byte
	if binary.BigEndian.Uint16(query[end-4:]) == 1 { // A
		answers = 1
		record = append([]byte{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4}, address().To4()...)
	}
	reply := append(query[:2:2], 0x81, 0x80, 0, 1, 0, answers, 0, 0, 0, 0)
	reply = append(append(reply, query[12:end]...), record...)
	_, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...))
	return err
}

func TestANameThatChangesItsAddressIsCheckedEachTimeItIsDialled(t *testing.T) {
	target, connections := endpoint(t, func(http.ResponseWriter, *http.Request) {})
	u, err := url.Parse(target)
	require.NoError(t, err)
	addresses := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(127, 0, 0, 2)}
	var asked atomic.Int32
	s := newSender(t, Config{
		Guard:    NewGuard(mustTargets(t, "127.0.0.1")...),
		Resolver: answering(func() net.IP { return addresses[min(asked.Add(1)-1, 1)] }),
	})
	rebinding := fmt.Sprintf("http://rebinding.test:%s/", u.Port())
	require.Equal(t, router.OutcomeDelivered, s.Send(t.Context(), requestTo(t, rebinding)).Outcome)
	s.Close() // so that it has to dial anew
	a := s.Send(t.Context(), requestTo(t, rebinding))
	require.Equal(t, router.OutcomeBlocked, a.Outcome, a.Error)
	require.Contains(t, a.Error, "127.0.0.2")
	require.EqualValues(t, 1, connections.Load())
}

func TestANameThatIsNotThereIsADNSFailure(t *testing.T) {
	none := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errNotDialled }}
	a := newSender(t, Config{Resolver: none}).Send(t.Context(), requestTo(t, "http://nowhere.test/hook"))
	require.Equal(t, router.OutcomeDNS, a.Outcome)
	require.Contains(t, a.Error, `"nowhere.test"`)
}

func TestLocalNamesAndAddressesAreBlockedWhenDialled(t *testing.T) {
	target, reached := endpoint(t, func(http.ResponseWriter, *http.Request) {})
	u, err := url.Parse(target)
	require.NoError(t, err)
	for _, host := range []string{"127.0.0.1", "localhost", "0.0.0.0", "[::]", "[::ffff:127.0.0.1]", "[::1]"} {
		s := newSender(t, Config{Guard: NewGuard()})
		a := s.Send(t.Context(), requestTo(t, "http://"+host+":"+u.Port()+"/"))
		require.Equal(t, router.OutcomeBlocked, a.Outcome, "%s: %s", host, a.Error)
	}
	require.Zero(t, reached.Load())
}

func TestAProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	// net/http reads the environment once in a process, so that a test can't set it: what is held is that it is not asked.
	require.Nil(t, newSender(t, Config{}).transport.(*http.Transport).Proxy)
}

func TestCompressedAnswersAreNotInflated(t *testing.T) {
	target, _ := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") != "" {
			w.WriteHeader(http.StatusTeapot)
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(http.StatusInternalServerError)
		_, _ = io.WriteString(w, "as it came")
	})
	a := newSender(t, Config{}).Send(t.Context(), requestTo(t, target))
	require.Equal(t, 500, a.StatusCode)
	require.Equal(t, "as it came", a.Response)
}

func TestNamesOfInternalServicesAreBlockedWhenTheyAreDialled(t *testing.T) {
	for host, ip := range map[string]net.IP{
		"metadata.google.internal": net.IPv4(169, 254, 169, 254), "redis.internal.test": net.IPv4(10, 0, 0, 5), "looks-public.test": net.IPv4(100, 100, 100, 200), "zero.test": net.IPv4(0, 0, 0, 0),
	} {
		s := newSender(t, Config{Guard: NewGuard(), Resolver: answering(func() net.IP { return ip })})
		require.NoError(t, NewGuard().CheckURL("https://"+host+"/"), "what it stands for may change")
		a := s.Send(t.Context(), requestTo(t, "https://"+host+"/"))
		require.Equal(t, router.OutcomeBlocked, a.Outcome, "%s: %s", host, a.Error)
	}
	s := newSender(t, Config{Guard: NewGuard(), Resolver: answering(func() net.IP { return net.IPv4(8, 8, 8, 8) })})
	a := s.Send(t.Context(), requestTo(t, "http://mail.test:25/"))
	require.Equal(t, router.OutcomeBlocked, a.Outcome, a.Error)
}

func TestAnAnswerOverHTTP2IsBoundedToo(t *testing.T) {
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/header" {
			w.Header().Set("x", strings.Repeat("x", 2*maxAnswerHeader))
		}
		w.WriteHeader(http.StatusInternalServerError)
		for r.URL.Path == "/body" && r.Context().Err() == nil {
			if _, err := io.WriteString(w, strings.Repeat("x", 1<<20)); err != nil {
				return
			}
		}
	}))
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = discardLog()
	srv.StartTLS()
	defer srv.Close()
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	s := newSender(t, Config{Roots: roots})
	a := s.Send(t.Context(), requestTo(t, srv.URL+"/header"))
	require.Equal(t, router.OutcomeProtocol, a.Outcome, a.Error)
	a = s.Send(t.Context(), requestTo(t, srv.URL+"/body"))
	require.Equal(t, router.OutcomeStatus, a.Outcome)
	require.Len(t, a.Response, maxResponse)
}
