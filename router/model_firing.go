package router

import "time"

// Firing is what a Model fires.
type Firing struct {
	Key    Key
	stored *firing
}

// Joined is an event of a Firing, at the leaf that it met.
type Joined struct {
	Leaf     string
	Position Position
	Event    Event
}

// ID is the firing's id: the same for each firing of the same occurrence.
func (f Firing) ID() string { return f.stored.id() }

// Time is when the condition was met, by the trigger's clock.
func (f Firing) Time() time.Time { return f.stored.time }

// Joined are the events that met the condition, in the order of the leaves, then of the log.
func (f Firing) Joined() (list []Joined) {
	for _, j := range f.stored.joined {
		list = append(list, Joined{Leaf: j.leaf, Position: j.position, Event: j.event})
	}
	return list
}

// Event is the event that is appended to the log. The error is the same as of an event that can't be stored.
func (f Firing) Event() (Event, error) { return f.stored.asEvent() }

// Fate says what became of an event at a leaf that it meets.
type Fate string

// The outcomes.
const (
	Waiting       Fate = "waiting"        // it is recorded
	Fired         Fate = "fired"          // a firing has joined it
	Replaced      Fate = "replaced"       // another event came for the same place
	OutsideWindow Fate = "outside-window" // what else was wanted did not come in time
	OutOfOrder    Fate = "out-of-order"   // the step of the sequence before it was missing, or too long ago
	Surplus       Fate = "surplus"        // it was not needed: the node was met, or armed, by another event
	Suppressed    Fate = "suppressed"     // the condition was met, within the cooldown
	Looped        Fate = "loop"           // the condition was met, and the firing would have been derived too often
	Seen          Fate = "seen"           // an absent waits for it, and was not armed
	Disarms       Fate = "disarms"        // an absent that was armed waited for it
	Disarmed      Fate = "disarmed"       // the event that an absent waited for came
	Prevented     Fate = "prevented"      // the event that an absent waits for had come shortly before
	Resets        Fate = "resets"         // it drops what is recorded for its key
	WasReset      Fate = "reset"          // such an event came
	KeyMissing    Fate = "key-missing"    // it has no value for the trigger's key
	ValueMissing  Fate = "value-missing"  // it has no value under distinct
	OverCap       Fate = "over-cap"       // there was no room for it
	Ignored       Fate = "ignored"        // the trigger was disabled
)

// LeafFate is what became of an event at a leaf. A later one of the same LeafEvent takes its place.
type LeafFate struct {
	Event    LeafEvent
	Key      Key
	Fate     Fate
	By       Position // of the event that made it so
	Deadline bool     // it was no event, but that so much time had passed; By has the millisecond
	Firing   string   // the id of the firing that joined it
}

func (m *Model) tell(f LeafFate) { m.config.Heard(f) }
