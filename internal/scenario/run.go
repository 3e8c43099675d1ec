package scenario

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// Result is what came of a scenario.
type Result struct {
	Fired   []Fired
	Waiting []Waiting
}

// RunModel runs a scenario against the reference model.
func (s Scenario) RunModel() (Result, error) {
	m := router.NewModel(s.Trigger, router.ModelConfig{})
	var firings []router.Firing
	position := router.Position{}
	for _, e := range s.Events {
		if ms := start + e.At; ms == position.MS {
			position.Seq++
		} else {
			position = router.Position{MS: ms}
		}
		event, err := e.beginning(time.UnixMilli(start))
		if err != nil {
			return Result{}, fmt.Errorf("make an event: %w", err)
		}
		firings = append(firings, m.Offer(router.Record{Position: position, Event: event})...)
	}
	end := time.UnixMilli(start + s.Until)
	firings = append(firings, m.Advance(end.Add(time.Millisecond))...)
	var r Result
	for _, f := range firings {
		fired := Fired{At: f.Time().UnixMilli() - start, Key: f.Key.JSON()}
		for _, j := range f.Joined() {
			fired.Events = append(fired.Events, j.Event.ID())
		}
		r.Fired = append(r.Fired, fired)
	}
	r.add(s.Trigger, m.Partials(end))
	return r.sorted(), nil
}

// add adds what is left over.
func (r *Result) add(c *router.CompiledTrigger, partials []router.Partial) {
	for _, p := range partials {
		if len(p.Slots) > 0 || len(p.Counted) > 0 {
			r.Waiting = append(r.Waiting, Waiting{Key: p.Key.JSON(), Missing: p.Missing(c)})
		}
	}
}

// sorted puts firings in the order of their times, and what is left over in that of its keys: of different keys, the order is free.
func (r Result) sorted() Result {
	slices.SortStableFunc(r.Fired, func(a, b Fired) int { return cmp.Or(cmp.Compare(a.At, b.At), slices.Compare(a.Events, b.Events)) })
	slices.SortFunc(r.Waiting, func(a, b Waiting) int { return strings.Compare(a.Key, b.Key) })
	return r
}

// Differences are the lines in which what came differs from what was expected: "-" before what did not come, "+" before what came in its place. There are none
// where the scenario passes.
func (s Scenario) Differences(got Result) []string {
	expected := Result{Fired: slices.Clone(s.Expect), Waiting: slices.Clone(s.Waiting)}.sorted()
	var want, came []string
	for _, f := range expected.Fired {
		want = append(want, f.line(f.Key != ""))
	}
	for i, f := range got.Fired {
		keyed := i < len(expected.Fired) && expected.Fired[i].Key != ""
		came = append(came, f.line(keyed))
	}
	if s.Waiting != nil {
		for _, w := range expected.Waiting {
			want = append(want, w.line())
		}
		for _, w := range got.Waiting {
			came = append(came, w.line())
		}
	}
	return diff(want, came)
}

func (f Fired) line(keyed bool) string {
	line := fmt.Sprintf("at %s fires %s", time.Duration(f.At)*time.Millisecond, strings.Join(f.Events, ", "))
	if keyed {
		line += " for " + f.Key
	}
	return line
}

func (w Waiting) line() string {
	missing, _ := json.Marshal(append([]string{}, w.Missing...)) // a list of texts
	return fmt.Sprintf("%s waits for %s", w.Key, missing)
}

// diff lists what is in one list and not in the other, in order.
func diff(want, got []string) (lines []string) {
	rest := slices.Clone(got)
	for _, line := range want {
		if i := slices.Index(rest, line); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
			continue
		}
		lines = append(lines, "- "+line)
	}
	for _, line := range rest {
		lines = append(lines, "+ "+line)
	}
	return lines
}
