package httpapi

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// Log is what reading events needs of the log.
type Log interface {
	// Partitions is the number of partitions.
	Partitions() int
	// ReadLog returns up to max records after the position, oldest first; wait is how long it waits for the first one.
	ReadLog(ctx context.Context, after router.Position, max int, wait time.Duration) ([]router.Record, error)
	// ReadLogReverse returns up to max records at or before the position, newest first.
	ReadLogReverse(ctx context.Context, from router.Position, max int) ([]router.Record, error)
	// LogEnd returns the position of the last event of a partition, zero for an empty one.
	LogEnd(ctx context.Context, partition int) (router.Position, error)
}

// Tester tries a subscription's sink out.
type Tester interface {
	// Test sends one event, marked as a test, to the sink, once, and returns the attempt. The event is not stored. An error says that no attempt was made.
	Test(ctx context.Context, s router.Subscription) (router.Attempt, error)
}

// Config is what a Server is made of. The fields up to Ready are required.
type Config struct {
	Events        router.Appender
	Log           Log
	Feed          *router.Feed // the caller runs it
	Subscriptions router.SubscriptionStore
	Triggers      router.TriggerStore
	Sources       router.SourceStore
	Inlets        Inlets
	Partials      router.PartialBrowser
	DeadLetters   router.DeadLetterStore
	Status        router.StatusStore
	Pauser        router.Pauser
	Tester        Tester
	Puller        Puller
	Deliveries    router.DeliveryStore
	// NewSecret makes a signing secret for a subscription that has none.
	NewSecret func() string
	// Ready tells whether this replica can do its work: Redis reachable, scripts loaded, snapshot current. Its *router.Error is shown.
	Ready func(context.Context) error

	// Version is the program's. Defaults to "dev".
	Version string
	// Keys are the API keys. Defaults to none: then everybody may do everything, so that only loopback may be listened on, and requests from web pages of other
	// sites are refused.
	Keys []Key
	// Hosts are names by which clients may address a server without keys, besides localhost and IP addresses. Defaults to none.
	Hosts []string
	// PublishRate is how many events a second one caller may publish to this replica: the owner of a key, or all callers together while there are no
	// keys. Bursts of one second, and of one full batch, pass. Defaults to 0, no limit.
	PublishRate float64
	// Limits bound what one publish request may hold. Defaults to those of cloudevents.Limits.
	Limits cloudevents.Limits
	// Rules are the deployment's rules for definitions.
	Rules router.Rules
	// MaxStreams is how many event streams may be open at a time. Defaults to 1,000.
	MaxStreams int
	// Heartbeat is the time between comments in an event stream. Defaults to 15s.
	Heartbeat time.Duration
	// WriteTimeout is how long writing one message to an event stream may take before the client is disconnected. Defaults to 10s.
	WriteTimeout time.Duration
	// Registry is where metrics are registered and read from. Defaults to one of its own.
	Registry *prometheus.Registry
	// Logger takes internal errors, and each request at debug level. Defaults to discarding.
	Logger *slog.Logger
	// Now is the clock of rates and durations. Defaults to time.Now.
	Now func() time.Time
}

// Server is the HTTP API. Safe for concurrent use. What sources count reaches the store while Run is running.
type Server struct {
	cfg      Config
	echo     *echo.Echo
	log      *slog.Logger
	now      func() time.Time
	problems map[router.Code]problemType
	metrics  *metrics
	counted  publishMetrics
	scrape   http.Handler
	docs     *docs

	subscriptions *subscriptions
	triggers      *triggers
	sources       *sources
	inlets        *inlets

	callers callers
	anybody *caller // who has no key, or needs none
	hosts   []string
	origins *http.CrossOriginProtection

	instance string // begins request ids, so that those of replicas differ
	requests atomic.Uint64
	nosniff  []string
	bodies   sync.Pool // of *bytes.Buffer

	streams    atomic.Int64
	ending     context.Context // ends when event streams have to
	endStreams context.CancelFunc
}

// New makes a server. The error is an *router.Error (Invalid) that names the field.
func New(cfg Config) (*Server, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	s := &Server{
		cfg: cfg, log: cfg.Logger, now: cfg.Now, hosts: cfg.Hosts, problems: problemTypes(),
		origins: http.NewCrossOriginProtection(), nosniff: []string{"nosniff"}, instance: ulid.Make().String()[16:] + "-",
	}
	s.ending, s.endStreams = context.WithCancel(context.Background())
	if err := s.setCallers(); err != nil {
		return nil, err
	}
	var err error
	if s.metrics, err = newMetrics(cfg.Registry); err != nil {
		return nil, err
	}
	s.counted = s.metrics.publish()
	s.scrape = promhttp.HandlerFor(cfg.Registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelError)})
	if s.docs, err = newDocs(); err != nil {
		return nil, err
	}
	s.subscriptions, s.triggers, s.sources = s.newSubscriptions(), s.newTriggers(), s.newSources()
	s.inlets = newInlets(s)
	s.echo = s.newEcho()
	for _, rt := range s.routes() {
		s.register(rt)
	}
	return s, nil
}

func (c *Config) check() error {
	for _, field := range []struct {
		name    string
		missing bool
	}{
		{"Events", c.Events == nil}, {"Log", c.Log == nil}, {"Feed", c.Feed == nil}, {"Subscriptions", c.Subscriptions == nil}, {"Triggers", c.Triggers == nil},
		{"Sources", c.Sources == nil}, {"Inlets", c.Inlets == nil}, {"Partials", c.Partials == nil}, {"Pauser", c.Pauser == nil},
		{"Puller", c.Puller == nil}, {"Deliveries", c.Deliveries == nil},
		{"DeadLetters", c.DeadLetters == nil}, {"Status", c.Status == nil}, {"Tester", c.Tester == nil}, {"NewSecret", c.NewSecret == nil}, {"Ready", c.Ready == nil},
	} {
		if field.missing {
			return router.Errorf(router.Invalid, "httpapi: Config.%s is required", field.name)
		}
	}
	if c.MaxStreams < 0 || c.Heartbeat < 0 || c.WriteTimeout < 0 || c.PublishRate < 0 {
		return router.Errorf(router.Invalid, "httpapi: MaxStreams, Heartbeat, WriteTimeout and PublishRate must not be negative")
	}
	return nil
}

func (c *Config) setDefaults() {
	c.Version = cmp.Or(c.Version, "dev")
	c.Limits.MaxBatchEvents = cmp.Or(c.Limits.MaxBatchEvents, 1000)
	c.MaxStreams = cmp.Or(c.MaxStreams, 1000)
	c.Heartbeat = cmp.Or(c.Heartbeat, 15*time.Second)
	c.WriteTimeout = cmp.Or(c.WriteTimeout, 10*time.Second)
	c.Registry = cmp.Or(c.Registry, prometheus.NewRegistry())
	c.Logger = cmp.Or(c.Logger, slog.New(slog.DiscardHandler))
	if c.Now == nil {
		c.Now = time.Now
	}
}

// setCallers makes of the configured keys who may call.
func (s *Server) setCallers() error {
	s.anybody = &caller{}
	s.equip(s.anybody)
	for i, k := range s.cfg.Keys {
		c, err := k.caller()
		if err != nil {
			return router.Errorf(router.Invalid, "httpapi: Config.Keys[%d] %q: %v", i, k.Name, err)
		}
		s.equip(c)
		s.callers = append(s.callers, c)
	}
	return nil
}

func (s *Server) equip(c *caller) {
	c.publish = newPublishLimiter(s.cfg.PublishRate, s.cfg.Limits.MaxBatchEvents)
	c.decoder = cloudevents.Decoder{Limits: s.cfg.Limits, NewID: func() string { return ulid.Make().String() }, Check: c.checkEvent}
}

func (s *Server) newEcho() *echo.Echo {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.IPExtractor = echo.ExtractIPDirect()
	unmatched := s.metrics.route("other", "other", false)
	e.HTTPErrorHandler = func(err error, c echo.Context) { // paths and methods that there are not
		res, req := c.Response(), c.Request()
		s.begin(res.Header(), req)
		s.fail(res, req, err)
		unmatched.observe(res.Status, 0)
	}
	return e
}

// Handler returns the API as a handler.
func (s *Server) Handler() http.Handler { return s.echo }

// HTTPServer returns a server of the API on an address, with bounds on how long a client may take: 10 s for the header, 60 s for the whole request, 90 s
// for the answer, and on how large a header is: 64 KiB. Event streams have bounds of their own; they end when its Shutdown is called.
func (s *Server) HTTPServer(addr string) *http.Server {
	srv := &http.Server{
		Addr:              addr,
		Handler:           s.echo,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       60 * time.Second,
		WriteTimeout:      90 * time.Second,
		IdleTimeout:       120 * time.Second,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // what clients do wrong with TLS and HTTP
	}
	srv.RegisterOnShutdown(s.EndStreams)
	return srv
}

// EndStreams ends all event streams, now and from now on: a server that shuts down would wait for them for ever. Their clients can resume elsewhere.
func (s *Server) EndStreams() { s.endStreams() }
