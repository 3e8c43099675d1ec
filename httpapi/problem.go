package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/labstack/echo/v4"

	"github.com/streamlatch/streamlatch/router"
)

// methodNotAllowed is the one problem that is a matter of HTTP alone.
const methodNotAllowed router.Code = "method-not-allowed"

// problemType is how a code is shown: its word is the code itself, in the type "/problems/<word>".
type problemType struct {
	status    int
	title     string
	retryable bool // the same request may succeed later, and sending it again does no harm
}

// problemTypes is the one map of codes; openapi.yaml lists the same.
func problemTypes() map[router.Code]problemType {
	return map[router.Code]problemType{
		router.Malformed:    {status: http.StatusBadRequest, title: "The request can't be parsed, or holds no valid CloudEvent"},
		router.Unauthorized: {status: http.StatusUnauthorized, title: "A valid API key is needed"},
		router.Unverified:   {status: http.StatusUnauthorized, title: "Not verified"},
		router.Forbidden:    {status: http.StatusForbidden, title: "Not permitted"},
		router.NotFound:     {status: http.StatusNotFound, title: "There is no such thing"},
		methodNotAllowed:    {status: http.StatusMethodNotAllowed, title: "This path has no such method"},
		router.Conflict:     {status: http.StatusConflict, title: "The name is taken"},
		router.Precondition: {status: http.StatusPreconditionFailed, title: "The precondition does not hold"},
		router.TooLarge:     {status: http.StatusRequestEntityTooLarge, title: "Too large"},
		router.Unsupported:  {status: http.StatusUnsupportedMediaType, title: "The content type is not understood"},
		router.Invalid:      {status: http.StatusUnprocessableEntity, title: "Understood and refused"},
		router.IDReused:     {status: http.StatusUnprocessableEntity, title: "The id was used for another event"},
		router.Reserved:     {status: http.StatusUnprocessableEntity, title: "Reserved to Streamlatch"},
		router.Loop:         {status: http.StatusUnprocessableEntity, title: "Derived from itself too often"},
		router.RateLimited:  {status: http.StatusTooManyRequests, title: "Too many", retryable: true},
		router.Internal:     {status: http.StatusInternalServerError, title: "Internal error"},
		router.Full:         {status: http.StatusServiceUnavailable, title: "No room left", retryable: true},
		router.Unavailable:  {status: http.StatusServiceUnavailable, title: "Not available at the moment", retryable: true},
	}
}

// shown is an error as the caller sees it.
type shown struct {
	code   router.Code
	detail string
	err    *router.Error // may be nil
}

// show makes of an error what may be shown of it. Whatever is not a router.Error is internal; what libraries say of too large bodies
// and unknown paths is translated.
func show(err error) shown {
	if e, ok := errors.AsType[*router.Error](err); ok {
		if e.Code == router.Internal {
			return internalError
		}
		return shown{e.Code, e.Message, e}
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return shown{code: router.TooLarge, detail: "the body is larger than the limit of " + strconv.FormatInt(e.Limit, 10) + " bytes"}
	}
	if e, ok := errors.AsType[*echo.HTTPError](err); ok {
		return showEcho(e)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return shown{code: router.Unavailable, detail: "it was given up before it was done; whether it was done is not known"}
	}
	return internalError
}

var internalError = shown{code: router.Internal, detail: "an error of the server; its log has the details under the request's x-request-id"}

func showEcho(e *echo.HTTPError) shown {
	switch e.Code {
	case http.StatusNotFound:
		return shown{code: router.NotFound, detail: "there is no such path"}
	case http.StatusMethodNotAllowed:
		return shown{code: methodNotAllowed, detail: "the header allow lists the methods of this path"}
	}
	return internalError
}

// appendProblem appends the members of a problem (RFC 9457) after the brace, which the caller closes.
func (s *Server) appendProblem(dst []byte, p shown) []byte {
	t := s.problems[p.code]
	dst = append(dst, `{"type":"/problems/`...)
	dst = append(dst, p.code...)
	dst = appendText(append(dst, `","title":`...), t.title)
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(t.status), 10)
	dst = appendText(append(dst, `,"detail":`...), p.detail)
	dst = strconv.AppendBool(append(dst, `,"retryable":`...), t.retryable)
	if p.err == nil || len(p.err.Problems) == 0 {
		return dst
	}
	dst = append(dst, `,"errors":[`...)
	for i, fault := range p.err.Problems {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(append(dst, `{"location":`...), fault.Location)
		dst = append(appendText(append(dst, `,"message":`...), fault.Message), '}')
	}
	return append(dst, ']')
}

// appendText appends a JSON string; what is not UTF-8 is replaced.
func appendText(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// writeProblem answers with an error; extra is appended to the problem's members as it is. What is internal goes to the log.
func (s *Server) writeProblem(w http.ResponseWriter, r *http.Request, err error, extra []byte) {
	p := show(err)
	t := s.problems[p.code]
	h := w.Header()
	id := s.requestID(h)
	if p.code == router.Internal {
		s.log.ErrorContext(r.Context(), "request failed", id, slog.String("error", strconv.QuoteToASCII(err.Error())))
	}
	if retry, ok := retryAfter(p, t); ok {
		h.Set("Retry-After", retry)
	}
	h.Set("Cache-Control", "no-store")
	body := append(append(s.appendProblem(nil, p), extra...), '}', '\n')
	writeBody(w, t.status, "application/problem+json", body)
}

// retryAfter gives whole seconds, at least one, for what is worth trying again.
func retryAfter(p shown, t problemType) (seconds string, ok bool) {
	var after time.Duration
	if p.err != nil {
		after = p.err.RetryAfter
	}
	if after <= 0 && !t.retryable {
		return "", false
	}
	whole := (after + time.Second - 1) / time.Second
	return strconv.FormatInt(max(1, int64(whole)), 10), true
}

// writeBody answers with a body. That it can't be sent is the client's going away, and nothing can be done about it.
func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	if len(body) > countedByHTTP {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// countedByHTTP is the largest body whose length net/http finds out by itself.
const countedByHTTP = 2048 - 1
