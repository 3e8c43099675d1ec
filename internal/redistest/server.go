package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// Server is a real redis-server, a child of this process. Its methods are safe for concurrent use.
type Server struct {
	program string
	dir     string
	config  config
	port    *Port
	log     *os.File

	mu      sync.Mutex
	process *Process // nil: not running
	closed  bool
}

// Start starts a server for a test and ends it with the test. It fails the test where redis-server 7.0 or newer is missing.
func Start(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := Launch(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close redis-server: %v", err)
		}
	})
	return s
}

// Launch starts a server and returns when it answers. The caller closes it; it ends with this process in any case. It
// keeps nothing on disk, unless options say otherwise.
func Launch(opts ...Option) (*Server, error) {
	program, err := findProgram()
	if err != nil {
		return nil, err
	}
	s := &Server{program: program}
	for _, opt := range opts {
		opt(&s.config)
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("start redis-server: %w", err), s.Close())
	}
	return s, nil
}

func (s *Server) open() (err error) {
	if s.log, err = logFile(); err != nil {
		return err
	}
	if s.dir = s.config.dir; s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "redistest-"); err != nil {
			return err
		}
	}
	if !s.config.noTCP {
		if s.port, err = reservePort(s.config.bus); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.start(); err != nil {
		return err
	}
	if s.config.unlink {
		return os.RemoveAll(s.dir)
	}
	return nil
}

// start starts the program and waits until it answers PING. The caller holds the lock.
func (s *Server) start() error {
	if err := s.repair(); err != nil {
		return err
	}
	cmd := exec.Command(s.program, s.config.commandLine(s.dir, s.port)...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	p, err := Spawn(cmd)
	if err != nil {
		return err
	}
	if err := s.answers(p); err != nil {
		return errors.Join(fmt.Errorf("%w; its log ends:\n%s", err, tail(s.log, 1024)), p.Kill())
	}
	s.process = p
	return nil
}

// repair cuts a transaction of which only the beginning was written off the append-only file, as docs/operations.md asks for after a crash. Redis itself (7.0.15;
// valkey-io/valkey#4342) cuts off its last command only, leaves the others there, and carries them out with the next transaction when it is started once more.
// The program is redis-check-aof, too, where it is called so.
func (s *Server) repair() error {
	manifests, err := filepath.Glob(filepath.Join(s.dir, "appendonlydir", "*.manifest"))
	if err != nil {
		return err
	}
	for _, manifest := range manifests {
		cmd := exec.Command(s.program, "--fix", manifest)
		cmd.Args[0] = "redis-check-aof"
		cmd.Stdin = strings.NewReader("y\n")
		if said, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("redis-check-aof: %w: %s", err, said)
		}
	}
	return nil
}

// answers waits until the server answers PING; a server that loads its data or exits does not.
func (s *Server) answers(p *Process) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), patience,
		fmt.Errorf("no answer to PING within %v", patience))
	defer cancel()
	ctx, gone := context.WithCancelCause(ctx)
	defer gone(nil)
	go func() {
		select {
		case <-p.exited:
			gone(errors.New("redis-server exited at once"))
		case <-ctx.Done():
		}
	}()
	return poll(ctx, func(ctx context.Context) (bool, error) {
		err := ping(ctx, s.Addr())
		return err == nil, err
	})
}

// ping asks a server for an answer, without a client library, which would log each failure. To be refused for want of a
// password is an answer, to hear that the server is loading its data is not.
func ping(ctx context.Context, addr string) error {
	conn, err := new(net.Dialer).DialContext(ctx, network(addr), addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH") {
		return nil
	}
	return fmt.Errorf("PING is answered with %q", line)
}

// Addr returns where the server listens: "127.0.0.1:port", or a socket's path with SocketOnly. It stays the same over restarts.
func (s *Server) Addr() string {
	if s.port == nil {
		return socketPath(s.dir)
	}
	return s.port.Addr()
}

// Socket returns the path of the server's unix socket, or "" where it has none.
func (s *Server) Socket() string {
	if !s.config.socket {
		return ""
	}
	return socketPath(s.dir)
}

// URL returns the address as a Redis URL.
func (s *Server) URL() string {
	if s.port == nil {
		return "unix://" + socketPath(s.dir)
	}
	return "redis://" + s.Addr()
}

// PID returns the process id, 0 while the server is not running.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return 0
	}
	return s.process.PID()
}

// Log returns the end of what the server has printed.
func (s *Server) Log() string { return tail(s.log, 64<<10) }

// Kill ends the server at once, as a crash does (SIGKILL), and returns when it is gone.
func (s *Server) Kill() error { return s.end((*Process).Kill) }

// Stop ends the server cleanly: it writes its append-only file to the end (SIGTERM).
func (s *Server) Stop() error { return s.end((*Process).Stop) }

func (s *Server) end(end func(*Process) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	err := end(s.process)
	s.process = nil
	return err
}

// Restart starts the server again, on the same address and data, and returns when it answers. One that still runs is
// stopped cleanly first.
func (s *Server) Restart() error {
	if err := s.Stop(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errors.New("restart redis-server: it has been closed")
	}
	if s.process != nil {
		return nil
	}
	if err := s.start(); err != nil {
		return fmt.Errorf("restart redis-server: %w", err)
	}
	return nil
}

// Pause makes the server stand still with its connections open (SIGSTOP), and returns when it does.
func (s *Server) Pause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return os.ErrProcessDone
	}
	return s.process.Pause()
}

// Resume lets a paused server go on (SIGCONT).
func (s *Server) Resume() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return os.ErrProcessDone
	}
	return s.process.Resume()
}

// Close ends the server at once and removes its temporary files. It may be called again.
func (s *Server) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		return nil
	}
	errs := []error{s.Kill(), s.port.Release()}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	if s.config.dir == "" && s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// versionText is what redis-server --version prints: "Redis server v=7.0.15 sha=…".
var versionText = regexp.MustCompile(`v=((\d+)\.\d+\.\d+)`)

// findProgram returns the path of a redis-server that is new enough.
func findProgram() (string, error) {
	const advice = "; install it with the system's package manager (Debian: apt-get install redis-server), as make test does"
	program, err := exec.LookPath("redis-server")
	if err != nil {
		return "", errors.New("redis-server 7.0 or newer is needed and none is in PATH" + advice)
	}
	out, err := exec.Command(program, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask redis-server for its version: %w", err)
	}
	version := versionText.FindSubmatch(out)
	if version == nil {
		return "", fmt.Errorf("redis-server 7.0 or newer is needed and %s does not tell its version%s", program, advice)
	}
	if len(version[2]) == 1 && version[2][0] < '7' {
		return "", fmt.Errorf("redis-server 7.0 or newer is needed and %s is %s%s", program, version[1], advice)
	}
	return program, nil
}
