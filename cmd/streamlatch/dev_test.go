package main

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/httpapi"
)

// startFake starts a fake server in the place of the real one: the real API on storage in memory.
func startFake(t testing.TB, p *process, change func(*httpapi.Config)) {
	t.Helper()
	u, err := url.Parse(startAPI(t, &memory{}, change))
	require.NoError(t, err)
	p.start = func(_ context.Context, o options) (server, error) {
		require.True(t, o.Embedded)
		return fakeServer{u.Host, func(ctx context.Context) error { <-ctx.Done(); return nil }}, nil
	}
}

// runUntil runs a command until it has printed a text, and returns what it printed.
func runUntil(t testing.TB, p *process, stdout *output, text string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan int, 1)
	go func() { ended <- p.run(ctx, args) }()
	stdout.await(t, text)
	cancel(errInterrupted)
	require.Equal(t, exitDone, <-ended)
	return stdout.String()
}

func TestDevSaysWhatIsRunningAndWhatToTry(t *testing.T) {
	p, stdout, stderr := testProcess("STREAMLATCH_REDIS=redis://elsewhere")
	p.name = "bin/streamlatch"
	startFake(t, p, nil)
	got := runUntil(t, p, stdout, "publish --server", "dev", "--listen", "127.0.0.1:0")
	_, rest, _ := strings.Cut(got, "http://127.0.0.1:")
	port, _, _ := strings.Cut(rest, " ")
	golden(t, "testdata/dev.txt", strings.ReplaceAll(got, port, "8088"))
	require.Contains(t, stderr.String(), "dev runs on an embedded Redis: this setting is not used\" setting=STREAMLATCH_REDIS")
}

func TestDevTextIsShortAndNamesTheServerOnlyWhereItHasTo(t *testing.T) {
	text := devText("streamlatch", "http://127.0.0.1:8080", config{}, 0, listenSecret)
	require.NotContains(t, text, "--server")
	require.LessOrEqual(t, strings.Count(text, "\n"), 8)
	with := config{}
	with.API.Keys = []httpapi.Key{{}}
	require.Contains(t, devText("streamlatch", "http://127.0.0.1:8080", with, 2, listenSecret), "Definitions loaded: 2.")
	require.Contains(t, devText("streamlatch", "http://127.0.0.1:8080", with, 0, listenSecret), "API keys are configured: set STREAMLATCH_API_KEY.")
}

func TestDevLoadsDefinitionsWhenTheServerIsReady(t *testing.T) {
	p, stdout, _ := testProcess()
	asked := 0
	startFake(t, p, func(c *httpapi.Config) {
		c.Ready = func(context.Context) error {
			if asked++; asked < 3 {
				return errors.New("not yet")
			}
			return nil
		}
	})
	got := runUntil(t, p, stdout, "To try next", "dev", "-f", "testdata/definitions/orders.yaml")
	require.Contains(t, got, "created subscription billing (testdata/definitions/orders.yaml:2)\n    secret, shown this once: whsec_")
	require.Contains(t, got, "Definitions loaded: 2.")
}

func TestDevDoesNotStartWithDefinitionsThatAreWrong(t *testing.T) {
	_, stderr, code := runCommand(t, nil, "dev", "-f", "testdata/wrong.yaml")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "testdata/wrong.yaml:1: ")
}

func TestDevEndsWhereTheServerRefusesADefinition(t *testing.T) {
	p, _, stderr := testProcess()
	startFake(t, p, withKey) // and no STREAMLATCH_API_KEY
	require.Equal(t, exitFailure, p.run(t.Context(), []string{"dev", "-f", "testdata/definitions/orders.yaml"}))
	require.Contains(t, stderr.String(), "load the definitions: ")
	require.Contains(t, stderr.String(), "401")
}

func TestTheRealServerRunsInProcess(t *testing.T) {
	p, stdout, stderr := testProcess()
	p.start = newProcess().start
	p.pause = pause
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	ended := make(chan int, 1)
	go func() { ended <- p.run(ctx, []string{"dev", "--listen", "127.0.0.1:0", "--shutdown-grace", "1s"}) }()
	said := stdout.await(t, "To try next")
	_, rest, _ := strings.Cut(said, "is running at ")
	server, _, _ := strings.Cut(rest, " ")

	hook, listener, wait := startListen(t, "--secret", listenSecret, "-n", "1")
	listener.now = newProcess().now
	environ := []string{serverVariable + "=" + server}
	_, errText, code := runCommand(t, environ, "subscriptions", "create", "--name", "demo", "--types", "order.*", "--url", hook, "--secret", listenSecret)
	require.Equal(t, exitDone, code, errText)
	_, errText, code = runCommand(t, environ, "publish", "--type", "order.paid", "--id", "a1", "--data", `{"total": 12}`)
	require.Equal(t, exitDone, code, errText)
	printed, code := wait()
	require.Equal(t, exitDone, code)
	require.Regexp(t, `^\S+ verified / dlv_0-\S+ order.paid / a1 \{"total":12\}\n$`, printed)

	cancel(errInterrupted)
	require.Equal(t, exitDone, <-ended, stderr.String())
}

func TestAllAddressesAreCalledByLoopback(t *testing.T) {
	for listen, want := range map[string]string{"[::]:80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", ":80": "127.0.0.1:80", "10.0.0.1:80": "10.0.0.1:80", "[::1]:80": "[::1]:80"} {
		require.Equal(t, want, reachable(listen))
	}
}
