package main

import (
	"context"
	"flag"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

const (
	backlogStream = "bare:backlog" // what the bare router reads
	routedStream  = "bare:routed"  // and what it writes
	routeCount    = 1000           // entries in one read and one pipeline
)

// runRoute is the role "role-route": it moves a backlog from one stream to another with a bare go-redis loop, XREAD and
// then a pipeline of XADDs, prints when it began and ended, and ends.
func runRoute(ctx context.Context, args []string, say func(any) error) error {
	f := flag.NewFlagSet("role-route", flag.ContinueOnError)
	addr := f.String("redis", "", "address of Redis")
	events := f.Int("events", 0, "length of the backlog")
	if err := f.Parse(args); err != nil {
		return err
	}
	client := redis.NewClient(redistest.Options(*addr))
	defer client.Close()
	if err := client.Ping(ctx).Err(); err != nil {
		return err
	}
	result := loadResult{Started: time.Now().UnixNano()}
	last := "0"
	for routed := 0; routed < *events; {
		n, err := routeOnce(ctx, client, &last)
		if err != nil {
			return fmt.Errorf("route entries from %s on: %w", last, err)
		}
		routed += n
	}
	result.Finished = time.Now().UnixNano()
	return say(result)
}

// routeOnce moves the entries after last, and moves last.
func routeOnce(ctx context.Context, client *redis.Client, last *string) (int, error) {
	streams, err := client.XRead(ctx, &redis.XReadArgs{Streams: []string{backlogStream, *last}, Count: routeCount, Block: -1}).Result()
	if err != nil {
		return 0, err
	}
	entries := streams[0].Messages
	pipe := client.Pipeline()
	for _, entry := range entries {
		pipe.Do(ctx, "XADD", routedStream, "*", entryField, entry.Values[entryField])
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return 0, err
	}
	*last = entries[len(entries)-1].ID
	return len(entries), nil
}

// fillBacklog puts events into the stream that the bare router reads.
func fillBacklog(ctx context.Context, addr string, events int) error {
	client := redis.NewClient(redistest.Options(addr))
	defer client.Close()
	run := newRun()
	for filled := 0; filled < events; {
		pipe := client.Pipeline()
		for range min(maxCommit, events-filled) {
			pipe.Do(ctx, "XADD", backlogStream, "*", entryField, appendEvent(nil, run, filled, 0))
			filled++
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return fmt.Errorf("fill the backlog: %w", err)
		}
	}
	return nil
}

// runPost is the role "role-post": it posts events to a sink with net/http, prints when it began and ended, and ends.
func runPost(ctx context.Context, args []string, say func(any) error) error {
	f := flag.NewFlagSet("role-post", flag.ContinueOnError)
	target := f.String("url", "", "the sink")
	run := f.String("run", "", "name of this sequence of events")
	events := f.Int("events", 0, "how many")
	workers := f.Int("workers", 1, "how many at once")
	if err := f.Parse(args); err != nil {
		return err
	}
	client := postClient(*workers)
	var taken atomic.Int64
	posters, ctx := errgroup.WithContext(ctx)
	result := loadResult{Started: time.Now().UnixNano()}
	for range *workers {
		posters.Go(func() error {
			for seq := int(taken.Add(1)) - 1; seq < *events; seq = int(taken.Add(1)) - 1 {
				event := string(appendEvent(nil, *run, seq, time.Now().UnixNano()))
				if err := post(ctx, client, *target, event); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := posters.Wait()
	result.Finished = time.Now().UnixNano()
	if err != nil {
		return err
	}
	return say(result)
}
