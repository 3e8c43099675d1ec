package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
)

// What commands of all kinds of definitions have in common.

// listCommand prints a row for each definition of a kind.
func (p *process) listCommand(kind client.Kind, header []string, row func(client.Definition) ([]string, error)) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: fmt.Sprintf("List %ss", kind), Args: cobra.NoArgs}
	conn := p.connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		documents, rows := []json.RawMessage{}, [][]string{header}
		for d, err := range api.Definitions(cmd.Context(), kind) {
			if err != nil {
				return err
			}
			cells, err := row(d)
			if err != nil {
				return err
			}
			documents, rows = append(documents, d.Document), append(rows, cells)
		}
		if conn.json() {
			return writeJSON(p.stdout, map[string]any{"items": documents})
		}
		return writeTable(p.stdout, rows)
	}
	return cmd
}

func (p *process) showCommand(kind client.Kind) *cobra.Command {
	cmd := &cobra.Command{Use: "show REF", Short: fmt.Sprintf("Show a %s and its state", kind), Args: cobra.ExactArgs(1)}
	conn := p.connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		d, err := api.Definition(cmd.Context(), kind, args[0])
		if err != nil {
			return fmt.Errorf("%s %s: %w", kind, args[0], err)
		}
		if conn.json() {
			return writeJSON(p.stdout, d.Document)
		}
		return writeYAML(p.stdout, d.Document)
	}
	return cmd
}

// deleteCommand deletes definitions and says how much went with each: member is how JSON calls that, words is what it is; "": nothing does.
func (p *process) deleteCommand(kind client.Kind, member, words string) *cobra.Command {
	short, with := fmt.Sprintf("Delete %ss", kind), ""
	if words != "" {
		short, with = short+", with the "+words, ", with %d "+words
	}
	cmd := &cobra.Command{Use: "delete REF…", Short: short, Args: cobra.MinimumNArgs(1)}
	conn := p.connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		var failed []error
		for _, ref := range args {
			dropped, err := api.Delete(cmd.Context(), kind, ref, client.Condition{})
			if err != nil {
				failed = append(failed, fmt.Errorf("%s %s: %w", kind, ref, err))
				continue
			}
			if err := p.sayDeleted(conn.json(), kind, ref, member, with, dropped); err != nil {
				return err
			}
		}
		return errors.Join(failed...)
	}
	return cmd
}

// sayDeleted says that one is deleted; with is what went with it, with a place for how much.
func (p *process) sayDeleted(asJSON bool, kind client.Kind, ref, member, with string, dropped int64) error {
	if asJSON {
		line := map[string]any{"ref": ref}
		if member != "" {
			line[member] = dropped
		}
		return writeJSONLine(p.stdout, line)
	}
	if with != "" {
		with = fmt.Sprintf(with, dropped)
	}
	return write(p.stdout, fmt.Sprintf("deleted %s %s%s\n", kind, plain(ref), with))
}

// oneDefinition is the document in a file that holds one definition of a kind.
func (p *process) oneDefinition(kind client.Kind, file string) ([]byte, error) {
	definitions, err := readDefinitions(p.stdin, []string{file})
	if err != nil {
		return nil, err
	}
	if len(definitions) != 1 {
		return nil, usagef("%s holds %d definitions; create takes one, apply takes many", file, len(definitions))
	}
	if got := definitions[0].kind; got != kind {
		return nil, usagef("%s holds a %s, not a %s", file, got, kind)
	}
	return definitions[0].document, nil
}

func stateWord(enabled bool) string {
	if enabled {
		return "enabled"
	}
	return "disabled"
}
