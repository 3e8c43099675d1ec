package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// eventually waits for a condition.
func eventually(t testing.TB, done func() bool) {
	t.Helper()
	require.Eventually(t, done, patience, 5*time.Millisecond)
}

func TestAStartedServerAnswersAndIsEmpty(t *testing.T) {
	s := Start(t)
	client := Client(t, s.Addr())
	n, err := client.DBSize(t.Context()).Result()
	require.NoError(t, err)
	require.Zero(t, n)
	require.Equal(t, "redis://"+s.Addr(), s.URL())
	require.Empty(t, s.Socket())
}

func TestAServerListensOnASocketAsWell(t *testing.T) {
	s := Start(t, Socket())
	require.NoError(t, Client(t, s.Addr()).Set(t.Context(), "k", "v", 0).Err())
	v, err := Client(t, s.Socket()).Get(t.Context(), "k").Result()
	require.NoError(t, err)
	require.Equal(t, "v", v)
}

func TestAServerListensOnASocketOnly(t *testing.T) {
	s := Start(t, SocketOnly())
	require.Equal(t, s.Socket(), s.Addr())
	require.Equal(t, "unix://"+s.Socket(), s.URL())
	require.NoError(t, Client(t, s.Addr()).Ping(t.Context()).Err())
}

func TestAfterAKillAndARestart(t *testing.T) {
	for name, c := range map[string]struct {
		opts []Option
		want int64
	}{
		"nothing is there without an AOF":    {want: 0},
		"everything is there with an AOF":    {opts: []Option{AOF(Always)}, want: 1},
		"the page cache survives a kill too": {opts: []Option{AOF(EverySecond)}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Start(t, c.opts...)
			addr := s.Addr()
			client := Client(t, addr)
			require.NoError(t, client.Set(t.Context(), "k", "v", 0).Err())

			require.NoError(t, s.Kill())
			require.Zero(t, s.PID())
			require.Error(t, client.Ping(t.Context()).Err())
			require.NoError(t, s.Restart())

			require.Equal(t, addr, s.Addr())
			n, err := Client(t, addr).Exists(t.Context(), "k").Result()
			require.NoError(t, err)
			require.Equal(t, c.want, n)
		})
	}
}

func TestRestartStopsAServerThatRunsOrIsPaused(t *testing.T) {
	s := Start(t, AOF(EverySecond))
	before := s.PID()
	require.NoError(t, s.Pause())
	require.NoError(t, s.Restart())
	require.NotEqual(t, before, s.PID())
	require.NoError(t, Client(t, s.Addr()).Ping(t.Context()).Err())
}

func TestFilesInADirectoryOfTheCallersOutliveTheServer(t *testing.T) {
	dir := t.TempDir()
	first, err := Launch(Dir(dir), AOF(Always))
	require.NoError(t, err)
	require.NoError(t, Client(t, first.Addr()).Set(t.Context(), "k", "v", 0).Err())
	require.NoError(t, first.Close())

	second := Start(t, Dir(dir), AOF(Always))
	v, err := Client(t, second.Addr()).Get(t.Context(), "k").Result()
	require.NoError(t, err)
	require.Equal(t, "v", v)
}

func TestCloseRemovesTheDirectoryAndForbidsARestart(t *testing.T) {
	s, err := Launch()
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close())
	require.NoDirExists(t, s.dir)
	require.ErrorContains(t, s.Restart(), "closed")
}

func TestAPausedServerKeepsItsConnectionsAndAnswersLater(t *testing.T) {
	s := Start(t)
	client := Client(t, s.Addr())
	require.NoError(t, client.Ping(t.Context()).Err())
	require.NoError(t, s.Pause())

	answered := make(chan error, 1)
	go func() { answered <- client.Ping(context.Background()).Err() }()
	paused, err := stopped(s.PID())
	require.NoError(t, err)
	require.True(t, paused)
	require.Empty(t, answered)

	require.NoError(t, s.Resume())
	require.NoError(t, <-answered)
}

func TestAFullServerRefusesWritesUnderNoeviction(t *testing.T) {
	s := Start(t, MaxMemory(1, "noeviction"))
	err := Client(t, s.Addr()).Set(t.Context(), "k", "v", 0).Err()
	require.ErrorContains(t, err, "OOM")
}

func TestArgumentsReachTheServer(t *testing.T) {
	s := Start(t, Args("--databases", "3"))
	v, err := Client(t, s.Addr()).ConfigGet(t.Context(), "databases").Result()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"databases": "3"}, v)
}

func TestAServerThatExitsAtOnceSaysWhy(t *testing.T) {
	_, err := Launch(Args("--appendfsync", "whenever"))
	require.ErrorContains(t, err, "exited at once")
	require.ErrorContains(t, err, "whenever")
	require.ErrorContains(t, err, "must be one of")
}

func TestAMissingOrOldServerFailsTheTestWithOneLineOfAdvice(t *testing.T) {
	for name, c := range map[string]struct{ program, want string }{
		"missing":    {want: "none is in PATH"},
		"old":        {program: "echo Redis server v=6.2.14 sha=0", want: "is 6.2.14"},
		"mysterious": {program: "echo hello", want: "does not tell its version"},
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			if c.program != "" {
				script := "#!/bin/sh\n" + c.program + "\n"
				require.NoError(t, os.WriteFile(filepath.Join(bin, "redis-server"), []byte(script), 0o755))
			}
			t.Setenv("PATH", bin)
			said := fatal(t, func(t testing.TB) { Start(t) })
			require.Contains(t, said, c.want)
			require.Contains(t, said, "install")
			require.NotContains(t, said, "\n")
		})
	}
}

func TestANewerServerIsAccepted(t *testing.T) {
	bin := t.TempDir()
	script := "#!/bin/sh\necho Redis server v=10.0.1 sha=0\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "redis-server"), []byte(script), 0o755))
	t.Setenv("PATH", bin)
	program, err := findProgram()
	require.NoError(t, err)
	require.Equal(t, filepath.Join(bin, "redis-server"), program)
}

// fatalRecorder is a testing.TB that keeps what a test says with Fatal.
type fatalRecorder struct {
	testing.TB
	said string
}

func (r *fatalRecorder) Fatal(args ...any) {
	r.said = fmt.Sprint(args...)
	runtime.Goexit()
}

// fatal runs a helper that is expected to end its test, and returns what it said.
func fatal(t *testing.T, helper func(testing.TB)) string {
	r := &fatalRecorder{TB: t}
	returned := make(chan bool, 1)
	go func() {
		done := false
		defer func() { returned <- done }()
		helper(r)
		done = true
	}()
	require.False(t, <-returned, "it did not end the test")
	return r.said
}

// parentOfAServer makes the test below, in a process of its own, start a server and wait to be killed.
const parentOfAServer = "REDISTEST_PARENT_OF_A_SERVER"

func TestAServerDiesWithAParentThatIsKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can tie a child to its parent")
	}
	if os.Getenv(parentOfAServer) != "" {
		s, err := Launch(unlinkDir())
		require.NoError(t, err)
		fmt.Fprintln(os.Stdout, "addr", s.Addr())
		select {}
	}
	parent := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	parent.Env = append(os.Environ(), parentOfAServer+"=1")
	out, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	addr := ""
	for lines := bufio.NewScanner(out); addr == "" && lines.Scan(); {
		addr, _ = strings.CutPrefix(lines.Text(), "addr ")
	}
	require.NoError(t, ping(t.Context(), addr))

	require.NoError(t, parent.Process.Kill())
	require.Error(t, parent.Wait())
	eventually(t, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
}

func TestReservedPortsAreDistinctAndBelowThoseOfOutgoingConnections(t *testing.T) {
	seen := map[int]bool{}
	for range 50 {
		p, err := reservePort(true)
		require.NoError(t, err)
		defer func() { require.NoError(t, p.Release()) }()
		require.False(t, seen[p.number] || seen[p.number+busOffset])
		require.Less(t, p.number+busOffset, 32768)
		seen[p.number], seen[p.number+busOffset] = true, true
	}
}

func TestAReleasedPortIsFree(t *testing.T) {
	p, err := ReservePort()
	require.NoError(t, err)
	_, err = net.ListenPacket("udp4", p.Addr())
	require.Error(t, err, "it is marked")
	require.NoError(t, p.Release())
	require.NoError(t, p.Release())
	mark, err := net.ListenPacket("udp4", p.Addr())
	require.NoError(t, err)
	require.NoError(t, mark.Close())
}

func TestAnyProgramCanBeAChild(t *testing.T) {
	p, err := Spawn(exec.Command("sleep", "60"))
	require.NoError(t, err)
	require.NoError(t, p.Pause())
	require.NoError(t, p.Resume())
	require.NoError(t, p.Stop())
	require.False(t, p.State().Success())
	require.ErrorIs(t, p.Resume(), os.ErrProcessDone)
	require.NoError(t, p.Kill(), "it is gone already")

	_, err = Spawn(exec.Command("/no/such/program"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestATransactionThatWasCutOffByACrashNeverComesBack(t *testing.T) {
	server := Start(t, AOF(Always))
	c := Client(t, server.Addr())
	require.NoError(t, c.Set(t.Context(), "a", "0", 0).Err())
	require.NoError(t, server.Kill())
	files, err := filepath.Glob(filepath.Join(server.dir, "appendonlydir", "*.incr.aof"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	file, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteString("*1\r\n$5\r\nMULTI\r\n*3\r\n$5\r\nRPUSH\r\n$4\r\nlist\r\n$1\r\nx\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r")
	require.NoError(t, errors.Join(err, file.Close()))

	require.NoError(t, server.Restart())
	require.Zero(t, c.LLen(t.Context(), "list").Val())
	_, err = c.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
		p.RPush(t.Context(), "list", "y")
		p.Set(t.Context(), "a", "1", 0)
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, server.Kill())
	require.NoError(t, server.Restart())
	require.Equal(t, []string{"y"}, c.LRange(t.Context(), "list", 0, -1).Val(), "and nothing of what was cut off")
	require.Equal(t, "1", c.Get(t.Context(), "a").Val())
}
