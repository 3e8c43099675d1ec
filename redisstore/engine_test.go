package redisstore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// sink records what it is sent. It stands in for webhooks.
type sink struct {
	mu       sync.Mutex
	got      map[string][]string // subscription's name to event ids, in the order of their arrival
	sendings int
	answer   func(s router.Sending) router.Outcome // nil: all is delivered
	wait     time.Duration                         // what a failure asks for
}

func newSink() *sink { return &sink{got: map[string][]string{}} }

func (s *sink) Send(_ context.Context, one router.Sending) router.Attempt {
	outcome := router.OutcomeDelivered
	if s.answer != nil {
		outcome = s.answer(one)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sendings++
	if outcome == router.OutcomeDelivered {
		s.got[one.Subscription.Name] = append(s.got[one.Subscription.Name], one.Event.ID())
	}
	attempt := router.Attempt{At: time.Now(), Outcome: outcome}
	if outcome != router.OutcomeDelivered {
		attempt.RetryAfter = s.wait
	}
	return attempt
}

func (s *sink) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.got[name])
}

func (s *sink) ids(name string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.got[name]...)
}

// start runs a router until the test ends, or until the returned function is called.
func start(t testing.TB, store router.Store, sender router.Sender, change ...func(*router.Config)) (*router.Router, context.CancelFunc) {
	t.Helper()
	config := router.Config{Senders: map[router.SinkKind]router.Sender{router.WebhookSink: sender}, Grace: time.Second}
	if os.Getenv("STREAMLATCH_TEST_LOG") != "" {
		config.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	for _, f := range change {
		f(&config)
	}
	r := router.New(store, config)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	return r, stop
}

func eventually(t testing.TB, condition func() bool, message string) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 5*time.Millisecond, message)
}

// A thousand times: create on one replica, publish on the other, at once.
func TestWhatIsCreatedOnOneReplicaHoldsForWhatIsPublishedOnAnother(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		own := redistest.Namespace(t)
		namespace := func(c *redisstore.Config) { c.Namespace = own }
		a, b := open(t, addr, namespace), open(t, addr, namespace)
		out := newSink()
		start(t, a, out)
		start(t, b, out)
		rounds := 1000
		if strings.HasSuffix(t.Name(), "miniredis") {
			rounds = 150 // with the race detector on, each of its script calls takes milliseconds
		}
		for i := range rounds {
			name := fmt.Sprintf("s%d", i)
			create(t, a, name, fmt.Sprintf("type.%d", i))
			appendOne(t, b, event(t, name, fmt.Sprintf("type.%d", i)))
		}
		eventually(t, func() bool {
			out.mu.Lock()
			defer out.mu.Unlock()
			return len(out.got) == rounds
		}, "each event reaches the subscription that was created just before it")
		for name, ids := range out.got {
			require.Equal(t, []string{name}, ids)
		}
	})
}

func TestOneEventReachesTenThousandSubscriptionsInBoundedCalls(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	const n = 10_000
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := w; i < n; i += 8 {
				create(t, s, fmt.Sprintf("s%d", i), "big.*")
			}
		})
	}
	all.Wait()
	out := newSink()
	observer := &applies{}
	start(t, s, out, func(c *router.Config) { c.Observer = observer })
	appendOne(t, s, event(t, "one", "big.bang"))
	eventually(t, func() bool {
		out.mu.Lock()
		defer out.mu.Unlock()
		return len(out.got) == n
	}, "every subscription gets it")
	for _, ids := range out.got {
		require.Equal(t, []string{"one"}, ids)
	}
	observer.mu.Lock()
	defer observer.mu.Unlock()
	require.GreaterOrEqual(t, observer.calls, 10)
	require.LessOrEqual(t, observer.most, 1000)
}

// applies counts calls of apply.
type applies struct {
	mu          sync.Mutex
	calls, most int
}

func (a *applies) Applied(_, _, deliveries int, _ time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls++
	a.most = max(a.most, deliveries)
}
func (*applies) Refused(int, router.ApplyStatus)                          {}
func (*applies) Attempted(router.SinkKind, router.Outcome, time.Duration) {}
func (*applies) Settled(router.SinkKind, router.Verdict, int)             {}
func (*applies) Failed(string)                                            {}

func TestARetryFollowsTheScheduleAndEndsInTheDeadLetters(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "bad", "x.*")
		sub.Delivery.Retry = router.Retry{Schedule: []router.Duration{router.Duration(30 * time.Millisecond), router.Duration(60 * time.Millisecond)}}
		_, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		out := newSink()
		out.answer = func(router.Sending) router.Outcome { return router.OutcomeRefused }
		start(t, s, out)
		p := appendOne(t, s, event(t, "a", "x.y"))
		var letters []router.DeadLetter
		eventually(t, func() bool {
			letters, _, err = s.DeadLetters(t.Context(), router.DeadLetterFilter{}, "", 10)
			require.NoError(t, err)
			return len(letters) == 1
		}, "it becomes a dead letter")
		require.Equal(t, 3, out.sendings)
		require.Len(t, letters[0].Attempts, 3)
		require.Equal(t, "refused", letters[0].Reason)
		require.Equal(t, p, letters[0].Position)
		require.Equal(t, event(t, "a", "x.y"), letters[0].Event)
		require.GreaterOrEqual(t, letters[0].Attempts[1].At.Sub(letters[0].Attempts[0].At), 30*time.Millisecond)
		status, err := s.SubscriptionStatus(t.Context(), sub.ID)
		require.NoError(t, err)
		require.Zero(t, status.Backlog)
		require.EqualValues(t, 1, status.Dead)
	})
}

func TestOneDeadEndpointDoesNotSlowFiftyHealthyOnes(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		release := make(chan struct{})
		out := newSink()
		out.answer = func(one router.Sending) router.Outcome {
			if one.Subscription.Name == "dead" {
				<-release
				return router.OutcomeTimeout
			}
			return router.OutcomeDelivered
		}
		create(t, s, "dead", "x.*")
		for i := range 50 {
			create(t, s, fmt.Sprintf("healthy%d", i), "x.*")
		}
		start(t, s, out)
		t.Cleanup(func() { close(release) })
		for i := range 40 {
			appendOne(t, s, event(t, fmt.Sprint(i), "x.y"))
		}
		eventually(t, func() bool {
			for i := range 50 {
				if out.count(fmt.Sprintf("healthy%d", i)) != 40 {
					return false
				}
			}
			return true
		}, "the healthy ones get everything while the dead one hangs")
	})
}

func TestAnotherReplicaTakesOverAtOnceOnAGracefulStop(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		own := redistest.Namespace(t)
		namespace := func(c *redisstore.Config) { c.Namespace = own }
		a, b := open(t, addr, namespace), open(t, addr, namespace)
		out := newSink()
		long := func(c *router.Config) { c.Lease = time.Minute }
		_, stopA := start(t, a, out, long)
		create(t, a, "one", "x.*")
		appendOne(t, a, event(t, "before", "x.y"))
		eventually(t, func() bool { return out.count("one") == 1 }, "the first replica routes")
		start(t, b, out, long)
		stopA()
		appendOne(t, b, event(t, "after", "x.y"))
		eventually(t, func() bool { return out.count("one") == 2 }, "the second replica routes long before the lease would run out")
		require.Equal(t, []string{"before", "after"}, out.ids("one"))
	})
}

func TestAStreamOfChangesDoesNotHoldRoutingUp(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	out := newSink()
	start(t, s, out)
	create(t, s, "all", "x.*")
	ctx, stop := context.WithCancel(t.Context())
	var changes sync.WaitGroup
	for w := range 4 {
		changes.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				create(t, s, fmt.Sprintf("s%d-%d", w, i), "never")
			}
		})
	}
	for i := range 200 {
		appendOne(t, s, event(t, fmt.Sprint(i), "x.y"))
	}
	eventually(t, func() bool { return out.count("all") == 200 }, "all is delivered while definitions go on changing")
	stop()
	changes.Wait()
}

// untold has a replica not learn of the definitions.
type untold struct {
	names map[string]string
	asked chan struct{}
}

func (u *untold) DialHook(next redis.DialHook) redis.DialHook { return next }

func (u *untold) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (u *untold) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if hash, ok := cmd.Args()[1].(string); ok && u.names[hash] == "changes" {
			select {
			case u.asked <- struct{}{}:
			default:
			}
			return errors.New("not now")
		}
		return next(ctx, cmd)
	}
}

func TestAReplicaThatEndsBeforeItKnowsTheDefinitionsSendsNothing(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	queued(t, s, create(t, s, "one", "x.*"), 1)
	u := &untold{names: redisstore.ScriptNames(s), asked: make(chan struct{}, 1)}
	redisstore.AddReaderHook(s, u)
	out := newSink()
	for range 30 {
		_, stop := start(t, s, out)
		<-u.asked
		stop()
	}
	require.Zero(t, out.count("one"))
}

// Elsewhere a delivery is somebody else's before the one who makes it has to give up, and slow endpoints get everything twice.
func TestALeaseOutlivesTheLongestAttempt(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s, c := open(t, addr), redistest.Client(t, addr)
		sub := create(t, s, "slow", "x.*")
		sub.Delivery.Retry.Schedule = []router.Duration{router.Duration(time.Millisecond)}
		sub, err := s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		left := make(chan time.Duration, 2)
		out := newSink()
		out.answer = func(one router.Sending) router.Outcome {
			leases := c.ZRangeWithScores(context.Background(), redisstore.Key(s, "l:"+sub.ID), 0, -1).Val()
			if len(leases) != 1 {
				left <- -1
			} else {
				left <- time.UnixMilli(int64(leases[0].Score)).Sub(c.Time(context.Background()).Val())
			}
			return []router.Outcome{router.OutcomeRefused, router.OutcomeDelivered}[one.Attempt-1]
		}
		start(t, s, out)
		appendOne(t, s, event(t, "a", "x.y"))
		for _, which := range []string{"the first", "the repeated"} {
			require.Greater(t, <-left, sub.Sink.Timeout.Std(), "what is left of the lease when %s attempt has begun", which)
		}
	})
}
