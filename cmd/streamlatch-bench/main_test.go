package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// TestMain lets the test binary be what the benchmark starts: itself in a role, and the program to measure.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "role-") {
		os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
	}
	if len(os.Args) > 1 && (os.Args[1] == "serve" || os.Args[1] == "dev") {
		os.Exit(serveInstead(os.Args[1], os.Args[2:]))
	}
	// A process with the race detector sleeps for a second before it ends, and the roles end often.
	if err := os.Setenv("GORACE", os.Getenv("GORACE")+" atexit_sleep_ms=0"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// serveInstead plays `streamlatch serve` and `streamlatch dev` as far as the benchmark uses them, on top of the bare server.
func serveInstead(command string, args []string) int {
	f := flag.NewFlagSet(command, flag.ExitOnError)
	url := f.String("redis", "", "")
	listen := f.String("listen", "", "")
	targets := f.String("allow-targets", "", "")
	if f.Parse(args) != nil {
		return 2
	}
	if given := *url != "" && *targets == "127.0.0.0/8"; given != (command == "serve") {
		return 2
	}
	addr, stop, err := orEmbedded(strings.TrimPrefix(*url, "redis://"))
	if err != nil {
		return 1
	}
	defer stop()
	ctx := context.Background()
	b := &bare{ctx: ctx, client: redis.NewClient(redistest.Options(addr))}
	b.log = newCommitter(b.client, bareLog)
	go b.log.run(ctx)

	var relayed sync.Map // URLs of subscriptions
	e := echo.New()
	e.POST(eventsPath, b.accept)
	e.POST("/v1/sources", func(c echo.Context) error {
		e.POST("/in/"+subscriptionName, b.accept)
		return c.NoContent(http.StatusCreated)
	})
	e.GET("/readyz", func(c echo.Context) error { return c.NoContent(http.StatusOK) })
	e.POST("/v1/subscriptions", func(c echo.Context) error {
		var s struct {
			Sink     struct{ Kind, URL string }
			Delivery struct {
				MaxInFlight int `json:"max_in_flight"`
			}
		}
		if err := c.Bind(&s); err != nil || s.Sink.Kind != "webhook" {
			return echo.NewHTTPError(http.StatusUnprocessableEntity, "not such a subscription")
		}
		if _, known := relayed.LoadOrStore(s.Sink.URL, true); known || !strings.Contains(s.Sink.URL, hookPath) {
			return c.NoContent(http.StatusCreated) // it gets what it should get, or misbehaves
		}
		go newRelay(b.client, s.Sink.URL, max(s.Delivery.MaxInFlight, 4)).run(ctx)
		return c.NoContent(http.StatusCreated)
	})
	e.GET("/v1/subscriptions/"+subscriptionName, func(c echo.Context) error {
		n, err := b.client.XLen(ctx, bareLog).Result()
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, map[string]any{"status": map[string]any{"backlog": n}})
	})
	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return 1
	}
	_ = http.Serve(l, e)
	return 0
}

func TestTheWholeBenchmarkRunsOnBothSides(t *testing.T) {
	self, err := os.Executable()
	require.NoError(t, err)
	var out, progress bytes.Buffer
	status := run(t.Context(), []string{"-streamlatch", self, "-rounds", "1", "-scale", "0.002", "-patience", "0"}, &out, &progress)
	require.Contains(t, []int{0, 1}, status, "1 is a bound that is missed")
	require.NotContains(t, progress.String(), "ended without a result")

	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Regexp(t, `^figure +ours +reference +ratio +bound +ok +others$`, lines[0])
	figures := 0
	for _, e := range plan(self, 1) {
		figures += len(e.figures)
	}
	require.Len(t, lines, 1+figures)
	for _, line := range lines[1:] {
		require.Regexp(t, `  [\d,.]+ [^ ]+ +([\d,.]+ [^ ]+ +\d+\.\d\d|– +–) +([≤≥] \d\.\d\d +(yes|NO)|– +–) +\d+ %$`, line)
	}
}

func TestWrongUsageIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no rounds":          {[]string{"-rounds", "0"}, "-rounds is 0"},
		"no scale":           {[]string{"-scale", "NaN"}, "-scale is NaN"},
		"an argument":        {[]string{"fast"}, `unexpected argument "fast"`},
		"an unknown flag":    {[]string{"-fast"}, "-fast"},
		"a negative scaling": {[]string{"-scale", "-1"}, "must be above 0"},
		"no share":           {[]string{"-others", "-0.1"}, "-others is -0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			var said bytes.Buffer
			require.Equal(t, 2, run(t.Context(), c.args, io.Discard, &said))
			require.Contains(t, said.String(), c.want)
		})
	}
}

func TestAnUnknownExperimentIsRefused(t *testing.T) {
	var said bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"-only", "nothing"}, io.Discard, &said))
	require.Contains(t, said.String(), `contains "nothing"`)
}

func TestAProgramThatEndsAtOnceIsReportedWithWhatItSaid(t *testing.T) {
	program := t.TempDir() + "/streamlatch"
	require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\necho no such flag >&2\nexit 2\n"), 0o755))
	_, err := setStage(t.Context(), streamlatchLauncher(program), false)
	require.ErrorContains(t, err, "ended at once")
	require.ErrorContains(t, err, "no such flag")
}

func TestARoleThatFailsIsReported(t *testing.T) {
	_, _, err := finish[loadResult](t.Context(), "role-nothing")
	require.ErrorContains(t, err, "role-nothing ended without a result")
}

func TestWaitingForARoleEndsWithTheContext(t *testing.T) {
	c, err := startRole("role-sink")
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	var a address
	require.NoError(t, c.read(t.Context(), &a))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.read(ctx, &a), context.DeadlineExceeded)
}

func TestTheDocumentHasARowForEachFigure(t *testing.T) {
	text, err := os.ReadFile("../../docs/benchmarks.md")
	require.NoError(t, err)
	_, table, _ := strings.Cut(string(text), "| figure | ratio | bound |\n|---|---|---|\n")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	var figures []figure
	for _, e := range plan("streamlatch", 1) {
		figures = append(figures, e.figures...)
	}
	require.Len(t, rows, len(figures))
	for i, f := range figures {
		require.True(t, strings.HasPrefix(rows[i], "| "+f.name+" | ") && strings.HasSuffix(rows[i], " | "+f.boundText()+" |"), "%s, of which the document says %s", f.name, rows[i])
	}
}
