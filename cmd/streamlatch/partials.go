package main

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
)

func (p *process) partialsCommand() *cobra.Command {
	var key, drop string
	cmd := &cobra.Command{
		Use: "partials REF", Short: "List what a trigger waits with, and what is missing", Args: cobra.ExactArgs(1),
		Example: "  streamlatch triggers partials release-ready --key '{\"release\": \"1.4\"}'",
	}
	conn := p.connect(cmd)
	cmd.Flags().StringVar(&key, "key", "", "only this key, as a JSON object")
	cmd.Flags().StringVar(&drop, "drop", "", "drop the one with this id instead")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		if drop != "" {
			if err := api.DropPartial(cmd.Context(), args[0], drop); err != nil {
				return fmt.Errorf("partial %s of trigger %s: %w", drop, args[0], err)
			}
			return write(p.stdout, fmt.Sprintf("dropped partial %s of trigger %s\n", plain(drop), plain(args[0])))
		}
		var only json.RawMessage
		if key != "" {
			only = json.RawMessage(key)
		}
		return writeItems(p, conn, api.Partials(cmd.Context(), args[0], only), []string{"ID", "KEY", "HAVE", "MISSING", "UNTIL"}, partialRow)
	}
	return cmd
}

// writeItems prints a row for each item of a list.
func writeItems[T any](p *process, conn *connection, items iter.Seq2[T, error], header []string, row func(T) []string) error {
	all, rows := []T{}, [][]string{header}
	for item, err := range items {
		if err != nil {
			return err
		}
		all, rows = append(all, item), append(rows, row(item))
	}
	if conn.json() {
		return writeJSON(p.stdout, map[string]any{"items": all})
	}
	return writeTable(p.stdout, rows)
}

func partialRow(item client.Partial) []string {
	var have []string
	for _, held := range item.Have {
		have = append(have, held.Leaf+" "+held.ID)
	}
	return []string{item.ID, oneLine(item.Key), strings.Join(have, ", "), strings.Join(item.Missing, ", "), until(item)}
}

// until is when a partial changes by itself: it fires, or the first event of it goes stale.
func until(item client.Partial) string {
	if item.Deadline != nil {
		return "fires " + formatTime(*item.Deadline)
	}
	var first *time.Time
	for _, held := range item.Have {
		if held.StaleAt != nil && (first == nil || held.StaleAt.Before(*first)) {
			first = held.StaleAt
		}
	}
	switch {
	case first != nil:
		return formatTime(*first)
	case item.CoolingUntil != nil:
		return "cooling " + formatTime(*item.CoolingUntil)
	}
	return ""
}

func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func (p *process) firingsCommand() *cobra.Command {
	limit := 0
	cmd := &cobra.Command{Use: "firings REF", Short: "List a trigger's firings, newest first, and the events that they joined", Args: cobra.ExactArgs(1)}
	conn := p.connect(cmd)
	cmd.Flags().IntVarP(&limit, "limit", "n", 0, "at most so many (default all that the log has)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		return writeItems(p, conn, firstOf(api.Firings(cmd.Context(), args[0]), limit), []string{"POSITION", "TIME", "KEY", "EVENTS"}, func(f client.Firing) []string {
			var events []string
			for _, e := range f.Events {
				events = append(events, e.Name+" "+e.ID)
			}
			return []string{f.Position, formatTime(f.Time), oneLine(f.Key), strings.Join(events, ", ")}
		})
	}
	return cmd
}

// firstOf ends a list after n items; 0: not.
func firstOf[T any](items iter.Seq2[T, error], n int) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		left := n
		for item, err := range items {
			if !yield(item, err) {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}
