package hostile

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// start serves an endpoint, and returns its URL and what Answer returned, request by request.
func start(t testing.TB, kind Kind) (url string, answers chan bool, e *Endpoint) {
	t.Helper()
	e, err := New(kind, Config{Pace: time.Millisecond})
	require.NoError(t, err)
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l, err := e.Listener(plain)
	require.NoError(t, err)
	answers = make(chan bool, 10)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answers <- e.Answer(w, r)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() {
		e.Close()
		require.NoError(t, server.Close())
	})
	return e.Scheme() + "://" + plain.Addr().String() + "/", answers, e
}

// post sends a request that is given up after a while.
func post(t testing.TB, client *http.Client, url string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader("{}"))
	require.NoError(t, err)
	res, err := client.Do(req)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, res.Body.Close()) })
	}
	return res, err
}

// patient is a client that does not follow redirects.
func patient() *http.Client {
	return &http.Client{
		Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// impatient is one that gives up soon.
func impatient() *http.Client {
	c := patient()
	c.Timeout = 100 * time.Millisecond
	return c
}

func TestAnswersThatNeverCome(t *testing.T) {
	for kind, success := range map[Kind]bool{Slow: false, Late: true} {
		url, answers, _ := start(t, kind)
		_, err := post(t, impatient(), url)
		slow, ok := errors.AsType[net.Error](err)
		require.True(t, ok && slow.Timeout(), "%s: %v", kind, err)
		require.Equal(t, success, <-answers, kind)
	}
	url, _, _ := start(t, Hang)
	_, err := post(t, impatient(), url)
	require.ErrorContains(t, err, "Timeout")
}

func TestAnswersThatAreNone(t *testing.T) {
	for kind, want := range map[Kind]string{Reset: "reset", Garbage: "malformed HTTP", HugeHeaders: "exceeded"} {
		url, answers, _ := start(t, kind)
		_, err := post(t, patient(), url)
		require.ErrorContains(t, err, want, kind)
		require.False(t, <-answers, kind)
	}
}

func TestAnEndlessBodyEndsWhenNobodyReadsIt(t *testing.T) {
	url, answers, _ := start(t, Endless)
	res, err := post(t, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, url)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, res.StatusCode)
	n, err := io.CopyN(io.Discard, res.Body, 10<<20)
	require.NoError(t, err)
	require.EqualValues(t, 10<<20, n)
	require.NoError(t, res.Body.Close())
	require.True(t, <-answers)
}

func TestARedirectLeadsInside(t *testing.T) {
	url, answers, _ := start(t, Redirect)
	res, err := post(t, patient(), url)
	require.NoError(t, err)
	require.Equal(t, http.StatusTemporaryRedirect, res.StatusCode)
	require.Equal(t, "http://169.254.169.254/latest/meta-data/", res.Header.Get("Location"))
	require.False(t, <-answers)
}

func TestEachThirdAttemptSucceeds(t *testing.T) {
	for kind, want := range map[Kind]int{Flapping: 503, RateLimited: 429} {
		url, answers, _ := start(t, kind)
		for i := range 6 {
			res, err := post(t, patient(), url)
			require.NoError(t, err)
			success := i%3 == 2
			require.Equal(t, success, <-answers)
			require.Equal(t, success, res.StatusCode == http.StatusOK)
			require.Equal(t, !success, res.StatusCode == want)
			require.Equal(t, !success && kind == RateLimited, res.Header.Get("Retry-After") == "1")
		}
	}
}

func TestTheCertificateIsWrongInEveryWay(t *testing.T) {
	url, _, _ := start(t, WrongTLS)
	_, err := post(t, patient(), url)
	require.ErrorContains(t, err, "certificate")
	conn, err := (&tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}).DialContext(t.Context(), "tcp", strings.Trim(strings.TrimPrefix(url, "https://"), "/"))
	require.NoError(t, err)
	defer conn.Close()
	secure, _ := conn.(*tls.Conn)
	shown := secure.ConnectionState().PeerCertificates[0]
	require.Error(t, shown.VerifyHostname("127.0.0.1"))
	roots := x509.NewCertPool()
	roots.AddCert(shown)
	_, err = shown.Verify(x509.VerifyOptions{Roots: roots})
	require.ErrorContains(t, err, "expired")
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 200, res.StatusCode)
}

func TestCloseEndsWhatIsUnderWay(t *testing.T) {
	for _, kind := range []Kind{Slow, Late, Endless} {
		url, answers, e := start(t, kind)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			res, err := http.Post(url, "text/plain", strings.NewReader("{}"))
			if err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		}()
		e.Close()
		e.Close()
		<-answers
		<-ended
	}
}

func TestOnlyKnownKindsAreMade(t *testing.T) {
	_, err := New("polite", Config{})
	require.EqualError(t, err, `"polite" is none of slow hang late reset garbage endless huge-headers redirect flapping rate-limited wrong-tls`)
	for _, kind := range Kinds() {
		_, err := New(kind, Config{})
		require.NoError(t, err)
	}
}
