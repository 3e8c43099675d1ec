package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

const (
	publishers      = 64 // connections of the load
	deliveryWorkers = 64 // deliveries under way at a time
	batchSize       = 100
	warmUp          = 2000 // events before those that count, or as many as those if they are fewer
)

// measureAccept returns how many events a second a subject accepts over HTTP, with a number of events in each request.
func measureAccept(ctx context.Context, launch launcher, events, batch int) (_ []float64, err error) {
	return measureLoad(ctx, launch, load{Events: events, Batch: batch, Connections: publishers})
}

// measureSigned is measureAccept for single messages that are signed for the inlet. Where they are published, nobody looks at that.
func measureSigned(ctx context.Context, launch launcher, events int) ([]float64, error) {
	return measureLoad(ctx, launch, load{Events: events, Batch: 1, Connections: publishers, Secret: inletSecret})
}

func measureLoad(ctx context.Context, launch launcher, l load) (_ []float64, err error) {
	s, err := setStage(ctx, launch, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	events := l.Events
	l.Run, l.Events = newRun(), min(warmUp, events)
	if _, _, err := s.publish(ctx, l); err != nil {
		return nil, err
	}
	l.Run, l.Events = newRun(), events
	result, _, err := s.publish(ctx, l)
	if err != nil {
		return nil, err
	}
	return []float64{perSecond(events, result.elapsed())}, nil
}

// measureFullLoad publishes as fast as a subject accepts and returns how many events a second arrive in the sink, and the
// CPU microseconds that each costs in all processes together: Redis, the subject, the sink and the publisher.
func measureFullLoad(ctx context.Context, launch launcher, events int) (_ []float64, err error) {
	s, err := setStage(ctx, launch, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l := load{Events: min(warmUp, events), Batch: 1, Connections: publishers}
	if _, err := s.relay(ctx, l); err != nil {
		return nil, err
	}
	l.Events = events
	j, err := s.relay(ctx, l)
	if err != nil {
		return nil, err
	}
	return []float64{perSecond(events, j.elapsed), float64(j.cpu.Microseconds()) / float64(events)}, nil
}

// measureLatency publishes at a steady rate and returns the median and the 99th percentile, in milliseconds, of the time
// from before the HTTP request until the event arrives in the sink.
func measureLatency(ctx context.Context, launch launcher, rate float64, events int) (_ []float64, err error) {
	s, err := setStage(ctx, launch, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l := load{Events: min(warmUp, events), Batch: 1, Connections: publishers}
	if _, err := s.relay(ctx, l); err != nil {
		return nil, err
	}
	l.Events, l.Rate = events, rate
	j, err := s.relay(ctx, l)
	if err != nil {
		return nil, err
	}
	return []float64{milliseconds(j.report.P50), milliseconds(j.report.P99)}, nil
}

// measureBacklog holds all deliveries back until a backlog has built up in a subject's queue, and lets them go. It returns how many a second arrive, and
// the megabytes that Redis takes for 100,000 of them.
func measureBacklog(ctx context.Context, launch launcher, events int) (_ []float64, err error) {
	s, err := setStage(ctx, launch, true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	run := newRun()
	if err := errors.Join(s.sink.expect(ctx, run, events), s.sink.setGate(ctx, false)); err != nil {
		return nil, err
	}
	memory, err := memoryPer100000(ctx, s.redis, events, func() error { return s.queue(ctx, run, events) })
	if err != nil {
		return nil, err
	}
	began := time.Now().UnixNano()
	if err := s.sink.setGate(ctx, true); err != nil {
		return nil, err
	}
	report, err := s.sink.complete(ctx)
	if err != nil {
		return nil, err
	}
	return []float64{perSecond(events, time.Duration(report.Last-began)), memory}, nil
}

// queue publishes events and returns when all of them are in the subject's queue or held back by the sink.
func (s *stage) queue(ctx context.Context, run string, events int) error {
	if _, _, err := s.publish(ctx, load{Run: run, Events: events, Batch: batchSize, Connections: 4}); err != nil {
		return err
	}
	err := until(ctx, func() (bool, error) {
		n, err := s.subject.Backlog(ctx)
		return n >= events, err
	})
	if err != nil {
		return fmt.Errorf("wait for a backlog of %d: %w", events, err)
	}
	return nil
}

// measureBareBacklog is the reference for a backlog: it returns how many events a second a net/http loop posts to the sink, and the megabytes that a bare
// stream takes for 100,000 of them.
func measureBareBacklog(ctx context.Context, events int) (_ []float64, err error) {
	posted, err := measureBarePost(ctx, events)
	if err != nil {
		return nil, err
	}
	server, err := redistest.Launch()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	client := redis.NewClient(redistest.Options(server.Addr()))
	defer client.Close()
	memory, err := memoryPer100000(ctx, server, events, func() error { return fillBacklog(ctx, client, events) })
	return []float64{posted, memory}, err
}

// measureBarePost returns how many events a second a net/http loop posts to the sink.
func measureBarePost(ctx context.Context, events int) (_ float64, err error) {
	s, err := startSink(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	run := newRun()
	if err := s.expect(ctx, run, events); err != nil {
		return 0, err
	}
	result, _, err := finish[loadResult](ctx, "role-post",
		"-url", s.hookURL(), "-run", run, "-events", fmt.Sprint(events), "-workers", fmt.Sprint(deliveryWorkers))
	if err != nil {
		return 0, err
	}
	if _, err := s.complete(ctx); err != nil {
		return 0, err
	}
	return perSecond(events, result.elapsed()), nil
}

// memoryPer100000 returns by how many megabytes the memory that a Redis uses grows while a number of events is stored, for 100,000 of them.
func memoryPer100000(ctx context.Context, server *redistest.Server, events int, store func() error) (float64, error) {
	before, err := usedMemory(ctx, server)
	if err != nil {
		return 0, err
	}
	if err := store(); err != nil {
		return 0, err
	}
	after, err := usedMemory(ctx, server)
	return float64(after-before) / 1e6 * 100_000 / float64(events), err
}

// usedMemory is what Redis has allocated, as INFO tells.
func usedMemory(ctx context.Context, server *redistest.Server) (int64, error) {
	client := redis.NewClient(redistest.Options(server.Addr()))
	defer client.Close()
	info, err := client.InfoMap(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("ask Redis for its memory: %w", err)
	}
	return strconv.ParseInt(info["Memory"]["used_memory"], 10, 64)
}

func perSecond(events int, elapsed time.Duration) float64 { return float64(events) / elapsed.Seconds() }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
