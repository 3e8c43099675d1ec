package redisstore_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// unruly is the store of a replica that believes to have every lease, loses answers and calls, and dies between two calls.
type unruly struct {
	*redisstore.Store
	harm  *harm
	death chan struct{} // closed when the replica has died
	die   func()
}

// harm is what befalls replicas.
type harm struct {
	mu    sync.Mutex
	rng   *rand.Rand
	over  bool
	count [4]int // of each kind
}

// The kinds of harm.
const (
	unharmed = iota
	callLost
	answerLost
	death
)

func (h *harm) next() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	kind := unharmed
	if !h.over {
		kind = []int{callLost, answerLost, death, unharmed}[min(h.rng.IntN(40), 3)]
	}
	h.count[kind]++
	return kind
}

// least is how often that has happened which has happened least.
func (h *harm) least() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return min(h.count[callLost], h.count[answerLost], h.count[death])
}

func (h *harm) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
}

func newUnruly(s *redisstore.Store, h *harm) *unruly {
	dead := make(chan struct{})
	return &unruly{Store: s, harm: h, death: dead, die: sync.OnceFunc(func() { close(dead) })}
}

var errUnruly = errors.New("the connection broke")

// around makes a call, or not, and passes on what came of it, or not.
func around[T any](ctx context.Context, u *unruly, call func() (T, error)) (result T, err error) {
	kind := u.harm.next()
	if kind == callLost {
		return result, errUnruly
	}
	result, err = call()
	switch kind {
	case death:
		u.die()
		<-ctx.Done()
		return result, ctx.Err()
	case answerLost:
		return *new(T), errUnruly
	}
	return result, err
}

func (u *unruly) TakeLease(ctx context.Context, partition int, replica string, ttl time.Duration, orphan bool) (router.Lease, error) {
	lease, err := u.Store.TakeLease(ctx, partition, replica, ttl, orphan)
	lease.Held = true
	return lease, err
}

func (u *unruly) Apply(ctx context.Context, b router.Batch) (router.Applied, error) {
	return around(ctx, u, func() (router.Applied, error) { return u.Store.Apply(ctx, b) })
}

func (u *unruly) Merge(ctx context.Context, m router.Merge) (router.Applied, error) {
	return around(ctx, u, func() (router.Applied, error) { return u.Store.Merge(ctx, m) })
}

func (u *unruly) Mark(ctx context.Context, partition int, wanted int64) (int64, error) {
	return around(ctx, u, func() (int64, error) { return u.Store.Mark(ctx, partition, wanted) })
}

func (u *unruly) Forward(ctx context.Context, f router.Forward) (router.ApplyStatus, router.Cursor, error) {
	type answer struct {
		status router.ApplyStatus
		last   router.Cursor
	}
	got, err := around(ctx, u, func() (answer, error) {
		status, last, err := u.Store.Forward(ctx, f)
		return answer{status, last}, err
	})
	return got.status, got.last, err
}

// eachSeveral runs a test on miniredis, on a real Redis of which one answer to a script in a hundred is lost, and on a Cluster. whole is a store of a deployment
// of three partitions, and each replica has one of its own, opened before anything is lost.
func eachSeveral(t *testing.T, run func(t *testing.T, whole *redisstore.Store, replicas []*redisstore.Store)) {
	on := func(name string, urls func(t *testing.T) (whole, replica string, lose func())) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := redistest.Namespace(t)
			whole, replica, lose := urls(t)
			of := func(url string) *redisstore.Store {
				return open(t, "", func(c *redisstore.Config) { c.URL, c.Namespace, c.Partitions = url, namespace, 3 })
			}
			deployment, replicas := of(whole), []*redisstore.Store{of(replica), of(replica), of(replica)}
			lose()
			run(t, deployment, replicas)
		})
	}
	on("miniredis", func(t *testing.T) (whole, replica string, lose func()) {
		url := "redis://" + redistest.Mini(t).Addr()
		return url, url, func() {}
	})
	on("redis", func(t *testing.T) (whole, replica string, lose func()) {
		addr, _ := redistest.Shared(t)
		proxy := redistest.NewProxy(t, addr)
		proxy.Only("evalsha")
		return "redis://" + addr, "redis://" + proxy.Addr(), func() { proxy.SwallowEvery(0.01, 1) }
	})
	on("cluster", func(t *testing.T) (whole, replica string, lose func()) {
		url := "redis+cluster://" + strings.Join(redistest.StartCluster(t, 3, 0).Addrs(), ",")
		return url, url, func() {}
	})
}

// All replicas believe to route every partition. One in forty calls is lost, as many answers, and as often a replica dies behind a call and a new one begins.
func TestWhateverFailsOnSeveralPartitionsTheSameFiresAsOnOne(t *testing.T) {
	eachSeveral(t, func(t *testing.T, whole *redisstore.Store, stores []*redisstore.Store) {
		d := &spread{store: whole}
		d.define(t, kinds...)
		h := &harm{rng: rand.New(rand.NewPCG(7, 0))}
		ctx, end := context.WithCancel(t.Context())
		var replicas sync.WaitGroup
		for _, s := range stores {
			replicas.Go(func() {
				for ctx.Err() == nil {
					u := newUnruly(s, h)
					_, stop := start(t, u, newSink())
					select {
					case <-u.death:
					case <-ctx.Done():
					}
					stop()
				}
			})
		}
		for published := 0; published < 400 || h.least() < 4; published += 100 {
			require.Less(t, published, 10_000, "no harm is done")
			publishChances(t, d.store, published, 100)
		}
		h.end()
		last := d.records(t)
		wait := last[len(last)-1].Position.AcceptedAt().Add(400 * time.Millisecond) // all deadlines have passed then
		eventually(t, func() bool { return time.Now().After(wait) }, "the deadlines pass")
		d.settled(t)
		end()
		replicas.Wait()
		t.Logf("of %d calls %d were lost, %d answers, and %d replicas", h.count[unharmed], h.count[callLost], h.count[answerLost], h.count[death])
		require.Greater(t, d.requireModel(t, time.Now()), 20)
		deadLetters(t, d.store, 0)
	})
}

// publishChances publishes random events behind so many others, by several publishers at once.
func publishChances(t *testing.T, s *redisstore.Store, others, events int) {
	t.Helper()
	var next atomic.Int64
	var publishers sync.WaitGroup
	for p := range uint64(4) {
		rng := rand.New(rand.NewPCG(p, uint64(others)))
		publishers.Go(func() {
			for n := int(next.Add(1)); n <= events; n = int(next.Add(1)) {
				appendOne(t, s, chance(t, rng, others+n))
			}
		})
	}
	publishers.Wait()
}
