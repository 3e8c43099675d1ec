package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// occurred is a CloudEvent of a dry run, so many seconds after noon.
func occurred(id, typ string, second int, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/ci","type":%q,"time":"2026-11-29T12:00:%02dZ","data":%s}`, id, typ, second, data)
}

func dryRun(trigger string, until string, events ...string) string {
	if until != "" {
		until = `,"until":"` + until + `"`
	}
	return `{"trigger":` + trigger + `,"events":[` + strings.Join(events, ",") + `]` + until + `}`
}

func TestADryRunSaysWhatWouldFireAndWhatWouldWait(t *testing.T) {
	a := newAPI(t)
	r := a.do("POST", "/v1/triggers/dry-run", dryRun(releaseReady, "",
		occurred("b1", "build.finished", 1, `{"release":"1.4"}`),
		occurred("b2", "build.finished", 2, `{"release":"1.5"}`),
		occurred("q1", "qa.approved", 2, `{"version":"1.4"}`))).want(200)
	require.EqualValues(t, 1, r.get("fired"))
	require.Equal(t, map[string]any{
		"time": "2026-11-29T12:00:02.000Z", "key": map[string]any{"release": "1.4"},
		"events": []any{map[string]any{"name": "build", "id": "b1"}, map[string]any{"name": "when.all[1]", "id": "q1"}},
	}, r.get("firings", 0))
	require.Equal(t, map[string]any{"release": "1.5"}, partialOf(r, "1.5")["key"])
	require.Equal(t, []any{"when.all[1]"}, partialOf(r, "1.5")["missing"])
	require.Empty(t, a.do("GET", "/v1/triggers", "").get("items"), "nothing is stored")
}

func partialOf(r *answer, release string) map[string]any {
	for _, p := range r.get("partials").([]any) {
		if p := p.(map[string]any); p["key"].(map[string]any)["release"] == release {
			return p
		}
	}
	r.t.Errorf("there is no partial of release %s in %s", release, r.body)
	return nil
}

func TestADryRunAppliesDeadlinesUpToUntil(t *testing.T) {
	a := newAPI(t)
	silence := `{"name": "silence", "when": {"absent": {"event": {"types": ["beat"]}}, "within": "10s"}}`
	beat := occurred("1", "beat", 5, `1`)
	for until, fired := range map[string]int{"": 0, "2026-11-29T12:00:14.999Z": 0, "2026-11-29T12:00:15Z": 1, "2026-11-29T13:00:00Z": 1} {
		require.EqualValues(t, fired, a.do("POST", "/v1/triggers/dry-run", dryRun(silence, until, beat)).want(200).get("fired"), until)
	}
}

func TestWhatIsWrongInADryRunIsRefusedWithItsPlace(t *testing.T) {
	a := newAPI(t)
	one, two := occurred("1", "x", 2, `1`), occurred("2", "x", 1, `1`)
	for body, place := range map[string]string{
		`{"events": []}`: "body.trigger",
		`{"trigger": {"name": "t", "when": {"all": []}}, "events": []}`:    "body.trigger.when.all",
		`{"trigger": ` + releaseReady + `}`:                                "body.events",
		`{"trigger": ` + releaseReady + `, "events": {}}`:                  "body.events",
		`{"trigger": ` + releaseReady + `, "events": [{"id": ""}]}`:        "body.events[0].specversion",
		`{"trigger": ` + releaseReady + `, "events": [], "more": 1}`:       "body.more",
		dryRun(releaseReady, "", one, two):                                 "body.events[1].time",
		dryRun(releaseReady, "2026-11-29T12:00:01Z", one):                  "body.until",
		dryRun(releaseReady, "", strings.Replace(one, `"time"`, `"x"`, 1)): "body.events[0].time",
	} {
		require.Contains(t, a.do("POST", "/v1/triggers/dry-run", body).problem(422, "invalid").body, `"location":"`+place+`"`, body)
	}
	byEvent := strings.Replace(releaseReady, `"cooldown"`, `"clock": "event", "cooldown"`, 1)
	a.do("POST", "/v1/triggers/dry-run", dryRun(byEvent, "", one, two)).want(200)
}

func TestABacktestRunsATriggerOverTheEventsThatTheLogHas(t *testing.T) {
	a, _ := releases(t, [2]string{"build.finished", `1`}, [2]string{"build.finished", `2`}, [2]string{"qa.approved", `1`}, [2]string{"qa.approved", `2`})
	run := func(more string) *answer {
		return a.do("POST", "/v1/triggers/backtest", `{"trigger": `+releaseReady+more+`}`).want(200)
	}
	require.EqualValues(t, 2, run("").get("fired"))
	require.EqualValues(t, 6, run("").get("scanned"), "two of them are firings")
	require.EqualValues(t, 1, run(`, "to": "2026-11-29T11:59:59Z"`).get("fired"))
	late := run(`, "from": "2026-11-29T11:59:57Z"`)
	require.EqualValues(t, 1, late.get("fired"), "the build of release 1 was before that")
	require.Len(t, late.get("partials"), 2, "one waits, one is cooling down")
	require.Equal(t, "body.to", a.do("POST", "/v1/triggers/backtest", `{"trigger": `+releaseReady+`, "from": "2026-11-29T11:00:00Z", "to": "2026-11-29T10:00:00Z"}`).
		problem(422, "invalid").get("errors", 0, "location"))
}
