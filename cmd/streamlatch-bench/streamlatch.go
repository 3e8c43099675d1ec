package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"time"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

const subscriptionName = "bench"

// streamlatch is ours: the real program, `streamlatch serve` or `streamlatch dev`, as a child process.
type streamlatch struct {
	process *redistest.Process
	port    *redistest.Port
	log     *os.File
	url     string
}

// streamlatchLauncher starts `streamlatch serve`, of the program at a path, on a real Redis.
func streamlatchLauncher(program string) launcher {
	return launcher{start: func(ctx context.Context, redis *redistest.Server) (Subject, error) {
		return startStreamlatch(ctx, program, "serve", "--redis", redis.URL(), "--allow-targets", "127.0.0.0/8")
	}}
}

// inletSecret signs what is sent to the inlet.
const inletSecret = "a secret of the benchmark"

// inletLauncher is streamlatchLauncher for a subject that takes webhooks of GitHub in place of events.
func inletLauncher(program string) launcher {
	return launcher{start: func(ctx context.Context, redis *redistest.Server) (Subject, error) {
		s, err := streamlatchLauncher(program).start(ctx, redis)
		if err != nil {
			return nil, err
		}
		inlet := inletSubject{s.(*streamlatch)}
		definition := map[string]any{"name": subscriptionName, "provider": "github", "secret": inletSecret}
		if err := call(ctx, http.MethodPost, inlet.url+"/v1/sources", definition, nil); err != nil {
			return nil, errors.Join(err, inlet.Close())
		}
		return inlet, nil
	}}
}

// inletSubject is ours with a source.
type inletSubject struct{ *streamlatch }

func (s inletSubject) EventsURL() string { return s.url + "/in/" + subscriptionName }

// devLauncher starts `streamlatch dev`, which has a miniredis of its own.
func devLauncher(program string) launcher {
	return launcher{embedded: true, start: func(ctx context.Context, _ *redistest.Server) (Subject, error) {
		return startStreamlatch(ctx, program, "dev")
	}}
}

// startStreamlatch starts the program and returns when /readyz says so.
func startStreamlatch(ctx context.Context, program string, args ...string) (Subject, error) {
	s := &streamlatch{}
	if err := s.start(ctx, program, args); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w; it said:\n%s", program, err, s.said()), s.Close())
	}
	return s, nil
}

func (s *streamlatch) start(ctx context.Context, program string, args []string) (err error) {
	if s.log, err = os.CreateTemp("", "streamlatch-bench-*.log"); err != nil {
		return err
	}
	if err := os.Remove(s.log.Name()); err != nil { // it stays open, and vanishes with this process
		return err
	}
	if s.port, err = redistest.ReservePort(); err != nil {
		return err
	}
	s.url = "http://" + s.port.Addr()
	cmd := exec.Command(program, append(args, "--listen", s.port.Addr())...)
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if s.process, err = redistest.Spawn(cmd); err != nil {
		return err
	}
	return until(ctx, func() (bool, error) {
		select {
		case <-s.process.Exited():
			return false, errors.New("it ended at once")
		default:
			return call(ctx, http.MethodGet, s.url+"/readyz", nil, nil) == nil, nil
		}
	})
}

// said is the end of what the program has printed.
func (s *streamlatch) said() string {
	if s.log == nil {
		return ""
	}
	const most = 2000
	info, err := s.log.Stat()
	if err != nil {
		return ""
	}
	text, _ := io.ReadAll(io.NewSectionReader(s.log, max(0, info.Size()-most), most))
	return string(text)
}

func (s *streamlatch) EventsURL() string { return s.url + eventsPath }

func (s *streamlatch) PID() int { return s.process.PID() }

func (s *streamlatch) Subscribe(ctx context.Context, target string, inFlight int) error {
	type object = map[string]any
	return call(ctx, http.MethodPost, s.url+"/v1/subscriptions", object{
		"name":     subscriptionName,
		"filter":   object{"types": []string{"bench.*"}},
		"sink":     object{"kind": "webhook", "url": target, "timeout": "60s"},
		"delivery": object{"max_in_flight": inFlight},
	}, nil)
}

func (s *streamlatch) Backlog(ctx context.Context) (int, error) {
	var subscription struct {
		Status struct {
			Backlog int `json:"backlog"`
		} `json:"status"`
	}
	err := call(ctx, http.MethodGet, s.url+"/v1/subscriptions/"+subscriptionName, nil, &subscription)
	return subscription.Status.Backlog, err
}

func (s *streamlatch) Close() error {
	var errs []error
	if s.process != nil {
		errs = append(errs, s.process.Kill())
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(append(errs, s.port.Release())...)
}

// until asks every few milliseconds until the answer is yes, there is an error, or the context ends.
func until(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
