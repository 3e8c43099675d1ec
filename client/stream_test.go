package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
)

// sse sends the text of an event stream and ends it.
func sse(text string) http.HandlerFunc { return reply(200, "text/event-stream; charset=utf-8", text) }

// sseHang sends the text of an event stream and then nothing, until the client goes away.
func sseHang(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, text)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
}

var errEnough = errors.New("seen enough")

// collect reads n records, and returns them with the error that ended the stream, if it ended before.
func collect(ctx context.Context, c *client.Client, q client.StreamQuery, n int) (got []client.Record, err error) {
	for r, err := range c.Stream(ctx, q) {
		if err != nil {
			return got, err
		}
		if got = append(got, r); len(got) == n {
			return got, nil
		}
	}
	return got, errors.New("the stream ended without an error")
}

func TestAStreamGoesOnWhereItWasLost(t *testing.T) {
	c, s, w := start(t,
		sse(": stream of events\nid: c0\n\nid: c1\ndata: {\"position\":\"0:1-0\",\"event\":{\"id\":\"a\"}}\n\nid: c2\ndata: {\"posi"),
		reply(502, "text/plain", ""),
		sse("id: c2\ndata: {\"position\":\"0:2-0\",\"event\":{\"id\":\"b\"}}\n\n"))
	var lost []error
	opened := 0
	got, err := collect(t.Context(), c, client.StreamQuery{
		Types: []string{"a.*", "b"}, Source: "/s", OnOpen: func() { opened++ }, OnLost: func(err error) { lost = append(lost, err) },
	}, 2)
	require.NoError(t, err)
	require.Equal(t, "0:1-0", got[0].Position)
	require.Equal(t, "c1", got[0].Cursor)
	require.Equal(t, "0:2-0", got[1].Position)
	require.Len(t, lost, 2)
	require.ErrorIs(t, lost[0], io.ErrUnexpectedEOF)
	require.Equal(t, 2, opened)
	require.Len(t, w.list, 2)

	require.Equal(t, "source=%2Fs&types=a.%2A%2Cb", s.at(0).url.RawQuery)
	require.Empty(t, s.at(0).header.Get("Last-Event-ID"))
	require.Equal(t, "c1", s.at(1).header.Get("Last-Event-ID"))
	require.Equal(t, "c1", s.at(2).header.Get("Last-Event-ID"))
}

func TestAStreamThatIsLostBeforeItsFirstEventGoesOnFromItsStart(t *testing.T) {
	c, s, _ := start(t, sse(": stream of events\nid: c0\n\n"), sse("data: {\"position\":\"0:1-0\"}\n\n"))
	_, err := collect(t.Context(), c, client.StreamQuery{}, 1)
	require.NoError(t, err)
	require.Equal(t, "c0", s.at(1).header.Get("Last-Event-ID"))
}

func TestAStreamBeginsAtTheCursorThatIsGiven(t *testing.T) {
	c, s, _ := start(t, sse("data: {\"position\":\"0:1-0\"}\n\n"))
	got, err := collect(t.Context(), c, client.StreamQuery{Cursor: "mine"}, 1)
	require.NoError(t, err)
	require.Equal(t, "mine", s.at(0).header.Get("Last-Event-ID"))
	require.Equal(t, "mine", got[0].Cursor)
}

func TestAStreamIsReadAsTheStandardSays(t *testing.T) {
	c, _, _ := start(t, sse("\ufeffid: c1\r\nevent: x\r\nretry: 5\r\ndata:{\"position\":\r\ndata: \"0:1-0\"}\r\n\r\n"+
		": only a comment\n\nid: bad\x00id\ndata\ndata: {\"position\":\"0:2-0\"}\n\n"))
	got, err := collect(t.Context(), c, client.StreamQuery{}, 2)
	require.NoError(t, err)
	require.Equal(t, client.Record{Position: "0:1-0", Cursor: "c1"}, got[0])
	require.Equal(t, client.Record{Position: "0:2-0", Cursor: "c1"}, got[1])
}

func TestASilentStreamIsOpenedAnew(t *testing.T) {
	c, _, _ := startWith(t, client.Config{IdleTimeout: 20 * time.Millisecond}, sseHang("id: c0\n\n"), sse("data: {\"position\":\"0:1-0\"}\n\n"))
	var lost error
	_, err := collect(t.Context(), c, client.StreamQuery{OnLost: func(err error) { lost = err }}, 1)
	require.NoError(t, err)
	require.ErrorIs(t, lost, client.ErrIdle)
}

func TestAStreamEndsWithTheContextsCause(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	c, _, _ := start(t, sseHang("data: {\"position\":\"0:1-0\"}\n\n"))
	var ended error
	for r, err := range c.Stream(ctx, client.StreamQuery{}) {
		if err == nil {
			require.Equal(t, "0:1-0", r.Position)
			cancel(errEnough)
		}
		ended = err
	}
	require.ErrorIs(t, ended, errEnough)
}

func TestAStreamEndsWhereTheServerRefuses(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"422 The cursor is not valid":                            problem(422, `{"title":"The cursor is not valid"}`),
		`answered with "text/html" and not with an event stream`: reply(200, "text/html", "hello"),
		"what this client does not know":                         sse("data: [1]\n\n"),
	} {
		t.Run(name, func(t *testing.T) {
			c, _, _ := start(t, answer)
			_, err := collect(t.Context(), c, client.StreamQuery{}, 1)
			require.ErrorContains(t, err, name)
		})
	}
}

func TestALongMessageIsRead(t *testing.T) {
	long := strings.Repeat("x", 300_000)
	c, _, _ := start(t, sse("data: {\"position\":\"0:1-0\",\"event\":\""+long+"\"}\n\n"))
	got, err := collect(t.Context(), c, client.StreamQuery{}, 1)
	require.NoError(t, err)
	require.Len(t, got[0].Event, len(long)+2)
}
