package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// fakeServer is a server that does as the test says.
type fakeServer struct {
	addr string
	run  func(context.Context) error
}

func (s fakeServer) Run(ctx context.Context) error { return s.run(ctx) }
func (s fakeServer) Addr() string                  { return s.addr }

// signalSelf sends a signal to this process. Whoever calls it must be sure that it is caught.
func signalSelf(t testing.TB, s syscall.Signal) {
	t.Helper()
	self, err := os.FindProcess(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, self.Signal(s))
}

func TestTheFirstSignalStopsInGoodOrderAndTheSecondAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		signals []syscall.Signal
		code    int // with which the process is ended at once; 0: not
	}{
		"SIGINT":             {[]syscall.Signal{syscall.SIGINT}, 0},
		"SIGTERM":            {[]syscall.Signal{syscall.SIGTERM}, 0},
		"SIGINT twice":       {[]syscall.Signal{syscall.SIGINT, syscall.SIGINT}, 130},
		"SIGTERM twice":      {[]syscall.Signal{syscall.SIGTERM, syscall.SIGTERM}, 143},
		"SIGTERM and SIGINT": {[]syscall.Signal{syscall.SIGTERM, syscall.SIGINT}, 130},
	} {
		t.Run(name, func(t *testing.T) {
			p, _, stderr := testProcess(aRedis)
			exited := make(chan int, 1)
			p.exit = func(code int) { exited <- code }
			p.start = func(context.Context, options) (server, error) {
				return fakeServer{"127.0.0.1:1", func(ctx context.Context) error {
					signalSelf(t, c.signals[0])
					<-ctx.Done()
					if len(c.signals) > 1 {
						signalSelf(t, c.signals[1])
						require.Equal(t, c.code, <-exited)
					}
					return nil
				}}, nil
			}
			require.Equal(t, exitDone, p.run(t.Context(), []string{"serve"}), stderr.String())
			require.Contains(t, stderr.String(), "msg=listening address=127.0.0.1:1")
			require.Contains(t, stderr.String(), "there are no API keys")
		})
	}
}

func TestACommandThatASignalCutsOffHasItsExitCode(t *testing.T) {
	for s, code := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143} {
		url := startAPI(t, &memory{}, nil)
		p, stdout, stderr := testProcess(serverVariable + "=" + url)
		p.stdin = readerFunc(func([]byte) (int, error) {
			signalSelf(t, s)
			<-t.Context().Done()
			return 0, io.EOF
		})
		require.Equal(t, code, p.run(t.Context(), []string{"publish", "-"}))
		require.Equal(t, "0 sent, 0 duplicates, 0 refused\n", stdout.String())
		require.Empty(t, stderr.String())
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestTailAndListenEndInGoodOrder(t *testing.T) {
	url := startAPI(t, &memory{}, nil)
	for _, args := range [][]string{{"tail"}, {"listen", "--listen", "127.0.0.1:0"}} {
		p, _, stderr := testProcess(serverVariable + "=" + url)
		var once sync.Once
		p.stderr = writerFunc(func(b []byte) (int, error) {
			once.Do(func() { signalSelf(t, syscall.SIGINT) }) // listen has said where it listens
			return stderr.Write(b)
		})
		if args[0] == "tail" {
			ctx, cancel := context.WithCancelCause(t.Context())
			cancel(errInterrupted)
			require.Equal(t, exitDone, p.run(ctx, args))
			continue
		}
		require.Equal(t, exitDone, p.run(t.Context(), args))
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestAServerThatFailsIsAFailure(t *testing.T) {
	_, stderr, code := runCommand(t, []string{aRedis}, "serve")
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "streamlatch: "+errNoServer.Error())

	p, _, out := testProcess()
	p.start = func(context.Context, options) (server, error) {
		return fakeServer{"127.0.0.1:1", func(context.Context) error { return errors.New("the port is gone") }}, nil
	}
	require.Equal(t, exitFailure, p.run(t.Context(), []string{"dev"}))
	require.Contains(t, out.String(), "streamlatch: the port is gone")
}
