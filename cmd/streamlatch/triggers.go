package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
)

func (p *process) triggersCommand() *cobra.Command {
	return family(
		&cobra.Command{Use: "triggers", Aliases: []string{"trigger"}, Short: "List, show, create and delete triggers, and see what they wait for and fired"},
		p.listTriggersCommand(), p.showCommand(client.Trigger), p.createTriggerCommand(),
		p.deleteCommand(client.Trigger, "dropped_partials", "keys for which something was recorded"),
		p.partialsCommand(), p.firingsCommand(),
	)
}

// triggerView is what the command line shows of a trigger.
type triggerView struct {
	ID      string         `json:"id"`
	Name    string         `json:"name"`
	Enabled bool           `json:"enabled"`
	Key     map[string]any `json:"key"`
	When    map[string]any `json:"when"`
	Emit    struct {
		Type string `json:"type"`
	} `json:"emit"`
}

// condition is the root of the condition in a word or two: "all of 3", "event × 5".
func (v triggerView) condition() string {
	for _, kind := range []string{"all", "any", "sequence"} {
		if children, ok := v.When[kind].([]any); ok {
			return fmt.Sprintf("%s of %d", kind, len(children))
		}
	}
	if children, ok := v.When["of"].([]any); ok {
		return fmt.Sprintf("at least %v of %d", v.When["at_least"], len(children))
	}
	if count, ok := v.When["count"]; ok {
		return fmt.Sprintf("event × %v", count)
	}
	if _, ok := v.When["absent"]; ok {
		return "absent"
	}
	return "event"
}

func (p *process) listTriggersCommand() *cobra.Command {
	return p.listCommand(client.Trigger, []string{"NAME", "STATE", "WHEN", "KEY", "EMITS"}, func(d client.Definition) ([]string, error) {
		var v triggerView
		err := d.Decode(&v)
		emits := v.Emit.Type
		if emits == "" {
			emits = "trigger." + v.Name
		}
		return []string{v.Name, stateWord(v.Enabled), v.condition(), strings.Join(slices.Sorted(maps.Keys(v.Key)), ", "), emits}, err
	})
}

func (p *process) createTriggerCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "create -f FILE", Short: "Create a trigger", Args: cobra.NoArgs,
		Long:    "Create a trigger from a file with one definition, in YAML or JSON, as apply takes it.",
		Example: "  streamlatch triggers create -f release-ready.yaml",
	}
	conn := p.connect(cmd)
	cmd.Flags().StringVarP(&file, "file", "f", "", "file with the definition; - is stdin")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if file == "" {
			return usagef("say what to read with -f")
		}
		document, err := p.oneDefinition(client.Trigger, file)
		if err != nil {
			return err
		}
		api, err := conn.client()
		if err != nil {
			return err
		}
		d, err := api.Create(cmd.Context(), client.Trigger, document)
		if err != nil {
			return err
		}
		if conn.json() {
			return writeJSON(p.stdout, d.Document)
		}
		var v triggerView
		if err := d.Decode(&v); err != nil {
			return err
		}
		return write(p.stdout, fmt.Sprintf("created trigger %s (%s)\n", plain(v.Name), plain(v.ID)))
	}
	return cmd
}
