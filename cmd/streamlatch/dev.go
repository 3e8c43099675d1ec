package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/webhook"
)

func (p *process) devCommand() *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Run a server on an embedded Redis, for trying things out",
		Long: `Run a server on an embedded Redis, for trying things out. It needs nothing, takes webhooks to loopback addresses,
and forgets everything when it ends.`,
		Example: "  streamlatch dev -f definitions/",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := loadConfig(cmd.Flags(), p.environ, true)
			if err != nil {
				return err
			}
			return p.dev(cmd.Context(), e, files)
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "YAML file or folder with definitions to load (can be repeated)")
	addSettingFlags(cmd.Flags(), settings(true))
	return cmd
}

// dev runs a server, loads the definitions into it, and says what there is to try.
func (p *process) dev(ctx context.Context, e effective, files []string) error {
	definitions, err := readDefinitions(p.stdin, files)
	if err != nil {
		return err
	}
	log := newLogger(p.stderr, e.config)
	e.config.Logger = log
	e.log(log)
	for _, where := range e.ignored {
		log.Warn("dev runs on an embedded Redis: this setting is not used", slog.String("setting", where))
	}
	s, err := p.start(ctx, e.config.options)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return s.Run(ctx) })
	group.Go(func() error { return p.welcome(ctx, s.Addr(), e.config, definitions) })
	return group.Wait()
}

// welcome waits for the server, loads the definitions and prints what is running. That the server ends before is its own error.
func (p *process) welcome(ctx context.Context, addr string, c config, definitions []definition) error {
	api, err := client.New(client.Config{Server: "http://" + reachable(addr), APIKey: p.getenv(apiKeyVariable), UserAgent: "streamlatch/" + c.Router.Version, Sleep: p.pause})
	if err != nil {
		return err
	}
	defer api.Close()
	if !waitReady(ctx, api) {
		return nil
	}
	made, err := makePlan(ctx, api, definitions)
	if err == nil {
		err = made.apply(ctx, api, false, func(s step) error { return s.print(p.stdout, map[action]string{create: "created"}) })
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("load the definitions: %w", err)
	}
	return write(p.stdout, devText(p.program(), api.Server(), c, len(definitions), webhook.NewSecret(p.random)))
}

// reachable is an address to call a server at that listens on the given one: all addresses stand for loopback too.
func reachable(listen string) string {
	host, port, err := net.SplitHostPort(listen)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return listen
}

// waitReady waits until the server can do its work; false: ctx ended before.
func waitReady(ctx context.Context, api *client.Client) bool {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for api.Ready(ctx) != nil {
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
	return ctx.Err() == nil
}

// devText says what is running and gives three commands to try next, made for the program as it was called and the server as it listens.
func devText(program, server string, c config, definitions int, secret string) string {
	to := ""
	if server != client.DefaultServer {
		to = " --server " + server
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Streamlatch %s is running at %s (its API: %s/docs).\n", c.Router.Version, server, server)
	b.WriteString("It keeps everything in an embedded Redis, in memory: what it holds is gone when it ends (Ctrl-C).\n")
	if definitions > 0 {
		fmt.Fprintf(&b, "Definitions loaded: %d.\n", definitions)
	}
	fmt.Fprintf(&b, `
To try next, each in a terminal of its own:

  %[1]s listen --secret %[2]s
  %[1]s subscriptions create%[3]s --name demo --types 'order.*' --url http://%[4]s/ --secret %[2]s
  %[1]s publish%[3]s --type order.paid --data '{"total": 12}'
`, program, secret, to, defaultListen)
	if len(c.API.Keys) > 0 {
		fmt.Fprintf(&b, "\nAPI keys are configured: set %s.\n", apiKeyVariable)
	}
	return b.String()
}
