package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// routeResult is what a role prints that has routed a backlog.
type routeResult struct {
	loadResult
	Allocations uint64 // of the process, meanwhile
}

// routeArgs are the arguments of such a role.
type routeArgs struct {
	redis  string // "": a miniredis of its own
	events int
}

func parseRouteArgs(name string, args []string) (a routeArgs, err error) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.StringVar(&a.redis, "redis", "", redisUsage)
	f.IntVar(&a.events, "events", 0, "length of the backlog")
	return a, f.Parse(args)
}

// counted calls a function and returns when it ran and what it allocated.
func counted(f func() error) (r routeResult, err error) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r.Started = time.Now().UnixNano()
	err = f()
	r.Finished = time.Now().UnixNano()
	runtime.ReadMemStats(&after)
	r.Allocations = after.Mallocs - before.Mallocs
	return r, err
}

const (
	backlogStream = "bare:backlog" // what the bare router reads
	routedStream  = "bare:routed"  // and what it writes
	routeCount    = 1000           // entries in one read and one pipeline
)

// runRoute is the role "role-route": it makes a backlog and moves it from one stream to another with a bare go-redis loop, XREAD and then a pipeline of
// XADDs.
func runRoute(ctx context.Context, args []string, say func(any) error) error {
	a, err := parseRouteArgs("role-route", args)
	if err != nil {
		return err
	}
	addr, stop, err := orEmbedded(a.redis)
	if err != nil {
		return err
	}
	defer stop()
	client := redis.NewClient(redistest.Options(addr))
	defer client.Close()
	if err := fillBacklog(ctx, client, a.events); err != nil {
		return err
	}
	result, err := counted(func() error { return routeAll(ctx, client, a.events) })
	if err != nil {
		return err
	}
	return say(result)
}

func routeAll(ctx context.Context, client *redis.Client, events int) error {
	last := "0"
	for moved := 0; moved < events; {
		n, err := routeOnce(ctx, client, &last)
		if err != nil {
			return fmt.Errorf("route entries from %s on: %w", last, err)
		}
		moved += n
	}
	return nil
}

// routeOnce moves the entries after last, and moves last.
func routeOnce(ctx context.Context, client *redis.Client, last *string) (int, error) {
	streams, err := client.XRead(ctx, &redis.XReadArgs{Streams: []string{backlogStream, *last}, Count: routeCount, Block: -1}).Result()
	if err != nil {
		return 0, err
	}
	entries := streams[0].Messages
	pipe := client.Pipeline()
	for _, entry := range entries {
		pipe.Do(ctx, "XADD", routedStream, "*", entryField, entry.Values[entryField])
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, err
	}
	*last = entries[len(entries)-1].ID
	return len(entries), nil
}

// fillBacklog puts events into the stream that the bare router reads.
func fillBacklog(ctx context.Context, client *redis.Client, events int) error {
	run := newRun()
	for filled := 0; filled < events; {
		pipe := client.Pipeline()
		for range min(maxCommit, events-filled) {
			pipe.Do(ctx, "XADD", backlogStream, "*", entryField, appendEvent(nil, run, filled, 0))
			filled++
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("fill the backlog: %w", err)
		}
	}
	return nil
}

// garbagePercent is what streamlatch itself sets, unless GOGC says otherwise.
const garbagePercent = 400

// runHandle is the role "role-handle": it makes a backlog and routes it with our library to a Go handler that counts, with the garbage collector set
// as streamlatch sets it. References run as Go does by default.
func runHandle(ctx context.Context, args []string, say func(any) error) (err error) {
	a, err := parseRouteArgs("role-handle", args)
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	addr, stop, err := orEmbedded(a.redis)
	if err != nil {
		return err
	}
	defer stop()
	store, err := redisstore.Open(ctx, redisstore.Config{URL: "redis://" + addr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	if err := appendBacklog(ctx, store, a.events); err != nil {
		return err
	}
	h := newHandling(a.events)
	result, err := counted(func() error { return h.route(ctx, store) })
	if err != nil {
		return err
	}
	return say(result)
}

// appendBacklog stores events while nothing routes them.
func appendBacklog(ctx context.Context, store *redisstore.Store, events int) error {
	run := newRun()
	for first := 0; first < events; first += batchSize {
		batch := make([]router.Event, min(batchSize, events-first))
		for i := range batch {
			e, err := libraryEvent(run, first+i)
			if err != nil {
				return err
			}
			batch[i] = e
		}
		for _, result := range store.Append(ctx, batch) {
			if result.Err != nil {
				return fmt.Errorf("fill the backlog: %w", result.Err)
			}
		}
	}
	return nil
}

// libraryEvent is the event that appendEvent writes, for the library.
func libraryEvent(run string, seq int) (router.Event, error) {
	return router.NewEvent(router.EventFields{
		ID: fmt.Sprintf("%s-%0*d", run, seqDigits, seq), Source: "/bench", Type: eventType,
		DataContentType: "application/json", DataKind: router.JSONData, Data: string(appendPayload(nil, run, seq, 0)),
	})
}

// handling handles a backlog, and tells when all of it is handled and settled.
type handling struct {
	seen    []atomic.Bool
	handled atomic.Int64 // different events
	settled atomic.Int64
	all     sync.Once
	done    chan struct{} // closed when all is handled and settled
}

func newHandling(events int) *handling {
	return &handling{seen: make([]atomic.Bool, events), done: make(chan struct{})}
}

// route routes the backlog until all of it is handled and settled, once each.
func (h *handling) route(ctx context.Context, store *redisstore.Store) error {
	r := router.New(store, router.Config{Observer: h})
	config := router.HandlerConfig{MaxInFlight: router.MaxMaxInFlight}
	if _, err := r.Subscribe(ctx, "bench.*", subscriptionName, h.handle, config); err != nil {
		return err
	}
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- r.Run(running) }()
	select {
	case <-h.done:
		stop()
		return <-ended
	case err := <-ended:
		return fmt.Errorf("the router ended before everything was routed: %w", err)
	}
}

func (h *handling) handle(_ context.Context, e router.Event) error {
	id := e.ID()
	seq, err := strconv.Atoi(id[len(id)-seqDigits:])
	if err != nil || seq >= len(h.seen) {
		return fmt.Errorf("%q is not of the backlog", id)
	}
	if !h.seen[seq].Swap(true) {
		h.handled.Add(1)
	}
	return nil
}

// Settled is called after the handler has returned and its delivery is off the queue.
func (h *handling) Settled(_ router.SinkKind, verdict router.Verdict, _ int) {
	if n := int64(len(h.seen)); verdict == router.Delivered && h.settled.Add(1) >= n && h.handled.Load() == n {
		h.all.Do(func() { close(h.done) })
	}
}

// Applied does nothing.
func (*handling) Applied(int, int, int, time.Duration) {}

// Refused does nothing.
func (*handling) Refused(int, router.ApplyStatus) {}

// Attempted does nothing.
func (*handling) Attempted(router.SinkKind, router.Outcome, time.Duration) {}

// Failed does nothing.
func (*handling) Failed(string) {}

// routed is how fast a backlog was routed.
type routed struct {
	perSecond   float64
	allocations float64 // per event
}

// measureRoute has a role route a backlog, on a real Redis of its own or an embedded one.
func measureRoute(ctx context.Context, role string, events int, embedded bool) (r routed, err error) {
	args := []string{"-events", fmt.Sprint(events)}
	if !embedded {
		server, err := redistest.Launch()
		if err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		args = append(args, "-redis", server.Addr())
	}
	result, _, err := finish[routeResult](ctx, role, args...)
	if err != nil {
		return r, err
	}
	return routed{perSecond(events, result.elapsed()), float64(result.Allocations) / float64(events)}, nil
}
