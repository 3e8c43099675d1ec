package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

func TestTheStatusSaysWhoRoutesWhatAndWhereMemoryIsHeading(t *testing.T) {
	a := newAPI(t)
	require.JSONEq(t, `{"version":"1.2.3","format":0,"replicas":[],"partitions":[],"memory":{"used":0,"max":null,"per_hour":0,"full_in":null,"full":false},"dead_letters":0,"dead_letters_expired":0}`,
		a.do("GET", "/v1/status", "").want(200).body)

	at := time.UnixMilli(1_732_128_000_000)
	a.store.status = router.Status{
		Format: 1, Dead: 5, Expired: 2,
		Replicas: []router.ReplicaStatus{{ID: "r1", Version: "1.2.2", Started: at, Seen: at, Handlers: []string{"in-go"}}},
		Partitions: []router.PartitionStatus{
			{Owner: "r1", Cursor: router.Position{MS: 5}, End: router.Position{MS: 9, Seq: 1}, Lag: 3, LagAge: 1500 * time.Millisecond, Events: 10, Oldest: router.Position{MS: 1}, Backlog: 2,
				Forwarded: &router.ForwardedStatus{Waiting: 4, Age: 2 * time.Second, WaitsFor: []int{1}}},
			{Partition: 1, Cursor: router.Position{Partition: 1}, End: router.Position{Partition: 1}, Oldest: router.Position{Partition: 1}, Alarm: "the cursor is ahead of the log"},
		},
		Memory: router.MemoryStatus{Used: 750, Max: 1000, PerHour: 100},
	}
	require.JSONEq(t, `{"version":"1.2.3","format":1,"dead_letters":5,"dead_letters_expired":2,
		"replicas":[{"id":"r1","version":"1.2.2","started":"2024-11-20T18:40:00.000Z","seen":"2024-11-20T18:40:00.000Z","handlers":["in-go"]}],
		"partitions":[
			{"partition":0,"owner":"r1","cursor":"0:5-0","end":"0:9-1","lag":3,"lag_age":"1.5s","events":10,"oldest":"0:1-0","backlog":2,"alarm":null,"forwarded":{"waiting":4,"age":"2s","waits_for":[1]}},
			{"partition":1,"owner":null,"cursor":"1:0-0","end":"1:0-0","lag":0,"lag_age":"0s","events":0,"oldest":"1:0-0","backlog":0,"alarm":"the cursor is ahead of the log"}],
		"memory":{"used":750,"max":1000,"per_hour":100,"full_in":"2h30m","full":false}}`, a.do("GET", "/v1/status", "").want(200).body)
	a.store.status.Memory.PerHour = 1
	a.store.status.Memory.Max = 1 << 60
	require.Nil(t, a.do("GET", "/v1/status", "").want(200).get("memory", "full_in"), "too far away to say")
}

func TestHealthIsTheProcessAndReadinessWhatItNeeds(t *testing.T) {
	a := newAPI(t)
	require.JSONEq(t, `{"status":"ok","version":"1.2.3"}`, a.do("GET", "/healthz", "").want(200).body)
	require.JSONEq(t, `{"status":"ready"}`, a.do("GET", "/readyz", "").want(200).body)
	a.store.notReady = router.Errorf(router.Unavailable, "the definitions have not been read yet")
	require.Equal(t, "the definitions have not been read yet", a.do("GET", "/readyz", "").problem(503, "unavailable").get("detail"))
	a.store.notReady = errors.New("dial tcp 10.1.2.3")
	require.NotContains(t, a.do("GET", "/readyz", "").problem(503, "unavailable").body, "10.1.2.3")
	a.do("GET", "/healthz", "").want(200)
}

func TestDeadLettersAreListedWithTheWholeEvent(t *testing.T) {
	a := newAPI(t)
	e, err := router.NewEvent(router.EventFields{ID: "1", Source: "/", Type: "x", DataKind: router.JSONData, Data: `{ "a": "<b>" }`})
	require.NoError(t, err)
	at := time.UnixMilli(1_732_128_000_000)
	a.store.dead = []router.DeadLetter{
		{
			ID: "dlv_1", Subscription: "sub_1", Position: router.Position{MS: 5}, At: at, Reason: "status", Event: e,
			Attempts: []router.Attempt{{At: at, Duration: router.Duration(time.Second), Outcome: router.OutcomeStatus, StatusCode: 500}},
		},
		{Position: router.Position{Partition: 1, MS: 6}, At: at, Reason: "undecodable", Raw: "\x00\xff"},
	}
	res := a.do("GET", "/v1/dead-letters", "").want(200)
	require.Equal(t, `{"items":[{"id":"dlv_1","subscription":"sub_1","position":"0:5-0","at":"2024-11-20T18:40:00.000Z","reason":"status",`+
		`"attempts":[{"at":"2024-11-20T18:40:00.000Z","duration":"1s","outcome":"status","status_code":500}],`+
		`"event":{"specversion":"1.0","id":"1","source":"/","type":"x","data":{ "a": "<b>" }}},`+
		`{"position":"1:6-0","at":"2024-11-20T18:40:00.000Z","reason":"undecodable","raw_base64":"AP8=","attempts":[]}]}`+"\n", res.body)
	require.Equal(t, []any{router.DeadLetterFilter{}, "", 50}, a.store.deadAsked)

	require.Equal(t, "more", a.do("GET", "/v1/dead-letters?limit=1", "").want(200).get("next"))
}

func TestDeadLettersAreFiltered(t *testing.T) {
	a := newAPI(t)
	id := a.do("POST", "/v1/subscriptions", billing).want(201).get("id").(string)
	from, to := time.UnixMilli(0).UTC(), time.UnixMilli(5000).UTC()
	a.do("GET", "/v1/dead-letters?subscription=billing&reason=status&from=1970-01-01T00:00:00Z&to=1970-01-01T00:00:05Z&cursor=c&limit=2", "").want(200)
	require.Equal(t, []any{router.DeadLetterFilter{Subscription: id, Reason: "status", From: from, To: to}, "c", 2}, a.store.deadAsked)
	gone := "sub_" + strings.Repeat("7", 26)
	a.do("GET", "/v1/dead-letters?subscription="+gone, "").want(200)
	require.Equal(t, []any{router.DeadLetterFilter{Subscription: gone}, "", 50}, a.store.deadAsked, "dead letters outlive their subscription")
	a.do("GET", "/v1/dead-letters?subscription=none", "").problem(404, "not-found")
	require.Equal(t, "query.subscription", a.do("GET", "/v1/dead-letters?subscription=A", "").problem(422, "invalid").get("errors", 0, "location"))
	a.do("GET", "/v1/dead-letters?event=1", "").problem(422, "invalid")
}

func TestMetricsCountRequestsByRouteAndEventsByResult(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/events", batchOf("1", "2"), batch).want(202)
	a.do("POST", "/v1/events", batchOf("1"), batch).want(202)
	a.store.refuse = map[string]error{"3": router.Errorf(router.IDReused, "x")}
	a.do("POST", "/v1/events", batchOf("3"), batch).want(422)
	a.do("GET", "/v1/events/0:1-1", "").want(404)
	a.do("GET", "/v1/events/0:2-1", "").want(404)
	a.do("GET", "/whatever/"+strings.Repeat("x", 50), "").want(404)
	text := a.do("GET", "/metrics", "").want(200).body
	for _, line := range []string{
		`streamlatch_http_requests_total{method="POST",route="/v1/events",status="2xx"} 2`,
		`streamlatch_http_requests_total{method="POST",route="/v1/events",status="4xx"} 1`,
		`streamlatch_http_requests_total{method="GET",route="/v1/events/{position}",status="4xx"} 2`,
		`streamlatch_http_requests_total{method="other",route="other",status="4xx"} 1`,
		`streamlatch_http_request_duration_seconds_count{method="POST",route="/v1/events"} 3`,
		`streamlatch_http_events_published_total{result="accepted"} 2`,
		`streamlatch_http_events_published_total{result="duplicate"} 1`,
		`streamlatch_http_events_published_total{result="failed"} 1`,
	} {
		require.Contains(t, text, line+"\n")
	}
	require.NotContains(t, text, "whatever")
}

func TestPathsAndMethodsThatThereAreNotAreProblemsToo(t *testing.T) {
	a := newAPI(t)
	a.do("GET", "/", "").problem(404, "not-found")
	a.do("GET", "/v1/nothing", "").problem(404, "not-found")
	res := a.do("DELETE", "/v1/events", "").problem(405, "method-not-allowed")
	require.Contains(t, res.header.Get("Allow"), "POST")
	require.NotEmpty(t, res.header.Get("X-Request-Id"))
}

// panicky is a store that panics.
type panicky struct{ *fakeStore }

func (panicky) Status(context.Context) (router.Status, error) { panic("secret 10.1.2.3") }

func TestAPanicIsAProblemAndHarmsNobody(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) { c.Status = panicky{} })
	res := a.do("GET", "/v1/status", "").problem(500, "internal")
	require.NotContains(t, res.body, "10.1.2.3")
	require.Contains(t, a.log.String(), "secret 10.1.2.3")
	require.Contains(t, a.log.String(), "operation_test.go", "where it happened")
	a.do("GET", "/healthz", "").want(200)
	require.Contains(t, a.do("GET", "/metrics", "").body, `streamlatch_http_requests_total{method="GET",route="/v1/status",status="5xx"} 1`)
}

func TestARequestKeepsItsIDIfThatIsHarmlessAndAnErrorHasOneInAnyCase(t *testing.T) {
	a := newAPI(t)
	require.Equal(t, "abc-1.2_3", a.do("GET", "/healthz", "", "X-Request-Id: abc-1.2_3").header.Get("X-Request-Id"))
	require.Empty(t, a.do("GET", "/healthz", "").header.Get("X-Request-Id"), "it costs, and nobody asked for it")
	first := a.do("GET", "/v1/events/x", "", `X-Request-Id: a"b`).want(422).header.Get("X-Request-Id")
	require.Regexp(t, `^[0-9A-Z]+-[0-9a-z]+$`, first)
	require.NotEqual(t, first, a.do("GET", "/v1/events/x", "", "X-Request-Id: "+strings.Repeat("a", 65)).header.Get("X-Request-Id"))
}

func TestRequestsAreLoggedAtDebugLevelWithWhatIsNotOursQuoted(t *testing.T) {
	log := &lockedBuffer{}
	a := newAPI(t, func(c *httpapi.Config) {
		c.Logger = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	a.do("GET", "/v1/subscriptions/x%0Ay", "").want(422)
	var line map[string]any
	require.Eventually(t, func() bool { return strings.Contains(log.String(), "\n") }, 10*time.Second, time.Millisecond)
	require.NoError(t, json.Unmarshal([]byte(log.String()), &line))
	require.Equal(t, `"/v1/subscriptions/x\ny"`, line["path"])
	require.Equal(t, "/v1/subscriptions/{ref}", line["route"])
	require.EqualValues(t, 422, line["status"])

	quiet := newAPI(t)
	quiet.do("GET", "/v1/subscriptions/x%0Ay", "").want(422)
	require.Empty(t, quiet.log.String())
}

func TestTheDocsPageNeedsNothingFromElsewhereAndRunsNothingElse(t *testing.T) {
	a := newAPI(t)
	res := a.do("GET", "/docs", "").want(200)
	require.Equal(t, "text/html; charset=utf-8", res.header.Get("Content-Type"))
	policy := res.header.Get("Content-Security-Policy")
	require.Contains(t, policy, "default-src 'none'")
	require.NotContains(t, policy, "unsafe")
	require.NotContains(t, policy, "http")
	require.Len(t, regexp.MustCompile(`'sha256-`).FindAllString(policy, -1), 3, "two scripts and a style")

	files := regexp.MustCompile(`(?:href|src)="([^"]+)"`).FindAllStringSubmatch(res.body, -1)
	require.NotEmpty(t, files)
	for _, file := range files {
		require.True(t, strings.HasPrefix(file[1], "/docs/"), file[1])
		require.NotEmpty(t, a.do("GET", file[1], "").want(200).body)
	}
	require.Contains(t, a.do("GET", "/docs/swagger-ui.css", "").header.Get("Content-Type"), "text/css")
	a.do("GET", "/docs/oauth2-redirect.html", "").problem(404, "not-found")
	a.do("GET", "/docs/..%2fserver.go", "").problem(404, "not-found")
}

func TestAnswersAreNotGuessedAt(t *testing.T) {
	a := newAPI(t)
	for _, path := range []string{"/healthz", "/docs", "/nothing", "/v1/events"} {
		require.Equal(t, "nosniff", a.do("GET", path, "").header.Get("X-Content-Type-Options"))
	}
}

func TestAServerHasBoundsForSlowClients(t *testing.T) {
	srv := newAPI(t).server.HTTPServer("127.0.0.1:0")
	require.Positive(t, srv.ReadHeaderTimeout)
	require.Positive(t, srv.ReadTimeout)
	require.Positive(t, srv.WriteTimeout)
	require.Positive(t, srv.IdleTimeout)
	require.Positive(t, srv.MaxHeaderBytes)
}
