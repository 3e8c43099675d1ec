package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/internal/hostile"
	"github.com/streamlatch/streamlatch/internal/redistest"
)

const (
	addressees        = 200
	hostileAddressees = 40
	addresseeTypes    = 20 // of events; each subscription is for one of them
	addresseeKeys     = 5  // what order is kept for
	eventsPerKill     = 25
	killsPerOutage    = 4 // of replicas, for each kill of Redis

	goodTimeout = 2 * time.Second        // also of bad endpoints that answer
	badTimeout  = 300 * time.Millisecond // of those that do not
)

// addresseeRate is the rate of those that have one.
var addresseeRate = client.Rate{Limit: 20, Per: 2 * time.Second}

// hostileDeliveries is how many deliveries are made. STREAMLATCH_TEST_DELIVERIES says another number; the faults grow with it.
func hostileDeliveries(t testing.TB) int {
	text := os.Getenv("STREAMLATCH_TEST_DELIVERIES")
	if text == "" {
		return 2000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "STREAMLATCH_TEST_DELIVERIES")
	require.LessOrEqual(t, n, 500*addressees, "STREAMLATCH_TEST_DELIVERIES: of each subscription the last 1,000 successes can be looked at")
	return n
}

// addressee is a subscription, and its endpoint.
type addressee struct {
	*endpoint
	name    string
	id      string
	kind    hostile.Kind // "": it behaves
	typ     int
	ordered bool
	limited bool // by addresseeRate
}

// Three replicas and their Redis are killed at random while they deliver to 200 endpoints, of which 40 misbehave. In the end, by what the API says and what the endpoints saw:
//
//   - Each event has been delivered to each subscription that it matches, or is a dead letter of it: one of both, and nothing else is.
//   - Whose endpoint behaves has no dead letters: it has more attempts than a delivery can lose to kills.
//   - A success that is recorded was one. No request of that delivery comes after the one whose success is recorded.
//   - A request that was answered with success before that one came too late, or the replica that sent it was killed before it could record that.
//   - On ordered subscriptions all requests of an event come before all those of later events of its key, so first successes are in order.
//   - No window of a rate sees more attempts begin than its limit.
func TestReplicasAndRedisKilledUnderHostileEndpointsLoseNoDelivery(t *testing.T) {
	deliveries := hostileDeliveries(t)
	server := redistest.Start(t, redistest.AOF(redistest.Always))
	tr := startTrial(t, setup{
		server: server, replicas: 3, named: true, flags: []string{"--lease", shortLease.String()}, events: deliveries * addresseeTypes / addressees,
	})
	h := &hostileTrial{trial: tr}
	h.subscribe()
	h.makeEvents(addresseeTypes)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Duration(deliveries)*10*time.Millisecond)
	defer cancel()
	wait := tr.publish(ctx, 8)

	s := &storm{trial: tr, faults: planKills(tr.random(2), len(tr.events)/eventsPerKill), share: eventsPerKill}
	require.NoErrorf(t, s.withOutages(ctx, server), "seed %d", tr.seed)
	tr.give(len(tr.events))
	require.NoErrorf(t, wait(), "seed %d: publish", tr.seed)
	h.strikes = s.strikes
	h.settle(ctx)
	h.check()
}

// planKills makes kills only: a replica that wakes up late is something else, and what is excused for its sake would hide other faults. Half of them strike amid the events
// that come with them, half so much later that they meet what is left; and in between is time in which nothing is excused.
func planKills(random *rand.Rand, n int) []fault {
	faults := make([]fault, n)
	for i := range faults {
		faults[i] = fault{kill: true, before: upTo(random, 300*time.Millisecond), length: upTo(random, 400*time.Millisecond)}
		if i%2 == 1 {
			faults[i].before = time.Second + upTo(random, 3*time.Second)
		}
	}
	return faults
}

// outage is the name of Redis among what is killed.
const outage = "Redis"

// give lets the publishers have another share of the events.
func (s *storm) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trial.give(s.share)
}

// withOutages brings the faults, and kills Redis meanwhile.
func (s *storm) withOutages(ctx context.Context, server *redistest.Server) error {
	random, planned := s.trial.random(3), len(s.faults)
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return s.run(ctx) })
	work.Go(func() error {
		for n := range planned / killsPerOutage {
			err := poll(ctx, patience, func(context.Context) error {
				if have, want := int(s.kills.Load()), n*killsPerOutage+1; have < want {
					return fmt.Errorf("%d kills of %d", have, want)
				}
				return nil
			})
			if err != nil {
				return err
			}
			s.give() // so that it is missed
			if !pause(ctx, upTo(random, 300*time.Millisecond)) {
				return context.Cause(ctx)
			}
			from := time.Now()
			if err := server.Kill(); err != nil {
				return err
			}
			pause(ctx, upTo(random, time.Second))
			if err := server.Restart(); err != nil {
				return err
			}
			s.note(strike{outage, from, time.Now()})
		}
		return nil
	})
	return work.Wait()
}

// The replicas share nothing but Redis, and each measures with its own clock.
func TestThreeReplicasAsProcessesKeepARateAndUseIt(t *testing.T) {
	t.Parallel() // most of it is waiting
	const windows = 2
	tr := startTrial(t, setup{server: redistest.Start(t), replicas: 3, named: true, events: addresseeRate.Limit * (windows + 2)})
	h := &hostileTrial{trial: tr}
	a := &addressee{endpoint: newEndpoint(t), name: "limited", limited: true}
	newWellBehaved(t).add(a.endpoint, a.name, 0)
	h.define(a)
	h.makeEvents(1)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	wait := tr.publish(ctx, 8)
	tr.give(len(tr.events))
	require.NoError(t, wait())
	h.settle(ctx)

	var sum tally
	outcomes := h.outcomes(a, tr.checkLog())
	h.checkRate(a, outcomes, &sum)
	began, by := make([]time.Time, len(outcomes)), map[string]int{}
	for i, o := range outcomes {
		began[i] = o.attempts[0].from
		by[o.arrivals[0].replica]++
	}
	slices.SortFunc(began, time.Time.Compare)
	took := time.Hour
	for i := addresseeRate.Limit * windows; i < len(began); i++ { // the best stretch: this machine may be busy with something else
		took = min(took, began[i].Sub(began[i-addresseeRate.Limit*windows]))
	}
	used := float64(windows*addresseeRate.Per) / float64(took)
	t.Logf("%.1f %% of a rate of %d in %v is used, by %v; no window has more than %d attempts", 100*used, addresseeRate.Limit, addresseeRate.Per, by, sum.fullest)
	require.Greater(t, len(by), 1, "one replica did it all, so this shows little")
	require.Greater(t, used, 0.95)
}

// hostileTrial is a trial with subscriptions of its own.
type hostileTrial struct {
	*trial
	addressees []*addressee
	strikes    []strike
	api        *client.Client
}

func (h *hostileTrial) subscribe() {
	good := newWellBehaved(h)
	all := make([]*addressee, addressees)
	for i := range addressees {
		a := &addressee{endpoint: newEndpoint(h), name: "good-" + strconv.Itoa(i), typ: i % addresseeTypes, ordered: i%4 == 1, limited: i%8 > 4}
		if n := i - (addressees - hostileAddressees); n >= 0 {
			kinds := hostile.Kinds()
			round := n / len(kinds) // each kind comes plain, ordered and limited, and some with both
			a.kind, a.ordered, a.limited = kinds[n%len(kinds)], round == 1 || round == 3, round >= 2
			a.name = fmt.Sprintf("bad-%s-%d", a.kind, round)
			a.misbehave(h, a.kind)
		} else {
			good.add(a.endpoint, a.name, receiverLatency)
		}
		all[i] = a
	}
	h.define(all...)
}

// define creates the subscriptions.
func (h *hostileTrial) define(list ...*addressee) {
	h.Helper()
	var err error
	h.api, err = client.New(client.Config{Server: h.replicas[0].url, Transport: direct})
	require.NoError(h, err)
	h.addressees = list
	for _, a := range list {
		made, err := h.api.Put(h.Context(), client.Subscription, a.name, a.document(h), client.Condition{})
		require.NoError(h, err)
		var sub struct{ ID string }
		require.NoError(h, made.Decode(&sub))
		a.id = sub.ID
	}
}

// document is the definition of the subscription. Whose endpoint behaves has more attempts than kills can cost; others come to an end soon. A breaker would keep
// those that always fail for hours, so only those have one that recover.
func (a *addressee) document(t testing.TB) []byte {
	t.Helper()
	timeout, schedule, failures := goodTimeout, slices.Repeat([]string{"300ms"}, 40), 10
	if a.kind != "" {
		schedule, failures = []string{"100ms", "200ms", "1s"}, 0
	}
	switch a.kind {
	case hostile.Slow, hostile.Hang, hostile.Late:
		timeout = badTimeout
	case hostile.Flapping, hostile.RateLimited:
		failures = 2
	default:
	}
	delivery := map[string]any{
		"max_in_flight": 8, "ordered": a.ordered, "retry": map[string]any{"schedule": schedule, "jitter": 0.2},
		"breaker": map[string]any{"failures": failures, "pause": "100ms"},
	}
	if a.limited {
		delivery["rate"] = map[string]any{"limit": addresseeRate.Limit, "per": addresseeRate.Per.String()}
	}
	document, err := json.Marshal(map[string]any{
		"filter": map[string]any{"types": []string{addresseeType(a.typ)}}, "delivery": delivery,
		"sink": map[string]any{"kind": "webhook", "url": a.url, "secret": a.secret, "timeout": timeout.String()},
	})
	require.NoError(t, err)
	return document
}

func addresseeType(n int) string { return fmt.Sprintf("chaos.n%d", n) }

// makeEvents makes events of so many types.
func (h *hostileTrial) makeEvents(types int) {
	random := h.random(1)
	for i := range cap(h.work) {
		e, key := trialEvent{id: fmt.Sprintf("e%06d", i), kind: random.IntN(types)}, random.IntN(addresseeKeys)
		data, err := json.Marshal(payload{ID: e.id, Group: key})
		require.NoError(h, err)
		made, err := client.NewEvent(client.EventFields{
			ID: e.id, Source: "/trial", Type: addresseeType(e.kind), Subject: strconv.Itoa(key), Data: data,
		})
		require.NoError(h, err)
		e.json, e.key = made.String(), key
		h.events = append(h.events, e)
	}
}

// settle waits until all is routed, and delivered or dead.
func (h *hostileTrial) settle(ctx context.Context) {
	left := slices.Clone(h.addressees)
	err := poll(ctx, 5*time.Minute, func(ctx context.Context) error {
		status, err := h.store.Status(ctx)
		if err != nil {
			return err
		}
		if p := status.Partitions[0]; p.Lag != 0 || p.Cursor != p.End || p.Alarm != "" {
			return fmt.Errorf("the log is not routed: %+v", p)
		}
		for len(left) > 0 {
			status, err := h.store.SubscriptionStatus(ctx, left[0].id)
			if err != nil {
				return err
			}
			if status.Backlog > 0 {
				return fmt.Errorf("%q has deliveries to be made, and %d others may: %+v", left[0].name, len(left)-1, status)
			}
			left = left[1:]
		}
		return nil
	})
	require.NoErrorf(h, err, "seed %d", h.seed)
}
