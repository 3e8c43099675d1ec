package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	figuresEvery  = 5 * time.Second  // what is read for metrics is at least this old before it is read again
	figuresShare  = 20               // of all time, reading takes one part in so many at most
	figuresStale  = time.Minute      // older figures are not shown
	figuresWait   = time.Second      // how long a scrape waits for fresh ones
	figuresWithin = 10 * time.Second // how long reading may take
)

// latest keeps what was read last, so that a scrape is answered in time whatever becomes of Redis, and Redis is not kept busy by scrapes. Safe for concurrent use.
type latest[T any] struct {
	what string // for the log
	read func(context.Context) (T, error)
	log  *slog.Logger
	wait time.Duration
	now  func() time.Time
	ctx  context.Context // ends when nothing is read any more

	mu      sync.Mutex
	value   T
	at      time.Time // when it was read; zero: never
	next    time.Time // when it may be read again
	fresh   bool      // the last reading came to an end
	reading chan struct{}
}

// newLatest makes one that reads until ctx ends.
func newLatest[T any](ctx context.Context, log *slog.Logger, what string, read func(context.Context) (T, error)) *latest[T] {
	return &latest[T]{what: what, read: read, log: log, wait: figuresWait, now: time.Now, ctx: ctx}
}

// get returns what is known; ok is false where it is too old, and up where the last reading failed or has not come to an end in time.
func (l *latest[T]) get() (value T, up, ok bool) {
	done := l.begin()
	late := false
	if done != nil {
		timer := time.NewTimer(l.wait)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
			late = true
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.value, l.fresh && !late, !l.at.IsZero() && l.now().Sub(l.at) < figuresStale
}

// begin has it read anew if it is time, and returns what is closed when that is over; nil: it is not time.
func (l *latest[T]) begin() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.reading != nil || l.now().Before(l.next) || l.ctx.Err() != nil {
		return l.reading
	}
	done := make(chan struct{})
	l.reading = done
	go func() {
		began := l.now()
		ctx, cancel := context.WithTimeout(l.ctx, figuresWithin)
		defer cancel()
		value, err := l.read(ctx)
		if err != nil && l.ctx.Err() == nil {
			l.log.Warn("cannot read what metrics tell; it will be tried again", "what", l.what, "error", err)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.fresh = err == nil; l.fresh {
			l.value, l.at = value, l.now()
		}
		l.next = l.now().Add(max(figuresEvery, figuresShare*l.now().Sub(began)))
		l.reading = nil
		close(done)
	}()
	return done
}

// settle waits for a reading that is under way when ctx has ended.
func (l *latest[T]) settle() {
	l.mu.Lock()
	done := l.reading
	l.mu.Unlock()
	if done != nil {
		<-done
	}
}
