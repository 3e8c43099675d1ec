package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/router"
)

// What workers do, from the command line: for scripts, and to try a queue out.

func (p *process) pullCommand() *cobra.Command {
	var o client.PullOptions
	cmd := &cobra.Command{
		Use: "pull REF", Short: "Take deliveries of a subscription that is pulled from", Args: cobra.ExactArgs(1),
		Long: `Take deliveries of a subscription that is pulled from, and print each: its receipt, its attempt, and the event. Say what became of them
with ack, nack or extend, before their leases run out. The exit code is 0 also where there was nothing to take.`,
		Example: "  streamlatch subscriptions pull jobs --wait 20s --worker w1 -o json",
	}
	conn := p.connect(cmd)
	f := cmd.Flags()
	f.IntVar(&o.Max, "max", 0, "deliveries to take at most (default 10)")
	f.DurationVar(&o.Wait, "wait", 0, "how long to wait for the first one, up to 1m")
	f.DurationVar(&o.Lease, "lease", 0, "how long to have them (default what the subscription says)")
	f.StringVar(&o.Worker, "worker", "", "what the worker is called")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		pulled, err := api.Pull(cmd.Context(), args[0], o)
		if err != nil {
			return fmt.Errorf("subscription %s: %w", args[0], err)
		}
		for _, one := range pulled {
			if conn.json() {
				err = writeJSONLine(p.stdout, one)
			} else {
				err = write(p.stdout, fmt.Sprintf("%s attempt %d until %s %s\n",
					plain(one.Receipt), one.Attempt, router.FormatTime(one.LeaseUntil), plain(oneLine(one.Event))))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func (p *process) ackCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "ack REF RECEIPT…", Short: "Say that deliveries that were pulled are done", Args: cobra.MinimumNArgs(2)}
	conn := p.connect(cmd)
	cmd.RunE = p.answerPulled(conn, func(ctx context.Context, api *client.Client, ref string, receipts []string) ([]client.ReceiptResult, error) {
		return api.Ack(ctx, ref, receipts...)
	})
	return cmd
}

func (p *process) nackCommand() *cobra.Command {
	var delay time.Duration
	cmd := &cobra.Command{Use: "nack REF RECEIPT…", Short: "Give deliveries that were pulled back after a failure", Args: cobra.MinimumNArgs(2)}
	conn := p.connect(cmd)
	cmd.Flags().DurationVar(&delay, "delay", 0, "until they can be pulled again")
	cmd.RunE = p.answerPulled(conn, func(ctx context.Context, api *client.Client, ref string, receipts []string) ([]client.ReceiptResult, error) {
		return api.Nack(ctx, ref, delay, receipts...)
	})
	return cmd
}

func (p *process) extendCommand() *cobra.Command {
	var o client.ExtendOptions
	var progress int
	var note string
	cmd := &cobra.Command{Use: "extend REF RECEIPT…", Short: "Have deliveries that were pulled for longer", Args: cobra.MinimumNArgs(2)}
	conn := p.connect(cmd)
	f := cmd.Flags()
	f.DurationVar(&o.Lease, "lease", 0, "for how long from now on (default what the subscription says)")
	f.IntVar(&progress, "progress", 0, "how far the work is, 0 to 100")
	f.StringVar(&note, "note", "", "what to say of it")
	cmd.RunE = p.answerPulled(conn, func(ctx context.Context, api *client.Client, ref string, receipts []string) ([]client.ReceiptResult, error) {
		if f.Changed("progress") {
			o.Progress = &progress
		}
		if f.Changed("note") {
			o.Note = &note
		}
		return api.Extend(ctx, ref, o, receipts...)
	})
	return cmd
}

// answerPulled tells the server something about receipts and prints what became of each. A receipt that is not good any more is a failure.
func (p *process) answerPulled(
	conn *connection, answer func(context.Context, *client.Client, string, []string) ([]client.ReceiptResult, error),
) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		results, err := answer(cmd.Context(), api, args[0], args[1:])
		if err != nil {
			return fmt.Errorf("subscription %s: %w", args[0], err)
		}
		good := true
		for _, r := range results {
			good = good && r.OK()
			text := plain(r.Receipt) + " " + plain(r.Result)
			if !r.LeaseUntil.IsZero() {
				text += " until " + router.FormatTime(r.LeaseUntil)
			}
			if conn.json() {
				err = writeJSONLine(p.stdout, r)
			} else {
				err = write(p.stdout, text+"\n")
			}
			if err != nil {
				return err
			}
		}
		if !good {
			return exitError{exitFailure}
		}
		return nil
	}
}
