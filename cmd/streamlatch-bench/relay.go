package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// relay reads the bare server's log and posts every entry to a URL, each once, whatever comes back.
type relay struct {
	client  *redis.Client
	workers int
	target  string
	http    *http.Client
	work    chan string
}

func newRelay(client *redis.Client, target string, workers int) *relay {
	return &relay{client: client, workers: workers, target: target, http: postClient(workers), work: make(chan string, 1000)}
}

// postClient is an HTTP client that keeps a connection for each of its workers.
func postClient(workers int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{MaxIdleConns: workers, MaxIdleConnsPerHost: workers, DisableCompression: true},
		Timeout:   time.Minute,
	}
}

// run relays until the context ends or something fails, which it prints: the measurement then waits in vain.
func (r *relay) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range r.workers {
		workers.Go(func() { r.deliver(ctx) })
	}
	if err := r.read(ctx); err != nil && ctx.Err() == nil {
		log.Printf("relay: %v", err)
	}
	close(r.work)
	workers.Wait()
}

// read hands every entry to the workers, in order.
func (r *relay) read(ctx context.Context) error {
	last := "0"
	for {
		streams, err := r.client.XRead(ctx, &redis.XReadArgs{
			Streams: []string{bareLog, last}, Count: 1000, Block: time.Second,
		}).Result()
		if errors.Is(err, redis.Nil) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		for _, entry := range streams[0].Messages {
			last = entry.ID
			value, _ := entry.Values[entryField].(string)
			select {
			case r.work <- value:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
	}
}

func (r *relay) deliver(ctx context.Context) {
	for event := range r.work {
		if err := post(ctx, r.http, r.target, event); err != nil && ctx.Err() == nil {
			log.Printf("relay: %v", err)
		}
	}
}

// post sends one event and reads the answer to its end, so that the connection is used again.
func post(ctx context.Context, client *http.Client, target, event string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, strings.NewReader(event))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", oneEvent)
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("POST %s: status %d", target, response.StatusCode)
	}
	return nil
}
