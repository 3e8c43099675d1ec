package router

import (
	"context"
	"time"
)

// TriggerWork is what a batch does with triggers: the events that it offers to their partials, in the order of the log, or, in a batch that completes no
// event and leaves the cursor where it is, the partials whose deadlines it settles.
type TriggerWork struct {
	Triggers []WorkTrigger
	Partials []WorkPartial // in the order in which Offers name them first
	Events   []WorkEvent
	Offers   []Offer
}

// WorkTrigger is a trigger as a batch needs it.
type WorkTrigger struct {
	ID         string
	Generation uint64
	Enabled    bool    // false: deadlines that fall due are dropped, and nothing is offered
	Include    Include // what firings carry
	Program    string  // CompiledTrigger.Program
	Head       string  // CompiledTrigger.FiringHead
	KeyMissing int     // how many leaves were met, of events that the batch completes, that do not have the key
	Ignored    int     // how many events that the batch completes the trigger ignored, since it is disabled
}

// WorkPartial names a partial of one of the batch's triggers.
type WorkPartial struct {
	Trigger int     // index into Triggers
	Hash    KeyHash // of its key
	Key     string  // Key.Encode; may be empty where nothing is offered, only deadlines are settled
}

// WorkEvent is an event that is offered to partials.
type WorkEvent struct {
	Position Position
	Time     int64 // by the event clock, in milliseconds
	Event    Event
}

// Offer is an event for a partial, or a look at the partial's deadlines.
type Offer struct {
	Partial int  // index into Partials
	Event   int  // index into Events; -1: only deadlines
	Reset   bool // the event meets a leaf of reset_on
	Leaves  []MetLeaf
}

// MetLeaf is a leaf of when that an event meets.
type MetLeaf struct {
	Leaf     int
	Distinct [16]byte // stands for the value under the leaf's distinct, where it has one
}

// DueTrigger is a generation of a trigger of which the schedule says that some partials have deadlines that passed; there may turn out to be none.
type DueTrigger struct {
	Trigger    string
	Generation uint64
	Partials   []KeyHash
}

// Due is what is to be settled.
type Due struct {
	Triggers []DueTrigger
	More     bool          // there is more than this
	Next     time.Duration // how long until more falls due, negative: nothing will by itself
}

// Freed is what became of partials that are not wanted any more.
type Freed struct {
	Partials int
	More     bool // there are more of them
	Stale    bool // nothing was done: the definitions have changed
}

// PartialStore keeps what triggers have recorded; what is recorded, and what fires, is decided by Apply. Safe for concurrent use.
type PartialStore interface {
	// DuePartials returns up to limit partials of known triggers that have a deadline before a time, the zero time standing for now. Settling is Apply's.
	DuePartials(ctx context.Context, partition int, before time.Time, known func(trigger string, generation uint64) bool, limit int) (Due, error)
	// TriggerGenerations lists the generations of triggers that may have something recorded in a partition.
	TriggerGenerations(ctx context.Context, partition int) ([]DueTrigger, error)
	// FreeGeneration frees a page of the partials of a generation that has passed by the definitions that the token stands for, and with the last ones all
	// that there is of it. deleted says that the trigger is gone, too.
	FreeGeneration(ctx context.Context, partition int, token, trigger string, generation uint64, deleted bool) (Freed, error)
	// DropPartials frees some partials of a generation, and returns how many of them there were.
	DropPartials(ctx context.Context, partition int, trigger string, generation uint64, keys []KeyHash) (int, error)
}
