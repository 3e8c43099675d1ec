package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
)

// Variables that commands which call a server go by.
const (
	serverVariable = envPrefix + "SERVER"
	apiKeyVariable = envPrefix + "API_KEY"
)

// outputFormat is how a command prints what it found.
type outputFormat string

const (
	textOutput outputFormat = "text"
	jsonOutput outputFormat = "json"
)

// String, Set and Type make it a flag.
func (f *outputFormat) String() string { return cmp.Or(string(*f), string(textOutput)) }

// Type names the values in the help.
func (*outputFormat) Type() string { return "text|json" }

// Set takes one of the formats.
func (f *outputFormat) Set(s string) error {
	switch outputFormat(s) {
	case textOutput, jsonOutput:
		*f = outputFormat(s)
		return nil
	}
	return fmt.Errorf("is neither %q nor %q", textOutput, jsonOutput)
}

func addOutputFlag(cmd *cobra.Command, format *outputFormat) {
	*format = textOutput
	cmd.Flags().VarP(format, "output", "o", "how to print")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)) // there is such a flag
}

// connection is what a command that calls a server is told about it.
type connection struct {
	process *process
	server  string
	apiKey  string
	output  outputFormat
}

// connect adds the flags of a command that calls a server.
func (p *process) connect(cmd *cobra.Command) *connection {
	c := &connection{process: p}
	cmd.Flags().StringVar(&c.server, "server", "", "URL of the server (or "+serverVariable+") (default "+client.DefaultServer+")")
	cmd.Flags().StringVar(&c.apiKey, "api-key", "", "API key (or "+apiKeyVariable+", which other users of this machine can't see)")
	addOutputFlag(cmd, &c.output)
	return c
}

// impatience is how long commands that somebody waits for try to reach a server.
const impatience = 2 * time.Second

// client makes the client of that server.
func (c *connection) client() (*client.Client, error) {
	return c.clientWith(client.Retry{For: impatience})
}

func (c *connection) clientWith(r client.Retry) (*client.Client, error) {
	made, err := client.New(client.Config{
		Server: cmp.Or(c.server, c.process.getenv(serverVariable)), APIKey: cmp.Or(c.apiKey, c.process.getenv(apiKeyVariable)),
		UserAgent: "streamlatch/" + programVersion(), Sleep: c.process.pause, Retry: r,
	})
	if err != nil {
		return nil, usageError{err}
	}
	return made, nil
}

func (c *connection) json() bool { return c.output == jsonOutput }

// healthcheckCommand is for containers, which have no other program to ask with.
func (p *process) healthcheckCommand() *cobra.Command {
	var ready bool
	cmd := &cobra.Command{Use: "healthcheck", Short: "Tell by the exit code whether a server is there", Hidden: true, Args: cobra.NoArgs}
	conn := p.connect(cmd)
	cmd.Flags().BoolVar(&ready, "ready", false, "ask whether it can do its work, not only whether it answers")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := conn.client()
		if err != nil {
			return err
		}
		return probe(cmd.Context(), c, ready)
	}
	return cmd
}

func probe(ctx context.Context, c *client.Client, ready bool) error {
	if ready {
		return c.Ready(ctx)
	}
	return c.Healthy(ctx)
}
