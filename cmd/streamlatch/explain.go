package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
)

func (p *process) explainCommand() *cobra.Command {
	var subscription, trigger string
	cmd := &cobra.Command{
		Use: "explain POSITION", Short: "Say what became of an event, and why", Args: cobra.ExactArgs(1),
		Long: `Say what became of an event: which subscriptions it matched, and what each trigger did with it. With --trigger or --subscription also
why that one did not match.`,
		Example: "  streamlatch explain 0:1732128000000-0 --trigger release-ready",
	}
	conn := p.connect(cmd)
	cmd.Flags().StringVar(&trigger, "trigger", "", "only this trigger, and why it did not match")
	cmd.Flags().StringVar(&subscription, "subscription", "", "only this subscription, and why it did not match")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		e, err := api.Explain(cmd.Context(), args[0], subscription, trigger)
		if err != nil {
			return fmt.Errorf("event %s: %w", args[0], err)
		}
		if conn.json() {
			return writeJSON(p.stdout, e)
		}
		return write(p.stdout, explanationText(e))
	}
	return cmd
}

// explanationText is an explanation in lines.
func explanationText(e client.Explanation) string {
	var b strings.Builder
	for _, s := range e.Subscriptions {
		switch {
		case s.Matched && s.Delivery != "":
			fmt.Fprintf(&b, "subscription %s: matched, delivery %s %s\n", plain(s.Ref), plain(s.Delivery), plain(s.Status))
		case s.Matched:
			fmt.Fprintf(&b, "subscription %s: matched, but %s\n", plain(s.Ref), plain(s.Reason))
		default:
			fmt.Fprintf(&b, "subscription %s: not matched: %s\n", plain(s.Ref), mismatch(s.Field, s.Wanted, s.Found))
		}
	}
	for _, t := range e.Triggers {
		fmt.Fprintf(&b, "trigger %s, leaf %s", plain(t.Ref), plain(t.Leaf))
		if t.Key != nil {
			fmt.Fprintf(&b, ", key %s", plain(oneLine(t.Key)))
		}
		fmt.Fprintf(&b, ": %s\n", plain(t.Outcome))
		if t.Field != "" {
			fmt.Fprintf(&b, "    %s\n", mismatch(t.Field, t.Wanted, t.Found))
			continue
		}
		fmt.Fprintf(&b, "    %s\n", plain(t.Reason))
		if len(t.Missing) > 0 {
			fmt.Fprintf(&b, "    missing: %s\n", plain(strings.Join(t.Missing, ", ")))
		}
		if t.Firing != "" {
			fmt.Fprintf(&b, "    firing %s\n", plain(t.Firing))
		}
	}
	if b.Len() == 0 {
		b.WriteString("no subscription and no trigger matches it; --subscription and --trigger say why a certain one does not\n")
	}
	if e.Truncated {
		b.WriteString("(the log has more events than were looked at; what older ones did before, or newer ones have done, may be missing)\n")
	}
	return b.String()
}

func mismatch(field, wanted, found string) string {
	if found == "" {
		found = "nothing"
	}
	return fmt.Sprintf("%s: wanted %s, found %s", plain(field), plain(wanted), plain(found))
}
