package router

import (
	"slices"
	"sync"
)

// pulls are the workers that wait, in this replica, for something to pull. One at a time is woken: if it finds something, and there may be more, it wakes the
// next. Safe for concurrent use.
type pulls struct {
	stopped chan struct{} // closed when nobody is woken any more
	stop    func()

	mu      sync.Mutex
	waiters map[string][]*pullWaiter // of each subscription, those that have waited longest first
}

// pullWaiter is one that waits.
type pullWaiter struct {
	subscription string
	woken        chan struct{} // holds one
}

func newPulls() *pulls {
	p := &pulls{stopped: make(chan struct{}), waiters: map[string][]*pullWaiter{}}
	p.stop = sync.OnceFunc(func() { close(p.stopped) })
	return p
}

// join adds one that waits; leave must be called for it.
func (p *pulls) join(subscription string) *pullWaiter {
	w := &pullWaiter{subscription, make(chan struct{}, 1)}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiters[subscription] = append(p.waiters[subscription], w)
	return w
}

// leave takes one away. If it was woken and has not looked, another one is woken in its place.
func (p *pulls) leave(w *pullWaiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := slices.DeleteFunc(p.waiters[w.subscription], func(one *pullWaiter) bool { return one == w })
	if len(rest) == 0 {
		delete(p.waiters, w.subscription)
		return
	}
	p.waiters[w.subscription] = rest
	select {
	case <-w.woken:
		p.wakeOne(rest)
	default:
	}
}

// wake wakes the one of a subscription that has waited longest and is not awake.
func (p *pulls) wake(subscription string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeOne(p.waiters[subscription])
}

func (*pulls) wakeOne(waiters []*pullWaiter) {
	for _, w := range waiters {
		select {
		case w.woken <- struct{}{}:
			return
		default:
		}
	}
}

// subscriptions are those that somebody waits for.
func (p *pulls) subscriptions() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	ids := make([]string, 0, len(p.waiters))
	for id := range p.waiters {
		ids = append(ids, id)
	}
	return ids
}
