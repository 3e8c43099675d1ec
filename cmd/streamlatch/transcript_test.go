package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

// A transcript of testdata/transcripts is a list of command lines, each after "$ ", with what they print: stdout as it is, stderr behind "! ", and an exit code other
// than 0. All of one transcript talk to the same server. "<file" at the end is the command's stdin; lines with "# " are comments.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/transcripts/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			url := startAPI(t, &memory{fail: refuseSome}, withKey)
			var got strings.Builder
			for line := range strings.Lines(string(text)) {
				switch {
				case strings.HasPrefix(line, "$ "):
					got.WriteString(line)
					got.WriteString(runLine(t, url, strings.TrimSpace(line[2:])))
				case strings.HasPrefix(line, "# "):
					got.WriteString("\n" + line)
				}
			}
			golden(t, path, strings.ReplaceAll(got.String(), url, "http://server"))
		})
	}
}

// refuseSome is a store that refuses some events.
func refuseSome(e router.Event) error {
	if e.Type() == "reused" {
		return router.Errorf(router.IDReused, "the id %q was used for another event", e.ID())
	}
	return nil
}

const transcriptKey = "slk_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" // what NewKey makes of zeros

func withKey(c *httpapi.Config) {
	_, hash, err := httpapi.NewKey(zeros{})
	if err != nil {
		panic(err)
	}
	c.Keys = []httpapi.Key{{Name: "test", Hash: hash, Scopes: httpapi.Scopes()}}
}

func runLine(t testing.TB, url, line string) string {
	t.Helper()
	args, stdin := splitLine(t, line)
	require.Equal(t, "streamlatch", args[0])
	p, stdout, stderr := testProcess(serverVariable+"="+url, apiKeyVariable+"="+transcriptKey)
	if stdin != "" {
		file, err := os.Open(stdin)
		require.NoError(t, err)
		defer func() { require.NoError(t, file.Close()) }()
		p.stdin = file
	}
	code := p.run(t.Context(), args[1:])
	text := endLine(stdout.String())
	for line := range strings.Lines(endLine(stderr.String())) {
		text += "! " + line
	}
	if code != exitDone {
		text += "exit code " + string(rune('0'+code)) + "\n"
	}
	return strings.ReplaceAll(text, "\n$ ", "\n $ ")
}

func endLine(s string) string {
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return s
}

// splitLine splits a command line into words; single quotes hold a word together.
func splitLine(t testing.TB, line string) (words []string, stdin string) {
	t.Helper()
	word, open, quoted := "", false, false
	for _, r := range line + " " {
		switch {
		case r == '\'':
			open, quoted = true, !quoted
		case r == ' ' && !quoted:
			if open && strings.HasPrefix(word, "<") {
				stdin = word[1:]
			} else if open {
				words = append(words, word)
			}
			word, open = "", false
		default:
			word, open = word+string(r), true
		}
	}
	require.False(t, quoted, "a quote is not closed: %s", line)
	return words, stdin
}

func TestCommandsTellHowToUseThem(t *testing.T) {
	p, _, _ := testProcess()
	root, _ := p.rootCommand()
	for _, c := range root.Commands() {
		require.NotEmpty(t, c.Short, c.Name())
		_, _, code := runCommand(t, nil, c.Name(), "--help")
		require.Equal(t, exitDone, code, c.Name())
	}
}

func TestCompletionIsThere(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		stdout, _, code := runCommand(t, nil, "completion", shell)
		require.Equal(t, exitDone, code)
		require.Contains(t, stdout, "streamlatch")
	}
}

// brokenPipe is an output that nobody reads any more.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestWhatCannotBePrintedIsAFailure(t *testing.T) {
	url := startAPI(t, &memory{}, nil)
	for _, args := range [][]string{
		{"version"}, {"version", "-o", "json"}, {"subscriptions", "list"}, {"subscriptions", "list", "-o", "json"}, {"publish", "--type", "a"}, {"key", "new", "--name", "a", "--scopes", "read"},
	} {
		p, _, stderr := testProcess(serverVariable + "=" + url)
		p.stdout = brokenPipe{}
		require.Equal(t, exitFailure, p.run(t.Context(), args), args)
		require.Contains(t, stderr.String(), "broken pipe")
	}
}

func TestAServerThatIsNotThereIsAFailure(t *testing.T) {
	for _, args := range [][]string{
		{"publish", "--type", "a"}, {"subscriptions", "list"}, {"subscriptions", "show", "a"}, {"subscriptions", "test", "a"}, {"subscriptions", "delete", "a"}, {"healthcheck"},
		{"subscriptions", "create", "--name", "a", "--url", "http://a.example"},
	} {
		_, stderr, code := runCommand(t, []string{serverVariable + "=http://127.0.0.1:1"}, args...)
		require.Equal(t, exitFailure, code, args)
		require.Contains(t, stderr, "no answer from http://127.0.0.1:1", args)
	}
}

func TestHealthcheckAsksForTheProcessOrItsReadiness(t *testing.T) {
	url := startAPI(t, &memory{}, nil)
	for _, args := range [][]string{{"healthcheck"}, {"healthcheck", "--ready"}} {
		_, stderr, code := runCommand(t, []string{serverVariable + "=" + url}, args...)
		require.Equal(t, exitDone, code, stderr)
	}
	_, stderr, code := runCommand(t, []string{serverVariable + "=" + url + "/elsewhere"}, "healthcheck")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "404")
}
