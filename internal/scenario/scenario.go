// Package scenario reads and runs scenarios of triggers: events at given times, and what has to fire. They run against router.Model, and against the scripts
// on a Redis; people run them in their own CI with "streamlatch test".
package scenario

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// Scenario is a trigger, a log, and what comes of it.
type Scenario struct {
	Name    string
	Trigger *router.CompiledTrigger
	Events  []Event
	Until   int64 // how far time goes on, in milliseconds from the beginning
	Expect  []Fired
	Waiting []Waiting // what is left over; nil: anything
}

// Event is an event of a scenario.
type Event struct {
	At     int64 // when it is accepted, in milliseconds from the beginning
	fields router.EventFields
	own    *moment // its own time, if it has one
}

// beginning at a time, the event is this one.
func (e Event) beginning(at time.Time) (router.Event, error) {
	f := e.fields
	if e.own != nil {
		f.Time = router.FormatTime(at.Add(time.Duration(*e.own) * time.Millisecond))
	}
	return router.NewEvent(f)
}

// Fired is a firing: when its condition was met, in milliseconds from the beginning, and the ids of the events that it joined.
type Fired struct {
	At     int64
	Events []string
	Key    string // as an object in JSON; "": any
}

// Waiting is a key for which something is recorded, and what it lacks.
type Waiting struct {
	Key     string // as an object in JSON
	Missing []string
}

// document is a file: one scenario, or several.
type document struct {
	About     string          `json:"about"`
	Scenarios []scenarioInput `json:"scenarios"`
	scenarioInput
}

type scenarioInput struct {
	Name       string          `json:"name"`
	Trigger    json.RawMessage `json:"trigger"`
	Events     []eventInput    `json:"events"`
	Until      moment          `json:"until"`
	Concurrent bool            `json:"concurrent"` // says that the events came from several clients; the log has them in one order all the same
	Expect     []firedInput    `json:"expect"`
	Waiting    []waitingInput  `json:"waiting"`
}

type eventInput struct {
	ID      string          `json:"id"`
	Type    string          `json:"type"`
	Source  string          `json:"source"`
	Subject string          `json:"subject"`
	Data    json.RawMessage `json:"data"`
	Time    *moment         `json:"time"` // the event's own, likewise from the beginning
	T       moment          `json:"t"`
}

type firedInput struct {
	T      moment          `json:"t"`
	Events []string        `json:"events"`
	Key    json.RawMessage `json:"key"`
}

type waitingInput struct {
	Key     json.RawMessage `json:"key"`
	Missing []string        `json:"missing"`
}

// moment is a number of milliseconds, or a duration: 1500, "1.5s".
type moment int64

// UnmarshalJSON reads either form.
func (m *moment) UnmarshalJSON(text []byte) error {
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil {
		*m = moment(n)
		return nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err == nil {
		d, err := router.ParseDuration(s)
		if err == nil {
			*m = moment(d.Std().Milliseconds())
			return nil
		}
	}
	return fmt.Errorf("%.40q is neither milliseconds nor a duration", text)
}

// Parse reads a document in JSON that holds one scenario, or several under "scenarios". The errors say what is wrong, and in which scenario.
func Parse(text []byte) ([]Scenario, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var d document
	if err := decoder.Decode(&d); err != nil {
		return nil, fmt.Errorf("read scenarios: %w", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("read scenarios: there is more behind the first value")
	}
	inputs := d.Scenarios
	if inputs == nil {
		inputs = []scenarioInput{d.scenarioInput}
	}
	var list []Scenario
	for i, in := range inputs {
		s, err := in.scenario()
		if err != nil {
			return nil, fmt.Errorf("scenario %d %q: %w", i+1, in.Name, err)
		}
		list = append(list, s)
	}
	return list, nil
}

func (in scenarioInput) scenario() (s Scenario, err error) {
	s = Scenario{Name: in.Name, Until: int64(in.Until)}
	draft, err := router.DecodeTrigger(in.Trigger, router.Rules{Name: "trigger"})
	if err != nil {
		return s, fmt.Errorf("trigger: %w", described(err))
	}
	trigger := draft.Create()
	trigger.ID = "trg_00000000000000000000000001"
	if s.Trigger, err = trigger.Compile(); err != nil {
		return s, fmt.Errorf("trigger: %w", described(err))
	}
	if s.Name == "" {
		s.Name = trigger.Name
	}
	for i, e := range in.Events {
		event, err := e.event()
		if err != nil {
			return s, fmt.Errorf("events[%d]: %w", i, described(err))
		}
		if i > 0 && event.At < s.Events[i-1].At {
			return s, fmt.Errorf("events[%d].t: must not be before that of the event before it", i)
		}
		s.Events = append(s.Events, event)
	}
	if n := len(s.Events); n > 0 {
		s.Until = max(s.Until, s.Events[n-1].At)
	}
	for i, f := range in.Expect {
		key, err := in.key(s.Trigger, f.Key)
		if err != nil {
			return s, fmt.Errorf("expect[%d].key: %w", i, err)
		}
		s.Expect = append(s.Expect, Fired{At: int64(f.T), Events: f.Events, Key: key})
	}
	for i, w := range in.Waiting {
		key, err := in.key(s.Trigger, w.Key)
		if err != nil {
			return s, fmt.Errorf("waiting[%d].key: %w", i, err)
		}
		if key == "" {
			key = "{}"
		}
		s.Waiting = append(s.Waiting, Waiting{Key: key, Missing: w.Missing})
	}
	if in.Waiting != nil && s.Waiting == nil {
		s.Waiting = []Waiting{}
	}
	return s, nil
}

// key reads a key of the trigger's and writes it as it is compared.
func (scenarioInput) key(c *router.CompiledTrigger, text json.RawMessage) (string, error) {
	if text == nil {
		return "", nil
	}
	key, err := c.ParseKey(text)
	if err != nil {
		return "", fmt.Errorf("%s: %w", text, err)
	}
	return key.JSON(), nil
}

// start is when scenarios begin for the model, in milliseconds since 1970.
const start = 1_700_000_000_000

func (in eventInput) event() (Event, error) {
	f := router.EventFields{ID: in.ID, Source: in.Source, Type: in.Type, Subject: in.Subject}
	if f.Source == "" {
		f.Source = "/test"
	}
	if in.Data != nil {
		f.Data, f.DataKind = string(in.Data), router.JSONData
	}
	e := Event{At: int64(in.T), fields: f, own: in.Time}
	_, err := e.beginning(time.UnixMilli(start))
	return e, err
}

// described puts what an error lists behind it.
func described(err error) error {
	listed, ok := errors.AsType[*router.Error](err)
	if !ok {
		return err
	}
	for _, p := range listed.Problems {
		err = fmt.Errorf("%w; %s: %s", err, p.Location, p.Message)
	}
	return err
}
