package httpapi_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// fakePuller notes what workers ask, and answers with what a test sets.
type fakePuller struct {
	asked  []any
	pulled []router.Pulled
	good   []bool
	until  time.Time
	err    error
}

func (f *fakePuller) Pull(_ context.Context, s router.Subscription, req router.PullRequest) ([]router.Pulled, error) {
	f.asked = []any{s.Name, req}
	return f.pulled, f.err
}

func (f *fakePuller) Ack(_ context.Context, s router.Subscription, receipts []router.Receipt) ([]bool, error) {
	f.asked = []any{s.Name, receipts}
	return f.good, f.err
}

func (f *fakePuller) Nack(_ context.Context, s router.Subscription, receipts []router.Receipt, delay router.Duration) ([]bool, error) {
	f.asked = []any{s.Name, receipts, delay}
	return f.good, f.err
}

func (f *fakePuller) Extend(_ context.Context, s router.Subscription, receipts []router.Receipt, e router.PullExtension) ([]bool, time.Time, error) {
	f.asked = []any{s.Name, receipts, e}
	return f.good, f.until, f.err
}

const jobs = `{"name":"jobs","sink":{"kind":"pull"}}`

func TestAWorkerPullsOverTheAPI(t *testing.T) {
	a := newAPI(t)
	require.JSONEq(t, `{"kind":"pull","lease":"30s","max_attempts":5}`, mustJSON(t, a.do("POST", "/v1/subscriptions", jobs).want(201).get("sink")))
	e, err := router.NewEvent(router.EventFields{ID: "1", Source: "/", Type: "job.new", DataKind: router.JSONData, Data: `{ "a": 1 }`})
	require.NoError(t, err)
	receipt := router.Receipt{Entry: router.Entry{Position: router.Position{MS: 5}}, Attempt: 2, Token: strings.Repeat("A", 26)}
	at := time.UnixMilli(1_732_128_000_000)
	a.store.puller.pulled = []router.Pulled{{Receipt: receipt, ID: "dlv_1", Until: at, Event: e}, {Receipt: receipt, ID: "dlv_2", Until: at, Event: e}}
	res := a.do("POST", "/v1/subscriptions/jobs/pull", `{"max":10,"wait":"20s","lease":"1m","worker":"w1"}`).want(200)
	require.Contains(t, res.body, `{"items":[{"receipt":"`+receipt.String()+`","delivery":"dlv_1","attempt":2,"lease_until":"2024-11-20T18:40:00.000Z",`+
		`"event":{"specversion":"1.0","id":"1","source":"/","type":"job.new","data":{ "a": 1 }}},{`, "the payload as it was published")
	require.Len(t, res.get("items"), 2)
	require.Equal(t, []any{"jobs", router.PullRequest{Max: 10, Wait: router.Duration(20 * time.Second), Lease: router.Duration(time.Minute), Worker: "w1"}}, a.store.puller.asked)

	a.store.puller.pulled = nil
	require.Equal(t, `{"items":[]}`+"\n", a.do("POST", "/v1/subscriptions/jobs/pull", `{}`).want(200).body)
	a.store.puller.err = router.Errorf(router.Unavailable, "Redis can't be reached")
	require.NotEmpty(t, a.do("POST", "/v1/subscriptions/jobs/pull", `{}`).problem(503, "unavailable").header.Get("Retry-After"))
	a.store.puller.err = nil

	a.do("POST", "/v1/subscriptions/none/pull", `{}`).problem(404, "not-found")
	a.do("POST", "/v1/subscriptions/jobs/pull", `{`).problem(400, "malformed")
	a.do("POST", "/v1/subscriptions/jobs/pull", ``).problem(415, "unsupported-media")
	a.do("POST", "/v1/subscriptions/jobs/pull", `{"max":1.5}`).problem(422, "invalid")
}

func TestAWorkerHearsOfEachReceiptWhetherItWasGood(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/subscriptions", jobs).want(201)
	one := router.Receipt{Entry: router.Entry{Position: router.Position{MS: 5}}, Attempt: 1, Token: strings.Repeat("A", 26)}
	other := router.Receipt{Entry: router.Entry{Position: router.Position{MS: 6}}, Attempt: 1, Token: strings.Repeat("A", 26)}
	a.store.puller.good = []bool{true, false}
	a.store.puller.until = time.UnixMilli(1_732_128_000_000)
	both := `"receipts":["` + one.String() + `","` + other.String() + `"]`
	results := `{"results":[{"receipt":"` + one.String() + `","result":"ok"},{"receipt":"` + other.String() + `","result":"expired"}]}`

	require.JSONEq(t, results, a.do("POST", "/v1/subscriptions/jobs/ack", `{`+both+`}`).want(200).body)
	require.Equal(t, []any{"jobs", []router.Receipt{one, other}}, a.store.puller.asked)
	require.JSONEq(t, results, a.do("POST", "/v1/subscriptions/jobs/nack", `{`+both+`,"delay":"1m"}`).want(200).body)
	require.Equal(t, []any{"jobs", []router.Receipt{one, other}, router.Duration(time.Minute)}, a.store.puller.asked)
	extended := strings.Replace(results, `"ok"`, `"ok","lease_until":"2024-11-20T18:40:00.000Z"`, 1)
	require.JSONEq(t, extended, a.do("POST", "/v1/subscriptions/jobs/extend", `{`+both+`,"lease":"1m","progress":40,"note":"x"}`).want(200).body)
	progress, note := 40, "x"
	require.Equal(t, []any{"jobs", []router.Receipt{one, other}, router.PullExtension{Lease: router.Duration(time.Minute), Progress: &progress, Note: &note}}, a.store.puller.asked)

	for _, path := range []string{"ack", "nack", "extend"} {
		require.Equal(t, "body.receipts[0]", a.do("POST", "/v1/subscriptions/jobs/"+path, `{"receipts":["x"]}`).problem(422, "invalid").get("errors", 0, "location"))
		a.do("POST", "/v1/subscriptions/none/"+path, `{`+both+`}`).problem(404, "not-found")
	}
}

func mustJSON(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}
