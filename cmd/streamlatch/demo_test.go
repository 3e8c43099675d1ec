package main

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// startDev runs a real server on an embedded Redis, and returns its URL.
func startDev(t *testing.T) string {
	t.Helper()
	e, err := loadConfigOf(t, "--listen", "127.0.0.1:0")
	require.NoError(t, err)
	a, err := newApp(t.Context(), e)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ran)
	})
	return "http://" + a.Addr()
}

func loadConfigOf(t *testing.T, args ...string) (options, error) {
	t.Helper()
	p, _, _ := testProcess()
	cmd := p.devCommand()
	require.NoError(t, cmd.ParseFlags(args))
	e, err := loadConfig(cmd.Flags(), nil, true)
	e.config.Logger = newLogger(p.stderr, e.config)
	return e.config.options, err
}

func TestTheDemonstrationShowsWhatWaitsWhatFiresAndWhyTheRestDoesNot(t *testing.T) {
	server := startDev(t)
	p, stdout, stderr := testProcess("STREAMLATCH_SERVER=" + server)
	require.Equal(t, exitDone, p.run(t.Context(), []string{"demo"}), stderr.String())
	got := regexp.MustCompile(`0:[0-9]+-[0-9]+`).ReplaceAllString(stdout.String(), "0:1795940163184-0")
	golden(t, "testdata/demo.txt", got)

	q, listed, _ := testProcess("STREAMLATCH_SERVER=" + server)
	require.Equal(t, exitDone, q.run(t.Context(), []string{"triggers", "list"}))
	require.NotContains(t, listed.String(), demoTrigger, "it is deleted in the end")
}

func TestTheDemonstrationSaysHowToStartAServerWhereThereIsNone(t *testing.T) {
	_, stderr, code := runCommand(t, nil, "demo", "--server", "http://127.0.0.1:1")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "start one with 'streamlatch dev'")
}

func TestPartialsFiringsAndExplanationsAreShownOnTheCommandLine(t *testing.T) {
	server := startDev(t)
	run := func(args ...string) string {
		p, stdout, stderr := testProcess("STREAMLATCH_SERVER=" + server)
		require.Equal(t, exitDone, p.run(t.Context(), args), "%s: %s", args, stderr.String())
		return stdout.String()
	}
	run("demo", "--keep")
	require.Contains(t, run("triggers", "firings", demoTrigger), `{"release":"1.4-0000"}`)
	run("publish", "--type", "review.approved", "--id", "waits", "--data", `{"release":"2.0","reviewer":"ann"}`)
	p, _, _ := testProcess()
	var listed string
	d := demonstration{process: p}
	require.NoError(t, d.until(t.Context(), "the event is recorded", func() (bool, error) {
		listed = run("triggers", "partials", demoTrigger)
		return strings.Contains(listed, "waits"), nil
	}))
	require.Regexp(t, `(?m)^[0-9a-f]{32}  \{"release":"2.0"\}  reviews waits  build, reviews  20`, listed)
	id := regexp.MustCompile(`(?m)^[0-9a-f]{32}`).FindString(listed)
	position := regexp.MustCompile(`"position": "(0:[0-9-]+)"`).FindStringSubmatch(run("triggers", "partials", demoTrigger, "-o", "json"))[1]
	require.Contains(t, run("explain", position), "leaf reviews, key {\"release\":\"2.0\"}: waiting\n    it is recorded, and waits for what is missing\n    missing: build, reviews\n")
	require.Contains(t, run("explain", position, "--trigger", demoTrigger), `type: wanted ["build.finished"], found "review.approved"`)
	require.Contains(t, run("triggers", "partials", demoTrigger, "--drop", id), "dropped partial")
	require.NotContains(t, run("triggers", "partials", demoTrigger), "waits")
}
