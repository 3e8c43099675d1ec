package webhook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// timeoutError is the cause of a context that ended because something took too long. It is a net.Error.
type timeoutError struct {
	what  string // that did not come
	after time.Duration
}

func (e timeoutError) Error() string {
	return fmt.Sprintf("no %s within %s", e.what, router.Duration(e.after))
}
func (e timeoutError) Timeout() bool   { return true }
func (e timeoutError) Temporary() bool { return true }

// tlsError marks an error of the TLS handshake, which crypto/tls has no type for.
type tlsError struct{ err error }

func (e *tlsError) Error() string { return e.err.Error() }
func (e *tlsError) Unwrap() error { return e.err }

// Classify tells what an error of an attempt over the network means, and says it in a message without control characters. ctx is the attempt's.
func Classify(ctx context.Context, err error) (router.Outcome, string) {
	if ctx.Err() != nil {
		return classifyEnd(context.Cause(ctx))
	}
	outcome := outcomeOf(err)
	if name, ok := errors.AsType[*net.DNSError](err); ok && outcome == router.OutcomeDNS {
		// Its own text names the server that was asked, which is nobody's business.
		return outcome, Printable(fmt.Sprintf("the name %q can't be resolved: %s", name.Name, name.Err))
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err // without the URL
	}
	return outcome, Printable(err.Error())
}

// classifyEnd tells why the attempt's context ended.
func classifyEnd(cause error) (router.Outcome, string) {
	if _, ours := errors.AsType[timeoutError](cause); ours || errors.Is(cause, context.DeadlineExceeded) {
		return router.OutcomeTimeout, Printable(cause.Error())
	}
	return router.OutcomeCanceled, Printable("given up before an answer came: " + cause.Error())
}

// outcomeOf tells what kind of error it is, the most telling first.
func outcomeOf(err error) router.Outcome {
	_, isDNS := errors.AsType[*net.DNSError](err)
	_, isTLS := errors.AsType[*tlsError](err)
	slow, isNet := errors.AsType[net.Error](err)
	op, isOp := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, ErrBlocked):
		return router.OutcomeBlocked
	case isDNS:
		return router.OutcomeDNS
	case isNet && slow.Timeout():
		return router.OutcomeTimeout
	case isTLS, isOp && (op.Op == "remote error" || op.Op == "local error"): // alerts after the handshake
		return router.OutcomeTLS
	case errors.Is(err, syscall.ECONNREFUSED):
		return router.OutcomeRefused
	case isOp && op.Op == "dial":
		return router.OutcomeUnreachable
	case isOp, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), isClosedIdle(err):
		return router.OutcomeReset
	}
	return router.OutcomeProtocol
}

// isClosedIdle knows the one error of net/http for a kept connection that the endpoint closed just now; it has no type.
func isClosedIdle(err error) bool {
	return strings.Contains(err.Error(), "server closed idle connection")
}

// redact takes a target's query, which often is a secret, out of a message that repeats the URL.
func redact(message string, u *url.URL) string {
	if u.RawQuery == "" {
		return message
	}
	return strings.ReplaceAll(message, "?"+u.RawQuery, "?…")
}
