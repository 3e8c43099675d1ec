package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Handler handles an event. It may be called by several goroutines at once, and for the same event more than once. What it returns or panics
// with decides about its own delivery only. It may subscribe, watch, publish and end subscriptions, its own included.
type Handler func(ctx context.Context, e Event) error

// HandlerConfig says how deliveries to a handler are made. The zero value works.
type HandlerConfig struct {
	// Timeout of one call; the handler's ctx ends with it. From 100 ms to 5 minutes. Defaults to 30 seconds.
	Timeout time.Duration
	// MaxInFlight is how many calls run at once, over all replicas. Defaults to 16.
	MaxInFlight int
	// Retry is when a failed call is made again. Defaults to DefaultRetry().
	Retry *Retry
}

// DefaultHandlerTimeout is how long a call of a handler may take unless it says otherwise.
const DefaultHandlerTimeout = 30 * time.Second

// Handling is a handler at work in this replica. The durable subscription under its name is a thing of its own: it is made by Subscribe, outlives
// all replicas, and is deleted like any other.
type Handling struct {
	name    string
	handler Handler
	timeout time.Duration
	ended   func(*Handling)

	mu        sync.Mutex
	closed    bool
	abandoned int // calls that ran out of time and have not returned
	limit     int // of those
}

// Name is the subscription's name.
func (h *Handling) Name() string { return h.name }

// Close takes the handler away from this replica. After it has returned, no new call begins; calls under way finish. What is queued waits for
// a replica that subscribes under the name again. Closing twice does nothing.
func (h *Handling) Close() {
	h.mu.Lock()
	closed := h.closed
	h.closed = true
	h.mu.Unlock()
	if !closed {
		h.ended(h)
	}
}

// Subscribe has a handler called for every event whose type matches the pattern and that is accepted after Subscribe has returned: durably, on one
// replica at a time for each event, at least once, again by schedule where it fails. Replicas that subscribe under the same name share the
// work; the pattern and configuration of the last one hold. Errors: Invalid for a bad pattern, name or configuration; Conflict where this
// replica has a handler under that name, or the name belongs to a subscription of another kind; Unavailable.
func (r *Router) Subscribe(ctx context.Context, pattern, name string, handler Handler, config HandlerConfig) (*Handling, error) {
	sub := handlerSubscription(pattern, name, config)
	if err := sub.Validate(Rules{}); err != nil {
		return nil, err
	}
	h := &Handling{name: name, handler: handler, timeout: time.Duration(sub.Sink.Timeout), limit: sub.Delivery.MaxInFlight, ended: r.handlers.remove}
	if err := r.handlers.add(h); err != nil {
		return nil, err
	}
	if err := r.defineHandler(ctx, sub); err != nil {
		h.Close()
		return nil, fmt.Errorf("subscribe handler %q: %w", name, err)
	}
	return h, nil
}

func handlerSubscription(pattern, name string, config HandlerConfig) Subscription {
	retry := DefaultRetry()
	if config.Retry != nil {
		retry = *config.Retry
	}
	return Subscription{
		Name: name, Enabled: true, Filter: Filter{Types: []string{pattern}},
		Sink:     Sink{Kind: HandlerSink, Timeout: Duration(cmp.Or(config.Timeout, DefaultHandlerTimeout))},
		Delivery: Delivery{Retry: retry, MaxInFlight: cmp.Or(config.MaxInFlight, DefaultMaxInFlight)},
	}
}

// defineHandler stores the subscription of a handler, or changes the one that is there. Replicas that start together may meet: then it looks again.
func (r *Router) defineHandler(ctx context.Context, sub Subscription) error {
	for {
		old, err := r.store.Subscription(ctx, sub.Name)
		switch {
		case ErrorCode(err) == NotFound:
			_, err = r.store.CreateSubscription(ctx, sub)
		case err != nil:
			return err
		case old.Sink.Kind != HandlerSink:
			return Errorf(Conflict, "the name %q belongs to a subscription whose sink is a %s", sub.Name, old.Sink.Kind)
		case EqualDefinition(old, sub):
			return nil
		default:
			sub.ID, sub.Version, sub.Created, sub.Title, sub.Enabled = old.ID, old.Version, old.Created, old.Title, old.Enabled
			_, err = r.store.ReplaceSubscription(ctx, sub)
		}
		if code := ErrorCode(err); err == nil || (code != Conflict && code != Precondition && code != NotFound) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// handlers are the handlers of this replica. It is the sender for their subscriptions.
type handlers struct {
	router *Router
	mu     sync.Mutex
	byName map[string]*Handling
}

func newHandlers(r *Router) *handlers {
	return &handlers{router: r, byName: make(map[string]*Handling)}
}

func (hs *handlers) add(h *Handling) error {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	if hs.byName[h.name] != nil {
		return Errorf(Conflict, "this replica has a handler named %q already", h.name)
	}
	hs.byName[h.name] = h
	hs.announce()
	return nil
}

func (hs *handlers) remove(h *Handling) {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	delete(hs.byName, h.name)
	hs.announce()
}

// announce has the replicas' register say which handlers there are.
func (hs *handlers) announce() {
	select {
	case hs.router.changed <- struct{}{}:
	default:
	}
}

func (hs *handlers) get(name string) *Handling {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	return hs.byName[name]
}

func (hs *handlers) names() []string {
	hs.mu.Lock()
	defer hs.mu.Unlock()
	names := make([]string, 0, len(hs.byName))
	for name := range hs.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// has tells whether calls of that handler can be made. One whose calls do not return gets no more of them than it may have at once.
func (hs *handlers) has(name string) bool {
	h := hs.get(name)
	if h == nil {
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.closed && h.abandoned < h.limit
}

// Send calls the handler; see Sender.
func (hs *handlers) Send(ctx context.Context, s Sending) Attempt {
	attempt := Attempt{At: time.Now(), Outcome: OutcomeCanceled}
	if h := hs.get(s.Subscription.Name); h != nil && h.begin() {
		attempt.Outcome, attempt.Error = h.call(ctx, s.Event)
	}
	attempt.Duration = Duration(time.Since(attempt.At))
	return attempt
}

// begin tells whether a call may begin: not any more when Close has returned.
func (h *Handling) begin() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.closed
}

var errHandlerTimeout = errors.New("the handler did not return in time")

// call calls the handler in a goroutine of its own, so that one that never returns holds nobody up but itself.
func (h *Handling) call(ctx context.Context, e Event) (Outcome, string) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.timeout, errHandlerTimeout)
	defer cancel()
	result := make(chan handled, 1)
	go func() { result <- protect(func() error { return h.handler(context.WithValue(ctx, handling{}, e), e) }) }()
	select {
	case r := <-result:
		return r.outcome(ctx)
	case <-ctx.Done():
	}
	h.abandon(result)
	return handled{err: context.Cause(ctx)}.outcome(ctx)
}

// abandon counts a call that ran out of time until it returns.
func (h *Handling) abandon(result <-chan handled) {
	h.count(1)
	go func() {
		<-result
		h.count(-1)
	}()
}

func (h *Handling) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.abandoned += n
}

// handled is how a call ended.
type handled struct {
	err      error
	panicked bool
}

// protect turns a panic into an error. Whatever was panicked with is printed by fmt, which survives values that panic themselves.
func protect(call func() error) (h handled) {
	defer func() {
		if v := recover(); v != nil {
			h = handled{err: fmt.Errorf("%v\n%s", v, debug.Stack()), panicked: true}
		}
	}()
	return handled{err: call()}
}

func (h handled) outcome(ctx context.Context) (Outcome, string) {
	switch {
	case h.err == nil:
		return OutcomeDelivered, ""
	case h.panicked:
		return OutcomeHandlerPanic, clip(fmt.Sprint(h.err))
	case errors.Is(context.Cause(ctx), errHandlerTimeout):
		return OutcomeTimeout, errHandlerTimeout.Error()
	case ctx.Err() != nil:
		return OutcomeCanceled, ""
	default:
		return OutcomeHandlerError, clip(fmt.Sprint(h.err))
	}
}

// maxErrorText is how much of an error is recorded, in bytes.
const maxErrorText = 4096

func clip(text string) string {
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	return text
}

// handling is where a handler's ctx has the event that is handled.
type handling struct{}

// derive counts an event that is published while another is handled one hop more than that.
func derive(ctx context.Context, e Event) (Event, error) {
	cause, ok := ctx.Value(handling{}).(Event)
	if !ok {
		return e, nil
	}
	hops := cause.Hops() + 1
	if hops > MaxHops {
		return e, Errorf(Loop, "the event was derived from another %d times in a row; more than %d are taken for a loop", hops, MaxHops)
	}
	return e.WithExtension(Extension{Name: HopsExtension, Value: strconv.Itoa(hops), Kind: IntegerValue})
}

// Watching is a function that watches events in this replica.
type Watching struct {
	stop   context.CancelFunc
	mu     sync.Mutex
	closed bool
}

// Close ends the watching. After it has returned, no new call begins. Closing twice does nothing.
func (w *Watching) Close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.stop()
}

// Watch has a function called in this replica for every event whose type matches the pattern and that is accepted after Watch has returned: live, in
// the order of each partition, one call at a time, nothing stored. It is best effort: what a function that is too slow can't keep up with is
// skipped, and what is accepted while the replica is down is not seen; an outage of Redis is made up for. Calls begin when Run runs.
// Errors: Invalid for a bad pattern, Unavailable.
func (r *Router) Watch(ctx context.Context, pattern string, watch func(ctx context.Context, e Event)) (*Watching, error) {
	types, err := ParseTypePattern(pattern)
	if err != nil {
		return nil, err
	}
	follower, err := r.feed.Follow(ctx, nil, func(e Event) bool { return types.Match(e.Type()) })
	if err != nil {
		return nil, fmt.Errorf("watch %q: %w", pattern, err)
	}
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &Watching{stop: stop}
	go w.run(watching, r, follower, watch)
	return w, nil
}

func (w *Watching) run(ctx context.Context, r *Router, follower *Follower, watch func(context.Context, Event)) {
	defer func() { follower.Close() }()
	for {
		records, err := follower.Next(ctx)
		if errors.Is(err, ErrTooSlow) {
			r.config.Logger.Warn("a watching function is too slow; events are skipped")
			follower.Close()
			follower, err = r.feed.Follow(ctx, nil, follower.match)
		}
		if err != nil {
			return
		}
		for _, record := range records {
			w.see(ctx, r, record.Event, watch)
		}
	}
}

func (w *Watching) see(ctx context.Context, r *Router, e Event, watch func(context.Context, Event)) {
	w.mu.Lock()
	closed := w.closed
	w.mu.Unlock()
	if closed {
		return
	}
	result := protect(func() error {
		watch(context.WithValue(ctx, handling{}, e), e)
		return nil
	})
	if result.panicked {
		r.config.Logger.Error("a watching function panicked", "panic", result.err)
	}
}
