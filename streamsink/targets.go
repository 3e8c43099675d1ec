package streamsink

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

const (
	maxTargets       = 256 // Redises with connections at a time, as far as they are not in use
	maxDone          = 128 // deliveries to a stream whose replies have arrived, and which the next call tells of
	dialTimeout      = 10 * time.Second
	idleTimeout      = time.Minute
	connectionsAtOne = 32 // to one node of a Redis
)

// targets are the Redises that sinks name, by their URLs. Safe for concurrent use.
type targets struct {
	config Config

	mu     sync.Mutex
	known  map[string]*target
	uses   uint64
	closed bool
}

// target is a Redis.
type target struct {
	client redis.UniversalClient

	inUse int    // attempts under way
	last  uint64 // use

	mu   sync.Mutex
	done map[string][]string // stream → deliveries whose replies have arrived
}

func newTargets(c Config) *targets { return &targets{config: c, known: map[string]*target{}} }

// take returns the Redis of a URL, that of "" is Streamlatch's own, and keeps its connections until it is given back.
func (ts *targets) take(url string) (*target, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.closed {
		return nil, errors.New("this replica is stopping")
	}
	t, ok := ts.known[url]
	if !ok {
		client, err := ts.connect(url)
		if err != nil {
			return nil, err
		}
		ts.forgetOldest()
		t = &target{client: client, done: map[string][]string{}}
		ts.known[url] = t
	}
	ts.uses++
	t.last = ts.uses
	t.inUse++
	return t, nil
}

func (ts *targets) giveBack(t *target) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t.inUse--
}

// forgetOldest makes room for another one, if there is one that nobody uses.
func (ts *targets) forgetOldest() {
	if len(ts.known) < maxTargets {
		return
	}
	oldest := ""
	var found *target
	for url, t := range ts.known {
		if t.inUse == 0 && (found == nil || t.last < found.last) {
			oldest, found = url, t
		}
	}
	if found != nil {
		_ = found.client.Close() // nothing is under way
		delete(ts.known, oldest)
	}
}

func (ts *targets) close() error {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.closed = true
	var failed []error
	for _, t := range ts.known {
		failed = append(failed, t.client.Close())
	}
	clear(ts.known)
	return errors.Join(failed...)
}

// connect makes a client. Nothing is dialled yet.
func (ts *targets) connect(url string) (redis.UniversalClient, error) {
	own := url == ""
	text := url
	if own {
		if text = ts.config.Own; text == "" {
			return nil, errors.New("sink.redis is required here")
		}
	}
	options, err := redisstore.ParseURL(text)
	if err != nil {
		return nil, errors.New("sink.redis is not the URL of a Redis")
	}
	encrypted := options.TLSConfig
	if encrypted != nil && own && ts.config.OwnTLS != nil {
		encrypted = ts.config.OwnTLS
	} else if encrypted != nil && !own {
		encrypted.RootCAs = ts.config.Roots
	}
	d := net.Dialer{Timeout: dialTimeout}
	if !own {
		d.Control, d.Resolver = ts.config.Guard.ControlAddress, ts.config.Resolver
	}
	options.Dialer = dial(d, encrypted)
	options.Protocol = 2
	options.DisableIdentity = true
	options.ContextTimeoutEnabled = true
	options.MaxRetries = -1 // another attempt is up to the schedule
	options.DialerRetries = 1
	options.PoolSize = connectionsAtOne
	options.PoolTimeout = router.MaxSinkTimeout.Std()
	options.ReadTimeout, options.WriteTimeout = options.PoolTimeout, options.PoolTimeout // the attempt's own ends first
	options.ConnMaxIdleTime = idleTimeout
	return redis.NewUniversalClient(options), nil
}

// dial opens connections that are encrypted where there is a configuration for that.
func dial(d net.Dialer, encrypted *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil || encrypted == nil {
			return conn, err
		}
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("dial: %w", err), conn.Close())
		}
		config := encrypted.Clone()
		config.ServerName = cmp.Or(config.ServerName, host)
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close() // the handshake's error says more
			return nil, &tlsError{err}
		}
		return secure, nil
	}
}

// takeDone takes the deliveries to a stream whose replies have arrived.
func (t *target) takeDone(stream string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	done := t.done[stream]
	delete(t.done, stream)
	return done
}

// putDone adds some. Where there are too many, some are remembered for longer than they need be.
func (t *target) putDone(stream string, ids ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := append(t.done[stream], ids...)
	if len(all) > 0 {
		t.done[stream] = all[max(len(all)-maxDone, 0):]
	}
}
