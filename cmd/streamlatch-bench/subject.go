package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// Subject is what is measured, ours or the reference: a process with a Redis, beside it or within, that accepts events over HTTP, stores them
// there and delivers them. Both stand in exactly the same arrangement, with the same load and the same sink.
type Subject interface {
	// EventsURL is where events are published, singly or in arrays, answered with 202 once they are stored.
	EventsURL() string
	// PID is the process whose CPU time is the subject's.
	PID() int
	// Subscribe makes every event accepted from now on go to a URL, with at most inFlight requests at a time.
	Subscribe(ctx context.Context, target string, inFlight int) error
	// Backlog is how many deliveries wait or are under way.
	Backlog(ctx context.Context) (int, error)
	// Close ends the process at once.
	Close() error
}

// launcher starts subjects of one kind.
type launcher struct {
	start    func(ctx context.Context, redis *redistest.Server) (Subject, error)
	embedded bool // its Redis is in its own process; it is started without one
}

// bareSubject is the reference: the role "role-bare".
type bareSubject struct {
	*child
	url string
}

// bareLauncher starts the reference on a real Redis.
func bareLauncher() launcher {
	return launcher{start: func(ctx context.Context, redis *redistest.Server) (Subject, error) {
		return startBare(ctx, "-redis", redis.Addr())
	}}
}

// bareEmbeddedLauncher starts the reference on a miniredis.
func bareEmbeddedLauncher() launcher {
	return launcher{embedded: true, start: func(ctx context.Context, _ *redistest.Server) (Subject, error) { return startBare(ctx) }}
}

func startBare(ctx context.Context, args ...string) (Subject, error) {
	c, err := startRole("role-bare", args...)
	if err != nil {
		return nil, err
	}
	var a address
	if err := c.read(ctx, &a); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &bareSubject{child: c, url: "http://" + a.Addr}, nil
}

func (b *bareSubject) EventsURL() string { return b.url + eventsPath }

func (b *bareSubject) PID() int { return b.process.PID() }

func (b *bareSubject) Subscribe(ctx context.Context, target string, inFlight int) error {
	query := url.Values{"to": {target}, "workers": {strconv.Itoa(inFlight)}}
	return call(ctx, http.MethodPost, b.url+relayPath+"?"+query.Encode(), nil, nil)
}

// Backlog is not known to the bare server, which keeps no queue.
func (b *bareSubject) Backlog(context.Context) (int, error) {
	return 0, errors.New("the reference keeps no queue")
}

// call makes an HTTP call with JSON in both directions; a status other than 2xx is an error that holds the answer's beginning.
func call(ctx context.Context, method, target string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return fmt.Errorf("%s %s: %w", method, target, cause)
		}
		return err
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 500))
		return fmt.Errorf("%s %s: status %d: %s", method, target, response.StatusCode, text)
	}
	if out == nil {
		_, err := io.Copy(io.Discard, response.Body)
		return err
	}
	return json.NewDecoder(response.Body).Decode(out)
}
