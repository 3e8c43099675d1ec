package client_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
)

// events makes events with these ids.
func events(t testing.TB, ids ...string) (list []client.Event) {
	t.Helper()
	for _, id := range ids {
		e, err := client.NewEvent(client.EventFields{ID: id, Type: "t"})
		require.NoError(t, err)
		list = append(list, e)
	}
	return list
}

// stored answers 202 for events with these ids; one that begins with "=" is a duplicate.
func stored(ids ...string) http.HandlerFunc {
	return reply(http.StatusAccepted, "application/json", `{"events":[`+storedItems(ids...)+`]}`)
}

func storedItems(ids ...string) string {
	var items []string
	for _, id := range ids {
		plain := strings.TrimPrefix(id, "=")
		items = append(items, `{"id":"`+plain+`","source":"/","position":"0:`+plain+`","duplicate":`+strconv.FormatBool(plain != id)+`}`)
	}
	return strings.Join(items, ",")
}

// sentIDs are the ids in a request.
func sentIDs(s seen) (ids []string) {
	for _, part := range strings.Split(s.body, `"id":"`)[1:] {
		id, _, _ := strings.Cut(part, `"`)
		ids = append(ids, id)
	}
	return ids
}

func TestPublishTellsWhatBecameOfEachEvent(t *testing.T) {
	c, s, _ := start(t, stored("1", "=2"))
	got, err := c.Publish(t.Context(), events(t, "1", "2"))
	require.NoError(t, err)
	require.Equal(t, []client.Published{{Position: "0:1"}, {Position: "0:2", Duplicate: true}}, got)
	require.Equal(t, "application/json", s.at(0).header.Get("Content-Type"))
	require.Equal(t, `[{"specversion":"1.0","id":"1","type":"t"},{"specversion":"1.0","id":"2","type":"t"}]`, s.at(0).body)
}

func TestPublishingNothingAsksNobody(t *testing.T) {
	c, _, _ := start(t)
	got, err := c.Publish(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestPublishRepeatsAfterRetryAfterAndDoesNotCountItsOwnDuplicates(t *testing.T) {
	c, s, w := start(t, problem(429, `{"retryable":true}`, "Retry-After", "3"), hangUp, stored("=1"))
	got, err := c.Publish(t.Context(), events(t, "1"))
	require.NoError(t, err)
	require.Equal(t, []client.Published{{Position: "0:1"}}, got)
	require.Equal(t, 3*time.Second, w.list[0])
	require.Equal(t, s.at(0).body, s.at(2).body)
}

func TestPublishRepeatsOnlyWhatIsNotSettled(t *testing.T) {
	c, s, _ := start(t,
		problem(503, `{"retryable":true,"events":[`+storedItems("1")+`,{"id":"2","error":{"type":"/problems/unavailable","detail":"later","retryable":true}},
			{"id":"3","error":{"type":"/problems/id-reused","detail":"other content","retryable":false}}]}`, "Retry-After", "1"),
		stored("2"))
	got, err := c.Publish(t.Context(), events(t, "1", "2", "3"))
	require.NoError(t, err)
	require.Equal(t, "0:1", got[0].Position)
	require.Equal(t, "0:2", got[1].Position)
	require.EqualError(t, got[2].Err, "id-reused: other content")
	require.Equal(t, []string{"2"}, sentIDs(s.at(1)))
}

func TestPublishSettlesARequestInWhichSomeEventsWereRefused(t *testing.T) {
	c, _, _ := start(t, problem(422, `{"events":[`+storedItems("1")+`,{"id":"2","error":{"type":"/problems/id-reused","detail":"other content"}}]}`))
	got, err := c.Publish(t.Context(), events(t, "1", "2"))
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.Error(t, got[1].Err)
}

func TestPublishStoresTheOthersWhereTheServerNamesInvalidOnes(t *testing.T) {
	c, s, _ := start(t,
		problem(400, `{"title":"Bad","detail":"not valid","errors":[{"location":"body[1].time","message":"is no time"},{"location":"body[1].type","message":"is empty"}]}`),
		stored("1", "3"))
	got, err := c.Publish(t.Context(), events(t, "1", "2", "3"))
	require.NoError(t, err)
	require.Equal(t, []string{"1", "3"}, sentIDs(s.at(1)))
	require.NoError(t, got[0].Err)
	require.EqualError(t, got[1].Err, "400 Bad: not valid; time is no time; type is empty")
	require.NoError(t, got[2].Err)
}

func TestPublishLooksByHalvesForWhatTheServerDoesNotName(t *testing.T) {
	tooLarge := problem(413, `{"title":"Too large","detail":"the body is larger than the limit"}`)
	c, s, _ := start(t, tooLarge, stored("1"), tooLarge, tooLarge, stored("3"))
	got, err := c.Publish(t.Context(), events(t, "1", "2", "3"))
	require.NoError(t, err)
	require.NoError(t, got[0].Err)
	require.EqualError(t, got[1].Err, "413 Too large: the body is larger than the limit")
	require.NoError(t, got[2].Err)
	require.Equal(t, []string{"2"}, sentIDs(s.at(3)))
}

func TestPublishEndsWhereTheCallerIsRefused(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no key":     problem(401, `{"title":"A valid API key is needed"}`),
		"no scope":   problem(403, `{"title":"Not permitted","detail":"the API key lacks the scope"}`),
		"server bug": problem(500, `{"title":"Internal error"}`),
		"a stranger": reply(200, "text/html", "<html>"),
		"too few":    reply(202, "application/json", `{"events":[]}`),
	} {
		t.Run(name, func(t *testing.T) {
			c, _, _ := start(t, answer)
			got, err := c.Publish(t.Context(), events(t, "1", "2"))
			require.Error(t, err)
			require.Error(t, got[0].Err)
			require.Error(t, got[1].Err)
		})
	}
}

func TestATypeThatTheKeyIsNotForRefusesItsEventOnly(t *testing.T) {
	c, _, _ := start(t, problem(403, `{"title":"Not permitted","errors":[{"location":"body[0].type","message":"is not for this key"}]}`), stored("2"))
	got, err := c.Publish(t.Context(), events(t, "1", "2"))
	require.NoError(t, err)
	require.Error(t, got[0].Err)
	require.Equal(t, "0:2", got[1].Position)
}

func TestPublishSaysWhatIsNotKnownWhenItGivesUp(t *testing.T) {
	c, _, w := startWith(t, client.Config{Retry: client.Retry{For: time.Nanosecond}}, hangUp)
	got, err := c.Publish(t.Context(), events(t, "1"))
	_, lost := errors.AsType[*client.ConnectionError](err)
	require.True(t, lost)
	require.EqualError(t, got[0].Err, "it is not known whether the event was stored")
	require.Empty(t, w.list)
}
