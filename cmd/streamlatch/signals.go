package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// errInterrupted is the cause of a context that a signal ended.
var errInterrupted = errors.New("interrupted")

// caughtSignals are the signals that this process was sent.
type caughtSignals struct {
	first atomic.Int32
	stop  func()
}

// code is the exit code for the first signal, as shells have it; 0: there was none.
func (c *caughtSignals) code() int {
	if n := c.first.Load(); n != 0 {
		return 128 + int(n)
	}
	return 0
}

// withSignals ends the context at the first SIGINT or SIGTERM, with errInterrupted as its cause, and the process at the second.
func (p *process) withSignals(parent context.Context) (context.Context, *caughtSignals) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	caught := &caughtSignals{stop: func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}}
	go func() {
		for {
			select {
			case s := <-signals:
				p.interrupt(caught, s, cancel)
			case <-done:
				return
			}
		}
	}()
	return ctx, caught
}

func (p *process) interrupt(caught *caughtSignals, s os.Signal, cancel context.CancelCauseFunc) {
	number := int32(syscall.SIGINT)
	if s == syscall.SIGTERM {
		number = int32(syscall.SIGTERM)
	}
	if caught.first.CompareAndSwap(0, number) {
		cancel(errInterrupted)
		return
	}
	fmt.Fprintln(p.stderr, "streamlatch: ended at once by a second signal")
	p.exit(128 + int(number))
}
