package router

import (
	"maps"
	"slices"
)

// LeafEvent is an event at a leaf of a trigger's condition.
type LeafEvent struct {
	Leaf     int
	Position Position
}

// Occurrence says that a condition was met once.
type Occurrence struct {
	Time     int64       // milliseconds, by the trigger's clock
	Position Position    // of the event that completed it
	Refs     []LeafEvent // the events that met it, in the order of the leaves, then of the log; never changed in place
}

// CountedEvent is an event that a leaf counts.
type CountedEvent struct {
	Time     int64 // as that of an Occurrence
	Position Position
	Distinct [16]byte // stands for the value under the leaf's distinct
}

// Slot names a place of an inner node that holds an occurrence:
//
//   - all, at_least: Child's latest one;
//   - sequence: the steps up to Child, in this order. Time and Position are those of the first;
//   - absent: under seenSlot the event that came last, which has no refs since it is never joined; under armedSlot what armed it, and Time is the deadline.
type Slot struct {
	Node  int
	Child int
}

// The slots of an absent.
const (
	seenSlot  = 0
	armedSlot = 1
)

// Partial is what is recorded for one trigger and key and has not fired.
type Partial struct {
	Hash    KeyHash
	Key     Key
	Slots   map[Slot]Occurrence
	Counted map[int][]CountedEvent // by the number of a leaf's node, in the order of time, then of the log
	Last    int64                  // when it fired last, while a cooldown may want to know; 0: it did not
	Events  map[Position]Event     // all that the above refers to
}

func newPartial(key Key) *Partial {
	return &Partial{Hash: key.Hash(), Key: key, Slots: map[Slot]Occurrence{}, Counted: map[int][]CountedEvent{}, Events: map[Position]Event{}}
}

func (p *Partial) clone() *Partial {
	c := *p
	c.Slots, c.Counted, c.Events = maps.Clone(p.Slots), maps.Clone(p.Counted), maps.Clone(p.Events)
	return &c
}

// empty tells that nothing is recorded.
func (p *Partial) empty() bool { return len(p.Slots) == 0 && len(p.Counted) == 0 && p.Last == 0 }

// clear forgets all but the last firing, and returns what was recorded.
func (p *Partial) clear(c *CompiledTrigger) []LeafEvent {
	refs := p.refs(c)
	clear(p.Slots)
	clear(p.Counted)
	return refs
}

// refs are all that is recorded, in the order of nodes; some may come up repeatedly.
func (p *Partial) refs(c *CompiledTrigger) (refs []LeafEvent) {
	for n := range c.Nodes {
		node := &c.Nodes[n]
		for _, e := range p.Counted[n] {
			refs = append(refs, LeafEvent{node.Leaf, e.Position})
		}
		for child := range node.slots() {
			refs = append(refs, p.Slots[Slot{n, child}].Refs...)
		}
	}
	return refs
}

// slots is how many slots the node has.
func (n *Node) slots() int {
	switch n.Kind {
	case AllCondition, AtLeastCondition, SequenceCondition:
		return len(n.Children)
	case AbsentCondition:
		return 2
	}
	return 0
}

// release forgets the events that nothing refers to.
func (p *Partial) release(c *CompiledTrigger) {
	used := map[Position]bool{}
	for _, r := range p.refs(c) {
		used[r.Position] = true
	}
	maps.DeleteFunc(p.Events, func(at Position, _ Event) bool { return !used[at] })
}

// bytes is the size of the recorded events, encoded.
func (p *Partial) bytes() (n int) {
	for _, e := range p.Events {
		n += e.EncodedLen()
	}
	return n
}

// Deadline is when the first of its absences falls due, in milliseconds.
func (p *Partial) Deadline(c *CompiledTrigger) (at int64, ok bool) {
	for n := range c.Nodes {
		armed, is := p.Slots[Slot{n, armedSlot}]
		if c.Nodes[n].Kind == AbsentCondition && is && (!ok || armed.Time < at) {
			at, ok = armed.Time, true
		}
	}
	return at, ok
}

// forever is later than everything.
const forever = 999_999_999_999_999

// staleAt is the last millisecond at which what a slot holds can be of use.
func (c *CompiledTrigger) staleAt(s Slot, o Occurrence) int64 {
	node := &c.Nodes[s.Node]
	window := node.Within
	if node.Kind == AbsentCondition {
		if s.Child == armedSlot {
			return forever
		}
		window = node.Lookback
	}
	return c.goneAfter(o.Time, window)
}

// goneAfter is the last millisecond at which what happened at a time is within a window, by the accept clock; by the event clock anything may still come.
func (c *CompiledTrigger) goneAfter(t int64, window Duration) int64 {
	if c.Clock == EventClock || window == 0 {
		return forever
	}
	return t + window.Std().Milliseconds()
}

// useful is the last millisecond at which anything of the partial can be of use.
func (p *Partial) useful(c *CompiledTrigger) int64 {
	last := int64(-1)
	for slot, o := range p.Slots {
		last = max(last, c.staleAt(slot, o))
	}
	for n, list := range p.Counted {
		last = max(last, c.goneAfter(list[len(list)-1].Time, c.Nodes[n].Within))
	}
	if p.Last != 0 {
		last = max(last, c.goneAfter(p.Last, c.Cooldown)-1)
	}
	return last
}

// At is what of the partial can still be of use at a time, in milliseconds; ok is false where nothing can. What is of no use any more may be stored
// for a while, so this is what two partials are compared by.
func (p *Partial) At(c *CompiledTrigger, now int64) (live Partial, ok bool) {
	live = *p.clone()
	maps.DeleteFunc(live.Slots, func(s Slot, o Occurrence) bool { return c.staleAt(s, o) < now })
	for n, list := range live.Counted {
		list = slices.DeleteFunc(slices.Clone(list), func(e CountedEvent) bool { return c.goneAfter(e.Time, c.Nodes[n].Within) < now })
		if live.Counted[n] = list; len(list) == 0 {
			delete(live.Counted, n)
		}
	}
	if live.Last != 0 && c.goneAfter(live.Last, c.Cooldown)-1 < now {
		live.Last = 0
	}
	live.release(c)
	return live, !live.empty()
}
