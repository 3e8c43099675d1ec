package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/spf13/cobra"
)

func (p *process) serveCommand() *cobra.Command {
	var show bool
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run a replica of a deployment, on a Redis",
		Long: `Run a replica of a deployment, on a Redis. Any number of them can run at a time; each does everything.

Every setting is a flag, a variable and a key of the YAML file (docs/configuration.md), in that order of precedence.
The first SIGINT or SIGTERM stops it in good order, the second at once.`,
		Example: "  streamlatch serve --redis redis://127.0.0.1:6379\n" +
			"  STREAMLATCH_REDIS=rediss://user:password@redis.example/0 streamlatch serve --listen :8080 --api-keys-file keys.yaml",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := loadConfig(cmd.Flags(), p.environ, false)
			if err != nil {
				return err
			}
			if show {
				return e.print(p.stdout)
			}
			return p.serve(cmd.Context(), e)
		},
	}
	cmd.Flags().SortFlags = false
	addSettingFlags(cmd.Flags(), settings(false))
	cmd.Flags().BoolVar(&show, "print-config", false, "print the effective configuration, secrets masked, and end")
	return cmd
}

// serve runs a server until the context ends.
func (p *process) serve(ctx context.Context, e effective) error {
	log := newLogger(p.stderr, e.config)
	e.config.Logger = log
	e.log(log)
	s, err := p.start(ctx, e.config.options)
	if err != nil {
		return err
	}
	log.Info("listening", slog.String("address", s.Addr()), slog.String("version", e.config.Router.Version))
	if len(e.config.API.Keys) == 0 {
		log.Warn("there are no API keys: everybody on this machine may do everything")
	}
	defer context.AfterFunc(ctx, func() { log.Info("stopping; a second signal ends it at once") })()
	return s.Run(ctx)
}

// newLogger makes the logger that a configuration asks for.
func newLogger(w io.Writer, c config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.logLevel}
	if c.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func (p *process) configCommand() *cobra.Command {
	show := &cobra.Command{
		Use:   "print",
		Short: "Print the configuration that serve would have, secrets masked, and where each value is from",
		Long:  "Print the configuration that `streamlatch serve` would have with these flags, in this environment, and where each value of it is from. Secrets are masked.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := loadConfig(cmd.Flags(), p.environ, false)
			if err != nil {
				return err
			}
			return e.print(p.stdout)
		},
	}
	show.Flags().SortFlags = false
	addSettingFlags(show.Flags(), settings(false))
	return family(&cobra.Command{Use: "config", Short: "Show the configuration of serve"}, show)
}
