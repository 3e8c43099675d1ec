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

// theme is what a history is mostly about.
type theme string

const (
	everything theme = "everything"
	workers    theme = "workers"    // all subscriptions are pulled from
	operations theme = "operations" // much fails, and is redriven, purged and replayed
)

// actions are what can happen to a store, the frequent ones several times.
func (w *world) actions() map[string]func(*rapid.T) {
	all := map[string]func(*rapid.T){"": func(t *rapid.T) { w.check(t) }}
	for _, list := range [][]action{w.work(), w.upkeep()} {
		for _, one := range list {
			for i := range one.weight {
				all[one.name+strings.Repeat("'", i)] = one.do
			}
		}
	}
	return all
}

type action struct {
	weight int
	name   string
	do     func(*rapid.T)
}

// work is what replicas do all the time, also while another one keeps house.
func (w *world) work() []action {
	switch w.theme {
	case workers:
		return []action{
			{3, "append", w.append}, {5, "apply", w.apply}, {2, "apply what was matched earlier", w.applyLate}, {1, "pause", w.pause}, {1, "resume", w.resume},
			{8, "pull", w.pull}, {8, "pull again", w.pullAgain}, {6, "answer what was pulled", w.answerPulled}, {10, "extend what was pulled", w.extendPulled},
			{3, "end what ran out", w.expirePulled}, {2, "go on with an operation", w.goOn},
		}
	case operations:
		return []action{
			{3, "append", w.append}, {5, "apply", w.apply}, {1, "pause", w.pause}, {1, "resume", w.resume}, {5, "claim", w.claim}, {7, "settle", w.settle},
			{2, "pull", w.pull}, {2, "answer what was pulled", w.answerPulled}, {1, "end what ran out", w.expirePulled}, {12, "go on with an operation", w.goOn},
		}
	}
	return []action{
		{3, "append", w.append}, {4, "apply", w.apply}, {1, "apply what can't be", w.applyWrongly},
		{1, "apply what was matched earlier", w.applyLate}, {1, "look for due queues", w.lookForDue},
		{4, "claim", w.claim}, {5, "settle", w.settle}, {1, "pause", w.pause}, {1, "resume", w.resume},
		{2, "pull", w.pull}, {2, "answer what was pulled", w.answerPulled}, {1, "extend what was pulled", w.extendPulled},
		{1, "end what ran out", w.expirePulled}, {2, "go on with an operation", w.goOn},
	}
}

// upkeep is what happens from time to time.
func (w *world) upkeep() []action {
	list := []action{
		{3, "time passes", w.passTime}, {1, "the clock goes back", w.turnClockBack}, {2, "housekeep", w.housekeep}, {1, "create", w.create}, {1, "replace", w.replace},
		{1, "delete", w.remove}, {1, "read the status", w.readStatus}, {1, "begin to redrive or purge", w.beginMoving}, {1, "begin to replay", w.beginReplay},
	}
	switch w.theme {
	case workers:
		return append(list, action{8, "time passes quickly", w.passLittleTime})
	case operations:
		return append(list, action{3, "begin to redrive", w.beginMoving}, action{2, "begin another replay", w.beginReplay}, action{4, "replay late", w.replayLate})
	}
	return append(list, []action{
		{1, "append, and lose the reply", w.appendUnheard}, {1, "disable", w.disable}, {1, "take or release a lease", w.takeLease},
		{1, "apply to a spoilt queue", w.applyToSpoilt}, {1, "list dead letters", w.listDead},
	}...)
}

// passLittleTime lets leases run out and little else.
func (w *world) passLittleTime(t *rapid.T) {
	w.pass(rapid.SampledFrom([]int64{1, 2, 50, 60}).Draw(t, "ms"))
}

func (w *world) passTime(t *rapid.T) {
	by := rapid.SampledFrom([]time.Duration{1, 1, 5, 50, 1000, 6000, 30_000, 3_600_000, 26 * 3_600_000}).Draw(t, "ms")
	w.pass(int64(by))
}

// pass lets time pass, unless an operation under way would get too old.
func (w *world) pass(ms int64) {
	old := func(o *modelOperation) bool { return o.isOld(w.m.now + ms) }
	if slices.ContainsFunc(w.m.operations, old) {
		return
	}
	w.pages = slices.DeleteFunc(w.pages, func(r replayPage) bool { return old(r.operation) })
	w.m.now += ms
	w.clock.set(w.m.now)
}

// turnClockBack is what a failover to a server with a slower clock does.
func (w *world) turnClockBack(t *rapid.T) {
	w.m.now -= rapid.SampledFrom([]int64{1, 40, 3000, 7000}).Draw(t, "ms")
	w.clock.set(w.m.now)
}

// someEvent draws from few identities, each with two contents.
func (w *world) someEvent(t *rapid.T) router.Event {
	id := rapid.IntRange(0, 40).Draw(t, "id")
	e, err := router.NewEvent(router.EventFields{
		ID: fmt.Sprint("e", id), Source: "/m", Type: "x.y", DataKind: router.JSONData, Subject: []string{"", "a", "b"}[id%3],
		Data: rapid.SampledFrom([]string{`"a"`, `"a"`, `"a"`, `"b"`}).Draw(t, "content"),
	})
	require.NoError(t, err)
	return e
}

func (w *world) append(t *rapid.T) {
	events := make([]router.Event, rapid.IntRange(1, 5).Draw(t, "events"))
	for i := range events {
		events[i] = w.someEvent(t)
	}
	expected, got := w.m.append(events), w.store.Append(context.Background(), events)
	require.Len(t, got, len(expected))
	for i := range expected {
		require.Equal(t, router.ErrorCode(expected[i].Err), router.ErrorCode(got[i].Err), "event %d: %v", i, got[i].Err)
		require.Equal(t, expected[i].Position, got[i].Position, "event %d", i)
		require.Equal(t, expected[i].Duplicate, got[i].Duplicate, "event %d", i)
	}
}

// appendUnheard loses the reply once: nobody must notice. (Seldom: the repeat takes its time.)
func (w *world) appendUnheard(t *rapid.T) {
	w.losing.Store(rapid.IntRange(0, 3).Draw(t, "lose") == 0)
	w.append(t)
	w.losing.Store(false)
}

// partition draws a partition.
func (w *world) partition(t *rapid.T) *modelPartition {
	if len(w.m.partitions) == 1 {
		return w.m.partitions[0]
	}
	return w.m.partitions[rapid.IntRange(0, len(w.m.partitions)-1).Draw(t, "partition")]
}

func (w *world) subscriptions() []router.Subscription { return byID(w.m.subs) }

func byID(subs map[string]router.Subscription) []router.Subscription {
	return slices.SortedFunc(maps.Values(subs), func(a, b router.Subscription) int { return strings.Compare(a.ID, b.ID) })
}

func queueOf(s router.Subscription) router.Queue {
	if s.Sink.Kind == router.PullSink {
		return s.Queue()
	}
	return router.Queue{Subscription: s.ID, Kind: s.Sink.Kind, Enabled: s.Enabled, MaxInFlight: s.Delivery.MaxInFlight, MaxBacklog: s.Delivery.MaxBacklog, Rate: s.Delivery.Rate, Breaker: s.Delivery.Breaker}
}

// batch draws what a reader at the cursor could want to apply: some events, the last one perhaps in part, matched by anybody that it knows.
func (w *world) batch(t *rapid.T, p *modelPartition, known modelSnapshot) (b router.Batch, ok bool) {
	records := slices.Clone(p.log)
	records = slices.DeleteFunc(records, func(r router.Record) bool {
		c := r.Position.Compare(p.cursor.Position)
		return c < 0 || c == 0 && p.cursor.Target == ""
	})
	if len(records) == 0 {
		return b, false
	}
	w.checkRead(t, p, records)
	records = records[:rapid.IntRange(1, min(len(records), 5)).Draw(t, "events")]
	last := records[len(records)-1].Position
	b = router.Batch{Partition: p.number, From: p.cursor, To: router.Cursor{Position: last}, Token: known.tokens[p.number], Events: len(records)}
	if sub, ok := w.some(t); ok && rapid.IntRange(0, 5).Draw(t, "partly") == 0 {
		b.To.Target = sub.ID
		b.Events--
	}
	if b.To.Position == b.From.Position && b.To.Target != "" && b.To.Target <= b.From.Target {
		return b, false
	}
	for _, sub := range byID(known.subs) {
		w.match(t, &b, sub, records)
	}
	return b, true
}

// checkRead: what is not applied can be read.
func (w *world) checkRead(t *rapid.T, p *modelPartition, records []router.Record) {
	after := p.cursor.Position
	if p.cursor.Target != "" {
		records = records[1:]
	}
	found, err := w.store.ReadLog(context.Background(), after, 1000, 0)
	require.NoError(t, err)
	require.Equal(t, append([]router.Record{}, records...), found)
}

// match lets a subscription match some of the events, as far as the cursors let it.
func (w *world) match(t *rapid.T, b *router.Batch, sub router.Subscription, records []router.Record) {
	e := router.Enqueue{
		Queue: queueOf(sub), Take: rapid.IntRange(0, 3).Draw(t, "take"),
		Lease: rapid.SampledFrom([]time.Duration{1, 50, 3_600_000}).Draw(t, "lease") * time.Millisecond,
	}
	if sub.Sink.Kind == router.PullSink {
		e.Take = 0 // nobody gets those without a receipt
	}
	for _, r := range records {
		before := r.Position == b.From.Position && sub.ID <= b.From.Target
		after := r.Position == b.To.Position && b.To.Target != "" && sub.ID > b.To.Target
		if before || after {
			continue
		}
		switch rapid.IntRange(0, 19).Draw(t, "matches") {
		case 0:
			b.Misfits = append(b.Misfits, router.Misfit{Position: r.Position, Subscription: sub.ID, Reason: "queue-unusable"})
		case 1, 2, 3, 4, 5:
		default:
			e.Entries = append(e.Entries, r.Position)
			if sub.Ordered() {
				e.Lanes = append(e.Lanes, r.Event.Lane())
			}
		}
	}
	if len(e.Entries) > 0 {
		b.Enqueues = append(b.Enqueues, e)
	}
}

func (w *world) apply(t *rapid.T) {
	b, ok := w.batch(t, w.partition(t), w.newest())
	if !ok {
		return
	}
	if rapid.IntRange(0, 9).Draw(t, "misfit") == 0 && b.From.Position != b.To.Position {
		b.Misfits = append(b.Misfits, router.Misfit{Position: b.To.Position, Reason: "malformed"})
	}
	w.applyAsModel(t, b)
}

func (w *world) applyAsModel(t *rapid.T, b router.Batch) {
	expected := w.m.apply(b)
	got, err := w.store.Apply(context.Background(), b)
	require.NoError(t, err)
	require.Equal(t, expected, got)
	w.held = append(w.held, got.Claimed...)
}

// applyWrongly starts from a cursor where the partition does not stand, or from other definitions.
func (w *world) applyWrongly(t *rapid.T) {
	b, ok := w.batch(t, w.partition(t), w.newest())
	if !ok {
		return
	}
	switch rapid.IntRange(0, 3).Draw(t, "wrong") {
	case 0:
		b.Token = strconv.FormatUint(w.m.version, 10) + ".other"
	case 1:
		b.From.Target += "x"
	case 2:
		b.From.Position.Seq++
	default:
		b.From, b.Token = b.To, ""
	}
	w.applyAsModel(t, b)
}

// applyLate applies what was matched under definitions of some time ago.
func (w *world) applyLate(t *rapid.T) {
	i := rapid.IntRange(max(len(w.m.snapshots)-3, 0), len(w.m.snapshots)-1).Draw(t, "snapshot")
	if b, ok := w.batch(t, w.partition(t), w.m.snapshots[i]); ok {
		w.applyAsModel(t, b)
	}
}

func (w *world) newest() modelSnapshot { return w.m.snapshots[len(w.m.snapshots)-1] }

// applyToSpoilt finds a key of a queue in use for something else: nothing is done, and the answer says which queue.
func (w *world) applyToSpoilt(t *rapid.T) {
	p := w.partition(t)
	b, ok := w.batch(t, p, w.newest())
	if !ok || len(b.Enqueues) == 0 {
		return
	}
	i := rapid.IntRange(0, len(b.Enqueues)-1).Draw(t, "queue")
	name := rapid.SampledFrom(spoilable(b.Enqueues[i].Queue)).Draw(t, "key") + b.Enqueues[i].Queue.Subscription
	key := redisstore.KeyIn(w.store, p.number, name)
	ctx := context.Background()
	if w.raw.Exists(ctx, key).Val() != 0 {
		return
	}
	require.NoError(t, w.raw.Set(ctx, key, "spoilt", 0).Err())
	got, err := w.store.Apply(ctx, b)
	require.NoError(t, err)
	require.Equal(t, router.Applied{Status: router.Unusable, Unusable: router.Unfit{Queue: i, Trigger: -1, Partial: -1}}, got)
	require.NoError(t, w.raw.Del(ctx, key).Err())
}

// spoilable are the keys of a queue that apply looks at: all that count for its cap, where it has one.
func spoilable(q router.Queue) []string {
	keys := []string{"q:", "l:", "c:"}
	if q.Enabled && q.MaxBacklog > 0 {
		keys = append(keys, "r:", "w:")
	}
	return keys
}

func (w *world) lookForDue(t *rapid.T) {
	p := w.partition(t)
	kind := rapid.SampledFrom([]router.SinkKind{router.WebhookSink, router.HandlerSink, router.PullSink}).Draw(t, "kind")
	limit := rapid.IntRange(1, 5).Draw(t, "limit")
	due, next := p.dueQueues(w.m.now, kind, limit)
	gotDue, gotNext, err := w.store.DueQueues(context.Background(), p.number, kind, limit)
	require.NoError(t, err)
	require.Equal(t, append([]string{}, due...), gotDue)
	require.Equal(t, next, gotNext)
}

// claim asks for deliveries of some queues, perhaps of one that was deleted a moment ago.
func (w *world) claim(t *rapid.T) {
	p := w.partition(t)
	var claims []router.Claim
	for _, q := range w.knownQueues(p) {
		if rapid.IntRange(0, 2).Draw(t, "skip") == 0 {
			continue
		}
		claims = append(claims, claimOf(t, q))
	}
	if len(claims) > 0 {
		w.claimAsModel(t, p, claims)
	}
}

func claimOf(t *rapid.T, q router.Queue) router.Claim {
	return router.Claim{
		Queue: q, Max: rapid.SampledFrom([]int{0, 1, 2, 3, 100}).Draw(t, "max"),
		Lease: rapid.SampledFrom([]time.Duration{1, 50, 3_600_000}).Draw(t, "lease") * time.Millisecond,
		Slack: rapid.SampledFrom([]time.Duration{0, 5, 700}).Draw(t, "slack") * time.Millisecond,
	}
}

// knownQueues are those of the live subscriptions, and those of deleted ones that a slow replica still knows.
func (w *world) knownQueues(p *modelPartition) (queues []router.Queue) {
	for _, sub := range w.subscriptions() {
		if sub.Sink.Kind != router.PullSink {
			queues = append(queues, queueOf(sub))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.gone)) {
		queues = append(queues, router.Queue{Subscription: id, Kind: router.WebhookSink, Enabled: true, MaxInFlight: 3})
	}
	return queues
}

func (w *world) claimAsModel(t *rapid.T, p *modelPartition, claims []router.Claim) {
	before, permits := map[string]int{}, map[string]int{}
	for _, c := range claims {
		id := c.Queue.Subscription
		before[id], permits[id] = len(p.queue(id).leases), len(w.m.livePermits(id))
	}
	expected := w.m.claim(p, claims)
	got, token, err := w.store.ClaimDeliveries(context.Background(), p.number, claims)
	require.NoError(t, err)
	require.Equal(t, p.token, token)
	w.m.notePermits(claims, got)
	w.hold(t, p, got)
	for i := range got {
		got[i].Permit = ""
	}
	require.Equal(t, expected, got)
	for _, c := range claims {
		id := c.Queue.Subscription
		require.LessOrEqual(t, len(p.queue(id).leases), max(c.Queue.MaxInFlight, before[id]), "in flight")
		require.LessOrEqual(t, len(w.m.livePermits(id)), max(c.Queue.MaxInFlight, permits[id]), "in flight over all partitions")
	}
}

// hold keeps what was leased.
func (w *world) hold(t *rapid.T, p *modelPartition, claimed []router.Claimed) {
	w.held = append(w.held, claimed...)
	for _, c := range claimed {
		q := p.queue(c.Queue.Subscription)
		require.True(t, q.isNext(c.Entry), "what was queued of its lane before it is done")
		require.True(t, q.isAlone(c.Entry), "one of a lane at a time")
	}
}

// settle reports on some deliveries that were claimed, some of them long ago.
func (w *world) settle(t *rapid.T) {
	p := w.partition(t)
	chosen := map[router.Entry]map[string]bool{}
	var settlements []router.Settlement
	for i, c := range slices.Backward(slices.Clone(w.held)) {
		if c.Entry.Position.Partition != p.number || chosen[c.Entry][c.Queue.Subscription] || rapid.IntRange(0, 2).Draw(t, "not yet") == 0 {
			continue
		}
		if chosen[c.Entry] == nil {
			chosen[c.Entry] = map[string]bool{}
		}
		chosen[c.Entry][c.Queue.Subscription] = true
		settlements = append(settlements, w.settlement(t, c))
		if rapid.IntRange(0, 9).Draw(t, "told twice") > 0 {
			w.held = slices.Delete(w.held, i, i+1)
		}
	}
	if len(settlements) > 0 {
		w.settleAsModel(t, p, settlements)
	}
}

func (w *world) settlement(t *rapid.T, c router.Claimed) router.Settlement {
	s := router.Settlement{
		Claimed: c, Verdict: rapid.SampledFrom([]router.Verdict{router.Delivered, router.Delivered, router.Retrying, router.Dead}).Draw(t, "verdict"),
		Unstarted: rapid.IntRange(0, 5).Draw(t, "unstarted") == 0,
	}
	if w.theme == operations && rapid.Bool().Draw(t, "dies") {
		s.Verdict, s.Unstarted = router.Dead, false
	}
	s.Early = rapid.SampledFrom([]time.Duration{0, 0, 4, 600}).Draw(t, "early") * time.Millisecond
	if s.Verdict == router.Delivered {
		s.Attempt.Outcome = router.OutcomeDelivered
		return s
	}
	s.Attempt = router.Attempt{
		At: time.UnixMilli(w.m.now - 7).UTC(), Duration: router.Duration(7 * time.Millisecond),
		Outcome: rapid.SampledFrom([]router.Outcome{router.OutcomeStatus, router.OutcomeReset}).Draw(t, "outcome"),
	}
	if s.Attempt.Outcome == router.OutcomeStatus {
		s.Attempt.StatusCode, s.Attempt.Response = 500, "line one\nline \"two\"\x00"
	} else if rapid.Bool().Draw(t, "error") {
		s.Attempt.Error = "connection\nreset"
	}
	s.Fault = rapid.IntRange(0, 3).Draw(t, "the endpoint's fault") > 0
	if s.Verdict == router.Retrying {
		s.After = rapid.SampledFrom([]time.Duration{0, 1, 50, 3_600_000}).Draw(t, "after") * time.Millisecond
	}
	return s
}

func (w *world) settleAsModel(t *rapid.T, p *modelPartition, settlements []router.Settlement) {
	var next []router.Claim
	before := map[string]int{}
	for _, group := range groups(settlements) {
		if q := group[0].Claimed.Queue; rapid.Bool().Draw(t, "next") {
			next = append(next, claimOf(t, q))
		}
	}
	for _, c := range next {
		before[c.Queue.Subscription] = len(p.queue(c.Queue.Subscription).leases)
	}
	expected := w.m.settle(p, settlements, next)
	got, token, err := w.store.SettleDeliveries(context.Background(), p.number, settlements, next)
	require.NoError(t, err)
	require.Equal(t, p.token, token)
	require.Equal(t, expected, got)
	for _, one := range got {
		w.hold(t, p, one.Claimed)
	}
	for _, c := range next {
		require.LessOrEqual(t, len(p.queue(c.Queue.Subscription).leases), max(c.Queue.MaxInFlight, before[c.Queue.Subscription]), "in flight")
	}
}
