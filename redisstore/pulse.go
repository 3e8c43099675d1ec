package redisstore

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// pulse wakes all who wait for the next beat. Safe for concurrent use.
type pulse struct {
	mu   sync.Mutex
	next chan struct{}
}

// wait returns a channel that is closed at the next beat.
func (p *pulse) wait() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next == nil {
		p.next = make(chan struct{})
	}
	return p.next
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next != nil {
		close(p.next)
		p.next = nil
	}
}

// plainLook is how often a reader on miniredis looks for events that another process has appended.
const plainLook = 20 * time.Millisecond

// awaitPlain waits until there is something behind a position, at most that long. miniredis wakes a blocked reader at every command, and the
// reader then searches the stream from its beginning, which slows everything down; the last ID that append gave out is quick to read.
func (s *Store) awaitPlain(ctx context.Context, after router.Position, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for {
		grown := s.tails[after.Partition].grown.wait()
		last, err := s.reader.HMGet(ctx, s.keys[after.Partition].state(), "floor", "seq").Result()
		if err != nil {
			return unavailable(err, "look for new events")
		}
		if after.Compare(lastGiven(after.Partition, last)) < 0 || time.Now().After(deadline) {
			return nil
		}
		select {
		case <-grown:
		case <-time.After(plainLook):
		case <-ctx.Done():
			return nil
		}
	}
}

// lastGiven reads the fields floor and seq.
func lastGiven(partition int, fields []any) router.Position {
	p := router.Position{Partition: partition}
	ms, _ := fields[0].(string)
	seq, _ := fields[1].(string)
	p.MS = counter(ms)
	if n, err := strconv.ParseUint(seq, 10, 64); err == nil {
		p.Seq = n
	}
	return p
}
