package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"regexp"
	"strconv"

	"github.com/oklog/ulid/v2"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

// receive takes a message of a provider: find the source, read the bytes, answer a greeting, verify, answer a challenge, count against the rate, map, append,
// answer.
func (s *Server) receive(c call) error {
	in, err := s.inletOf(c)
	if err != nil {
		return err
	}
	body, err := s.readBody(c, s.cfg.Limits.EventBytes())
	if err != nil {
		return err
	}
	defer s.release(body)
	m := messageOf(c, body)
	if answer, ok := in.Greet(m); ok {
		answerHandshake(c, in, answer)
		return nil
	}
	if in, err = s.verify(c, in, m); err != nil {
		return err
	}
	if answer, ok := in.Challenge(m); ok {
		answerHandshake(c, in, answer)
		return nil
	}
	e, appended, err := s.accept(c, in, m)
	if err != nil {
		return err
	}
	s.answerReceived(c, in.source.Reply, e, appended)
	return nil
}

func messageOf(c call, body *bytes.Buffer) source.Message {
	m := source.Message{Method: c.r.Method, Header: c.r.Header, Key: c.second, Body: body.Bytes()}
	if c.r.URL.RawQuery != "" {
		m.Query, m.RawQuery = c.r.URL.Query(), c.r.URL.RawQuery
	}
	return m
}

// inletOf returns the inlet that the path leads to, to whatever is asked of it.
func (s *Server) inletOf(c call) (*inlet, error) {
	in, err := s.inlets.find(c.param)
	misses := router.ErrorCode(err) == router.NotFound || err == nil && !in.opensAt(c.second)
	if misses && s.inlets.changedElsewhere(c.r.Context()) {
		in, err = s.inlets.find(c.param)
	}
	if err != nil {
		return nil, err
	}
	if !in.opensAt(c.second) { // nobody can tell whether there is a source of that name
		in.count(rejected)
		return nil, errNoInlet()
	}
	return in, nil
}

func errNoInlet() error { return router.Errorf(router.NotFound, "there is no such inlet") }

// verify returns the inlet that a message is for if it is verified. Where it is not, its secret may just have been changed at another replica. Who sent it is not
// told why; the log says it.
func (s *Server) verify(c call, in *inlet, m source.Message) (*inlet, error) {
	err := in.Verify(m, s.now())
	if err != nil && s.inlets.changedElsewhere(c.r.Context()) {
		if again, findErr := s.inlets.find(c.param); findErr == nil && again != in {
			in, err = again, again.Verify(m, s.now())
		}
	}
	if err == nil {
		return in, nil
	}
	in.count(rejected)
	s.log.DebugContext(c.r.Context(), "message not verified", slog.String("source", in.source.Name), slog.String("reason", err.Error()))
	challenge := `Webhook realm="streamlatch"`
	if in.source.User != "" {
		challenge = `Basic realm="streamlatch"`
	}
	c.w.Header().Set("WWW-Authenticate", challenge)
	return nil, &router.Error{Code: router.Unverified, Message: "it is not shown that the message comes from who may send here", Err: err}
}

// accept makes an event of a verified message and stores it. A repeat is accepted, whatever its bytes: providers send again what they think was lost, and
// some of them write it anew.
func (s *Server) accept(c call, in *inlet, m source.Message) (router.Event, router.Appended, error) {
	if err := in.take(s.now()); err != nil {
		in.count(limited)
		return router.Event{}, router.Appended{}, err
	}
	e, err := in.Event(m, func() string { return ulid.Make().String() })
	if err != nil {
		in.count(failed)
		return router.Event{}, router.Appended{}, err
	}
	results := s.cfg.Events.Append(context.WithoutCancel(c.r.Context()), []router.Event{e}) // a provider that goes away stops nothing
	if len(results) != 1 {
		return e, router.Appended{}, fmt.Errorf("the store answered for %d events of 1", len(results))
	}
	appended := results[0]
	switch {
	case router.ErrorCode(appended.Err) == router.IDReused:
		in.count(changed)
		return e, router.Appended{Position: appended.Position, Duplicate: true}, nil
	case appended.Err != nil:
		in.count(failed)
		return e, appended, appended.Err
	case appended.Duplicate:
		in.count(duplicate)
	default:
		in.count(accepted)
	}
	return e, appended, nil
}

// answerReceived answers 202 with what became of the event, as publish does, or with what the source says.
func (s *Server) answerReceived(c call, reply router.SourceReply, e router.Event, appended router.Appended) {
	if reply.Status == 0 {
		body := append(make([]byte, 0, 32+resultBytes), '{')
		body = append(s.appendResults(body, []router.Event{e}, []router.Appended{appended}), '}', '\n')
		writeBody(c.w, http.StatusAccepted, jsonType, body)
		return
	}
	if reply.ContentType == "" {
		reply.ContentType = "text/plain; charset=utf-8"
	}
	if reply.Body == "" {
		c.w.WriteHeader(reply.Status)
		return
	}
	writeBody(c.w, reply.Status, reply.ContentType, []byte(reply.Body))
}

func answerHandshake(c call, in *inlet, answer source.Answer) {
	in.count(handshake)
	c.w.Header().Set("Cache-Control", "no-store")
	writeBody(c.w, http.StatusOK, answer.ContentType, []byte(answer.Body))
}

// greet answers handshakes that are no messages.
func (s *Server) greet(c call) error {
	in, err := s.inletOf(c)
	if err != nil {
		return err
	}
	if answer, ok := in.Greet(messageOf(c, new(bytes.Buffer))); ok {
		answerHandshake(c, in, answer)
		return nil
	}
	c.w.Header().Set("Allow", inletMethods)
	return router.Errorf(methodNotAllowed, "messages are sent here with POST")
}

const inletMethods = "OPTIONS, POST"

// originPattern is what senders of CloudEvents call themselves: a DNS name.
var originPattern = regexp.MustCompile(`^[A-Za-z0-9.-]{1,253}$`)

// agree tells a sender of CloudEvents that it may send here, and how much (HTTP 1.1 Web Hooks for Event Delivery, section 4).
func (s *Server) agree(c call) error {
	in, err := s.inletOf(c)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Allow", inletMethods)
	if origin := c.r.Header.Values("WebHook-Request-Origin"); len(origin) == 1 && originPattern.MatchString(origin[0]) {
		h.Set("WebHook-Allowed-Origin", origin[0])
		h.Set("WebHook-Allowed-Rate", allowedRate(in.source.Rate))
		in.count(handshake)
	}
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// allowedRate is a rate in messages a minute; "*" is none.
func allowedRate(r router.SourceRate) string {
	if r.Limit == 0 {
		return "*"
	}
	return strconv.FormatFloat(max(1, math.Floor(float64(r.Limit)/r.Per.Std().Minutes())), 'f', 0, 64)
}
