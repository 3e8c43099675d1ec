package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/source"
)

func (p *process) sourcesCommand() *cobra.Command {
	return family(
		&cobra.Command{Use: "sources", Aliases: []string{"source"}, Short: "List, show, create, delete and test sources, the inlets of webhooks"},
		p.listSourcesCommand(), p.showCommand(client.Source), p.createSourceCommand(), p.deleteCommand(client.Source, "", ""), p.testSourceCommand(),
	)
}

// sourceView is what the command line shows of a source.
type sourceView struct {
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Enabled  bool            `json:"enabled"`
	Provider string          `json:"provider"`
	Inlet    string          `json:"inlet"`
	Secret   json.RawMessage `json:"secret"`
}

// state says also when a source takes nothing since it has no secret.
func (v sourceView) state() string {
	if v.Enabled && string(v.Secret) == "null" {
		return "no secret"
	}
	return stateWord(v.Enabled)
}

func (p *process) listSourcesCommand() *cobra.Command {
	return p.listCommand(client.Source, []string{"NAME", "STATE", "PROVIDER", "INLET"}, func(d client.Definition) ([]string, error) {
		var v sourceView
		err := d.Decode(&v)
		return []string{v.Name, v.state(), v.Provider, v.Inlet}, err
	})
}

// sourceOptions are the flags of sources create.
type sourceOptions struct {
	file, name, title, provider, typePrefix, user, url string
	secrets, extracts                                  []string
}

func (p *process) createSourceCommand() *cobra.Command {
	var o sourceOptions
	cmd := &cobra.Command{
		Use: "create", Short: "Create a source", Args: cobra.NoArgs,
		Long: `Create a source from flags, or from a file with one definition. Without a secret the server makes one where the receiver chooses it, and it is printed this
once; Stripe, Slack, Shopify and Twilio give theirs out.`,
		Example: "  streamlatch sources create --name github --provider github\n" +
			"  streamlatch sources create --name slack --provider slack --secret 8f74… --extract 'release=data.text~^approve (\\S+)$'\n" +
			"  streamlatch sources create -f github.yaml",
	}
	conn := p.connect(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.file, "file", "f", "", "file with the definition; - is stdin")
	f.StringVar(&o.name, "name", "", "name")
	f.StringVar(&o.title, "title", "", "title, in free text")
	f.StringVar(&o.provider, "provider", "", "one of "+strings.Join(source.Providers(), ", "))
	f.StringArrayVar(&o.secrets, "secret", nil, "secret; can be repeated, then any of them is enough")
	f.StringVar(&o.user, "user", "", "user of the provider basic")
	f.StringVar(&o.url, "url", "", "twilio: the inlet's address as it is called")
	f.StringVar(&o.typePrefix, "type-prefix", "", "beginning of the events' types (default the provider's)")
	f.StringArrayVar(&o.extracts, "extract", nil, "extension attribute, as name=path or name=path~expression (can be repeated)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		document, err := p.sourceDocument(o, cmd.Flags().Changed)
		if err != nil {
			return err
		}
		return p.createSource(cmd.Context(), conn, document)
	}
	return cmd
}

// sourceDocument is the document to send: that of a file, or one made of flags.
func (p *process) sourceDocument(o sourceOptions, given func(string) bool) ([]byte, error) {
	if o.file == "" {
		return o.document(given)
	}
	for _, flag := range []string{"name", "title", "provider", "secret", "user", "url", "type-prefix", "extract"} {
		if given(flag) {
			return nil, usagef("--file and --%s exclude each other", flag)
		}
	}
	return p.oneDefinition(client.Source, o.file)
}

// document makes the document of the flags; what is not said is left out, for the server to choose.
func (o sourceOptions) document(given func(string) bool) ([]byte, error) {
	if o.name == "" || o.provider == "" {
		return nil, usagef("say --name and --provider, or --file")
	}
	all := map[string]any{"name": o.name, "provider": o.provider}
	if len(o.secrets) == 1 {
		all["secret"] = o.secrets[0]
	} else if len(o.secrets) > 1 {
		all["secret"] = o.secrets
	}
	for flag, field := range map[string]struct{ name, value string }{"title": {"title", o.title}, "user": {"user", o.user}, "url": {"url", o.url}, "type-prefix": {"type_prefix", o.typePrefix}} {
		if given(flag) {
			all[field.name] = field.value
		}
	}
	extract := map[string]any{}
	for _, text := range o.extracts {
		name, rest, ok := strings.Cut(text, "=")
		path, match, matches := strings.Cut(rest, "~")
		if !ok || path == "" {
			return nil, usagef("--extract %q is not of the form name=path or name=path~expression", text)
		}
		one := map[string]any{"path": path}
		if matches {
			one["match"] = match
		}
		extract[name] = one
	}
	if len(extract) > 0 {
		all["extract"] = extract
	}
	text, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("make the definition: %w", err)
	}
	return text, nil
}

func (p *process) createSource(ctx context.Context, conn *connection, document []byte) error {
	api, err := conn.client()
	if err != nil {
		return err
	}
	d, err := api.Create(ctx, client.Source, document)
	if err != nil {
		return err
	}
	if conn.json() {
		return writeJSON(p.stdout, d.Document)
	}
	var v sourceView
	if err := d.Decode(&v); err != nil {
		return err
	}
	text := fmt.Sprintf("created source %s (%s), which takes messages at %s\n", plain(v.Name), plain(v.ID), plain(v.Inlet))
	if secret := madeSecret(d, document); secret != "" {
		text += "secret, shown this once: " + plain(secret) + "\n"
	}
	if v.state() == "no secret" {
		text += "it has no secret yet, and refuses everything until it is given that of its provider\n"
	}
	return write(p.stdout, text)
}

func (p *process) testSourceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "test REF", Short: "Send a sample to a source", Args: cobra.ExactArgs(1),
		Long: "Have the server make a message as the source's provider would send it, correctly signed, and take it like any other: it is verified, mapped and stored, so that " +
			"subscriptions and triggers see it.",
	}
	conn := p.connect(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		api, err := conn.client()
		if err != nil {
			return err
		}
		tested, err := api.TestSource(cmd.Context(), args[0])
		if err != nil {
			return fmt.Errorf("source %s: %w", args[0], err)
		}
		if conn.json() {
			return writeJSON(p.stdout, tested)
		}
		var event struct{ Type, Source string }
		if err := json.Unmarshal(tested.Event, &event); err != nil {
			return errors.Join(errors.New("the server's answer holds no event"), err)
		}
		return write(p.stdout, fmt.Sprintf("verified; stored at %s as %s of %s\n", plain(tested.Position), plain(event.Type), plain(event.Source)))
	}
	return cmd
}
