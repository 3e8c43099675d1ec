package redisstore

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// Append stores events; see router.Appender.
func (s *Store) Append(ctx context.Context, events []router.Event) []router.Appended {
	if s.memory.full.Load() {
		return failAll(len(events), &router.Error{Code: router.Full, Message: "Redis is nearly full", RetryAfter: 5 * time.Second})
	}
	if len(s.keys) == 1 {
		return s.committers[0].commit(ctx, events)
	}
	results := make([]router.Appended, len(events))
	var all sync.WaitGroup
	for p, indexes := range s.byPartition(events) {
		all.Go(func() {
			mine := make([]router.Event, len(indexes))
			for i, index := range indexes {
				mine[i] = events[index]
			}
			for i, result := range s.committers[p].commit(ctx, mine) {
				results[indexes[i]] = result
			}
		})
	}
	all.Wait()
	return results
}

func (s *Store) byPartition(events []router.Event) map[int][]int {
	parts := make(map[int][]int)
	for i, e := range events {
		p := e.Partition(len(s.keys))
		parts[p] = append(parts[p], i)
	}
	return parts
}

func failAll(n int, err error) []router.Appended {
	results := make([]router.Appended, n)
	for i := range results {
		results[i].Err = err
	}
	return results
}

// item is one event on its way into the log.
type item struct {
	event                 router.Event // not the caller's variable: who gives up may use that for something else
	identity, fingerprint string
	size                  int // of the event, encoded
}

// newItems makes items of a caller's events. Their identities and fingerprints are parts of one string.
func newItems(events []router.Event) []item {
	var text strings.Builder
	text.Grow(len(events) * (identityBytes + fingerprintBytes))
	for i := range events {
		identity, fingerprint := events[i].DedupeKey(), events[i].Fingerprint()
		text.Write(identity[:])
		text.Write(fingerprint[:])
	}
	items, rest := make([]item, len(events)), text.String()
	for i := range items {
		it := &items[i]
		it.event, it.size = events[i], events[i].EncodedLen()
		it.identity, rest = rest[:identityBytes], rest[identityBytes:]
		it.fingerprint, rest = rest[:fingerprintBytes], rest[fingerprintBytes:]
	}
	return items
}
