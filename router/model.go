package router

import (
	"bytes"
	"maps"
	"slices"
	"time"
)

// Model says what a trigger means: a single-threaded evaluator without storage, written to be read. What the scripts do with a log is what the Model does with
// it, event by event: the same firings, and the same partials left over. The numbers in comments are those of the rules in docs/triggers.md.
//
// It answers dry runs and backtests, and explains what became of an event. It is not safe for concurrent use.
type Model struct {
	trigger  *CompiledTrigger
	config   ModelConfig
	partials map[KeyHash]*Partial
	status   TriggerStatus
	firings  []Firing
	enabled  bool
}

// ModelConfig says under which limits a Model works, and who hears of what it does.
type ModelConfig struct {
	MaxPartials     int // how many there may be. Defaults to 1,000,000.
	MaxPartialBytes int // how many bytes of events each may hold. Defaults to 4 MiB.
	Partitions      int // how many the deployment has, by which firings' ids differ. Defaults to 1.
	// Heard is told what becomes of each event at each leaf that it meets, at once and whenever it changes. Nobody by default.
	Heard func(LeafFate)
	// Only leaves out all keys but these. Defaults to none being left out.
	Only []KeyHash
}

// NewModel returns a Model of a trigger that has nothing recorded.
func NewModel(c *CompiledTrigger, config ModelConfig) *Model {
	if config.MaxPartials == 0 {
		config.MaxPartials = 1_000_000
	}
	if config.MaxPartialBytes == 0 {
		config.MaxPartialBytes = 4 << 20
	}
	config.Partitions = max(config.Partitions, 1)
	if config.Heard == nil {
		config.Heard = func(LeafFate) {}
	}
	return &Model{trigger: c, config: config, partials: map[KeyHash]*Partial{}, enabled: c.Enabled}
}

// Enable enables or disables the trigger (12).
func (m *Model) Enable(enabled bool) { m.enabled = enabled }

// Offer applies the next event of the log, of all partitions in the order of accept times, numbers and partitions, and returns what fires with it.
func (m *Model) Offer(r Record) []Firing {
	m.firings = nil
	for _, o := range m.offersOf(r) {
		if len(m.config.Only) == 0 || slices.Contains(m.config.Only, o.Key.Hash()) {
			m.offer(r, o)
		}
	}
	return m.firings
}

// Advance settles the deadlines before a time, once all events that were accepted before it have been offered, and returns what fires.
func (m *Model) Advance(before time.Time) []Firing {
	m.firings = nil
	for _, hash := range slices.SortedFunc(maps.Keys(m.partials), func(a, b KeyHash) int { return bytes.Compare(a[:], b[:]) }) {
		m.settle(m.partials[hash], before.UnixMilli())
		m.store(m.partials[hash])
	}
	return m.firings
}

// Partials are those of which something can still be of use at a time, in the order of their hashes.
func (m *Model) Partials(at time.Time) (list []Partial) {
	for _, p := range m.partials {
		if live, ok := p.At(m.trigger, at.UnixMilli()); ok {
			list = append(list, live)
		}
	}
	slices.SortFunc(list, func(a, b Partial) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	return list
}

// Status is what has been counted.
func (m *Model) Status() TriggerStatus {
	s := m.status
	s.Partials = int64(len(m.partials))
	return s
}

// offersOf finds the keys that an event has at the leaves that it meets (8).
func (m *Model) offersOf(r Record) []KeyOffer {
	view := NewView(r.Event)
	defer view.Release()
	met := m.trigger.met(view)
	if len(met) > 0 && !m.enabled {
		m.status.Ignored++
		for _, leaf := range met {
			m.tell(LeafFate{Event: LeafEvent{leaf, r.Position}, Fate: Ignored})
		}
		return nil
	}
	return m.trigger.keyOffers(&valueReader{event: r.Event}, met, func(leaf int, fate Fate) {
		if fate == KeyMissing {
			m.status.KeyMissing++
		}
		m.tell(LeafFate{Event: LeafEvent{leaf, r.Position}, Fate: fate})
	})
}

// offer offers an event to the partial of a key: first what falls due before it, then what resets it (11), then the condition.
func (m *Model) offer(r Record, o KeyOffer) {
	p := m.partials[o.Key.Hash()]
	if p == nil {
		p = newPartial(o.Key)
	}
	m.settle(p, r.Position.MS)
	s := step{time: r.Position.MS, position: r.Position, leaves: o.Leaves}
	if m.trigger.Clock == EventClock { // 9
		s.time = r.ClockTime()
	}
	before := *m
	tried := p.clone()
	run := modelRun{model: m, partial: tried, step: s}
	if len(o.Resets) > 0 {
		run.lose(tried.clear(m.trigger), WasReset)
		for _, leaf := range o.Resets {
			m.tell(LeafFate{Event: LeafEvent{leaf, r.Position}, Key: o.Key, Fate: Resets})
		}
	}
	if len(o.Leaves) > 0 {
		tried.Events[r.Position] = r.Event
		run.conclude(run.offer(0))
	}
	tried.release(m.trigger)
	_, known := m.partials[p.Hash]
	if tried.bytes() > m.config.MaxPartialBytes || !known && !tried.empty() && len(m.partials) >= m.config.MaxPartials { // 16
		m.status, m.firings = before.status, before.firings
		m.status.OverCap++
		for _, leaf := range o.Leaves {
			m.tell(LeafFate{Event: LeafEvent{leaf.Leaf, r.Position}, Key: o.Key, Fate: OverCap})
		}
		m.store(p)
		return
	}
	m.store(tried)
	run.report()
}

// settle applies what falls due before a time, in order. All deadlines of one millisecond are one step (7); a partial of which nothing can be of use
// any more frees itself (17).
func (m *Model) settle(p *Partial, before int64) {
	for {
		at, due := p.Deadline(m.trigger)
		switch {
		case due && at < before && !m.enabled: // 12
			m.disarm(p, at)
		case due && at < before:
			run := modelRun{model: m, partial: p, step: step{time: at, position: afterAll(at), deadline: true}}
			run.conclude(run.offer(0))
			p.release(m.trigger)
			run.report()
		case !due && !p.empty() && p.useful(m.trigger) < before:
			run := modelRun{model: m, partial: p, step: step{time: before, position: afterAll(before - 1), deadline: true}}
			run.lose(p.clear(m.trigger), OutsideWindow)
			p.Last = 0
			p.release(m.trigger)
			run.report()
		default:
			return
		}
	}
}

// afterAll is a position behind all events of a millisecond.
func afterAll(ms int64) Position { return Position{MS: ms, Seq: 9_999_999_999} }

// disarm takes back what waits for a deadline of a disabled trigger, and counts it.
func (m *Model) disarm(p *Partial, at int64) {
	run := modelRun{model: m, partial: p, step: step{time: at, position: afterAll(at), deadline: true}}
	for n := range m.trigger.Nodes {
		slot := Slot{n, armedSlot}
		if o, ok := p.Slots[slot]; ok && m.trigger.Nodes[n].Kind == AbsentCondition && o.Time == at {
			run.lose(o.Refs, Ignored)
			delete(p.Slots, slot)
			m.status.Dropped++
		}
	}
	p.release(m.trigger)
	run.report()
}

// store keeps a partial that holds anything; empty ones are not stored (17).
func (m *Model) store(p *Partial) {
	if p.empty() {
		delete(m.partials, p.Hash)
		return
	}
	m.partials[p.Hash] = p
}
