package yamljson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/streamlatch/streamlatch/internal/yamljson"
)

func yamlToJSON(text string) (string, error) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return "", err
	}
	out, err := yamljson.Append(nil, document.Content[0], nil)
	return string(out), err
}

func TestYAMLBecomesTheJSONThatItMeans(t *testing.T) {
	for text, want := range map[string]string{
		"{a: 1, b: [x, 'y', \"z\"]}":                         `{"a":1,"b":["x","y","z"]}`,
		"{a: 1.0, b: 1e3, c: 12345678901234567890, d: -0.5}": `{"a":1.0,"b":1e3,"c":12345678901234567890,"d":-0.5}`,
		"{a: 0x10, b: 0o17, c: 1_000, d: .5, e: +1}":         `{"a":16,"b":15,"c":1000,"d":0.5,"e":1}`,
		"{a: true, b: False, c: ~, d: null, e: yes}":         `{"a":true,"b":false,"c":null,"d":null,"e":"yes"}`,
		"{a: 2024-11-20, b: 2024-11-20T18:40:00Z}":           `{"a":"2024-11-20","b":"2024-11-20T18:40:00Z"}`,
		"{a: '1', b: !!str 1, 1: x}":                         `{"a":"1","b":"1","1":"x"}`,
		"a: |\n  two\n  lines\n":                             `{"a":"two\nlines\n"}`,
		"a: &x {n: 1}\nb: *x\n":                              `{"a":{"n":1},"b":{"n":1}}`,
		"{a: 🎺, b: \"\\u00e9\\U0001F3BA\"}":                  `{"a":"🎺","b":"é🎺"}`,
		"{}":                                                 `{}`,
	} {
		got, err := yamlToJSON(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestYAMLThatIsNoJSONIsRefusedWithItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"a:\n  b: .inf":                "line 2: \".inf\" is not a number of JSON",
		"a: .nan":                      "line 1: \".nan\" is not a number of JSON",
		"a: !!binary aGk=":             "line 1: !!binary is not possible here",
		"[1]: x":                       "line 1: a name must be text",
		"a: &x {n: 1}\nb:\n  <<: *x\n": "line 3: a name must be text",
	} {
		_, err := yamlToJSON(text)
		require.EqualError(t, err, want, text)
	}
	bomb := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for _, c := range "bcdefghi" {
		last := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+last+",", 9) + "*" + last + "]\n"
	}
	_, err := yamlToJSON(bomb)
	require.ErrorContains(t, err, "the document is too large, or its aliases are")
}

func FuzzYAMLBecomesValidJSON(f *testing.F) {
	for _, seed := range []string{"a: 1", "- x", "a: &x [1]\nb: *x", "a: 0x1F", "? {a: b}\n: c", "a: !!float 1", "\"\\xff\": 1", "a: 1_0.5", "---\n...\n", "a: &a [*a]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var document yaml.Node
		if yaml.Unmarshal([]byte(text), &document) != nil || len(document.Content) == 0 {
			return
		}
		out, err := yamljson.Append(nil, document.Content[0], nil)
		if err == nil {
			require.True(t, json.Valid(out), "%s", out)
		}
	})
}
