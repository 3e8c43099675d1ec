package client_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
)

func TestARedriveIsBegunAndFollowedToItsEnd(t *testing.T) {
	c, s, waited := start(t,
		ok(`{"dry_run":true,"count":7}`), reply(202, "application/json", `{"operation":"op_1"}`),
		ok(`{"id":"op_1","kind":"redrive","status":"running","created":"2026-11-20T12:00:00.000Z","total":7,"done":3,"counts":{"redriven":3}}`),
		ok(`{"id":"op_1","kind":"redrive","status":"done","created":"2026-11-20T12:00:00.000Z","ended":"2026-11-20T12:00:01.000Z","total":7,"done":7,"counts":{"redriven":7}}`),
	)
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	selection := client.DeadLetterSelection{
		DeadLetterQuery: client.DeadLetterQuery{Subscription: "billing", Reason: "status", From: day, To: day.Add(24 * time.Hour)},
		IDs:             []string{"dlv_1"}, Rate: client.Rate{Limit: 10, Per: time.Second},
	}
	n, err := c.CountDeadLetters(t.Context(), selection)
	require.NoError(t, err)
	require.EqualValues(t, 7, n)
	fields := `"subscription":"billing","reason":"status","from":"2026-11-20T00:00:00.000Z","to":"2026-11-21T00:00:00.000Z","ids":["dlv_1"]`
	require.JSONEq(t, `{`+fields+`,"dry_run":true}`, s.at(0).body)

	id, err := c.Redrive(t.Context(), selection)
	require.NoError(t, err)
	require.Equal(t, "/v1/dead-letters/redrive", s.at(1).url.Path)
	require.JSONEq(t, `{`+fields+`,"rate":{"limit":10,"per":"1s"}}`, s.at(1).body)
	var seen []int64
	o, err := c.Await(t.Context(), id, func(o client.Operation) { seen = append(seen, o.Done) })
	require.NoError(t, err)
	require.Equal(t, []int64{3, 7}, seen)
	require.Equal(t, "done", o.Status)
	require.Equal(t, day.Add(12*time.Hour+time.Second), o.Ended)
	require.Len(t, waited.list, 1)
}

func TestAPurgeAndAReplaySendWhatTheySelect(t *testing.T) {
	begun := reply(202, "application/json", `{"operation":"op_1"}`)
	c, s, _ := start(t, begun, begun, ok(`{"dry_run":true,"count":12}`))
	_, err := c.Purge(t.Context(), client.DeadLetterSelection{All: true})
	require.NoError(t, err)
	require.Equal(t, "/v1/dead-letters/purge", s.at(0).url.Path)
	require.JSONEq(t, `{"all":true}`, s.at(0).body)
	day := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	id, err := c.Replay(t.Context(), "billing", client.Replay{From: day, To: day.Add(time.Hour), Types: []string{"order.*"}})
	require.NoError(t, err)
	require.Equal(t, "op_1", id)
	require.Equal(t, "/v1/subscriptions/billing/replay", s.at(1).url.Path)
	require.JSONEq(t, `{"from":"2026-11-20T00:00:00.000Z","to":"2026-11-20T01:00:00.000Z","types":["order.*"]}`, s.at(1).body)
	n, err := c.CountReplay(t.Context(), "billing", client.Replay{All: true})
	require.NoError(t, err)
	require.EqualValues(t, 12, n)
	require.JSONEq(t, `{"all":true,"dry_run":true}`, s.at(2).body)
}

func TestDeadLettersAndDeliveriesAreRead(t *testing.T) {
	delivery := `{"id":"dlv_1","subscription":"sub_1","position":"0:5-0","status":"retrying","next_attempt":"2026-11-20T12:00:00.000Z","attempts":[{"at":"2026-11-20T11:00:00.000Z","duration":"1s","outcome":"status"}]}`
	letter := `{"id":"dlv_1","subscription":"sub_1","position":"0:5-0","at":"2026-11-20T12:00:00.000Z","reason":"status","attempts":[],"event":{"id":"a"}}`
	c, s, _ := start(t, ok(`{"items":[`+delivery+`]}`), ok(delivery), ok(delivery), ok(`{"items":[`+letter+`]}`), ok(letter))
	for d, err := range c.Deliveries(t.Context(), client.DeliveryQuery{Subscription: "billing", Status: "retrying", Event: "0:5-0"}) {
		require.NoError(t, err)
		require.Equal(t, "status", d.Attempts[0].Outcome)
	}
	require.Equal(t, "event=0%3A5-0&limit=500&status=retrying&subscription=billing", s.at(0).url.RawQuery)
	d, err := c.Delivery(t.Context(), "dlv_1")
	require.NoError(t, err)
	require.Equal(t, time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC), d.NextAttempt)
	_, err = c.RetryDelivery(t.Context(), "dlv_1")
	require.NoError(t, err)
	require.Equal(t, "POST", s.at(2).method)
	require.Equal(t, "/v1/deliveries/dlv_1/retry", s.at(2).url.Path)
	for l, err := range c.DeadLetters(t.Context(), client.DeadLetterQuery{Reason: "status"}) {
		require.NoError(t, err)
		require.JSONEq(t, `{"id":"a"}`, string(l.Event))
	}
	require.Equal(t, "limit=500&reason=status", s.at(3).url.RawQuery)
	one, err := c.DeadLetter(t.Context(), "dlv_1")
	require.NoError(t, err)
	require.Equal(t, "status", one.Reason)
}
