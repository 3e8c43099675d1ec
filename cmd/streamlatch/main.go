// Command streamlatch is the event router's server and its command line.
//
//	dev      a server on an embedded Redis, for trying things out; it forgets everything when it ends
//	serve    a replica of a deployment, on a real Redis
//	others   clients of a server's HTTP API; key, config and version need none
//
// # Exit codes
//
//	0    done; a server, tail or listen that a signal ended in good order
//	1    it failed; diff: there are differences
//	2    wrong usage: a flag, an argument, a setting; diff: it could not compare
//	130  a second SIGINT, or one that cut a command off
//	143  the same with SIGTERM
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func main() {
	collectLater()
	os.Exit(newProcess().run(context.Background(), os.Args[1:]))
}

// garbagePercent lets the heap grow to five times of what is live before it is collected, which is little beside what passes through a server: by Go's
// default, about a fifth of a busy server's CPU goes into collecting. GOGC overrides it.
const garbagePercent = 400

func collectLater() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}

// The exit codes.
const (
	exitDone    = 0
	exitFailure = 1
	exitUsage   = 2
)

// server is a running Streamlatch.
type server interface {
	// Run works until ctx ends, then stops in good order and returns nil.
	Run(ctx context.Context) error
	// Addr is the address that is listened on, "127.0.0.1:8080".
	Addr() string
}

// process is what the program has of the world around it, so that tests can give it another one.
type process struct {
	name     string // as it was called
	stdin    io.Reader
	stdout   io.Writer
	stderr   io.Writer
	environ  []string // "NAME=value"
	random   io.Reader
	now      func() time.Time
	pause    func(context.Context, time.Duration) error // waits; its error is the cause of an ended context
	terminal bool                                       // stderr is one
	exit     func(code int)                             // ends the process at once
	start    func(context.Context, options) (server, error)
}

func newProcess() *process {
	return &process{
		name: os.Args[0], stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, environ: os.Environ(), random: rand.Reader, now: time.Now, pause: pause,
		terminal: term.IsTerminal(int(os.Stderr.Fd())), exit: os.Exit,
		start: func(ctx context.Context, o options) (server, error) {
			a, err := newApp(ctx, o)
			if err != nil {
				return nil, err
			}
			return a, nil
		},
	}
}

// pause waits by the clock.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// getenv returns an environment variable, "" where it is not set.
func (p *process) getenv(name string) string {
	for _, variable := range p.environ {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

// usageError is an error of whoever called the program.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// exitError ends the program with a code; all has been said.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// run runs one command line and returns the exit code.
func (p *process) run(ctx context.Context, args []string) int {
	ctx, caught := p.withSignals(ctx)
	defer caught.stop()
	root, began := p.rootCommand()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	if code := caught.code(); code != 0 && errors.Is(err, errInterrupted) {
		return code
	}
	if exit, ok := errors.AsType[exitError](err); ok {
		return exit.code
	}
	fmt.Fprintf(p.stderr, "streamlatch: %s\n", plainLines(err.Error()))
	if _, wrong := errors.AsType[usageError](err); wrong || !*began {
		fmt.Fprintf(p.stderr, "See '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	}
	if cmd.Annotations[differs] != "" {
		return exitUsage // 1 says that there are differences
	}
	return exitFailure
}

// differs annotates commands whose exit code 1 is an answer.
const differs = "differs"

// rootCommand makes the tree of commands. What fails before a command has begun is wrong usage.
func (p *process) rootCommand() (root *cobra.Command, began *bool) {
	began = new(bool)
	root = &cobra.Command{
		Use:   "streamlatch",
		Short: "An event router on Redis",
		Long:  "Streamlatch takes events in over HTTP, keeps them in a log of Redis Streams, and delivers them to everybody who subscribed.",
		Args:  cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { *began = true },
		RunE:             func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(p.stdin)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.AddGroup(&cobra.Group{ID: "server", Title: "Servers:"}, &cobra.Group{ID: "client", Title: "Clients of a server:"})
	for group, commands := range map[string][]*cobra.Command{
		"server": {p.devCommand(), p.serveCommand(), p.configCommand(), p.keyCommand()},
		"client": {
			p.publishCommand(), p.tailCommand(), p.listenCommand(), p.subscriptionsCommand(), p.triggersCommand(), p.sourcesCommand(), p.deliveriesCommand(),
			p.applyCommand(), p.diffCommand(), p.explainCommand(), p.demoCommand(),
		},
		"": {p.testCommand(), p.versionCommand(), p.healthcheckCommand()},
	} {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	return root, began
}

// family makes a command of commands, which has nothing to do by itself.
func family(cmd *cobra.Command, members ...*cobra.Command) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	cmd.AddCommand(members...)
	return cmd
}

// program is how the user called this program, for commands to try next.
func (p *process) program() string { return cmp.Or(p.name, "streamlatch") }
