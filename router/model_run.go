package router

import "slices"

// step is what a partial is offered: an event, or a deadline.
type step struct {
	time     int64 // milliseconds, by the trigger's clock
	position Position
	deadline bool
	leaves   []MetLeaf // of when, that the event meets
}

// modelRun offers one step to one partial.
type modelRun struct {
	model   *Model
	partial *Partial
	step    step
	losses  []LeafFate
	fired   string // the id of what fired
	joined  []LeafEvent
}

// offer offers the step to a node: to all its children in order, then the node is checked once (3). Returns the node's occurrence, nil: it was not
// completed.
func (r *modelRun) offer(n int) *Occurrence {
	node := &r.model.trigger.Nodes[n]
	if node.Kind == EventCondition {
		return r.event(n, node)
	}
	met := make([]*Occurrence, len(node.Children))
	for i, child := range node.Children {
		met[i] = r.offer(child)
	}
	switch node.Kind {
	case AnyCondition:
		return r.any(met)
	case SequenceCondition:
		return r.sequence(n, node, met)
	case AbsentCondition:
		return r.absent(n, node, met)
	}
	return r.atLeast(n, node, met)
}

// event counts the events that meet a leaf, within a sliding window. With distinct, one of the same value is replaced.
func (r *modelRun) event(n int, node *Node) *Occurrence {
	i := slices.IndexFunc(r.step.leaves, func(l MetLeaf) bool { return l.Leaf == node.Leaf })
	if i < 0 {
		return nil
	}
	if node.Count == 1 {
		return r.occurrence([]LeafEvent{{node.Leaf, r.step.position}})
	}
	counted := CountedEvent{Time: r.step.time, Position: r.step.position, Distinct: r.step.leaves[i].Distinct}
	list := slices.Clone(r.partial.Counted[n])
	if r.model.trigger.Leaves[node.Leaf].Distinct != nil {
		list = r.without(list, node, Replaced, func(e CountedEvent) bool { return e.Distinct == counted.Distinct })
	}
	at := len(list)
	for at > 0 && list[at-1].Time > counted.Time {
		at--
	}
	list = slices.Insert(list, at, counted)
	newest := list[len(list)-1].Time
	list = r.without(list, node, OutsideWindow, func(e CountedEvent) bool { return newest-e.Time > node.Within.Std().Milliseconds() })
	if len(list) < node.Count {
		r.partial.Counted[n] = list
		return nil
	}
	delete(r.partial.Counted, n)
	refs := make([]LeafEvent, len(list))
	for i, e := range list {
		refs[i] = LeafEvent{node.Leaf, e.Position}
	}
	slices.SortFunc(refs, func(a, b LeafEvent) int { return a.Position.compareAll(b.Position) })
	return r.occurrence(refs)
}

// without takes events out of a list that a leaf counts.
func (r *modelRun) without(list []CountedEvent, node *Node, outcome Fate, out func(CountedEvent) bool) []CountedEvent {
	return slices.DeleteFunc(list, func(e CountedEvent) bool {
		if !out(e) {
			return false
		}
		r.lose([]LeafEvent{{node.Leaf, e.Position}}, outcome)
		return true
	})
}

// any passes on the first of the children that are met.
func (r *modelRun) any(met []*Occurrence) (first *Occurrence) {
	for _, o := range met {
		if first == nil {
			first = o
		} else if o != nil {
			r.lose(o.Refs, Surplus)
		}
	}
	return first
}

// atLeast wants an occurrence of enough children, of all of them in an all. A slot has the latest one (1).
func (r *modelRun) atLeast(n int, node *Node, met []*Occurrence) *Occurrence {
	for i, o := range met {
		if o != nil {
			r.fill(Slot{n, i}, *o, Replaced)
		}
	}
	filled := r.filled(n, node)
	newest := int64(-forever)
	for _, o := range filled {
		newest = max(newest, o.Time)
	}
	for i, o := range filled {
		if node.Within > 0 && newest-o.Time > node.Within.Std().Milliseconds() { // 2
			r.empty(Slot{n, i}, OutsideWindow)
		}
	}
	if filled = r.filled(n, node); len(filled) < node.Need {
		return nil
	}
	return r.consume(n, node, filled)
}

// filled are a node's occurrences, by child.
func (r *modelRun) filled(n int, node *Node) map[int]Occurrence {
	filled := map[int]Occurrence{}
	for i := range node.slots() {
		if o, ok := r.partial.Slots[Slot{n, i}]; ok {
			filled[i] = o
		}
	}
	return filled
}

// consume takes all of a node's occurrences as one of its own (3, 6).
func (r *modelRun) consume(n int, node *Node, filled map[int]Occurrence) *Occurrence {
	var refs []LeafEvent
	for i := range node.Children {
		refs = append(refs, filled[i].Refs...)
		delete(r.partial.Slots, Slot{n, i})
	}
	return r.occurrence(refs)
}

// sequence extends chains of the children's occurrences, the last step first so that the step extends each chain once (4). Of each length the chain that
// begins last is kept (5).
func (r *modelRun) sequence(n int, node *Node, met []*Occurrence) *Occurrence {
	var whole *Occurrence
	last := len(met) - 1
	for i := last; i >= 0; i-- {
		if met[i] == nil {
			continue
		}
		chain, fits := *met[i], i == 0
		if before, ok := r.partial.Slots[Slot{n, i - 1}]; ok && i > 0 {
			fits = node.Within == 0 || r.step.time-before.Time <= node.Within.Std().Milliseconds()
			chain = Occurrence{Time: before.Time, Position: before.Position, Refs: slices.Concat(before.Refs, met[i].Refs)}
		}
		switch {
		case whole != nil:
			r.lose(met[i].Refs, Surplus)
		case !fits:
			r.lose(met[i].Refs, OutOfOrder)
		case i == last:
			whole = r.occurrence(chain.Refs)
		default:
			r.fill(Slot{n, i}, chain, Replaced)
		}
	}
	for i := range met {
		if whole != nil {
			r.empty(Slot{n, i}, Surplus)
		}
	}
	return whole
}

// absent waits for what does not come (7).
func (r *modelRun) absent(n int, node *Node, met []*Occurrence) *Occurrence {
	seen, armed := Slot{n, seenSlot}, Slot{n, armedSlot}
	deadline := Occurrence{Time: r.step.time + node.Within.Std().Milliseconds(), Position: r.step.position}
	event := met[0]
	if len(met) == 1 { // without after, every event starts the wait anew
		if event != nil {
			deadline.Refs = event.Refs
			r.fill(armed, deadline, Replaced)
		}
	} else {
		if event != nil {
			r.come(node, seen, armed, event)
		}
		if after := met[1]; after != nil {
			deadline.Refs = after.Refs
			r.arm(node, seen, armed, deadline)
		}
	}
	if o, ok := r.partial.Slots[armed]; ok && r.step.deadline && o.Time == r.step.time {
		delete(r.partial.Slots, armed)
		return r.occurrence(o.Refs)
	}
	return nil
}

// come disarms an absent whose event came.
func (r *modelRun) come(node *Node, seen, armed Slot, event *Occurrence) {
	outcome := Seen
	if _, ok := r.partial.Slots[armed]; ok {
		outcome = Disarms
	}
	r.empty(armed, Disarmed)
	r.lose(event.Refs, outcome)
	if node.Lookback > 0 {
		r.partial.Slots[seen] = Occurrence{Time: event.Time, Position: event.Position}
	}
}

// arm begins the wait of an absent with after, unless it waits already, or the event came shortly before.
func (r *modelRun) arm(node *Node, seen, armed Slot, deadline Occurrence) {
	if _, ok := r.partial.Slots[armed]; ok {
		r.lose(deadline.Refs, Surplus)
		return
	}
	last, ok := r.partial.Slots[seen]
	if ok && last.Position.compareAll(r.step.position) < 0 && r.step.time-last.Time <= node.Lookback.Std().Milliseconds() {
		delete(r.partial.Slots, seen)
		r.lose(deadline.Refs, Prevented)
		return
	}
	r.partial.Slots[armed] = deadline
}

// occurrence is one that this step completes (6).
func (r *modelRun) occurrence(refs []LeafEvent) *Occurrence {
	return &Occurrence{Time: r.step.time, Position: r.step.position, Refs: refs}
}

func (r *modelRun) fill(s Slot, o Occurrence, outcome Fate) {
	r.empty(s, outcome)
	r.partial.Slots[s] = o
}

func (r *modelRun) empty(s Slot, outcome Fate) {
	r.lose(r.partial.Slots[s].Refs, outcome)
	delete(r.partial.Slots, s)
}

// conclude makes a firing of the root's occurrence, unless the key fired shortly before (10) or it is one of a chain that goes round (15).
func (r *modelRun) conclude(o *Occurrence) {
	if o == nil {
		return
	}
	p, m := r.partial, r.model
	since := o.Time - p.Last
	if p.Last != 0 && since >= 0 && since < m.trigger.Cooldown.Std().Milliseconds() {
		m.status.Suppressed++
		r.lose(o.Refs, Suppressed)
		return
	}
	if m.trigger.Cooldown > 0 {
		p.Last = o.Time
	}
	f := r.firing(o)
	r.joined = o.Refs
	if f.hops > MaxHops {
		m.status.Loops++
		r.lose(o.Refs, Looped)
		return
	}
	m.status.Firings++
	r.fired = f.id()
	m.firings = append(m.firings, Firing{stored: f, Key: p.Key})
}

// firing is what the trigger fires with an occurrence (13, 14).
func (r *modelRun) firing(o *Occurrence) *firing {
	t, p := r.model.trigger, r.partial
	f := &firing{
		firingHead: t.firingHead(r.model.config.Partitions), hash: p.Hash.String(), values: p.Key.values,
		time: timeAt(o.Time), position: o.Position, deadline: r.step.deadline, form: 'e',
	}
	bytes, counted := 0, map[Position]bool{}
	for _, ref := range o.Refs {
		e := p.Events[ref.Position]
		f.joined = append(f.joined, joinedEvent{leaf: t.Leaves[ref.Leaf].Name, position: ref.Position, event: e, id: e.ID(), source: e.Source()})
		f.hops = max(f.hops, e.Hops()+1)
		if !counted[ref.Position] {
			bytes, counted[ref.Position] = bytes+e.EncodedLen(), true
		}
	}
	switch {
	case t.Emit.Include == IncludeRefs:
		f.form = 'r'
	case bytes > MaxFiringBytes:
		f.form = 's'
	}
	return f
}

// lose notes what became of events in one place of the partial; they may still be of use in another.
func (r *modelRun) lose(refs []LeafEvent, outcome Fate) {
	for _, ref := range refs {
		r.losses = append(r.losses, LeafFate{Event: ref, Key: r.partial.Key, Fate: outcome, By: r.step.position, Deadline: r.step.deadline})
	}
}

// report tells what became of events, once the step is done.
func (r *modelRun) report() {
	held := map[LeafEvent]bool{}
	for _, ref := range r.partial.refs(r.model.trigger) {
		held[ref] = true
	}
	if r.fired != "" {
		for _, ref := range r.joined {
			held[ref] = true
			r.model.tell(LeafFate{Event: ref, Key: r.partial.Key, Fate: Fired, By: r.step.position, Deadline: r.step.deadline, Firing: r.fired})
		}
	}
	for _, loss := range r.losses {
		if !held[loss.Event] {
			held[loss.Event] = true
			r.model.tell(loss)
		}
	}
	for _, leaf := range r.step.leaves {
		if ref := (LeafEvent{leaf.Leaf, r.step.position}); !slices.ContainsFunc(r.losses, func(f LeafFate) bool { return f.Event == ref }) && !slices.Contains(r.joined, ref) {
			r.model.tell(LeafFate{Event: ref, Key: r.partial.Key, Fate: Waiting, By: r.step.position})
		}
	}
}
