package redistest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// Process is a child that dies with this process, whichever program it runs. Its methods are safe for concurrent use.
type Process struct {
	cmd    *exec.Cmd
	pid    int
	exited chan struct{} // closed when the child has been waited for
}

// Spawn starts a command. The caller ends it with Stop or Kill; the kernel kills it when this process dies.
func Spawn(cmd *exec.Cmd) (*Process, error) {
	cmd.SysProcAttr = childAttributes()
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go p.supervise(started)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// supervise keeps its thread for as long as the child lives, since the kernel kills the child when the thread that
// started it ends, and the Go runtime ends threads at will.
func (p *Process) supervise(started chan<- error) {
	runtime.LockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	p.pid = p.cmd.Process.Pid
	started <- nil
	_ = p.cmd.Wait() // State has it
	close(p.exited)
}

// PID returns the process id.
func (p *Process) PID() int { return p.pid }

// Exited returns a channel that is closed when the process has ended.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// State waits for the end of the process and returns how it ended and what it used.
func (p *Process) State() *os.ProcessState {
	<-p.exited
	return p.cmd.ProcessState
}

// Kill ends the process and its children at once (SIGKILL), and returns when it is gone.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

// Stop asks the process to end (SIGTERM), and returns when it has. One that takes longer than half a minute is killed.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

// Pause makes the process stand still (SIGSTOP), and returns when it does.
func (p *Process) Pause() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return poll(ctx, func(context.Context) (bool, error) { return stopped(p.pid) })
}

// Resume lets a paused process go on (SIGCONT).
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// Signal sends a signal to the process and its children (Redis forks to rewrite its files). The error is os.ErrProcessDone
// where it has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	select {
	case <-p.exited:
		return os.ErrProcessDone
	default:
		return syscall.Kill(-p.pid, sig)
	}
}

func (p *Process) end(sig syscall.Signal) error {
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	if sig != syscall.SIGKILL {
		_ = p.Resume() // a paused child hears nothing else
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(patience):
	}
	if sig == syscall.SIGKILL {
		return fmt.Errorf("process %d is still there %v after SIGKILL", p.pid, patience)
	}
	return p.end(syscall.SIGKILL)
}

// patience is how long anything about a child may take on a busy machine before it counts as failed.
const patience = 30 * time.Second

// poll asks every few milliseconds until the answer is yes. Where the context ends first, the error holds the last
// reason for a no.
func poll(ctx context.Context, done func(context.Context) (bool, error)) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done(ctx)
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

// logFile is a file without a name, which vanishes with the process, however it ends.
func logFile() (*os.File, error) {
	f, err := os.CreateTemp("", "redistest-*.log")
	if err != nil {
		return nil, err
	}
	return f, os.Remove(f.Name())
}

// tail returns the last bytes of a file.
func tail(f *os.File, n int64) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	b, _ := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-n), n))
	return string(b)
}
