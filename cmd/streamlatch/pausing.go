package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
)

func (p *process) pauseCommand() *cobra.Command {
	return p.sendingCommand((*client.Client).Pause, "paused", &cobra.Command{
		Use: "pause REF…", Short: "Stop sending to subscriptions' sinks",
		Long: "Stop sending to subscriptions' sinks. Events that match are queued until the subscription is resumed; attempts under way finish.",
	})
}

func (p *process) resumeCommand() *cobra.Command {
	return p.sendingCommand((*client.Client).Resume, "resumed", &cobra.Command{
		Use: "resume REF…", Short: "Send to subscriptions' sinks again",
		Long: "Send to subscriptions' sinks again, whyever nothing was sent. A subscription that was disabled stays disabled: new events are not queued for it.",
	})
}

// sendingCommand changes whether anything is sent to sinks, and says how much waits for each.
func (p *process) sendingCommand(change func(*client.Client, context.Context, string) (client.Definition, error), done string, cmd *cobra.Command) *cobra.Command {
	cmd.Args = cobra.MinimumNArgs(1)
	conn := p.connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		var failed []error
		for _, ref := range args {
			d, err := change(api, cmd.Context(), ref)
			if err != nil {
				failed = append(failed, fmt.Errorf("subscription %s: %w", ref, err))
				continue
			}
			if err := p.showSending(conn, d, done); err != nil {
				return err
			}
		}
		return errors.Join(failed...)
	}
	return cmd
}

func (p *process) showSending(conn *connection, d client.Definition, done string) error {
	if conn.json() {
		return writeJSON(p.stdout, d.Document)
	}
	var v struct {
		Name   string `json:"name"`
		Status struct {
			Backlog int64  `json:"backlog"`
			Age     string `json:"backlog_age"`
		} `json:"status"`
	}
	if err := d.Decode(&v); err != nil {
		return err
	}
	text := fmt.Sprintf("%s subscription %s, with %d deliveries waiting", done, plain(v.Name), v.Status.Backlog)
	if v.Status.Age != "" {
		text += ", the oldest for " + plain(v.Status.Age)
	}
	return write(p.stdout, text+"\n")
}
