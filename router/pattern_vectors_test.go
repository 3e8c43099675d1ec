package router

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// patternCase is a pattern and an event as EventBridge knows it, with EventBridge's answer.
type patternCase struct {
	Name    string          `json:"name"`
	Expect  string          `json:"expect"` // match, nomatch, invalid
	Event   json.RawMessage `json:"event"`
	Pattern json.RawMessage `json:"pattern"`
}

func TestPatternAnswersAsEventBridge(t *testing.T) {
	var cases []patternCase
	require.NoError(t, json.Unmarshal(sharedFile(t, "vectors/eventbridge-patterns/cases.json"), &cases))
	require.NotEmpty(t, cases)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			require.Equal(t, c.Expect, answer(string(c.Pattern), string(c.Event)))
		})
	}
}

// answer gives the answer of a pattern for a whole JSON document.
func answer(pattern, document string) string {
	filter, err := Filter{Pattern: json.RawMessage(pattern)}.Compile()
	if err != nil {
		return "invalid"
	}
	view := &View{}
	view.resetToDocument(document)
	if filter.Match(view) {
		return "match"
	}
	return "nomatch"
}
