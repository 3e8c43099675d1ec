package main_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// kinds are the types of the events and who subscribes to each, written out, so that the router's own matcher is not what it is judged by.
var kinds = []struct {
	typ         string
	subscribers []string
}{
	{"order.paid", []string{"all", "orders", "invoices"}},
	{"order.paid.eu", []string{"all", "orders", "eu"}},
	{"order.refunded", []string{"all", "orders"}},
	{"order.refunded.eu", []string{"all", "orders", "eu"}},
	{"user.created", []string{"all", "welcome"}},
	{"user.deleted", []string{"all"}},
	{"audit", []string{"all"}},
}

// queues are the subscriptions that no replica handles, so that their queues keep all that is ever put into them, in order.
var queues = map[string][]string{"all": {"*"}, "orders": {"order.*"}, "eu": {"order.*.eu"}}

// webhooks are the subscriptions whose deliveries are made.
var webhooks = map[string]struct {
	types []string
	mode  router.Mode
}{"invoices": {[]string{"order.paid"}, router.Structured}, "welcome": {[]string{"user.created"}, router.Binary}}

const namespace = "crash"

// trial is a deployment that is put through something, and what it must have done all the same: every event that is published is in the log once, and in
// the queue of each subscription that it matches once, in the log's order, and reaches each webhook.
type trial struct {
	testing.TB
	seed     uint64
	redis    *redis.Client // past any proxy
	store    *redisstore.Store
	flags    []string
	replicas []*replica
	receiver *receiver
	ids      map[string]string // of subscriptions, by name

	events []trialEvent
	work   chan int // indexes of events, to the publishers
	given  int      // how many of them have been
	acked  atomic.Int64
	alive  context.Context // ends when a publisher fails, with what it failed with

	mu      sync.Mutex
	refused map[string]int // attempts at publishing that failed, by what came of them
	retry   time.Duration  // the longest Retry-After
}

// trialEvent is an event with an identity of its own, fixed before it is first sent, so that it can be sent until it is accepted.
type trialEvent struct {
	id       string
	kind     int
	key      int // what order is kept for, in trials that have that
	json     string
	sent     int    // how often
	position string // that the program said it has
}

// setup is what a trial begins with.
type setup struct {
	server   *redistest.Server
	url      string // of Redis, for the replicas. Defaults to the server's
	replicas int
	named    bool // the replicas' names stand in the user-agent of their webhooks
	flags    []string
	events   int
	latency  time.Duration // of the receiver
	timeout  time.Duration // of webhooks. Defaults to 1s; a delivery whose replica is killed is made again 5s after it
	inFlight int           // deliveries under way at a time, for each webhook. Defaults to 200
}

// newTrial starts a deployment with its subscriptions and triggers, and makes its events.
func newTrial(t testing.TB, s setup) *trial {
	t.Helper()
	tr := startTrial(t, s)
	tr.subscribe(cmp.Or(s.timeout, time.Second), cmp.Or(s.inFlight, 200))
	tr.makeEvents(s.events)
	return tr
}

// startTrial starts a deployment that has no definitions, and makes no events. The seed is random, unless STREAMLATCH_TEST_SEED says which.
func startTrial(t testing.TB, s setup) *trial {
	t.Helper()
	tr := &trial{
		TB: t, seed: seedOf(t), redis: redistest.Client(t, s.server.Addr()), flags: append([]string{"--namespace", namespace, "--log-level", "warn"}, s.flags...),
		receiver: newReceiver(t, s.latency), ids: map[string]string{}, work: make(chan int, s.events), refused: map[string]int{},
	}
	var err error
	tr.store, err = redisstore.Open(t.Context(), redisstore.Config{URL: s.server.URL(), Namespace: namespace})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.store.Close()) })
	if s.url == "" {
		s.url = s.server.URL()
	}
	for i := range s.replicas {
		name, version := "replica "+strconv.Itoa(i), ""
		if s.named {
			version = "replica-" + strconv.Itoa(i)
			name = version
		}
		tr.replicas = append(tr.replicas, startVersion(t, version, name, s.url, tr.flags...))
	}
	t.Logf("seed %d, %d events", tr.seed, s.events)
	return tr
}

func seedOf(t testing.TB) uint64 {
	text := os.Getenv("STREAMLATCH_TEST_SEED")
	if text == "" {
		return rand.Uint64()
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	require.NoError(t, err, "STREAMLATCH_TEST_SEED")
	return seed
}

// random makes a generator of its own for each purpose.
func (tr *trial) random(purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(tr.seed, purpose)) }

func (tr *trial) subscribe(timeout time.Duration, inFlight int) {
	for name, types := range queues {
		sub, err := tr.store.CreateSubscription(tr.Context(), router.Subscription{
			Name: name, Enabled: true, Filter: router.Filter{Types: types}, Sink: router.Sink{Kind: router.HandlerSink}, Delivery: router.DefaultDelivery(),
		})
		require.NoError(tr, err)
		tr.ids[name] = sub.ID
	}
	c, err := client.New(client.Config{Server: tr.replicas[0].url, Transport: direct})
	require.NoError(tr, err)
	for name, w := range webhooks {
		url, secret := tr.receiver.add(tr, name)
		document, err := json.Marshal(map[string]any{
			"filter": map[string]any{"types": w.types},
			"sink":   map[string]any{"kind": "webhook", "url": url, "secret": secret, "mode": w.mode, "timeout": timeout.String()},
			"delivery": map[string]any{
				"max_in_flight": inFlight, "retry": map[string]any{"schedule": slices.Repeat([]string{"300ms"}, 40), "jitter": 0.2},
			},
		})
		require.NoError(tr, err)
		made, err := c.Put(tr.Context(), client.Subscription, name, document, client.Condition{})
		require.NoError(tr, err)
		var sub struct{ ID string }
		require.NoError(tr, made.Decode(&sub))
		tr.ids[name] = sub.ID
	}
	tr.defineTriggers(c)
}

func (tr *trial) makeEvents(n int) {
	random := tr.random(1)
	for i := range n {
		e := trialEvent{id: fmt.Sprintf("e%06d", i), kind: random.IntN(len(kinds))}
		data, err := json.Marshal(payload{ID: e.id, Padding: strings.Repeat("x", random.IntN(200)), Group: random.IntN(crashGroups)})
		require.NoError(tr, err)
		made, err := client.NewEvent(client.EventFields{ID: e.id, Source: "/trial", Type: kinds[e.kind].typ, Data: data})
		require.NoError(tr, err)
		e.json = made.String()
		tr.events = append(tr.events, e)
	}
}

// give lets the publishers have n more events, or what is left of them.
func (tr *trial) give(n int) {
	for range min(n, len(tr.events)-tr.given) {
		tr.work <- tr.given
		tr.given++
	}
}

// load lets the publishers have events at a rate, so many in a second, until all are given or the returned function is called.
func (tr *trial) load(ctx context.Context, perSecond int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var giving sync.WaitGroup
	giving.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for tr.given < len(tr.events) {
			select {
			case <-tick.C:
				tr.give(max(perSecond/100, 1))
			case <-ctx.Done():
				return
			}
		}
	})
	return func() {
		cancel()
		giving.Wait()
	}
}

// awaitEvents waits until so many more events were accepted.
func (tr *trial) awaitEvents(ctx context.Context, n int) {
	tr.Helper()
	want := tr.acked.Load() + int64(n)
	require.NoErrorf(tr, tr.awaitAccepted(ctx, want), "seed %d", tr.seed)
}

// awaitAccepted waits until so many events were accepted in all.
func (tr *trial) awaitAccepted(ctx context.Context, want int64) error {
	return poll(ctx, patience, func(context.Context) error {
		if err := context.Cause(tr.alive); err != nil {
			return fatalError{err}
		}
		if have := tr.acked.Load(); have < want {
			return fmt.Errorf("%d events of %d were accepted", have, want)
		}
		return nil
	})
}

// settle waits until all is routed and delivered.
func (tr *trial) settle() {
	tr.Helper()
	err := poll(tr.Context(), patience, func(ctx context.Context) error {
		status, err := tr.store.Status(ctx)
		if err != nil {
			return err
		}
		if p := status.Partitions[0]; p.Lag != 0 || p.Cursor != p.End || p.Alarm != "" {
			return fmt.Errorf("the log is not routed: %+v", p)
		}
		for name := range webhooks {
			status, err := tr.store.SubscriptionStatus(ctx, tr.ids[name])
			if err != nil {
				return err
			}
			if status.Backlog > 0 {
				return fmt.Errorf("%q has deliveries to be made: %+v", name, status)
			}
		}
		return nil
	})
	require.NoErrorf(tr, err, "seed %d", tr.seed)
}

// check compares what the deployment did with what it has to do. It returns how many deliveries arrived again after they had arrived, which is no fault.
func (tr *trial) check() (repeated int) {
	tr.Helper()
	tr.checkTriggers()
	positions := tr.checkLog()
	wanted := map[string][]string{} // by subscription: stream IDs, in log order
	events := map[string][]int{}
	for _, p := range positions {
		if p.event == aFiring {
			wanted["all"] = append(wanted["all"], p.position.ID())
			continue
		}
		for _, name := range kinds[tr.events[p.event].kind].subscribers {
			wanted[name] = append(wanted[name], p.position.ID())
			events[name] = append(events[name], p.event)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(queues)) {
		tr.checkQueue(name, wanted[name])
	}
	at := map[int]router.Position{}
	for _, p := range positions {
		at[p.event] = p.position
	}
	require.Emptyf(tr, tr.receiver.faults, "seed %d", tr.seed)
	for _, name := range slices.Sorted(maps.Keys(webhooks)) {
		repeated += tr.checkHook(name, events[name], at)
	}
	tr.Logf("failed attempts at publishing: %v", tr.refused)
	return repeated
}

// placed is where an event stands.
type placed struct {
	event    int // aFiring: it was not published
	position router.Position
}

const aFiring = -1

// checkLog reads the log: every event that was accepted is in it, once, where the answer said.
func (tr *trial) checkLog() (log []placed) {
	tr.Helper()
	index := map[string]int{}
	for i, e := range tr.events {
		require.NotEmptyf(tr, e.position, "seed %d: event %s was not accepted", tr.seed, e.id)
		index[e.id] = i
	}
	var after router.Position
	seen := map[int]router.Position{}
	for {
		records, err := tr.store.ReadLog(tr.Context(), after, 1000, 0)
		require.NoError(tr, err)
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			if r.Err == nil && isFiring(r.Event) {
				log = append(log, placed{aFiring, r.Position})
				continue
			}
			i, ok := index[r.Event.ID()]
			require.Truef(tr, ok && r.Err == nil, "seed %d: %s holds what was not published: %v %v", tr.seed, r.Position, r.Event, r.Err)
			require.Zerof(tr, seen[i], "seed %d: event %s is in the log twice, again at %s", tr.seed, r.Event.ID(), r.Position)
			require.Equalf(tr, tr.events[i].position, r.Position.String(), "seed %d: event %s was accepted at another position", tr.seed, r.Event.ID())
			seen[i] = r.Position
			log = append(log, placed{i, r.Position})
		}
		after = records[len(records)-1].Position
	}
	require.Lenf(tr, seen, len(tr.events), "seed %d: accepted events are missing in the log", tr.seed)
	return log
}

// checkQueue reads the queue of a subscription that nobody handles: it holds every event that matches, once, in log order.
func (tr *trial) checkQueue(name string, wanted []string) {
	tr.Helper()
	key := namespace + ":{0}:q:" + tr.ids[name]
	got, err := tr.redis.LRange(tr.Context(), key, 0, -1).Result()
	require.NoError(tr, err)
	same := 0
	for same < min(len(got), len(wanted)) && got[same] == wanted[same] {
		same++
	}
	around := func(list []string) []string { return list[min(max(same-3, 0), len(list)):min(same+5, len(list))] }
	require.Truef(tr, slices.Equal(got, wanted), "seed %d: the queue of %q has %d entries, and %d events match; they differ from number %d on: it has … %v …, and the log … %v …",
		tr.seed, name, len(got), len(wanted), same, around(got), around(wanted))
}

// checkHook tells whether every event that matches has arrived, under the id of its delivery, and no other.
func (tr *trial) checkHook(name string, events []int, at map[int]router.Position) (repeated int) {
	tr.Helper()
	status, err := tr.store.SubscriptionStatus(tr.Context(), tr.ids[name])
	require.NoError(tr, err)
	require.Zerof(tr, status.Dead, "seed %d: %q has dead letters: %+v", tr.seed, name, status)
	arrived := tr.receiver.hooks[name].arrived
	for _, i := range events {
		e := tr.events[i]
		ids := arrived[e.id]
		require.NotEmptyf(tr, ids, "seed %d: event %s at %s has not arrived at %q", tr.seed, e.id, e.position, name)
		want := router.DeliveryID(tr.ids[name], router.Entry{Position: at[i]})
		require.Equalf(tr, slices.Repeat([]string{want}, len(ids)), ids, "seed %d: webhook-ids of event %s at %q", tr.seed, e.id, name)
		repeated += len(ids) - 1
	}
	require.Lenf(tr, arrived, len(events), "seed %d: events that do not match have arrived at %q", tr.seed, name)
	require.EqualValuesf(tr, len(events), status.Delivered, "seed %d: deliveries of %q that were settled: %+v", tr.seed, name, status)
	tr.Logf("%q: %d deliveries, %d of them repeated", name, len(events), repeated)
	return repeated
}
