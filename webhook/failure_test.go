package webhook

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestEveryErrorHasItsOutcome(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	read := func(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }
	call := func(errno syscall.Errno) error { return os.NewSyscallError("connect", errno) }
	for _, c := range []struct {
		err  error
		want router.Outcome
	}{
		{dial(&net.DNSError{Err: "no such host", Name: "x.example", Server: "10.0.0.53:53", IsNotFound: true}), router.OutcomeDNS},
		{dial(&net.DNSError{Err: "i/o timeout", Name: "x.example", IsTimeout: true}), router.OutcomeDNS},
		{dial(fmt.Errorf("address 10.0.0.1: %w", ErrBlocked)), router.OutcomeBlocked},
		{dial(call(syscall.ECONNREFUSED)), router.OutcomeRefused},
		{dial(call(syscall.EHOSTUNREACH)), router.OutcomeUnreachable},
		{dial(call(syscall.ENETUNREACH)), router.OutcomeUnreachable},
		{dial(call(syscall.EADDRNOTAVAIL)), router.OutcomeUnreachable},
		{dial(call(syscall.ETIMEDOUT)), router.OutcomeTimeout},
		{dial(os.ErrDeadlineExceeded), router.OutcomeTimeout},
		{&tlsError{context.DeadlineExceeded}, router.OutcomeTimeout},
		{&tlsError{timeoutError{"TLS handshake", handshakeTimeout}}, router.OutcomeTimeout},
		{&tlsError{x509.UnknownAuthorityError{}}, router.OutcomeTLS},
		{&tlsError{io.EOF}, router.OutcomeTLS},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: certificate required")}, router.OutcomeTLS},
		{read(call(syscall.ECONNRESET)), router.OutcomeReset},
		{&net.OpError{Op: "write", Err: call(syscall.EPIPE)}, router.OutcomeReset},
		{fmt.Errorf("net/http: %w", io.EOF), router.OutcomeReset},
		{io.ErrUnexpectedEOF, router.OutcomeReset},
		{errors.New("http: server closed idle connection"), router.OutcomeReset},
		{errors.New(`net/http: malformed HTTP response "x"`), router.OutcomeProtocol},
		{errors.New("net/http: server response headers exceeded 65536 bytes; aborted"), router.OutcomeProtocol},
	} {
		outcome, message := Classify(t.Context(), c.err)
		require.Equal(t, c.want, outcome, "%v", c.err)
		require.NotEmpty(t, message)
		require.NotContains(t, message, "10.0.0.53", "which name server we ask is nobody's business")
	}
}

func TestMessagesHoldNoSecretsAndNoControlCharacters(t *testing.T) {
	for _, err := range []error{
		&url.Error{Op: "Post", URL: "https://x.example/hook?token=hunter2", Err: io.EOF},
		errors.New("can't reach https://x.example/hook?token=hunter2"),
		errors.New("bad \x1b[31m answer\r\nwith lines\u202e" + strings.Repeat("long ", 1000)),
		errors.New("\xff\xfe"),
	} {
		s := fakeSender(t, func(*http.Request) (*http.Response, error) { return nil, err })
		a := s.Send(t.Context(), requestTo(t, "https://x.example/hook?token=hunter2"))
		require.NotContains(t, a.Error, "hunter2")
		require.NotRegexp(t, `[[:cntrl:]]`, a.Error)
		require.Less(t, len(a.Error), 400)
		require.NotEmpty(t, a.Error)
	}
}
