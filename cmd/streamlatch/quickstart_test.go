package main_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// root is the project's folder, seen from this package.
const root = "../.."

// step is a marked block of README.md: "sh quickstart N" is typed in terminal N, "text quickstart N" is what that terminal shows next.
type step struct {
	kind, terminal, text string
}

func readSteps(t testing.TB, replace *strings.Replacer) (steps []step) {
	t.Helper()
	text, err := os.ReadFile(root + "/README.md")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?ms)^```(sh|text) quickstart (\\d+)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		steps = append(steps, step{kind: m[1], terminal: m[2], text: replace.Replace(strings.TrimSpace(m[3]))})
	}
	return steps
}

// terminal runs one command after the other and keeps what they print.
type terminal struct {
	environ  []string
	patience time.Duration
	process  *redistest.Process

	mu     sync.Mutex
	output bytes.Buffer
	seen   int // how much of the output was expected and has come
}

// Write takes output of the commands.
func (x *terminal) Write(b []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.output.Write(b)
}

func (x *terminal) text() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.output.String()
}

// run starts commands, once those before have ended well.
func (x *terminal) run(t testing.TB, commands string) {
	t.Helper()
	if x.process != nil {
		require.True(t, x.process.State().Success(), x.text())
	}
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", commands)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = root, x.environ, x, x
	process, err := redistest.Spawn(cmd)
	require.NoError(t, err)
	x.process = process
	t.Cleanup(func() { _ = process.Kill() }) // where the test failed midway
}

// expect waits for lines in the output; "…" stands for any text within a line.
func (x *terminal) expect(t testing.TB, lines string) {
	t.Helper()
	pattern := regexp.MustCompile("(?m)^" + strings.ReplaceAll(regexp.QuoteMeta(lines), "…", "[^\n]*") + "$")
	ok := func() bool {
		at := pattern.FindStringIndex(x.text()[x.seen:])
		if at == nil {
			return false
		}
		x.seen += at[1]
		return true
	}
	if !eventually(ok, x.patience, x.process.Exited()) {
		require.Fail(t, "README.md promises other output", "wanted\n%s\n\ngot\n%s", lines, x.text()[x.seen:])
	}
}

// eventually tells whether a condition comes true within a time, or by the end of a process.
func eventually(condition func() bool, within time.Duration, ended <-chan struct{}) bool {
	tick, timeout := time.NewTicker(10*time.Millisecond), time.After(within)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-timeout:
			return false
		case <-ended:
			return condition()
		}
	}
	return true
}

// environ is the environment without what would change the commands.
func environ(more ...string) []string {
	return append(slices.DeleteFunc(os.Environ(), func(variable string) bool {
		return strings.HasPrefix(variable, "STREAMLATCH_") || strings.HasPrefix(variable, "MAKE") || strings.HasPrefix(variable, "MFLAGS=")
	}), more...)
}

func TestTheQuickstartOfTheREADMEWorksAsItIsWritten(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program")
	}
	bin, server, sink := t.TempDir(), reserve(t), reserve(t)
	replace := strings.NewReplacer("127.0.0.1:8080", server, "127.0.0.1:9000", sink,
		"bin/streamlatch listen", bin+"/streamlatch listen --listen "+sink, "bin/streamlatch", bin+"/streamlatch")
	terminals := map[string]*terminal{}
	patience := 5 * time.Minute // the first command builds the program, from empty caches where nothing was built before
	for _, s := range readSteps(t, replace) {
		x := terminals[s.terminal]
		if x == nil {
			x = &terminal{environ: environ("BIN="+bin, "STREAMLATCH_LISTEN="+server, "STREAMLATCH_SERVER=http://"+server), patience: patience}
			terminals[s.terminal] = x
		}
		if s.kind == "sh" {
			x.run(t, s.text)
			continue
		}
		x.expect(t, s.text)
		patience = 30 * time.Second
	}
	require.Equal(t, []string{"1", "2", "3", "4"}, slices.Sorted(maps.Keys(terminals)))
	require.Equal(t, 1, strings.Count(terminals["2"].text(), "dlv_"), "what was published twice is delivered once, and what is no order not at all")
	require.True(t, terminals["3"].process.State().Success())
	require.True(t, terminals["4"].process.State().Success())
	for _, n := range []string{"2", "1"} {
		require.NoError(t, terminals[n].process.Signal(syscall.SIGINT))
		terminals[n].process.State()
	}
}

func reserve(t testing.TB) string {
	t.Helper()
	port, err := redistest.ReservePort()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, port.Release()) })
	return port.Addr()
}
