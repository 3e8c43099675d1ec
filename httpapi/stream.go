package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// streamEvents sends events as they come, as Server-Sent Events (HTML Living Standard, section 9.2).
func (s *Server) streamEvents(c call) error {
	filter, from, err := s.streamQuery(c)
	if err != nil {
		return err
	}
	if s.streams.Add(1) > int64(s.cfg.MaxStreams) {
		s.streams.Add(-1)
		return &router.Error{Code: router.RateLimited, Message: "too many event streams are open", RetryAfter: 5 * time.Second}
	}
	s.metrics.streams.Inc()
	defer func() { s.streams.Add(-1); s.metrics.streams.Dec() }()

	follower, err := s.cfg.Feed.Follow(c.r.Context(), from, filter.match)
	if err != nil {
		return fmt.Errorf("follow the log: %w", err)
	}
	defer follower.Close()
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	defer context.AfterFunc(s.ending, cancel)()
	st := stream{w: c.w, control: http.NewResponseController(c.w), timeout: s.cfg.WriteTimeout, follower: follower, cursors: follower.Cursors()}
	if err := st.begin(); err != nil {
		return err
	}
	return st.run(ctx, s.cfg.Heartbeat)
}

// streamQuery reads the filter, and the cursor that a client resumes from: what EventSource sends goes before what stands in the URL it began with.
func (s *Server) streamQuery(c call) (*eventFilter, []router.Position, error) {
	q := newQuery(c.r)
	filter := &eventFilter{types: q.types(), source: q.text("source")}
	cursor, where := q.text("cursor"), "query.cursor"
	if last := c.r.Header.Get("Last-Event-ID"); last != "" {
		cursor, where = last, "header.last-event-id"
	}
	if err := q.err(); err != nil || cursor == "" {
		return filter, nil, err
	}
	from, err := parseCursor(streamCursor, s.cfg.Log.Partitions(), cursor)
	if err != nil {
		return nil, nil, &router.Error{
			Code: router.Invalid, Message: "the stream can't be resumed",
			Problems: []router.Problem{{Location: where, Message: show(err).detail}},
		}
	}
	return filter, from, nil
}

// stream writes one event stream.
type stream struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	timeout  time.Duration // of writing one message
	follower *router.Follower
	cursors  []router.Position // what the client has seen, or will have with the message being written
	buf      []byte
}

// begin sends the header and where the stream starts, so that a client that loses the connection before the first event resumes from there. The time that a
// request may take does not count for streams.
func (st *stream) begin() error {
	if err := st.control.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("free the stream of the request's deadline: %w", err)
	}
	h := st.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	st.w.WriteHeader(http.StatusOK)
	return st.comment("stream of events")
}

// run sends what comes, and a comment every so often, until the client or the server goes away.
func (st *stream) run(ctx context.Context, heartbeat time.Duration) error {
	for {
		err := st.sendFor(ctx, heartbeat)
		switch {
		case errors.Is(err, router.ErrFeedClosed) || err == nil && ctx.Err() != nil:
			return st.control.SetWriteDeadline(time.Now().Add(st.timeout)) // of what ends the answer
		case errors.Is(err, router.ErrTooSlow):
			return st.comment("too slow: resume from the last id")
		case err != nil:
			return err
		}
		if err := st.comment("still here"); err != nil {
			return err
		}
	}
}

// sendFor sends what comes in a time.
func (st *stream) sendFor(ctx context.Context, d time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for ctx.Err() == nil {
		records, err := st.follower.Next(ctx)
		if err == nil {
			err = st.send(records)
		} else if ctx.Err() != nil {
			err = nil
		}
		if err != nil {
			return err
		}
		st.cursors = st.follower.Cursors() // past what did not match, too
	}
	return nil
}

func (st *stream) send(records []router.Record) error {
	for _, r := range records {
		st.cursors[r.Position.Partition] = r.Position
		if err := st.write(appendMessage(st.buf[:0], formatCursor(streamCursor, st.cursors), r)); err != nil {
			return err
		}
	}
	return st.flush()
}

// comment sends a comment, and with it how far the client is, which costs one that sees few events little when it resumes: an id without data sets the last
// event id and is no event.
func (st *stream) comment(text string) error {
	b := append(append(st.buf[:0], ": "...), text...)
	b = append(append(b, "\nid: "...), formatCursor(streamCursor, st.cursors)...)
	if err := st.write(append(b, "\n\n"...)); err != nil {
		return err
	}
	return st.flush()
}

func (st *stream) write(message []byte) error {
	st.buf = message
	if err := st.control.SetWriteDeadline(time.Now().Add(st.timeout)); err != nil {
		return fmt.Errorf("bound the time of a write: %w", err)
	}
	if _, err := st.w.Write(message); err != nil {
		return fmt.Errorf("write to an event stream: %w", err)
	}
	return nil
}

func (st *stream) flush() error {
	if err := st.control.Flush(); err != nil {
		return fmt.Errorf("write to an event stream: %w", err)
	}
	return nil
}

// appendMessage appends an event as one message. Line breaks between the tokens of a JSON payload each begin a line of data, which clients join with line feeds: the
// JSON is the same, but for carriage returns, which the format can't carry.
func appendMessage(dst []byte, id string, r router.Record) []byte {
	dst = append(append(append(dst, "id: "...), id...), "\ndata: "...)
	start := len(dst)
	dst = appendItem(dst, r)
	if bytes.ContainsAny(dst[start:], "\r\n") {
		lines := strings.NewReplacer("\r\n", "\ndata: ", "\r", "\ndata: ", "\n", "\ndata: ").Replace(string(dst[start:]))
		dst = append(dst[:start], lines...)
	}
	return append(dst, "\n\n"...)
}
