package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

// message is one block of an event stream.
type message struct {
	id, data, comment string
}

// events is an event stream that is being read.
type events struct {
	t    testing.TB
	r    *bufio.Reader
	stop func()
}

// follow opens an event stream and reads its first block, which says where it starts.
func (a *api) follow(query string, headers ...string) *events {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(a.t.Context(), 20*time.Second)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, a.url+"/v1/events/stream?"+query, http.NoBody)
	require.NoError(a.t, err)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(req)
	require.NoError(a.t, err)
	e := &events{a.t, bufio.NewReader(res.Body), func() { cancel(); res.Body.Close() }}
	a.t.Cleanup(e.stop)
	require.Equal(a.t, http.StatusOK, res.StatusCode)
	require.Equal(a.t, "text/event-stream", res.Header.Get("Content-Type"))
	require.Equal(a.t, "no-store", res.Header.Get("Cache-Control"))
	first, err := e.block()
	require.NoError(a.t, err)
	require.NotEmpty(a.t, first.comment)
	require.NotEmpty(a.t, first.id)
	return e
}

// block reads as the specification of event streams says.
func (e *events) block() (m message, err error) {
	var data []string
	for {
		line, err := e.r.ReadString('\n')
		if err != nil {
			return m, err
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			m.data = strings.Join(data, "\n")
			return m, nil
		}
		switch field, value, _ := strings.Cut(line, ": "); field {
		case "":
			m.comment = value
		case "id":
			m.id = value
		case "data":
			data = append(data, value)
		default:
			require.Fail(e.t, "unknown field", "%q", line)
		}
	}
}

// next reads the next event, past comments.
func (e *events) next() message {
	e.t.Helper()
	for {
		m, err := e.block()
		require.NoError(e.t, err)
		if m.data != "" {
			return m
		}
	}
}

func (m message) event(t testing.TB) map[string]any {
	t.Helper()
	validate(t, "/components/schemas/EventItem", []byte(m.data))
	var item map[string]any
	require.NoError(t, json.Unmarshal([]byte(m.data), &item))
	return item["event"].(map[string]any)
}

func TestAStreamShowsWhatIsAcceptedFromNowOn(t *testing.T) {
	a := newAPI(t)
	publishMany(t, a, 3)
	s := a.follow("")
	a.do("POST", "/v1/events", paid, structured).want(http.StatusAccepted)
	m := s.next()
	require.Equal(t, "a1", m.event(t)["id"])
	listed := a.do("GET", "/v1/events?limit=1", "").body
	require.Equal(t, `{"items":[`+m.data+"],\"next\"", listed[:strings.LastIndex(listed, ":")], "it is an item as in the list")
}

func TestAStreamIsFiltered(t *testing.T) {
	a := newAPI(t)
	s := a.follow("types=a.*&source=/s1")
	publishMany(t, a, 12)
	for _, id := range []string{"2", "4", "8", "10"} {
		require.Equal(t, id, s.next().event(t)["id"])
	}
}

func TestAStreamResumesAfterTheLastIDWithoutGapOrRepeat(t *testing.T) {
	a := newAPIOn(t, newFakeStore(3))
	s := a.follow("types=a.*")
	publishMany(t, a, 9)
	want := []string{"1", "2", "4", "5", "7", "8"}
	seen := map[string]bool{}
	last := message{}
	for range 2 {
		last = s.next()
		seen[last.event(t)["id"].(string)] = true
	}
	s.stop()
	for _, header := range []string{"X-No: 1", "Last-Event-ID: " + last.id} {
		query := "types=a.*&cursor=" + last.id
		if strings.HasPrefix(header, "Last") {
			query = "types=a.*&cursor=of-the-url-that-it-began-with"
		}
		got := map[string]bool{}
		for id := range seen {
			got[id] = true
		}
		s = a.follow(query, header)
		for range len(want) - 2 {
			id := s.next().event(t)["id"].(string)
			require.False(t, got[id], "event %s came twice", id)
			got[id] = true
		}
		for _, id := range want {
			require.True(t, got[id], "event %s", id)
		}
		s.stop()
	}
}

func TestWhoLosesTheConnectionBeforeTheFirstEventResumesWhereTheStreamBegan(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) { c.Heartbeat = time.Millisecond })
	s := a.follow("")
	first, err := s.block()
	require.NoError(t, err)
	s.stop()
	publishMany(t, a, 1)
	require.Equal(t, "1", a.follow("", "Last-Event-ID: "+first.id).next().event(t)["id"])
}

func TestCommentsKeepAStreamAliveAndMoveItsCursorPastWhatDoesNotMatch(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) { c.Heartbeat = 10 * time.Millisecond })
	s := a.follow("types=none")
	before, err := s.block()
	require.NoError(t, err)
	require.NotEmpty(t, before.comment)
	publishMany(t, a, 4)
	require.Eventually(t, func() bool {
		m, err := s.block()
		return err == nil && m.data == "" && m.comment != "" && m.id != before.id
	}, 10*time.Second, time.Millisecond)
}

func TestCommentsComeWhileEventsDo(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) { c.Heartbeat = 5 * time.Millisecond })
	s := a.follow("")
	comments := 0
	for n := 0; comments < 3; n++ {
		require.Less(t, n, 2000)
		a.do("POST", "/v1/events", `{"type":"x"}`).want(http.StatusAccepted)
		m, err := s.block()
		require.NoError(t, err)
		if m.comment != "" {
			comments++
		}
	}
}

func TestAPayloadOfSeveralLinesIsOneMessage(t *testing.T) {
	a := newAPI(t)
	s := a.follow("")
	a.do("POST", "/v1/events", "{\"type\":\"x\",\"data\":{\r\n\"a\":\r1,\n\n\"b\":\"\\n\"}}").want(http.StatusAccepted)
	m := s.next()
	require.Contains(t, m.data, "{\n\"a\":\n1,\n\n\"b\":\"\\n\"}")
	require.Equal(t, map[string]any{"a": 1.0, "b": "\n"}, m.event(t)["data"])
}

func TestACursorThatIsNoneIsRefused(t *testing.T) {
	a := newAPI(t)
	require.Equal(t, "query.cursor", a.do("GET", "/v1/events/stream?cursor=x", "").problem(422, "invalid").get("errors", 0, "location"))
	require.Equal(t, "header.last-event-id", a.do("GET", "/v1/events/stream", "", "Last-Event-ID: x").problem(422, "invalid").get("errors", 0, "location"))
	require.Equal(t, "query.types", a.do("GET", "/v1/events/stream?types=.", "").problem(422, "invalid").get("errors", 0, "location"))
	require.Equal(t, `query."subject"`, a.do("GET", "/v1/events/stream?subject=x", "").problem(422, "invalid").get("errors", 0, "location"))
}

func TestTheNumberOfStreamsIsBounded(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) { c.MaxStreams = 2 })
	first := a.follow("")
	a.follow("")
	require.Equal(t, "5", a.do("GET", "/v1/events/stream", "").problem(429, "rate-limited").header.Get("Retry-After"))
	first.stop()
	require.Eventually(t, func() bool {
		return strings.Contains(a.do("GET", "/metrics", "").body, "streamlatch_http_event_streams 1\n")
	}, 10*time.Second, time.Millisecond)
	a.follow("")
}

func TestStreamsEndWhenTheServerShutsDown(t *testing.T) {
	a := newAPI(t)
	s := a.follow("")
	a.server.EndStreams()
	_, err := s.block()
	require.ErrorIs(t, err, io.EOF, "the answer is complete, and not cut off")
}

func TestAClientThatDoesNotReadIsDisconnected(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) { c.WriteTimeout = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
	_, err = io.WriteString(conn, "GET /v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "200")

	large := `{"type":"x","data":"` + strings.Repeat("x", 900<<10) + `"}`
	require.Eventually(t, func() bool {
		a.do("POST", "/v1/events", large).want(http.StatusAccepted)
		return strings.Contains(a.do("GET", "/metrics", "").body, "streamlatch_http_event_streams 0\n")
	}, 20*time.Second, time.Millisecond)
}

func TestAStreamOutlivesTheTimeThatARequestMayTake(t *testing.T) {
	a := newAPI(t, func(c *httpapi.Config) { c.Heartbeat = 5 * time.Millisecond })
	short := a.server.HTTPServer("127.0.0.1:0")
	short.ReadTimeout, short.WriteTimeout = 30*time.Millisecond, 30*time.Millisecond
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- short.Serve(l) }()
	a.url = "http://" + l.Addr().String()
	s := a.follow("")
	start := time.Now()
	for time.Since(start) < 150*time.Millisecond {
		_, err := s.block()
		require.NoError(t, err)
	}
	s.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	require.NoError(t, short.Shutdown(ctx))
	require.ErrorIs(t, <-served, http.ErrServerClosed)
}

func TestAStreamSurvivesAnOutageOfTheStore(t *testing.T) {
	a := newAPI(t)
	s := a.follow("")
	a.store.fail(router.Errorf(router.Unavailable, "no Redis"))
	a.do("POST", "/v1/events", paid, structured).problem(503, "unavailable")
	a.store.fail(nil)
	publishMany(t, a, 2)
	got := []any{s.next().event(t)["id"], s.next().event(t)["id"]}
	require.ElementsMatch(t, []any{"1", "2"}, got)
}
