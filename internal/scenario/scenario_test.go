package scenario_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/internal/scenario"
	"github.com/streamlatch/streamlatch/internal/yamljson"
	"github.com/streamlatch/streamlatch/redisstore"
)

func TestTheModelFollowsTheRules(t *testing.T) { eachScenario(t, "testdata/rules.yaml", runModel) }

func TestTheScriptsFollowTheRules(t *testing.T) { onRedis(t, "testdata/rules.yaml") }

func TestTheModelAnswersTheDefectsOfEarlierPrograms(t *testing.T) {
	eachScenario(t, "testdata/seeds.yaml", runModel)
}

func TestTheScriptsAnswerTheDefectsOfEarlierPrograms(t *testing.T) { onRedis(t, "testdata/seeds.yaml") }

func TestTheModelDoesWhatTheSharedScenariosSay(t *testing.T) { eachScenario(t, shared(t), runModel) }

func TestTheScriptsDoWhatTheSharedScenariosSay(t *testing.T) { onRedis(t, shared(t)) }

// shared is the file of scenarios that lies beside the project, or not.
func shared(t *testing.T) string {
	for dir := ".."; len(dir) < 30; dir = filepath.Join(dir, "..") {
		file := filepath.Join(dir, "shared", "scenarios", "triggers.json")
		if _, err := os.Stat(file); err == nil {
			return file
		}
	}
	t.Skip("shared/scenarios/triggers.json is not beside the project")
	return ""
}

func runModel(t *testing.T, s scenario.Scenario) {
	got, err := s.RunModel()
	require.NoError(t, err)
	require.Empty(t, s.Differences(got))
}

func eachScenario(t *testing.T, file string, run func(*testing.T, scenario.Scenario)) {
	for _, s := range read(t, file) {
		t.Run(s.Name, func(t *testing.T) { run(t, s) })
	}
}

func read(t testing.TB, file string) []scenario.Scenario {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var root yaml.Node
	require.NoError(t, yaml.Unmarshal(text, &root))
	text, err = yamljson.Append(nil, root.Content[0], nil)
	require.NoError(t, err)
	list, err := scenario.Parse(text)
	require.NoError(t, err)
	require.NotEmpty(t, list)
	return list
}

// onRedis runs scenarios against the scripts, on miniredis and on a real Redis, each in a namespace of its own.
func onRedis(t *testing.T, file string) {
	redistest.Each(t, func(t *testing.T, addr string) {
		eachScenario(t, file, func(t *testing.T, s scenario.Scenario) {
			store, err := redisstore.Open(t.Context(), redisstore.Config{URL: "redis://" + addr, Namespace: redistest.Namespace(t)})
			require.NoError(t, err)
			defer func() { require.NoError(t, store.Close()) }()
			got, err := s.RunStore(t.Context(), store, time.Now().Add(time.Hour).Truncate(time.Millisecond))
			require.NoError(t, err)
			require.Empty(t, s.Differences(got))
		})
	})
}

func TestDifferencesShowWhatDidNotComeAndWhatCameInstead(t *testing.T) {
	s, err := scenario.Parse([]byte(`{"trigger": {"when": {"all": [{"event": {"types": ["a"]}}, {"event": {"types": ["b"]}}]}},
		"events": [{"id": "a1", "type": "a", "t": 0}, {"id": "b1", "type": "b", "t": "2s"}, {"id": "b2", "type": "b", "t": "3s"}],
		"expect": [{"t": "1s", "events": ["a1", "b1"]}], "waiting": []}`))
	require.NoError(t, err)
	got, err := s[0].RunModel()
	require.NoError(t, err)
	require.Equal(t, []string{"- at 1s fires a1, b1", "+ at 2s fires a1, b1", `+ {} waits for ["when.all[0]"]`}, s[0].Differences(got))
}

func TestWhatIsWrongInAScenarioIsSaidWithItsPlace(t *testing.T) {
	for text, want := range map[string]string{
		`{`:                        "unexpected EOF",
		`{"name": "x", "more": 1}`: `unknown field "more"`,
		`{"scenarios": [{"name": "x", "trigger": {"when": {"all": []}}}]}`:                                              `scenario 1 "x": trigger:`,
		`{"trigger": {"when": {"event": {}}}, "events": [{"id": "", "type": "a", "t": 0}]}`:                             "events[0]:",
		`{"trigger": {"when": {"event": {}}}, "events": [{"id": "1", "type": "a", "t": "soon"}]}`:                       "neither milliseconds nor a duration",
		`{"trigger": {"when": {"event": {}}}, "events": [{"id":"1","type":"a","t":2},{"id":"2","type":"a","t":1}]}`:     "events[1].t:",
		`{"trigger": {"key": ["subject"], "when": {"event": {}}}, "expect": [{"t": 0, "events": [], "key": {"x": 1}}]}`: "expect[0].key:",
	} {
		_, err := scenario.Parse([]byte(text))
		require.Error(t, err, text)
		require.ErrorContains(t, err, want, text)
	}
}
