package main

import (
	"context"
	"flag"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

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
