package router

import "slices"

// workBuilder fills the work of a call for triggers.
type workBuilder struct {
	work     *TriggerWork
	offers   int // how many more
	bytes    int // how many more bytes of events
	triggers map[string]int
	partials map[string]int // by target
}

func newWorkBuilder(w *TriggerWork, offers int) workBuilder {
	return workBuilder{work: w, offers: offers, bytes: batchEventBytes, triggers: make(map[string]int), partials: make(map[string]int)}
}

// add adds what an event has for a trigger; false: the call has no room for it.
func (b *workBuilder) add(record Record, o *matchedOffer) bool {
	trigger, known := b.triggers[o.trigger.ID]
	size := record.Event.EncodedLen()
	first := len(b.work.Events) == 0
	again := !first && b.work.Events[len(b.work.Events)-1].Position == record.Position
	if b.offers == 0 || !known && len(b.triggers) == batchTriggers || !again && !first && size > b.bytes {
		return false
	}
	if !known {
		trigger = len(b.work.Triggers)
		b.triggers[o.trigger.ID] = trigger
		b.work.Triggers = append(b.work.Triggers, o.trigger.work())
	}
	b.offers--
	if o.countOnly() {
		b.count(&b.work.Triggers[trigger], o)
		return true
	}
	if !again {
		b.bytes -= size
		b.work.Events = append(b.work.Events, WorkEvent{Position: record.Position, Time: record.ClockTime(), Event: record.Event})
	}
	b.work.Offers = append(b.work.Offers, Offer{Partial: b.partial(trigger, o), Event: len(b.work.Events) - 1, Reset: o.reset, Leaves: o.leaves})
	return true
}

func (b *workBuilder) count(t *WorkTrigger, o *matchedOffer) {
	t.KeyMissing += o.missing
	if o.ignored {
		t.Ignored++
	}
}

func (b *workBuilder) partial(trigger int, o *matchedOffer) int {
	i, known := b.partials[o.target]
	if !known {
		i = len(b.work.Partials)
		b.partials[o.target] = i
		b.work.Partials = append(b.work.Partials, WorkPartial{Trigger: trigger, Hash: o.hash, Key: o.key})
	}
	return i
}

// ClockTime is the event's time by the event clock, in milliseconds: its own time, or the accept time where it has none or that is later.
func (r Record) ClockTime() int64 {
	if t, ok := r.Event.Time(); ok && t.UnixMilli() < r.Position.MS {
		return t.UnixMilli()
	}
	return r.Position.MS
}

// without is the work without some of the offers, and the offers that are left out.
func (w TriggerWork) without(leave func(Offer) bool) (rest TriggerWork, left []Offer) {
	rest = TriggerWork{Triggers: w.Triggers, Events: w.Events}
	moved := make(map[int]int)
	for _, o := range w.Offers {
		if leave(o) {
			left = append(left, o)
			continue
		}
		i, known := moved[o.Partial]
		if !known {
			i = len(rest.Partials)
			moved[o.Partial] = i
			rest.Partials = append(rest.Partials, w.Partials[o.Partial])
		}
		o.Partial = i
		rest.Offers = append(rest.Offers, o)
	}
	return rest, left
}

// withoutPartial leaves a partial out of a batch, since its key holds something else: its events become dead letters.
func (b Batch) withoutPartial(partial int) Batch {
	return b.withoutOffers("partial-unusable", func(o Offer) bool { return o.Partial == partial })
}

// withoutTrigger leaves a trigger out of a batch, likewise.
func (b Batch) withoutTrigger(trigger int) Batch {
	b = b.withoutOffers("trigger-unusable", func(o Offer) bool { return b.Work.Partials[o.Partial].Trigger == trigger })
	b.Work.Triggers = slices.Delete(slices.Clone(b.Work.Triggers), trigger, trigger+1)
	b.Work.Partials = slices.Clone(b.Work.Partials)
	for i := range b.Work.Partials {
		if b.Work.Partials[i].Trigger > trigger {
			b.Work.Partials[i].Trigger--
		}
	}
	return b
}

func (b Batch) withoutOffers(reason string, leave func(Offer) bool) Batch {
	before := b.Work
	rest, left := before.without(leave)
	b.Work = rest
	b.Misfits = slices.Clip(b.Misfits)
	for _, o := range left {
		if o.Event >= 0 {
			trigger := before.Triggers[before.Partials[o.Partial].Trigger].ID
			b.Misfits = append(b.Misfits, Misfit{Position: before.Events[o.Event].Position, Subscription: trigger, Reason: reason})
		}
	}
	return b
}
