package httpapi_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

type testKey struct{ key, hash, header string }

// newKey makes a key out of a number.
func newKey(t testing.TB, n byte) testKey {
	t.Helper()
	key, hash, err := httpapi.NewKey(bytes.NewReader(bytes.Repeat([]byte{n}, 100)))
	require.NoError(t, err)
	return testKey{key, hash, "Authorization: Bearer " + key}
}

func TestAKeyIsRandomAndItsHashDoesNotHoldIt(t *testing.T) {
	key, hash, err := httpapi.NewKey(rand.Reader)
	require.NoError(t, err)
	other, _, err := httpapi.NewKey(rand.Reader)
	require.NoError(t, err)
	require.NotEqual(t, key, other)
	require.Regexp(t, `^slk_[a-z2-7]{32}$`, key)
	require.Regexp(t, `^sha256:[0-9a-f]{64}$`, hash)

	require.Equal(t, "slk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", newKey(t, 0).key)
	require.Equal(t, "sha256:75f88613f7e78df95ffad6988d8c42b213996540f3f62026780ae63973aa1568", newKey(t, 0).hash)
	_, _, err = httpapi.NewKey(iotest.ErrReader(errors.New("no randomness")))
	require.ErrorContains(t, err, "no randomness")
}

func TestKeysThatCannotBeUsedAreRefusedWithTheField(t *testing.T) {
	good := newKey(t, 1).hash
	for name, c := range map[string]struct {
		key  httpapi.Key
		says string
	}{
		"no hash":           {httpapi.Key{Scopes: []httpapi.Scope{"read"}}, "hash"},
		"a key as its hash": {httpapi.Key{Hash: newKey(t, 1).key, Scopes: []httpapi.Scope{"read"}}, "hash"},
		"a short hash":      {httpapi.Key{Hash: good[:70], Scopes: []httpapi.Scope{"read"}}, "hash"},
		"no scope":          {httpapi.Key{Hash: good}, "scopes"},
		"unknown scope":     {httpapi.Key{Hash: good, Scopes: []httpapi.Scope{"admin"}}, `"admin"`},
		"bad pattern":       {httpapi.Key{Hash: good, Scopes: []httpapi.Scope{"publish"}, Types: []string{"a*"}}, "types"},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, c.key.Check(), c.says)
		})
	}
	require.NoError(t, httpapi.Key{Hash: good, Scopes: httpapi.Scopes(), Types: []string{"a.*"}}.Check())
}

func TestAConfigurationIsRefusedWithTheField(t *testing.T) {
	_, err := httpapi.New(httpapi.Config{})
	require.Equal(t, router.Invalid, router.ErrorCode(err))
	require.ErrorContains(t, err, "Config.Events")

	store := newFakeStore(1)
	cfg := httpapi.Config{
		Events: store, Log: store, Feed: router.NewFeed(store, router.FeedConfig{}), Subscriptions: store, Triggers: &store.triggers, Partials: &store.triggers,
		Sources: &store.sources, Inlets: &store.sources, DeadLetters: store, Status: store, Pauser: store, Tester: store, Puller: &store.puller,
		Deliveries: &store.deliveries, Ready: store.Ready,
		NewSecret: func() string { return "" },
	}
	_, err = httpapi.New(cfg)
	require.NoError(t, err)
	cfg.Keys = []httpapi.Key{{Name: "ci"}}
	_, err = httpapi.New(cfg)
	require.ErrorContains(t, err, `Keys[0] "ci"`)
	cfg.Keys, cfg.PublishRate = nil, -1
	_, err = httpapi.New(cfg)
	require.ErrorContains(t, err, "PublishRate")
}

func TestWithKeysARequestNeedsOne(t *testing.T) {
	k := newKey(t, 1)
	a := newAPI(t, func(c *httpapi.Config) {
		c.Keys = []httpapi.Key{{Hash: newKey(t, 9).hash, Scopes: httpapi.Scopes()}, {Hash: k.hash, Scopes: []httpapi.Scope{httpapi.ReadScope}}}
	})
	for header, challenge := range map[string]string{
		"X-None: x":                       `Bearer realm="streamlatch"`,
		"Authorization: Bearer slk_wrong": `Bearer realm="streamlatch", error="invalid_token"`,
		"Authorization: Basic abc":        `Bearer realm="streamlatch", error="invalid_token"`,
		"Authorization: " + k.key:         `Bearer realm="streamlatch", error="invalid_token"`,
		"Authorization: Bearer " + k.hash: `Bearer realm="streamlatch", error="invalid_token"`,
	} {
		res := a.do("GET", "/v1/events", "", header).problem(http.StatusUnauthorized, "unauthorized")
		require.Equal(t, challenge, res.header.Get("WWW-Authenticate"))
	}
	a.do("GET", "/v1/events", "", k.header).want(http.StatusOK)
	a.do("GET", "/v1/events", "", "Authorization: bearer "+k.key).want(http.StatusOK)
	a.do("GET", "/v1/events", "", k.header, "Host: streamlatch.example").want(http.StatusOK)
	res := a.do("POST", "/v1/events", paid, k.header).problem(http.StatusForbidden, "forbidden")
	require.Equal(t, `Bearer realm="streamlatch", error="insufficient_scope", scope="publish"`, res.header.Get("WWW-Authenticate"))
	require.NotContains(t, a.log.String(), k.key)
}

func TestHealthAndReadinessNeedNoKeyAndMetricsAndDocsDo(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) { c.Keys = []httpapi.Key{{Hash: newKey(t, 1).hash, Scopes: httpapi.Scopes()}} })
	a.do("GET", "/healthz", "").want(http.StatusOK)
	a.do("GET", "/readyz", "").want(http.StatusOK)
	for _, path := range []string{"/metrics", "/docs", "/docs/swagger-ui.css", "/openapi.json"} {
		a.do("GET", path, "").want(http.StatusUnauthorized)
		a.do("GET", path, "", newKey(t, 1).header).want(http.StatusOK)
	}
}

func TestAKeyPublishesTheTypesThatItIsFor(t *testing.T) {
	k := newKey(t, 1)
	a := newAPI(t, func(c *httpapi.Config) {
		c.Keys = []httpapi.Key{{Hash: k.hash, Scopes: []httpapi.Scope{httpapi.PublishScope}, Types: []string{"order.*", "audit"}}}
	})
	a.do("POST", "/v1/events", paid, structured, k.header).want(http.StatusAccepted)
	a.do("POST", "/v1/events", `{"type":"audit"}`, k.header).want(http.StatusAccepted)
	res := a.do("POST", "/v1/events", `[{"type":"audit"},{"type":"user.created"}]`, k.header).problem(http.StatusForbidden, "forbidden")
	require.Equal(t, "body[1].type", res.get("errors", 0, "location"))
}

func TestWithoutKeysOnlyRequestsFromThisMachineAreTaken(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) { c.Hosts = []string{"dev.internal"} })
	for header, allowed := range map[string]bool{
		"Host: localhost":                 true,
		"Host: LOCALHOST:8080":            true,
		"Host: 127.0.0.1:8080":            true,
		"Host: [::1]:8080":                true,
		"Host: [::1]":                     true,
		"Host: 10.0.0.7":                  true,
		"Host: dev.internal:8080":         true,
		"Host: rebound.example":           false,
		"Host: rebound.example:8080":      false,
		"Host: localhost.evil.example":    false,
		"Sec-Fetch-Site: same-origin":     true,
		"Sec-Fetch-Site: none":            true,
		"Sec-Fetch-Site: cross-site":      false,
		"Origin: https://evil.example":    false,
		"Origin: " + a.url:                true,
		"Authorization: Bearer slk_whose": true,
	} {
		t.Run(header, func(t *testing.T) {
			a := a.in(t)
			want := map[bool]int{true: http.StatusAccepted, false: http.StatusForbidden}[allowed]
			a.do("POST", "/v1/events", `{"type":"x"}`, header).want(want)
		})
	}
	a.do("GET", "/v1/events", "", "Host: rebound.example").problem(http.StatusForbidden, "forbidden")
	require.True(t, strings.HasPrefix(a.url, "http://127.0.0.1"))
}
