package router

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
)

// liveTrigger is a trigger of a snapshot, with what batches need of it made once.
type liveTrigger struct {
	*CompiledTrigger
	program string
	head    string
}

func newLiveTrigger(t Trigger, partitions int) (*liveTrigger, error) {
	c, err := t.Compile()
	if err != nil {
		return nil, fmt.Errorf("trigger %s: %w", t.ID, err)
	}
	return &liveTrigger{CompiledTrigger: c, program: c.Program(), head: c.FiringHead(partitions)}, nil
}

// leafID is what a leaf's filter stands under in the snapshot's index: behind all subscriptions, in the order of triggers and leaves.
func leafID(trigger string, leaf int) string { return trigger + leafMark + LeafDigits(leaf) }

const leafMark = "#"

func (s *snapshot) trigger(id string) (*liveTrigger, bool) {
	return s.triggers.get(maphash.String(snapshotSeed, id), id)
}

// withTriggers makes changes to the triggers of a snapshot that is being made.
func (s *snapshot) withTriggers(owner *edit, index *IndexEdit, d Definitions) error {
	remove := func(id string) {
		if old, ok := s.trigger(id); ok {
			for leaf := range old.Leaves {
				index.Remove(leafID(id, leaf))
			}
		}
	}
	for _, t := range d.Triggers {
		live, err := newLiveTrigger(t, len(d.Tokens))
		if err != nil {
			return err
		}
		remove(t.ID)
		for leaf := range live.Leaves {
			index.Set(leafID(t.ID, leaf), live.Leaves[leaf].Filter)
		}
		s.triggers = s.triggers.with(owner, maphash.String(snapshotSeed, t.ID), t.ID, live)
	}
	for _, id := range d.DeletedTriggers {
		remove(id)
		s.triggers = s.triggers.without(owner, maphash.String(snapshotSeed, id), id)
	}
	return nil
}

// matchedOffer is something that an event has for a trigger: an offer to one of its partials, or only something to count.
type matchedOffer struct {
	target  string // its place in the order in which an event's targets are applied, which is behind all subscriptions
	trigger *liveTrigger
	hash    KeyHash
	key     string // Key.Encode
	reset   bool
	leaves  []MetLeaf
	missing int // leaves that found no key
	ignored bool
}

// countOnly tells whether there is nothing to offer.
func (o *matchedOffer) countOnly() bool { return o.ignored || o.missing > 0 }

// offersOf finds what an event has for the triggers whose leaves it met, in the order of their targets. met are ids of leaves, in order.
func (s *snapshot) offersOf(e Event, met []string) []matchedOffer {
	var offers []matchedOffer
	reader := valueReader{event: e}
	for len(met) > 0 {
		id, _, _ := strings.Cut(met[0], leafMark)
		n := 1
		for n < len(met) && strings.HasPrefix(met[n], id+leafMark) {
			n++
		}
		if trigger, ok := s.trigger(id); ok {
			offers = append(offers, trigger.offersOf(&reader, met[:n])...)
		}
		met = met[n:]
	}
	return offers
}

// offersOf finds what an event has for a trigger, of which it met some leaves.
func (t *liveTrigger) offersOf(reader *valueReader, met []string) []matchedOffer {
	count := matchedOffer{target: t.target(""), trigger: t}
	if !t.Enabled {
		count.ignored = true
		return []matchedOffer{count}
	}
	leaves := make([]int, len(met))
	for i, id := range met {
		leaves[i] = int(id[len(id)-2]-'0')*10 + int(id[len(id)-1]-'0')
	}
	var offers []matchedOffer
	for _, o := range t.keyOffers(reader, leaves, func(_ int, fate Fate) {
		if fate == KeyMissing {
			count.missing++
		}
	}) {
		key := o.Key.Encode()
		hash := hashOf(key)
		offers = append(offers, matchedOffer{target: t.target(hash.String()), trigger: t, hash: hash, key: key, reset: len(o.Resets) > 0, leaves: o.Leaves})
	}
	if count.countOnly() {
		return slices.Insert(offers, 0, count)
	}
	return offers
}

// target is where a trigger's partial stands among the targets of an event; "" is before all partials.
func (t *liveTrigger) target(hash string) string { return partialTarget(t.ID, hash) }

func partialTarget(trigger, hash string) string { return trigger + "/" + hash }

// work is what a batch has to know of the trigger.
func (t *liveTrigger) work() WorkTrigger {
	return WorkTrigger{
		ID: t.ID, Generation: t.Generation, Enabled: t.Enabled, Include: t.Emit.Include, Program: t.program, Head: t.head,
	}
}

// knows tells whether a generation of a trigger is the one of the snapshot.
func (s *snapshot) knows(trigger string, generation uint64) bool {
	t, ok := s.trigger(trigger)
	return ok && t.Generation == generation
}

// settlement is the work of settling what is due.
func (s *snapshot) settlement(due Due) (w TriggerWork) {
	for _, d := range due.Triggers {
		t, ok := s.trigger(d.Trigger)
		if !ok || t.Generation != d.Generation {
			continue
		}
		for _, hash := range d.Partials {
			w.Offers = append(w.Offers, Offer{Partial: len(w.Partials), Event: -1})
			w.Partials = append(w.Partials, WorkPartial{Trigger: len(w.Triggers), Hash: hash})
		}
		w.Triggers = append(w.Triggers, t.work())
	}
	return w
}

// split divides the work of settling deadlines: first at most so many partials, then the rest.
func (w TriggerWork) split(most int) (now, rest TriggerWork) {
	if len(w.Offers) <= most {
		return w, TriggerWork{}
	}
	now = TriggerWork{Triggers: w.Triggers, Partials: w.Partials[:most], Offers: w.Offers[:most]}
	rest = TriggerWork{Triggers: w.Triggers, Partials: w.Partials[most:]}
	for i := range rest.Partials {
		rest.Offers = append(rest.Offers, Offer{Partial: i, Event: -1})
	}
	return now, rest
}
