package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	hookPath   = "/hook"
	sharedHook = hookPath + "/{of}/{nth}" // of so many deliveries of each event the nth, from 0 on; each counts as an event of its own
)

// tally records which events of a run have arrived.
type tally struct {
	run      string
	events   int
	seen     []atomic.Bool
	latency  []int64 // nanoseconds from sending to arrival, by number
	distinct atomic.Int64
	repeats  atomic.Int64
	last     atomic.Int64 // Unix nanoseconds
	complete chan struct{}
}

func newTally(run string, events int) *tally {
	return &tally{
		run: run, events: events,
		seen: make([]atomic.Bool, events), latency: make([]int64, events),
		complete: make(chan struct{}),
	}
}

// record notes an arrival. Events of other runs are ignored.
func (t *tally) record(run string, seq int, sent, arrived int64) {
	if run != t.run || seq >= t.events {
		return
	}
	if t.seen[seq].Swap(true) {
		t.repeats.Add(1)
		return
	}
	t.latency[seq] = arrived - sent
	for last := t.last.Load(); last < arrived && !t.last.CompareAndSwap(last, arrived); last = t.last.Load() {
	}
	if t.distinct.Add(1) == int64(t.events) {
		close(t.complete)
	}
}

// sinkReport is what has arrived. The latencies are there once all is complete.
type sinkReport struct {
	Distinct, Repeats int64
	Last              int64 // Unix nanoseconds of the latest first arrival
	P50, P99          time.Duration
}

func (t *tally) report() sinkReport {
	r := sinkReport{Distinct: t.distinct.Load(), Repeats: t.repeats.Load(), Last: t.last.Load()}
	select {
	case <-t.complete:
		r.P50 = time.Duration(percentile(t.latency, 0.50))
		r.P99 = time.Duration(percentile(t.latency, 0.99))
	default:
	}
	return r
}

// sink is the endpoint that deliveries go to, the same for ours and the reference: a plain net/http server that reads the
// body, notes the event's number and answers 204.
type sink struct {
	tally   atomic.Pointer[tally]
	gate    atomic.Pointer[chan struct{}] // deliveries wait until it is closed
	bodies  sync.Pool
	handler http.ServeMux
}

func newSink() *sink {
	s := &sink{}
	s.bodies.New = func() any { return new([]byte) }
	s.tally.Store(newTally("", 0))
	s.openGate()
	s.handler.HandleFunc("POST "+hookPath, s.receive)
	s.handler.HandleFunc("POST "+sharedHook, s.receive)
	s.handler.HandleFunc("POST /expect", s.expect)
	s.handler.HandleFunc("POST /gate", s.setGate)
	s.handler.HandleFunc("GET /report", s.sendReport)
	return s
}

// runSink is the role "role-sink": it prints its address and serves until it is ended.
func runSink(ctx context.Context, _ []string, say func(any) error) error {
	return serve(ctx, &newSink().handler, say)
}

// serve serves HTTP on a loopback port that it prints, until the context ends.
func serve(ctx context.Context, handler http.Handler, say func(any) error) error {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := say(address{Addr: l.Addr().String()}); err != nil {
		return err
	}
	return server.Serve(l)
}

func (s *sink) receive(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now().UnixNano()
	select {
	case <-*s.gate.Load():
	case <-r.Context().Done():
		return
	}
	body := s.bodies.Get().(*[]byte)
	defer s.bodies.Put(body)
	var err error
	if *body, err = appendAll((*body)[:0], r.Body, r.ContentLength); err != nil {
		http.Error(w, "the body can't be read", http.StatusBadRequest)
		return
	}
	if run, seq, sent, ok := readMarks(*body); ok {
		s.tally.Load().record(run, number(r, seq), sent, arrived)
	}
	w.WriteHeader(http.StatusNoContent)
}

// number tells an event's deliveries apart where there are several.
func number(r *http.Request, seq int) int {
	of, err := strconv.Atoi(r.PathValue("of"))
	if err != nil {
		return seq
	}
	nth, _ := strconv.Atoi(r.PathValue("nth"))
	return seq*of + nth
}

// appendAll reads to the end, into b where it is large enough.
func appendAll(b []byte, r io.Reader, length int64) ([]byte, error) {
	if need := max(int(length), 512) + 1; cap(b) < need {
		b = make([]byte, 0, need)
	}
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
	}
}

// expect starts a new tally: ?run=…&events=….
func (s *sink) expect(w http.ResponseWriter, r *http.Request) {
	events, err := strconv.Atoi(r.FormValue("events"))
	if err != nil || events < 1 {
		http.Error(w, "events is not a number above 0", http.StatusBadRequest)
		return
	}
	s.tally.Store(newTally(r.FormValue("run"), events))
	w.WriteHeader(http.StatusNoContent)
}

// setGate lets deliveries through (?open=true) or makes them wait, unanswered.
func (s *sink) setGate(w http.ResponseWriter, r *http.Request) {
	open, err := strconv.ParseBool(r.FormValue("open"))
	if err != nil {
		http.Error(w, "open is neither true nor false", http.StatusBadRequest)
		return
	}
	if open {
		s.openGate()
	} else {
		closed := make(chan struct{})
		s.gate.Store(&closed)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *sink) openGate() {
	open := make(chan struct{})
	close(open)
	if previous := s.gate.Swap(&open); previous != nil && *previous != nil {
		select {
		case <-*previous:
		default:
			close(*previous)
		}
	}
}

// sendReport tells what has arrived, with ?wait=true when all has.
func (s *sink) sendReport(w http.ResponseWriter, r *http.Request) {
	t := s.tally.Load()
	if r.FormValue("wait") == "true" {
		select {
		case <-t.complete:
		case <-r.Context().Done():
			return
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(t.report())
}
