package main

import (
	"context"
	"flag"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// load says what to publish, and to whom.
type load struct {
	URL         string
	Run         string
	Events      int
	Batch       int     // events in a request
	Connections int     // each has one request under way
	Rate        float64 // events a second; 0: as fast as the answers come
	Secret      string  // signs each request like a webhook of GitHub; "": it is none
}

// loadResult tells when the load was carried.
type loadResult struct {
	Started  int64 // Unix nanoseconds, before the first request
	Finished int64 // after the last answer
}

func (r loadResult) elapsed() time.Duration { return time.Duration(r.Finished - r.Started) }

// args are the arguments of the role that carries the load.
func (l load) args() []string {
	return []string{
		"-url", l.URL,
		"-run", l.Run,
		"-events", fmt.Sprint(l.Events),
		"-batch", fmt.Sprint(l.Batch),
		"-connections", fmt.Sprint(l.Connections),
		"-rate", fmt.Sprint(l.Rate),
		"-secret", l.Secret,
	}
}

// runLoad is the role "role-load": it publishes events, prints its result and ends.
func runLoad(ctx context.Context, args []string, say func(any) error) error {
	var l load
	f := flag.NewFlagSet("role-load", flag.ContinueOnError)
	f.StringVar(&l.URL, "url", "", "where to publish")
	f.StringVar(&l.Run, "run", "", "name of this sequence of events")
	f.IntVar(&l.Events, "events", 1000, "how many events, a multiple of the batch")
	f.IntVar(&l.Batch, "batch", 1, "events in a request")
	f.IntVar(&l.Connections, "connections", 1, "connections, each with one request under way")
	f.Float64Var(&l.Rate, "rate", 0, "events a second; 0 is as fast as possible")
	f.StringVar(&l.Secret, "secret", "", "signs each request like a webhook of GitHub")
	if err := f.Parse(args); err != nil {
		return err
	}
	result, err := l.carry(ctx)
	if err != nil {
		return err
	}
	return say(result)
}

// turn is the order to send one request.
type turn struct {
	first int   // number of its first event
	sent  int64 // Unix nanoseconds at which it was due
}

// carry publishes all events and returns when the last is answered.
func (l load) carry(ctx context.Context) (loadResult, error) {
	posters, ctx := errgroup.WithContext(ctx)
	next := l.inOrder()
	if l.Rate > 0 {
		turns := make(chan turn, l.Events) // a slow answer delays no other request's time
		posters.Go(func() error { return l.pace(ctx, turns) })
		next = func() (turn, bool) {
			t, ok := <-turns
			return t, ok
		}
	}
	result := loadResult{Started: time.Now().UnixNano()}
	for range l.Connections {
		posters.Go(func() error { return l.keepPosting(ctx, next) })
	}
	err := posters.Wait()
	result.Finished = time.Now().UnixNano()
	return result, err
}

// inOrder gives out turns at once, to any number of goroutines.
func (l load) inOrder() func() (turn, bool) {
	var taken atomic.Int64
	return func() (turn, bool) {
		first := int(taken.Add(int64(l.Batch))) - l.Batch
		return turn{first: first, sent: time.Now().UnixNano()}, first < l.Events
	}
}

// pace gives out turns at the rate. A turn's time is when it was given out: lateness of this process' timers, a
// millisecond at most, is not held against the server, but waiting for a free connection is.
func (l load) pace(ctx context.Context, turns chan<- turn) error {
	defer close(turns)
	began := time.Now()
	for first := 0; first < l.Events; first += l.Batch {
		due := began.Add(time.Duration(float64(first) / l.Rate * float64(time.Second)))
		if wait := time.Until(due); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		turns <- turn{first: first, sent: time.Now().UnixNano()}
	}
	return nil
}

// keepPosting sends requests over one connection until there are no more turns.
func (l load) keepPosting(ctx context.Context, next func() (turn, bool)) error {
	d := newDocument(l.Run, l.Batch)
	p, err := dialPoster(ctx, l.URL, d, l.Secret)
	if err != nil {
		return fmt.Errorf("publish to %s: %w", l.URL, err)
	}
	defer p.Close()
	stop := context.AfterFunc(ctx, func() { _ = p.Close() })
	defer stop()
	for t, ok := next(); ok; t, ok = next() {
		d.stamp(t.first, t.sent)
		if err := p.post(); err != nil {
			return fmt.Errorf("publish events from %d on to %s: %w", t.first, l.URL, err)
		}
	}
	return nil
}
