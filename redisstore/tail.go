package redisstore

import (
	"slices"
	"sync"

	"github.com/streamlatch/streamlatch/router"
)

// What a tail holds at most: as much as readers that keep up with the log can be behind.
const (
	tailEvents = 4096
	tailBytes  = 8 << 20
)

// tail is the end of a partition's log as far as this process has appended it, without a gap, so that a reader that has come that far needs no
// reading: it takes what was appended out of memory. Safe for concurrent use.
type tail struct {
	mu      sync.Mutex
	before  router.Position // the last position before records; nothing stands between
	records []router.Record
	bytes   int
	grown   pulse
}

// add says that records were appended right behind a position. Calls may come in another order than the appends were made; then what does not follow
// is where a new tail begins.
func (t *tail) add(previous router.Position, records []router.Record) {
	t.mu.Lock()
	if len(records) > 0 && previous.Compare(t.end()) != 0 {
		t.before, t.records, t.bytes = previous, nil, 0
	}
	t.records = append(t.records, records...)
	for _, r := range records {
		t.bytes += len(r.Event.DataText())
	}
	if len(t.records) > 2*tailEvents || t.bytes > 2*tailBytes {
		t.shorten()
	}
	t.mu.Unlock()
	t.grown.beat()
}

// shorten drops the oldest records, and makes a new slice: readers hold parts of the old one.
func (t *tail) shorten() {
	first := max(len(t.records)-tailEvents, 0)
	bytes := 0
	for i := len(t.records) - 1; i >= first; i-- {
		if bytes += len(t.records[i].Event.DataText()); bytes > tailBytes {
			first = i + 1
			bytes -= len(t.records[i].Event.DataText())
		}
	}
	if first > 0 {
		t.before = t.records[first-1].Position
	}
	t.records, t.bytes = slices.Clone(t.records[first:]), bytes
}

func (t *tail) end() router.Position {
	if n := len(t.records); n > 0 {
		return t.records[n-1].Position
	}
	return t.before
}

// endsAt tells whether a position is the last one that this process has appended.
func (t *tail) endsAt(p router.Position) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.records) > 0 && p.Compare(t.end()) == 0
}

// forget empties the tail. What it held may be lost: a replica of Redis that takes over may not have it.
func (t *tail) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.before, t.records, t.bytes = router.Position{}, nil, 0
}

// after returns up to limit records behind a position; none where the tail does not reach back to it, or not beyond it.
func (t *tail) after(p router.Position, limit int) []router.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Compare(t.before) < 0 || p.Compare(t.end()) >= 0 {
		return nil
	}
	first, found := slices.BinarySearchFunc(t.records, p, func(r router.Record, p router.Position) int { return r.Position.Compare(p) })
	if found {
		first++
	}
	last := min(first+limit, len(t.records))
	return t.records[first:last:last]
}
