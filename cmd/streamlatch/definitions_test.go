package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

func TestFoldersAreReadWithThoseBelow(t *testing.T) {
	folder := t.TempDir()
	for name, content := range map[string]string{
		"b.yaml": "b", "a.yml": "a", "sub/c.json": "c", "sub/notes.txt": "x", ".hidden.yaml": "x", ".git/d.yaml": "x",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(folder, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte("kind: subscription\nname: "+content+"\nsink: {kind: webhook, url: 'https://a.example'}\n"), 0o600))
	}
	got, err := readDefinitions(strings.NewReader(""), []string{folder, filepath.Join(folder, "b.yaml")})
	require.NoError(t, err)
	var names []string
	for _, d := range got {
		names = append(names, d.name)
	}
	require.Equal(t, []string{"a", "b", "c"}, names)
}

func TestAFileMayHoldNothing(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n---\n", "---\n# x\n---\nnull\n"} {
		got, err := readDefinitions(strings.NewReader(text), []string{"-"})
		require.NoError(t, err, text)
		require.Empty(t, got)
	}
}

func TestYAMLThatCannotBeParsedNamesTheFile(t *testing.T) {
	_, err := readDefinitions(strings.NewReader("a: [\n"), []string{"-"})
	require.ErrorContains(t, err, "stdin: yaml: ")
	_, err = readDefinitions(strings.NewReader("kind: subscription\nname: a\nname: b\nsink: {kind: webhook, url: 'https://a.example'}"), []string{"-"})
	require.ErrorContains(t, err, "stdin:1: name")
}

// applied is what apply prints.
func applied(t testing.TB, url, text string, args ...string) string {
	t.Helper()
	p, stdout, stderr := testProcess(serverVariable + "=" + url)
	p.stdin = strings.NewReader(text)
	require.Equal(t, exitDone, p.run(t.Context(), append([]string{"apply", "-f", "-"}, args...)), stderr.String())
	return stdout.String()
}

func TestApplyTwiceChangesNothingTheSecondTime(t *testing.T) {
	for name, text := range map[string]string{
		"the least":            "{kind: subscription, name: a, sink: {kind: webhook, url: 'https://a.example'}}",
		"defaults said":        "{kind: subscription, name: a, enabled: true, sink: {kind: webhook, url: 'https://a.example', mode: structured, timeout: 15s}}",
		"durations spelled":    "{kind: subscription, name: a, sink: {kind: webhook, url: 'https://a.example', timeout: 1500ms}, delivery: {retry: {schedule: [90s, 24h]}}}",
		"numbers spelled":      "{kind: subscription, name: a, filter: {pattern: {data: {n: [1.0, {numeric: ['>', 1e2]}]}}}, sink: {kind: webhook, url: 'https://a.example'}}",
		"no secret":            "{kind: subscription, name: a, sink: {kind: webhook, url: 'https://a.example', secret: null}}",
		"what GET gave":        `{kind: subscription, id: sub_01JD0000000000000000000009, name: a, sink: {kind: webhook, url: 'https://a.example', secret: whsec_****}, etag: '"9"', status: {backlog: 1}}`,
		"dialects and headers": "{kind: subscription, name: a, filter: {types: [a.*], filters: [{prefix: {source: /x}}]}, sink: {kind: webhook, url: 'https://a.example', headers: {b: '2', a: '1'}}}",
	} {
		t.Run(name, func(t *testing.T) {
			m := &memory{}
			url := startAPI(t, m, func(c *httpapi.Config) {
				c.Rules.Delivery = router.Delivery{Retry: router.Retry{Jitter: 0.5}, MaxInFlight: 3} // the server's own defaults are no difference
			})
			require.Contains(t, applied(t, url, text), "1 created, 0 changed, 0 unchanged")
			before := m.subs[0]
			require.Contains(t, applied(t, url, text), "0 created, 0 changed, 1 unchanged")
			require.Equal(t, before, m.subs[0])
		})
	}
}

func TestApplyDoesNotOverwriteWhatSomebodyElseHasJustChanged(t *testing.T) {
	m := &memory{}
	url := startAPI(t, m, nil)
	applied(t, url, "{kind: subscription, name: a, sink: {kind: webhook, url: 'https://a.example'}}")
	definitions, err := readDefinitions(strings.NewReader("{kind: subscription, name: a, title: mine, sink: {kind: webhook, url: 'https://a.example'}}"), []string{"-"})
	require.NoError(t, err)
	p, _, _ := testProcess(serverVariable + "=" + url)
	conn := &connection{process: p}
	api, err := conn.client()
	require.NoError(t, err)
	mine, err := makePlan(t.Context(), api, definitions)
	require.NoError(t, err)
	applied(t, url, "{kind: subscription, name: a, title: theirs, sink: {kind: webhook, url: 'https://a.example'}}")
	err = mine.apply(t.Context(), api, false, func(step) error { return nil })
	require.ErrorContains(t, err, `change subscription "a": somebody else has changed it meanwhile`)
	require.Equal(t, "theirs", m.subs[0].Title)
}

func TestASecretIsSentWhenItIsForcedOrSomethingElseDiffers(t *testing.T) {
	m := &memory{}
	url := startAPI(t, m, nil)
	text := func(secret string) string {
		return "{kind: subscription, name: a, sink: {kind: webhook, url: 'https://a.example', secret: '" + secret + "'}}"
	}
	applied(t, url, text(listenSecret))
	require.Contains(t, applied(t, url, text(otherSecret)), "its secret is not compared")
	require.Equal(t, listenSecret, m.subs[0].Sink.Secret)
	applied(t, url, text(otherSecret), "--force")
	require.Equal(t, otherSecret, m.subs[0].Sink.Secret)

	token := func(token string) string {
		return "{kind: subscription, name: a, sink: {kind: webhook, url: 'https://a.example', auth: {kind: bearer" + token + "}}}"
	}
	require.Contains(t, applied(t, url, token(", token: one")), "sink.auth: (none) → {\"kind\":\"bearer\",\"token\":\"****\"}")
	require.Contains(t, applied(t, url, token(", token: two")), "its secret is not compared")
	require.Contains(t, applied(t, url, token("")), "0 created, 0 changed, 1 unchanged")
	require.Equal(t, "one", m.subs[0].Sink.Auth.Token)
	applied(t, url, token(", token: two"), "--force")
	require.Equal(t, "two", m.subs[0].Sink.Auth.Token)
}

func TestApplyLeavesAloneWhatIsInNoFile(t *testing.T) {
	m := &memory{}
	url := startAPI(t, m, nil)
	applied(t, url, "{kind: subscription, name: a, sink: {kind: webhook, url: 'https://a.example'}}")
	applied(t, url, "{kind: subscription, name: b, sink: {kind: webhook, url: 'https://a.example'}}")
	require.Len(t, m.subs, 2)
}
