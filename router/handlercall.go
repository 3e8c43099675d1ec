package router

import (
	"context"
	"sync"
	"time"
)

// handlerCall is one call of a handler. It is also the ctx that the handler gets: one that costs nothing as long as nobody waits for its end, since
// most handlers are done long before.
//
// A call ends once: when the handler returns, or when it is given up because its time is over or its parent has ended. Who comes first tells done.
type handlerCall struct {
	parent   context.Context
	handling *Handling
	calls    *runningCalls
	sending  Sending
	began    time.Time
	deadline time.Time
	done     func(Attempt)
	place    int // among the running calls, guarded by their lock; notRunning: it has not begun, or has ended

	mu     sync.Mutex
	over   bool
	real   context.Context // made when it is asked for
	cancel context.CancelFunc
}

const notRunning = -1

// newCall makes a call that tells done, once, how it ended. A ctx that ends gives no call up by itself: see runningCalls.abandon.
func (hs *handlers) newCall(ctx context.Context, s Sending, done func(Attempt)) *handlerCall {
	c := &handlerCall{parent: ctx, handling: hs.get(s.Subscription.Name), calls: &hs.calls, sending: s, began: time.Now(), done: done, place: notRunning}
	c.deadline = c.began.Add(s.Subscription.timeLimit())
	if limit, ok := ctx.Deadline(); ok && limit.Before(c.deadline) {
		c.deadline = limit
	}
	return c
}

// run calls the handler, and returns when that does. One that never returns holds up nobody but the goroutine.
func (c *handlerCall) run() {
	if c.handling == nil || c.parent.Err() != nil || !c.handling.begin(c.sending.Subscription.Delivery.MaxInFlight) {
		c.tell(OutcomeCanceled, "")
		return
	}
	c.calls.add(c)
	guard(func() error {
		if c.parent.Err() != nil { // it may have ended before the call was among those that are given up then
			return errNotBegun
		}
		return c.handling.handler(c, c.sending.Event)
	}, c.finish)
}

// finish says that the handler has returned.
func (c *handlerCall) finish(e ending) {
	c.handling.end()
	if c.calls.take(c) {
		if e.outcome == OutcomeHandlerError && c.isLate() { // an error that came with the end of its ctx is the latter's doing
			c.giveUp()
		} else {
			c.tell(e.outcome, e.text)
		}
	}
	c.close()
}

func (c *handlerCall) isLate() bool { return c.parent.Err() != nil || !time.Now().Before(c.deadline) }

// giveUp says how the call ended that the handler has not returned from in time.
func (c *handlerCall) giveUp() {
	if c.parent.Err() != nil {
		c.tell(OutcomeCanceled, "")
	} else {
		c.tell(OutcomeTimeout, errHandlerTimeout.Error())
	}
}

func (c *handlerCall) tell(outcome Outcome, text string) {
	c.done(Attempt{At: c.began, Outcome: outcome, Error: text, Duration: Duration(time.Since(c.began))})
}

// Deadline is part of context.Context.
func (c *handlerCall) Deadline() (time.Time, bool) { return c.deadline, true }

// Done is part of context.Context.
func (c *handlerCall) Done() <-chan struct{} { return c.context().Done() }

// Err is part of context.Context.
func (c *handlerCall) Err() error {
	if !c.isLate() {
		c.mu.Lock()
		good := !c.over && c.real == nil
		c.mu.Unlock()
		if good {
			return nil
		}
	}
	return c.context().Err()
}

// Value is part of context.Context.
func (c *handlerCall) Value(key any) any {
	if key == (handling{}) {
		return c.sending.Event
	}
	return c.context().Value(key)
}

// context is the real one.
func (c *handlerCall) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.real == nil {
		c.real, c.cancel = context.WithDeadlineCause(c.parent, c.deadline, errHandlerTimeout)
		if c.over {
			c.cancel()
		}
	}
	return c.real
}

// close ends the ctx.
func (c *handlerCall) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.cancel != nil {
		c.cancel()
	}
}

// runningCalls are the calls of a replica's handlers that are under way and not given up. Safe for concurrent use.
type runningCalls struct {
	mu    sync.Mutex
	calls []*handlerCall // in no order
	timer *time.Timer
	next  time.Time // when the timer looks for calls whose time is over; zero: it does not
}

func (r *runningCalls) add(c *handlerCall) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c.place = len(r.calls)
	r.calls = append(r.calls, c)
	r.lookAt(c.deadline)
}

// lookAt has the timer look at that time at the latest.
func (r *runningCalls) lookAt(deadline time.Time) {
	if !r.next.IsZero() && !deadline.Before(r.next) {
		return
	}
	r.next = deadline
	if wait := time.Until(deadline); r.timer == nil {
		r.timer = time.AfterFunc(wait, r.giveUpLate)
	} else {
		r.timer.Reset(wait)
	}
}

// take takes a call out, and tells whether it was still in.
func (r *runningCalls) take(c *handlerCall) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.remove(c)
}

func (r *runningCalls) remove(c *handlerCall) bool {
	if c.place == notRunning {
		return false
	}
	last := len(r.calls) - 1
	r.calls[c.place] = r.calls[last]
	r.calls[c.place].place = c.place
	r.calls[last] = nil
	r.calls = r.calls[:last]
	c.place = notRunning
	return true
}

// giveUpLate gives up the calls whose time is over.
func (r *runningCalls) giveUpLate() {
	now := time.Now()
	r.abandon(func(c *handlerCall) bool { return !c.deadline.After(now) })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next = time.Time{}
	for _, c := range r.calls {
		r.lookAt(c.deadline)
	}
}

// abandon gives up the calls that are chosen.
func (r *runningCalls) abandon(chosen func(*handlerCall) bool) {
	r.mu.Lock()
	var all []*handlerCall
	for _, c := range r.calls {
		if chosen(c) {
			all = append(all, c)
		}
	}
	for _, c := range all {
		r.remove(c)
	}
	r.mu.Unlock()
	for _, c := range all {
		c.giveUp()
	}
}
