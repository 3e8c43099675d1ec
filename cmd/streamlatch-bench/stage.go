package main

import (
	"context"
	"errors"
	"time"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// stage is the arrangement of one measurement: a fresh Redis, a subject on it and, where deliveries are measured, a sink.
type stage struct {
	redis    *redistest.Server // nil: the subject has its own
	subject  Subject
	sink     *sinkProcess // nil: nothing is delivered
	arrivals int          // of each event in the sink
}

// setStage starts everything. The caller closes it.
func setStage(ctx context.Context, launch launcher, withSink bool) (_ *stage, err error) {
	s := &stage{arrivals: 1}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if !launch.embedded {
		if s.redis, err = redistest.Launch(); err != nil {
			return nil, err
		}
	}
	if s.subject, err = launch.start(ctx, s.redis); err != nil {
		return nil, err
	}
	if !withSink {
		return s, nil
	}
	if s.sink, err = startSink(ctx); err != nil {
		return nil, err
	}
	return s, s.subject.Subscribe(ctx, s.sink.hookURL(), deliveryWorkers)
}

// Close ends all processes.
func (s *stage) Close() error {
	var errs []error
	if s.sink != nil {
		errs = append(errs, s.sink.Close())
	}
	if s.subject != nil {
		errs = append(errs, s.subject.Close())
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Close())
	}
	return errors.Join(errs...)
}

// cpu is the CPU time that the long-lived processes have used: Redis, the subject, the sink.
func (s *stage) cpu() (time.Duration, error) {
	pids := []int{s.subject.PID()}
	if s.redis != nil {
		pids = append(pids, s.redis.PID())
	}
	if s.sink != nil {
		pids = append(pids, s.sink.process.PID())
	}
	return cpuTime(pids...)
}

// publish carries a load from a process of its own and returns the CPU time that took there.
func (s *stage) publish(ctx context.Context, l load) (loadResult, time.Duration, error) {
	l.URL = s.subject.EventsURL()
	return finish[loadResult](ctx, "role-load", l.args()...)
}

// journey is what one load took from the publisher to the sink.
type journey struct {
	elapsed time.Duration // from before the first request until the last event arrived
	cpu     time.Duration // of all processes
	report  sinkReport
}

// relay carries a load and waits until all of it has arrived in the sink.
func (s *stage) relay(ctx context.Context, l load) (j journey, err error) {
	l.Run = newRun()
	if err := s.sink.expect(ctx, l.Run, l.Events*s.arrivals); err != nil {
		return j, err
	}
	before, err := s.cpu()
	if err != nil {
		return j, err
	}
	published, cpu, err := s.publish(ctx, l)
	if err != nil {
		return j, err
	}
	if j.report, err = s.sink.complete(ctx); err != nil {
		return j, err
	}
	after, err := s.cpu()
	if err != nil {
		return j, err
	}
	j.elapsed = time.Duration(j.report.Last - published.Started)
	j.cpu = after - before + cpu
	return j, nil
}
