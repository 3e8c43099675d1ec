package router

import "fmt"

// Fate says what became of an event at a leaf that it meets.
type Fate string

// The fates.
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
	Ignored       Fate = "ignored"        // the trigger was disabled, or its condition another one
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

// Reason says it in a sentence, for people.
func (f LeafFate) Reason(c *CompiledTrigger) string {
	by := "the event at " + f.By.String()
	if f.Deadline {
		by = "the deadline at " + FormatTime(f.By.AcceptedAt())
	}
	leaf := &c.Leaves[f.Event.Leaf]
	switch f.Fate {
	case Waiting:
		return "it is recorded, and waits for what is missing"
	case Fired:
		return "it fired with " + by
	case Replaced:
		return by + " took its place: a place holds the latest one"
	case OutsideWindow:
		return "what else was wanted did not come within its window; it was dropped at " + FormatTime(f.By.AcceptedAt())
	case OutOfOrder:
		return "the step before it was missing, or had come longer ago than the sequence's within"
	case Surplus:
		return "it was not needed: its condition was met, or waiting, without it"
	case Suppressed:
		return fmt.Sprintf("the condition was met, less than the cooldown of %s after the last firing", c.Cooldown)
	case Looped:
		return fmt.Sprintf("the condition was met, and the firing would have been derived more than %d times; it is a dead letter", MaxHops)
	case Seen:
		return "nothing waited for its absence"
	case Disarms:
		return "it came in time: what waited for its absence does not fire"
	case Disarmed:
		return by + " came in time, so nothing was absent"
	case Prevented:
		return "the event whose absence it would wait for had come within lookback before it"
	case Resets:
		return "it meets reset_on: what was recorded for its key was dropped"
	case WasReset:
		return by + " meets reset_on: what was recorded for the key was dropped"
	case KeyMissing:
		return "it has no string, number or boolean for the trigger's key at " + leaf.Key.wanted()
	case ValueMissing:
		return "it has no string, number or boolean at " + leaf.Distinct.String() + ", which distinct compares"
	case OverCap:
		return "the key, or the trigger, has as much recorded as it may"
	}
	return "the trigger was disabled"
}

// wanted lists the paths.
func (k KeyPaths) wanted() (s string) {
	for i, part := range k {
		if i > 0 {
			s += ", "
		}
		s += part.Path.String()
	}
	return s
}
