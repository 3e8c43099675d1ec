package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// A crowd is 200 subscriptions, in groups between which the events are divided.
const (
	crowdGroups  = 20 // a divisor of 100
	crowdHealthy = 8  // subscriptions of each group whose endpoint is the sink
	crowdBad     = 2  // subscriptions of each group whose endpoint misbehaves
)

// badTimeouts are the time limits of attempts at misbehaving endpoints, in turn: one lets those fail within a measurement that are not answered, so that breakers
// open; with the other, the default, they are under way for all of it.
var badTimeouts = []string{"1s", "15s"}

// measureCrowd publishes at a steady rate to the healthy part of a crowd, with or without the bad one beside it, and returns the median and the 99th
// percentile, in milliseconds, of the time from before the HTTP request until the event arrives at a healthy endpoint. The bad part is there from the first
// event on that counts, so that breakers open meanwhile.
func measureCrowd(ctx context.Context, program string, rate float64, events int, bad bool) (_ []float64, err error) {
	s, err := setStage(ctx, crowdLauncher(program), true)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	s.arrivals = crowdHealthy
	l := load{Events: min(warmUp/crowdHealthy, events), Batch: 1, Connections: publishers}
	if _, err := s.relay(ctx, l); err != nil {
		return nil, err
	}
	if bad {
		endpoints, err := startRole("role-misbehave", "-endpoints", strconv.Itoa(crowdGroups*crowdBad))
		if err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(err, endpoints.Close()) }()
		var a addresses
		if err := endpoints.read(ctx, &a); err != nil {
			return nil, err
		}
		if err := s.subject.(crowdSubject).subscribeBad(ctx, a.URLs); err != nil {
			return nil, err
		}
	}
	l.Events, l.Rate = events, rate
	j, err := s.relay(ctx, l)
	if err != nil {
		return nil, err
	}
	return []float64{milliseconds(j.report.P50), milliseconds(j.report.P99)}, nil
}

// crowdLauncher is streamlatchLauncher for a subject with a crowd of subscriptions.
func crowdLauncher(program string) launcher {
	return launcher{start: func(ctx context.Context, redis *redistest.Server) (Subject, error) {
		s, err := streamlatchLauncher(program).start(ctx, redis)
		if err != nil {
			return nil, err
		}
		return crowdSubject{s.(*streamlatch)}, nil
	}}
}

// crowdSubject is ours with a crowd of subscriptions.
type crowdSubject struct{ *streamlatch }

// Subscribe makes every event go to the sink from each healthy subscription of its group.
func (s crowdSubject) Subscribe(ctx context.Context, target string, _ int) error {
	for i := range crowdGroups * crowdHealthy {
		url := fmt.Sprintf("%s/%d/%d", target, crowdHealthy, i/crowdGroups)
		if err := s.subscribe(ctx, fmt.Sprintf("healthy-%d", i), i%crowdGroups, url, "60s"); err != nil {
			return err
		}
	}
	return nil
}

// subscribeBad makes every event go to the misbehaving endpoints of its group as well.
func (s crowdSubject) subscribeBad(ctx context.Context, urls []string) error {
	for i, url := range urls {
		if err := s.subscribe(ctx, fmt.Sprintf("bad-%d", i), i%crowdGroups, url, badTimeouts[i/crowdGroups%len(badTimeouts)]); err != nil {
			return err
		}
	}
	return nil
}

// subscribe makes a URL get the events of a group: those whose numbers end with certain digits. Deliveries are as they are by default.
func (s crowdSubject) subscribe(ctx context.Context, name string, group int, url, timeout string) error {
	type object = map[string]any
	var endings []object
	for n := group; n < 100; n += crowdGroups {
		endings = append(endings, object{"suffix": fmt.Sprintf("%02d", n)})
	}
	return call(ctx, http.MethodPost, s.url+"/v1/subscriptions", object{
		"name":   name,
		"filter": object{"types": []string{eventType}, "pattern": object{"data": object{"seq": endings}}},
		"sink":   object{"kind": "webhook", "url": url, "timeout": timeout},
	}, nil)
}
