package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/keyring"
)

func (p *process) keyCommand() *cobra.Command {
	var document keyDocument
	var output outputFormat
	scopes := fmt.Sprint(httpapi.Scopes())
	made := &cobra.Command{
		Use:   "new",
		Short: "Make an API key",
		Long: `Make an API key. It is printed this once and kept nowhere; the server is configured with its hash: put what is printed
into the list api-keys of the configuration file, into a file for --api-keys-file, or into ` + setting{name: "api-keys"}.variable() + `.`,
		Example: "  streamlatch key new --name shop --scopes publish --types 'order.*'",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return p.newKey(document, output == jsonOutput)
		},
	}
	made.Flags().StringVar(&document.Name, "name", "", "whose key it is")
	made.Flags().StringSliceVar(&document.Scopes, "scopes", nil, "what it permits, of "+strings.Trim(scopes, "[]")+", with commas between them")
	made.Flags().StringSliceVar(&document.Types, "types", nil, "type patterns that publishing is limited to (default every type)")
	addOutputFlag(made, &output)
	return family(&cobra.Command{Use: "key", Short: "Make API keys, and keys for secrets"}, made, p.secretsKeyCommand())
}

func (p *process) secretsKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "secrets",
		Short: "Make a key that secrets in Redis are sealed with",
		Long: `Make a key that secrets in Redis are sealed with: signing secrets, tokens, passwords and private keys. It is printed this once and kept nowhere;
what is sealed under a key that is lost is lost with it.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			made := keyring.NewKey(p.random)
			k, err := keyring.New(made)
			if err != nil {
				return err
			}
			return write(p.stdout, fmt.Sprintf("key %s for secrets, shown this once: %s\n\nPut it into a file for --secrets-key-file, or into %s, "+
				"and a copy of it where the backups of Redis are not.\n", k.IDs()[0], made, setting{name: "secrets-key"}.variable()))
		},
	}
}

func (p *process) newKey(document keyDocument, asJSON bool) error {
	if document.Name == "" || len(document.Scopes) == 0 {
		return usagef("say whose key it is with --name and what it permits with --scopes")
	}
	key, hash, err := httpapi.NewKey(p.random)
	if err != nil {
		return err
	}
	document.Hash = hash
	list, err := yaml.Marshal([]keyDocument{document})
	if err != nil {
		return fmt.Errorf("print the key: %w", err)
	}
	if _, err := parseKeys(list); err != nil {
		return usageError{err}
	}
	if asJSON {
		return writeJSON(p.stdout, struct {
			Key string `json:"key"`
			keyDocument
		}{key, document})
	}
	line, err := json.Marshal([]keyDocument{document})
	if err != nil {
		return fmt.Errorf("print the key: %w", err)
	}
	return write(p.stdout, fmt.Sprintf("API key, shown this once: %s\n\nFor --api-keys-file, or below api-keys in the configuration:\n\n%s\nOr as a variable:\n\n%s='%s'\n",
		key, list, setting{name: "api-keys"}.variable(), line))
}
