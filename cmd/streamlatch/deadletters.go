package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/router"
)

func (p *process) deadLettersCommand() *cobra.Command {
	return family(
		&cobra.Command{Use: "dead-letters", Aliases: []string{"dead-letter", "dead"}, Short: "List, show, redrive and purge dead letters"},
		p.listDeadLettersCommand(), p.showDeadLetterCommand(),
		p.moveDeadLettersCommand("redrive", "Put dead letters back into their queues", (*client.Client).Redrive),
		p.moveDeadLettersCommand("purge", "Remove dead letters", (*client.Client).Purge),
	)
}

// timeFlag is a flag that takes a time.
type timeFlag struct{ time *time.Time }

func (f timeFlag) String() string {
	if f.time == nil || f.time.IsZero() {
		return ""
	}
	return router.FormatTime(*f.time)
}

func (f timeFlag) Set(text string) (err error) {
	if *f.time, err = router.ParseTime(text); err != nil {
		return errors.New("must be a time as in 2006-01-02T15:04:05Z")
	}
	return nil
}

func (timeFlag) Type() string { return "time" }

// rateFlag is a flag that takes a rate such as "100/s" or "5/1m".
type rateFlag struct{ rate *client.Rate }

func (f rateFlag) String() string {
	if f.rate == nil || f.rate.Limit == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%s", f.rate.Limit, f.rate.Per)
}

func (f rateFlag) Set(text string) error {
	limit, per, ok := strings.Cut(text, "/")
	n, err := strconv.Atoi(limit)
	if per != "" && strings.Trim(per, "0123456789") == per { // "s" is "1s"
		per = "1" + per
	}
	d, err2 := router.ParseDuration(per)
	if !ok || err != nil || err2 != nil || n < 1 || d <= 0 {
		return errors.New("must be a rate as in 100/s or 5/1m")
	}
	*f.rate = client.Rate{Limit: n, Per: d.Std()}
	return nil
}

func (rateFlag) Type() string { return "rate" }

func addLetterFlags(f *pflag.FlagSet, q *client.DeadLetterQuery) {
	f.StringVar(&q.Subscription, "subscription", "", "only this subscription's: an id, also of one that is gone, or a name")
	f.StringVar(&q.Reason, "reason", "", "only those given up for this reason, such as status or timeout")
	f.Var(timeFlag{&q.From}, "from", "only those given up at this time or later")
	f.Var(timeFlag{&q.To}, "to", "only those given up before this time")
}

func (p *process) listDeadLettersCommand() *cobra.Command {
	var q client.DeadLetterQuery
	limit := 0
	cmd := &cobra.Command{Use: "list", Short: "List dead letters, the newest first", Args: cobra.NoArgs, Example: "  streamlatch dead-letters list --subscription billing --reason status"}
	conn := p.connect(cmd)
	addLetterFlags(cmd.Flags(), &q)
	cmd.Flags().IntVar(&limit, "limit", 100, "how many at most; 0 is all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		letters, rows := []client.DeadLetter{}, [][]string{{"ID", "GIVEN UP", "REASON", "ATTEMPTS", "TYPE"}}
		for d, err := range api.DeadLetters(cmd.Context(), q) {
			if err != nil {
				return err
			}
			letters, rows = append(letters, d), append(rows, letterRow(d))
			if len(letters) == limit {
				break
			}
		}
		if conn.json() {
			return writeJSON(p.stdout, map[string]any{"items": letters})
		}
		return writeTable(p.stdout, rows)
	}
	return cmd
}

func letterRow(d client.DeadLetter) []string {
	id := d.ID
	if id == "" {
		id = "log entry " + d.Position
	}
	return []string{id, router.FormatTime(d.At), d.Reason, strconv.Itoa(len(d.Attempts)), eventType(d.Event)}
}

func (p *process) showDeadLetterCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "show ID", Short: "Show a dead letter: its event and its attempts", Args: cobra.ExactArgs(1)}
	conn := p.connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		d, err := api.DeadLetter(cmd.Context(), args[0])
		if err != nil {
			return fmt.Errorf("dead letter %s: %w", args[0], err)
		}
		if conn.json() {
			return writeJSON(p.stdout, d)
		}
		text := fmt.Sprintf("%s given up at %s: %s\nof the event at %s, to %s\n%s\n", plain(d.ID), router.FormatTime(d.At), plain(d.Reason), plain(d.Position), plain(d.Subscription), plain(oneLine(d.Event)))
		for _, a := range d.Attempts {
			text += router.FormatTime(a.At) + " " + attemptText(a)
		}
		return write(p.stdout, text)
	}
	return cmd
}

// moveDeadLettersCommand redrives or purges what is selected.
func (p *process) moveDeadLettersCommand(
	what, short string, begin func(*client.Client, context.Context, client.DeadLetterSelection) (string, error),
) *cobra.Command {
	var s client.DeadLetterSelection
	var o operationOptions
	cmd := &cobra.Command{
		Use: what + " [ID…]", Short: short,
		Long: short + `: those that all flags and ids select, or all with --all. It goes on in the servers, also when this command is ended;
operations wait ID comes back to it.`,
		Example: "  streamlatch dead-letters " + what + " --subscription billing --reason status --dry-run\n  streamlatch dead-letters " + what + " --all",
	}
	conn := p.connect(cmd)
	f := cmd.Flags()
	addLetterFlags(f, &s.DeadLetterQuery)
	f.BoolVar(&s.All, "all", false, "all dead letters")
	if what == "redrive" {
		f.Var(rateFlag{&s.Rate}, "rate", "how fast at most, as in 100/s (default as fast as it goes)")
	}
	o.addFlags(f)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s.IDs = args
		api, err := conn.client()
		if err != nil {
			return err
		}
		if o.dryRun {
			n, err := api.CountDeadLetters(cmd.Context(), s)
			return p.writeDryRun(conn, n, "dead letters are selected", err)
		}
		id, err := begin(api, cmd.Context(), s)
		if err != nil {
			return err
		}
		return p.follow(cmd.Context(), conn, id, o.background)
	}
	return cmd
}

// eventType is the type of a CloudEvent, "-" of what is none.
func eventType(event json.RawMessage) string {
	var e struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(event, &e) != nil || e.Type == "" {
		return "-"
	}
	return e.Type
}
