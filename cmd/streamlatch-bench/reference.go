package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

const (
	publishers      = 64 // connections of the load
	deliveryWorkers = 64 // deliveries under way at a time
	batchSize       = 100
	warmUp          = 2000 // events before those that count
)

// measureAccept returns how many events a second a subject accepts over HTTP, with a number of events in each request.
func measureAccept(ctx context.Context, launch launcher, events, batch int) (_ []float64, err error) {
	s, err := setStage(ctx, launch, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l := load{Run: newRun(), Events: warmUp, Batch: batch, Connections: publishers}
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
	l := load{Events: warmUp, Batch: 1, Connections: publishers}
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
	l := load{Events: warmUp, Batch: 1, Connections: publishers}
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

// measureBacklog holds all deliveries back until a backlog has built up in a subject's queue, lets them go, and returns
// how many a second arrive.
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
	if _, _, err := s.publish(ctx, load{Run: run, Events: events, Batch: batchSize, Connections: 4}); err != nil {
		return nil, err
	}
	if err := until(ctx, func() (bool, error) {
		n, err := s.subject.Backlog(ctx)
		return n >= events, err
	}); err != nil {
		return nil, fmt.Errorf("wait for a backlog of %d: %w", events, err)
	}
	began := time.Now().UnixNano()
	if err := s.sink.setGate(ctx, true); err != nil {
		return nil, err
	}
	report, err := s.sink.complete(ctx)
	if err != nil {
		return nil, err
	}
	return []float64{perSecond(events, time.Duration(report.Last-began))}, nil
}

// measureBarePost returns how many events a second a net/http loop posts to the sink: the reference for a backlog.
func measureBarePost(ctx context.Context, events int) (_ []float64, err error) {
	s, err := startSink(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	run := newRun()
	if err := s.expect(ctx, run, events); err != nil {
		return nil, err
	}
	result, _, err := finish[loadResult](ctx, "role-post",
		"-url", s.hookURL(), "-run", run, "-events", fmt.Sprint(events), "-workers", fmt.Sprint(deliveryWorkers))
	if err != nil {
		return nil, err
	}
	if _, err := s.complete(ctx); err != nil {
		return nil, err
	}
	return []float64{perSecond(events, result.elapsed())}, nil
}

// measureBareRoute returns how many events a second a bare go-redis loop moves from a backlog to another stream: XREAD of
// 1,000, then a pipeline of XADDs.
func measureBareRoute(ctx context.Context, events int) (_ []float64, err error) {
	redis, err := redistest.Launch()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, redis.Close()) }()
	if err := fillBacklog(ctx, redis.Addr(), events); err != nil {
		return nil, err
	}
	result, _, err := finish[loadResult](ctx, "role-route", "-redis", redis.Addr(), "-events", fmt.Sprint(events))
	if err != nil {
		return nil, err
	}
	return []float64{perSecond(events, result.elapsed())}, nil
}

func perSecond(events int, elapsed time.Duration) float64 { return float64(events) / elapsed.Seconds() }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
