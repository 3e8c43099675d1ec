package router

import (
	"slices"
	"sync"
)

const (
	recentEvents = 1 << 15
	recentBytes  = 32 << 20 // of data
)

// recent keeps the events of a partition that this replica routed last, so that sending them does not read them again. Safe for concurrent use.
type recent struct {
	mu     sync.Mutex
	runs   []recentRun // in log order
	events int
	bytes  int
}

// recentRun is what was routed at once. It never changes.
type recentRun struct {
	records []Record
	bytes   int
}

func (r recentRun) end() Position { return r.records[len(r.records)-1].Position }

// add takes records in log order, which must not change any more. They follow on the last ones, or begin with them, or the log is read anew.
func (r *recent) add(records []Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if n := len(r.runs); n > 0 && len(records) > 0 {
		if end := r.runs[n-1].end(); records[0].Position == end {
			records = records[1:]
		} else if records[0].Position.Compare(end) < 0 {
			clear(r.runs)
			r.runs, r.events, r.bytes = r.runs[:0], 0, 0
		}
	}
	if len(records) == 0 {
		return
	}
	run := recentRun{records: records}
	for i := range records {
		run.bytes += len(records[i].Event.fields().Data)
	}
	r.runs = append(r.runs, run)
	r.events += len(run.records)
	r.bytes += run.bytes
	for len(r.runs) > 1 && (r.events > recentEvents || r.bytes > recentBytes) {
		oldest := r.runs[0]
		r.events -= len(oldest.records)
		r.bytes -= oldest.bytes
		r.runs[0] = recentRun{}
		r.runs = r.runs[1:]
	}
}

// get returns the record at a position.
func (r *recent) get(p Position) (Record, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, _ := slices.BinarySearchFunc(r.runs, p, func(run recentRun, p Position) int { return run.end().Compare(p) })
	if i == len(r.runs) {
		return Record{}, false
	}
	return recordAt(r.runs[i].records, p)
}

// recordAt finds a position among records in log order. Mostly they stand side by side, so that where it has to be is known.
func recordAt(records []Record, p Position) (Record, bool) {
	if i := p.Seq - records[0].Position.Seq; p.MS == records[0].Position.MS && i < uint64(len(records)) && records[i].Position == p {
		return records[i], true
	}
	i, ok := slices.BinarySearchFunc(records, p, func(r Record, p Position) int { return r.Position.Compare(p) })
	if !ok {
		return Record{}, false
	}
	return records[i], true
}
