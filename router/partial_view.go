package router

import "slices"

// Held is an event that a partial holds, at a leaf.
type Held struct {
	Event   LeafEvent
	StaleAt int64 // the last millisecond at which it can be of use; 0: no time by itself makes it stale
}

// Held lists what a partial holds, in the order of the leaves, then of the log.
func (p *Partial) Held(c *CompiledTrigger) []Held {
	last := map[LeafEvent]int64{}
	for slot, o := range p.Slots {
		for _, e := range o.Refs {
			last[e] = max(last[e], c.staleAt(slot, o))
		}
	}
	for n, list := range p.Counted {
		for _, e := range list {
			last[LeafEvent{c.Nodes[n].Leaf, e.Position}] = c.goneAfter(e.Time, c.Nodes[n].Within)
		}
	}
	var held []Held
	for e, at := range last {
		if at == forever {
			at = 0
		}
		held = append(held, Held{e, at})
	}
	slices.SortFunc(held, func(a, b Held) int {
		if a.Event.Leaf != b.Event.Leaf {
			return a.Event.Leaf - b.Event.Leaf
		}
		return a.Event.Position.Compare(b.Event.Position)
	})
	return held
}

// Missing names the leaves that would have to be met for the partial to fire; of an at_least, those of all children that were not met. An absence that is armed
// misses nothing but time.
func (p *Partial) Missing(c *CompiledTrigger) (names []string) {
	for _, leaf := range p.missing(c, 0) {
		if name := c.Leaves[leaf].Name; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// missing gives the leaves that a node wants.
func (p *Partial) missing(c *CompiledTrigger, n int) (leaves []int) {
	node := &c.Nodes[n]
	wanted := node.Children
	switch node.Kind {
	case EventCondition:
		return []int{node.Leaf}
	case SequenceCondition:
		for i := range node.Children {
			if _, ok := p.Slots[Slot{n, i}]; ok {
				wanted = node.Children[i+1:]
			}
		}
	case AbsentCondition:
		if _, armed := p.Slots[Slot{n, armedSlot}]; armed {
			return nil
		}
		wanted = node.Children[len(node.Children)-1:]
	}
	for _, child := range wanted {
		_, met := p.Slots[Slot{n, c.Nodes[child].Child}]
		if !met || node.Kind != AllCondition && node.Kind != AtLeastCondition {
			leaves = append(leaves, p.missing(c, child)...)
		}
	}
	return leaves
}
