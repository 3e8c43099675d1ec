package webhook

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// retryAfter tells how long an answer asks to wait (RFC 9110, 10.2.3): seconds, or a date, which is read by the answer's own clock where that says what
// time it is, else by now. Zero: it asks for nothing that can be understood, or for no wait. It is at most router.MaxRetryDelay.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text != "" && strings.Trim(text, "0123456789") == "" {
		return seconds(text)
	}
	until, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if theirs, err := http.ParseTime(h.Get("Date")); err == nil {
		now = theirs
	}
	return min(max(until.Sub(now), 0), router.MaxRetryDelay.Std())
}

// seconds reads a number of seconds, however large.
func seconds(digits string) time.Duration {
	most := uint64(router.MaxRetryDelay.Std() / time.Second)
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		n = most
	}
	return time.Duration(min(n, most)) * time.Second
}
