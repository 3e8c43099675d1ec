package client

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"time"
)

// Retry says how long to go on with a call that fails for a while: no connection, 429, 503. Waits double from First up to Most, the half of each at random; a
// Retry-After of the server is waited for in full.
type Retry struct {
	// For is how much waiting there may be in one call. Negative: no call is made twice. Defaults to 30 seconds.
	For time.Duration
	// First is the longest first wait. Defaults to 200 milliseconds.
	First time.Duration
	// Most is the longest wait. Defaults to 5 seconds.
	Most time.Duration
	// OnWait is told why and how long, before each wait. Defaults to nobody.
	OnWait func(err error, d time.Duration)
}

func (r Retry) withDefaults() Retry {
	r.For, r.First, r.Most = cmp.Or(r.For, 30*time.Second), cmp.Or(r.First, 200*time.Millisecond), cmp.Or(r.Most, 5*time.Second)
	return r
}

// repeat says when a call may be made again.
type repeat uint8

const (
	refused repeat = iota // the server said that it did nothing: 429
	always                // doing it twice is doing it once
)

// attempts counts what one call has waited.
type attempts struct {
	client *Client
	left   time.Duration
	next   time.Duration
}

func (r Retry) begin(c *Client) *attempts { return &attempts{client: c, left: r.For, next: r.First} }

// again waits before another attempt; it returns false where there should be none.
func (a *attempts) again(ctx context.Context, allowed repeat, err error) bool {
	after, ok := isWorthRepeating(allowed, err)
	return ok && a.wait(ctx, after, err)
}

// wait waits for the backoff's time after an error, at least for the given one.
func (a *attempts) wait(ctx context.Context, least time.Duration, err error) bool {
	d := max(least, a.backoff())
	if d > a.left || ctx.Err() != nil {
		return false
	}
	a.left -= d
	if notify := a.client.cfg.Retry.OnWait; notify != nil {
		notify(err, d)
	}
	return a.client.cfg.Sleep(ctx, d) == nil
}

// backoff gives the next wait: half of it for sure, half at random, so that clients that failed together don't come back together.
func (a *attempts) backoff() time.Duration {
	d := a.next
	a.next = min(2*a.next, a.client.cfg.Retry.Most)
	return d/2 + time.Duration(a.client.jitter()*float64(d/2))
}

// isWorthRepeating tells whether a call that failed may and should be made again, and after what time at the earliest.
func isWorthRepeating(allowed repeat, err error) (after time.Duration, ok bool) {
	if e, is := errors.AsType[*Error](err); is {
		return e.RetryAfter, e.Retryable && (allowed == always || e.Status == http.StatusTooManyRequests)
	}
	_, lost := errors.AsType[*ConnectionError](err)
	return 0, lost && allowed == always
}
