package router

import (
	"sync"
	"time"
)

// maxOutbox is how many results wait to be recorded, about; more hold up those who bring them.
const maxOutbox = 8 * settleSome

// gatherResults is how long to wait for more results. A settlement costs as much as a dozen of results in it.
const gatherResults = time.Millisecond

// outbox holds the results of attempts until they are recorded. One goroutine takes them; any number put some in.
type outbox struct {
	mu      sync.Mutex
	results []Settlement
	spare   []Settlement // used again: tens of kilobytes for each settlement are what garbage is made of
	wanted  int          // for how many of them take waits
	closed  bool
	changed *sync.Cond // on mu: there are some, or as many as are wanted, there is room, or it is closed
}

func newOutbox() *outbox {
	o := &outbox{}
	o.changed = sync.NewCond(&o.mu)
	return o
}

// put waits while there is no room.
func (o *outbox) put(s Settlement) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.results) >= maxOutbox {
		o.changed.Wait()
	}
	o.results = append(o.results, s)
	if n := len(o.results); n == 1 || n == o.wanted {
		o.changed.Broadcast()
	}
}

// take waits for results and takes them all; nil: there will be none. It waits a moment for as many as enough says. giveBack returns the slice.
func (o *outbox) take(enough func() int) []Settlement {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.results) == 0 && !o.closed {
		o.changed.Wait()
	}
	o.gather(enough())
	if len(o.results) == 0 {
		return nil
	}
	results := o.results
	o.results, o.spare = o.spare[:0], nil
	if len(results) >= maxOutbox {
		o.changed.Broadcast()
	}
	return results
}

// gather waits for so many results, for gatherResults at most.
func (o *outbox) gather(wanted int) {
	if len(o.results) >= wanted || o.closed {
		return
	}
	late := false
	timer := time.AfterFunc(gatherResults, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		late = true
		o.changed.Broadcast()
	})
	defer timer.Stop()
	for o.wanted = wanted; len(o.results) < wanted && !o.closed && !late; {
		o.changed.Wait()
	}
	o.wanted = 0
}

func (o *outbox) giveBack(results []Settlement) {
	clear(results) // it keeps nothing alive
	o.mu.Lock()
	defer o.mu.Unlock()
	o.spare = results[:0]
}

// close says that nothing is put in any more.
func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.changed.Broadcast()
}
