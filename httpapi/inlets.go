package httpapi

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

// Inlets tells the sources that there are.
type Inlets interface {
	// Inlet returns the source of that name as this replica knows it, the same pointer as long as it has not changed; nil: there is none. It is called for
	// each message, and reads nothing from Redis.
	Inlet(name string) *router.Source
	// RefreshDefinitions makes this replica know what is stored.
	RefreshDefinitions(ctx context.Context) error
}

// refreshEvery is how often messages that can't be placed, or not verified, make this replica look whether a source has changed elsewhere.
const refreshEvery = 250 * time.Millisecond

// inlets are the sources of this replica, made ready for messages. Safe for concurrent use.
type inlets struct {
	server  *Server
	known   Inlets
	refresh *rate.Limiter

	mu  sync.RWMutex
	all map[string]*inlet // by id
}

// inlet is one source, made ready.
type inlet struct {
	*source.Inlet
	source   *router.Source
	keyed    bool          // what protects it is its path, which ends with the secret
	limit    *rate.Limiter // nil: none
	counts   *sourceCounts
	messages map[messageResult]prometheus.Counter
}

// sourceCounts is what a source has counted here and is not in the store yet.
type sourceCounts struct {
	mu sync.Mutex
	n  router.SourceCounts
}

func (c *sourceCounts) add(d router.SourceCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n.Add(d)
}

// take gives what was counted and begins anew.
func (c *sourceCounts) take() router.SourceCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.n
	c.n = router.SourceCounts{}
	return n
}

func (c *sourceCounts) peek() router.SourceCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func newInlets(s *Server) *inlets {
	return &inlets{server: s, known: s.cfg.Inlets, refresh: rate.NewLimiter(rate.Every(refreshEvery), 1), all: map[string]*inlet{}}
}

// find returns the inlet of that name. NotFound: there is none, or it is closed. Internal: its definition is one that this version can't use.
func (ins *inlets) find(name string) (*inlet, error) {
	src := ins.known.Inlet(name)
	if src == nil || !src.Enabled {
		return nil, errNoInlet()
	}
	return ins.ready(src)
}

// ready returns a source made ready, made anew where the source has changed. What it counted, and its rate as long as that is the same, go on.
func (ins *inlets) ready(src *router.Source) (*inlet, error) {
	ins.mu.RLock()
	in := ins.all[src.ID]
	ins.mu.RUnlock()
	if in != nil && in.source.Version >= src.Version { // what this replica knows may be older than what it has just stored
		return in, nil
	}
	compiled, err := source.Compile(*src)
	if err != nil {
		return nil, &router.Error{Code: router.Internal, Message: "source " + src.Name + " can't be used by this version", Err: err}
	}
	ins.mu.Lock()
	defer ins.mu.Unlock()
	next := &inlet{
		Inlet: compiled, source: src, keyed: source.KeyedPath(src.Provider), limit: newSourceLimiter(src.Rate), counts: &sourceCounts{},
		messages: ins.server.metrics.messagesOf(src.Provider),
	}
	if old := ins.all[src.ID]; old != nil {
		next.counts = old.counts
		if old.source.Rate == src.Rate {
			next.limit = old.limit
		}
	}
	ins.all[src.ID] = next
	return next, nil
}

// opensAt tells whether a path with that behind the source's name leads to the inlet: its key, or nothing where it has none.
func (in *inlet) opensAt(key string) bool {
	if in.keyed {
		return in.Verify(source.Message{Key: key}, time.Time{}) == nil
	}
	return key == ""
}

func newSourceLimiter(r router.SourceRate) *rate.Limiter {
	if r.Limit == 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(float64(r.Limit)/r.Per.Std().Seconds()), r.Limit)
}

// take lets one message pass, or says when it could.
func (in *inlet) take(now time.Time) error {
	if in.limit == nil {
		return nil
	}
	r := in.limit.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait == 0 {
		return nil
	}
	r.CancelAt(now)
	return &router.Error{Code: router.RateLimited, Message: "over the rate of this source", RetryAfter: wait}
}

// changedElsewhere looks, every so often, whether another replica has changed the sources; false: it did not look, or could not.
func (ins *inlets) changedElsewhere(ctx context.Context) bool {
	return ins.refresh.AllowN(ins.server.now(), 1) && ins.learn(ctx)
}

// learn makes this replica know the sources as they are stored, or says that it could not; then it will in a while, by itself.
func (ins *inlets) learn(ctx context.Context) bool {
	err := ins.known.RefreshDefinitions(ctx)
	if err != nil {
		ins.server.log.WarnContext(ctx, "cannot read changed sources; it will be tried again", slog.String("error", strconv.QuoteToASCII(err.Error())))
	}
	return err == nil
}

// pending is what a source has counted here and is not in the store yet.
func (ins *inlets) pending(id string) router.SourceCounts {
	ins.mu.RLock()
	defer ins.mu.RUnlock()
	if in := ins.all[id]; in != nil {
		return in.counts.peek()
	}
	return router.SourceCounts{}
}

// flush adds what was counted to what the store has, and forgets sources that are gone.
func (ins *inlets) flush(ctx context.Context) {
	ins.mu.RLock()
	var all []*inlet
	for _, in := range ins.all {
		all = append(all, in)
	}
	ins.mu.RUnlock()
	for _, in := range all {
		if n := in.counts.take(); n != (router.SourceCounts{}) {
			if err := ins.server.cfg.Sources.CountSource(ctx, in.source.ID, n); err != nil {
				in.counts.add(n)
				ins.server.log.DebugContext(ctx, "cannot count for a source", slog.String("error", err.Error()))
				continue
			}
		}
		if now := ins.known.Inlet(in.source.Name); now == nil || now.ID != in.source.ID {
			ins.forget(in)
		}
	}
}

// forget drops an inlet, unless it has been made anew.
func (ins *inlets) forget(in *inlet) {
	ins.mu.Lock()
	defer ins.mu.Unlock()
	if ins.all[in.source.ID] == in && in.counts.peek() == (router.SourceCounts{}) {
		delete(ins.all, in.source.ID)
	}
}

const flushEvery = time.Second

// Run adds what sources count to the store's once a second, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	ticker := time.NewTicker(flushEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			s.FlushCounts(ctx)
		case <-ctx.Done():
			return nil
		}
	}
}

// FlushCounts adds what sources have counted to the store's now, for a server that has taken its last request. What can't be added is kept.
func (s *Server) FlushCounts(ctx context.Context) { s.inlets.flush(ctx) }
