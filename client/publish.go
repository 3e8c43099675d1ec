package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Published is what became of one event.
type Published struct {
	Position  string // in the log: "0:1732128000000-0"; empty where Err is set
	Duplicate bool   // it had been stored before this call; false also where the call had to be repeated and can't tell
	Err       error  // an *Error: the event was refused, or it is not known whether it was stored; nil: it is stored
}

// Publish stores events in the log, each once however often it is sent, and returns what became of each, in their order. One event that the server refuses
// keeps no other from being stored. What fails for a while is sent again, as Config.Retry says.
//
// The error is set where something other than a single event was refused, such as the API key, or where the server could not be reached; then what the
// results say with Err nil is still true, and publishing all of them again is safe.
func (c *Client) Publish(ctx context.Context, events []Event) ([]Published, error) {
	p := &publishing{client: c, events: events, results: make([]Published, len(events)), attempts: c.cfg.Retry.begin(c)}
	all := make([]int, len(events))
	for i := range all {
		all[i] = i
	}
	err := p.send(ctx, all)
	return p.results, err
}

// ErrUnsettled stands in the results of events that nothing is known of. To publish them again is safe.
var ErrUnsettled = errors.New("it is not known whether the event was stored")

// publishing is one call of Publish.
type publishing struct {
	client   *Client
	events   []Event
	results  []Published
	attempts *attempts
	resent   bool // what is a duplicate may be our own doing
}

// send settles the events with these indexes.
func (p *publishing) send(ctx context.Context, pending []int) error {
	for len(pending) > 0 {
		results, err := p.post(ctx, pending)
		left := p.note(pending, results)
		if err == nil && len(results) != len(pending) {
			err = fmt.Errorf("the server answered for %d of %d events", len(results), len(pending))
		}
		if err == nil {
			return nil
		}
		if len(results) == len(pending) && len(left) == 0 {
			return nil // each is stored or refused for good
		}
		if after, ok := isWorthRepeating(always, err); ok {
			p.resent = true
			if p.attempts.wait(ctx, after, err) {
				pending = left
				continue
			}
		} else if isAboutEvents(err) {
			return p.isolate(ctx, left, err)
		}
		p.giveUp(left, err)
		return err
	}
	return nil
}

// post sends the events in one request.
func (p *publishing) post(ctx context.Context, pending []int) ([]publishResult, error) {
	body := []byte{'['}
	for n, i := range pending {
		if n > 0 {
			body = append(body, ',')
		}
		body = append(body, p.events[i].text...)
	}
	a, err := p.client.once(ctx, request{
		method: http.MethodPost, path: "/v1/events", body: append(body, ']'),
		header: http.Header{"Content-Type": {"application/json"}},
	})
	var got struct {
		Events []publishResult `json:"events"`
	}
	if jsonErr := json.Unmarshal(a.body, &got); err == nil && jsonErr != nil {
		err = fmt.Errorf("the server's answer is not what this client knows: %w", jsonErr)
	}
	return got.Events, err
}

// publishResult is one element of the server's answer.
type publishResult struct {
	Position  string `json:"position"`
	Duplicate bool   `json:"duplicate"`
	Error     *Error `json:"error"`
}

// note takes over results, and returns which events are still to be settled.
func (p *publishing) note(pending []int, results []publishResult) (left []int) {
	if len(results) != len(pending) {
		return pending
	}
	for n, i := range pending {
		switch r := results[n]; {
		case r.Error == nil:
			p.results[i] = Published{Position: r.Position, Duplicate: r.Duplicate && !p.resent}
		case r.Error.Retryable:
			left = append(left, i)
		default:
			p.results[i] = Published{Err: r.Error}
		}
	}
	return left
}

// giveUp says of events that they are not settled.
func (p *publishing) giveUp(left []int, err error) {
	if _, ok := errors.AsType[*Error](err); !ok {
		err = ErrUnsettled
	}
	for _, i := range left {
		p.results[i] = Published{Err: err}
	}
}

// isAboutEvents tells whether a refusal of a whole request can be the fault of some of its events.
func isAboutEvents(err error) bool {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch e.Status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	case http.StatusForbidden:
		return len(e.Problems) > 0 // a type that the key is not for; without problems, it is the key
	}
	return false
}

// isolate refuses the events that the server named, and settles the others; where it named none, it looks for them by halves.
func (p *publishing) isolate(ctx context.Context, pending []int, err error) error {
	refusal, _ := errors.AsType[*Error](err)
	if len(pending) == 1 {
		one := relocate(refusal, "body[0]")
		if len(one.Problems) == 0 {
			one = refusal
		}
		p.results[pending[0]] = Published{Err: one}
		return nil
	}
	var rest []int
	for n, i := range pending {
		if one := relocate(refusal, "body["+strconv.Itoa(n)+"]"); len(one.Problems) > 0 {
			p.results[i] = Published{Err: one}
		} else {
			rest = append(rest, i)
		}
	}
	if len(rest) < len(pending) {
		return p.send(ctx, rest)
	}
	half := len(rest) / 2
	if err := p.send(ctx, rest[:half]); err != nil {
		p.giveUp(rest[half:], err)
		return err
	}
	return p.send(ctx, rest[half:])
}

// relocate gives of a refusal the problems of one event, at places within it.
func relocate(e *Error, at string) *Error {
	one := *e
	one.Problems = nil
	for _, problem := range e.Problems {
		rest, ok := strings.CutPrefix(problem.Location, at)
		if ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			one.Problems = append(one.Problems, Problem{strings.TrimPrefix(rest, "."), problem.Message})
		}
	}
	return &one
}

// MaxBatch and MaxBatchBytes are the most that a server takes in one call of Publish, unless it is configured otherwise.
const (
	MaxBatch      = 1000
	MaxBatchBytes = 16 << 20
)

// Size is how many bytes the event takes in a request.
func (e Event) Size() int { return len(e.text) + 1 }
