package redisstore_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// housekeep goes through retention and purging, while other replicas go on working between its calls.
func (w *world) housekeep(t *rapid.T) {
	p := w.partition(t)
	busy := rapid.Bool().Draw(t, "busy")
	quiet := true
	w.during = func(string) {
		if !busy || rapid.IntRange(0, 2).Draw(t, "between") != 0 {
			return
		}
		quiet = false
		work := w.work()
		work[rapid.IntRange(0, len(work)-1).Draw(t, "meanwhile")].do(t)
		w.check(t)
	}
	before := w.seen[p.number]
	more, err := w.store.Housekeep(context.Background(), p.number)
	w.during = nil
	require.NoError(t, err)
	if quiet {
		require.False(t, more)
		w.checkTrimmed(t, p, before)
	}
	w.checkEvents(t)
}

// checkTrimmed: a housekeeping that nobody disturbed keeps no more events than it has to.
func (w *world) checkTrimmed(t *rapid.T, p *modelPartition, before retained) {
	_, kept := w.look(t, p.number)
	wanted := router.Position{Partition: p.number, MS: w.m.now - w.retain.Milliseconds()}
	if surplus := len(before.entries) - int(w.keep); surplus > 0 {
		if last := before.entries[surplus-1]; wanted.Compare(last) <= 0 {
			wanted = last
		}
	}
	if applied := p.applied(); applied.Compare(wanted) < 0 {
		wanted = applied
	}
	if p.cursor.Target == "" && slices.Contains(before.log, p.applied()) && wanted.Compare(before.horizon) > 0 {
		require.Equal(t, wanted, kept.horizon)
	}
	below := 0
	for _, position := range kept.entries {
		if position.Compare(kept.horizon) <= 0 {
			below++
		}
	}
	require.LessOrEqual(t, below, w.slack, "entries that could have been trimmed")
}

func (w *world) create(t *rapid.T) {
	if len(w.m.subs) >= 4 {
		return
	}
	w.created++
	w.lastMade = max(w.m.now, w.lastMade) + 1 // so that ids are in the order of their creation
	w.m.now = w.lastMade
	w.clock.set(w.m.now)
	kind := rapid.SampledFrom([]router.SinkKind{router.WebhookSink, router.WebhookSink, router.HandlerSink, router.PullSink}).Draw(t, "kind")
	if w.theme == workers {
		kind = router.PullSink
	}
	sub, err := w.store.CreateSubscription(context.Background(), w.definition(t, fmt.Sprint("s", w.created), kind))
	require.NoError(t, err)
	require.Equal(t, w.m.version+1, sub.Version)
	w.m.define(sub)
	w.m.partitions[redisstore.Home(w.store, sub.ID)].queue(sub.ID) // so that its permits and its breaker are looked at
	w.readDefinitions(t, sub.Version-1, []router.Subscription{sub}, nil)
}

func (w *world) definition(t *rapid.T, name string, kind router.SinkKind) router.Subscription {
	sub := router.Subscription{
		Name: name, Enabled: rapid.IntRange(0, 5).Draw(t, "disabled") > 0, Filter: router.Filter{Types: []string{"x.*"}}, Delivery: router.DefaultDelivery(),
		Sink: router.Sink{Kind: kind, Timeout: router.DefaultSinkTimeout},
	}
	if kind == router.WebhookSink {
		sub.Sink.URL, sub.Sink.Mode = "http://127.0.0.1:1/", router.Structured
	}
	if kind == router.PullSink {
		sub.Sink = router.Sink{Kind: kind, Lease: router.DefaultPullLease, MaxAttempts: rapid.IntRange(1, 3).Draw(t, "max attempts")}
	}
	sub.Enabled = sub.Enabled || w.theme == workers
	sub.Delivery.Rate = rapid.SampledFrom([]router.Rate{
		{}, {}, {Limit: 1, Per: router.Duration(time.Second)}, {Limit: 4, Per: router.Duration(time.Second)}, {Limit: 2, Per: router.Duration(time.Hour)},
	}).Draw(t, "rate")
	sub.Delivery.Ordered = rapid.IntRange(0, 2).Draw(t, "ordered") == 0
	sub.Delivery.Breaker = rapid.SampledFrom([]router.Breaker{
		{}, {Failures: 1, Pause: router.Duration(time.Second)}, {Failures: 3, Pause: router.Duration(20 * time.Millisecond)}, {Failures: 2, Pause: router.Duration(10 * time.Minute)},
	}).Draw(t, "breaker")
	sub.Delivery.MaxBacklog = rapid.SampledFrom([]int{0, 0, 1, 4, 12}).Draw(t, "max backlog")
	sub.Delivery.MaxInFlight = rapid.IntRange(1, 5).Draw(t, "max in flight")
	return sub
}

// readDefinitions: whoever reads what has changed hears of the change, and its version is announced in every partition.
func (w *world) readDefinitions(t *rapid.T, since uint64, changed []router.Subscription, deleted []string) {
	d, err := w.store.Definitions(context.Background(), since)
	require.NoError(t, err)
	require.Equal(t, w.m.version, d.Version)
	require.Equal(t, versions(changed), versions(d.Subscriptions))
	require.Equal(t, deleted, d.Deleted)
	for n, p := range w.m.partitions {
		require.NotEqual(t, p.token, d.Tokens[n], "a change makes batches stale")
		require.True(t, strings.HasPrefix(d.Tokens[n], strconv.FormatUint(w.m.version, 10)+"."), "token %q", d.Tokens[n])
		p.token = d.Tokens[n]
	}
	w.m.snapshots = append(w.m.snapshots, modelSnapshot{tokens: d.Tokens, subs: maps.Clone(w.m.subs)})
}

func versions(list []router.Subscription) (versions []string) {
	for _, s := range list {
		versions = append(versions, fmt.Sprintf("%s %s %d", s.ID, s.Name, s.Version))
	}
	return versions
}

// some draws a subscription.
func (w *world) some(t *rapid.T) (sub router.Subscription, ok bool) {
	all := w.subscriptions()
	if len(all) == 0 {
		return sub, false
	}
	return all[rapid.IntRange(0, len(all)-1).Draw(t, "subscription")], true
}

func (w *world) replace(t *rapid.T) {
	old, ok := w.some(t)
	if !ok {
		return
	}
	changed := w.definition(t, old.Name, old.Sink.Kind)
	changed.ID, changed.Version, changed.Created = old.ID, old.Version, old.Created
	if rapid.IntRange(0, 3).Draw(t, "from an old version") == 0 {
		changed.Version--
		_, err := w.store.ReplaceSubscription(context.Background(), changed)
		require.Equal(t, router.Precondition, router.ErrorCode(err))
		return
	}
	if rapid.Bool().Draw(t, "rename") {
		w.created++
		changed.Name = fmt.Sprint("s", w.created)
	}
	sub, err := w.store.ReplaceSubscription(context.Background(), changed)
	require.NoError(t, err)
	require.Equal(t, w.m.version+1, sub.Version)
	w.m.define(sub)
	for _, p := range w.m.partitions {
		if sub.Enabled && p.resume(w.m.now, sub, false) {
			delete(w.m.breakers, sub.ID)
		}
	}
	w.readDefinitions(t, sub.Version-1, []router.Subscription{sub}, nil)
}

func (w *world) pause(t *rapid.T) {
	if sub, ok := w.some(t); ok {
		require.NoError(t, w.store.PauseSubscription(context.Background(), sub.ID))
		for _, p := range w.m.partitions {
			p.pause(w.m.now, sub.ID, router.StoppedByOperator)
		}
	}
}

func (w *world) resume(t *rapid.T) {
	if sub, ok := w.some(t); ok {
		require.NoError(t, w.store.ResumeSubscription(context.Background(), sub.ID))
		for _, p := range w.m.partitions {
			p.resume(w.m.now, sub, true)
		}
		delete(w.m.breakers, sub.ID)
	}
}

// disable is what an attempt does whose outcome says that the endpoint is gone; one that is disabled already is only paused.
func (w *world) disable(t *rapid.T) {
	sub, ok := w.some(t)
	if !ok {
		return
	}
	e, err := router.NewEvent(router.EventFields{ID: fmt.Sprint("disabled", sub.Version), Source: "/m", Type: "x.z", DataKind: router.NoData})
	require.NoError(t, err)
	err = w.store.DisableSubscription(context.Background(), sub.ID, sub.Version-1, router.StoppedGone, e)
	require.Equal(t, router.Precondition, router.ErrorCode(err))
	require.NoError(t, w.store.DisableSubscription(context.Background(), sub.ID, sub.Version, router.StoppedGone, e))
	if sub.Enabled {
		sub.Enabled = false
		sub.Version = w.m.version + 1
		w.m.define(sub)
		w.m.append([]router.Event{e})
		w.readDefinitions(t, sub.Version-1, []router.Subscription{sub}, nil)
	}
	for _, p := range w.m.partitions {
		p.pause(w.m.now, sub.ID, router.StoppedGone)
	}
}

func (w *world) remove(t *rapid.T) {
	sub, ok := w.some(t)
	if !ok {
		return
	}
	version := rapid.SampledFrom([]uint64{0, sub.Version}).Draw(t, "version")
	expected := w.m.remove(sub.ID)
	dropped, err := w.store.DeleteSubscription(context.Background(), sub.ID, version)
	require.NoError(t, err)
	require.Equal(t, expected, dropped)
	w.readDefinitions(t, w.m.version-1, nil, []string{sub.ID})
	_, err = w.store.SubscriptionStatus(context.Background(), sub.ID)
	require.Equal(t, router.NotFound, router.ErrorCode(err))
}

func (w *world) takeLease(t *rapid.T) {
	p := w.partition(t)
	replica := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "replica")
	if rapid.IntRange(0, 3).Draw(t, "release") == 0 {
		p.releaseLease(replica)
		require.NoError(t, w.store.ReleaseLease(context.Background(), p.number, replica))
		return
	}
	ttl := rapid.SampledFrom([]time.Duration{time.Millisecond, time.Minute}).Draw(t, "ttl")
	orphan := rapid.Bool().Draw(t, "orphan")
	expected := w.m.takeLease(p, replica, ttl, orphan)
	got, err := w.store.TakeLease(context.Background(), p.number, replica, ttl, orphan)
	require.NoError(t, err)
	require.Equal(t, expected, got)
}

// readStatus compares all that the store tells of itself.
func (w *world) readStatus(t *rapid.T) {
	for _, sub := range w.subscriptions() {
		got, err := w.store.SubscriptionStatus(context.Background(), sub.ID)
		require.NoError(t, err)
		require.Equal(t, w.m.status(sub.ID), got)
	}
	status, err := w.store.Status(context.Background())
	require.NoError(t, err)
	require.Len(t, status.Partitions, len(w.m.partitions))
	dead := 0
	for n, p := range w.m.partitions {
		require.Equal(t, w.partitionStatus(p), status.Partitions[n])
		dead += len(p.dead)
	}
	require.EqualValues(t, dead, status.Dead)
}

func (w *world) partitionStatus(p *modelPartition) router.PartitionStatus {
	log := w.seen[p.number].log
	s := router.PartitionStatus{
		Partition: p.number, Cursor: p.cursor.Position, Events: int64(len(log)), Oldest: router.Position{Partition: p.number}, End: router.Position{Partition: p.number},
		Backlog: int64(len(p.schedules[router.WebhookSink]) + len(p.schedules[router.HandlerSink]) + len(p.schedules[router.PullSink])),
	}
	if len(log) > 0 {
		s.Oldest, s.End = log[0], log[len(log)-1]
	}
	if p.leaseEnds > w.m.now {
		s.Owner = p.owner
	}
	if len(w.m.partitions) > 1 {
		s.Forwarded = &router.ForwardedStatus{WaitsFor: []int{}} // there are no triggers
	}
	if s.End.Compare(s.Cursor) > 0 {
		s.Lag = int64(len(p.log)) - p.routed
		i := slices.IndexFunc(log, func(q router.Position) bool { return q.Compare(s.Cursor) > 0 })
		s.LagAge = max(0, time.Duration(w.m.now-log[i].MS)*time.Millisecond)
	}
	return s
}

// listDead goes through the dead letters page by page.
func (w *world) listDead(t *rapid.T) {
	var filter router.DeadLetterFilter
	if sub, ok := w.some(t); ok && rapid.Bool().Draw(t, "of one subscription") {
		filter.Subscription = sub.ID
	}
	filter.Reason = rapid.SampledFrom([]string{"", "", "status", "malformed", "backlog-full"}).Draw(t, "reason")
	if rapid.IntRange(0, 3).Draw(t, "between times") == 0 {
		filter.From, filter.To = time.UnixMilli(w.m.now-50).UTC(), time.UnixMilli(w.m.now).UTC()
	}
	limit := rapid.IntRange(1, 4).Draw(t, "limit")
	found := []router.DeadLetter{}
	for cursor := ""; ; {
		page, next, err := w.store.DeadLetters(context.Background(), filter, cursor, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), limit)
		found = append(found, page...)
		if cursor = next; cursor == "" {
			break
		}
	}
	require.Equal(t, w.m.deadLetters(filter), found)
}

// finish brings everything to its end: all that was queued is delivered, dead or dropped with its subscription, and nothing is left behind.
func (w *world) finish(t *rapid.T) {
	w.checkEvents(t)
	for _, sub := range w.subscriptions() {
		require.NoError(t, w.store.ResumeSubscription(context.Background(), sub.ID))
		for _, p := range w.m.partitions {
			p.resume(w.m.now, sub, true)
		}
		delete(w.m.breakers, sub.ID)
	}
	w.endOperations(t)
	for _, p := range w.m.partitions {
		w.applyRest(t, p)
		w.drain(t, p)
	}
	for range 2 { // the second finds what the first has left in the schedules
		w.m.now += (deadRetention + time.Minute).Milliseconds()
		w.clock.set(w.m.now)
		for _, p := range w.m.partitions {
			w.during = func(string) {}
			_, err := w.store.Housekeep(context.Background(), p.number)
			w.during = nil
			require.NoError(t, err)
		}
	}
	for _, p := range w.m.partitions {
		for id := range w.m.changed {
			p.queue(id) // so that it is looked at, deleted or not
		}
	}
	w.check(t)
	for n := range w.m.partitions {
		found, kept := w.look(t, n)
		require.Empty(t, kept.holds)
		require.Empty(t, kept.copies)
		require.Empty(t, found.Ready)
		require.Empty(t, found.Handlers)
		require.Empty(t, found.Pulls)
		require.Empty(t, found.Gone)
		require.Empty(t, found.Dead)
	}
}

// applyRest moves the cursor to the end of the log.
func (w *world) applyRest(t *rapid.T, p *modelPartition) {
	if end := p.end(); end.Compare(p.applied()) > 0 {
		w.applyAsModel(t, router.Batch{Partition: p.number, From: p.cursor, To: router.Cursor{Position: end}, Token: p.token})
	}
}

// drain delivers what a dispatcher finds, until the schedules name nothing any more. It knows only what the store tells it.
func (w *world) drain(t *rapid.T, p *modelPartition) {
	if len(w.m.partitions) > 1 {
		w.m.now += 3_600_001 // permits of claims that nobody settled are in the way until they run out, and a queue is looked at every 50 ms
		w.clock.set(w.m.now)
	}
	for rounds := 0; ; rounds++ {
		require.Less(t, rounds, 1000, "the schedules never run dry")
		idle := true
		wait := time.Duration(-1)
		w.m.now++ // what is put back is due at a fraction of a millisecond, which comes before the next one only if the clock went back
		w.clock.set(w.m.now)
		for _, kind := range []router.SinkKind{router.WebhookSink, router.HandlerSink, router.PullSink} {
			due, next, err := w.store.DueQueues(context.Background(), p.number, kind, 100)
			require.NoError(t, err)
			if next >= 0 && (wait < 0 || next < wait) {
				wait = next
			}
			if w.deliver(t, p, due) {
				idle = false
			}
		}
		if idle && wait < 0 {
			break
		}
		if idle {
			w.m.now += wait.Milliseconds()
			w.clock.set(w.m.now)
		}
	}
	for id := range w.m.subs {
		require.Empty(t, p.queue(id).outstanding(), "the schedules have forgotten what %s waits for", id)
	}
}

// deliver delivers what it can of some queues, and tells whether it knows any of them.
func (w *world) deliver(t *rapid.T, p *modelPartition, due []string) (pulls bool) {
	var claims []router.Claim
	for _, id := range due {
		if _, ok := w.m.subs[id]; !ok {
			continue // deleted: nobody knows it any more
		}
		if w.m.subs[id].Sink.Kind == router.PullSink {
			w.drainPulls(t, p, w.m.subs[id])
			pulls = true
			continue
		}
		claims = append(claims, router.Claim{Queue: queueOf(w.m.subs[id]), Max: 100, Lease: time.Minute})
	}
	if len(claims) == 0 {
		return pulls
	}
	before := len(w.held)
	w.claimAsModel(t, p, claims)
	var settlements []router.Settlement
	for _, c := range w.held[before:] {
		settlements = append(settlements, router.Settlement{Claimed: c, Verdict: router.Delivered})
	}
	if len(settlements) > 0 {
		w.settleAsModel(t, p, settlements)
	}
	return true
}
