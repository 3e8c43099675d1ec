package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/router"
)

// lines makes events in NDJSON.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(`{"id":"` + strconv.Itoa(i) + `","type":"t"}` + "\n")
	}
	return b.String()
}

func TestPublishKeepsToTheRate(t *testing.T) {
	url := startAPI(t, &memory{}, nil)
	p, stdout, _ := testProcess(serverVariable + "=" + url)
	now, waited := began, time.Duration(0)
	p.now = func() time.Time { return now }
	p.pause = func(_ context.Context, d time.Duration) error {
		now, waited = now.Add(d), waited+d
		return nil
	}
	p.stdin = strings.NewReader(lines(50))
	require.Equal(t, exitDone, p.run(t.Context(), []string{"publish", "--rate", "100", "-"}))
	require.Equal(t, "50 sent, 0 duplicates, 0 refused\n", stdout.String())
	require.InDelta(t, 0.5, waited.Seconds(), 0.1) // of 50 events the last ones go after 0.4 to 0.5 s
}

func TestARateIsEvenAlsoWhereItIsLow(t *testing.T) {
	for rate, want := range map[float64]int{0: 100, 0.5: 1, 15: 1, 100: 10, 10_000: 100} {
		p := pace{rate: rate}
		require.Equal(t, want, p.most(100), rate)
	}
}

func TestPublishSendsWhatIsThereWithoutWaitingForMore(t *testing.T) {
	m := &memory{}
	url := startAPI(t, m, nil)
	p, stdout, stderr := testProcess(serverVariable + "=" + url)
	reader, writer := io.Pipe()
	p.stdin = reader
	ended := make(chan int, 1)
	go func() { ended <- p.run(context.Background(), []string{"publish", "--output", "json", "-"}) }()
	for _, id := range []string{"1", "2"} {
		_, err := io.WriteString(writer, `{"id":"`+id+`","type":"t"}`+"\n")
		require.NoError(t, err)
		stdout.await(t, `"id":"`+id+`"`)
	}
	require.NoError(t, writer.Close())
	require.Equal(t, exitDone, <-ended)
	require.Equal(t, "2 sent, 0 duplicates, 0 refused\n", stderr.String())
}

func TestPublishRepeatsWhatTheServerIsTooBusyFor(t *testing.T) {
	var mu sync.Mutex
	busy := 2
	m := &memory{fail: func(router.Event) error {
		mu.Lock()
		defer mu.Unlock()
		if busy--; busy >= 0 {
			return &router.Error{Code: router.Full, Message: "no room", RetryAfter: 3 * time.Second}
		}
		return nil
	}}
	url := startAPI(t, m, nil)
	p, stdout, stderr := testProcess(serverVariable + "=" + url)
	var waited []time.Duration
	p.pause = func(_ context.Context, d time.Duration) error { waited = append(waited, d); return nil }
	require.Equal(t, exitDone, p.run(t.Context(), []string{"publish", "--type", "t"}))
	require.Equal(t, []time.Duration{3 * time.Second, 3 * time.Second}, waited)
	require.Contains(t, stdout.String(), "published ")
	require.Equal(t, "streamlatch: 503 No room left: no room; trying again, for 30s of waiting at most\n", stderr.String())
	require.Len(t, m.records, 1)
}

func TestPublishSaysWhereItEndedWhenItGivesUp(t *testing.T) {
	m := &memory{fail: func(e router.Event) error {
		if e.ID() >= "3" {
			return router.Errorf(router.Unavailable, "Redis is not there")
		}
		return nil
	}}
	url := startAPI(t, m, nil)
	p, stdout, stderr := testProcess(serverVariable + "=" + url)
	p.stdin = strings.NewReader(lines(6))
	require.Equal(t, exitFailure, p.run(t.Context(), []string{"publish", "--batch", "2", "--ndjson", "-"}))
	require.Equal(t, "3 sent, 0 duplicates, 0 refused\n", stdout.String())
	require.Contains(t, stderr.String(), "ended at stdin:4: 503")
}

func TestABarIsShownToPeopleForLongInputs(t *testing.T) {
	url := startAPI(t, &memory{}, nil)
	folder := t.TempDir()
	long, brief := filepath.Join(folder, "long.json"), filepath.Join(folder, "short.json")
	require.NoError(t, os.WriteFile(long, []byte(lines(3)+strings.Repeat(" ", longInput)), 0o600))
	require.NoError(t, os.WriteFile(brief, []byte(lines(3)), 0o600))
	for name, c := range map[string]struct {
		args     []string
		terminal bool
		bar      bool
	}{
		"long":        {[]string{long}, true, true},
		"stdin":       {[]string{"-"}, true, true},
		"short":       {[]string{brief}, true, false},
		"quiet":       {[]string{long, "--quiet"}, true, false},
		"no terminal": {[]string{long}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, stderr := testProcess(serverVariable + "=" + url)
			p.terminal, p.stdin = c.terminal, strings.NewReader(lines(3))
			require.Equal(t, exitDone, p.run(t.Context(), append([]string{"publish"}, c.args...)))
			require.Equal(t, c.bar, strings.Contains(stderr.String(), "publishing"), stderr.String())
		})
	}
}

func TestAnInputThatCannotBeReadToItsEndIsAFailureAfterWhatCouldBe(t *testing.T) {
	url := startAPI(t, &memory{}, nil)
	for _, flag := range []string{"--ndjson", "--quiet"} {
		p, stdout, stderr := testProcess(serverVariable + "=" + url)
		p.stdin = io.MultiReader(strings.NewReader(lines(2)), readerFunc(func([]byte) (int, error) { return 0, errors.New("the disk is gone") }))
		require.Equal(t, exitFailure, p.run(t.Context(), []string{"publish", flag, "--source", "/" + flag[2:], "-"}))
		require.Equal(t, "2 sent, 0 duplicates, 0 refused\n", stdout.String())
		require.Contains(t, stderr.String(), "read stdin: ")
		require.Contains(t, stderr.String(), "the disk is gone")
	}
}

func TestBatchesStayBelowTheServersLimits(t *testing.T) {
	big, err := client.NewEvent(client.EventFields{Type: "t", Data: []byte(`"` + strings.Repeat("x", 1<<20) + `"`)})
	require.NoError(t, err)
	small, err := client.NewEvent(client.EventFields{Type: "t"})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		event client.Event
		want  []int
	}{
		"many": {small, []int{5, 5}},
		"big":  {big, []int{4, 4, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			inputs := make(chan input, 10)
			for range cap(inputs) {
				inputs <- input{event: c.event}
			}
			close(inputs)
			pub := &publication{batch: 5}
			var sizes []int
			for more := true; more; {
				var batch []input
				batch, more, err = pub.collect(t.Context(), inputs)
				require.NoError(t, err)
				if len(batch) > 0 {
					sizes = append(sizes, len(batch))
				}
			}
			require.Equal(t, c.want, sizes)
		})
	}
}

func FuzzEveryInputEndsAndIsReadAlike(f *testing.F) {
	for _, seed := range []string{"", "{}", "[{}]", `[{},{}] {} [`, "]", `{"a":1}{"a":2}`, "[[{}]]", "null", "[1,", "\xff", `{"id":"x"}` + "\n" + `{"id":"y"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, byLine := range []bool{false, true} {
			r := eventReader{lines: byLine, defaults: client.EventFields{ID: "new"}, open: func(string) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }}
			fatal := 0
			for in := range r.start(t.Context(), []string{"f"}) {
				require.True(t, in.err != nil || in.event.ID() != "" || strings.Contains(in.event.String(), `""`))
				if in.fatal {
					fatal++
				}
			}
			require.LessOrEqual(t, fatal, 1)
		}
	})
}
