package main

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

func TestProgressIsShownWhereAPersonCanSeeIt(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		url := startAPI(t, &memory{}, nil)
		p, stdout, stderr := testProcess(serverVariable + "=" + url)
		p.terminal = terminal
		require.Equal(t, exitDone, p.run(t.Context(), []string{"dead-letters", "redrive", "--all"}), stderr)
		require.Equal(t, "redrive op_01JD0000000000000000000001: done, 40 of 40, 38 redriven, 2 skipped\n", stdout.String())
		if !terminal {
			require.Empty(t, stderr.String())
			continue
		}
		require.Contains(t, stderr.String(), "redrive")
		require.Contains(t, stderr.String(), "10/40")
	}
}

// failing are operations that end early.
type failing struct{ httpapi.Operations }

func (failing) Begin(_ context.Context, o router.Operation) (router.Operation, error) {
	o.ID = "op_01JD0000000000000000000001"
	return o, nil
}

func (failing) Operation(_ context.Context, id string) (router.Operation, error) {
	return router.Operation{ID: id, Kind: router.ReplayOperation, Created: began, Ended: began, Error: "there is no subscription"}, nil
}

func TestAnOperationThatEndsEarlyIsAFailure(t *testing.T) {
	url := startAPI(t, &memory{}, func(c *httpapi.Config) { c.Operations = failing{} })
	stdout, _, code := runCommand(t, []string{serverVariable + "=" + url}, "dead-letters", "purge", "--all")
	require.Equal(t, exitFailure, code)
	require.Equal(t, "replay op_01JD0000000000000000000001: failed (there is no subscription), 0 of 0\n", stdout)
}

func TestARateIsWrittenAsManyPerTime(t *testing.T) {
	for text, want := range map[string]client.Rate{
		"100/s": {Limit: 100, Per: time.Second}, "5/1m": {Limit: 5, Per: time.Minute}, "1/250ms": {Limit: 1, Per: 250 * time.Millisecond}, "2/d": {Limit: 2, Per: 24 * time.Hour},
	} {
		var rate client.Rate
		require.NoError(t, rateFlag{&rate}.Set(text), text)
		require.Equal(t, want, rate, text)
	}
	for _, text := range []string{"", "100", "x/s", "0/s", "-1/s", "1/", "1/0s", "1/x"} {
		require.Error(t, rateFlag{&client.Rate{}}.Set(text), text)
	}
}
