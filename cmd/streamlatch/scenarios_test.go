package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestScenariosRunAgainstTheModelAndTheScripts(t *testing.T) {
	stdout, _, code := runCommand(t, nil, "test", "testdata/scenarios", "--redis")
	require.Equal(t, exitDone, code, stdout)
	require.Equal(t, `ok    testdata/scenarios/release.yaml: a build and two reviews for the same release (model)
ok    testdata/scenarios/release.yaml: a build and two reviews for the same release (redis)
2 passed, 0 failed
`, stdout)
}

func TestAScenarioThatFailsShowsWhatDidNotComeAndWhatCameInstead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "wrong.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"name": "wrong", "trigger": {"when": {"event": {"types": ["a"]}}},
		"events": [{"id": "1", "type": "a", "t": "1s"}], "expect": [{"t": 0, "events": ["1"]}]}`), 0o600))
	stdout, stderr, code := runCommand(t, nil, "test", file)
	require.Equal(t, exitFailure, code)
	require.Empty(t, stderr)
	require.Equal(t, "FAIL  "+file+": wrong (model)\n        - at 0s fires 1\n        + at 1s fires 1\n0 passed, 1 failed\n", stdout)
	stdout, _, code = runCommand(t, nil, "test", file, "-o", "json")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stdout, `"differences": [`)
}

func TestAScenarioThatCanNotBeReadIsWrongUsage(t *testing.T) {
	_, stderr, code := runCommand(t, nil, "test", "testdata/wrong.yaml")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "testdata/wrong.yaml: read scenarios: ")
	_, _, code = runCommand(t, nil, "test", "testdata/none.yaml")
	require.Equal(t, exitUsage, code)
}

func TestScenariosDoNotRunOnACluster(t *testing.T) {
	_, stderr, code := runCommand(t, nil, "test", "testdata/scenarios", "--redis=redis+cluster://127.0.0.1:1")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "not a Cluster")
}
