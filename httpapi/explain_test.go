package httpapi_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// pattern reads like a log: events of a kind, so many seconds after the one before.
type happened struct {
	after   int
	typ     string
	data    string
	outcome string // at the leaf that it meets
}

// explained runs a trigger over events, the last one at noon, and returns an API that explains them.
func explained(t *testing.T, trigger string, events []happened) (a *api, positions []string) {
	store := newFakeStore(1)
	a = newAPIOn(t, store, atNoon)
	a.do("POST", "/v1/triggers", trigger).want(201)
	total := 0
	for _, e := range events {
		total += e.after
	}
	at := noon.Add(-time.Duration(total) * time.Second)
	for i, e := range events {
		at = at.Add(time.Duration(e.after) * time.Second)
		event, err := router.NewEvent(router.EventFields{ID: string(rune('a' + i)), Source: "/ci", Type: e.typ, Data: e.data, DataKind: router.JSONData})
		require.NoError(t, err)
		r := router.Record{Position: router.Position{MS: at.UnixMilli(), Seq: uint64(i)}, Event: event}
		store.log[0] = append(store.log[0], r)
		positions = append(positions, r.Position.String())
	}
	return a, positions
}

func TestExplainSaysWhyATriggerDidNotFireForEveryKindOfMiss(t *testing.T) {
	const one, two = `{"k":1}`, `{"k":2}`
	for name, c := range map[string]struct {
		trigger string
		events  []happened
	}{
		"waiting and key missing": {
			`{"name":"t","key":{"k":"data.k"},"when":{"all":[{"event":{"types":["x"]}},{"event":{"types":["y"]}}]}}`,
			[]happened{{0, "x", one, "waiting"}, {1, "y", two, "waiting"}, {1, "y", `{}`, "key-missing"}},
		},
		"fired": {
			`{"name":"t","when":{"all":[{"event":{"types":["x"]}},{"event":{"types":["y"]}}]}}`,
			[]happened{{0, "x", one, "fired"}, {1, "y", two, "fired"}, {1, "y", one, "waiting"}},
		},
		"replaced": {
			`{"name":"t","when":{"all":[{"event":{"types":["x"]}},{"event":{"types":["y"]}}]}}`,
			[]happened{{0, "x", one, "replaced"}, {1, "x", two, "waiting"}},
		},
		"outside the window": {
			`{"name":"t","when":{"all":[{"event":{"types":["x"]}},{"event":{"types":["y"]}}],"within":"10s"}}`,
			[]happened{{0, "x", one, "outside-window"}, {11, "y", two, "waiting"}},
		},
		"outside the window, and nothing came": {
			`{"name":"t","when":{"all":[{"event":{"types":["x"]}},{"event":{"types":["y"]}}],"within":"10s"}}`,
			[]happened{{0, "x", one, "outside-window"}, {20, "z", two, ""}},
		},
		"suppressed": {
			`{"name":"t","when":{"event":{"types":["x"]}},"cooldown":"10s"}`,
			[]happened{{0, "x", one, "fired"}, {9, "x", two, "suppressed"}, {1, "x", two, "fired"}},
		},
		"reset": {
			`{"name":"t","when":{"event":{"types":["x"]},"count":2,"within":"1h"},"reset_on":[{"event":{"types":["r"]}}]}`,
			[]happened{{0, "x", one, "reset"}, {9, "r", two, "resets"}, {1, "x", two, "waiting"}},
		},
		"out of order": {
			`{"name":"t","when":{"sequence":[{"event":{"types":["x"]}},{"event":{"types":["y"]}}]}}`,
			[]happened{{0, "y", one, "out-of-order"}, {9, "x", two, "waiting"}},
		},
		"a sequence that came too slowly": {
			`{"name":"t","when":{"sequence":[{"event":{"types":["x"]}},{"event":{"types":["y"]}}],"within":"5s"}}`,
			[]happened{{0, "x", one, "outside-window"}, {6, "y", two, "out-of-order"}},
		},
		"disarmed": {
			`{"name":"t","when":{"absent":{"event":{"types":["x"]}},"after":{"event":{"types":["y"]}},"within":"10s"}}`,
			[]happened{{0, "x", one, "seen"}, {1, "y", one, "disarmed"}, {1, "y", one, "surplus"}, {1, "x", one, "disarms"}, {1, "y", one, "waiting"}},
		},
		"absent": {
			`{"name":"t","when":{"absent":{"event":{"types":["x"]}},"after":{"event":{"types":["y"]}},"within":"10s","lookback":"3s"}}`,
			[]happened{{0, "y", one, "fired"}, {11, "x", one, "seen"}, {2, "y", one, "prevented"}, {1, "y", one, "waiting"}},
		},
		"surplus": {
			`{"name":"t","when":{"any":[{"event":{"types":["x"]}},{"event":{"types":["y"]}}]}}`,
			[]happened{{0, "y", one, "fired"}},
		},
		"distinct": {
			`{"name":"t","when":{"event":{"types":["x"]},"count":2,"within":"1h","distinct":"data.k"}}`,
			[]happened{{0, "x", one, "replaced"}, {1, "x", one, "waiting"}, {1, "x", `{}`, "value-missing"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, positions := explained(t, c.trigger, c.events)
			for i, e := range c.events {
				r := a.in(t).do("GET", "/v1/events/"+positions[i]+"/explain", "").want(200)
				if e.outcome == "" {
					require.Empty(t, r.get("triggers"))
					continue
				}
				require.Equal(t, e.outcome, r.get("triggers", 0, "outcome"), "event %d: %s", i, r.body)
				require.NotEmpty(t, r.get("triggers", 0, "reason"))
			}
		})
	}
}

func TestExplainSaysWhatIsMissingAndWhichFiringTookAnEvent(t *testing.T) {
	a, positions := explained(t, `{"name":"t","key":{"k":"data.k"},"when":{"all":[{"name":"first","event":{"types":["x"]}},{"event":{"types":["y"]}}]}}`,
		[]happened{{0, "x", `{"k":1}`, ""}, {1, "x", `{"k":2}`, ""}, {1, "y", `{"k":2}`, ""}})
	waits := a.do("GET", "/v1/events/"+positions[0]+"/explain", "").want(200)
	require.Equal(t, []any{"when.all[1]"}, waits.get("triggers", 0, "missing"))
	require.Equal(t, map[string]any{"k": 1.0}, waits.get("triggers", 0, "key"))
	fired := a.do("GET", "/v1/events/"+positions[1]+"/explain", "").want(200)
	require.Equal(t, positions[2], fired.get("triggers", 0, "by"))
	require.Equal(t, fired.get("triggers", 0, "firing"), a.do("GET", "/v1/events/"+positions[2]+"/explain", "").get("triggers", 0, "firing"))
}

func TestExplainSaysWhichFieldOfAFilterDoesNotMatch(t *testing.T) {
	a, positions := explained(t, `{"name":"t","when":{"event":{"types":["x"],"pattern":{"data":{"status":["ok"]}}}}}`, []happened{{0, "x", `{"status":"failed"}`, ""}})
	require.Empty(t, a.do("GET", "/v1/events/"+positions[0]+"/explain", "").want(200).get("triggers"), "what does not match is shown only when it is asked for")
	r := a.do("GET", "/v1/events/"+positions[0]+"/explain?trigger=t", "").want(200)
	require.Equal(t, "not-matched", r.get("triggers", 0, "outcome"))
	require.Equal(t, []any{"data.status", `["ok"]`, `"failed"`}, []any{r.get("triggers", 0, "field"), r.get("triggers", 0, "wanted"), r.get("triggers", 0, "found")})
	a.do("GET", "/v1/events/"+positions[0]+"/explain?trigger=other", "").problem(404, "not-found")
	a.do("GET", "/v1/events/0:1-1/explain", "").problem(404, "not-found")
}

func TestExplainSaysWhichSubscriptionsAnEventMatched(t *testing.T) {
	a, positions := explained(t, `{"name":"t","when":{"event":{"types":["z"]}}}`, []happened{{0, "x", `{"total":5}`, ""}})
	a.do("POST", "/v1/subscriptions", `{"name":"all","filter":{},"sink":{"kind":"webhook","url":"https://x.example/"}}`).want(201)
	a.do("POST", "/v1/subscriptions", `{"name":"large","filter":{"pattern":{"data":{"total":[{"numeric":[">",9]}]}}},"sink":{"kind":"webhook","url":"https://x.example/"}}`).want(201)
	r := a.do("GET", "/v1/events/"+positions[0]+"/explain", "").want(200)
	require.Len(t, r.get("subscriptions"), 1)
	require.Equal(t, "all", r.get("subscriptions", 0, "ref"))
	require.NotContains(t, r.get("subscriptions", 0), "status", "nothing is recorded of the delivery")
	require.Equal(t, []any{"show", r.get("subscriptions", 0, "delivery")}, a.store.deliveries.asked)
	a.store.deliveries.list = []router.DeliveryRecord{{Status: router.DeliveryRetrying}}
	require.Equal(t, "retrying", a.do("GET", "/v1/events/"+positions[0]+"/explain?subscription=all", "").want(200).get("subscriptions", 0, "status"))
	r = a.do("GET", "/v1/events/"+positions[0]+"/explain?subscription=large", "").want(200)
	require.Equal(t, false, r.get("subscriptions", 0, "matched"))
	require.Equal(t, []any{"data.total", "5"}, []any{r.get("subscriptions", 0, "field"), r.get("subscriptions", 0, "found")})
}
