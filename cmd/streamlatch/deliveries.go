package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/router"
)

func (p *process) deliveriesCommand() *cobra.Command {
	return family(
		&cobra.Command{Use: "deliveries", Aliases: []string{"delivery"}, Short: "List and show deliveries, and retry those that wait"},
		p.listDeliveriesCommand(), p.showDeliveryCommand(), p.retryDeliveryCommand(),
	)
}

func (p *process) listDeliveriesCommand() *cobra.Command {
	var q client.DeliveryQuery
	limit := 0
	cmd := &cobra.Command{
		Use: "list", Short: "List deliveries", Args: cobra.NoArgs,
		Long:    "List deliveries: those under way, those that wait, those that arrived (the last 1,000 of a subscription), and dead ones.",
		Example: "  streamlatch deliveries list --subscription billing --status retrying",
	}
	conn := p.connect(cmd)
	f := cmd.Flags()
	f.StringVar(&q.Subscription, "subscription", "", "only this subscription's: an id or a name")
	f.StringVar(&q.Status, "status", "", "only these: pending, retrying, delivered or dead")
	f.StringVar(&q.Event, "event", "", "only those of the event at this position")
	f.IntVar(&limit, "limit", 100, "how many at most; 0 is all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		list, rows := []client.Delivery{}, [][]string{{"ID", "STATUS", "ATTEMPTS", "LAST", "NEXT"}}
		for d, err := range api.Deliveries(cmd.Context(), q) {
			if err != nil {
				return err
			}
			list, rows = append(list, d), append(rows, deliveryRow(d))
			if len(list) == limit {
				break
			}
		}
		if conn.json() {
			return writeJSON(p.stdout, map[string]any{"items": list})
		}
		return writeTable(p.stdout, rows)
	}
	return cmd
}

// deliveryRow is a delivery in a row: how its last attempt ended, and when the next one is, or until when it is under way.
func deliveryRow(d client.Delivery) []string {
	last := "-"
	if n := len(d.Attempts); n > 0 {
		last = strings.TrimSuffix(attemptText(client.Attempt{
			Outcome: d.Attempts[n-1].Outcome, Duration: d.Attempts[n-1].Duration, StatusCode: d.Attempts[n-1].StatusCode,
		}), "\n")
	}
	return []string{d.ID, d.Status, strconv.Itoa(len(d.Attempts)), last, nextWords(d)}
}

func nextWords(d client.Delivery) string {
	switch {
	case !d.LeaseUntil.IsZero() && d.Worker != "":
		return "with " + short(d.Worker, 40) + " until " + router.FormatTime(d.LeaseUntil)
	case !d.LeaseUntil.IsZero():
		return "under way until " + router.FormatTime(d.LeaseUntil)
	case !d.NextAttempt.IsZero():
		return "at " + router.FormatTime(d.NextAttempt)
	}
	return "-"
}

func (p *process) showDeliveryCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a delivery and its attempts", Args: cobra.ExactArgs(1)}
	conn := p.connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		d, err := api.Delivery(cmd.Context(), args[0])
		if err != nil {
			return fmt.Errorf("delivery %s: %w", args[0], err)
		}
		if conn.json() {
			return writeJSON(p.stdout, d)
		}
		return write(p.stdout, deliveryText(d))
	}
	return cmd
}

func deliveryText(d client.Delivery) string {
	text := fmt.Sprintf("%s %s\nof the event at %s, to %s\n", plain(d.ID), plain(d.Status), plain(d.Position), plain(d.Subscription))
	if next := nextWords(d); next != "-" {
		text += "next: " + next + "\n"
	}
	if d.Progress != nil {
		text += fmt.Sprintf("progress: %d %%\n", *d.Progress)
	}
	if d.Note != "" {
		text += "note: " + plain(d.Note) + "\n"
	}
	for _, a := range d.Attempts {
		text += router.FormatTime(a.At) + " " + attemptText(a)
	}
	return text
}

func (p *process) retryDeliveryCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "retry ID…", Short: "Make deliveries due now that wait for their next attempts", Args: cobra.MinimumNArgs(1)}
	conn := p.connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		var failed []error
		for _, id := range args {
			d, err := api.RetryDelivery(cmd.Context(), id)
			switch {
			case err != nil:
				failed = append(failed, fmt.Errorf("delivery %s: %w", id, err))
				continue
			case conn.json():
				err = writeJSONLine(p.stdout, d)
			default:
				err = write(p.stdout, plain(d.ID)+" "+plain(d.Status)+", next: "+nextWords(d)+"\n")
			}
			if err != nil {
				return err
			}
		}
		return errors.Join(failed...)
	}
	return cmd
}
