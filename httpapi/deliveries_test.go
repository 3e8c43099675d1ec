package httpapi_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// fakeDeliveries notes what is asked for, and answers with what a test sets.
type fakeDeliveries struct {
	asked []any
	list  []router.DeliveryRecord
	next  string
	err   error
}

func (f *fakeDeliveries) Deliveries(_ context.Context, filter router.DeliveryFilter, cursor string, limit int) ([]router.DeliveryRecord, string, error) {
	f.asked = []any{filter, cursor, limit}
	return f.list, f.next, f.err
}

func (f *fakeDeliveries) Delivery(_ context.Context, id string) (router.DeliveryRecord, error) {
	f.asked = []any{"show", id}
	if len(f.list) == 0 {
		return router.DeliveryRecord{}, router.Errorf(router.NotFound, "there is no delivery")
	}
	return f.list[0], f.err
}

func (f *fakeDeliveries) HastenDelivery(_ context.Context, id string) (router.DeliveryRecord, error) {
	f.asked = []any{"retry", id}
	return f.list[0], f.err
}

func TestDeliveriesAreListedWithTheirAttempts(t *testing.T) {
	a := newAPI(t)
	at := time.UnixMilli(1_732_128_000_000)
	a.store.deliveries.list = []router.DeliveryRecord{
		{
			ID: "dlv_1", Subscription: "sub_1", Position: router.Position{MS: 5}, Status: router.DeliveryRetrying, Next: at,
			Attempts: []router.Attempt{{At: at, Duration: router.Duration(time.Second), Outcome: router.OutcomeStatus, StatusCode: 500, Response: "no"}},
		},
		{ID: "dlv_2", Subscription: "sub_1", Position: router.Position{MS: 6}, Status: router.DeliveryPending, LeaseUntil: at, Worker: "w1", Progress: "40", Note: "x"},
	}
	a.store.deliveries.next = "more"
	first := `{"id":"dlv_1","subscription":"sub_1","position":"0:5-0","status":"retrying","next_attempt":"2024-11-20T18:40:00.000Z",
		"attempts":[{"at":"2024-11-20T18:40:00.000Z","duration":"1s","outcome":"status","status_code":500,"response":"no"}]}`
	require.JSONEq(t, `{"next":"more","items":[`+first+`,{"id":"dlv_2","subscription":"sub_1","position":"0:6-0","status":"pending","attempts":[],
		"lease_until":"2024-11-20T18:40:00.000Z","worker":"w1","progress":40,"note":"x"}]}`, a.do("GET", "/v1/deliveries", "").want(200).body)
	require.Equal(t, []any{router.DeliveryFilter{}, "", 50}, a.store.deliveries.asked)

	require.JSONEq(t, first, a.do("GET", "/v1/deliveries/dlv_1", "").want(200).body)
	require.Equal(t, []any{"show", "dlv_1"}, a.store.deliveries.asked)
	require.JSONEq(t, first, a.do("POST", "/v1/deliveries/dlv_1/retry", "").want(200).body)
	require.Equal(t, []any{"retry", "dlv_1"}, a.store.deliveries.asked)
	a.store.deliveries.list = nil
	a.do("GET", "/v1/deliveries/dlv_1", "").problem(404, "not-found")
}

func TestDeliveriesAreFiltered(t *testing.T) {
	a := newAPI(t)
	id := a.do("POST", "/v1/subscriptions", billing).want(201).get("id").(string)
	a.do("GET", "/v1/deliveries?subscription=billing&status=dead&event=1:5-0&cursor=c&limit=2", "").want(200)
	require.Equal(t, []any{router.DeliveryFilter{Subscription: id, Status: "dead", Event: &router.Position{Partition: 1, MS: 5}}, "c", 2}, a.store.deliveries.asked)
	for query, field := range map[string]string{"status=lost": "query.status", "event=5": "query.event", "subscription=A": "query.subscription"} {
		require.Equal(t, field, a.do("GET", "/v1/deliveries?"+query, "").problem(422, "invalid").get("errors", 0, "location"))
	}
	a.do("GET", "/v1/deliveries?subscription=none", "").problem(404, "not-found")
}
