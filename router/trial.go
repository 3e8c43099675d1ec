package router

import (
	"encoding/json"
	"time"
)

// Trial is a request to try a trigger out: on events that come with it, or on those that the log still has.
type Trial struct {
	Trigger TriggerDraft
	Events  json.RawMessage // of a dry run: a list of CloudEvents
	Until   time.Time       // of a dry run: deadlines up to then are applied; zero: up to the last event
	From    time.Time       // of a backtest: when the first event was accepted; zero: from the oldest there is
	To      time.Time       // of a backtest: before when the last one was; zero: to the newest there is
}

// DecodeDryRun reads a document with "trigger", "events" and "until". The errors are those of DecodeTrigger, at "body.trigger.when".
func DecodeDryRun(text []byte, rules Rules) (Trial, error) {
	return decodeTrial(text, rules, func(o *docObject, t *Trial) {
		events := o.get("events")
		if !events.present() {
			events.faults.spoil(events.at, "is required")
			return
		}
		events.raw(&t.Events)
		o.get("until").time(&t.Until)
	})
}

// DecodeBacktest reads a document with "trigger", "from" and "to", likewise.
func DecodeBacktest(text []byte, rules Rules) (Trial, error) {
	return decodeTrial(text, rules, func(o *docObject, t *Trial) {
		o.get("from").time(&t.From)
		o.get("to").time(&t.To)
		if !t.From.IsZero() && !t.To.IsZero() && t.To.Before(t.From) {
			at := o.get("to")
			at.faults.add(at.at, "must not be before from")
		}
	})
}

func decodeTrial(text []byte, rules Rules, rest func(*docObject, *Trial)) (Trial, error) {
	f := &docFaults{}
	t := Trial{Trigger: TriggerDraft{Trigger{Name: rules.Name}}}
	f.read(text, func(o *docObject) {
		n := o.get("trigger")
		if !n.present() {
			n.faults.spoil(n.at, "is required")
		} else {
			t.Trigger.definition.setDefaults()
			n.object(func(o *docObject) {
				o.ignore(readOnlyFields()...)
				t.Trigger.definition.read(o)
				t.Trigger.definition.check(f, n.at)
			})
		}
		rest(o, &t)
	})
	if err := f.err("it can't be tried"); err != nil {
		return Trial{}, err
	}
	return t, nil
}
