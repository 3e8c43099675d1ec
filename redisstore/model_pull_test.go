package redisstore_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/router"
)

// modelReceipt is who has pulled a delivery, and what the worker has said of it.
type modelReceipt struct {
	token, worker  string
	extended       bool
	progress, note string
}

func (r modelReceipt) String() string {
	text := r.token + " " + r.worker + "\n"
	if r.extended {
		text += r.progress + "\n" + r.note
	}
	return text
}

// isLeased tells whether a delivery is leased under a name: when the lease runs out, or, of a worker that pulls, "#" and its receipt, until then.
func (q *modelQueue) isLeased(now int64, entry router.Entry, name string) bool {
	expires, leased := q.leases[entry]
	if token, ok := strings.CutPrefix(name, "#"); ok {
		return leased && expires > now && q.receipts[entry].token == token
	}
	return leased && decimal(expires) == name
}

// pull: each delivery that is taken has a new receipt, and the ones before are good no more.
func (m *model) pull(p *modelPartition, c router.Claim, token, worker string) (receipts []router.Receipt, until time.Time) {
	for _, one := range p.claim(m.now, c, modelPermits{allowed: c.Max}, nil) {
		receipts = append(receipts, router.Receipt{Entry: one.Entry, Attempt: one.Attempt, Token: token})
		p.queue(c.Queue.Subscription).receipts[one.Entry] = modelReceipt{token: token, worker: worker}
	}
	return receipts, time.UnixMilli(m.now + c.Lease.Milliseconds()).UTC()
}

// settlePulled: an answer is good while its receipt is, and changes nothing after that.
func (m *model) settlePulled(p *modelPartition, q router.Queue, answers []router.Answer) (held []bool, settled router.Settled) {
	settled.Queue = q
	for _, a := range answers {
		good := p.settle(m.now, router.Settlement{
			Claimed: router.Claimed{Queue: q, Entry: a.Receipt.Entry, Lease: "#" + a.Receipt.Token}, Verdict: a.Verdict, After: a.After, Attempt: a.Attempt, Unstarted: a.Unstarted,
		})
		held = append(held, good)
		if !good {
			settled.Lost++
		}
	}
	if p.stands(q.Subscription) {
		return held, settled
	}
	if next, work := p.reschedule(q, m.now, 0); work {
		settled.Work, settled.Next = true, time.Duration(max(next-m.now, 0))*time.Millisecond
	}
	return held, settled
}

// extend: a lease ends later or earlier, under the same receipt, and what is not said now stays as it was said before.
func (m *model) extend(p *modelPartition, queue router.Queue, receipts []router.Receipt, e router.PullExtension) (held []bool, until time.Time) {
	q, ends := p.queue(queue.Subscription), m.now+e.Lease.Std().Milliseconds()
	_, gone := p.gone[queue.Subscription]
	for _, r := range receipts {
		good := !gone && q.isLeased(m.now, r.Entry, "#"+r.Token)
		held = append(held, good)
		if !good {
			continue
		}
		said := q.receipts[r.Entry]
		said.extended = true
		if e.Progress != nil {
			said.progress = fmt.Sprint(*e.Progress)
		}
		if e.Note != nil {
			said.note = *e.Note
		}
		q.leases[r.Entry], q.receipts[r.Entry] = ends, said
	}
	if !p.stands(queue.Subscription) {
		p.reschedule(queue, m.now, 0)
	}
	return held, time.UnixMilli(ends).UTC()
}

// pulledHere is a receipt, and the queue as the worker's replica knew it.
type pulledHere struct {
	queue   router.Queue
	receipt router.Receipt
}

// pullQueues are those that workers pull from, and those of deleted subscriptions that a slow replica still knows.
func (w *world) pullQueues(p *modelPartition) (queues []router.Queue) {
	for _, sub := range w.subscriptions() {
		if sub.Sink.Kind == router.PullSink {
			queues = append(queues, queueOf(sub))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.gone)) {
		queues = append(queues, router.Queue{Subscription: id, Kind: router.PullSink, Enabled: true, MaxInFlight: router.MaxPulled})
	}
	return queues
}

func (w *world) pull(t *rapid.T) {
	p := w.partition(t)
	queues := w.pullQueues(p)
	if len(queues) == 0 {
		return
	}
	w.lookForPulls(t, p, queues)
	w.pullAsModel(t, p, router.Claim{
		Queue: rapid.SampledFrom(queues).Draw(t, "queue"), Max: rapid.IntRange(1, 4).Draw(t, "max"),
		Lease: rapid.SampledFrom([]time.Duration{1, 50, 3_600_000}).Draw(t, "lease") * time.Millisecond,
	})
}

// pullAgain takes from somebody else what he has had for too long, who extends it or answers nevertheless.
func (w *world) pullAgain(t *rapid.T) {
	w.pull(t)
	w.passLittleTime(t)
	w.pull(t)
	if rapid.Bool().Draw(t, "extend") {
		w.extendPulled(t)
	} else {
		w.answerPulled(t)
	}
}

// lookForPulls: who waits for work hears of what is due.
func (w *world) lookForPulls(t *rapid.T, p *modelPartition, queues []router.Queue) {
	var ids, expected []string
	for _, q := range queues {
		ids = append(ids, q.Subscription)
		if at, ok := p.schedules[router.PullSink][q.Subscription]; ok && at <= w.m.now {
			expected = append(expected, q.Subscription)
		}
	}
	due, err := w.store.DuePulls(context.Background(), p.number, ids)
	require.NoError(t, err)
	require.Equal(t, expected, due)
}

func (w *world) pullAsModel(t *rapid.T, p *modelPartition, c router.Claim) []router.Receipt {
	w.tokens++
	token, worker := fmt.Sprint("token", w.tokens), []string{"", "w one"}[w.tokens%2]
	expected, expectedUntil := w.m.pull(p, c, token, worker)
	got, until, err := w.store.PullDeliveries(context.Background(), p.number, c, token, worker)
	require.NoError(t, err)
	require.Equal(t, expected, got)
	require.Equal(t, expectedUntil, until)
	for _, r := range got {
		w.pulled = append(w.pulled, pulledHere{c.Queue, r})
	}
	return got
}

// someReceipts draws receipts of one queue, good ones and others. The rest of what was pulled is left as it is.
func (w *world) someReceipts(t *rapid.T, p *modelPartition) (queue router.Queue, receipts []router.Receipt) {
	for _, one := range slices.Backward(w.pulled) {
		switch {
		case one.receipt.Entry.Position.Partition != p.number || receipts != nil && one.queue.Subscription != queue.Subscription:
		case rapid.IntRange(0, 4).Draw(t, "not yet") == 4:
		default:
			queue, receipts = one.queue, append(receipts, one.receipt)
		}
	}
	return queue, receipts
}

// answerPulled acks, nacks and gives back, some of it too late or for the second time.
func (w *world) answerPulled(t *rapid.T) {
	p := w.partition(t)
	queue, receipts := w.someReceipts(t, p)
	if len(receipts) == 0 {
		return
	}
	answers := make([]router.Answer, len(receipts))
	for i, r := range receipts {
		answers[i] = w.answer(t, r)
		if rapid.IntRange(0, 3).Draw(t, "told twice") > 0 {
			w.pulled = slices.DeleteFunc(w.pulled, func(one pulledHere) bool { return one.receipt == r && one.queue.Subscription == queue.Subscription })
		}
	}
	w.answerAsModel(t, p, queue, answers)
}

func (w *world) answer(t *rapid.T, r router.Receipt) router.Answer {
	a := router.Answer{
		Receipt: r, Verdict: rapid.SampledFrom([]router.Verdict{router.Delivered, router.Delivered, router.Retrying, router.Retrying, router.Dead}).Draw(t, "verdict"),
		Unstarted: rapid.IntRange(0, 7).Draw(t, "unstarted") == 0,
	}
	a.Attempt = router.Attempt{At: time.UnixMilli(w.m.now).UTC(), Outcome: router.OutcomeNacked}
	switch a.Verdict {
	case router.Delivered:
		a.Attempt.Outcome = router.OutcomeDelivered
	case router.Retrying:
		a.After = rapid.SampledFrom([]time.Duration{0, 1, 50, 3_600_000}).Draw(t, "delay") * time.Millisecond
	case router.Dead:
		a.Attempt.Error = "no attempt is left"
	}
	return a
}

func (w *world) answerAsModel(t *rapid.T, p *modelPartition, queue router.Queue, answers []router.Answer) {
	held, settled := w.m.settlePulled(p, queue, answers)
	gotHeld, gotSettled, err := w.store.SettlePulled(context.Background(), p.number, queue, answers)
	require.NoError(t, err)
	require.Equal(t, held, gotHeld)
	require.Equal(t, settled, gotSettled)
}

func (w *world) extendPulled(t *rapid.T) {
	p := w.partition(t)
	queue, receipts := w.someReceipts(t, p)
	if len(receipts) == 0 {
		return
	}
	e := router.PullExtension{Lease: router.Duration(rapid.SampledFrom([]time.Duration{1, 50, 3_600_000}).Draw(t, "lease") * time.Millisecond)}
	if rapid.Bool().Draw(t, "progress") {
		e.Progress = new(rapid.IntRange(0, 100).Draw(t, "percent"))
	}
	if rapid.Bool().Draw(t, "note") {
		e.Note = new(rapid.SampledFrom([]string{"", "half way", "+1"}).Draw(t, "text"))
	}
	held, until := w.m.extend(p, queue, receipts, e)
	gotHeld, gotUntil, err := w.store.ExtendPulled(context.Background(), p.number, queue, receipts, e)
	require.NoError(t, err)
	require.Equal(t, held, gotHeld)
	require.Equal(t, until, gotUntil)
}

// expirePulled: a lease that has run out counts as an attempt that did not come to an end. After the last one a delivery is dead, though nobody pulls; before, it waits.
func (m *model) expirePulled(p *modelPartition, sub router.Subscription) (dead int) {
	q := p.queue(sub.ID)
	at, ok := p.schedules[router.PullSink][sub.ID]
	if !ok || at > m.now || p.stands(sub.ID) {
		return 0
	}
	expired := q.due(q.leases, m.now)
	for _, entry := range expired {
		delete(q.leases, entry)
		delete(q.receipts, entry)
		q.failed(entry, router.Attempt{At: time.UnixMilli(m.now).UTC(), Outcome: router.OutcomeExpired})
		if q.attempts[entry].count < sub.Sink.MaxAttempts {
			q.retries[entry] = micros(m.now)
			continue
		}
		p.bury(m.now, deadName{entry, sub.ID}, q.attempts[entry].list)
		q.finish(entry)
		dead++
	}
	q.dead += int64(dead)
	if len(expired) > 0 {
		q.failure, q.lastError = m.now, string(router.OutcomeExpired)
		p.reschedule(queueOf(sub), m.now, 0)
	}
	return dead
}

// expirePulled ends leases that have run out, as the housekeeping does.
func (w *world) expirePulled(t *rapid.T) {
	p := w.partition(t)
	expected := 0
	for _, sub := range w.subscriptions() {
		if sub.Sink.Kind == router.PullSink {
			expected += w.m.expirePulled(p, sub)
		}
	}
	dead, more, err := w.store.ExpirePulled(context.Background(), p.number, func(id string) (router.Queue, int, bool) {
		sub, ok := w.m.subs[id]
		return queueOf(sub), sub.Sink.MaxAttempts, ok && sub.Sink.Kind == router.PullSink
	})
	require.NoError(t, err)
	require.Equal(t, expected, dead)
	require.False(t, more)
}

// drainPulls acks all that can be pulled from a queue.
func (w *world) drainPulls(t *rapid.T, p *modelPartition, sub router.Subscription) {
	receipts := w.pullAsModel(t, p, router.Claim{Queue: queueOf(sub), Max: 100, Lease: time.Minute})
	var answers []router.Answer
	for _, r := range receipts {
		answers = append(answers, router.Answer{Receipt: r, Verdict: router.Delivered, Attempt: router.Attempt{At: time.UnixMilli(w.m.now).UTC(), Outcome: router.OutcomeDelivered}})
	}
	if len(answers) > 0 {
		w.answerAsModel(t, p, queueOf(sub), answers)
	}
}
