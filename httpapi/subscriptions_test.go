package httpapi_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

const billing = `{"name":"billing","filter":{"types":["order.*"]},"sink":{"kind":"webhook","url":"https://billing.example/hook"}}`

const given = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

func billingWith(members string) string {
	return strings.TrimSuffix(billing, "}") + "," + members + "}"
}

// addHandler stores what Go code has subscribed.
func addHandler(t testing.TB, a *api) router.Subscription {
	t.Helper()
	s, err := a.store.CreateSubscription(t.Context(), router.Subscription{
		Name: "in-go", Enabled: true, Sink: router.Sink{Kind: router.HandlerSink}, Delivery: router.DefaultDelivery(),
	})
	require.NoError(t, err)
	return s
}

func TestCreatingASubscriptionShowsTheSecretThatWasMadeOnceAndGivenOnesNever(t *testing.T) {
	a := newAPI(t)
	res := a.do("POST", "/v1/subscriptions", billing).want(http.StatusCreated)
	require.Equal(t, freshSecret, res.get("sink", "secret"))
	id := res.get("id").(string)
	require.Equal(t, "/v1/subscriptions/"+id, res.header.Get("Location"))
	require.Equal(t, res.get("etag"), res.header.Get("ETag"))
	require.Equal(t, "structured", res.get("sink", "mode"), "defaults are shown")
	require.Equal(t, "no-store", res.header.Get("Cache-Control"))

	for _, ref := range []string{id, "billing"} {
		res = a.do("GET", "/v1/subscriptions/"+ref, "").want(http.StatusOK)
		require.Equal(t, "whsec_****", res.get("sink", "secret"))
		require.Equal(t, id, res.get("id"))
	}
	require.Equal(t, "whsec_****", a.do("GET", "/v1/subscriptions", "").want(http.StatusOK).get("items", 0, "sink", "secret"))
	res = a.do("PATCH", "/v1/subscriptions/billing", `{"title":"x"}`, "Content-Type: application/merge-patch+json").want(http.StatusOK)
	require.Equal(t, "whsec_****", res.get("sink", "secret"))
	require.Equal(t, freshSecret, a.store.subs[0].Sink.Secret)

	res = a.do("POST", "/v1/subscriptions", `{"name":"b","sink":{"kind":"webhook","url":"https://b.example/","secret":"`+given+`"}}`).want(http.StatusCreated)
	require.Equal(t, "whsec_****", res.get("sink", "secret"))
	require.Equal(t, given, a.store.subs[1].Sink.Secret)
}

func TestAuthIsStoredAndShownMasked(t *testing.T) {
	a := newAPI(t)
	const withAuth = `{"name":"b","sink":{"kind":"webhook","url":"https://b.example/","headers":{"x-api-key":"hunter2"},"auth":{"kind":"basic","user":"joe","password":"hunter2"}}}`
	res := a.do("POST", "/v1/subscriptions", withAuth).want(http.StatusCreated)
	require.NotContains(t, res.body, "hunter2")
	require.Equal(t, router.Auth{Kind: router.BasicAuth, User: "joe", Password: "hunter2"}, a.store.subs[0].Sink.Auth)
	shown := a.do("GET", "/v1/subscriptions/b", "").want(http.StatusOK)
	require.Equal(t, "****", shown.get("sink", "auth", "password"))
	a.do("PUT", "/v1/subscriptions/b", shown.body).want(http.StatusOK)
	require.Equal(t, "hunter2", a.store.subs[0].Sink.Auth.Password, "what GET gave can be PUT back")
	require.Equal(t, "hunter2", a.store.subs[0].Sink.Headers["x-api-key"])
	res = a.do("PATCH", "/v1/subscriptions/b", `{"sink":{"auth":null,"headers":null}}`).want(http.StatusOK)
	require.NotContains(t, res.body, "auth")
	require.Zero(t, a.store.subs[0].Sink.Auth)
	require.Equal(t, "body.sink.auth.token",
		a.do("PATCH", "/v1/subscriptions/b", `{"sink":{"auth":{"kind":"bearer"}}}`).problem(http.StatusUnprocessableEntity, "invalid").get("errors", 0, "location"))
}

func TestAStreamSinkIsShownWithItsPasswordMasked(t *testing.T) {
	a := newAPI(t)
	res := a.do("POST", "/v1/subscriptions", `{"name":"s","sink":{"kind":"stream","stream":"orders","maxlen":10,"redis":"rediss://joe:hunter2@redis.example"}}`).want(http.StatusCreated)
	require.Equal(t, "rediss://joe:****@redis.example", res.get("sink", "redis"))
	shown := a.do("GET", "/v1/subscriptions/s", "").want(http.StatusOK)
	require.NotContains(t, shown.body, "secret")
	a.do("PUT", "/v1/subscriptions/s", shown.body).want(http.StatusOK)
	require.Equal(t, "rediss://joe:hunter2@redis.example", a.store.subs[0].Sink.Redis)
	a.do("PATCH", "/v1/subscriptions/s", `{"sink":{"redis":"rediss://joe:****@evil.example"}}`).problem(http.StatusUnprocessableEntity, "invalid")
	a.do("POST", "/v1/subscriptions/s/rotate-secret", "").problem(http.StatusUnprocessableEntity, "invalid")
}

func TestARotatedSecretIsShownOnceAndTheOneBeforeSignsOn(t *testing.T) {
	a := newAPI(t)
	created := a.do("POST", "/v1/subscriptions", billingWith(`"title":"x"`)).want(http.StatusCreated)
	a.do("PATCH", "/v1/subscriptions/billing", `{"sink":{"secret":"`+given+`"}}`).want(http.StatusOK)
	a.do("POST", "/v1/subscriptions/billing/rotate-secret", "", "If-Match: "+created.header.Get("ETag")).problem(http.StatusPreconditionFailed, "precondition")
	res := a.do("POST", "/v1/subscriptions/billing/rotate-secret", "").want(http.StatusOK)
	require.Equal(t, freshSecret, res.get("sink", "secret"))
	require.Equal(t, "x", res.get("title"))
	require.NotContains(t, res.body, given)
	require.Equal(t, res.get("etag"), res.header.Get("ETag"))
	stored := a.store.subs[0]
	require.Equal(t, []string{freshSecret, given}, stored.SigningSecrets(stored.Updated.Add(23*time.Hour)))

	shown := a.do("GET", "/v1/subscriptions/billing", "").want(http.StatusOK)
	require.Equal(t, "whsec_****", shown.get("sink", "secret"))
	require.Equal(t, res.get("previous_secret_until"), shown.get("previous_secret_until"))
	a.do("PUT", "/v1/subscriptions/billing", shown.body).want(http.StatusOK)
	require.Len(t, a.store.subs[0].Rotated, 1, "what GET gave can be PUT back")
	a.do("PATCH", "/v1/subscriptions/billing", `{"sink":{"secret":"`+given+`"}}`).want(http.StatusOK)
	require.Empty(t, a.store.subs[0].Rotated, "a secret that is set takes the place of all others at once")

	addHandler(t, a)
	a.do("POST", "/v1/subscriptions/in-go/rotate-secret", "").problem(http.StatusUnprocessableEntity, "invalid")
	a.do("POST", "/v1/subscriptions/nosuch/rotate-secret", "").problem(http.StatusNotFound, "not-found")
	for range router.MaxRotatedSecrets {
		a.do("POST", "/v1/subscriptions/billing/rotate-secret", "").want(http.StatusOK)
	}
	a.do("POST", "/v1/subscriptions/billing/rotate-secret", "").problem(http.StatusConflict, "conflict")
}

func TestASecretStaysUnlessItIsReplacedOrRemoved(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/subscriptions", billing).want(http.StatusCreated)
	shown := a.do("GET", "/v1/subscriptions/billing", "").body
	a.do("PUT", "/v1/subscriptions/billing", shown).want(http.StatusOK)
	require.Equal(t, freshSecret, a.store.subs[0].Sink.Secret, "what GET gave can be PUT back")
	a.do("PUT", "/v1/subscriptions/billing", billing).want(http.StatusOK)
	require.Equal(t, freshSecret, a.store.subs[0].Sink.Secret, "left out")
	a.do("PATCH", "/v1/subscriptions/billing", `{"sink":{"secret":"`+given+`"}}`).want(http.StatusOK)
	require.Equal(t, given, a.store.subs[0].Sink.Secret)
	require.Nil(t, a.do("PATCH", "/v1/subscriptions/billing", `{"sink":{"secret":null}}`).want(http.StatusOK).get("sink", "secret"))
	require.Empty(t, a.store.subs[0].Sink.Secret)
}

func TestPutCreatesAtANameAndReplaces(t *testing.T) {
	a := newAPI(t)
	unnamed := strings.Replace(billing, `"name":"billing",`, "", 1)
	res := a.do("PUT", "/v1/subscriptions/billing", unnamed).want(http.StatusCreated)
	id := res.get("id").(string)
	require.Equal(t, freshSecret, res.get("sink", "secret"))
	require.NotEmpty(t, res.header.Get("Location"))

	res = a.do("PUT", "/v1/subscriptions/billing", billingWith(`"title":"Billing"`)).want(http.StatusOK)
	require.Equal(t, id, res.get("id"))
	require.Equal(t, "Billing", res.get("title"))
	res = a.do("PUT", "/v1/subscriptions/"+id, strings.Replace(billing, "billing", "invoices", 1)).want(http.StatusOK)
	require.Equal(t, "invoices", res.get("name"), "at its id it can be renamed")
	require.Nil(t, res.get("title"), "what is left out has its default")

	require.Equal(t, "body.name", a.do("PUT", "/v1/subscriptions/other", billing).problem(422, "invalid").get("errors", 0, "location"))
	a.do("PUT", "/v1/subscriptions/sub_"+strings.Repeat("0", 26), billing).problem(404, "not-found")
}

func TestPreconditionsGuardEveryChange(t *testing.T) {
	a := newAPI(t)
	etag := a.do("POST", "/v1/subscriptions", billing).want(201).header.Get("ETag")
	for name, c := range map[string]struct {
		method, path, header string
		status               int
	}{
		"PUT with another tag":          {"PUT", "billing", `If-Match: "999"`, 412},
		"PUT with a weak tag":           {"PUT", "billing", `If-Match: W/` + etag, 412},
		"PUT that only creates":         {"PUT", "billing", `If-None-Match: *`, 412},
		"PUT unless it is this one":     {"PUT", "billing", `If-None-Match: W/` + etag, 412},
		"PUT of what has to be there":   {"PUT", "other", `If-Match: *`, 412},
		"PATCH with another tag":        {"PATCH", "billing", `If-Match: "999", "998"`, 412},
		"PATCH of what is not there":    {"PATCH", "other", `If-Match: "999"`, 404},
		"DELETE with another tag":       {"DELETE", "billing", `If-Match: "999"`, 412},
		"DELETE of what is not there":   {"DELETE", "other", `If-Match: *`, 404},
		"PUT with something else":       {"PUT", "billing", `If-Match: 999`, 400},
		"PATCH with something else":     {"PATCH", "billing", `If-Match: "1`, 400},
		"DELETE with something else":    {"DELETE", "billing", `If-None-Match: "1",`, 400},
		"POST of a name that is taken":  {"POST", "", `If-None-Match: *`, 409},
		"DELETE unless it is this one":  {"DELETE", "billing", `If-None-Match: ` + etag, 412},
		"PATCH of what must not be yet": {"PATCH", "billing", `If-None-Match: *`, 412},
	} {
		t.Run(name, func(t *testing.T) {
			a := a.in(t)
			body := strings.Replace(billing, `"billing"`, fmt.Sprintf("%q", map[bool]string{true: "billing", false: c.path}[c.path == ""]), 1)
			a.do(c.method, strings.TrimSuffix("/v1/subscriptions/"+c.path, "/"), body, c.header).want(c.status)
		})
	}
	require.Equal(t, uint64(1), a.store.version, "nothing was changed")

	etag = a.do("PUT", "/v1/subscriptions/billing", billing, `If-Match: "5", `+etag).want(200).header.Get("ETag")
	etag = a.do("PATCH", "/v1/subscriptions/billing", `{"enabled":false}`, "If-Match: "+etag).want(200).header.Get("ETag")
	a.do("PUT", "/v1/subscriptions/new", strings.Replace(billing, "billing", "new", 1), "If-None-Match: *").want(201)
	a.do("DELETE", "/v1/subscriptions/billing", "", "If-Match: "+etag).want(200)
	a.do("DELETE", "/v1/subscriptions/new", "", "If-Match: *").want(200)
}

func TestAChangeThatIsOvertakenIsMadeAnewUnlessItNamesAVersion(t *testing.T) {
	a := newAPI(t)
	etag := a.do("POST", "/v1/subscriptions", billing).want(201).header.Get("ETag")
	overtake := func(times int) func() {
		return func() {
			if times--; times >= 0 {
				a.store.mu.Lock()
				a.store.version++
				a.store.subs[0].Version, a.store.subs[0].Title = a.store.version, "theirs"
				a.store.mu.Unlock()
			}
		}
	}
	a.store.beforeSet = overtake(2)
	res := a.do("PATCH", "/v1/subscriptions/billing", `{"enabled":false}`).want(200)
	require.Equal(t, "theirs", res.get("title"), "both changes are kept")
	require.Equal(t, false, res.get("enabled"))

	a.store.beforeSet = overtake(1)
	a.do("PATCH", "/v1/subscriptions/billing", `{"enabled":true}`, "If-Match: "+res.header.Get("ETag")).problem(412, "precondition")
	a.do("PATCH", "/v1/subscriptions/billing", `{"enabled":true}`, "If-Match: "+etag).problem(412, "precondition")
	a.store.beforeSet = overtake(1000)
	require.Equal(t, true, a.do("PATCH", "/v1/subscriptions/billing", `{"enabled":true}`).problem(503, "unavailable").get("retryable"))
}

func TestPutReplacesWhatSomebodyElseHasJustCreated(t *testing.T) {
	a := newAPI(t)
	a.store.beforeMake = func() {
		a.store.beforeMake = nil
		_, err := a.store.CreateSubscription(t.Context(), router.Subscription{Name: "billing", Title: "theirs", Sink: router.Sink{Kind: router.WebhookSink, Secret: given}})
		require.NoError(t, err)
	}
	require.Nil(t, a.do("PUT", "/v1/subscriptions/billing", billing).want(200).get("title"))
	require.Equal(t, given, a.store.subs[0].Sink.Secret)
	a.store.beforeMake = func() {
		a.store.beforeMake = nil
		_, err := a.store.CreateSubscription(t.Context(), router.Subscription{Name: "other", Sink: router.Sink{Kind: router.WebhookSink}})
		require.NoError(t, err)
	}
	a.do("PUT", "/v1/subscriptions/other", strings.Replace(billing, "billing", "other", 1), "If-None-Match: *").problem(412, "precondition")
}

func TestANameIsTakenOnce(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/subscriptions", billing).want(201)
	a.do("POST", "/v1/subscriptions", billing).problem(409, "conflict")
	a.do("PUT", "/v1/subscriptions/other", strings.Replace(billing, "billing", "other", 1)).want(201)
	a.do("PATCH", "/v1/subscriptions/other", `{"name":"billing"}`).problem(409, "conflict")
	require.Equal(t, "third", a.do("PATCH", "/v1/subscriptions/other", `{"name":"third"}`).want(200).get("name"))
}

func TestAPatchIsMerged(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/subscriptions", billingWith(`"title":"Billing","delivery":{"max_in_flight":3}`)).want(201)
	res := a.do("PATCH", "/v1/subscriptions/billing", `{"title":null,"filter":{"types":["x"]},"delivery":{"retry":{"schedule":["1s"]}}}`).want(200)
	require.Nil(t, res.get("title"))
	require.Equal(t, []any{"x"}, res.get("filter", "types"))
	require.EqualValues(t, 3, res.get("delivery", "max_in_flight"))
	require.Equal(t, []any{"1s"}, res.get("delivery", "retry", "schedule"))
	a.do("PATCH", "/v1/subscriptions/billing", `{"titel":null}`).problem(422, "invalid")
	a.do("PATCH", "/v1/subscriptions/none", `{}`).problem(404, "not-found")
}

func TestDefinitionsThatAreNotValidAreRefusedByField(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) {
		c.Rules.CheckURL = func(u string) error {
			if strings.Contains(u, "10.0.0.1") {
				return router.Errorf(router.Invalid, "private addresses are not permitted")
			}
			return nil
		}
	})
	for name, c := range map[string]struct {
		body, header string
		status       int
		word         string
		location     any
	}{
		"not JSON":          {`{`, "X: y", 400, "malformed", nil},
		"not JSON by type":  {billing, "Content-Type: text/yaml", 415, "unsupported-media", nil},
		"a patch":           {billing, "Content-Type: application/merge-patch+json", 415, "unsupported-media", nil},
		"another charset":   {billing, "Content-Type: application/json; charset=latin1", 415, "unsupported-media", nil},
		"too large":         {`{"name":"` + strings.Repeat("a", 300<<10) + `"}`, "X: y", 413, "too-large", nil},
		"unknown field":     {billingWith(`"fliter":{}`), "X: y", 422, "invalid", "body.fliter"},
		"no name":           {strings.Replace(billing, `"name":"billing",`, "", 1), "X: y", 422, "invalid", "body.name"},
		"a private address": {strings.Replace(billing, "billing.example", "10.0.0.1", 1), "X: y", 422, "invalid", "body.sink.url"},
		"a handler":         {`{"name":"x","sink":{"kind":"handler"}}`, "X: y", 422, "invalid", "body.sink.kind"},
	} {
		t.Run(name, func(t *testing.T) {
			a := a.in(t)
			res := a.do("POST", "/v1/subscriptions", c.body, c.header).problem(c.status, c.word)
			if c.location != nil {
				require.Equal(t, c.location, res.get("errors", 0, "location"), res.body)
			}
		})
	}
	a.do("POST", "/v1/subscriptions?dry=1", billing).problem(422, "invalid")
	for _, method := range []string{"GET", "PUT", "PATCH", "DELETE"} {
		a.do(method, "/v1/subscriptions/Not%20A%20Name", billing).problem(422, "invalid")
		a.do(method, "/v1/subscriptions/billing?x=1", billing).problem(422, "invalid")
	}
}

func TestASubscriptionOfGoCodeIsReadOnlyAndCanBeDeleted(t *testing.T) {
	a := newAPI(t)
	addHandler(t, a)
	res := a.do("GET", "/v1/subscriptions/in-go", "").want(200)
	require.Equal(t, []any{}, res.get("status", "handled_by"), "nobody handles it any more")
	a.do("PUT", "/v1/subscriptions/in-go", res.body).want(200)
	a.do("PATCH", "/v1/subscriptions/in-go", `{"enabled":false}`).problem(422, "invalid")
	a.do("PUT", "/v1/subscriptions/in-go", strings.Replace(billing, "billing", "in-go", 1)).problem(422, "invalid")
	a.do("DELETE", "/v1/subscriptions/in-go", "").want(200)
}

func TestDeletingSaysHowManyDeliveriesAreDropped(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/subscriptions", billing).want(201)
	require.EqualValues(t, 7, a.do("DELETE", "/v1/subscriptions/billing", "").want(200).get("dropped_deliveries"))
	a.do("DELETE", "/v1/subscriptions/billing", "").problem(404, "not-found")
	a.do("GET", "/v1/subscriptions/billing", "").problem(404, "not-found")
}

func TestASubscriptionIsShownWithTheStateOfItsQueues(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) {
		c.Now = func() time.Time { return time.UnixMilli(1_732_128_000_000 + 90_000) }
	})
	a.do("POST", "/v1/subscriptions", billing).want(201)
	require.Equal(t, map[string]any{
		"backlog": 5.0, "in_flight": 2.0, "retrying": 1.0, "dead": 3.0, "delivered": 100.0, "not_queued": 4.0, "over_cap": 2.0, "oldest_pending": "2024-11-20T18:40:00.000Z",
		"backlog_age": "1m30s", "paused": nil,
		"breaker":      map[string]any{"state": "closed", "failures": 0.0, "failing_since": nil, "next_probe": nil},
		"last_success": "2024-11-20T18:40:00.000Z", "last_failure": nil, "last_error": "connection refused",
	}, a.do("GET", "/v1/subscriptions/billing", "").want(200).get("status"))
}

func TestTheStatusShowsTheBreaker(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/subscriptions", billing).want(201)
	at := time.UnixMilli(1_732_128_000_000)
	for state, b := range map[string]router.BreakerStatus{
		"closed":  {Failures: 12, FailingSince: at},
		"open":    {Failures: 12, FailingSince: at, NextProbe: at},
		"probing": {Failures: 12, FailingSince: at, NextProbe: at, Probing: true},
	} {
		a.store.breaker = b
		got := a.do("GET", "/v1/subscriptions/billing", "").want(200)
		require.Equal(t, state, got.get("status", "breaker", "state"))
		require.EqualValues(t, 12, got.get("status", "breaker", "failures"))
		require.Equal(t, "2024-11-20T18:40:00.000Z", got.get("status", "breaker", "failing_since"))
	}
}

func TestPausingAndResumingAnswerWithTheSubscriptionAndItsStatus(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/subscriptions", billing).want(201)
	res := a.do("POST", "/v1/subscriptions/billing/pause", "").want(200)
	require.Equal(t, "billing", res.get("name"))
	require.Equal(t, map[string]any{"since": "2024-11-20T18:40:00.000Z", "reason": "operator"}, res.get("status", "paused"))
	require.Equal(t, `"1"`, res.header.Get("ETag"), "the definition is what it was")
	require.Nil(t, a.do("POST", "/v1/subscriptions/billing/resume", "{}").want(200).get("status", "paused"))
	for _, verb := range []string{"pause", "resume"} {
		a.do("POST", "/v1/subscriptions/none/"+verb, "").problem(404, "not-found")
		a.do("POST", "/v1/subscriptions/Not%20A%20Name/"+verb, "").problem(422, "invalid")
		a.do("POST", "/v1/subscriptions/billing/"+verb+"?x=1", "").problem(422, "invalid")
	}
	a.store.fail(router.Errorf(router.Unavailable, "Redis can't be reached"))
	a.do("POST", "/v1/subscriptions/billing/pause", "").problem(503, "unavailable")
}

func TestSubscriptionsAreListedInPages(t *testing.T) {
	a := newAPI(t)
	require.Empty(t, a.do("GET", "/v1/subscriptions", "").want(200).get("items"))
	for i := range 7 {
		a.do("PUT", fmt.Sprintf("/v1/subscriptions/s%d", i), strings.Replace(billing, "billing", fmt.Sprintf("s%d", i), 1)).want(201)
	}
	var names []string
	next := ""
	for {
		res := a.do("GET", "/v1/subscriptions?limit=3&cursor="+next, "").want(200)
		for i := range res.get("items").([]any) {
			names = append(names, res.get("items", i, "name").(string))
		}
		if res.get("next") == nil {
			break
		}
		next = res.get("next").(string)
	}
	require.Equal(t, []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6"}, names)
	a.do("GET", "/v1/subscriptions?cursor=x", "").problem(422, "invalid")
	a.do("GET", "/v1/subscriptions?limit=0", "").problem(422, "invalid")
}

func TestTestingASubscriptionAnswersWithTheAttempt(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/subscriptions", billing).want(201)
	a.store.attempt = router.Attempt{
		At: time.UnixMilli(1_732_128_000_123), Duration: router.Duration(1234567 * time.Microsecond), Outcome: router.OutcomeStatus, StatusCode: 500, Error: "the endpoint answered 500", Response: "<oops>",
	}
	res := a.do("POST", "/v1/subscriptions/billing/test", "").want(200)
	require.JSONEq(t, `{"at":"2024-11-20T18:40:00.123Z","duration":"1.235s","outcome":"status","status_code":500,"error":"the endpoint answered 500","response":"<oops>"}`, res.body)
	require.Equal(t, freshSecret, a.store.tested[0].Sink.Secret, "it is signed as any delivery")
	a.do("POST", "/v1/subscriptions/none/test", "").problem(404, "not-found")
	a.do("POST", "/v1/subscriptions/billing/test?x=1", "").problem(422, "invalid")
	a.store.attempt = router.Attempt{At: time.UnixMilli(0), Outcome: router.OutcomeDelivered}
	a.do("POST", "/v1/subscriptions/billing/test", "{}").want(200)
}
