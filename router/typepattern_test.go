package router

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTypePatternMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, eventType string
		want               bool
	}{
		{"order.*", "order.paid", true},
		{"order.*", "order.paid.eu", true},
		{"order.*", "order", false},
		{"order.*", "orders.paid", false},
		{"order.*", "order.", false},
		{"order.*", "order..eu", false},
		{"order.*", "order.paid.", false},
		{"order.*.eu", "order.paid.eu", true},
		{"order.*.eu", "order.paid.us", false},
		{"order.*.eu", "order.paid.now.eu", false},
		{"order.*.eu", "order..eu", false},
		{"*.paid", "order.paid", true},
		{"*.paid", ".paid", false},
		{"*.paid", "paid", false},
		{"*.*", "order", false},
		{"*.*", "order.paid.eu", true},
		{"*", "order", true},
		{"*", "order..", true},
		{"*", "", true},
		{"order", "order", true},
		{"order", "order.paid", false},
		{"order.paid", "Order.paid", false},
	} {
		p, err := ParseTypePattern(c.pattern)
		require.NoError(t, err)
		require.Equal(t, c.want, p.Match(c.eventType), "%s against %s", c.pattern, c.eventType)
	}
	require.False(t, TypePattern{}.Match(""), "the zero pattern matches nothing")
}

func TestTypePatternIllFormedIsRefused(t *testing.T) {
	for pattern, why := range map[string]string{
		"":                        "empty",
		".":                       "empty segment",
		"a..b":                    "empty segment",
		"a.":                      "empty segment",
		".*":                      "empty segment",
		"a*":                      "star",
		"a.b*.c":                  "star",
		"**":                      "star",
		"a.**":                    "star",
		"a\x00b":                  "control characters",
		"a\xffb":                  "UTF-8",
		strings.Repeat("a", 1025): "at most 1024 bytes",
	} {
		_, err := ParseTypePattern(pattern)
		require.Equal(t, Invalid, ErrorCode(err), "%q", pattern)
		require.ErrorContains(t, err, why)
		require.Less(t, len(err.Error()), 300, "a long pattern is not repeated whole")
	}
}

func TestTypePatternSharedTruthTable(t *testing.T) {
	var table struct{ Rows [][3]any }
	require.NoError(t, json.Unmarshal(sharedFile(t, "scenarios/types.json"), &table))
	require.NotEmpty(t, table.Rows)
	for _, row := range table.Rows {
		p, err := ParseTypePattern(row[0].(string))
		if row[2] == "refused" {
			require.Error(t, err, "%v", row)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, row[2], p.Match(row[1].(string)), "%v", row)
	}
}

// sharedFile reads one of the cases that lie beside the project, in a folder "shared".
func sharedFile(t testing.TB, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	require.NoError(t, err)
	for ; filepath.Dir(dir) != dir; dir = filepath.Dir(dir) {
		text, err := os.ReadFile(filepath.Join(dir, "shared", name))
		if err == nil {
			return text
		}
	}
	t.Skipf("no folder shared with %s beside the project", name)
	return nil
}

// referenceMatch is the rule of a star spelled out over lists of segments.
func referenceMatch(pattern, eventType []string) bool {
	switch {
	case len(pattern) == 0 || len(eventType) == 0:
		return len(pattern) == len(eventType)
	case pattern[0] != "*":
		return pattern[0] == eventType[0] && referenceMatch(pattern[1:], eventType[1:])
	case eventType[0] == "":
		return false
	case len(pattern) == 1 && len(eventType) > 1:
		return referenceMatch(pattern, eventType[1:])
	}
	return referenceMatch(pattern[1:], eventType[1:])
}

func FuzzTypePattern(f *testing.F) {
	f.Add("order.*", "order.paid")
	f.Add("order.*.eu", "order.paid.eu")
	f.Add("*.*", "a..b")
	f.Add("a*.", "a")
	f.Fuzz(func(t *testing.T, pattern, eventType string) {
		p, err := ParseTypePattern(pattern)
		if err != nil {
			require.Equal(t, Invalid, ErrorCode(err))
			return
		}
		require.Equal(t, pattern, p.String())
		want := pattern == "*" || referenceMatch(strings.Split(pattern, "."), strings.Split(eventType, "."))
		require.Equal(t, want, p.Match(eventType))
	})
}

func TestTypePatternAgreesWithItsRule(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		segments := func(of ...string) []string {
			return rapid.SliceOfN(rapid.SampledFrom(of), 1, 4).Draw(t, "segments")
		}
		pattern, eventType := segments("a", "b", "*"), segments("a", "b", "")
		p, err := ParseTypePattern(strings.Join(pattern, "."))
		require.NoError(t, err)
		want := p.String() == "*" || referenceMatch(pattern, eventType)
		require.Equal(t, want, p.Match(strings.Join(eventType, ".")), "%v against %v", pattern, eventType)
	})
}
