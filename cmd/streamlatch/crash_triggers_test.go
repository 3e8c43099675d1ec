package main_test

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/router"
)

// crashTriggers are the triggers of a trial. Which of their combinations come depends on the order of the log, so what must fire is found by the model, from the
// log that is left in the end.
var crashTriggers = map[string]string{
	"thrice": `{"key": {"group": "data.group"}, "when": {"event": {"types": ["order.*"]}, "count": 3, "within": "1h"}, "emit": {"include": "refs"}}`,
	"both": `{"key": {"group": "data.group"}, "when": {"all": [{"event": {"types": ["order.paid.*"]}}, {"at_least": 1, "of": [
		{"event": {"types": ["user.created"]}}, {"event": {"types": ["user.deleted"]}}]}], "within": "3s"}, "cooldown": "200ms"}`,
	"silent": `{"key": {"group": "data.group"}, "when": {"absent": {"event": {"types": ["user.created"]}}, "after": {"event": {"types": ["order.refunded"]}},
		"within": "300ms"}, "reset_on": [{"event": {"types": ["audit"]}}]}`,
	"ordered": `{"key": {"group": "data.group"}, "when": {"sequence": [{"event": {"types": ["order.paid"]}}, {"event": {"types": ["order.refunded"]}},
		{"event": {"types": ["user.*"]}}], "within": "20s"}}`,
}

// crashGroups is how many keys the events have.
const crashGroups = 40

func (tr *trial) defineTriggers(c *client.Client) {
	for name, document := range crashTriggers {
		_, err := c.Put(tr.Context(), client.Trigger, name, []byte(document), client.Condition{})
		require.NoError(tr, err)
	}
}

// isFiring tells whether an event of the log is not one that was published.
func isFiring(e router.Event) bool { return strings.HasPrefix(e.Source(), "/streamlatch/triggers/") }

// checkTriggers holds the firings in the log against those of the model: each that must be there is there, once, with the same events and byte for byte, and no
// other. Deadlines fall due while it looks, so it looks until both agree and each trigger has fired.
func (tr *trial) checkTriggers() {
	tr.Helper()
	counts := map[string]int{}
	err := poll(tr.Context(), patience, func(ctx context.Context) error {
		now, err := tr.redis.Time(ctx).Result()
		if err != nil {
			return err
		}
		log := tr.readLog(ctx)
		for name := range crashTriggers {
			if counts[name], err = tr.compareFirings(ctx, name, log, now); err != nil {
				return err
			}
			if counts[name] == 0 {
				return fmt.Errorf("trigger %s has not fired, so this shows nothing", name)
			}
		}
		return nil
	})
	require.NoErrorf(tr, err, "seed %d", tr.seed)
	tr.Logf("firings against the model's: lost 0, double 0, other 0 of %v", counts)
}

func (tr *trial) readLog(ctx context.Context) (log []router.Record) {
	for after := (router.Position{}); ; after = log[len(log)-1].Position {
		records, err := tr.store.ReadLog(ctx, after, 1000, 0)
		require.NoError(tr, err)
		if len(records) == 0 {
			return log
		}
		log = append(log, records...)
	}
}

// compareFirings runs a trigger's model over the log, and compares.
func (tr *trial) compareFirings(ctx context.Context, name string, log []router.Record, now time.Time) (n int, err error) {
	t, err := tr.store.Trigger(ctx, name)
	if err != nil {
		return 0, err
	}
	compiled, err := t.Compile()
	if err != nil {
		return 0, err
	}
	model := router.NewModel(compiled, router.ModelConfig{})
	wanted := map[string]string{}
	want := func(firings []router.Firing) error {
		for _, f := range firings {
			e, err := f.Event()
			if err != nil {
				return err
			}
			wanted[f.ID()] = string(e.AppendJSON(nil))
		}
		return nil
	}
	var got []router.Record
	for _, r := range log {
		if t.Fired(r.Event) {
			got = append(got, r)
		}
		if err := want(model.Offer(r)); err != nil {
			return 0, err
		}
	}
	if err := want(model.Advance(now)); err != nil {
		return 0, err
	}
	seen := map[string]router.Position{}
	for _, r := range got {
		e := r.Event
		switch text, ok := wanted[e.ID()]; {
		case seen[e.ID()] != router.Position{}:
			return 0, fatalError{fmt.Errorf("trigger %s: firing %s is in the log twice, at %s and %s", name, e.ID(), seen[e.ID()], r.Position)}
		case !ok:
			return 0, fmt.Errorf("trigger %s: firing %s is none of the model's", name, e.ID())
		case text != string(e.AppendJSON(nil)):
			return 0, fatalError{fmt.Errorf("trigger %s: firing %s is %s and must be %s", name, e.ID(), e.AppendJSON(nil), text)}
		}
		seen[e.ID()] = r.Position
	}
	if len(got) != len(wanted) {
		return 0, fmt.Errorf("trigger %s: %d of %d firings are missing", name, len(wanted)-len(got), len(wanted))
	}
	return len(got), nil
}
