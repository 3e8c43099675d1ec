// Streamlatch-bench measures Streamlatch beside bare programs that do the least that the same work can be done with, on
// this machine, in the same run, and prints a table of ratios.
//
// Usage:
//
//	streamlatch-bench [-streamlatch PROGRAM] [-rounds 5] [-only TEXT] [-scale 1] [-others 0.2] [-patience 2m]
//
// Without -streamlatch only the references are measured. The exit status is 1 where a bound is missed or something
// failed, 2 for wrong usage. Redis is a real redis-server without persistence, a fresh one for each measurement; its CPU
// time, like that of every other part, is read from a process of its own, so the program runs on Linux only.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program, and returns its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && strings.HasPrefix(args[0], "role-") {
		if err := playRole(ctx, args[0], args[1:]); err != nil && ctx.Err() == nil {
			fmt.Fprintf(stderr, "%s: %v\n", args[0], err)
			return 1
		}
		return 0
	}
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	missed, err := o.bench(ctx, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	if missed > 0 {
		fmt.Fprintf(stderr, "bounds missed: %d\n", missed)
		return 1
	}
	return 0
}

type options struct {
	program string
	rounds  int
	only    string
	scale   float64
	quiet   calm
}

func parseOptions(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("streamlatch-bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.program, "streamlatch", "", "the `program` to measure; without it, only the references are")
	f.IntVar(&o.rounds, "rounds", 5, "how often everything is measured; the table has the medians")
	f.StringVar(&o.only, "only", "", "measure only experiments whose name contains this `text`")
	f.Float64Var(&o.scale, "scale", 1, "multiplies the numbers of events, and of subscriptions that they are matched with: bounds are meant for 1")
	f.Float64Var(&o.quiet.share, "others", 0.2, "`share` of the machine's CPU time that other programs may take; what they disturb more is measured again")
	f.DurationVar(&o.quiet.patience, "patience", 2*time.Minute, "how long, in all, to wait for other programs and to measure again; then things are taken as they are")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch {
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.rounds < 1:
		return o, fmt.Errorf("-rounds is %d; it must be at least 1", o.rounds)
	case !(o.scale > 0):
		return o, fmt.Errorf("-scale is %v; it must be above 0", o.scale)
	case !(o.quiet.share >= 0):
		return o, fmt.Errorf("-others is %v; it must be 0 or more", o.quiet.share)
	}
	return o, nil
}

// bench measures and prints, and returns how many bounds are missed.
func (o options) bench(ctx context.Context, stdout, stderr io.Writer) (missed int, err error) {
	var chosen []experiment
	for _, e := range plan(o.program, o.scale) {
		if strings.Contains(e.name, o.only) {
			chosen = append(chosen, e)
		}
	}
	if len(chosen) == 0 {
		return 0, fmt.Errorf("no experiment's name contains %q", o.only)
	}
	all, err := measureRounds(ctx, chosen, o.rounds, &o.quiet, stderr)
	if err != nil {
		return 0, err
	}
	return printTable(stdout, chosen, all)
}
