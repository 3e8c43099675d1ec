package httpapi_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

const paid = `{"specversion":"1.0","id":"a1","source":"/shop","type":"order.paid","data":{"total":120}}`

// batchOf is a batch of events with the given ids.
func batchOf(ids ...string) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"specversion":"1.0","id":%q,"source":"/shop","type":"order.paid"}`, id)
	}
	return "[" + b.String() + "]"
}

const (
	structured = "Content-Type: application/cloudevents+json"
	batch      = "Content-Type: application/cloudevents-batch+json"
)

func TestPublishingAnswersWithThePositionOnceItIsStored(t *testing.T) {
	a := newAPI(t)
	res := a.do("POST", "/v1/events", paid, structured).want(http.StatusAccepted)
	require.JSONEq(t, `{"events":[{"id":"a1","source":"/shop","position":"0:1732128000000-0","duplicate":false}]}`, res.body)
	res = a.do("POST", "/v1/events", paid, structured).want(http.StatusAccepted)
	require.JSONEq(t, `{"events":[{"id":"a1","source":"/shop","position":"0:1732128000000-0","duplicate":true}]}`, res.body)
}

func TestEveryContentModeIsTaken(t *testing.T) {
	a := newAPI(t)
	for name, request := range map[string]struct {
		body    string
		headers []string
		ids     []any
	}{
		"structured":          {paid, []string{structured}, []any{"a1"}},
		"batch":               {batchOf("b1", "b2"), []string{batch}, []any{"b1", "b2"}},
		"empty batch":         {"[]", []string{batch}, nil},
		"binary":              {"\x00\x01", []string{"Content-Type: application/octet-stream", "Ce-Specversion: 1.0", "Ce-Id: c1", "Ce-Source: /x", "Ce-Type: y"}, []any{"c1"}},
		"binary without data": {"", []string{"Ce-Specversion: 1.0", "Ce-Id: c2", "Ce-Source: /x", "Ce-Type: y"}, []any{"c2"}},
		"plain":               {`{"type":"x","id":"d1"}`, nil, []any{"d1"}},
		"plain array":         {`[{"type":"x","id":"d2"},{"type":"x","id":"d3"}]`, nil, []any{"d2", "d3"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := a.in(t)
			res := a.do("POST", "/v1/events", request.body, request.headers...).want(http.StatusAccepted)
			var ids []any
			for i := range res.get("events").([]any) {
				ids = append(ids, res.get("events", i, "id"))
			}
			require.Equal(t, request.ids, ids)
		})
	}
}

func TestAPlainEventWithoutAnIDIsGivenOne(t *testing.T) {
	res := newAPI(t).do("POST", "/v1/events", `[{"type":"x"},{"type":"x"}]`).want(http.StatusAccepted)
	require.Len(t, res.get("events", 0, "id"), 26)
	require.NotEqual(t, res.get("events", 0, "id"), res.get("events", 1, "id"))
	require.Equal(t, "/", res.get("events", 0, "source"))
}

func TestWhatIsWrongWithAPublishRequestIsNamed(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) {
		c.Limits = cloudevents.Limits{MaxEventBytes: 1000, MaxBatchBytes: 3000, MaxBatchEvents: 5}
	})
	long := strings.Repeat("x", 2000)
	for name, request := range map[string]struct {
		body, header string
		status       int
		word         string
		location     any
	}{
		"not JSON":                   {`{"type":`, structured, 400, "malformed", nil},
		"no type":                    {`{"specversion":"1.0","id":"1","source":"/"}`, structured, 400, "malformed", "body.type"},
		"one of a batch":             {`[` + paid + `,{"specversion":"1.0","id":"1","source":"/","type":"x","time":"soon"}]`, batch, 400, "malformed", "body[1].time"},
		"no content type":            {paid, "Content-Type: ", 415, "unsupported-media", nil},
		"another content type":       {paid, "Content-Type: text/plain", 415, "unsupported-media", nil},
		"packed":                     {paid, "Content-Encoding: gzip", 415, "unsupported-media", nil},
		"a large event":              {`{"type":"x","data":"` + long + `"}`, structured, 413, "too-large", nil},
		"a large body":               {`[{"type":"x","data":"` + long + long + `"}]`, "X-A: b", 413, "too-large", nil},
		"many events":                {batchOf("1", "2", "3", "4", "5", "6"), batch, 413, "too-large", nil},
		"a reserved type":            {`{"type":"streamlatch.x"}`, "X-A: b", 422, "reserved", "body.type"},
		"a reserved source":          {`{"type":"x","source":"/streamlatch/x"}`, "X-A: b", 422, "reserved", "body.source"},
		"a reserved extension":       {`{"type":"x","streamlatchhops":1}`, "X-A: b", 422, "reserved", "body.streamlatchhops"},
		"an event in another format": {paid, "Content-Type: application/cloudevents+avro", 415, "unsupported-media", nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := a.in(t)
			res := a.do("POST", "/v1/events", request.body, request.header).problem(request.status, request.word)
			require.Equal(t, false, res.get("retryable"))
			if request.location != nil {
				require.Equal(t, request.location, res.get("errors", 0, "location"), res.body)
			}
		})
	}
	require.Empty(t, a.store.seen)
}

func TestABodyWithoutALengthIsCutOffAtTheLimit(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) { c.Limits = cloudevents.Limits{MaxEventBytes: 1000} })
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n%s\r\n0\r\n\r\n", strings.Repeat("x", 2000))
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusRequestEntityTooLarge, res.StatusCode)
}

func TestABodyThatEndsEarlyIsMalformed(t *testing.T) {
	a := newAPI(t)
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprint(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\nContent-Length: 100\r\n\r\n{")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusBadRequest, res.StatusCode)
}

func TestWhatTheStoreRefusesIsTheProblemOfASingleEvent(t *testing.T) {
	for name, c := range map[string]struct {
		err        error
		status     int
		word       string
		retryAfter string
	}{
		"id reused":   {router.Errorf(router.IDReused, "the id was used"), 422, "id-reused", ""},
		"full":        {&router.Error{Code: router.Full, Message: "no room", RetryAfter: 1500 * time.Millisecond}, 503, "full", "2"},
		"unavailable": {router.Errorf(router.Unavailable, "no Redis"), 503, "unavailable", "1"},
		"internal":    {errors.New("secret host 10.1.2.3"), 500, "internal", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			a.store.refuse = map[string]error{"a1": c.err}
			res := a.do("POST", "/v1/events", paid, structured).problem(c.status, c.word)
			require.Equal(t, c.retryAfter, res.header.Get("Retry-After"))
			require.Equal(t, c.status == 503, res.get("retryable"))
			require.Equal(t, "/problems/"+c.word, res.get("events", 0, "error", "type"))
			require.NotContains(t, res.body, "10.1.2.3")
		})
	}
}

func TestABatchThatIsStoredInPartSaysWhatBecameOfEachEvent(t *testing.T) {
	reused, down, internal := router.Errorf(router.IDReused, "the id was used"), router.Errorf(router.Unavailable, "no Redis"), errors.New("boom")
	for name, c := range map[string]struct {
		refuse map[string]error
		status int
		word   string
	}{
		"one is refused for good":         {map[string]error{"2": reused}, 422, "id-reused"},
		"one is not known":                {map[string]error{"3": down}, 503, "unavailable"},
		"a retry helps some":              {map[string]error{"1": reused, "3": down}, 503, "unavailable"},
		"the server is at fault":          {map[string]error{"1": reused, "3": internal}, 500, "internal"},
		"a retry helps some, others fail": {map[string]error{"1": reused, "2": internal, "3": down}, 503, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAPI(t)
			a.store.refuse = c.refuse
			res := a.do("POST", "/v1/events", batchOf("1", "2", "3"), batch).problem(c.status, c.word)
			for i, id := range []string{"1", "2", "3"} {
				require.Equal(t, id, res.get("events", i, "id"))
				event := res.get("events", i).(map[string]any)
				require.Equal(t, c.refuse[id] != nil, event["error"] != nil, res.body)
				require.Equal(t, c.refuse[id] == nil, event["position"] != nil, res.body)
			}
			a.store.refuse = nil
			again := a.do("POST", "/v1/events", batchOf("1", "2", "3"), batch).want(http.StatusAccepted)
			for i, id := range []string{"1", "2", "3"} {
				require.Equal(t, c.refuse[id] == nil, again.get("events", i, "duplicate"))
			}
		})
	}
}

func TestTheRateOfACallerCountsEventsAndSaysWhenThereIsRoomAgain(t *testing.T) {
	now := time.UnixMilli(0)
	a := newAPI(t, func(c *httpapi.Config) {
		c.PublishRate, c.Now = 2, func() time.Time { return now }
		c.Limits.MaxBatchEvents = 4
	})
	a.do("POST", "/v1/events", batchOf("1", "2", "3", "4"), batch).want(http.StatusAccepted)
	res := a.do("POST", "/v1/events", batchOf("5", "6", "7"), batch).problem(http.StatusTooManyRequests, "rate-limited")
	require.Equal(t, "2", res.header.Get("Retry-After"))
	require.Equal(t, true, res.get("retryable"))

	now = now.Add(1500 * time.Millisecond)
	a.do("POST", "/v1/events", batchOf("5", "6", "7"), batch).want(http.StatusAccepted)
	a.do("POST", "/v1/events", batchOf("8"), batch).problem(http.StatusTooManyRequests, "rate-limited")
}

func TestTheRateIsEachKeysOwn(t *testing.T) {
	first, second := newKey(t, 1), newKey(t, 2)
	a := newAPI(t, func(c *httpapi.Config) {
		c.PublishRate, c.Limits.MaxBatchEvents = 1, 1
		c.Keys = []httpapi.Key{{Hash: first.hash, Scopes: []httpapi.Scope{httpapi.PublishScope}}, {Hash: second.hash, Scopes: []httpapi.Scope{httpapi.PublishScope}}}
	})
	a.do("POST", "/v1/events", paid, first.header).want(http.StatusAccepted)
	a.do("POST", "/v1/events", paid, first.header).problem(http.StatusTooManyRequests, "rate-limited")
	a.do("POST", "/v1/events", paid, second.header).want(http.StatusAccepted)
}
