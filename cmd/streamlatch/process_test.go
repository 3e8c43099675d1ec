package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write golden files and generated documentation anew")

// output is a buffer that can be read while it is written to.
type output struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{}, 1)} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.changed <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// await waits until the text is there.
func (o *output) await(t testing.TB, text string) string {
	t.Helper()
	timeout := time.After(20 * time.Second)
	for {
		if all := o.String(); strings.Contains(all, text) {
			return all
		}
		select {
		case <-o.changed:
		case <-timeout:
			t.Fatalf("waited in vain for %q; there is only:\n%s", text, o)
		}
	}
}

// zeros gives the same bytes each time.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

var errNoServer = errors.New("this test starts no server")

// testProcess is a process whose world is the test's. Its pauses take no time.
func testProcess(environ ...string) (p *process, stdout, stderr *output) {
	stdout, stderr = newOutput(), newOutput()
	return &process{
		name: "streamlatch", stdin: strings.NewReader(""), stdout: stdout, stderr: stderr, environ: environ, random: zeros{},
		now:   func() time.Time { return began.Add(time.Minute) },
		pause: func(ctx context.Context, _ time.Duration) error { return context.Cause(ctx) },
		exit:  func(int) { panic("exit") },
		start: func(context.Context, options) (server, error) { return nil, errNoServer },
	}, stdout, stderr
}

// runCommand runs one command line, and returns what it printed and its exit code.
func runCommand(t testing.TB, environ []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	p, out, err := testProcess(environ...)
	code = p.run(t.Context(), args)
	return out.String(), err.String(), code
}

// golden compares with a file of testdata, or writes it.
func golden(t testing.TB, path, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./cmd/streamlatch -update writes it")
	require.Equal(t, string(want), got, "go test ./cmd/streamlatch -update writes it anew")
}
