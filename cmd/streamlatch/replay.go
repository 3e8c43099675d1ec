package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
)

func (p *process) replayCommand() *cobra.Command {
	var r client.Replay
	var o operationOptions
	cmd := &cobra.Command{
		Use: "replay REF", Short: "Deliver retained events to a subscription again", Args: cobra.ExactArgs(1),
		Long: `Deliver events that the log still keeps to one subscription again: those that its filter matches now, whether or not it did when they came. They
are new deliveries, and marked: the events have the extension streamlatchreplay. It goes on in the servers, also when this command is ended;
operations wait ID comes back to it.`,
		Example: "  streamlatch subscriptions replay billing --from 2026-11-20T12:00:00Z --types 'order.*' --dry-run\n  streamlatch subscriptions replay billing --all",
	}
	conn := p.connect(cmd)
	f := cmd.Flags()
	f.Var(timeFlag{&r.From}, "from", "only events accepted at this time or later")
	f.Var(timeFlag{&r.To}, "to", "only events accepted before this time")
	f.StringSliceVar(&r.Types, "types", nil, "only these type patterns, with commas between them")
	f.BoolVar(&r.All, "all", false, "all events that the log keeps")
	o.addFlags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		if o.dryRun {
			n, err := api.CountReplay(cmd.Context(), args[0], r)
			return p.writeDryRun(conn, n, "events would be delivered again", err)
		}
		id, err := api.Replay(cmd.Context(), args[0], r)
		if err != nil {
			return fmt.Errorf("subscription %s: %w", args[0], err)
		}
		return p.follow(cmd.Context(), conn, id, o.background)
	}
	return cmd
}
