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

func (m *Model) tell(f LeafFate) { m.config.Heard(f) }
