package router

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of what workers ask for.
const (
	MaxPull       = 100 // deliveries in one pull
	DefaultPull   = 10
	MaxPullBytes  = 16 << 20 // payloads in one pull, after which it takes no more
	MaxPullWait   = Duration(60 * time.Second)
	MaxNackDelay  = MaxRetryDelay
	MaxReceipts   = 1000 // in one answer
	MaxWorkerName = 200  // characters
	MaxPullNote   = 1000 // characters
)

// PullRequest asks for deliveries of a subscription that is pulled from.
type PullRequest struct {
	Max    int      // how many at most, 1 to MaxPull; 0: DefaultPull
	Wait   Duration // how long to wait for the first one, up to MaxPullWait
	Lease  Duration // how long the worker has them; 0: what the sink says
	Worker string   // what the worker calls itself, for people; two that have the same name get different deliveries
}

// Pulled is a delivery that a worker has until a time.
type Pulled struct {
	Receipt Receipt
	ID      string // of the delivery
	Until   time.Time
	Event   Event
}

// PullExtension is what a worker says while it works. Nil fields leave what it said before.
type PullExtension struct {
	Lease    Duration // from now on; 0: what the sink says
	Progress *int     // 0 to 100
	Note     *string
}

// Pull takes deliveries of a subscription for a worker, and waits for the first one as long as the request says. None is an answer too, and means that
// there was none in all this time: what keeps it from knowing is an error. Of any number of pulls at a time, by any number of replicas, no two get the same
// delivery, unless its lease has run out in between. A delivery whose attempts are used up becomes a dead letter instead. Invalid: the request, or the
// subscription is not pulled from. Unavailable: this replica is stopping.
func (r *Router) Pull(ctx context.Context, s Subscription, req PullRequest) ([]Pulled, error) {
	req.Max = cmp.Or(req.Max, DefaultPull)
	req.Lease = cmp.Or(req.Lease, s.Sink.Lease)
	if err := cmp.Or(checkPulled(s), req.check()); err != nil {
		return nil, err
	}
	if req.Wait == 0 {
		return r.pullNow(ctx, s, req)
	}
	w := r.pulls.join(s.ID)
	defer r.pulls.leave(w)
	ctx, cancel := context.WithTimeoutCause(ctx, req.Wait.Std(), errWaited)
	defer cancel()
	for {
		pulled, err := r.pullNow(context.WithoutCancel(ctx), s, req) // cut off midway, it would hold what nobody gets
		if err != nil || len(pulled) > 0 {
			return pulled, err
		}
		select {
		case <-w.woken:
			if ctx.Err() == nil {
				continue
			}
		case <-r.pulls.stopped:
			return nil, errStopping
		case <-ctx.Done():
		}
		if cause := context.Cause(ctx); !errors.Is(cause, errWaited) {
			return nil, cause
		}
		return nil, nil
	}
}

var (
	errWaited   = errors.New("there was nothing to pull")
	errStopping = &Error{Code: Unavailable, Message: "this replica is stopping; ask another one", RetryAfter: time.Second}
)

func checkPulled(s Subscription) error {
	if s.Sink.Kind == PullSink {
		return nil
	}
	return Errorf(Invalid, "subscription %q is not pulled from: its sink is of kind %q", s.Name, s.Sink.Kind)
}

func (req PullRequest) check() error {
	f := &docFaults{}
	if req.Max < 1 || req.Max > MaxPull {
		f.add("body.max", "must be from 1 to %d", MaxPull)
	}
	if req.Wait < 0 || req.Wait > MaxPullWait {
		f.add("body.wait", "must be from 0s to %s", MaxPullWait)
	}
	checkPullLease(f, "body.lease", req.Lease)
	checkLine(f, "body.worker", req.Worker, MaxWorkerName)
	return f.err("the pull is not valid")
}

// checkLine holds free text to a length and to one line.
func checkLine(f *docFaults, at, text string, most int) {
	if utf8.RuneCountInString(text) > most {
		f.add(at, "must have at most %d characters", most)
	}
	for _, c := range text {
		if unicode.IsControl(c) || c == utf8.RuneError {
			f.add(at, "must not contain control characters")
			return
		}
	}
}

// pullNow takes what there is, from all partitions, a random one first.
func (r *Router) pullNow(ctx context.Context, s Subscription, req PullRequest) (pulled []Pulled, err error) {
	n := r.store.Partitions()
	first := mathrand.IntN(n)
	room := MaxPullBytes
	for i := 0; i < n && len(pulled) < req.Max && room > 0; i++ {
		more, err := r.pullFrom(ctx, (first+i)%n, s, req, req.Max-len(pulled), &room)
		pulled = append(pulled, more...)
		if err != nil && len(pulled) == 0 {
			return nil, err
		}
		if err != nil {
			r.failed(ctx, "pull from a partition", err)
			break // what was taken is the worker's
		}
	}
	if len(pulled) == req.Max || room <= 0 {
		r.pulls.wake(s.ID) // there may be more
	}
	return pulled, nil
}

// pullFrom takes up to want deliveries from one partition. Those that can't be made any more become dead letters, and others are taken for them.
func (r *Router) pullFrom(ctx context.Context, partition int, s Subscription, req PullRequest, want int, room *int) (pulled []Pulled, err error) {
	for {
		token := rand.Text()
		receipts, until, err := r.store.PullDeliveries(ctx, partition, Claim{Queue: s.Queue(), Max: want, Lease: req.Lease.Std()}, token, req.Worker)
		if err != nil || len(receipts) == 0 {
			return nil, err
		}
		records, err := r.dispatchers[partition].load(ctx, claimsOf(receipts))
		if err != nil {
			return nil, errors.Join(err, r.answerPulled(ctx, s, giveBack(receipts)))
		}
		var answers []Answer
		for i, receipt := range receipts {
			answer, over := refusePulled(s, receipt, records[i])
			switch {
			case over:
			case *room <= 0:
				answer = Answer{Receipt: receipt, Unstarted: true}
			default:
				*room -= len(records[i].Event.DataText())
				pulled = append(pulled, Pulled{Receipt: receipt, ID: DeliveryID(s.ID, receipt.Entry), Until: until, Event: records[i].Event})
				continue
			}
			answers = append(answers, answer)
		}
		if err := r.answerPulled(ctx, s, answers); err != nil || len(pulled) > 0 {
			return pulled, err
		}
	}
}

func claimsOf(receipts []Receipt) []Claimed {
	claimed := make([]Claimed, len(receipts))
	for i, one := range receipts {
		claimed[i].Entry = one.Entry
	}
	return claimed
}

func giveBack(receipts []Receipt) []Answer {
	answers := make([]Answer, len(receipts))
	for i, one := range receipts {
		answers[i] = Answer{Receipt: one, Unstarted: true}
	}
	return answers
}

// refusePulled tells whether a delivery that was pulled ends in the dead letters before a worker gets it.
func refusePulled(s Subscription, receipt Receipt, record Record) (Answer, bool) {
	dead := Answer{Receipt: receipt, Verdict: Dead, Attempt: Attempt{At: time.Now()}}
	switch {
	case record.Err != nil:
		dead.Attempt.Outcome, dead.Attempt.Error = OutcomeInvalid, record.Err.Error()
	case receipt.Attempt > s.Sink.MaxAttempts:
		dead.Attempt.Outcome, dead.Attempt.Error = OutcomeExpired, "no attempt is left, and the last one did not come to an end"
	default:
		return Answer{}, false
	}
	return dead, true
}

// answerPulled settles what the router itself decides; what came too late is decided by others.
func (r *Router) answerPulled(ctx context.Context, s Subscription, answers []Answer) error {
	if len(answers) == 0 {
		return nil
	}
	_, err := r.settlePulled(ctx, s, answers)
	return err
}

// Ack says that deliveries are done. It tells of each receipt whether it was good; where it was not, nothing was changed. After an error that is not known;
// asking again is safe, and tells of what was done that the receipt is not good any more.
func (r *Router) Ack(ctx context.Context, s Subscription, receipts []Receipt) (good []bool, err error) {
	return r.answer(ctx, s, receipts, func(receipt Receipt) Answer {
		return Answer{Receipt: receipt, Verdict: Delivered, Attempt: Attempt{At: time.Now(), Outcome: OutcomeDelivered}}
	})
}

// Nack gives deliveries back after a failure, to be pulled again after a delay; those whose attempts are used up become dead letters. The rest is as with Ack.
func (r *Router) Nack(ctx context.Context, s Subscription, receipts []Receipt, delay Duration) (good []bool, err error) {
	if delay < 0 || delay > MaxNackDelay {
		return nil, invalidField("body.delay", "must be from 0s to "+MaxNackDelay.String())
	}
	return r.answer(ctx, s, receipts, func(receipt Receipt) Answer {
		a := Answer{Receipt: receipt, Verdict: Retrying, After: delay.Std(), Attempt: Attempt{At: time.Now(), Outcome: OutcomeNacked}}
		if receipt.Attempt >= s.Sink.MaxAttempts {
			a.Verdict = Dead
		}
		return a
	})
}

func invalidField(at, message string) error {
	return &Error{Code: Invalid, Message: "the request is not valid", Problems: []Problem{{at, message}}}
}

func (r *Router) answer(ctx context.Context, s Subscription, receipts []Receipt, answer func(Receipt) Answer) ([]bool, error) {
	if err := checkPulled(s); err != nil {
		return nil, err
	}
	return eachOnce(receipts, func(distinct []Receipt) ([]bool, error) {
		answers := make([]Answer, len(distinct))
		for i, one := range distinct {
			answers[i] = answer(one)
		}
		return r.settlePulled(ctx, s, answers)
	})
}

// eachOnce asks about each of several receipts once, and answers for all.
func eachOnce(receipts []Receipt, ask func(distinct []Receipt) ([]bool, error)) ([]bool, error) {
	index := make(map[Receipt]int, len(receipts))
	var distinct []Receipt
	for _, one := range receipts {
		if _, ok := index[one]; !ok {
			index[one] = len(distinct)
			distinct = append(distinct, one)
		}
	}
	answers, err := ask(distinct)
	if err != nil {
		return nil, err
	}
	good := make([]bool, len(receipts))
	for i, one := range receipts {
		good[i] = answers[index[one]]
	}
	return good, nil
}

// inPartitions calls do for each partition that receipts are of, with their indexes. Those of partitions that there are not are passed over.
func (r *Router) inPartitions(receipts []Receipt, do func(partition int, indexes []int) error) error {
	groups := make(map[int][]int)
	for i, one := range receipts {
		if p := one.Entry.Position.Partition; p < r.store.Partitions() {
			groups[p] = append(groups[p], i)
		}
	}
	for p, indexes := range groups {
		if err := do(p, indexes); err != nil {
			return err
		}
	}
	return nil
}

func (r *Router) settlePulled(ctx context.Context, s Subscription, answers []Answer) ([]bool, error) {
	receipts := make([]Receipt, len(answers))
	for i, a := range answers {
		receipts[i] = a.Receipt
	}
	good := make([]bool, len(answers))
	err := r.inPartitions(receipts, func(partition int, indexes []int) error {
		mine := make([]Answer, len(indexes))
		for j, i := range indexes {
			mine[j] = answers[i]
		}
		held, settled, err := r.store.SettlePulled(ctx, partition, s.Queue(), mine)
		if err != nil {
			return err
		}
		for j, i := range indexes {
			good[i] = held[j]
			r.observePulled(answers[i], held[j])
		}
		if settled.Work && settled.Next <= 0 {
			r.pulls.wake(s.ID)
		}
		return nil
	})
	return good, err
}

func (r *Router) observePulled(a Answer, held bool) {
	switch {
	case !held:
		r.config.Observer.Settled(PullSink, Retrying, 1)
	case !a.Unstarted:
		r.config.Observer.Attempted(PullSink, a.Attempt.Outcome, 0)
		r.config.Observer.Settled(PullSink, a.Verdict, 0)
	}
}

// Extend makes the leases of deliveries end later, or earlier, and keeps what the worker says of them. It tells of each receipt whether it was good, and until
// when the leases are now.
func (r *Router) Extend(ctx context.Context, s Subscription, receipts []Receipt, e PullExtension) (good []bool, until time.Time, err error) {
	e.Lease = cmp.Or(e.Lease, s.Sink.Lease)
	if err := cmp.Or(checkPulled(s), e.check()); err != nil {
		return nil, until, err
	}
	good, err = eachOnce(receipts, func(distinct []Receipt) ([]bool, error) {
		held := make([]bool, len(distinct))
		return held, r.inPartitions(distinct, func(partition int, indexes []int) error {
			mine := make([]Receipt, len(indexes))
			for j, i := range indexes {
				mine[j] = distinct[i]
			}
			some, ends, err := r.store.ExtendPulled(ctx, partition, s.Queue(), mine, e)
			if err != nil {
				return err
			}
			until = ends
			for j, i := range indexes {
				held[i] = some[j]
			}
			return nil
		})
	})
	return good, until, err
}

func (e PullExtension) check() error {
	f := &docFaults{}
	checkPullLease(f, "body.lease", e.Lease)
	if e.Progress != nil && (*e.Progress < 0 || *e.Progress > 100) {
		f.add("body.progress", "must be from 0 to 100")
	}
	if e.Note != nil {
		checkLine(f, "body.note", *e.Note, MaxPullNote)
	}
	return f.err("the extension is not valid")
}

// wakePulls looks, while there are workers that wait, for what they could pull, since other replicas do not tell.
func (r *Router) wakePulls(ctx context.Context) error {
	defer r.pulls.stop()
	for sleep(ctx, lookEvery) {
		waiting := r.pulls.subscriptions()
		for p := 0; p < r.store.Partitions() && len(waiting) > 0; p++ {
			due, err := r.store.DuePulls(ctx, p, waiting)
			if err != nil {
				r.failed(ctx, "look for what workers could pull", err)
				break
			}
			for _, id := range due {
				r.pulls.wake(id)
			}
		}
	}
	return nil
}
