package router

import (
	"context"
	"time"
)

// Lease is a replica's right to route a partition. It saves work; no guarantee rests on it.
type Lease struct {
	Held   bool
	Left   time.Duration // until it runs out, whoever holds it
	Cursor Cursor        // how far the partition is applied
}

// Queue names a subscription's queue in a partition, with what the store has to know of its subscription.
type Queue struct {
	Subscription string
	Kind         SinkKind
	Enabled      bool
	MaxInFlight  int
	MaxBacklog   int // what it may hold in each partition; 0: any number
	Rate         Rate
	Breaker      Breaker
}

// Enqueue is what a batch adds to one queue: deliveries of the events at these positions, in log order.
type Enqueue struct {
	Queue   Queue
	Entries []Position
	Lanes   []string      // of each entry, where the queue is ordered: see Event.Lane. nil: it is not
	Take    int           // how many of them to lease at once, if the queue is empty and has room in flight
	Lease   time.Duration // for how long
}

// Misfit is an entry of the log, or one delivery of it, that can't be routed. It becomes a dead letter.
type Misfit struct {
	Position     Position
	Subscription string // empty: the entry itself
	Reason       string
}

// Batch is what one call of Apply does to a partition.
type Batch struct {
	Partition int
	From, To  Cursor
	Token     string // the definitions that it was matched under
	Events    int    // how many events it completes
	Enqueues  []Enqueue
	Work      TriggerWork
	Forwards  []Forward // what is forwarded before; Apply does not look at it
	Misfits   []Misfit
}

// ApplyStatus is what became of a batch.
type ApplyStatus uint8

// The outcomes of Apply.
const (
	// Fenced: the cursor is not what the batch starts from. Nothing was done.
	Fenced ApplyStatus = iota
	// Stale: the definitions have changed since the batch was matched. Nothing was done.
	Stale
	// Unusable: a key of a queue, a trigger or a partial holds something else. Nothing was done.
	Unusable
	// Heavy: the offers to triggers are too much for one call. Nothing was done.
	Heavy
	// Crowded: so many deliveries find no room in their queues that one call can't make dead letters of them. Nothing was done.
	Crowded
	// Done: all of the batch was applied.
	Done
)

// Unfit says whose key holds something else: one of these is the index of a queue in Enqueues, a trigger or a partial in Work, the others are -1.
type Unfit struct {
	Queue, Trigger, Partial int
}

// Applied is the answer of Apply.
type Applied struct {
	Status   ApplyStatus
	Cursor   Cursor    // Fenced: where the partition stands
	Unusable Unfit     // Unusable: what is
	Offers   int       // Heavy: how many of the batch's offers one call can make, at least 1
	Entries  int       // Crowded: how many deliveries one call can queue or make dead letters of
	Firings  int       // Done: how many triggers fired
	Settled  bool      // Done: all of the log was applied, so that no deadline before now had to wait for events
	Claimed  []Claimed // Done: what was leased at once
	Ready    []Queue   // Done: queues that were empty and got more work than that, or found no room for it
}

// PartitionStore is what routing a partition needs. Safe for concurrent use.
type PartitionStore interface {
	LogReader
	// TakeLease takes or renews the replica's lease on a partition. With orphan it takes one only from a replica that has let it run out,
	// not one that was given up.
	TakeLease(ctx context.Context, partition int, replica string, ttl time.Duration, orphan bool) (Lease, error)
	// CheckLog tells whether the log of the cursor's partition reaches as far as the cursor; if not, it was deleted or restored from an older copy.
	CheckLog(ctx context.Context, cursor Position) error
	// ReleaseLease gives it up, so that another replica takes over at once.
	ReleaseLease(ctx context.Context, partition int, replica string) error
	// Apply applies a batch: all of it, once, or nothing. Deliveries that a queue with a MaxBacklog has no room for, the newest, become dead letters. Of any number of calls with the same From, by any number of replicas, at
	// most one returns Done. After an error it is not known whether it was applied: TakeLease tells the cursor.
	Apply(ctx context.Context, b Batch) (Applied, error)
}

// Definitions are what has changed since a version.
type Definitions struct {
	Version         uint64
	Tokens          []string // of each partition, read before anything else here
	Subscriptions   []Subscription
	Deleted         []string
	Triggers        []Trigger
	DeletedTriggers []string
	Sources         []Source
	DeletedSources  []string
	Complete        bool // it is all there is, not only what changed
}

// DefinitionStore is what a snapshot is made from.
type DefinitionStore interface {
	// Definitions returns what has changed since a version, 0 for all. It completes changes that died before they were announced.
	Definitions(ctx context.Context, since uint64) (Definitions, error)
}

// Claim asks for deliveries of one queue.
type Claim struct {
	Queue Queue
	Max   int           // how many at most
	Lease time.Duration // how long they are ours
	Slack time.Duration // within which their attempts begin, where the queue has a rate
}

// Entry names a delivery within its subscription and partition: the position of its event.
type Entry struct {
	Position Position
	Suffix   string // tells several deliveries of one event apart
}

// Claimed is a delivery that this replica holds a lease on.
type Claimed struct {
	Queue   Queue
	Entry   Entry
	Attempt int    // counted from 1
	Lease   string // names the lease; Settle asks for it
	Name    string // the store's, of the entry
	Permit  string // the store's
	Date    string // the store's, where the queue has a rate
}

// Settlement is how one attempt ended.
type Settlement struct {
	Claimed   Claimed
	Verdict   Verdict
	After     time.Duration // Retrying: when it is due again
	Attempt   Attempt       // recorded unless the verdict is Delivered
	Unstarted bool          // nothing was attempted: the delivery goes back as it was
	Early     time.Duration // how much sooner the attempt began than its claim's Slack allows, where the queue has a rate
	Fault     bool          // the endpoint is to blame for the failure, which counts for the breaker
}

// Settled is the answer of Settle for one queue.
type Settled struct {
	Queue Queue
	Lost  int           // settlements that came too late: their lease had run out and somebody else has the delivery
	Work  bool          // the queue has work
	Next  time.Duration // when

	Failing time.Duration // for how long the endpoint has been failing, if the breaker is open
	Claimed []Claimed     // what was leased along with it
}

// QueueStore is what sending needs. Safe for concurrent use.
type QueueStore interface {
	Partitions() int
	// DueQueues returns up to limit subscriptions whose queues in a partition have to be looked at now, and when the next one is due
	// (negative: none is).
	DueQueues(ctx context.Context, partition int, kind SinkKind, limit int) (due []string, next time.Duration, err error)
	// ClaimDeliveries leases deliveries. A queue's deliveries in flight never exceed its MaxInFlight, over all replicas and
	// partitions. If none is attempted that was not begun within its claim's Slack from the call on, then no window of Rate.Per sees more attempts begin
	// than Rate.Limit, whatever becomes of the replicas. While the queue's breaker is open, one delivery at a time is leased, when it is time for one.
	// Nothing of a paused subscription is. Of the deliveries of one lane, one is leased at a time, in the order in which they were queued: the next one when
	// that one is delivered or dead. token is the partition's definitions.
	ClaimDeliveries(ctx context.Context, partition int, claims []Claim) (claimed []Claimed, token string, err error)
	// LoadEvents returns the events at these positions of one partition, from the log or from the copies that were kept.
	LoadEvents(ctx context.Context, partition int, positions []Position) ([]Record, error)
	// SettleDeliveries records outcomes; only the claim that still holds a delivery's lease can settle it. next asks for deliveries of the same queues: fresh ones
	// are leased in the same call, as ClaimDeliveries would, where nothing but that call has to be made for it, and others that are due do not wait for it.
	// token is the partition's definitions.
	SettleDeliveries(ctx context.Context, partition int, s []Settlement, next []Claim) (settled []Settled, token string, err error)
}

// Replicas is where replicas say that they live.
type Replicas interface {
	// Register says so, for ttl; leaving says good-bye. It returns how many live.
	Register(ctx context.Context, r ReplicaStatus, ttl time.Duration) (live int, err error)
	Leave(ctx context.Context, replica string) error
}

// Keeper does the housekeeping of a partition.
type Keeper interface {
	// Housekeep removes what retention has passed and what deleted subscriptions left, in bounded steps; more says that it did not
	// get to the end. queues are all queues there are.
	Housekeep(ctx context.Context, partition int) (more bool, err error)
}

// Answer is what a worker, or the router in its place, says about a delivery that was pulled.
type Answer struct {
	Receipt   Receipt
	Verdict   Verdict
	After     time.Duration // Retrying: when it can be pulled again
	Attempt   Attempt       // recorded unless the verdict is Delivered
	Unstarted bool          // nothing was attempted: the delivery goes back as it was
}

// PullStore is what workers that pull need. Safe for concurrent use.
type PullStore interface {
	// PullDeliveries leases deliveries of a partition to a worker, under receipts with this token, until a time. Of any number of concurrent calls
	// no two get the same delivery, and a receipt that was given before is good no more.
	PullDeliveries(ctx context.Context, partition int, c Claim, token, worker string) (receipts []Receipt, until time.Time, err error)
	// SettlePulled records answers, each about another delivery of a partition, where the receipt is good: the latest for its delivery, whose lease has
	// not run out. held says of which it was.
	SettlePulled(ctx context.Context, partition int, q Queue, answers []Answer) (held []bool, settled Settled, err error)
	// ExtendPulled makes leases of a partition end at another time, where the receipt is good.
	ExtendPulled(ctx context.Context, partition int, q Queue, receipts []Receipt, e PullExtension) (held []bool, until time.Time, err error)
	// ExpirePulled ends leases that have run out, of queues of a partition, in bounded steps: the attempt counts as expired, and after so many attempts as known
	// says for a subscription the delivery becomes a dead letter. It returns how many did, also beside an error about some of the
	// queues; more says that there are more leases. Paused queues are left alone.
	ExpirePulled(ctx context.Context, partition int, known func(subscription string) (q Queue, attempts int, ok bool)) (dead int, more bool, err error)
	// DuePulls tells which of these subscriptions have something to pull in a partition.
	DuePulls(ctx context.Context, partition int, subscriptions []string) (due []string, err error)
}
