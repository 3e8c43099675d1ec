package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// Bounds of trials.
const (
	maxTrialEvents  = 1000    // of a dry run
	maxTrialScan    = 100_000 // events that a backtest looks at
	maxTrialFirings = 1000    // and that either answers with
)

// trialView is what came of a trial.
type trialView struct {
	Firings  []firedView   `json:"firings"`
	Partials []partialView `json:"partials"`
	Fired    int           `json:"fired"`             // how many there were
	Scanned  *int          `json:"scanned,omitempty"` // of a backtest: how many events it looked at
	To       string        `json:"to,omitempty"`      // of a backtest that found more events than it looks at: up to where it came
}

// firedView is a firing of a trial.
type firedView struct {
	Time   string          `json:"time"`
	Key    json.RawMessage `json:"key"`
	Events []joinedView    `json:"events"`
}

// joinedView is an event of a firing.
type joinedView struct {
	Name     string `json:"name"`
	Position string `json:"position,omitempty"`
	ID       string `json:"id"`
	Source   string `json:"source,omitempty"`
}

func (v *trialView) add(firings []router.Firing) {
	v.Fired += len(firings)
	for _, f := range firings {
		if len(v.Firings) == maxTrialFirings {
			return
		}
		shown := firedView{Time: router.FormatTime(f.Time()), Key: json.RawMessage(f.Key.JSON())}
		for _, j := range f.Joined() {
			shown.Events = append(shown.Events, joinedView{Name: j.Leaf, ID: j.Event.ID()})
		}
		v.Firings = append(v.Firings, shown)
	}
}

// finish settles deadlines up to a time, and adds what is left over then.
func (v *trialView) finish(c *router.CompiledTrigger, m *router.Model, until time.Time) {
	v.add(m.Advance(until.Add(time.Millisecond)))
	for _, p := range m.Partials(until) {
		if len(v.Partials) == maxLimit {
			return
		}
		v.Partials = append(v.Partials, viewPartial(c, p))
	}
}

func newTrial(draft router.TriggerDraft) (v trialView, m *router.Model, c *router.CompiledTrigger, err error) {
	if c, err = draft.Create().Compile(); err != nil {
		return v, nil, nil, fmt.Errorf("compile the trigger of a trial: %w", err)
	}
	return trialView{Firings: []firedView{}, Partials: []partialView{}}, router.NewModel(c, router.ModelConfig{}), c, nil
}

// dryRunTrigger tries a trigger on events that come with the request; nothing is stored.
func (s *Server) dryRunTrigger(c call) error {
	text, err := s.readCommand(c, jsonType)
	if err != nil {
		return err
	}
	trial, err := router.DecodeDryRun(text, s.cfg.Rules)
	if err != nil {
		return err
	}
	view, model, compiled, err := newTrial(trial.Trigger)
	if err != nil {
		return err
	}
	records, err := trialRecords(compiled, trial.Events)
	if err != nil {
		return err
	}
	until := trial.Until
	for i, r := range records {
		if accepted := r.Position.AcceptedAt(); i == len(records)-1 && until.Before(accepted) {
			if !until.IsZero() {
				return invalidAt("body.until", "must not be before the last event")
			}
			until = accepted
		}
		view.add(model.Offer(r))
	}
	view.finish(compiled, model, until)
	return writeJSON(c.w, view)
}

// trialRecords makes a log of events, each accepted at its time.
func trialRecords(c *router.CompiledTrigger, text json.RawMessage) ([]router.Record, error) {
	if !strings.HasPrefix(strings.TrimSpace(string(text)), "[") {
		return nil, invalidAt("body.events", "must be an array")
	}
	decoder := cloudevents.Decoder{Limits: cloudevents.Limits{MaxBatchEvents: maxTrialEvents}}
	events, err := decoder.Decode(cloudevents.BatchType, nil, text)
	if err != nil {
		return nil, within("body.events", err)
	}
	var records []router.Record
	last := router.Position{MS: -1}
	for i, e := range events {
		at, ok := e.Time()
		place := fmt.Sprintf("body.events[%d].time", i)
		position := router.Position{MS: at.UnixMilli()}
		switch {
		case !ok:
			return nil, invalidAt(place, "is required")
		case position.MS < last.MS && c.Clock == router.AcceptClock:
			return nil, invalidAt(place, "must not be before that of the event before it")
		case position.MS <= last.MS:
			position = router.Position{MS: last.MS, Seq: last.Seq + 1}
		}
		records, last = append(records, router.Record{Position: position, Event: e}), position
	}
	return records, nil
}

func invalidAt(location, message string) error {
	return &router.Error{Code: router.Invalid, Message: location + ": " + message, Problems: []router.Problem{{Location: location, Message: message}}}
}

// within puts the locations of an error's problems in place: what was read as a body stands within another.
func within(at string, err error) error {
	shown := show(err)
	if shown.err == nil {
		return err
	}
	moved := *shown.err
	moved.Code, moved.Problems = router.Invalid, nil
	for _, p := range shown.err.Problems {
		moved.Problems = append(moved.Problems, router.Problem{Location: at + strings.TrimPrefix(p.Location, "body"), Message: p.Message})
	}
	return &moved
}

// backtestTrigger tries a trigger on the events that the log still has; nothing is stored.
func (s *Server) backtestTrigger(c call) error {
	text, err := s.readCommand(c, jsonType)
	if err != nil {
		return err
	}
	trial, err := router.DecodeBacktest(text, s.cfg.Rules)
	if err != nil {
		return err
	}
	view, model, compiled, err := newTrial(trial.Trigger)
	if err != nil {
		return err
	}
	log, err := newForwards(c.r.Context(), s.cfg.Log, milliseconds(trial.From, 0))
	if err != nil {
		return err
	}
	to, scanned := milliseconds(trial.To, milliseconds(s.now(), 0)), 0
	for ; ; scanned++ {
		r, ok, err := log.next(c.r.Context())
		if err != nil {
			return err
		}
		if !ok || r.Position.MS >= to {
			break
		}
		if scanned == maxTrialScan {
			to = r.Position.MS
			view.To = formatMillis(to)
			break
		}
		view.add(model.Offer(r))
	}
	view.Scanned = &scanned
	view.finish(compiled, model, time.UnixMilli(to-1))
	return writeJSON(c.w, view)
}
