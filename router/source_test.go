package router

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const wholeSource = `{"name":"hooks","title":"Hooks","enabled":false,"provider":"hmac","secret":["one","two"],"public_key":"whpk_x","user":"ann",` +
	`"signature":{"header":"X-Sig","algorithm":"sha512","encoding":"base64","prefix":"v1=","separator":",","signed":"{timestamp}.{body}","timestamp":{"prefix":"t=","unit":"ms"}},` +
	`"token":{"query":"token"},"handshake":"crc","type_prefix":"","map":{"type":"data.a","source":"data.b","subject":"data.c","id":"data.d","time":"data.e"},` +
	`"extract":{"a":{"path":"data.x"},"release":{"path":"data.text","match":"^approve (\\S+)$"}},"reply":{"status":204,"content_type":"text/plain","body":"x"},"rate":{"limit":5,"per":"1m"}}`

func sourceRules() Rules { return Rules{CheckSource: func(Source) error { return nil }} }

func decodeSourceOK(t testing.TB, text string) SourceDraft {
	d, err := DecodeSource([]byte(text), sourceRules())
	require.NoError(t, err)
	return d
}

func TestASourceIsStoredAndReadBackAsItIs(t *testing.T) {
	made, err := decodeSourceOK(t, wholeSource).Create("fresh")
	require.NoError(t, err)
	require.Equal(t, []string{"one", "two"}, made.Secrets)
	made.ID, made.Version = "src_01JD6ZZZZZZZZZZZZZZZZZZZZZ", 7
	stored := AppendStoredSource(nil, made)
	require.Contains(t, string(stored), strings.TrimSuffix(strings.TrimPrefix(wholeSource, "{"), "}"))
	back, err := DecodeStoredSource(stored)
	require.NoError(t, err)
	require.Equal(t, made, back)
}

func TestWhatIsShownOfASourceCanBePutBackAndKeepsItsSecrets(t *testing.T) {
	for _, document := range []string{wholeSource, `{"name":"a","provider":"github","secret":"one"}`, `{"name":"a","provider":"github","secret":null}`} {
		old, err := decodeSourceOK(t, document).Create("")
		require.NoError(t, err)
		old.ID, old.Version = "src_01JD6ZZZZZZZZZZZZZZZZZZZZZ", 7
		shown := AppendSource(nil, old, SourceView{Inlet: "/in/a", Status: []byte(`{}`)})
		for _, secret := range old.Secrets {
			require.NotContains(t, string(shown), secret+`"`)
		}
		again, err := decodeSourceOK(t, string(shown)).Replace(old, sourceRules())
		require.NoError(t, err)
		require.Equal(t, old, again)
	}
}

func TestTheSecretsOfASourceAreKeptChangedOrRemoved(t *testing.T) {
	old, err := decodeSourceOK(t, `{"name":"a","provider":"github","secret":["one","two"]}`).Create("")
	require.NoError(t, err)
	for document, want := range map[string][]string{
		`{"name":"a","provider":"github"}`:                                 nil, // kept: see below
		`{"name":"a","provider":"github","secret":"****"}`:                 nil,
		`{"name":"a","provider":"github","secret":["****","****"]}`:        nil,
		`{"name":"a","provider":"github","secret":["****","new"]}`:         {"one", "new"},
		`{"name":"a","provider":"github","secret":["****"]}`:               {"one"},
		`{"name":"a","provider":"github","secret":["new","****","third"]}`: {"new", "two", "third"},
		`{"name":"a","provider":"github","secret":"new"}`:                  {"new"},
		`{"name":"a","provider":"github","secret":null}`:                   {},
	} {
		if want == nil {
			want = []string{"one", "two"}
		}
		replaced, err := decodeSourceOK(t, document).Replace(old, sourceRules())
		require.NoError(t, err)
		require.ElementsMatch(t, want, replaced.Secrets, document)
		patch := strings.Replace(document, `"name":"a","provider":"github"`, `"title":"t"`, 1)
		patched, err := PatchSource(old, []byte(patch), sourceRules())
		require.NoError(t, err)
		require.Equal(t, want, append([]string{}, patched.Secrets...), patch)
	}
	_, err = decodeSourceOK(t, `{"name":"a","provider":"github","secret":["new","other","****"]}`).Replace(old, sourceRules())
	require.ErrorContains(t, err, "body.secret[2]")
	_, err = decodeSourceOK(t, `{"name":"a","provider":"github","secret":["****"]}`).Create("fresh")
	require.ErrorContains(t, err, "body.secret[0]")
	require.Equal(t, []string{"one", "two"}, old.Secrets, "what was there is not changed")

	made, err := decodeSourceOK(t, `{"name":"a","provider":"github"}`).Create("fresh")
	require.NoError(t, err)
	require.Equal(t, []string{"fresh"}, made.Secrets)
	made, err = decodeSourceOK(t, `{"name":"a","provider":"github","secret":null}`).Create("fresh")
	require.NoError(t, err)
	require.Empty(t, made.Secrets)
}

func TestASecretThatIsKeptMustGoWithTheProvider(t *testing.T) {
	old, err := decodeSourceOK(t, `{"name":"a","provider":"github","secret":"text"}`).Create("")
	require.NoError(t, err)
	rules := Rules{CheckSource: func(s Source) error {
		if s.Provider == "other" && len(s.Secrets) > 0 {
			return &Error{Code: Invalid, Problems: []Problem{{"secret", "is of another form"}}}
		}
		return nil
	}}
	d, err := DecodeSource([]byte(`{"name":"a","provider":"other"}`), rules)
	require.NoError(t, err)
	_, err = d.Replace(old, rules)
	require.ErrorContains(t, err, "body.secret: is of another form")
}

func TestWhatIsWrongInASourceIsNamedWithItsPlace(t *testing.T) {
	for document, place := range map[string]string{
		`{"provider":"github"}`:                                                         "body.name",
		`{"name":"a"}`:                                                                  "body.provider",
		`{"name":"a","provider":1}`:                                                     "body.provider",
		`{"name":"a","provider":"github","secret":""}`:                                  "body.secret",
		`{"name":"a","provider":"github","secret":["a",""]}`:                            "body.secret[1]",
		`{"name":"a","provider":"github","secret":[1]}`:                                 "body.secret[0]",
		`{"name":"a","provider":"github","unknown":1}`:                                  "body.unknown",
		`{"name":"a","provider":"github","map":{"Type":"x"}}`:                           "body.map.Type",
		`{"name":"a","provider":"github","extract":{"a":{"paht":"x"}}}`:                 "body.extract.a.paht",
		`{"name":"a","provider":"github","rate":{"per":"1s"}}`:                          "body.rate.limit",
		`{"name":"a","provider":"github","rate":{"limit":0}}`:                           "body.rate.limit",
		`{"name":"a","provider":"github","rate":{"limit":1,"per":"0s"}}`:                "body.rate.per",
		`{"name":"a","provider":"github","secret":"` + strings.Repeat("x", 2000) + `"}`: "body.secret",
	} {
		_, err := DecodeSource([]byte(document), sourceRules())
		e, ok := errors.AsType[*Error](err)
		require.True(t, ok, document)
		require.Equal(t, place, e.Problems[0].Location, document)
	}
	_, err := DecodeSource([]byte(`{"name":"a","provider":"github"}`), Rules{})
	require.Error(t, err, "where nobody knows providers, none is taken")
	_, err = PatchSource(Source{Name: "a", Provider: "github"}, []byte(`{"unknown":null}`), sourceRules())
	require.ErrorContains(t, err, "body.unknown")
}

func TestInletsAreFoundByTheNamesThatSourcesHaveNow(t *testing.T) {
	base := &snapshot{index: NewIndex()}
	at := func(s *snapshot, name string) string {
		r := &Router{definitions: &definitions{}}
		r.definitions.snapshot.Store(s)
		if found := r.Inlet(name); found != nil {
			return found.ID
		}
		return ""
	}
	require.Empty(t, at(nil, "a"))
	first, err := base.with(Definitions{Sources: []Source{{ID: "1", Name: "a"}, {ID: "2", Name: "b"}}})
	require.NoError(t, err)
	require.Equal(t, "1", at(first, "a"))

	swapped, err := first.with(Definitions{Sources: []Source{{ID: "1", Name: "b"}, {ID: "2", Name: "a"}}})
	require.NoError(t, err)
	require.Equal(t, []string{"2", "1"}, []string{at(swapped, "a"), at(swapped, "b")})
	require.Equal(t, "1", at(first, "a"), "a snapshot does not change")

	twice, err := first.with(Definitions{Sources: []Source{{ID: "1", Name: "c"}, {ID: "1", Name: "d"}}})
	require.NoError(t, err)
	require.Equal(t, []string{"", "", "1", "2"}, []string{at(twice, "a"), at(twice, "c"), at(twice, "d"), at(twice, "b")})

	reused, err := first.with(Definitions{Sources: []Source{{ID: "3", Name: "a"}}, DeletedSources: []string{"1", "2"}})
	require.NoError(t, err)
	require.Equal(t, []string{"3", ""}, []string{at(reused, "a"), at(reused, "b")})
}
