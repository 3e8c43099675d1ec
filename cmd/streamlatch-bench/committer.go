package main

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// maxCommit is how many entries one pipeline takes at most.
const maxCommit = 1000

// commit is one request's entries, and where its outcome goes.
type commit struct {
	values [][]byte
	done   chan error
}

// committer appends the entries of concurrent requests to a stream in shared pipelines (group commit): while one is under
// way, the next gathers. This is the reference for what our own ingest does.
type committer struct {
	client *redis.Client
	stream string
	queue  chan commit
}

func newCommitter(client *redis.Client, stream string) *committer {
	return &committer{client: client, stream: stream, queue: make(chan commit, maxCommit)}
}

// add appends entries and returns when Redis has confirmed them.
func (c *committer) add(ctx context.Context, values ...[]byte) error {
	request := commit{values: values, done: make(chan error, 1)}
	select {
	case c.queue <- request:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case err := <-request.done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run commits until the context ends.
func (c *committer) run(ctx context.Context) {
	var group []commit
	for {
		select {
		case first := <-c.queue:
			group = c.gather(append(group[:0], first))
		case <-ctx.Done():
			return
		}
		err := c.append(ctx, group)
		for _, request := range group {
			request.done <- err
		}
	}
}

// gather adds to a group what is waiting already.
func (c *committer) gather(group []commit) []commit {
	for n := len(group[0].values); n < maxCommit; {
		select {
		case next := <-c.queue:
			group = append(group, next)
			n += len(next.values)
		default:
			return group
		}
	}
	return group
}

func (c *committer) append(ctx context.Context, group []commit) error {
	pipe := c.client.Pipeline()
	for _, request := range group {
		for _, value := range request.values {
			pipe.Do(ctx, "XADD", c.stream, "*", entryField, value)
		}
	}
	_, err := pipe.Exec(ctx)
	return err
}
