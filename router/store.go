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

// SubscriptionStore keeps the definitions of subscriptions. Once a call that changes one has returned, every event accepted after
// that is routed accordingly, by every replica. ref is an id ("sub_…") or a name. Safe for concurrent use.
type SubscriptionStore interface {
	// CreateSubscription stores a new one and returns it with ID, Version and times set. Conflict: the name is taken.
	CreateSubscription(ctx context.Context, s Subscription) (Subscription, error)
	// Subscription returns one. NotFound.
	Subscription(ctx context.Context, ref string) (Subscription, error)
	// ReplaceSubscription stores s in the place of the one with s.ID; s.Version must be the version that it was made from, or else
	// Precondition. It returns what is stored, with the new Version. NotFound, Conflict (a new name that is taken).
	ReplaceSubscription(ctx context.Context, s Subscription) (Subscription, error)
	// RotateSecret gives one a fresh signing secret, by Redis' clock; see Subscription.RotateSecret, and ReplaceSubscription for all else.
	RotateSecret(ctx context.Context, s Subscription, fresh string) (Subscription, error)
	// DeleteSubscription removes one if its version is still that, and returns how many deliveries are dropped with it. version 0 is any.
	DeleteSubscription(ctx context.Context, id string, version uint64) (dropped int64, err error)
	// Subscriptions returns up to limit of them in the order of their ids, after the given id ("" is the start).
	Subscriptions(ctx context.Context, after string, limit int) ([]Subscription, error)
	// SubscriptionStatus returns the state of the queues. NotFound.
	SubscriptionStatus(ctx context.Context, id string) (SubscriptionStatus, error)
}

// TriggerStore keeps the definitions of triggers, like SubscriptionStore those of subscriptions: once a call that changes one has returned, every event
// accepted after that is evaluated accordingly, by every replica. Safe for concurrent use.
type TriggerStore interface {
	// CreateTrigger stores a new one and returns it with ID, Version and times set. Conflict: the name is taken.
	CreateTrigger(ctx context.Context, t Trigger) (Trigger, error)
	// Trigger returns one. NotFound.
	Trigger(ctx context.Context, ref string) (Trigger, error)
	// ReplaceTrigger stores t in the place of the one with t.ID; t.Version must be the version that it was made from, or else Precondition.
	// NotFound, Conflict (a new name that is taken).
	ReplaceTrigger(ctx context.Context, t Trigger) (Trigger, error)
	// DeleteTrigger removes one if its version is still that, and returns for how many keys something was recorded, which is freed in the
	// background. version 0 is any.
	DeleteTrigger(ctx context.Context, id string, version uint64) (dropped int64, err error)
	// Triggers returns up to limit of them in the order of their ids, after the given id ("" is the start).
	Triggers(ctx context.Context, after string, limit int) ([]Trigger, error)
	// TriggerStatus tells what one has recorded and counted.
	TriggerStatus(ctx context.Context, t Trigger) (TriggerStatus, error)
}

// SourceStore keeps the definitions of sources, like SubscriptionStore those of subscriptions. A replica takes messages by a change once it has refreshed its
// definitions, which it does at least once a second. Safe for concurrent use.
type SourceStore interface {
	// CreateSource stores a new one and returns it with ID, Version and times set. Conflict: the name is taken.
	CreateSource(ctx context.Context, s Source) (Source, error)
	// Source returns one. NotFound.
	Source(ctx context.Context, ref string) (Source, error)
	// ReplaceSource stores s in the place of the one with s.ID; s.Version must be the version that it was made from, or else Precondition.
	// NotFound, Conflict (a new name that is taken).
	ReplaceSource(ctx context.Context, s Source) (Source, error)
	// DeleteSource removes one if its version is still that, with what it counted. version 0 is any.
	DeleteSource(ctx context.Context, id string, version uint64) error
	// Sources returns up to limit of them in the order of their ids, after the given id ("" is the start).
	Sources(ctx context.Context, after string, limit int) ([]Source, error)
	// SourceCounts tells what one has counted since it was created, over all replicas.
	SourceCounts(ctx context.Context, id string) (SourceCounts, error)
	// CountSource adds to that. Of a source that is gone nothing is kept.
	CountSource(ctx context.Context, id string, counts SourceCounts) error
}

// PartialBrowser shows what triggers have recorded in their present generations, and drops it. Safe for concurrent use.
type PartialBrowser interface {
	// Partials returns up to limit of a trigger's partials, those that change by themselves first, and where a next call goes on, "" at the end. Of their
	// events only id and source are set. What changes meanwhile may come up twice or not at all. Invalid: the cursor is not one of these.
	Partials(ctx context.Context, c *CompiledTrigger, cursor string, limit int) (partials []Partial, next string, err error)
	// Partial returns that of a key; ok is false where there is none.
	Partial(ctx context.Context, c *CompiledTrigger, key KeyHash) (p Partial, ok bool, err error)
	// DropKeys drops the partials of some keys, counts them, and returns how many of them there were.
	DropKeys(ctx context.Context, t Trigger, keys []KeyHash) (int64, error)
	// DropAllKeys drops as many partials as the trigger has when it begins, in bounded steps. After an error some may be gone.
	DropAllKeys(ctx context.Context, t Trigger) (int64, error)
}

// TriggerStatus is what a trigger has recorded, in its present generation, and what it has counted since it was created.
type TriggerStatus struct {
	Partials   int64 // keys for which something is recorded
	Firings    int64
	Suppressed int64 // firings that the cooldown held back
	Dropped    int64 // partials dropped by a change, and deadlines that fell due while it was disabled
	KeyMissing int64 // leaves met by events without the key
	OverCap    int64 // events that were not recorded, for a limit
	Ignored    int64 // events that met it while it was disabled
	Loops      int64 // firings that became dead letters, for too many hops
}

// SubscriptionStatus is the state of a subscription's queues, over all partitions.
type SubscriptionStatus struct {
	Backlog       int64     // deliveries waiting or under way
	InFlight      int64     // of those, under way
	Retrying      int64     // of those, waiting for another attempt
	Dead          int64     // dead letters made since the subscription was created
	Delivered     int64     // deliveries made since then
	OldestPending time.Time // accept time of the oldest event that waits; zero: none
	LastSuccess   time.Time
	LastFailure   time.Time
	LastError     string // of the last failure
	NotQueued     int64  // events that matched while the subscription was disabled
	OverCap       int64  // dead letters made because the backlog was full
	Paused        *Pause // nil: it is not
	Breaker       BreakerStatus
	HandledBy     []string // handler sinks: the replicas that have the handler; empty: nobody handles it
}

// Status is the state of a deployment.
type Status struct {
	Format     int // version of the stored format
	Replicas   []ReplicaStatus
	Partitions []PartitionStatus
	Memory     MemoryStatus
	Dead       int64 // dead letters kept
	Expired    int64 // dead letters that retention has removed
}

// ReplicaStatus is one live replica.
type ReplicaStatus struct {
	ID       string
	Version  string
	Started  time.Time
	Seen     time.Time
	Handlers []string // names of the Go handlers it has
}

// PartitionStatus is one partition's routing.
type PartitionStatus struct {
	Partition int
	Owner     string // id of the replica that routes it; empty: none at this moment
	Cursor    Position
	End       Position
	Lag       int64 // events accepted and not yet routed
	LagAge    time.Duration
	Events    int64 // in the log
	Oldest    Position
	Backlog   int64            // subscriptions with deliveries waiting
	Alarm     string           // what stops this partition, empty when all is well
	Forwarded *ForwardedStatus // nil: there is only one partition
}

// ForwardedStatus is what was forwarded to a partition for its triggers and is not applied: until all partitions have come so far.
type ForwardedStatus struct {
	Waiting  int64         // events
	Age      time.Duration // since the oldest of them was accepted
	WaitsFor []int         // the partitions that are not known to have come so far
}

// MemoryStatus is Redis' memory, of the fullest node.
type MemoryStatus struct {
	Used    int64
	Max     int64 // 0: no limit is set
	PerHour int64 // growth, over what this replica has seen
	Full    bool  // publishing is refused
}

// DeadLetter is a delivery that was given up, or an entry of the log that can't be routed.
type DeadLetter struct {
	ID           string // the delivery's id
	Subscription string // id; empty for an entry of the log that can't be routed
	Position     Position
	At           time.Time
	Reason       string
	Event        Event
	Raw          string // where the entry can't be decoded
	Attempts     []Attempt
}

// Attempt is one try at a delivery.
type Attempt struct {
	At         time.Time `json:"at"`
	Duration   Duration  `json:"duration"`
	Outcome    Outcome   `json:"outcome"`
	StatusCode int       `json:"status_code,omitempty"`
	Error      string    `json:"error,omitempty"`
	Response   string    `json:"response,omitempty"` // the first 4 KiB of a failure's response

	RetryAfter time.Duration `json:"-"` // the wait that the endpoint asked for; zero: none. It is not recorded
}

// DeadLetterFilter selects dead letters. Zero fields select all.
type DeadLetterFilter struct {
	Subscription string // id
	Reason       string
	From, To     time.Time // when it became one; To is exclusive
}

// DeadLetterStore reads the dead letters.
type DeadLetterStore interface {
	// DeadLetters returns up to limit of them, newest first within a partition, and where to go on ("" at the end). A call looks at a bounded number, so a
	// page may be empty and have a next.
	DeadLetters(ctx context.Context, filter DeadLetterFilter, cursor string, limit int) (letters []DeadLetter, next string, err error)
	// DeadLetter returns the one of a delivery. NotFound.
	DeadLetter(ctx context.Context, id string) (DeadLetter, error)
}

// StatusStore tells the state of a deployment.
type StatusStore interface {
	Status(ctx context.Context) (Status, error)
}
