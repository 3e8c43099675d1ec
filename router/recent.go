package router

import "sync"

const (
	recentEvents = 1 << 15
	recentBytes  = 32 << 20
)

// recent keeps the events that this replica routed last, so that sending them does not read them again. Safe for concurrent use.
type recent struct {
	mu     sync.Mutex
	events map[Position]Event
	order  []Position // a ring
	next   int
	bytes  int
}

func newRecent() *recent {
	return &recent{events: make(map[Position]Event), order: make([]Position, recentEvents)}
}

func (r *recent) add(records []Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, record := range records {
		r.makeRoom()
		r.order[r.next] = record.Position
		r.events[record.Position] = record.Event
		r.bytes += len(record.Event.fields().Data)
		r.next = (r.next + 1) % recentEvents
	}
}

// makeRoom takes the oldest out of the place that is used next, or all where they are too large together.
func (r *recent) makeRoom() {
	if r.bytes > recentBytes {
		clear(r.events)
		r.bytes = 0
	}
	if old, ok := r.events[r.order[r.next]]; ok {
		r.bytes -= len(old.fields().Data)
		delete(r.events, r.order[r.next])
	}
}

func (r *recent) get(p Position) (Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.events[p]
	return e, ok
}
