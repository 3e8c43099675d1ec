package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/router"
)

func (p *process) subscriptionsCommand() *cobra.Command {
	return family(
		&cobra.Command{
			Use: "subscriptions", Aliases: []string{"subscription", "subs"},
			Short: "List, show, create, delete, test, pause and resume subscriptions, rotate their secrets, and pull from them",
		},
		p.listSubscriptionsCommand(), p.showCommand(client.Subscription), p.createSubscriptionCommand(),
		p.deleteCommand(client.Subscription, "dropped_deliveries", "deliveries that were waiting"), p.testSubscriptionCommand(),
		p.rotateSecretCommand(), p.pauseCommand(), p.resumeCommand(), p.replayCommand(),
		p.pullCommand(), p.ackCommand(), p.nackCommand(), p.extendCommand(),
	)
}

// subscriptionView is what the command line shows of a subscription.
type subscriptionView struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Enabled bool   `json:"enabled"`
	Filter  struct {
		Types   []string          `json:"types"`
		Filters []json.RawMessage `json:"filters"`
		Pattern json.RawMessage   `json:"pattern"`
	} `json:"filter"`
	Sink struct {
		Kind   string `json:"kind"`
		URL    string `json:"url"`
		Stream string `json:"stream"`
		Redis  string `json:"redis"`
		Secret string `json:"secret"`
	} `json:"sink"`
	PreviousUntil string `json:"previous_secret_until"`
}

// filter is the filter in a few words.
func (v subscriptionView) filter() string {
	words := []string{"every type"}
	if len(v.Filter.Types) > 0 {
		words = []string{strings.Join(v.Filter.Types, ", ")}
	}
	if len(v.Filter.Filters) > 0 {
		words = append(words, "filters")
	}
	if len(v.Filter.Pattern) > 0 {
		words = append(words, "pattern")
	}
	return strings.Join(words, " + ")
}

// target is where deliveries go.
func (v subscriptionView) target() string {
	if v.Sink.Redis != "" {
		return v.Sink.Stream + " on " + v.Sink.Redis
	}
	return v.Sink.URL + v.Sink.Stream
}

func (p *process) listSubscriptionsCommand() *cobra.Command {
	return p.listCommand(client.Subscription, []string{"NAME", "STATE", "SINK", "TO", "FILTER"}, func(d client.Definition) ([]string, error) {
		var v subscriptionView
		err := d.Decode(&v)
		return []string{v.Name, stateWord(v.Enabled), v.Sink.Kind, v.target(), v.filter()}, err
	})
}

// createOptions are the flags of subscriptions create.
type createOptions struct {
	file       string
	definition router.Subscription
	types      []string
	pattern    string
	headers    []string
	timeout    string
	retry      []string
	rate       string
	backlog    bool // max_backlog is said
	ordered    bool
	disabled   bool
	pull       bool
	lease      string
	attempts   int
}

func (p *process) createSubscriptionCommand() *cobra.Command {
	var o createOptions
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Create a subscription",
		Long: `Create a subscription to a webhook or a Redis Stream, or to be pulled from, from flags or from a file with one definition. Where a webhook has no secret
the server makes one, and it is printed this once.`,
		Example: "  streamlatch subscriptions create --name billing --types 'order.*' --url https://billing.example/hook\n" +
			"  streamlatch subscriptions create --name archive --stream orders --maxlen 100000\n" +
			"  streamlatch subscriptions create --name jobs --types 'job.*' --pull --lease 1m\n" +
			"  streamlatch subscriptions create -f billing.yaml",
		Args: cobra.NoArgs,
	}
	conn := p.connect(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "file with the definition; - is stdin")
	f.StringVar(&o.definition.Name, "name", "", "name")
	f.StringVar(&o.definition.Title, "title", "", "title, in free text")
	f.StringSliceVar(&o.types, "types", nil, "type patterns, with commas between them (default every type)")
	f.StringVar(&o.pattern, "pattern", "", "event pattern, in JSON")
	f.StringVar(&o.definition.Sink.URL, "url", "", "URL of the webhook")
	f.StringVar(&o.definition.Sink.Stream, "stream", "", "name of the Redis Stream, in the place of a webhook")
	f.StringVar(&o.definition.Sink.Redis, "stream-redis", "", "URL of the stream's Redis (default the server's own)")
	f.IntVar(&o.definition.Sink.MaxLen, "maxlen", 0, "entries that the stream keeps, about (default all)")
	f.StringVar((*string)(&o.definition.Sink.Mode), "mode", "", "structured or binary (default structured)")
	f.StringArrayVar(&o.headers, "header", nil, "header to send, as name: value (can be repeated)")
	f.StringVar(&o.definition.Sink.Secret, "secret", "", "secret that deliveries are signed with (default one that the server makes)")
	f.StringVar(&o.timeout, "timeout", "", "time of one attempt (default 15s)")
	f.StringSliceVar(&o.retry, "retry-schedule", nil, "waits before further attempts, with commas between them (default the server's)")
	f.IntVar(&o.definition.Delivery.MaxInFlight, "max-in-flight", 0, "deliveries under way at a time (default the server's)")
	f.IntVar(&o.definition.Delivery.MaxBacklog, "max-backlog", 0, "deliveries that may wait in each partition; newer ones become dead letters (default the server's)")
	f.StringVar(&o.rate, "rate", "", "most attempts in any time of some length, as 100/1s (default no limit)")
	f.BoolVar(&o.pull, "pull", false, "nothing is sent; workers pull")
	f.StringVar(&o.lease, "lease", "", "with --pull: how long a worker has a delivery (default 30s)")
	f.IntVar(&o.attempts, "max-attempts", 0, "with --pull: attempts at a delivery (default 5)")
	f.BoolVar(&o.ordered, "ordered", false, "deliver events with the same partition key, else subject, one at a time and in order")
	f.BoolVar(&o.disabled, "disabled", false, "queue nothing until it is enabled")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		document, err := p.subscriptionDocument(o, cmd.Flags().Changed)
		if err != nil {
			return err
		}
		return p.createSubscription(cmd.Context(), conn, document)
	}
	return cmd
}

// subscriptionDocument is the document to send: that of a file, or one made of flags.
func (p *process) subscriptionDocument(o createOptions, given func(string) bool) ([]byte, error) {
	if o.file == "" {
		o.backlog = given("max-backlog")
		return o.document()
	}
	flags := []string{
		"name", "title", "types", "pattern", "url", "stream", "stream-redis", "maxlen", "mode", "header", "secret", "timeout", "retry-schedule", "max-in-flight", "max-backlog", "rate",
		"ordered", "pull", "lease", "max-attempts", "disabled",
	}
	for _, flag := range flags {
		if given(flag) {
			return nil, usagef("--file and --%s exclude each other", flag)
		}
	}
	return p.oneDefinition(client.Subscription, o.file)
}

// sinkKind is the kind of the sink that the flags describe.
func (o createOptions) sinkKind() router.SinkKind {
	switch {
	case o.pull:
		return router.PullSink
	case o.definition.Sink.Stream != "":
		return router.StreamSink
	default:
		return router.WebhookSink
	}
}

// document makes the document of the flags; what is not said is left out, for the server to choose.
func (o createOptions) document() ([]byte, error) {
	target := o.definition.Sink
	sinks := 0
	for _, given := range []bool{target.URL != "", target.Stream != "", o.pull} {
		if given {
			sinks++
		}
	}
	if o.definition.Name == "" || sinks != 1 {
		return nil, usagef("say --name and one of --url, --stream and --pull, or --file")
	}
	type object map[string]any
	set := func(to object, name string, value any, given bool) {
		if given {
			to[name] = value
		}
	}
	headers := map[string]string{}
	for _, text := range o.headers {
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			return nil, usagef("--header %q is not of the form name: value", text)
		}
		headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	limit, per, ok := strings.Cut(o.rate, "/")
	if o.rate != "" && (!ok || !json.Valid([]byte(limit))) {
		return nil, usagef("--rate %q is not of the form 100/1s", o.rate)
	}
	if o.pattern != "" && !json.Valid([]byte(o.pattern)) {
		return nil, usagef("--pattern is not JSON")
	}
	filter, sink, delivery := object{}, object{"kind": o.sinkKind()}, object{}
	set(sink, "stream", target.Stream, target.Stream != "")
	set(sink, "redis", target.Redis, target.Redis != "")
	set(sink, "maxlen", target.MaxLen, target.MaxLen != 0)
	set(filter, "types", o.types, len(o.types) > 0)
	set(filter, "pattern", json.RawMessage(o.pattern), o.pattern != "")
	set(sink, "url", o.definition.Sink.URL, o.definition.Sink.URL != "")
	set(sink, "lease", o.lease, o.lease != "")
	set(sink, "max_attempts", o.attempts, o.attempts != 0)
	set(sink, "mode", o.definition.Sink.Mode, o.definition.Sink.Mode != "")
	set(sink, "headers", headers, len(headers) > 0)
	set(sink, "secret", o.definition.Sink.Secret, o.definition.Sink.Secret != "")
	set(sink, "timeout", o.timeout, o.timeout != "")
	set(delivery, "retry", object{"schedule": o.retry}, len(o.retry) > 0)
	set(delivery, "max_in_flight", o.definition.Delivery.MaxInFlight, o.definition.Delivery.MaxInFlight != 0)
	set(delivery, "max_backlog", o.definition.Delivery.MaxBacklog, o.backlog)
	set(delivery, "rate", object{"limit": json.RawMessage(limit), "per": per}, o.rate != "")
	set(delivery, "ordered", true, o.ordered)
	all := object{"name": o.definition.Name, "filter": filter, "sink": sink}
	set(all, "title", o.definition.Title, o.definition.Title != "")
	set(all, "delivery", delivery, len(delivery) > 0)
	set(all, "enabled", false, o.disabled)
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("make the definition: %w", err)
	}
	return text, nil
}

func (p *process) createSubscription(ctx context.Context, conn *connection, document []byte) error {
	api, err := conn.client()
	if err != nil {
		return err
	}
	d, err := api.Create(ctx, client.Subscription, document)
	if err != nil {
		return err
	}
	if conn.json() {
		return writeJSON(p.stdout, d.Document)
	}
	var v subscriptionView
	if err := d.Decode(&v); err != nil {
		return err
	}
	text := fmt.Sprintf("created subscription %s (%s)\n", plain(v.Name), plain(v.ID))
	if secret := madeSecret(d, document); secret != "" {
		text += "secret, shown this once: " + plain(secret) + "\n"
	}
	return write(p.stdout, text)
}

func (p *process) rotateSecretCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "rotate-secret REF", Short: "Give a subscription a new signing secret", Args: cobra.ExactArgs(1),
		Long: "Give a subscription a new signing secret, and print it this once. The one before signs as well for 24 hours, so that the receiver can be changed over.",
	}
	conn := p.connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		d, err := api.RotateSecret(cmd.Context(), args[0])
		if err != nil {
			return fmt.Errorf("subscription %s: %w", args[0], err)
		}
		if conn.json() {
			return writeJSON(p.stdout, d.Document)
		}
		var v subscriptionView
		if err := d.Decode(&v); err != nil {
			return err
		}
		text := "new secret of subscription " + plain(v.Name) + ", shown this once: " + plain(v.Sink.Secret) + "\n"
		if v.PreviousUntil != "" {
			text += "the one before signs as well until " + plain(v.PreviousUntil) + "\n"
		}
		return write(p.stdout, text)
	}
	return cmd
}

func (p *process) testSubscriptionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "test REF", Short: "Send a test event to a subscription's sink", Args: cobra.ExactArgs(1),
		Long: "Have the server send one event, marked as a test, to a subscription's sink, and print the attempt. The exit code is 1 if it did not arrive.",
	}
	conn := p.connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		attempt, err := api.Test(cmd.Context(), args[0])
		if err != nil {
			return fmt.Errorf("subscription %s: %w", args[0], err)
		}
		if conn.json() {
			err = writeJSON(p.stdout, attempt)
		} else {
			err = write(p.stdout, attemptText(attempt))
		}
		if err == nil && attempt.Outcome != string(router.OutcomeDelivered) {
			return exitError{exitFailure}
		}
		return err
	}
	return cmd
}

// attemptText shows an attempt in a line, and the answer of a failure in further ones.
func attemptText(a client.Attempt) string {
	text := plain(a.Outcome) + " in " + plain(a.Duration)
	if a.StatusCode != 0 {
		text += fmt.Sprintf(", answered %d %s", a.StatusCode, http.StatusText(a.StatusCode))
	}
	if a.Error != "" {
		text += ": " + plain(a.Error)
	}
	text += "\n"
	if a.Response != "" {
		text += plainLines(strings.TrimRight(a.Response, "\n")) + "\n"
	}
	return text
}
