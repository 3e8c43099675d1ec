package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Problem is one fault at one place of what was sent.
type Problem struct {
	Location string `json:"location"` // "body.filter.types[0]"
	Message  string `json:"message"`
}

// Error is an answer of the server that is not a success (RFC 9457). Its texts are the server's, and may repeat what the caller sent: escape them before
// they go to a terminal.
type Error struct {
	Type       string        `json:"type"` // "/problems/<word>"
	Title      string        `json:"title"`
	Status     int           `json:"status"`
	Detail     string        `json:"detail"`
	Retryable  bool          `json:"retryable"` // the same request may succeed later, and sending it again does no harm
	Problems   []Problem     `json:"errors"`
	RetryAfter time.Duration `json:"-"` // zero: the server did not say
}

// newError reads an answer with a status of 300 and more. What stands between client and server answers with other things than problems; then there is the
// status alone.
func newError(res *http.Response, body []byte) *Error {
	e := &Error{}
	if !strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") || json.Unmarshal(body, e) != nil {
		e = &Error{Retryable: isPassing(res.StatusCode)}
	}
	e.Status = res.StatusCode
	if e.Title == "" {
		e.Title = http.StatusText(res.StatusCode)
	}
	e.RetryAfter = parseRetryAfter(res.Header.Get("Retry-After"))
	return e
}

// isPassing tells of statuses that proxies answer with while the server is not there.
func isPassing(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// parseRetryAfter reads whole seconds; dates need a clock that both sides agree on.
func parseRetryAfter(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}

// Word is the last part of Type: "id-reused". It is empty where something other than the server answered.
func (e *Error) Word() string {
	return e.Type[strings.LastIndexByte(e.Type, '/')+1:]
}

// Error gives status, detail and each fault.
func (e *Error) Error() string {
	var b strings.Builder
	switch {
	case e.Status != 0:
		fmt.Fprintf(&b, "%d %s", e.Status, e.Title)
	default: // of one event among others
		b.WriteString(e.Word())
	}
	if e.Detail != "" {
		b.WriteString(": " + e.Detail)
	}
	for _, p := range e.Problems {
		b.WriteString("; " + p.Location + " " + p.Message)
	}
	return b.String()
}

// ConnectionError says that there was no answer, or not a whole one: whether the server did what it was asked is not known.
type ConnectionError struct {
	Server string
	Err    error
}

// Error names the server.
func (e *ConnectionError) Error() string { return "no answer from " + e.Server + ": " + e.Err.Error() }

// Unwrap gives the cause; for a call whose context ended, it is the context's.
func (e *ConnectionError) Unwrap() error { return e.Err }
