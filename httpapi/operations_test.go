package httpapi_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// fakeOperations notes what is begun, and shows what a test sets.
type fakeOperations struct {
	begun   []router.Operation
	counted []router.DeadLetterSelection
	replays []any
	one     router.Operation
}

const anOperation = "op_01JD0000000000000000000001"

func (f *fakeOperations) Begin(_ context.Context, o router.Operation) (router.Operation, error) {
	f.begun = append(f.begun, o)
	o.ID = anOperation
	return o, nil
}

func (f *fakeOperations) Operation(_ context.Context, id string) (router.Operation, error) {
	if f.one.ID != id {
		return router.Operation{}, router.Errorf(router.NotFound, "there is no operation %q", id)
	}
	return f.one, nil
}

func (f *fakeOperations) CountReplay(_ context.Context, s router.Subscription, req router.ReplayRequest) (int64, error) {
	f.replays = append(f.replays, s.Name, req)
	return 12, nil
}

func (f *fakeOperations) CountDeadLetters(_ context.Context, selection router.DeadLetterSelection) (int64, error) {
	f.counted = append(f.counted, selection)
	return 7, nil
}

func TestRedrivingAndPurgingBeginAnOperation(t *testing.T) {
	a := newAPI(t)
	id := a.do("POST", "/v1/subscriptions", billing).want(201).get("id").(string)
	res := a.do("POST", "/v1/dead-letters/redrive", `{"subscription":"billing","reason":"status","rate":{"limit":10,"per":"1s"}}`).want(202)
	require.JSONEq(t, `{"operation":"`+anOperation+`"}`, res.body)
	require.Equal(t, "/v1/operations/"+anOperation, res.header.Get("Location"))
	selection := router.DeadLetterSelection{DeadLetterFilter: router.DeadLetterFilter{Subscription: id, Reason: "status"}, Rate: router.Rate{Limit: 10, Per: router.Duration(time.Second)}}
	require.Equal(t, []router.Operation{{Kind: router.RedriveOperation, Letters: selection}}, a.store.operations.begun)
	a.do("POST", "/v1/dead-letters/purge", `{"all":true}`).want(202)
	require.Equal(t, router.Operation{Kind: router.PurgeOperation}, a.store.operations.begun[1])

	require.JSONEq(t, `{"dry_run":true,"count":7}`, a.do("POST", "/v1/dead-letters/purge", `{"reason":"status","dry_run":true}`).want(200).body)
	require.Equal(t, "status", a.store.operations.counted[0].Reason)
	require.Len(t, a.store.operations.begun, 2, "a dry run only counts")
}

func TestReplayingBeginsAnOperation(t *testing.T) {
	a := newAPI(t)
	id := a.do("POST", "/v1/subscriptions", billing).want(201).get("id").(string)
	body := `{"from":"1970-01-01T00:00:01Z","to":"1970-01-01T00:00:02Z","types":["order.*"]`
	res := a.do("POST", "/v1/subscriptions/billing/replay", body+`}`).want(202)
	require.Equal(t, "/v1/operations/"+anOperation, res.header.Get("Location"))
	request := router.ReplayRequest{From: time.UnixMilli(1000).UTC(), To: time.UnixMilli(2000).UTC(), Types: []string{"order.*"}}
	require.JSONEq(t, `{"dry_run":true,"count":12}`, a.do("POST", "/v1/subscriptions/billing/replay", body+`,"dry_run":true}`).want(200).body)
	require.Equal(t, []any{"billing", request}, a.store.operations.replays)
	request.Subscription = id
	require.Equal(t, []router.Operation{{Kind: router.ReplayOperation, Replay: request}}, a.store.operations.begun)

	require.Equal(t, "body", a.do("POST", "/v1/subscriptions/billing/replay", `{}`).problem(422, "invalid").get("errors", 0, "location"))
	a.do("POST", "/v1/subscriptions/billing/replay", `{"all":true}`).want(202)
	a.do("POST", "/v1/subscriptions/none/replay", `{"all":true}`).problem(404, "not-found")
}

func TestASelectionThatSelectsNothingIsRefused(t *testing.T) {
	a := newAPI(t)
	for _, path := range []string{"/v1/dead-letters/redrive", "/v1/dead-letters/purge"} {
		require.Equal(t, "body", a.do("POST", path, `{}`).problem(422, "invalid").get("errors", 0, "location"))
		a.do("POST", path, `{"dry_run":true}`).problem(422, "invalid")
		a.do("POST", path, ``).problem(415, "unsupported-media")
		a.do("POST", path, `{"subscription":"none"}`).problem(404, "not-found")
	}
	require.Empty(t, a.store.operations.begun)
}

func TestAnOperationIsShownWithItsProgress(t *testing.T) {
	a := newAPI(t)
	at := time.UnixMilli(1_732_128_000_000)
	o := router.Operation{ID: anOperation, Kind: router.RedriveOperation, Created: at, Total: 9, Progress: map[string]int64{"redriven": 3, "skipped": 1}}
	a.store.operations.one = o
	require.JSONEq(t, `{"id":"`+anOperation+`","kind":"redrive","status":"running","created":"2024-11-20T18:40:00.000Z","total":9,"done":4,"counts":{"redriven":3,"skipped":1}}`,
		a.do("GET", "/v1/operations/"+anOperation, "").want(200).body)
	o.Ended = at
	a.store.operations.one = o
	require.Equal(t, "done", a.do("GET", "/v1/operations/"+anOperation, "").want(200).get("status"))
	o.Error = "the subscription is gone"
	a.store.operations.one = o
	require.Equal(t, "failed", a.do("GET", "/v1/operations/"+anOperation, "").want(200).get("status"))
	a.do("GET", "/v1/operations/x", "").problem(404, "not-found")
}

func TestADeadLetterIsShownByItsID(t *testing.T) {
	a := newAPI(t)
	a.store.dead = []router.DeadLetter{{ID: "dlv_1", Subscription: "sub_1", Position: router.Position{MS: 5}, At: time.UnixMilli(1_732_128_000_000), Reason: "status"}}
	require.Equal(t, "status", a.do("GET", "/v1/dead-letters/dlv_1", "").want(200).get("reason"))
	a.do("GET", "/v1/dead-letters/dlv_2", "").problem(404, "not-found")
}
