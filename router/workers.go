package router

import "sync"

// workers make attempts in goroutines of their own. There are as many as there have been jobs at once: a worker that takes a job wakes the next one if
// there are more, so that one job that takes long holds up no other, and jobs that take no time are made by few. They stay, since their
// stacks have grown to what an attempt needs. Safe for concurrent use.
type workers struct {
	do func(job)

	mu     sync.Mutex
	jobs   []job // to do, from first on
	first  int
	idle   int  // workers that wait
	waking bool // one was woken or started and has not taken a job yet
	closed bool
	wake   sync.Cond // on mu
}

func newWorkers(do func(job)) *workers {
	w := &workers{do: do}
	w.wake.L = &w.mu
	return w
}

// start has a job done. It must not be called any more when close is.
func (w *workers) start(jobs ...job) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.jobs = append(w.jobs, jobs...)
	w.wakeOne()
}

// wakeOne sees to it that a worker is on its way, if there is something to do.
func (w *workers) wakeOne() {
	switch {
	case w.waking || w.first == len(w.jobs):
		return
	case w.idle > 0:
		w.wake.Signal()
	default:
		go w.work()
	}
	w.waking = true
}

func (w *workers) work() {
	arrived := true
	for {
		j, ok := w.next(arrived)
		if !ok {
			return
		}
		arrived = false
		w.do(j)
	}
}

// next waits for a job; ok is false when there will be none. arrived says that the worker is the one that was on its way.
func (w *workers) next(arrived bool) (j job, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if arrived {
		w.waking = false
	}
	for w.first == len(w.jobs) {
		if w.closed {
			return j, false
		}
		w.idle++
		w.wake.Wait()
		w.idle--
		w.waking = false
	}
	j, w.jobs[w.first] = w.jobs[w.first], job{}
	if w.first++; w.first == len(w.jobs) {
		w.jobs, w.first = w.jobs[:0], 0
	}
	w.wakeOne()
	return j, true
}

// close ends the workers, each when it has nothing to do.
func (w *workers) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.wake.Broadcast()
}
