package router

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// Store is everything that a Router keeps. One Store may serve several Routers.
type Store interface {
	Appender
	PartitionStore
	DefinitionStore
	SubscriptionStore
	Disabler
	Pauser
	TriggerStore
	SourceStore
	QueueStore
	PullStore
	OperationStore
	PartialStore
	ForwardStore
	Replicas
	Keeper
}

// Sending is one attempt at a delivery.
type Sending struct {
	Subscription *Subscription // read only
	Entry        Entry
	Event        Event
	Attempt      int // counted from 1
}

// DeliveryID names the delivery: the same on each attempt.
func (s Sending) DeliveryID() string { return DeliveryID(s.Subscription.ID, s.Entry) }

// Sender makes attempts at deliveries to one kind of sink. It is called by many goroutines at once. Send returns when the attempt is over; it ends
// early when ctx does, with the outcome OutcomeCanceled.
type Sender interface {
	Send(ctx context.Context, s Sending) Attempt
}

// Observer is told what a Router does, for metrics. Its methods are called often and by many goroutines; they must not block.
type Observer interface {
	// Applied: a batch was applied.
	Applied(partition, events, deliveries int, took time.Duration)
	// Refused: a batch was not applied, since another replica was faster or the definitions had changed.
	Refused(partition int, status ApplyStatus)
	// Attempted: one attempt at a delivery is over.
	Attempted(kind SinkKind, outcome Outcome, took time.Duration)
	// Settled: what becomes of a delivery after an attempt; lost is when the lease had run out.
	Settled(kind SinkKind, verdict Verdict, lost int)
	// Failed: a background step failed and will be repeated.
	Failed(step string)
}

// Config says how a Router works. The zero value of every field works.
type Config struct {
	// Senders for the kinds of sinks that are not Go handlers.
	Senders map[SinkKind]Sender
	// Lease is how long a replica may be silent before another takes its partitions over. Defaults to 3 seconds.
	Lease time.Duration
	// MaxSends is how many deliveries this replica has in flight at most. Defaults to 1,024.
	MaxSends int
	// Grace is how long a stopping Router lets attempts under way finish. Defaults to 15 seconds.
	Grace time.Duration
	// Replica names this replica. Defaults to something random.
	Replica string
	// Version of the program, for the status.
	Version string
	// Observer is told what happens. Defaults to nobody.
	Observer Observer
	// Logger takes what an operator should know. Defaults to discarding it.
	Logger *slog.Logger
}

// Router routes the events of a log to subscriptions: see the package documentation. Safe for concurrent use.
type Router struct {
	config      Config
	store       Store
	definitions *definitions
	handlers    *handlers
	pulls       *pulls
	begun       chan struct{} // an operation was
	feed        *Feed
	partitions  []*partition
	mergers     []*merger // of each partition; none where there is only one
	marks       *marks
	dispatchers []*dispatcher
	live        atomic.Int64 // replicas
	held        atomic.Int64 // partitions that this one routes
	slack       slack        // of permits of rates
	started     time.Time
	changed     chan struct{} // the handlers have changed
}

// New makes a Router on a store, which stays the caller's to close, after Run has returned.
func New(store Store, config Config) *Router {
	config.Lease = cmp.Or(config.Lease, 3*time.Second)
	config.MaxSends = cmp.Or(config.MaxSends, 1024)
	config.Grace = cmp.Or(config.Grace, 15*time.Second)
	config.Replica = cmp.Or(config.Replica, "r-"+rand.Text()[:10])
	if config.Observer == nil {
		config.Observer = nobody{}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Router{
		config: config, store: store, definitions: newDefinitions(store), pulls: newPulls(), begun: make(chan struct{}, 1),
		changed: make(chan struct{}, 1),
	}
	r.feed = NewFeed(store, FeedConfig{OnError: func(_ int, err error) { r.failed(context.Background(), "read the live log", err) }})
	r.handlers = newHandlers(r)
	r.live.Store(1)
	slots := newSlots(config.MaxSends)
	for p := range store.Partitions() {
		r.dispatchers = append(r.dispatchers, newDispatcher(r, p, slots))
		r.partitions = append(r.partitions, newPartition(r, p))
	}
	if len(r.partitions) > 1 {
		r.prepareMerging()
	}
	return r
}

// prepareMerging makes what a deployment needs that has several partitions.
func (r *Router) prepareMerging() {
	r.marks = &marks{router: r, times: make([]int64, len(r.partitions)), failed: make([]time.Time, len(r.partitions))}
	for _, p := range r.partitions {
		p.forwarding = newForwarding(p, len(r.partitions))
		r.mergers = append(r.mergers, newMerger(p))
	}
}

// Replica is this replica's name.
func (r *Router) Replica() string { return r.config.Replica }

// Feed is the live log.
func (r *Router) Feed() *Feed { return r.feed }

// Current tells whether this replica has read the definitions.
func (r *Router) Current() bool { return r.definitions.snapshot.Load() != nil }

// Publish stores an event; see Appender. Called from within a handler, with the handler's ctx, it counts how often the event was derived from
// another one, and refuses one that was derived too often: code Loop.
func (r *Router) Publish(ctx context.Context, e Event) (Position, error) {
	if err := CheckReserved(e); err != nil {
		return Position{}, err
	}
	e, err := derive(ctx, e)
	if err != nil {
		return Position{}, err
	}
	result := r.store.Append(ctx, []Event{e})[0]
	return result.Position, result.Err
}

// Run routes and delivers until ctx ends. Then it takes no more work, lets attempts under way finish for a grace period, gives up its leases
// and returns, when everything it started has returned. It returns an error only for what makes going on pointless.
func (r *Router) Run(ctx context.Context) error {
	r.started = time.Now()
	if err := r.insistOnDefinitions(ctx); err != nil {
		return err
	}
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return r.register(ctx) })
	work.Go(func() error { return r.definitions.follow(ctx, r) })
	work.Go(func() error { return r.feed.Run(ctx) })
	work.Go(func() error { return r.wakePulls(ctx) })
	work.Go(func() error { return r.operate(ctx) })
	if ctx.Err() == nil { // else the definitions may not have been read
		work.Go(func() error { return r.routeAndSend(ctx) })
	}
	return work.Wait()
}

// routeAndSend routes until ctx ends; sending ends after that, since what is applied last may have been leased to this replica.
func (r *Router) routeAndSend(ctx context.Context) error {
	sending, stopSending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopSending()
	routing, ctx := errgroup.WithContext(ctx)
	for _, p := range r.partitions {
		routing.Go(func() error { return p.run(ctx) })
	}
	var dispatching errgroup.Group
	for _, d := range r.dispatchers {
		dispatching.Go(func() error { return d.run(sending) })
	}
	err := routing.Wait()
	stopSending()
	return errors.Join(err, dispatching.Wait())
}

// insistOnDefinitions reads the definitions before anything is routed.
func (r *Router) insistOnDefinitions(ctx context.Context) error {
	for {
		err := r.definitions.refresh(ctx)
		if err == nil {
			return nil
		}
		r.failed(ctx, "read the definitions", err)
		if !sleep(ctx, failurePause) {
			return nil
		}
	}
}

// failurePause is how long a background step waits before it is repeated.
const failurePause = 200 * time.Millisecond

// failed says that a background step failed, unless the Router is stopping.
func (r *Router) failed(ctx context.Context, step string, err error) {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return
	}
	r.config.Observer.Failed(step)
	r.config.Logger.Warn("cannot "+step+"; it will be tried again", "error", err)
}

const (
	registerEvery = time.Second
	registerTTL   = 5 * time.Second
)

// register says that this replica lives, and says good-bye at the end.
func (r *Router) register(ctx context.Context) error {
	for {
		live, err := r.store.Register(ctx, r.status(), registerTTL)
		if err != nil {
			r.failed(ctx, "register this replica", err)
		} else {
			r.live.Store(int64(live))
		}
		select {
		case <-r.changed:
		case <-time.After(registerEvery):
		case <-ctx.Done():
			return r.leave(ctx)
		}
	}
}

func (r *Router) status() ReplicaStatus {
	return ReplicaStatus{ID: r.config.Replica, Version: r.config.Version, Started: r.started, Handlers: r.handlers.names()}
}

func (r *Router) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if err := r.store.Leave(ctx, r.config.Replica); err != nil {
		r.config.Logger.Warn("cannot say good-bye; the others will notice", "error", err)
	}
	return nil
}

// sleep waits, and tells whether ctx is still good.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

type nobody struct{}

func (nobody) Applied(int, int, int, time.Duration)       {}
func (nobody) Refused(int, ApplyStatus)                   {}
func (nobody) Attempted(SinkKind, Outcome, time.Duration) {}
func (nobody) Settled(SinkKind, Verdict, int)             {}
func (nobody) Failed(string)                              {}
