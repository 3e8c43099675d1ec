package router

import (
	"context"
	"errors"
	"time"
)

// OperationKind is what an operation does.
type OperationKind string

// The kinds.
const (
	RedriveOperation OperationKind = "redrive" // puts dead letters back into their queues
	PurgeOperation   OperationKind = "purge"   // removes dead letters
	ReplayOperation  OperationKind = "replay"  // delivers retained events again
)

// Operation is work that takes longer than a request. It is stored, and goes on whatever becomes of the replica that began it: replicas take turns.
type Operation struct {
	ID       string // "op_" and a ULID
	Kind     OperationKind
	Letters  DeadLetterSelection // redrive, purge
	Replay   ReplayRequest       // replay
	Suffix   string              // replay: of the entries that it makes
	Created  time.Time           // by Redis' clock; what becomes a dead letter, or is accepted, later is left alone
	Ended    time.Time           // zero: it is under way
	Error    string              // why it ended early
	Total    int64               // what there was to do when it began
	Progress map[string]int64    // what was done: redriven, purged, skipped; replayed, passed
}

// Running tells whether the operation is under way.
func (o Operation) Running() bool { return o.Ended.IsZero() }

// Done is how much was done, of Total.
func (o Operation) Done() (n int64) {
	for _, count := range o.Progress {
		n += count
	}
	return n
}

// The words of Progress.
const (
	ProgressRedriven = "redriven"
	ProgressPurged   = "purged"
	ProgressSkipped  = "skipped" // what can't be redriven: entries of the log, and deliveries of subscriptions that are gone
	ProgressReplayed = "replayed"
	ProgressPassed   = "passed" // events that a replay does not deliver
)

// DeadLetterSelection says which dead letters are meant: those that all of its fields fit.
type DeadLetterSelection struct {
	DeadLetterFilter
	IDs  []string // of deliveries; nil: whatever their id
	Rate Rate     // of a redrive; zero: as fast as it goes
}

// ErrBacklogFull says that a queue has no room for what an operation would add to it: the operation goes on later.
var ErrBacklogFull = errors.New("router: the queue holds half of what it may hold, and the rest is for new events")

// OperationStore keeps operations and does their work in steps. Safe for concurrent use.
type OperationStore interface {
	ReplayStore
	// BeginOperation stores an operation and returns it with ID, Created and Total set. One that does the same and is under way is returned in its place.
	BeginOperation(ctx context.Context, o Operation) (Operation, error)
	// Operation returns one, with its progress. NotFound: there is none, or it ended more than a week ago.
	Operation(ctx context.Context, id string) (Operation, error)
	// TakeTurn returns the operation that has waited longest, for this replica to work on. Nobody else gets it before the lease has run out; if that happens
	// anyway, work that is done twice is done once. ok is false where there is none.
	TakeTurn(ctx context.Context, lease time.Duration) (o Operation, ok bool, err error)
	// EndTurn says when an operation is to be worked on next.
	EndTurn(ctx context.Context, id string, after time.Duration) error
	// EndOperation ends one, with what its Error says.
	EndOperation(ctx context.Context, o Operation) error
	// MoveDeadLetters redrives or purges, as the operation says, up to most dead letters, and returns how many; more says that there may be others.
	// ErrBacklogFull: the next one's queue has no room for it now.
	MoveDeadLetters(ctx context.Context, o Operation, most int) (moved int, more bool, err error)
	// CountDeadLetters tells how many a selection selects.
	CountDeadLetters(ctx context.Context, selection DeadLetterSelection) (int64, error)
}
