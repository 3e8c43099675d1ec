package router

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	bearer = Auth{Kind: BearerAuth, Token: "hunter2-token"}
	basic  = Auth{Kind: BasicAuth, User: "joe", Password: "hunter2-password"}
	mutual = Auth{Kind: MutualTLSAuth, Certificate: "-----BEGIN CERTIFICATE-----", Key: "hunter2-key"}
)

// guarded is billing with an auth, and with headers of which two are secret.
func guarded(a Auth) Subscription {
	s := billing()
	s.Sink.Auth = a
	s.Sink.Headers = map[string]string{"x-team": "a", "X-API-Key": "hunter2-header", "x-auth": "hunter2-auth", "x-author": "joe"}
	return s
}

func TestNoSecretIsEverShown(t *testing.T) {
	for _, a := range []Auth{bearer, basic, mutual} {
		s := guarded(a)
		asJSON, err := json.Marshal(s)
		require.NoError(t, err)
		printed := []string{
			string(asJSON), fmt.Sprint(s.Definition()), string(AppendSubscription(nil, s, SubscriptionView{})), string(AppendSubscription(nil, s, SubscriptionView{Secret: true})),
			fmt.Sprintf("%v %+v %#v", a, a, a),
		}
		for _, text := range printed {
			require.NotContains(t, text, "hunter2")
		}
		require.Contains(t, printed[0], `"headers":{"X-API-Key":"****","x-auth":"****","x-author":"joe","x-team":"a"}`)
		require.Contains(t, printed[3], signingSecret, "the one that was made just now, this once")
		require.Contains(t, string(AppendStored(nil, s)), "hunter2")
		require.Equal(t, "hunter2-header", s.Sink.Headers["X-API-Key"], "nothing is masked in what is used")
	}
	require.Contains(t, string(AppendSubscription(nil, guarded(basic), SubscriptionView{})), `"auth":{"kind":"basic","user":"joe","password":"****"}`)
}

func TestAuthIsKeptSetOrRemoved(t *testing.T) {
	const doc = `{"name": "a", "sink": {"kind": "webhook", "url": "https://a.example"%s}}`
	for _, c := range []struct {
		says string
		old  Auth
		want Auth
	}{
		{``, basic, basic},
		{``, Auth{}, Auth{}},
		{`, "auth": null`, basic, Auth{}},
		{`, "auth": {"kind": "basic", "user": "ann"}`, basic, Auth{Kind: BasicAuth, User: "ann", Password: basic.Password}},
		{`, "auth": {"kind": "basic", "user": "ann", "password": "****"}`, basic, Auth{Kind: BasicAuth, User: "ann", Password: basic.Password}},
		{`, "auth": {"kind": "basic", "user": "ann", "password": "new"}`, basic, Auth{Kind: BasicAuth, User: "ann", Password: "new"}},
		{`, "auth": {"kind": "bearer", "token": "new"}`, basic, Auth{Kind: BearerAuth, Token: "new"}},
		{`, "auth": {"kind": "bearer"}`, bearer, bearer},
		{`, "auth": {"kind": "mtls", "certificate": "renewed", "key": "****"}`, mutual, Auth{Kind: MutualTLSAuth, Certificate: "renewed", Key: mutual.Key}},
	} {
		got, err := replaced(t, fmt.Sprintf(doc, c.says), guarded(c.old))
		require.NoError(t, err, c.says)
		require.Equal(t, c.want, got.Sink.Auth, c.says)
	}
}

func TestASecretThatThereIsNoneOfToKeepIsRequired(t *testing.T) {
	const doc = `{"name": "a", "sink": {"kind": "webhook", "url": "https://a.example", "secret": null, %s}}`
	for says, want := range map[string]string{
		`"auth": {"kind": "bearer"}`:                                           "body.sink.auth.token: is required",
		`"auth": {"kind": "bearer", "token": "****"}`:                          "body.sink.auth.token: is masked, and there is none to keep; give it in full",
		`"auth": {"kind": "basic", "user": "u"}`:                               "body.sink.auth.password: is required",
		`"auth": {"kind": "mtls", "certificate": "c"}`:                         "body.sink.auth.key: is required",
		`"headers": {"X-Token": "****"}`:                                       "body.sink.headers.X-Token: is masked, and there is none to keep; give it in full",
		`"headers": {"cookie": "…"}, "auth": {"kind": "bearer", "token": "t"}`: "body.sink.headers.cookie: is masked, and there is none to keep; give it in full",
	} {
		d, err := DecodeSubscription([]byte(fmt.Sprintf(doc, says)), Rules{})
		require.NoError(t, err, says)
		_, err = d.Create(freshSecret)
		_, got := problems(t, err)
		require.Equal(t, []string{want}, got)
		_, err = d.Replace(billing())
		_, got = problems(t, err)
		require.Equal(t, []string{want}, got, "of another kind, or none: nothing to keep")
	}
}

func TestASecretHeaderIsKeptWhereItIsMasked(t *testing.T) {
	shown := string(AppendSubscription(nil, guarded(Auth{}), SubscriptionView{}))
	got, err := replaced(t, strings.Replace(shown, `"x-auth":"****"`, `"x-auth":"new"`, 1), guarded(Auth{}))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"x-team": "a", "X-API-Key": "hunter2-header", "x-auth": "new", "x-author": "joe"}, got.Sink.Headers)
	got, err = PatchSubscription(guarded(Auth{}), []byte(`{"sink": {"headers": {"x-auth": null, "x-new": "n"}}}`), Rules{})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"x-team": "a", "X-API-Key": "hunter2-header", "x-author": "joe", "x-new": "n"}, got.Sink.Headers)
}

func TestAPatchChangesAuth(t *testing.T) {
	for patch, want := range map[string]Auth{
		`{}`: basic,
		`{"sink": {"auth": {"password": "new"}}}`: {Kind: BasicAuth, User: "joe", Password: "new"},
		`{"sink": {"auth": {"user": "ann"}}}`:     {Kind: BasicAuth, User: "ann", Password: basic.Password},
		`{"sink": {"auth": null}}`:                {},
		`{"sink": {"auth": {"kind": "bearer", "token": "t", "user": null, "password": null}}}`: {Kind: BearerAuth, Token: "t"},
	} {
		got, err := PatchSubscription(guarded(basic), []byte(patch), Rules{})
		require.NoError(t, err, patch)
		require.Equal(t, want, got.Sink.Auth, patch)
	}
}

func TestTheRulesDecideOnAuthWithItsSecretsFilledIn(t *testing.T) {
	var asked []Auth
	rules := Rules{CheckAuth: func(s Sink) error {
		asked = append(asked, s.Auth)
		return &Error{Code: Invalid, Problems: []Problem{{"sink.auth.token", "is revoked"}}}
	}}
	d, err := DecodeSubscription([]byte(`{"name": "a", "sink": {"kind": "webhook", "url": "https://a.example", "auth": {"kind": "bearer", "token": "****"}}}`), rules)
	require.NoError(t, err)
	_, err = d.Replace(guarded(bearer))
	_, got := problems(t, err)
	require.Equal(t, []string{"body.sink.auth.token: is revoked"}, got)
	require.Equal(t, []Auth{bearer}, asked)
	_, err = PatchSubscription(guarded(bearer), []byte(`{"title": "x"}`), rules)
	require.Error(t, err)
}

func TestAHandlerHasNoAuth(t *testing.T) {
	s := invoicing()
	s.Sink.Auth = bearer
	require.Error(t, s.Validate(Rules{}))
}
