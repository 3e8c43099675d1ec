package main

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestTextFromElsewhereCannotMoveTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain, größer, 日本, 🎺": "plain, größer, 日本, 🎺",
		"\x1b[31mred":          `\x1b[31mred`,
		"a\nb\tc\r":            `a\nb\tc\r`,
		"\u009b31m":            `\u009b31m`,
		"a\u202eb\u2066c":      `a\u202eb\u2066c`,
		"\xff\xfe":             `\xff\xfe`,
		"\ufffd":               "\ufffd",
		"\x00\x7f":             `\x00\x7f`,
		"a\u00a0b\u200bc":      `a\u00a0b\u200bc`,
		"\U000e0001":           `\U000e0001`,
	} {
		require.Equal(t, want, plain(in))
	}
	require.Equal(t, "\\x1b[31m\nb", plainLines("\x1b[31m\nb"))
	require.Equal(t, "abc…", short("abcdef", 4))
	require.Equal(t, "äbcd", short("äbcd", 4))
}

func FuzzJSONStaysTheSameAndSafe(f *testing.F) {
	for _, seed := range []string{`"a"`, "\"\u009b\u202e\U000e0001\U0001F3BA\x7f\"", `{"a":[1,null]}`, `"\ud83c\udfba"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var before, after any
		if !utf8.ValidString(text) || json.Unmarshal([]byte(text), &before) != nil {
			return
		}
		safe := safeJSON([]byte(text))
		require.NoError(t, json.Unmarshal(safe, &after))
		require.Equal(t, before, after)
		require.False(t, strings.ContainsFunc(string(safe), func(r rune) bool { return !unicode.IsPrint(r) && !strings.ContainsRune(" \t\r\n", r) }))
	})
}

func TestTablesAndYAMLEscapeToo(t *testing.T) {
	var b strings.Builder
	require.NoError(t, writeTable(&b, [][]string{{"A", "B"}, {"\x1b[31m", "x"}, {"long", ""}}))
	require.Equal(t, "A         B\n\\x1b[31m  x\nlong\n", b.String())
	b.Reset()
	require.NoError(t, writeYAML(&b, json.RawMessage(`{"b":"\u001b[31m\ud83c\udfba","a":{"n":1.0,"l":[],"m":{},"o":[{"x":null}]},"t":true,"s":"1"}`)))
	require.Equal(t, "b: \"\\e[31m\\U0001F3BA\"\na:\n    \"n\": 1.0\n    l: []\n    m: {}\n    o:\n        - x: null\nt: true\ns: \"1\"\n", b.String())
}
