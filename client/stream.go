package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"
)

// StreamQuery says what to follow.
type StreamQuery struct {
	Types  []string // type patterns; none: every type
	Source string   // empty: every source
	// Cursor is where to go on: the Cursor of a Record that was seen before. Empty: from now on.
	Cursor string
	// OnOpen is called each time that the stream has been opened: every event accepted from then on will be yielded. The server holds back for some seconds while
	// OnOpen runs, and nothing is lost if it takes longer. Defaults to nothing.
	OnOpen func()
	// OnLost is called with the reason each time that the connection was lost and will be opened anew. Defaults to nothing.
	OnLost func(err error)
}

// ErrIdle is the reason where a stream has sent nothing for Config.IdleTimeout.
var ErrIdle = errors.New("the stream was silent for too long")

// Stream follows the log live and yields each event once, in the order of its partition. It opens a lost connection anew, for as long as it takes, and goes
// on where it stopped. It ends with an error, as its last element, when ctx ends (the cause), and when the server refuses the query, the key or the cursor.
func (c *Client) Stream(ctx context.Context, q StreamQuery) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		f := &following{client: c, query: q, cursor: q.Cursor}
		f.rest()
		for {
			stop, err := f.follow(ctx, yield)
			if stop {
				return
			}
			if err = f.pause(ctx, err); err != nil {
				yield(Record{}, err)
				return
			}
		}
	}
}

// following is one call of Stream.
type following struct {
	client  *Client
	query   StreamQuery
	cursor  string
	backoff *attempts
}

// rest makes the next wait the first one again.
func (f *following) rest() {
	f.backoff = f.client.cfg.Retry.begin(f.client)
}

// pause waits before the stream is opened anew; it returns the error where that makes no sense.
func (f *following) pause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	after, ok := isWorthRepeating(always, err)
	if !ok {
		return err
	}
	if f.query.OnLost != nil {
		f.query.OnLost(err)
	}
	return f.client.cfg.Sleep(ctx, max(after, f.backoff.backoff()))
}

// follow opens the stream and yields what comes until it ends.
func (f *following) follow(ctx context.Context, yield func(Record, error) bool) (stop bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(f.client.cfg.IdleTimeout, func() { cancel(ErrIdle) })
	defer watchdog.Stop()
	res, err := f.open(ctx)
	if err != nil {
		return false, err
	}
	defer func() { _ = res.Body.Close() }() // its end is the reason to be here
	if f.query.OnOpen != nil {
		watchdog.Stop() // how long the caller takes is not the server's silence
		f.query.OnOpen()
		watchdog.Reset(f.client.cfg.IdleTimeout)
	}
	m := newMessages(res.Body, func() { watchdog.Reset(f.client.cfg.IdleTimeout) })
	for {
		got, err := m.next()
		if err != nil {
			return false, f.client.unreachable(ctx, err)
		}
		if got.id != "" {
			f.cursor = got.id
		}
		if len(got.data) == 0 {
			continue
		}
		record := Record{Cursor: f.cursor}
		if err := json.Unmarshal(got.data, &record); err != nil {
			return true, yieldError(yield, fmt.Errorf("the server sent what this client does not know: %w", err))
		}
		f.rest()
		watchdog.Stop()
		if !yield(record, nil) {
			return true, nil
		}
		watchdog.Reset(f.client.cfg.IdleTimeout)
	}
}

func yieldError(yield func(Record, error) bool, err error) error {
	yield(Record{}, err)
	return err
}

func (f *following) open(ctx context.Context) (*http.Response, error) {
	r := request{method: http.MethodGet, path: "/v1/events/stream", query: EventQuery{Types: f.query.Types, Source: f.query.Source}.values(), header: http.Header{"Accept": {"text/event-stream"}}}
	if f.cursor != "" {
		r.header["Last-Event-Id"] = []string{f.cursor}
	}
	res, err := f.client.send(ctx, r)
	if err != nil {
		return nil, err
	}
	if res.StatusCode == http.StatusOK && strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		return res, nil
	}
	defer func() { _ = res.Body.Close() }() // what it says of the error is enough
	body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, f.client.unreachable(ctx, err)
	}
	if res.StatusCode < 300 {
		return nil, fmt.Errorf("%s answered with %q and not with an event stream", f.client.base, res.Header.Get("Content-Type"))
	}
	return nil, newError(res, body)
}

// message is one message of an event stream.
type message struct {
	id   string
	data []byte
}

// messages reads an event stream (HTML Living Standard, section 9.2.6): the fields id and data; comments, other fields and the byte order mark are passed over.
type messages struct {
	lines *bufio.Reader
	heard func() // called for each line
	first bool
}

func newMessages(r io.Reader, heard func()) *messages {
	return &messages{lines: bufio.NewReaderSize(r, 64<<10), heard: heard, first: true}
}

// errLongMessage ends a stream whose server is something else.
var errLongMessage = fmt.Errorf("a message is larger than %d bytes", maxAnswer)

// next reads up to the empty line that ends a message. A message that the connection's end cuts off is not one.
func (m *messages) next() (message, error) {
	var got message
	lines, size := 0, 0
	for {
		line, err := m.line()
		if err != nil {
			return message{}, err
		}
		if size += len(line); size > maxAnswer {
			return message{}, errLongMessage
		}
		if len(line) == 0 {
			return got, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "data":
			if lines++; lines > 1 {
				got.data = append(got.data, '\n')
			}
			got.data = append(got.data, value...)
		case "id":
			if bytes.IndexByte(value, 0) < 0 {
				got.id = string(value)
			}
		}
	}
}

// line reads one line without its end.
func (m *messages) line() ([]byte, error) {
	var line []byte
	for {
		part, err := m.lines.ReadSlice('\n')
		line = append(line, part...)
		if err == nil {
			break
		}
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, fmt.Errorf("read the stream: %w", err)
		}
		if len(line) > maxAnswer {
			return nil, errLongMessage
		}
	}
	m.heard()
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if m.first {
		line, m.first = bytes.TrimPrefix(line, []byte("\ufeff")), false
	}
	return line, nil
}
