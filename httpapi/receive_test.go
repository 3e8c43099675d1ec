package httpapi_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

const hookSecret = "s3cret"

func hexHMAC(text string) string {
	m := hmac.New(sha256.New, []byte(hookSecret))
	_, _ = m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

// github sends a message as GitHub does.
func (a *api) github(delivery, body string, headers ...string) *answer {
	a.t.Helper()
	return a.do("POST", "/in/github", body, append([]string{
		"X-GitHub-Event: push", "X-GitHub-Delivery: " + delivery, "X-Hub-Signature-256: sha256=" + hexHMAC(body), "Host: hooks.example",
	}, headers...)...)
}

func withGitHub(t testing.TB, extra string, with ...func(*httpapi.Config)) *api {
	a := newAPI(t, with...)
	a.do("POST", "/v1/sources", `{"name": "github", "provider": "github", "secret": "`+hookSecret+`"`+extra+`}`).want(201)
	return a
}

func (a *api) status(name string) map[string]any {
	a.t.Helper()
	return a.do("GET", "/v1/sources/"+name, "").want(200).get("status").(map[string]any)
}

func counts(pairs ...any) map[string]any {
	n := map[string]any{"accepted": 0.0, "duplicates": 0.0, "changed": 0.0, "rejected": 0.0, "rate_limited": 0.0, "failed": 0.0}
	for i := 0; i < len(pairs); i += 2 {
		n[pairs[i].(string)] = float64(pairs[i+1].(int))
	}
	return n
}

func TestAVerifiedMessageIsStoredAsAnEvent(t *testing.T) {
	a := withGitHub(t, "")
	got := a.github("d-1", `{"repository": {"full_name": "acme/shop"}} `).want(202)
	require.Equal(t, "d-1", got.get("events", 0, "id"))
	require.Equal(t, false, got.get("events", 0, "duplicate"))
	event := a.do("GET", "/v1/events/"+got.get("events", 0, "position").(string), "").want(200)
	require.Equal(t, "github.push", event.get("event", "type"))
	require.Equal(t, "/in/github", event.get("event", "source"))
	require.Contains(t, event.body, `"data":{"repository": {"full_name": "acme/shop"}} `, "byte for byte")
	require.Equal(t, counts("accepted", 1), a.status("github"))
}

func TestNoAPIKeyIsAskedForAtAnInlet(t *testing.T) {
	_, hash, err := httpapi.NewKey(strings.NewReader(strings.Repeat("a", 100)))
	require.NoError(t, err)
	store := newFakeStore(1)
	store.sources.all = []router.Source{{ID: "src_00000000000000000000000001", Name: "github", Enabled: true, Provider: "github", Secrets: []string{hookSecret}, Version: 1}}
	a := newAPIOn(t, store, func(c *httpapi.Config) { c.Keys = []httpapi.Key{{Hash: hash, Scopes: httpapi.Scopes()}} })
	a.github("d", "{}").want(202)
	a.do("GET", "/v1/sources/github", "").problem(401, "unauthorized")
}

func TestAMessageThatIsNotVerifiedIsCountedAndNotStored(t *testing.T) {
	a := withGitHub(t, "")
	for _, signature := range []string{"", "sha256=", "sha256=" + hexHMAC("other"), "sha1=" + hexHMAC("{}"), hexHMAC("{}")} {
		refused := a.github("d", "{}", "X-Hub-Signature-256: "+signature).problem(401, "unverified")
		require.NotContains(t, refused.body, "doubled", "why is not said")
	}
	require.Zero(t, len(a.store.log[0])+len(a.store.log[1]))
	require.Equal(t, counts("rejected", 5), a.status("github"))
}

func TestARepeatIsAcceptedAlsoWithOtherBytes(t *testing.T) {
	a := withGitHub(t, "")
	first := a.github("d-1", `{"a":1}`).want(202).get("events", 0, "position")
	again := a.github("d-1", `{"a":1}`).want(202)
	require.Equal(t, []any{true, first}, []any{again.get("events", 0, "duplicate"), again.get("events", 0, "position")})

	a.store.refuse = map[string]error{"d-2": router.Errorf(router.IDReused, "other content")}
	other := a.github("d-2", `{"a":2}`).want(202)
	require.Equal(t, true, other.get("events", 0, "duplicate"))
	require.Equal(t, counts("accepted", 1, "duplicates", 2, "changed", 1), a.status("github"))
}

func TestAnInletAnswersErrorsOfTheStoreAsPublishDoes(t *testing.T) {
	a := withGitHub(t, "")
	a.store.refuse = map[string]error{"d": &router.Error{Code: router.Full, Message: "Redis has no memory left", RetryAfter: 5 * time.Second}}
	require.Equal(t, "5", a.github("d", "{}").problem(503, "full").header.Get("Retry-After"))
	require.Equal(t, counts("failed", 1), a.status("github"))
}

func TestThereIsNoInletWithoutAnEnabledSource(t *testing.T) {
	a := withGitHub(t, "")
	a.do("POST", "/in/nobody", "{}").problem(404, "not-found")
	a.do("POST", "/in/Not-a-name", "{}").problem(404, "not-found")
	a.do("POST", "/in/github/more", "{}").problem(404, "not-found")
	a.do("PATCH", "/v1/sources/github", `{"enabled": false}`).want(200)
	a.github("d", "{}").problem(404, "not-found")
	a.do("PATCH", "/v1/sources/github", `{"enabled": true}`).want(200)
	a.github("d", "{}").want(202)
	a.do("DELETE", "/v1/sources/github", "").want(200)
	a.github("d", "{}").problem(404, "not-found")
}

// Elsewhere whoever knows an ID can have the message refused as a repeat that its provider sends later, without a signature.
func TestAMessageThatIsNotVerifiedDoesNotTakeTheIDOfOneThatIs(t *testing.T) {
	a := withGitHub(t, "")
	a.github("d", "{}", "X-Hub-Signature-256: sha256="+hexHMAC("other")).problem(401, "unverified")
	a.github("d", "{}").want(202)
	require.Equal(t, counts("accepted", 1, "rejected", 1), a.status("github"))
}

// Elsewhere a body without a length is cut off at the limit, and the rest of it taken for the whole.
func TestAMessageWithoutALengthIsRefusedOverTheLimit(t *testing.T) {
	a := withGitHub(t, "", func(c *httpapi.Config) { c.Limits = cloudevents.Limits{MaxEventBytes: 100} })
	for size, status := range map[int]int{98: http.StatusAccepted, 99: http.StatusRequestEntityTooLarge} {
		body := `"` + strings.Repeat("x", size) + `"`
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+"/in/github", io.MultiReader(strings.NewReader(body))) // of which no length is known
		require.NoError(t, err)
		req.Header.Set("X-GitHub-Event", "push")
		req.Header.Set("X-GitHub-Delivery", body)
		req.Header.Set("X-Hub-Signature-256", "sha256="+hexHMAC(body))
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, status, res.StatusCode)
	}
	require.Len(t, slices.Concat(a.store.log[0], a.store.log[1]), 1)
}

func TestAMessageOverTheLimitIsRefused(t *testing.T) {
	a := withGitHub(t, "", func(c *httpapi.Config) { c.Limits = cloudevents.Limits{MaxEventBytes: 100} })
	a.github("d", `"`+strings.Repeat("x", 98)+`"`).want(202)
	a.github("e", `"`+strings.Repeat("x", 99)+`"`).problem(413, "too-large")
	a.github("f", "{}", "Content-Encoding: gzip").problem(415, "unsupported-media")
}

func TestEachSourceHasARateOfItsOwn(t *testing.T) {
	now := time.Now()
	a := withGitHub(t, `, "rate": {"limit": 2, "per": "1m"}`, func(c *httpapi.Config) { c.Now = func() time.Time { return now } })
	for i := range 5 {
		a.github("d", "{}", "X-Hub-Signature-256: sha256="+strconv.Itoa(i)).problem(401, "unverified") // what is not verified uses nothing up
	}
	a.github("a", "{}").want(202)
	a.github("b", "{}").want(202)
	require.Equal(t, "30", a.github("c", "{}").problem(429, "rate-limited").header.Get("Retry-After"))
	a.do("PATCH", "/v1/sources/github", `{"title": "x"}`).want(200)
	a.github("c", "{}").problem(429, "rate-limited")
	now = now.Add(30 * time.Second)
	a.github("c", "{}").want(202)
	require.EqualValues(t, 2, a.status("github")["rate_limited"])
}

func TestTheAnswerOfASourceCanBeSet(t *testing.T) {
	a := withGitHub(t, `, "reply": {"status": 200, "content_type": "application/xml", "body": "<ok/>"}`)
	got := a.github("d", "{}").want(200)
	require.Equal(t, "<ok/>", got.body)
	require.Equal(t, "application/xml", got.header.Get("Content-Type"))
	a.do("PATCH", "/v1/sources/github", `{"reply": {"content_type": null}}`).want(200)
	require.Equal(t, "text/plain; charset=utf-8", a.github("d", "{}").want(200).header.Get("Content-Type"), "and to a repeat")
	a.github("d", "{}", "X-Hub-Signature-256: x").problem(401, "unverified")
}

func TestAPathThatNobodyKnowsProtectsASourceWithoutSignatures(t *testing.T) {
	log := &lockedBuffer{}
	a := newAPI(t, func(c *httpapi.Config) {
		c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	inlet := a.do("POST", "/v1/sources", `{"name": "open", "provider": "none"}`).want(201).get("inlet").(string)
	a.do("POST", inlet, `{"type": "x"}`).want(202)
	unknown := a.do("POST", "/in/nobody", "{}").problem(404, "not-found").body
	for _, path := range []string{"/in/open", "/in/open/guess", inlet + "x", inlet[:len(inlet)-1]} {
		require.Equal(t, unknown, a.do("POST", path, "{}").problem(404, "not-found").body, "nobody can tell that it exists")
	}
	for _, method := range []string{"GET", "OPTIONS"} {
		require.Equal(t, unknown, a.do(method, "/in/open?challenge=x", "").problem(404, "not-found").body)
	}
	a.do("OPTIONS", inlet, "").want(200)
	require.Equal(t, counts("accepted", 1, "rejected", 6), a.status("open"))
	require.NotContains(t, log.String(), strings.TrimPrefix(inlet, "/in/open/")[:10])
}

func TestHandshakesAreAnsweredAndNotStored(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/sources", `{"name": "slack", "provider": "slack", "secret": "`+hookSecret+`"}`).want(201)
	at := strconv.FormatInt(time.Now().Unix(), 10)
	body := `{"token":"t","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P","type":"url_verification"}`
	signed := []string{"X-Slack-Request-Timestamp: " + at, "X-Slack-Signature: v0=" + hexHMAC("v0:"+at+":"+body)}
	got := a.do("POST", "/in/slack", body, signed...).want(200)
	require.Equal(t, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P", got.body)
	require.Equal(t, "text/plain; charset=utf-8", got.header.Get("Content-Type"))
	a.do("POST", "/in/slack", body).problem(401, "unverified")

	a.do("POST", "/v1/sources", `{"name": "x", "provider": "hmac", "secret": "`+hookSecret+`", "handshake": "crc"}`).want(201)
	require.Contains(t, a.do("GET", "/in/x?crc_token=abc", "").want(200).body, `"response_token":"sha256=`)
	require.Equal(t, "OPTIONS, POST", a.do("GET", "/in/x", "").problem(405, "method-not-allowed").header.Get("Allow"))
	a.do("GET", "/in/nobody?crc_token=abc", "").problem(404, "not-found")
	require.Zero(t, len(a.store.log[0])+len(a.store.log[1]))
	require.Equal(t, counts(), a.status("x"))
}

func TestASenderOfCloudEventsIsToldThatItMaySend(t *testing.T) {
	a := withGitHub(t, `, "rate": {"limit": 2, "per": "1s"}`)
	got := a.do("OPTIONS", "/in/github", "", "WebHook-Request-Origin: eventemitter.example.com", "WebHook-Request-Rate: 120").want(200)
	require.Equal(t, "eventemitter.example.com", got.header.Get("WebHook-Allowed-Origin"))
	require.Equal(t, "120", got.header.Get("WebHook-Allowed-Rate"))
	require.Equal(t, "OPTIONS, POST", got.header.Get("Allow"))
	a.do("PATCH", "/v1/sources/github", `{"rate": null}`).want(200)
	require.Equal(t, "*", a.do("OPTIONS", "/in/github", "", "WebHook-Request-Origin: a.example").want(200).header.Get("WebHook-Allowed-Rate"))
	require.Empty(t, a.do("OPTIONS", "/in/github", "", "WebHook-Request-Origin: <script>").want(200).header.Get("WebHook-Allowed-Origin"))
	a.do("OPTIONS", "/in/nobody", "").problem(404, "not-found")
}

func TestTheCredentialsOfABasicSourceAreAskedFor(t *testing.T) {
	a := newAPI(t)
	a.do("POST", "/v1/sources", `{"name": "b", "provider": "basic", "user": "ann", "secret": "x"}`).want(201)
	require.Equal(t, `Basic realm="streamlatch"`, a.do("POST", "/in/b", "{}").problem(401, "unverified").header.Get("WWW-Authenticate"))
	a.do("POST", "/in/b", "{}", "Authorization: Basic YW5uOng=").want(202)
}

func TestASourceThatAnotherReplicaChangedIsLookedForOnceInAWhile(t *testing.T) {
	now := time.Now()
	a := newAPI(t, func(c *httpapi.Config) { c.Now = func() time.Time { return now } })
	src := router.Source{ID: "src_00000000000000000000000001", Name: "github", Enabled: true, Provider: "github", Secrets: []string{"old"}, Version: 1}
	a.store.sources.all = []router.Source{src}
	a.github("d", "{}").problem(401, "unverified")
	require.Equal(t, 1, a.store.sources.refreshed, "it was not known here")

	src.Version, src.Secrets = 2, []string{hookSecret}
	a.store.sources.all = []router.Source{src}
	a.github("d", "{}").problem(401, "unverified")
	require.Equal(t, 1, a.store.sources.refreshed, "not for every message: anybody can send those")
	now = now.Add(time.Second)
	a.github("d", "{}").want(202)
	require.EqualValues(t, 2, a.status("github")["rejected"], "what was counted before the change counts")
}

func TestADefinitionThatThisVersionCanNotUseTakesNothing(t *testing.T) {
	a := newAPI(t)
	a.store.sources.all = []router.Source{{ID: "src_00000000000000000000000001", Name: "new", Enabled: true, Provider: "next-years", Version: 1}}
	a.do("POST", "/in/new", "{}").problem(500, "internal")
	require.Contains(t, a.log.String(), "can't be used by this version", "the operator is told")
}

func TestWhatSourcesCountReachesTheStore(t *testing.T) {
	a := withGitHub(t, "")
	a.github("d", "{}").want(202)
	id := a.store.sources.all[0].ID
	a.store.sources.down = errors.New("away")
	a.server.FlushCounts(t.Context())
	require.Equal(t, counts("accepted", 1), a.status("github"), "what can't be stored is kept")
	a.store.sources.down = nil
	a.server.FlushCounts(t.Context())
	a.server.FlushCounts(t.Context())
	require.Equal(t, router.SourceCounts{Accepted: 1}, a.store.sources.counts[id])
	require.Equal(t, counts("accepted", 1), a.status("github"))
	require.Contains(t, a.do("GET", "/metrics", "").body, `streamlatch_source_messages_total{provider="github",result="accepted"} 1`)
}

func TestMessagesAreCountedWhileTheSourceChanges(t *testing.T) {
	a := withGitHub(t, "")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 5 {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, a.url+"/in/github", strings.NewReader("{}"))
				req.Header.Set("X-GitHub-Delivery", strconv.Itoa(i*5+j))
				req.Header.Set("X-Hub-Signature-256", "sha256="+hexHMAC("{}"))
				if res, err := http.DefaultClient.Do(req); err == nil {
					res.Body.Close()
				}
			}
		})
	}
	for range 10 {
		a.do("PATCH", "/v1/sources/github", `{"title": "x"}`).want(200)
		a.server.FlushCounts(t.Context())
	}
	all.Wait()
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	require.Equal(t, counts("accepted", 40), a.status("github"))
}
