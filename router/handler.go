package router

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Handler handles an event. It may be called by several goroutines at once, and for the same event more than once. What it returns or panics
// with decides about its own delivery only. It may subscribe, watch, publish and end subscriptions, its own included. Its ctx ends when the
// time for the call is over, and when a stopping Router's grace period is; a handler that goes on all the same keeps its place among
// MaxInFlight until it returns.
type Handler func(ctx context.Context, e Event) error

// HandlerConfig says how deliveries to a handler are made. The zero value works.
type HandlerConfig struct {
	// Timeout of one call; the handler's ctx ends with it. From 100 ms to 5 minutes. Defaults to 30 seconds.
	Timeout time.Duration
	// MaxInFlight is how many calls run at once, over all replicas, and, counting those that ran out of time and have not returned, within
	// one. From 1 to 1,000. Defaults to 16.
	MaxInFlight int
	// Ordered calls the handler for one event at a time of those with the same partition key, else subject, in their order; a retry holds back only those.
	Ordered bool
	// MaxBacklog is how many events may wait in each partition; newer ones become dead letters. Defaults to any number.
	MaxBacklog int
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
	ended   func(*Handling)

	mu      sync.Mutex
	closed  bool
	running int // calls that have not returned, also those that ran out of time
}

// Name is the subscription's name.
func (h *Handling) Name() string { return h.name }

// Close takes the handler away from this replica. After it has returned, no new call begins; calls under way finish, and one that is about to
// take its first step is under way. What is queued waits for a replica that subscribes under the name again. Closing twice does nothing.
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
	if handler == nil {
		return nil, Errorf(Invalid, "handler %q: there is no function", name)
	}
	h := &Handling{name: name, handler: handler, ended: r.handlers.remove}
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
		Delivery: Delivery{Retry: retry, MaxInFlight: cmp.Or(config.MaxInFlight, DefaultMaxInFlight), Ordered: config.Ordered, MaxBacklog: config.MaxBacklog},
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
		default:
			sub.ID, sub.Version, sub.Created, sub.Title, sub.Enabled = old.ID, old.Version, old.Created, old.Title, old.Enabled
			if EqualDefinition(old, sub) {
				return r.insistOnAnnouncement(ctx, old)
			}
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

// insistOnAnnouncement makes sure that a definition that was found holds everywhere: whoever stored it may not have come to announcing it yet.
func (r *Router) insistOnAnnouncement(ctx context.Context, s Subscription) error {
	_, err := r.store.Definitions(ctx, s.Version-1)
	return err
}

// handlers are the handlers of this replica. It is the sender for their subscriptions.
type handlers struct {
	router *Router
	calls  runningCalls
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

// room is how many more calls of a subscription's handler this replica may begin: none where it has no such handler, or its calls do not return.
func (hs *handlers) room(sub *Subscription) int {
	h := hs.get(sub.Name)
	if h == nil {
		return 0
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return 0
	}
	return sub.Delivery.MaxInFlight - h.running
}

// Send calls the handler; see Sender. It returns when the handler does or when the call is given up.
func (hs *handlers) Send(ctx context.Context, s Sending) Attempt {
	ended := make(chan Attempt, 1)
	call := hs.newCall(ctx, s, func(a Attempt) { ended <- a })
	stop := context.AfterFunc(ctx, func() { hs.abandon(ctx) })
	defer stop()
	go call.run()
	return <-ended
}

// abandon gives up the calls that were made with a ctx.
func (hs *handlers) abandon(ctx context.Context) {
	hs.calls.abandon(func(c *handlerCall) bool { return c.parent == ctx })
}

// begin counts a call in, right before its first step. It tells whether there may be one: not any more when Close has returned, and never more
// at once than limit.
func (h *Handling) begin(limit int) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.running >= limit {
		return false
	}
	h.running++
	return true
}

func (h *Handling) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running--
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
