package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := programDir(); err == nil {
		err = os.RemoveAll(dir)
		if err != nil {
			panic(err)
		}
	}
	os.Exit(code)
}

// programDir is where the program is built, once in a test process. TestMain removes it.
var programDir = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "streamlatch-test-") })

// buildProgram builds the program as `make build` does, so without the race detector, which would slow it down by far. It is built once for each version that
// it is to say it is; "" is what Go knows.
func buildProgram(version string) (string, error) {
	programs.Lock()
	defer programs.Unlock()
	if path, ok := programs.paths[version]; ok {
		return path, nil
	}
	dir, err := programDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "streamlatch"+version)
	cmd := exec.Command("go", "build", "-race=false", "-trimpath", "-ldflags", "-X main.version="+version, "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	programs.paths[version] = path
	return path, nil
}

var programs = struct {
	sync.Mutex
	paths map[string]string // by version
}{paths: map[string]string{}}

// program is the path of the program.
func program(t testing.TB, version string) string {
	t.Helper()
	path, err := buildProgram(version)
	require.NoError(t, err)
	return path
}

// command is a call of the program in an environment that has none of its variables.
func command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "STREAMLATCH_") })
	return cmd
}

// replica is `streamlatch serve` as a process of its own, which can be ended, paused and started again on the same address. Its methods are for
// one goroutine at a time.
type replica struct {
	name    string
	url     string
	program string
	flags   []string
	log     *os.File // what all its processes have printed
	process *redistest.Process
}

// startReplica starts a replica on a Redis and returns when it is ready. It ends with the test, which shows what it printed if it fails.
func startReplica(t testing.TB, name, redisURL string, flags ...string) *replica {
	t.Helper()
	return startVersion(t, "", name, redisURL, flags...)
}

// startVersion starts one that says it is a version, as it does in the user-agent of its webhooks.
func startVersion(t testing.TB, version, name, redisURL string, flags ...string) *replica {
	t.Helper()
	port, err := redistest.ReservePort()
	require.NoError(t, err)
	log, err := os.Create(filepath.Join(t.TempDir(), name+".log"))
	require.NoError(t, err)
	r := &replica{
		name: name, url: "http://" + port.Addr(), program: program(t, version), log: log,
		flags: append([]string{"serve", "--redis", redisURL, "--listen", port.Addr(), "--allow-targets", "127.0.0.0/8"}, flags...),
	}
	t.Cleanup(func() {
		require.NoError(t, r.kill())
		if t.Failed() {
			t.Logf("the end of what %s (%s) printed:\n%s", r.name, r.url, r.said())
		}
		require.NoError(t, log.Close())
		require.NoError(t, port.Release())
	})
	require.NoError(t, r.start(t.Context()))
	return r
}

// start starts the process and waits until it is ready.
func (r *replica) start(ctx context.Context) error {
	cmd := command(r.program, r.flags...)
	cmd.Stdout, cmd.Stderr = r.log, r.log
	var err error
	if r.process, err = redistest.Spawn(cmd); err != nil {
		return fmt.Errorf("start %s: %w", r.name, err)
	}
	return r.awaitReady(ctx)
}

// restart starts the process as a supervisor does: again where it ended at once, as it does while Redis is down.
func (r *replica) restart(ctx context.Context) error {
	return poll(ctx, patience, func(ctx context.Context) error { return r.start(ctx) })
}

// awaitReady waits until /readyz says so.
func (r *replica) awaitReady(ctx context.Context) error {
	return poll(ctx, patience, func(ctx context.Context) error {
		select {
		case <-r.process.Exited():
			return fatalError{fmt.Errorf("%s ended at once: %v; it printed:\n%s", r.name, r.process.State(), r.said())}
		default:
			return get(ctx, r.url+"/readyz")
		}
	})
}

func (r *replica) kill() error {
	if r.process == nil {
		return nil
	}
	return r.process.Kill()
}

// terminate sends a signal and waits for the end of the process. It returns its exit code and how long it took.
func (r *replica) terminate(sig syscall.Signal) (code int, took time.Duration, err error) {
	start := time.Now()
	if err := r.process.Signal(sig); err != nil {
		return 0, 0, fmt.Errorf("send %v to %s: %w", sig, r.name, err)
	}
	select {
	case <-r.process.Exited():
		return r.process.State().ExitCode(), time.Since(start), nil
	case <-time.After(patience):
		return 0, 0, fmt.Errorf("%s is still there %v after %v", r.name, patience, sig)
	}
}

// said is the end of what the replica has printed.
func (r *replica) said() string {
	const most = 4000
	info, err := r.log.Stat()
	if err != nil {
		return err.Error()
	}
	text, err := io.ReadAll(io.NewSectionReader(r.log, max(0, info.Size()-most), most))
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// get asks for a page and fails where the answer is not 200.
func get(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	res, err := direct.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, res.Status)
	}
	return nil
}

// direct makes requests without a proxy that the environment may name.
var direct = &http.Transport{MaxIdleConnsPerHost: 1024, IdleConnTimeout: time.Minute}

// patience is how long anything that is not to be measured may take on a busy machine before it counts as failed.
const patience = time.Minute

// fatalError ends a poll.
type fatalError struct{ error }

// poll asks every few milliseconds until there is no error any more. After the time it returns the last one.
func poll(ctx context.Context, within time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := ask(ctx)
		if fatal, ok := errors.AsType[fatalError](err); ok {
			return fatal.error
		}
		if err == nil {
			return nil
		}
		if !pause(ctx, 5*time.Millisecond) {
			return fmt.Errorf("within %v: %w", within, err)
		}
	}
}

// pause waits, and tells whether ctx is still good.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
