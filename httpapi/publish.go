package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamlatch/streamlatch/router"
)

// publish is the hot path: decode and check, count against the rate, append, answer.
func (s *Server) publish(c call) error {
	events, err := s.decodeEvents(c)
	if err != nil {
		return err
	}
	if err := s.take(c.caller, len(events)); err != nil {
		return err
	}
	// A client that goes away stops nothing: its events are stored, and counted, or it would not be known which were.
	appended := s.cfg.Events.Append(context.WithoutCancel(c.r.Context()), events)
	if len(appended) != len(events) {
		return fmt.Errorf("the store answered for %d of %d events", len(appended), len(events))
	}
	s.answerPublish(c, events, appended)
	return nil
}

func (s *Server) decodeEvents(c call) ([]router.Event, error) {
	contentType := c.r.Header.Get("Content-Type")
	body, err := s.readBody(c, s.cfg.Limits.BodyBytes(contentType))
	if err != nil {
		return nil, err
	}
	defer s.release(body)
	return c.caller.decoder.Decode(contentType, c.r.Header, body.Bytes())
}

// answerPublish answers 202 where every event is stored, else with one problem, and in any case with what became of each event.
func (s *Server) answerPublish(c call, events []router.Event, appended []router.Appended) {
	failed := s.countResults(appended)
	body := make([]byte, 0, 32+len(events)*resultBytes)
	if failed > 0 {
		body = s.appendResults(append(body, ','), events, appended)
		s.writeProblem(c.w, c.r, s.overall(appended, failed), body)
		return
	}
	body = append(s.appendResults(append(body, '{'), events, appended), '}', '\n')
	writeBody(c.w, http.StatusAccepted, "application/json", body)
}

// resultBytes is about how long one result is.
const resultBytes = 160

func (s *Server) countResults(appended []router.Appended) (failed int) {
	duplicate := 0
	for _, a := range appended {
		switch {
		case a.Err != nil:
			failed++
		case a.Duplicate:
			duplicate++
		}
	}
	count(s.counted.accepted, len(appended)-failed-duplicate)
	count(s.counted.duplicate, duplicate)
	count(s.counted.failed, failed)
	return failed
}

// count leaves a counter alone to which nothing is added: each is written by all processors.
func count(c prometheus.Counter, n int) {
	if n > 0 {
		c.Add(float64(n))
	}
}

// overall makes one error of several: what says that a retry may help goes before what is the server's fault, and that before what is refused for good.
// A retry of all is always safe.
func (s *Server) overall(appended []router.Appended, failed int) error {
	var worst error
	for _, a := range appended {
		if a.Err != nil && (worst == nil || s.weight(a.Err) > s.weight(worst)) {
			worst = a.Err
		}
	}
	p := show(worst)
	if len(appended) == 1 || p.code == router.Internal {
		return worst
	}
	e := &router.Error{Code: p.code, Err: worst}
	if p.err != nil {
		e.RetryAfter = p.err.RetryAfter
	}
	e.Message = fmt.Sprintf("%d of %d events were not stored, or it is not known whether they were: %s; to publish all of them again is safe", failed, len(appended), p.detail)
	return e
}

func (s *Server) weight(err error) int {
	code := show(err).code
	switch {
	case s.problems[code].retryable:
		return 2
	case code == router.Internal:
		return 1
	}
	return 0
}

// appendResults appends the member "events".
func (s *Server) appendResults(dst []byte, events []router.Event, appended []router.Appended) []byte {
	dst = append(dst, `"events":[`...)
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(append(dst, `{"id":`...), e.ID())
		dst = appendText(append(dst, `,"source":`...), e.Source())
		if a := appended[i]; a.Err != nil {
			dst = s.appendFailure(dst, a.Err)
		} else {
			dst = appendPosition(append(dst, `,"position":"`...), a.Position)
			dst = strconv.AppendBool(append(dst, `","duplicate":`...), a.Duplicate)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

// appendFailure appends the member "error" of an event that was not stored.
func (s *Server) appendFailure(dst []byte, err error) []byte {
	p := show(err)
	dst = append(append(dst, `,"error":{"type":"/problems/`...), p.code...)
	dst = appendText(append(dst, `","detail":`...), p.detail)
	return append(strconv.AppendBool(append(dst, `,"retryable":`...), s.problems[p.code].retryable), '}')
}

// appendPosition appends a position as Position.String prints it.
func appendPosition(dst []byte, p router.Position) []byte {
	dst = append(strconv.AppendInt(dst, int64(p.Partition), 10), ':')
	dst = append(strconv.AppendInt(dst, p.MS, 10), '-')
	return strconv.AppendUint(dst, p.Seq, 10)
}
