package main_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/internal/hostile"
	"github.com/streamlatch/streamlatch/router"
)

const (
	// rounding is what the times of recorded attempts, in whole milliseconds, may be off by.
	rounding = 2 * time.Millisecond
	// recordedWithin is how long a replica insists on recording what became of an attempt.
	recordedWithin = 5 * time.Second
	// beginsWithin is how long a busy replica may take from the moment to which a permit was good to that which it records as the attempt's beginning.
	beginsWithin = 250 * time.Millisecond
)

// outcome is what is recorded of a delivery, and what its endpoint saw.
type outcome struct {
	id       string
	event    trialEvent
	arrivals []*arrival
	attempts []recordedAttempt
	success  *recordedAttempt // the last of attempts; nil of a dead letter
}

type recordedAttempt struct {
	from, to time.Time
	outcome  router.Outcome
}

// has tells whether a request is the attempt's. A busy endpoint may come to one long after its sender has given up.
func (r recordedAttempt) has(a *arrival) bool {
	return a.sent.Unix() == r.from.Unix() && !a.at.Before(r.from) && (r.outcome == router.OutcomeTimeout || !a.at.After(r.to.Add(rounding)))
}

// late tells whether a request is one that its sender gave up.
func (o *outcome) late(a *arrival) bool {
	return slices.ContainsFunc(o.attempts, func(r recordedAttempt) bool { return r.outcome == router.OutcomeTimeout && r.has(a) })
}

// tally is what there was.
type tally struct {
	delivered, dead                  int
	requests, repeats, late, unheard int           // repeats: requests behind one that was answered with success, which came too late, or whose sender did not live to hear it
	ordered, windows                 int           // deliveries whose order was looked at, windows of a rate
	most                             int           // failed attempts at one delivery to an endpoint that behaves
	fullest                          int           // attempts in a window
	longest                          time.Duration // from a request that was taken to the death of its sender
	deliveredTo, deadOf              map[hostile.Kind]int
}

func (h *hostileTrial) check() {
	h.Helper()
	log := h.checkLog()
	sum := tally{deliveredTo: map[hostile.Kind]int{}, deadOf: map[hostile.Kind]int{}}
	for _, a := range h.addressees {
		a.mu.Lock() // what is under way there is of no interest any more
		outcomes := h.outcomes(a, log)
		for _, o := range outcomes {
			h.checkOutcome(a, o, &sum)
		}
		if a.ordered {
			h.checkOrder(a, outcomes, &sum)
		}
		if a.limited {
			h.checkRate(a, outcomes, &sum)
		}
		a.mu.Unlock()
	}
	outages, longest := 0, time.Duration(0)
	for _, s := range h.strikes {
		if s.name == outage {
			outages, longest = outages+1, max(longest, s.to.Sub(s.from))
		}
	}
	insisted := h.checkInsistence(longest)
	h.Logf("seed %d: %d deliveries to %d subscriptions, %d of them hostile; %d kills of replicas, %d of Redis: %d delivered, %d dead, lost 0",
		h.seed, sum.delivered+sum.dead, addressees, hostileAddressees, len(h.strikes)-outages, outages, sum.delivered, sum.dead)
	h.Logf("%d requests arrived; %d of them behind one that was answered with success (%d of these came too late; of %d the sender was killed, up to %v later), 0 behind a recorded success",
		sum.requests, sum.repeats, sum.late, sum.unheard, sum.longest)
	h.Logf("an endpoint that behaves: %d failed attempts at one delivery at most, and no dead letters; hostile ones: delivered %v, dead %v", sum.most, sum.deliveredTo, sum.deadOf)
	h.Logf("Redis was down for %v at most; %d times what became of deliveries could be recorded at a later try only, and never not at all", longest, insisted)
	h.Logf("%d deliveries in order; in %d windows of a rate of %d in %v at most %d attempts", sum.ordered, sum.windows, addresseeRate.Limit, addresseeRate.Per, sum.fullest)
	for _, kind := range []hostile.Kind{hostile.Endless, hostile.Flapping, hostile.RateLimited} {
		require.NotZerof(h, sum.deliveredTo[kind], "seed %d: nothing was delivered to %s", h.seed, kind)
	}
	require.NotZerof(h, sum.unheard, "seed %d: no kill met an attempt, so this shows nothing", h.seed)
}

// checkInsistence reads what the replicas printed: however often Redis was down, for no longer than a time, none that lived gave up recording what became of deliveries.
func (h *hostileTrial) checkInsistence(down time.Duration) (insisted int) {
	h.Helper()
	for _, r := range h.replicas {
		text, err := os.ReadFile(r.log.Name())
		require.NoError(h, err)
		insisted += strings.Count(string(text), "cannot record what became of deliveries; it will be tried again")
		if down < recordedWithin/2 { // it may have been as long again until the replica got through
			require.NotContainsf(h, string(text), "could not be recorded", "seed %d: %s", h.seed, r.name)
		}
	}
	return insisted
}

// outcomes are those of the events that match a subscription, in the order of the log. Each was delivered or is dead, and nothing else was.
func (h *hostileTrial) outcomes(a *addressee, log []placed) (outcomes []outcome) {
	h.Helper()
	require.Emptyf(h, a.faults, "seed %d: %s", h.seed, a.name)
	recorded := h.recorded(a)
	requests := 0
	var lost []string
	for _, p := range log {
		e := h.events[p.event]
		if e.kind != a.typ {
			continue
		}
		id := router.DeliveryID(a.id, router.Entry{Position: p.position})
		o, ok := recorded[id]
		if !ok {
			lost = append(lost, e.id)
		}
		o.id, o.event, o.arrivals = id, e, a.arrivals[id]
		slices.SortFunc(o.arrivals, func(a, b *arrival) int { return a.at.Compare(b.at) })
		outcomes = append(outcomes, o)
		requests += len(o.arrivals)
	}
	require.Emptyf(h, lost, "seed %d: %d deliveries to %s are lost", h.seed, len(lost), a.name)
	require.Lenf(h, recorded, len(outcomes), "seed %d: %s has deliveries of events that do not match", h.seed, a.name)
	for list := range maps.Values(a.arrivals) {
		requests -= len(list)
	}
	require.Zerof(h, requests, "seed %d: requests with an id that is no delivery's came to %s", h.seed, a.name)
	status, err := h.store.SubscriptionStatus(h.Context(), a.id)
	require.NoError(h, err)
	require.EqualValuesf(h, len(outcomes), status.Delivered+status.Dead, "seed %d: what is counted of %s: %+v", h.seed, a.name, status)
	return outcomes
}

// recorded lists what the API knows of a subscription's deliveries.
func (h *hostileTrial) recorded(a *addressee) map[string]outcome {
	h.Helper()
	all := map[string]outcome{}
	add := func(id string, attempts []client.Attempt) *outcome {
		require.NotContainsf(h, all, id, "seed %d: a delivery to %s ended twice", h.seed, a.name)
		var o outcome
		for _, one := range attempts {
			took, err := time.ParseDuration(one.Duration)
			require.NoError(h, err)
			o.attempts = append(o.attempts, recordedAttempt{one.At, one.At.Add(took), router.Outcome(one.Outcome)})
		}
		all[id] = o
		return &o
	}
	for d, err := range h.api.Deliveries(h.Context(), client.DeliveryQuery{Subscription: a.id, Status: string(router.DeliveryDelivered)}) {
		require.NoError(h, err)
		o := add(d.ID, d.Attempts)
		require.NotEmpty(h, o.attempts)
		o.success = &o.attempts[len(o.attempts)-1]
		require.Equal(h, router.OutcomeDelivered, o.success.outcome)
		all[d.ID] = *o
	}
	for d, err := range h.api.DeadLetters(h.Context(), client.DeadLetterQuery{Subscription: a.id}) {
		require.NoError(h, err)
		add(d.ID, d.Attempts)
	}
	return all
}

func (h *hostileTrial) checkOutcome(a *addressee, o outcome, sum *tally) {
	h.Helper()
	if o.success != nil {
		sum.delivered++
		h.checkSuccess(a, o)
	} else {
		sum.dead++
		require.NotEmptyf(h, a.kind, "seed %d: event %s became a dead letter of %s, whose endpoint behaves: %+v", h.seed, o.event.id, a.name, o.attempts)
	}
	if a.kind == "" {
		sum.most = max(sum.most, len(o.attempts)-1)
	} else if o.success != nil {
		sum.deliveredTo[a.kind]++
	} else {
		sum.deadOf[a.kind]++
	}
	sum.requests += len(o.arrivals)
	taken := false
	for _, one := range o.arrivals {
		require.Equalf(h, o.event.id, one.event, "seed %d: event under delivery %s to %s", h.seed, o.id, a.name)
		if taken {
			sum.repeats++
		}
		if !one.taken {
			continue
		}
		taken = true
		switch {
		case o.success != nil && o.success.has(one):
		case o.late(one):
			sum.late++
		default:
			sum.unheard++
			h.checkUnheard(a, o, one, sum)
		}
	}
}

// checkUnheard looks for why a request was answered with success that is not recorded. Only the death of the replica that sent it explains that, and then its lease ran out before
// it was sent again. That Redis was down is no excuse by itself: replicas insist for longer than that.
func (h *hostileTrial) checkUnheard(a *addressee, o outcome, one *arrival, sum *tally) {
	h.Helper()
	kill := slices.IndexFunc(h.strikes, func(s strike) bool {
		return s.name == one.replica && s.to.After(one.sent) && s.from.Before(one.at.Add(recordedWithin))
	})
	require.GreaterOrEqualf(h, kill, 0, "seed %d: event %s was taken by %s at %v, which is not recorded, and %s, which sent it, was not killed then: %v; killed were %v",
		h.seed, o.event.id, a.name, one.at, one.replica, o.attempts, h.strikes)
	sum.longest = max(sum.longest, h.strikes[kill].from.Sub(one.at))
	require.Truef(h, slices.ContainsFunc(o.attempts, func(r recordedAttempt) bool { return r.outcome == router.OutcomeExpired && r.from.After(one.sent) }),
		"seed %d: event %s was taken by %s at %v, which is not recorded, though no lease ran out: %v", h.seed, o.event.id, a.name, one.at, o.attempts)
}

// checkSuccess tells whether a recorded success was one, and nothing was sent behind it.
func (h *hostileTrial) checkSuccess(a *addressee, o outcome) {
	h.Helper()
	switch a.kind {
	case "", hostile.Endless, hostile.Flapping, hostile.RateLimited:
	default:
		require.Failf(h, "a success that was none", "seed %d: event %s at %s: %+v", h.seed, o.event.id, a.name, o.attempts)
	}
	require.Truef(h, slices.ContainsFunc(o.arrivals, func(one *arrival) bool { return one.taken && o.success.has(one) }),
		"seed %d: event %s is recorded as delivered to %s at %v, which has not taken it", h.seed, o.event.id, a.name, o.success.from)
	for _, one := range o.arrivals {
		require.Truef(h, !one.at.After(o.success.to.Add(rounding)) || o.late(one),
			"seed %d: event %s came to %s at %v, after the attempt whose success is recorded: %v", h.seed, o.event.id, a.name, one.at, o.attempts)
	}
}

// checkOrder looks at each key's requests, but those that their senders gave up, which a busy endpoint may have come to late: of these, at the first successes only.
func (h *hostileTrial) checkOrder(a *addressee, outcomes []outcome, sum *tally) {
	h.Helper()
	first, last := map[int]time.Time{}, map[int]time.Time{}
	for _, o := range outcomes {
		key := o.event.key
		if i := slices.IndexFunc(o.arrivals, func(one *arrival) bool { return one.taken }); i >= 0 {
			require.Truef(h, first[key].Before(o.arrivals[i].at), "seed %d: event %s of key %d was first taken by %s before one that was accepted earlier", h.seed, o.event.id, key, a.name)
			first[key] = o.arrivals[i].at
		}
		sum.ordered++
		before := last[key]
		for _, one := range o.arrivals {
			if !o.late(one) {
				require.Truef(h, before.Before(one.at), "seed %d: event %s of key %d came to %s before the last request of one that was accepted earlier", h.seed, o.event.id, key, a.name)
				last[key] = one.at
			}
		}
	}
}

// begun is between when and when an attempt began.
type begun struct{ first, last time.Time }

// checkRate looks at when attempts began: as their senders recorded it. Of one that nobody recorded only what its webhook says is known, and when it arrived.
func (h *hostileTrial) checkRate(a *addressee, outcomes []outcome, sum *tally) {
	h.Helper()
	var all []begun
	for _, o := range outcomes {
		for _, r := range o.attempts {
			if r.outcome != router.OutcomeExpired {
				all = append(all, begun{r.from, r.from})
			}
		}
		for _, one := range o.arrivals {
			if !slices.ContainsFunc(o.attempts, func(r recordedAttempt) bool { return r.has(one) }) {
				all = append(all, begun{one.sent, one.at})
			}
		}
	}
	in := func(from time.Time, length time.Duration) (n int) {
		for _, b := range all {
			if !b.first.Before(from) && b.last.Before(from.Add(length)) {
				n++
			}
		}
		return n
	}
	for _, b := range all {
		sum.windows++
		sum.fullest = max(sum.fullest, in(b.first, addresseeRate.Per))
		n := in(b.first, addresseeRate.Per-beginsWithin)
		require.LessOrEqualf(h, n, addresseeRate.Limit, "seed %d: attempts at %s that began within %v from %v on", h.seed, a.name, addresseeRate.Per-beginsWithin, b.first)
	}
}

func (r recordedAttempt) String() string {
	return fmt.Sprintf("%s from %s to %s", r.outcome, r.from.Format(clock), r.to.Format(clock))
}

func (s strike) String() string {
	return fmt.Sprintf("%s from %s to %s", s.name, s.from.UTC().Format(clock), s.to.UTC().Format(clock))
}

const clock = "15:04:05.000"
