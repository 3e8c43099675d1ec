package router

import (
	"context"
	"time"
)

// Cursor is how far a partition's log has been applied: everything at or before Position, and where Target is not
// empty, of the event at Position only the targets up to and including Target (targets are ordered by subscription id).
type Cursor struct {
	Position Position
	Target   string
}

// Record is an event of the log with its position. Err is set, and Event is not, where the entry can't be decoded.
type Record struct {
	Position Position
	Event    Event
	Raw      string // the stored entry where Err is set
	Err      error
}

// Appended is what became of one published event.
type Appended struct {
	Position  Position
	Duplicate bool  // it was stored before; Position is where
	Err       error // an *Error: id-reused, full, unavailable, …; the event was not, or may not have been, stored
}

// Appender stores events.
type Appender interface {
	// Append stores each event in the log, once: an event with the same source, id and partition key within the dedupe
	// window is a duplicate. It returns one Appended per event, in their order, after Redis has confirmed them.
	// Calling it again with the same events is always safe. Safe for concurrent use; concurrent calls share round trips.
	Append(ctx context.Context, events []Event) []Appended
}

// LogReader reads the log.
type LogReader interface {
	// Partitions is the number of partitions, fixed for the life of a deployment.
	Partitions() int
	// ReadLog returns up to max records after the position, oldest first. With wait > 0 and nothing to read it waits that long
	// for the first one, and then returns an empty slice. Cancelling ctx does not cut a wait short, Close of the store does.
	ReadLog(ctx context.Context, after Position, max int, wait time.Duration) ([]Record, error)
	// ReadLogReverse returns up to max records at or before the position, newest first.
	ReadLogReverse(ctx context.Context, from Position, max int) ([]Record, error)
	// LogEnd returns the position of the last event of a partition, zero for an empty one.
	LogEnd(ctx context.Context, partition int) (Position, error)
}

// Verdict is how one delivery attempt ended for the queue.
type Verdict uint8

// The verdicts.
const (
	Delivered Verdict = iota // done
	Retrying                 // again after Delay
	Dead                     // into the dead letters
)
