package main

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
)

// sinkProcess is the role "role-sink" in a process of its own.
type sinkProcess struct {
	*child
	url string
}

func startSink(ctx context.Context) (*sinkProcess, error) {
	c, err := startRole("role-sink")
	if err != nil {
		return nil, err
	}
	var a address
	if err := c.read(ctx, &a); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return &sinkProcess{child: c, url: "http://" + a.Addr}, nil
}

// hookURL is where deliveries go.
func (s *sinkProcess) hookURL() string { return s.url + hookPath }

// expect makes the sink wait for a run of that many events.
func (s *sinkProcess) expect(ctx context.Context, run string, events int) error {
	query := url.Values{"run": {run}, "events": {strconv.Itoa(events)}}
	return call(ctx, http.MethodPost, s.url+"/expect?"+query.Encode(), nil, nil)
}

// setGate lets deliveries through or makes them wait.
func (s *sinkProcess) setGate(ctx context.Context, open bool) error {
	return call(ctx, http.MethodPost, s.url+"/gate?open="+strconv.FormatBool(open), nil, nil)
}

// complete waits until every expected event has arrived.
func (s *sinkProcess) complete(ctx context.Context) (r sinkReport, err error) {
	err = call(ctx, http.MethodGet, s.url+"/report?wait=true", nil, &r)
	return r, err
}
