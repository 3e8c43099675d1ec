package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/streamlatch/streamlatch/keyring"
)

// hidden stands in the place of a secret.
const hidden = "****"

// maskURL hides the passwords in a URL. What can't be parsed is hidden whole.
func maskURL(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return hidden
	}
	if _, has := u.User.Password(); has {
		u.User = url.UserPassword(u.User.Username(), hidden)
	}
	query := u.Query()
	if query.Has("sentinel_password") {
		query.Set("sentinel_password", hidden)
	}
	u.RawQuery = query.Encode()
	return strings.ReplaceAll(u.String(), url.QueryEscape(hidden), hidden)
}

// maskKeys shows the names and scopes of keys.
func maskKeys(text string) string {
	var documents []keyDocument
	if yaml.Unmarshal([]byte(text), &documents) != nil {
		return hidden
	}
	var shown []string
	for _, d := range documents {
		shown = append(shown, fmt.Sprintf("%s (%s)", d.Name, strings.Join(d.Scopes, ", ")))
	}
	return strings.Join(shown, "; ")
}

// maskSecretsKey shows which key it is.
func maskSecretsKey(text string) string {
	k, err := keyring.New(text)
	if err != nil {
		return hidden
	}
	return hidden + " (" + k.IDs()[0] + ")"
}

// shown gives the value as it may be shown: secrets masked.
func (v effectiveValue) shown() any {
	switch {
	case len(v.value) == 0:
		return nil
	case v.setting.list && v.setting.mask != nil:
		shown := make([]string, len(v.value))
		for i, value := range v.value {
			shown[i] = v.setting.mask(value)
		}
		return shown
	case v.setting.list:
		return v.value
	case v.setting.mask != nil:
		return v.setting.mask(v.value[0])
	}
	return v.value[0]
}

// print writes the effective configuration as YAML, each value with where it came from.
func (e effective) print(w io.Writer) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, v := range e.values {
		value := &yaml.Node{}
		if err := value.Encode(v.shown()); err != nil {
			return fmt.Errorf("print %s: %w", v.setting.name, err)
		}
		if value.Kind == yaml.SequenceNode {
			value.Style = yaml.FlowStyle
		}
		value.LineComment = plain(v.origin)
		root.Content = append(root.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: v.setting.name}, value)
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		return fmt.Errorf("print the configuration: %w", err)
	}
	return write(w, "# The effective configuration, secrets masked.\n"+string(text))
}

// log writes the effective configuration as one line of the log. In dev it leaves the defaults out.
func (e effective) log(l *slog.Logger) {
	var attrs []any
	for _, v := range e.values {
		if shown := v.shown(); shown != nil && !(e.config.Embedded && v.origin == "default") {
			attrs = append(attrs, slog.Any(v.setting.name, shown))
		}
	}
	if len(attrs) > 0 {
		l.Info("configuration", attrs...)
	}
}
