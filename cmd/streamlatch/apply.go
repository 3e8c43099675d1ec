package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
)

const fileHelp = `The files hold definitions in YAML or JSON, several in one file with --- between them. Each has a kind and a name; the rest is as
in the HTTP API:

  kind: subscription
  name: orders-to-billing
  filter: {types: [order.*]}
  sink: {kind: webhook, url: https://billing.example/hook}

What a file leaves out of "delivery" is the server's to choose, and no difference. Secrets are not compared: the server does not
show them. What is on the server and in no file is left alone.`

func (p *process) applyCommand() *cobra.Command {
	var files []string
	var force bool
	cmd := &cobra.Command{
		Use:     "apply -f FILE…",
		Short:   "Make the server have the definitions in files",
		Long:    "Make the server have the definitions in files: create what is not there, change what is different.\n\n" + fileHelp,
		Example: "  streamlatch apply -f definitions/",
		Args:    cobra.NoArgs,
	}
	conn := p.connect(cmd)
	cmd.Flags().BoolVar(&force, "force", false, "send definitions that hold a secret also where nothing is different that can be seen")
	addFileFlag(cmd, &files)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return p.apply(cmd.Context(), conn, files, force)
	}
	return cmd
}

func addFileFlag(cmd *cobra.Command, files *[]string) {
	cmd.Flags().StringArrayVarP(files, "file", "f", nil, "file, folder or - for stdin (can be repeated)")
}

func (p *process) apply(ctx context.Context, conn *connection, files []string, force bool) error {
	api, plan, err := p.plan(ctx, conn, files)
	if err != nil {
		return err
	}
	words := map[action]string{create: "created", change: "changed"}
	err = plan.apply(ctx, api, force, func(s step) error {
		if conn.json() {
			return writeJSONLine(p.stdout, s)
		}
		return s.print(p.stdout, words)
	})
	if err != nil || conn.json() {
		return err
	}
	return write(p.stdout, fmt.Sprintf("%d created, %d changed, %d unchanged\n", plan.count(create), plan.count(change), plan.count(keep)))
}

// plan reads the files and compares them with the server.
func (p *process) plan(ctx context.Context, conn *connection, files []string) (*client.Client, plan, error) {
	if len(files) == 0 {
		return nil, nil, usagef("say what to read with -f")
	}
	definitions, err := readDefinitions(p.stdin, files)
	if err != nil {
		return nil, nil, err
	}
	api, err := conn.client()
	if err != nil {
		return nil, nil, err
	}
	made, err := makePlan(ctx, api, definitions)
	return api, made, err
}

func (p *process) diffCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:         "diff -f FILE…",
		Short:       "Show what apply would do",
		Long:        "Show what apply would do. The exit code is 0 where there is nothing to do, 1 where there are differences, 2 where it could not be found out.\n\n" + fileHelp,
		Example:     "  streamlatch diff -f definitions/",
		Args:        cobra.NoArgs,
		Annotations: map[string]string{differs: "1"},
	}
	conn := p.connect(cmd)
	addFileFlag(cmd, &files)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return p.diff(cmd.Context(), conn, files)
	}
	return cmd
}

func (p *process) diff(ctx context.Context, conn *connection, files []string) error {
	_, plan, err := p.plan(ctx, conn, files)
	if err != nil {
		return err
	}
	for _, s := range plan {
		if conn.json() {
			err = writeJSONLine(p.stdout, s)
		} else {
			err = s.print(p.stdout, map[action]string{create: "+", change: "~"})
		}
		if err != nil {
			return err
		}
	}
	creates, changes := plan.count(create), plan.count(change)
	if !conn.json() {
		if err := write(p.stdout, fmt.Sprintf("%d to create, %d to change, %d unchanged\n", creates, changes, plan.count(keep))); err != nil {
			return err
		}
	}
	if creates+changes > 0 {
		return exitError{exitFailure}
	}
	return nil
}
