package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	settingsBegin = "<!-- settings: begin -->\n"
	settingsEnd   = "<!-- settings: end -->\n"
)

// settingsTable is the table of settings, as documentation.
func settingsTable() string {
	var b strings.Builder
	for _, section := range sections() {
		fmt.Fprintf(&b, "\n### %s\n\n| setting | value | default | |\n|---|---|---|---|\n", section.title)
		for _, s := range section.settings {
			help, byDefault := strings.ReplaceAll(s.help, "|", `\|`)+".", "none"
			if s.byDefault != "" {
				byDefault = "`" + s.byDefault + "`"
			}
			if s.list {
				help += " A list."
			}
			if s.mask != nil {
				help += " Shown masked."
			}
			if s.serveOnly {
				help += " *serve*"
			}
			fmt.Fprintf(&b, "| `--%s`<br>`%s` | %s | %s | %s |\n", s.name, s.variable(), strings.ReplaceAll(s.kind, "|", `\|`), byDefault, help)
		}
	}
	return b.String() + "\n"
}

func TestTheSettingsAreDocumented(t *testing.T) {
	const path = "../../docs/configuration.md"
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), settingsBegin)
	require.True(t, ok, "%s has no line %s", path, settingsBegin)
	table, after, ok := strings.Cut(rest, settingsEnd)
	require.True(t, ok, "%s has no line %s", path, settingsEnd)
	if *update {
		table = settingsTable()
		require.NoError(t, os.WriteFile(path, []byte(before+settingsBegin+table+settingsEnd+after), 0o644))
	}
	require.Equal(t, settingsTable(), table, "go test ./cmd/streamlatch -run TestTheSettingsAreDocumented -update writes it anew")
}
