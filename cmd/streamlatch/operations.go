package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/streamlatch/streamlatch/client"
)

// operationBar shows people how far an operation is.
type operationBar struct {
	to  io.Writer
	bar *progressbar.ProgressBar // nil before the first time
}

// newOperationBar makes one; where nobody can see it, it shows nothing.
func (p *process) newOperationBar() *operationBar {
	if !p.terminal {
		return &operationBar{}
	}
	return &operationBar{to: p.stderr}
}

func (b *operationBar) show(o client.Operation) {
	if b.to == nil {
		return
	}
	total := max(o.Total, o.Done, 1)
	if b.bar == nil {
		b.bar = progressbar.NewOptions64(total, progressbar.OptionSetWriter(b.to), progressbar.OptionShowCount(),
			progressbar.OptionSetDescription(plain(o.Kind)), progressbar.OptionThrottle(progressPause), progressbar.OptionClearOnFinish())
	}
	if total != b.bar.GetMax64() {
		b.bar.ChangeMax64(total)
	}
	_ = b.bar.Set64(o.Done) // what can't be shown does no harm
}

// finish takes it away.
func (b *operationBar) finish() {
	if b.bar != nil {
		_ = b.bar.Finish() // what can't be shown does no harm
	}
}

// operationOptions are the flags of commands that begin an operation.
type operationOptions struct{ dryRun, background bool }

func (o *operationOptions) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.dryRun, "dry-run", false, "only count")
	f.BoolVar(&o.background, "background", false, "do not wait for the end")
}

func (p *process) writeDryRun(conn *connection, n int64, words string, err error) error {
	if err != nil {
		return err
	}
	if conn.json() {
		return writeJSON(p.stdout, map[string]any{"dry_run": true, "count": n})
	}
	return write(p.stdout, fmt.Sprintf("%d %s\n", n, words))
}

// follow shows how far an operation is, until it has ended, and what it came to.
func (p *process) follow(ctx context.Context, conn *connection, id string, background bool) error {
	api, err := conn.client()
	if err != nil {
		return err
	}
	if background {
		if conn.json() {
			return writeJSON(p.stdout, map[string]any{"operation": id})
		}
		return write(p.stdout, "operation "+plain(id)+"\n")
	}
	bar := p.newOperationBar()
	o, err := api.Await(ctx, id, bar.show)
	bar.finish()
	if err != nil {
		return fmt.Errorf("operation %s: %w", id, err)
	}
	if err := p.writeOperation(conn, o); err != nil {
		return err
	}
	if o.Status != "done" {
		return exitError{exitFailure}
	}
	return nil
}

func (p *process) writeOperation(conn *connection, o client.Operation) error {
	if conn.json() {
		return writeJSON(p.stdout, o)
	}
	text := fmt.Sprintf("%s %s: %s", plain(o.Kind), plain(o.ID), plain(o.Status))
	if o.Error != "" {
		text += " (" + plain(o.Error) + ")"
	}
	text += fmt.Sprintf(", %d of %d", o.Done, o.Total)
	for _, word := range slices.Sorted(maps.Keys(o.Counts)) {
		text += fmt.Sprintf(", %d %s", o.Counts[word], plain(word))
	}
	return write(p.stdout, text+"\n")
}

func (p *process) operationsCommand() *cobra.Command {
	show := &cobra.Command{Use: "show ID", Short: "Show how far an operation is", Args: cobra.ExactArgs(1)}
	showing := p.connect(show)
	show.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := showing.client()
		if err != nil {
			return err
		}
		o, err := api.Operation(cmd.Context(), args[0])
		if err != nil {
			return fmt.Errorf("operation %s: %w", args[0], err)
		}
		return p.writeOperation(showing, o)
	}
	wait := &cobra.Command{Use: "wait ID", Short: "Wait until an operation has ended", Args: cobra.ExactArgs(1)}
	waiting := p.connect(wait)
	wait.RunE = func(cmd *cobra.Command, args []string) error { return p.follow(cmd.Context(), waiting, args[0], false) }
	return family(&cobra.Command{Use: "operations", Aliases: []string{"operation"}, Short: "Show operations, and wait for them"}, show, wait)
}
