package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
	"github.com/streamlatch/streamlatch/streamsink"
	"github.com/streamlatch/streamlatch/webhook"
)

const (
	maxConnections   = 10_000
	memoryLookEvery  = time.Second
	readinessTimeout = 2 * time.Second
)

// options are what a replica is made of.
type options struct {
	Listen               string
	Embedded             bool // on a miniredis of its own, which forgets everything; Store.URL is not used
	Store                redisstore.Config
	Router               router.Config
	API                  httpapi.Config // what has to do with settings; the rest is wired here
	Targets              []netip.Prefix // addresses that webhooks may go to though they are not public
	MetricsSubscriptions int            // how many subscriptions have metrics of their own
	Ports                []uint16       // the only ports that webhooks may go to; empty: see webhook.Guard
	Logger               *slog.Logger
}

// app is a running replica: the store, the router on it, and the API in front of both.
type app struct {
	embedded       *miniredis.Miniredis
	store          *redisstore.Store
	router         *router.Router
	sender         *webhook.Sender
	api            *httpapi.Server
	streams        *streamsink.Sender
	stopCollecting func() // of metrics
	server         *http.Server
	listener       net.Listener
	grace          time.Duration
	log            *slog.Logger
}

// newApp connects to Redis and binds the address. The app serves when Run is called; either Run or Close must be.
func newApp(ctx context.Context, o options) (*app, error) {
	a := &app{grace: o.Router.Grace, log: o.Logger}
	if err := a.build(ctx, o); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func (a *app) build(ctx context.Context, o options) (err error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	o.Store.Logger, o.Router.Logger, o.API.Logger = o.Logger, o.Logger, o.Logger
	redisstore.LogTo(o.Logger)
	if o.Embedded {
		if err := a.embed(&o); err != nil {
			return err
		}
	}
	guard := webhook.NewGuard(o.Targets...)
	guard.OnlyPorts(o.Ports...)
	o.Store.Connected = func(redis netip.AddrPort) { guard.Deny(redis) }
	if a.store, err = redisstore.Open(ctx, o.Store); err != nil {
		return err
	}
	if a.sender, err = webhook.New(webhook.Config{Version: o.Router.Version, Guard: guard, IdlePerHost: 1024, Idle: 4096}); err != nil {
		return err
	}
	a.streams = streamsink.New(streamsink.Config{Own: o.Store.URL, OwnTLS: o.Store.TLS, Guard: guard})
	o.Router.Senders = map[router.SinkKind]router.Sender{router.WebhookSink: a.sender, router.StreamSink: a.streams}
	o.Router.Observer = newObserver(registry)
	a.router = router.New(a.store, o.Router)
	collecting, stopCollecting := context.WithCancel(context.WithoutCancel(ctx))
	status, figures := newStatusCollector(collecting, a.log, a.store), newFiguresCollector(collecting, a.log, a.store, o.MetricsSubscriptions)
	a.stopCollecting = func() {
		stopCollecting()
		status.latest.settle()
		figures.latest.settle()
	}
	registry.MustRegister(status, figures)
	if a.api, err = httpapi.New(a.apiConfig(o, guard, registry)); err != nil {
		return err
	}
	a.server = a.api.HTTPServer(o.Listen)
	if a.listener, err = net.Listen("tcp", o.Listen); err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	return nil
}

// embeddedLogBytes bounds the log on miniredis, which searches a stream from its beginning at each read.
const embeddedLogBytes = 8 << 20

// embed starts a miniredis whose keys expire by the clock, on a loopback port.
func (a *app) embed(o *options) error {
	a.embedded = miniredis.NewMiniRedis()
	a.embedded.ClockTTL(true)
	password := rand.Text()
	a.embedded.RequireAuth(password) // others on this machine have no business there
	if err := a.embedded.StartAddr("127.0.0.1:0"); err != nil {
		return fmt.Errorf("start the embedded Redis: %w", err)
	}
	o.Store.URL = "redis://:" + password + "@" + a.embedded.Addr()
	o.Store.LogMaxBytes = embeddedLogBytes
	return nil
}

func (a *app) apiConfig(o options, guard *webhook.Guard, registry *prometheus.Registry) httpapi.Config {
	c := o.API
	c.Events, c.Log, c.Feed, c.Status, c.Tester, c.Puller, c.Operations = a.store, a.store, a.router.Feed(), a.store, a.router, a.router, a.router
	c.Subscriptions, c.Triggers, c.Partials, c.Deliveries, c.DeadLetters, c.Pauser = a.store, a.store, a.store, a.store, a.store, a.store
	c.NewSecret = func() string { return webhook.NewSecret(rand.Reader) }
	c.Sources, c.Inlets = a.store, a.router
	c.Ready = a.ready
	c.Version = o.Router.Version
	c.Registry = registry
	c.Rules.CheckURL, c.Rules.CheckHeaders, c.Rules.CheckSecret = guard.CheckURL, webhook.CheckHeaders, webhook.CheckSecret
	c.Rules.CheckSource = source.Check
	c.Rules.CheckRedis = func(url string) error { return streamsink.CheckURL(guard, url) }
	c.Rules.CheckAuth = func(s router.Sink) error { return webhook.CheckAuth(s, time.Now()) }
	return c
}

// ready tells whether this replica can do its work.
func (a *app) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readinessTimeout)
	defer cancel()
	if !a.router.Current() {
		return router.Errorf(router.Unavailable, "the definitions have not been read yet")
	}
	return a.store.Ping(ctx)
}

// Addr is where the app listens.
func (a *app) Addr() string { return a.listener.Addr().String() }

// Run serves until ctx ends. Then it takes no more requests and finishes those under way, lets deliveries under way finish, gives up its leases and
// closes everything.
func (a *app) Run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return a.serve() })
	work.Go(func() error {
		<-ctx.Done()
		return a.stopServing(ctx)
	})
	work.Go(func() error { return a.router.Run(ctx) })
	work.Go(func() error { return a.api.Run(ctx) })
	work.Go(func() error { return a.store.WatchMemory(ctx, memoryLookEvery) })
	return errors.Join(work.Wait(), a.close())
}

func (a *app) serve() error {
	err := a.server.Serve(netutil.LimitListener(a.listener, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve: %w", err)
}

func (a *app) stopServing(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), a.grace, errors.New("requests under way did not end within the grace period"))
	defer cancel()
	defer a.api.FlushCounts(context.WithoutCancel(ctx))
	if err := a.server.Shutdown(ctx); err != nil {
		a.log.Warn("requests are cut off", "error", context.Cause(ctx))
		return a.server.Close()
	}
	return nil
}

func (a *app) close() error {
	var failed []error
	if a.listener != nil {
		if err := a.listener.Close(); !errors.Is(err, net.ErrClosed) {
			failed = append(failed, err)
		}
	}
	if a.sender != nil {
		a.sender.Close()
	}
	if a.streams != nil {
		failed = append(failed, a.streams.Close())
	}
	if a.stopCollecting != nil {
		a.stopCollecting()
	}
	if a.store != nil {
		failed = append(failed, a.store.Close())
	}
	if a.embedded != nil {
		a.embedded.Close()
	}
	return errors.Join(failed...)
}
