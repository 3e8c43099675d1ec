package main_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// crashEvents is how many events the crash test publishes. STREAMLATCH_TEST_EVENTS says another number; the faults grow with it.
func crashEvents(t testing.TB) int {
	text := os.Getenv("STREAMLATCH_TEST_EVENTS")
	if text == "" {
		return 20_000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "STREAMLATCH_TEST_EVENTS")
	return n
}

const eventsPerFault = 150

func TestKilledAndPausedReplicasLoseAndRepeatNoEvent(t *testing.T) {
	tr := newTrial(t, setup{
		server: redistest.Start(t), replicas: 3, flags: []string{"--lease", shortLease.String()}, events: crashEvents(t),
		latency: receiverLatency, timeout: shortTimeout,
	})
	faults := planFaults(tr.random(2), len(tr.events)/eventsPerFault)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Duration(len(tr.events))*10*time.Millisecond)
	defer cancel()
	owners := watchOwners(tr)
	wait := tr.publish(ctx, 32)

	s := &storm{trial: tr, faults: faults, share: eventsPerFault}
	require.NoErrorf(t, s.run(ctx), "seed %d", tr.seed)
	tr.give(len(tr.events))
	require.NoErrorf(t, wait(), "seed %d: publish", tr.seed)
	tr.settle()

	owners.stop()
	t.Logf("%d kills, %d pauses, %d takeovers", s.kills.Load(), s.pauses.Load(), owners.takeovers.Load())
	require.EqualValues(t, len(faults), s.kills.Load()+s.pauses.Load())
	require.GreaterOrEqual(t, int(s.kills.Load()), len(faults)/2)
	require.GreaterOrEqual(t, int(s.pauses.Load()), len(faults)/2)
	require.GreaterOrEqual(t, int(owners.takeovers.Load()), len(faults)/8, "the faults hardly met the replica that was routing")
	tr.check()
}

const (
	// shortLease is the shortest that the program allows, so that takeovers are many.
	shortLease = 500 * time.Millisecond
	// deliveryLease is that of a delivery to a webhook with such a timeout.
	deliveryLease   = shortTimeout + 5*time.Second
	shortTimeout    = 500 * time.Millisecond
	receiverLatency = 50 * time.Millisecond
)

// fault is something that happens to a replica.
type fault struct {
	kill   bool          // or else pause
	before time.Duration // it strikes so long after its share of the events was given to the publishers
	length time.Duration // how long it is down, or stands still
}

// planFaults makes as many kills as pauses, in random order. A pause is longer than the lease of what is routed, and every sixteenth longer than that of a
// delivery, so that who wakes up finds others at what it has in hand.
func planFaults(random *rand.Rand, n int) []fault {
	faults := make([]fault, n)
	for i, at := range random.Perm(n) {
		f := fault{kill: i%2 == 0, before: upTo(random, 200*time.Millisecond), length: upTo(random, 400*time.Millisecond)}
		if !f.kill {
			f.length = shortLease + 100*time.Millisecond + upTo(random, time.Second)
		}
		if i%32 == 1 {
			f.length += deliveryLease
		}
		faults[at] = f
	}
	return faults
}

func upTo(random *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(random.Int64N(int64(d)))
}

// storm brings faults over the replicas, each replica's one after the other. With each fault the publishers get its share of the events, so
// that every fault meets load, however fast the machine is.
type storm struct {
	trial   *trial
	share   int        // of the events, for each fault
	mu      sync.Mutex // guards faults and strikes, and trial.give
	faults  []fault    // that are to come
	strikes []strike   // the kills that were
	kills   atomic.Int64
	pauses  atomic.Int64
}

// strike is a process killed, and what it does not do between two times.
type strike struct {
	name     string
	from, to time.Time // before the signal; when the process is gone and, of Redis, another one answers
}

func (s *storm) run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	for _, r := range s.trial.replicas {
		work.Go(func() error {
			for {
				f, ok, err := s.next(ctx)
				if !ok {
					return err
				}
				if err := s.strike(ctx, r, f); err != nil {
					return err
				}
			}
		})
	}
	return work.Wait()
}

// next waits until the publishers are not far behind, gives them another share, and returns the fault that it belongs to.
func (s *storm) next(ctx context.Context) (f fault, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.trial.awaitAccepted(ctx, int64(s.trial.given-8*s.share)); err != nil || len(s.faults) == 0 {
		return fault{}, false, err
	}
	f, s.faults = s.faults[0], s.faults[1:]
	s.trial.give(s.share)
	return f, true, nil
}

func (s *storm) strike(ctx context.Context, r *replica, f fault) error {
	if !pause(ctx, f.before) {
		return context.Cause(ctx)
	}
	if !f.kill {
		s.pauses.Add(1)
		if err := r.process.Pause(); err != nil {
			return fmt.Errorf("pause %s: %w", r.name, err)
		}
		pause(ctx, f.length)
		return r.process.Resume()
	}
	s.kills.Add(1)
	from := time.Now()
	if err := r.kill(); err != nil {
		return fmt.Errorf("kill %s: %w", r.name, err)
	}
	s.note(strike{r.name, from, time.Now()})
	pause(ctx, f.length)
	return r.restart(ctx)
}

func (s *storm) note(one strike) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.strikes = append(s.strikes, one)
}

// owners watches which replica routes, and whether routing goes on.
type owners struct {
	redis *redis.Client
	done  chan struct{}
	ended chan struct{}

	takeovers atomic.Int64  // how often another replica began to route
	still     time.Duration // the longest time without an event being routed; to be read after stop
}

// watchOwners begins to watch. The caller stops it; the test's end does so too.
func watchOwners(tr *trial) *owners {
	o := &owners{redis: tr.redis, done: make(chan struct{}), ended: make(chan struct{})}
	go o.watch()
	tr.Cleanup(o.stop)
	return o
}

func (o *owners) stop() {
	select {
	case <-o.done:
	default:
		close(o.done)
	}
	<-o.ended
}

func (o *owners) watch() {
	defer close(o.ended)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	owner, routed, since := "", "", time.Now()
	for {
		select {
		case <-tick.C:
		case <-o.done:
			return
		}
		state, err := o.redis.HMGet(context.Background(), namespace+":{0}:state", "owner", "routed").Result()
		if err != nil {
			continue // Redis is down, which some tests do to it
		}
		if now, _ := state[0].(string); now != "" && now != owner {
			if owner != "" {
				o.takeovers.Add(1)
			}
			owner = now
		}
		o.still = max(o.still, time.Since(since))
		if now, _ := state[1].(string); now != routed {
			routed, since = now, time.Now()
		}
	}
}
