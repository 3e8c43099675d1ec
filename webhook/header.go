package webhook

import (
	"fmt"
	"maps"
	"net/textproto"
	"slices"
	"strconv"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// Limits of one of a subscription's own headers; router.MaxSinkHeaders and router.MaxSinkHeaderBytes bound all of them.
const (
	maxHeaderName  = 128  // bytes
	maxHeaderValue = 4096 // bytes
)

// headerTwice is the fault of a header whose name differs from another only in case.
const headerTwice = "is there twice, in different case"

// CheckHeaders tells whether a subscription's own headers can be sent with each webhook. Names are HTTP tokens (RFC 9110, section 5.6.2); values are visible
// characters, spaces and tabs, and any byte from 0x80 up (section 5.5), without space around them. Refused are headers that decide how a
// message is framed, connected or encoded, and those that are ours: content-*, webhook-*, ce-*, user-agent. The error is an *router.Error
// (Invalid) that names every faulty header ("sink.headers.x-team"); it does not repeat values, which may be secret. It fits router.Rules.
func CheckHeaders(headers map[string]string) error {
	if len(headers) == 0 {
		return nil
	}
	if len(headers) > router.MaxSinkHeaders {
		return refusal(router.Problem{Location: "sink.headers", Message: fmt.Sprintf("has %d headers; at most %d are possible", len(headers), router.MaxSinkHeaders)})
	}
	var faults []router.Problem
	size, seen := 0, make(map[string]bool, len(headers))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		value := headers[name]
		size += len(name) + len(value)
		fault := headerFault(name, value)
		if fault == "" && seen[strings.ToLower(name)] {
			fault = headerTwice
		}
		seen[strings.ToLower(name)] = true
		if fault != "" {
			faults = append(faults, router.Problem{Location: headerLocation(name), Message: fault})
		}
	}
	if size > router.MaxSinkHeaderBytes {
		faults = append(faults, router.Problem{Location: "sink.headers", Message: fmt.Sprintf("has %d bytes; at most %d are possible", size, router.MaxSinkHeaderBytes)})
	}
	if faults == nil {
		return nil
	}
	return refusal(faults...)
}

// refusal is the error of a sink that can't be used.
func refusal(faults ...router.Problem) error {
	return &router.Error{Code: router.Invalid, Message: "the webhook is not valid", Problems: faults}
}

// headerLocation is the place of a header: sink.headers.x-team, or sink.headers["x y"] for what is not a plain name.
func headerLocation(name string) string {
	if name != "" && len(name) <= maxHeaderName && !strings.ContainsFunc(name, notToken) && !strings.Contains(name, ".") {
		return "sink.headers." + name
	}
	return "sink.headers[" + strconv.Quote(cut(name, 60)) + "]"
}

func headerFault(name, value string) string {
	switch {
	case name == "" || len(name) > maxHeaderName:
		return fmt.Sprintf("must have a name of 1 to %d characters", maxHeaderName)
	case strings.ContainsFunc(name, notToken):
		return "must have a name of letters, digits and !#$%&'*+-.^_`|~ only"
	case isOurs(name):
		return "is set by Streamlatch or decides how the message is sent, and can't be changed"
	case len(value) > maxHeaderValue:
		return fmt.Sprintf("has a value of %d bytes; at most %d are possible", len(value), maxHeaderValue)
	case value != textproto.TrimString(value):
		return "must not have space before or after its value"
	}
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return "must not have control characters or line breaks in its value"
		}
	}
	return ""
}

// notToken is true of characters that a header's name can't have.
func notToken(r rune) bool {
	return r >= 0x80 || !isAlphaNumeric(byte(r)) && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

// isOurs is true of headers that only Streamlatch and net/http may set: framing, the connection (RFC 9110, section 7.6.1, and its forerunners), what the body
// is, and what makes a webhook.
func isOurs(name string) bool {
	n := strings.ToLower(name)
	switch n {
	case "host", "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
		"upgrade", "http2-settings", "expect", "user-agent":
		return true
	}
	return strings.HasPrefix(n, "content-") || strings.HasPrefix(n, "webhook-") || strings.HasPrefix(n, "ce-")
}
