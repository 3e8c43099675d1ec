package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// address is what a role that serves prints first.
type address struct{ Addr string }

// roles are the parts that the program plays when it starts itself, so that each has a process, and a CPU account, of its
// own. A role prints lines of JSON.
var roles = map[string]func(ctx context.Context, args []string, say func(any) error) error{
	"role-bare":      runBare,
	"role-claim":     runClaim,
	"role-handle":    runHandle,
	"role-join":      runJoin,
	"role-load":      runLoad,
	"role-match":     runMatch,
	"role-misbehave": runMisbehave,
	"role-post":      runPost,
	"role-route":     runRoute,
	"role-sink":      runSink,
}

// playRole runs one of the roles in this process.
func playRole(ctx context.Context, name string, args []string) error {
	run, ok := roles[name]
	if !ok {
		return fmt.Errorf("no such role: %s", name)
	}
	out := json.NewEncoder(os.Stdout)
	return run(ctx, args, func(v any) error { return out.Encode(v) })
}

// child is another process of the benchmark, whose standard output can be read by lines.
type child struct {
	process *redistest.Process
	out     *os.File
	lines   *bufio.Reader
	name    string
}

// startRole starts this program in a role. The caller closes it.
func startRole(name string, args ...string) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startChild(exec.Command(self, append([]string{name}, args...)...), name)
}

func startChild(cmd *exec.Cmd, name string) (*child, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	p, err := redistest.Spawn(cmd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", name, err), r.Close())
	}
	return &child{process: p, out: r, lines: bufio.NewReader(r), name: name}, nil
}

// read reads the next line that the child prints.
func (c *child) read(ctx context.Context, into any) error {
	stop := context.AfterFunc(ctx, func() { _ = c.out.SetReadDeadline(time.Now()) })
	defer stop()
	line, err := c.lines.ReadBytes('\n')
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("wait for %s: %w", c.name, context.Cause(ctx))
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s ended without a result", c.name)
	}
	if err != nil {
		return fmt.Errorf("read from %s: %w", c.name, err)
	}
	return json.Unmarshal(line, into)
}

// Close ends the child at once.
func (c *child) Close() error { return errors.Join(c.process.Kill(), c.out.Close()) }

// finish runs a role to its end and returns its one line of result, and the CPU time it took.
func finish[T any](ctx context.Context, name string, args ...string) (result T, cpu time.Duration, err error) {
	c, err := startRole(name, args...)
	if err != nil {
		return result, 0, err
	}
	defer c.Close()
	if err := c.read(ctx, &result); err != nil {
		return result, 0, err
	}
	state := c.process.State()
	return result, state.UserTime() + state.SystemTime(), nil
}
