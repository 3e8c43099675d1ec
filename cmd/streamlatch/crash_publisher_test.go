package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
)

// publish has a number of publishers send the events that are given, to replicas at random, each until it is accepted. The returned function waits for
// them, after the last event was given; those that were not given are no part of the trial any more.
func (tr *trial) publish(ctx context.Context, publishers int) (wait func() error) {
	work, ctx := errgroup.WithContext(ctx)
	tr.alive = ctx
	for n := range publishers {
		p := &publisher{trial: tr, random: tr.random(uint64(1000 + n)), http: &http.Client{Transport: direct, Timeout: time.Second}}
		work.Go(func() error { return p.run(ctx) })
	}
	return func() error {
		close(tr.work)
		err := work.Wait()
		tr.events = tr.events[:tr.given]
		return err
	}
}

// publisher is one of them.
type publisher struct {
	trial  *trial
	random *rand.Rand
	http   *http.Client
}

func (p *publisher) run(ctx context.Context) error {
	for {
		batch := p.take(ctx, 1+p.random.IntN(16))
		if len(batch) == 0 {
			return ctx.Err()
		}
		if err := p.insist(ctx, batch); err != nil {
			return err
		}
		p.trial.acked.Add(int64(len(batch)))
	}
}

// take waits for an event, and takes up to n of those that are there.
func (p *publisher) take(ctx context.Context, n int) (batch []int) {
	select {
	case i, ok := <-p.trial.work:
		if !ok {
			return nil
		}
		batch = append(batch, i)
	case <-ctx.Done():
		return nil
	}
	for len(batch) < n {
		select {
		case i, ok := <-p.trial.work:
			if !ok {
				return batch
			}
			batch = append(batch, i)
		default:
			return batch
		}
	}
	return batch
}

// insist sends a batch to one replica after the other until it is accepted.
func (p *publisher) insist(ctx context.Context, batch []int) error {
	for {
		r := p.trial.replicas[p.random.IntN(len(p.trial.replicas))]
		err := p.send(ctx, r.url, batch)
		if fatal, ok := errors.AsType[fatalError](err); ok {
			return fmt.Errorf("publish to %s: %w", r.name, fatal.error)
		}
		if err == nil {
			return nil
		}
		if !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("publish to %s: %w", r.name, err)
		}
	}
}

// send makes one attempt. Its error is fatal where trying again would not help.
func (p *publisher) send(ctx context.Context, url string, batch []int) error {
	var body bytes.Buffer
	for n, i := range batch {
		body.WriteByte("[,"[min(n, 1)])
		body.WriteString(p.trial.events[i].json)
		p.trial.events[i].sent++
	}
	body.WriteByte(']')
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/events", &body)
	if err != nil {
		return fatalError{err}
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := p.http.Do(req)
	if err != nil {
		p.trial.note("no answer", "")
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.trial.note("half an answer", "")
		return err
	}
	if res.StatusCode != http.StatusAccepted {
		p.trial.note(strconv.Itoa(res.StatusCode), res.Header.Get("Retry-After"))
	}
	if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") != "" {
		return fmt.Errorf("status %d: %s", res.StatusCode, text)
	}
	return p.trial.read(res.StatusCode, text, batch)
}

// note counts an attempt that failed.
func (tr *trial) note(what, retryAfter string) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.refused[what]++
	if seconds, err := strconv.Atoi(retryAfter); err == nil {
		tr.retry = max(tr.retry, time.Duration(seconds)*time.Second)
	}
}

// read takes the positions from an answer. What was sent only once is no duplicate, however often the program had to repeat itself.
func (tr *trial) read(status int, text []byte, batch []int) error {
	var answer struct {
		Events []struct {
			ID, Position string
			Duplicate    bool
		}
	}
	if err := json.Unmarshal(text, &answer); err != nil || status != http.StatusAccepted || len(answer.Events) != len(batch) {
		return fatalError{fmt.Errorf("unexpected answer for %d events: status %d: %s", len(batch), status, text)}
	}
	for n, i := range batch {
		e, got := &tr.events[i], answer.Events[n]
		if got.ID != e.id || got.Position == "" || got.Duplicate && e.sent == 1 {
			return fatalError{fmt.Errorf("unexpected answer for event %s: %+v", e.id, got)}
		}
		e.position = got.Position
	}
	return nil
}
