package redisstore

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// What a tail holds: as much as readers that keep up with the log can be behind.
const (
	tailEvents = 16384
	tailBytes  = 16 << 20
)

// A reader that has come to the end of a tail waits a moment for this process to append more, before it asks Redis what others have appended: while events
// come in here, they need no reading. Where nobody else has appended for a while, it waits for longer.
const (
	tailPatience  = time.Millisecond
	alonePatience = 10 * time.Millisecond
	aloneRuns     = 16 // so many calls of append in a row were this process'
)

// tail is the end of a partition's log as far as this process has appended it, without a gap, so that a reader that has come that far needs no
// reading: it takes what was appended out of memory. Safe for concurrent use.
type tail struct {
	mu     sync.Mutex
	before router.Position // the last position before the runs; nothing stands between
	runs   []tailRun       // in log order
	events int
	bytes  int
	ended  router.Position // a firing stands behind it: what append tells of up to there comes too late
	grown  pulse
}

// tailRun is what one call of append stored. It never changes.
type tailRun struct {
	records []router.Record
	bytes   int
}

func newTailRun(records []router.Record) tailRun {
	run := tailRun{records: records}
	for i := range records {
		run.bytes += len(records[i].Event.DataText())
	}
	return run
}

func (r tailRun) end() router.Position { return r.records[len(r.records)-1].Position }

// add says that records, at least one, were appended right behind a position. What does not follow on what is there begins a new tail. Readers are told by grown.
func (t *tail) add(previous router.Position, records []router.Record) {
	run := newTailRun(records)
	t.mu.Lock()
	defer t.mu.Unlock()
	if run.end().Compare(t.ended) <= 0 || run.end().Compare(t.before) <= 0 {
		return // it was told too late: what stands behind it is known
	}
	t.push(previous, run)
}

func (t *tail) push(previous router.Position, run tailRun) {
	if previous != t.end() {
		t.clear(previous)
	}
	t.runs = append(t.runs, run)
	t.events += len(run.records)
	t.bytes += run.bytes
	for len(t.runs) > 1 && (t.events > tailEvents || t.bytes > tailBytes) {
		t.dropOldest()
	}
}

func (t *tail) clear(before router.Position) {
	clear(t.runs)
	t.before, t.runs, t.events, t.bytes = before, t.runs[:0], 0, 0
}

func (t *tail) dropOldest() {
	oldest := t.runs[0]
	t.before = oldest.end()
	t.events -= len(oldest.records)
	t.bytes -= oldest.bytes
	t.runs[0] = tailRun{}
	t.runs = t.runs[1:]
}

func (t *tail) end() router.Position {
	if n := len(t.runs); n > 0 {
		return t.runs[n-1].end()
	}
	return t.before
}

// patience is how long a reader that has come to a position waits for more; not at all where that is not the last one that this process has appended.
func (t *tail) patience(p router.Position) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.runs) == 0 || p != t.end():
		return 0
	case len(t.runs) < aloneRuns:
		return tailPatience
	}
	return alonePatience
}

// forget empties the tail, and lets nobody wait for it to grow: what it held may be lost, since a replica of Redis that takes over may not have it.
func (t *tail) forget() {
	t.mu.Lock()
	t.clear(router.Position{})
	t.mu.Unlock()
	t.grown.beat()
}

// goOn says that the log goes on behind a position with firings, and with which if that is known; else they have to be read. What append has stored up to there may be
// told later.
func (t *tail) goOn(previous router.Position, firings []router.Record) {
	t.mu.Lock()
	if previous.Compare(t.ended) >= 0 {
		t.ended = previous
		switch {
		case t.before.Compare(previous) > 0: // what append stored behind the firings was told sooner
		case len(firings) > 0:
			t.push(previous, newTailRun(firings))
		default:
			t.clear(router.Position{})
		}
	}
	t.mu.Unlock()
	t.grown.beat()
}

// after returns up to limit records behind a position; none where the tail does not reach back to it, or not beyond it. The records are not the caller's.
func (t *tail) after(p router.Position, limit int) []router.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.Compare(t.before) < 0 || p.Compare(t.end()) >= 0 {
		return nil
	}
	i, _ := slices.BinarySearchFunc(t.runs, p, func(r tailRun, p router.Position) int {
		return cmp.Or(r.end().Compare(p), -1) // the first run that ends behind it
	})
	first := t.runs[i].records
	start, found := slices.BinarySearchFunc(first, p, func(r router.Record, p router.Position) int { return r.Position.Compare(p) })
	if found {
		start++
	}
	first = first[start:]
	records := first[:min(limit, len(first)):min(limit, len(first))]
	for _, run := range t.runs[i+1:] {
		if len(records) == limit {
			break
		}
		records = append(records, run.records[:min(limit-len(records), len(run.records))]...)
	}
	return records
}
