package router

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	lookEvery   = 100 * time.Millisecond // how often to look for work that nobody told of
	claimQueues = 64                     // queues in one claim
	dueHandlers = 1000                   // queues of Go handlers to look through for those that this replica has
	settleSome  = 128                    // results in one settlement
	leaseMargin = 5 * time.Second        // a lease outlives the attempt's time limit by this
)

// dispatcher sends the deliveries of one partition's queues: it learns which queues have work, claims some, sends them, and settles each. Every
// replica has one for each partition; which gets a delivery is decided by the claim.
type dispatcher struct {
	router    *Router
	partition int
	slots     *slots // for attempts under way in this replica
	woken     chan struct{}
	recent    recent // what this replica has routed
	outbox    *outbox
	workers   *workers
	attempts  sync.WaitGroup  // that are not over; a handler that was given up may still run
	sending   context.Context // of all attempts: it outlives run's by the grace period
	abandon   context.CancelFunc

	mu      sync.Mutex
	due     []Queue         // to be looked at now, in order
	listed  map[string]bool // what is in due
	stopped bool            // no more attempts begin
}

func newDispatcher(r *Router, partition int, slots *slots) *dispatcher {
	d := &dispatcher{
		router: r, partition: partition, slots: slots, woken: make(chan struct{}, 1), outbox: newOutbox(),
		listed: make(map[string]bool),
	}
	d.workers = newWorkers(d.work)
	d.sending, d.abandon = context.WithCancel(context.Background())
	context.AfterFunc(d.sending, func() { r.handlers.abandon(d.sending) })
	return d
}

// wake says that these queues have work.
func (d *dispatcher) wake(queues []Queue) {
	d.mu.Lock()
	for _, q := range queues {
		if q.Kind == PullSink {
			d.router.pulls.wake(q.Subscription)
		} else if !d.listed[q.Subscription] {
			d.listed[q.Subscription] = true
			d.due = append(d.due, q)
		}
	}
	some := len(d.due) > 0
	d.mu.Unlock()
	if some {
		select {
		case d.woken <- struct{}{}:
		default:
		}
	}
}

// next takes up to n queues that have work.
func (d *dispatcher) next(n int) []Queue {
	d.mu.Lock()
	defer d.mu.Unlock()
	n = min(n, len(d.due))
	queues := slices.Clone(d.due[:n])
	d.due = slices.Delete(d.due, 0, n)
	for _, q := range queues {
		delete(d.listed, q.Subscription)
	}
	return queues
}

// run sends until ctx ends, when nothing is accepted any more, and then lets attempts under way finish for the grace period.
func (d *dispatcher) run(ctx context.Context) error {
	defer d.abandon()
	settling, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	var settler sync.WaitGroup
	settler.Go(func() { d.settleAll(settling) })

	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-d.woken:
		case <-timer.C:
			timer.Reset(d.look(ctx))
		case <-ctx.Done():
		}
		d.sendDue(ctx)
	}

	d.stop()
	stop := time.AfterFunc(d.router.config.Grace, d.abandon)
	defer stop.Stop()
	last := time.AfterFunc(d.router.config.Grace+leaseMargin, giveUp)
	defer last.Stop()
	d.attempts.Wait()
	d.workers.close()
	d.outbox.close()
	settler.Wait()
	return nil
}

// stop says that no more attempts begin.
func (d *dispatcher) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped = true
}

func (d *dispatcher) isStopped() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopped
}

// expect counts attempts that may begin, unless none do any more.
func (d *dispatcher) expect(n int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.stopped {
		d.attempts.Add(n)
	}
	return !d.stopped
}

// look asks which queues are due, and returns when to look again.
func (d *dispatcher) look(ctx context.Context) time.Duration {
	again := lookEvery
	for _, kind := range []SinkKind{WebhookSink, HandlerSink} {
		limit := claimQueues
		if kind == HandlerSink {
			limit = dueHandlers
		}
		ids, next, err := d.router.store.DueQueues(ctx, d.partition, kind, limit)
		if err != nil {
			d.router.failed(ctx, "look for deliveries", err)
			return failurePause
		}
		d.wake(d.known(ctx, ids))
		if next >= 0 {
			again = min(again, next+time.Millisecond)
		}
	}
	return again
}

// known turns subscriptions' ids into queues; what this replica has not heard of, it reads first.
func (d *dispatcher) known(ctx context.Context, ids []string) []Queue {
	queues := make([]Queue, 0, len(ids))
	for _, id := range ids {
		if sub, ok := d.subscription(ctx, id); ok {
			queues = append(queues, sub.Queue())
		}
	}
	return queues
}

func (d *dispatcher) subscription(ctx context.Context, id string) (*Subscription, bool) {
	sub, ok := d.router.definitions.snapshot.Load().subscription(id)
	if ok {
		return sub, true
	}
	if err := d.router.definitions.refresh(ctx); err != nil {
		d.router.failed(ctx, "read the definitions", err)
		return nil, false
	}
	return d.router.definitions.snapshot.Load().subscription(id)
}

// sendDue claims what is due, as far as there is room, and starts sending it.
func (d *dispatcher) sendDue(ctx context.Context) {
	for ctx.Err() == nil {
		queues := d.next(claimQueues)
		if len(queues) == 0 {
			return
		}
		claims := d.claims(ctx, queues)
		if len(claims) == 0 {
			continue
		}
		asked := time.Now()
		claimed, token, err := d.router.store.ClaimDeliveries(ctx, d.partition, claims)
		if err != nil {
			d.router.failed(ctx, "claim deliveries", err)
			sleep(ctx, failurePause)
			continue // they stay in the schedule and are looked at again
		}
		if len(claimed) > 0 {
			d.send(ctx, claimed, token, pass{asked, claims[0].Slack})
		}
	}
}

// claims asks for what the queues may have in flight, within this replica's free slots, at least one each.
func (d *dispatcher) claims(ctx context.Context, queues []Queue) []Claim {
	share, slack := max(d.slots.free()/len(queues), 1), d.router.slack.allowed()
	claims := make([]Claim, 0, len(queues))
	for _, q := range queues {
		sub, ok := d.subscription(ctx, q.Subscription)
		if !ok {
			continue
		}
		if room := d.room(sub); room > 0 {
			claims = append(claims, Claim{Queue: sub.Queue(), Max: min(room, share), Lease: sub.timeLimit() + leaseMargin, Slack: slack})
		}
	}
	return claims
}

// room is how many deliveries to a subscription this replica could make at once: none where it can't, for lack of the Go handler for one.
func (d *dispatcher) room(sub *Subscription) int {
	switch {
	case sub.Sink.Kind == HandlerSink:
		return d.router.handlers.room(sub)
	case d.router.config.Senders[sub.Sink.Kind] == nil:
		return 0
	default:
		return sub.Delivery.MaxInFlight
	}
}

// timeLimit is how long an attempt may take.
func (s *Subscription) timeLimit() time.Duration {
	return time.Duration(cmp.Or(s.Sink.Timeout, Duration(DefaultHandlerTimeout)))
}

// send starts an attempt for each claimed delivery.
func (d *dispatcher) send(ctx context.Context, claimed []Claimed, token string, pass pass) {
	records, ok := d.prepare(ctx, claimed, token)
	for i, c := range claimed {
		if !ok || !d.slots.wait(ctx) {
			d.outbox.put(Settlement{Claimed: c, Unstarted: true})
			continue
		}
		d.start(job{claimed: c, record: records[i], pass: pass})
	}
}

// prepare sees to it that the definitions are as new as the leases of some deliveries, and returns their events; ok is false where these can't be read.
func (d *dispatcher) prepare(ctx context.Context, claimed []Claimed, token string) (records []Record, ok bool) {
	if token != d.router.definitions.snapshot.Load().tokens[d.partition] {
		if err := d.router.definitions.refresh(ctx); err != nil {
			d.router.failed(ctx, "read the definitions", err)
		}
	}
	records, err := d.load(d.sending, claimed)
	if err != nil {
		d.router.failed(ctx, "read the events of deliveries", err)
	}
	return records, err == nil
}

// reserve takes slots for what a batch may lease at once, and says in it how many for each queue. It returns how many it took.
func (d *dispatcher) reserve(batch []Enqueue) (reserved int) {
	for i := range batch {
		e := &batch[i]
		sub, ok := d.router.definitions.snapshot.Load().subscription(e.Queue.Subscription)
		if !ok {
			continue
		}
		e.Take = d.slots.take(min(len(e.Entries), d.room(sub)))
		e.Lease = sub.timeLimit() + leaseMargin
		reserved += e.Take
	}
	return reserved
}

// accept starts the attempts for what apply leased at once, in the slots that were reserved. records are those of the batch, in log order. It is
// not called any more when run's ctx ends.
func (d *dispatcher) accept(claimed []Claimed, records []Record) {
	jobs := make([]job, 0, len(claimed))
	for _, c := range claimed {
		record, ok := recordAt(records, c.Entry.Position)
		if !ok { // it is none of them, and has to be read
			d.slots.give(1)
			d.outbox.put(Settlement{Claimed: c, Unstarted: true})
			continue
		}
		jobs = append(jobs, job{claimed: c, record: record})
	}
	d.start(jobs...)
}

func (d *dispatcher) start(jobs ...job) {
	d.attempts.Add(len(jobs))
	d.workers.start(jobs...)
}

// job is an attempt to make, in a slot that was taken for it.
type job struct {
	claimed Claimed
	record  Record
	pass    pass          // where the queue has a rate
	early   time.Duration // how much sooner than it has to it began
}

// pass is the time within which an attempt has to begin for its permit to hold.
type pass struct {
	asked time.Time
	slack time.Duration
}

// begin tells whether an attempt that begins now comes in time for its permit.
func (d *dispatcher) begin(j *job) bool {
	if j.claimed.Queue.Rate.Limit == 0 {
		return true
	}
	took := time.Since(j.pass.asked)
	d.router.slack.observe(took)
	j.early = j.pass.slack - took
	return j.early >= 0
}

// load returns the events of deliveries: those routed here a moment ago are at hand.
func (d *dispatcher) load(ctx context.Context, claimed []Claimed) ([]Record, error) {
	records := make([]Record, len(claimed))
	var missing []Position
	var places []int
	for i, c := range claimed {
		var ok bool
		if records[i], ok = d.recent.get(c.Entry.Position); !ok {
			missing, places = append(missing, c.Entry.Position), append(places, i)
		}
	}
	if len(missing) == 0 {
		return records, nil
	}
	found, err := d.router.store.LoadEvents(ctx, d.partition, missing)
	for i, record := range found {
		records[places[i]] = record
	}
	return records, err
}

// work makes one attempt, and sees to it that what becomes of the delivery is recorded.
func (d *dispatcher) work(j job) {
	sub, ok := d.router.definitions.snapshot.Load().subscription(j.claimed.Queue.Subscription)
	if !ok || !d.begin(&j) { // deleted since; what is left of its queue goes too
		d.finish(Settlement{Claimed: j.claimed, Unstarted: true})
		return
	}
	conclude := func(a Attempt) { d.finish(d.conclude(j, sub, a)) }
	if attempt, refused := d.refuse(j, sub); refused {
		conclude(attempt)
		return
	}
	sending := Sending{Subscription: sub, Entry: j.claimed.Entry, Event: j.claimed.Entry.delivered(j.record.Event), Attempt: j.claimed.Attempt}
	if sub.Sink.Kind != HandlerSink {
		conclude(d.router.config.Senders[sub.Sink.Kind].Send(d.sending, sending))
		return
	}
	// A handler that does not return in time keeps this goroutine, and nothing else.
	d.router.handlers.newCall(d.sending, sending, conclude).run()
}

// refuse tells whether an attempt is over before it begins.
func (d *dispatcher) refuse(j job, sub *Subscription) (Attempt, bool) {
	switch {
	case j.record.Err != nil:
		return Attempt{At: time.Now(), Outcome: OutcomeInvalid, Error: j.record.Err.Error()}, true
	case j.claimed.Attempt > len(sub.Delivery.Retry.Schedule)+1:
		// Each earlier attempt ended with the replica that made it: making another could end this one.
		return Attempt{At: time.Now(), Outcome: OutcomeExpired, Error: "no attempt of the schedule came to an end"}, true
	}
	return Attempt{}, false
}

// conclude decides what becomes of a delivery after an attempt.
func (d *dispatcher) conclude(j job, sub *Subscription, attempt Attempt) Settlement {
	d.router.config.Observer.Attempted(sub.Sink.Kind, attempt.Outcome, time.Duration(attempt.Duration))
	if attempt.Outcome == OutcomeCanceled {
		return Settlement{Claimed: j.claimed, Unstarted: true}
	}
	result := Result{Outcome: attempt.Outcome, RetryAfter: attempt.RetryAfter}
	decision := sub.Delivery.Retry.Next(j.claimed.Attempt, result, rand.Float64())
	if j.record.Err != nil {
		decision = Decision{Verdict: Dead}
	}
	if decision.Disable {
		d.router.disable(d.sending, sub, StoppedGone, attempt)
	}
	return Settlement{
		Claimed: j.claimed, Verdict: decision.Verdict, After: decision.After, Attempt: attempt, Fault: attempt.Outcome.faultsEndpoint(), Early: j.early,
	}
}

// finish frees an attempt's slot and hands its result over.
func (d *dispatcher) finish(s Settlement) {
	d.slots.give(1)
	d.outbox.put(s)
	d.attempts.Done()
}
