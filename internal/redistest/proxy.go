package redistest

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy stands between clients and a Redis and does harm on command. It understands requests and replies, so it can lose
// exactly the reply to a certain request. All its methods are safe for concurrent use.
//
// A request can be hit by one fault of three:
//
//   - swallow: it reaches Redis and is carried out, but its reply never arrives: the connection is cut instead. What was
//     sent behind it on the same connection has usually been carried out as well.
//   - cut: it does not reach Redis; the connection is cut before.
//   - delay: its reply, and those behind it on the same connection, come late.
//
// Replies are matched to requests by their order. That does not hold on a connection that subscribes to several channels
// at once, where faults can hit a neighbour.
type Proxy struct {
	target   string
	listener net.Listener
	done     chan struct{}
	running  sync.WaitGroup

	mu      sync.Mutex
	only    []byte // lower case; faults hit only requests that contain it
	swallow chance
	cut     chance
	late    chance
	delay   time.Duration
	outage  bool
	closed  bool
	links   map[*link]struct{}
	stats   ProxyStats
}

// ProxyStats counts what a proxy has done.
type ProxyStats struct {
	Connections int // accepted, and brought to Redis
	Refused     int // closed at once, because of an outage or because Redis could not be reached
	Requests    int // sent on to Redis
	Matching    int // of all requests: those that Only lets faults hit
	Swallowed   int // replies
	Cut         int // connections, before a request
	Delayed     int // replies
}

// chance decides whether a fault strikes: the next few times for certain, then at random.
type chance struct {
	next        int
	probability float64
	random      *rand.Rand
}

func (c *chance) strikes() bool {
	if c.next > 0 {
		c.next--
		return true
	}
	return c.probability > 0 && c.random.Float64() < c.probability
}

func (c *chance) set(probability float64, seed uint64) {
	c.probability = probability
	c.random = rand.New(rand.NewPCG(seed, 0))
}

// verdict is what happens to one request.
type verdict struct {
	swallow, cut bool
	delay        time.Duration
}

// NewProxy starts a proxy for a test, in front of the Redis at target ("host:port" or a socket's path), and ends it with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	p, err := ListenProxy(target)
	if err != nil {
		t.Fatalf("start proxy: %v", err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close proxy: %v", err)
		}
	})
	return p
}

// ListenProxy starts a proxy on a loopback port. It does no harm until told to. The caller closes it.
func ListenProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp4", hostPort(0))
	if err != nil {
		return nil, err
	}
	p := &Proxy{target: target, listener: l, done: make(chan struct{}), links: map[*link]struct{}{}}
	p.running.Go(p.accept)
	return p, nil
}

// Addr returns where the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Only restricts all faults to requests that contain a text, in any case: "evalsha" hits scripts. The whole request is
// searched, its arguments too. An empty text hits every request.
func (p *Proxy) Only(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.only = []byte(strings.ToLower(text))
}

// SwallowNext loses the replies to the next n requests.
func (p *Proxy) SwallowNext(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallow.next = n
}

// SwallowEvery loses replies with a probability, 0 to 1. The same seed decides the same for the same sequence of requests.
func (p *Proxy) SwallowEvery(probability float64, seed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallow.set(probability, seed)
}

// CutNext cuts the connection before each of the next n requests.
func (p *Proxy) CutNext(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut.next = n
}

// CutEvery cuts the connection before a request with a probability, 0 to 1.
func (p *Proxy) CutEvery(probability float64, seed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut.set(probability, seed)
}

// DelayEvery delays replies by d with a probability, 0 to 1.
func (p *Proxy) DelayEvery(probability float64, seed uint64, d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late.set(probability, seed)
	p.delay = d
}

// CutAll cuts all connections that are open now, and returns how many.
func (p *Proxy) CutAll() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
	return len(p.links)
}

// Outage cuts all connections and closes new ones at once, until it is called with false.
func (p *Proxy) Outage(on bool) {
	p.mu.Lock()
	p.outage = on
	p.mu.Unlock()
	if on {
		p.CutAll()
	}
}

// Stats returns what the proxy has done so far.
func (p *Proxy) Stats() ProxyStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

// Close ends the proxy and all its connections. It may be called again.
func (p *Proxy) Close() error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if !first {
		return nil
	}
	close(p.done)
	err := p.listener.Close()
	p.CutAll()
	p.running.Wait()
	return err
}

// judge decides what happens to a request, and counts it.
func (p *Proxy) judge(request []byte) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	var v verdict
	if len(p.only) == 0 || bytes.Contains(bytes.ToLower(request), p.only) {
		p.stats.Matching++
		v.cut = p.cut.strikes()
		v.swallow = !v.cut && p.swallow.strikes()
		if !v.cut && !v.swallow && p.late.strikes() {
			v.delay = p.delay
		}
	}
	if v.cut {
		p.stats.Cut++
	} else {
		p.stats.Requests++
	}
	return v
}

func (p *Proxy) count(add func(*ProxyStats)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	add(&p.stats)
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		p.running.Go(func() { p.serve(client) })
	}
}

// serve brings one connection to Redis and returns when both sides are closed.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	redis, err := net.DialTimeout(network(p.target), p.target, patience)
	if err != nil {
		p.count(func(s *ProxyStats) { s.Refused++ })
		return
	}
	l := &link{proxy: p, client: client, redis: redis}
	defer l.close()
	if !p.admit(l) {
		return
	}
	defer p.dismiss(l)
	var replies sync.WaitGroup
	replies.Go(l.passReplies)
	l.passRequests()
	replies.Wait()
}

func (p *Proxy) admit(l *link) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.outage || p.closed {
		p.stats.Refused++
		return false
	}
	p.stats.Connections++
	p.links[l] = struct{}{}
	return true
}

func (p *Proxy) dismiss(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}
