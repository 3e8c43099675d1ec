package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/streamlatch/streamlatch/internal/scenario"
	"github.com/streamlatch/streamlatch/internal/yamljson"
	"github.com/streamlatch/streamlatch/redisstore"
)

// embeddedRedis is what --redis stands for without a URL.
const embeddedRedis = "embedded"

func (p *process) testCommand() *cobra.Command {
	var redis string
	cmd := &cobra.Command{
		Use: "test FILE…", Short: "Run scenarios of triggers: events at given times, and what has to fire", Args: cobra.MinimumNArgs(1),
		Long: `Run scenarios of triggers: events at given times, and what has to fire. It needs no server. A file, in YAML or JSON, holds one scenario, or
several under "scenarios"; folders stand for the files in them. The exit code is 1 where one fails.

Scenarios run against the reference model; with --redis against the scripts too, on an embedded Redis or the one at a URL, in a namespace of
its own (slt-…) that is removed in the end; a run that is killed leaves it.`,
		Example: "  streamlatch test triggers/ --redis",
	}
	cmd.Flags().StringVar(&redis, "redis", "", "run them against the scripts too, on this Redis")
	cmd.Flags().Lookup("redis").NoOptDefVal = embeddedRedis
	var format outputFormat
	addOutputFlag(cmd, &format)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		scenarios, err := p.readScenarios(args)
		if err != nil {
			return usageError{err}
		}
		runner, err := newScenarioRunner(cmd.Context(), redis)
		if err != nil {
			return err
		}
		defer runner.close()
		return p.runScenarios(cmd.Context(), scenarios, runner, format)
	}
	return cmd
}

// fileScenario is a scenario and where it stands.
type fileScenario struct {
	scenario.Scenario
	file string
}

func (p *process) readScenarios(paths []string) (all []fileScenario, err error) {
	files, err := definitionFiles(paths)
	if err != nil {
		return nil, err
	}
	var faults []error
	for _, file := range files {
		list, err := p.readScenarioFile(file)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", file, err))
		}
		for _, s := range list {
			all = append(all, fileScenario{s, file})
		}
	}
	return all, errors.Join(faults...)
}

func (p *process) readScenarioFile(file string) (list []scenario.Scenario, err error) {
	var text []byte
	if file == "-" {
		text, err = io.ReadAll(p.stdin)
	} else {
		text, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, fmt.Errorf("read scenarios: %w", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		text, err := yamljson.Append(nil, document.Content[0], nil)
		if err != nil {
			return nil, err
		}
		some, err := scenario.Parse(text)
		if err != nil {
			return nil, err
		}
		list = append(list, some...)
	}
}

// scenarioResult is how a scenario went.
type scenarioResult struct {
	File        string   `json:"file"`
	Name        string   `json:"name"`
	On          string   `json:"on"` // "model" or "redis"
	Passed      bool     `json:"passed"`
	Differences []string `json:"differences,omitempty"`
}

func (p *process) runScenarios(ctx context.Context, scenarios []fileScenario, runner *scenarioRunner, format outputFormat) error {
	var results []scenarioResult
	failed := 0
	for _, s := range scenarios {
		some, err := runner.run(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", s.file, s.Name, err)
		}
		for _, r := range some {
			if !r.Passed {
				failed++
			}
			if format != jsonOutput {
				if err := write(p.stdout, r.text()); err != nil {
					return err
				}
			}
		}
		results = append(results, some...)
	}
	if format == jsonOutput {
		if err := writeJSON(p.stdout, map[string]any{"results": results, "failed": failed}); err != nil {
			return err
		}
	} else if err := write(p.stdout, fmt.Sprintf("%d passed, %d failed\n", len(results)-failed, failed)); err != nil {
		return err
	}
	if failed > 0 {
		return exitError{exitFailure}
	}
	return nil
}

func (r scenarioResult) text() string {
	word := "ok  "
	if !r.Passed {
		word = "FAIL"
	}
	line := fmt.Sprintf("%s  %s: %s (%s)\n", word, plain(r.File), plain(r.Name), r.On)
	for _, d := range r.Differences {
		line += "        " + plain(d) + "\n"
	}
	return line
}

// scenarioRunner runs scenarios against the model, and on a Redis if there is one.
type scenarioRunner struct {
	url      string
	embedded *miniredis.Miniredis
}

func newScenarioRunner(ctx context.Context, redis string) (*scenarioRunner, error) {
	r := &scenarioRunner{url: redis}
	if strings.Contains(redis, "+cluster:") { // whose keys are not found by one node
		return nil, usagef("--redis takes a single server, or what Sentinels watch; not a Cluster")
	}
	if redis != embeddedRedis {
		return r, nil
	}
	r.embedded = miniredis.NewMiniRedis()
	if err := r.embedded.StartAddr("127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the embedded Redis: %w", err)
	}
	r.url = "redis://" + r.embedded.Addr()
	return r, ctx.Err()
}

func (r *scenarioRunner) close() {
	if r.embedded != nil {
		r.embedded.Close()
	}
}

func (r *scenarioRunner) run(ctx context.Context, s fileScenario) ([]scenarioResult, error) {
	got, err := s.RunModel()
	if err != nil {
		return nil, err
	}
	results := []scenarioResult{s.result("model", got)}
	if r.url == "" {
		return results, nil
	}
	got, err = r.runOnRedis(ctx, s.Scenario)
	return append(results, s.result("redis", got)), err
}

func (s fileScenario) result(on string, got scenario.Result) scenarioResult {
	differences := s.Differences(got)
	return scenarioResult{File: s.file, Name: s.Name, On: on, Passed: len(differences) == 0, Differences: differences}
}

// runOnRedis runs a scenario in a namespace of its own, an hour ahead.
func (r *scenarioRunner) runOnRedis(ctx context.Context, s scenario.Scenario) (got scenario.Result, err error) {
	store, err := redisstore.Open(ctx, redisstore.Config{URL: r.url, Namespace: "slt-" + strings.ToLower(rand.Text()), Partitions: 1})
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, store.Erase(context.WithoutCancel(ctx)), store.Close()) }()
	return s.RunStore(ctx, store, time.Now().Add(time.Hour).Truncate(time.Millisecond))
}
