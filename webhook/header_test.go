package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestCheckHeadersTakesWhatCanBeSent(t *testing.T) {
	require.NoError(t, CheckHeaders(nil))
	require.NoError(t, CheckHeaders(map[string]string{
		"x-team":          "a",
		"Authorization":   "Bearer s3cret",
		"X_Odd!#$%&'*+.^": "",
		"x-tab":           "a\tb c",
		"x-latin":         "caf\xe9 ü",
		"idempotency-key": "k",
		"x-long":          strings.Repeat("v", 4096),
	}))
}

func TestCheckHeadersRefusesByNameAndDoesNotRepeatValues(t *testing.T) {
	const secret = "hunter2"
	for _, c := range []struct{ name, value, location, reason string }{
		{"", "v", `[""]`, "name"},
		{"x y", "v", `["x y"]`, "name"},
		{"x:", "v", `["x:"]`, "name"},
		{"x\r\ny", "v", `["x\r\ny"]`, "name"},
		{"ü", "v", `["ü"]`, "name"},
		{"x\x00", "v", `["x\x00"]`, "name"},
		{strings.Repeat("x", 129), "v", `["` + strings.Repeat("x", 60) + `…"]`, "name"},
		{"x-a", secret + "\r\nX: 1", ".x-a", "line breaks"},
		{"x-a", secret + "\n", ".x-a", "space before or after"},
		{"x-a", secret + "\x00", ".x-a", "control"},
		{"x-a", "\x7f" + secret, ".x-a", "control"},
		{"x-a", " " + secret, ".x-a", "space before or after"},
		{"x-a", strings.Repeat("v", 4097), ".x-a", "4096"},
		{"Host", "v", ".Host", "set by Streamlatch"},
		{"content-length", "0", ".content-length", "set by Streamlatch"},
		{"Content-Type", "text/plain", ".Content-Type", "set by Streamlatch"},
		{"Content-Encoding", "gzip", ".Content-Encoding", "set by Streamlatch"},
		{"Transfer-Encoding", "chunked", ".Transfer-Encoding", "set by Streamlatch"},
		{"TE", "trailers", ".TE", "set by Streamlatch"},
		{"Trailer", "x", ".Trailer", "set by Streamlatch"},
		{"Connection", "close", ".Connection", "set by Streamlatch"},
		{"Keep-Alive", "x", ".Keep-Alive", "set by Streamlatch"},
		{"Proxy-Connection", "x", ".Proxy-Connection", "set by Streamlatch"},
		{"Proxy-Authorization", "x", ".Proxy-Authorization", "set by Streamlatch"},
		{"Upgrade", "h2c", ".Upgrade", "set by Streamlatch"},
		{"HTTP2-Settings", "x", ".HTTP2-Settings", "set by Streamlatch"},
		{"Expect", "100-continue", ".Expect", "set by Streamlatch"},
		{"User-Agent", "x", ".User-Agent", "set by Streamlatch"},
		{"WEBHOOK-ID", "x", ".WEBHOOK-ID", "set by Streamlatch"},
		{"webhook-anything", "x", ".webhook-anything", "set by Streamlatch"},
		{"ce-id", "x", ".ce-id", "set by Streamlatch"},
	} {
		err := CheckHeaders(map[string]string{"x-good": "v", c.name: c.value})
		var refused *router.Error
		require.ErrorAs(t, err, &refused, "%q", c.name)
		require.Equal(t, router.Invalid, refused.Code)
		require.Len(t, refused.Problems, 1)
		require.Equal(t, "sink.headers"+c.location, refused.Problems[0].Location)
		require.Contains(t, refused.Problems[0].Message, c.reason, "%q", c.name)
		require.NotContains(t, err.Error(), secret)
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestCheckHeadersNamesEveryFaultInOrder(t *testing.T) {
	var refused *router.Error
	require.ErrorAs(t, CheckHeaders(map[string]string{"host": "x", "X-A": "1", "x-a": "2", "ce-type": "x"}), &refused)
	var at []string
	for _, p := range refused.Problems {
		at = append(at, p.Location)
	}
	require.Equal(t, []string{"sink.headers.ce-type", "sink.headers.host", "sink.headers.x-a"}, at)
}

func TestCheckHeadersBoundsNumberAndSize(t *testing.T) {
	many := map[string]string{}
	for i := range router.MaxSinkHeaders {
		many[fmt.Sprintf("x-%d", i)] = "v"
	}
	require.NoError(t, CheckHeaders(many))
	many["x-more"] = "v"
	require.ErrorContains(t, CheckHeaders(many), "sink.headers: has 33 headers")
	long := strings.Repeat("v", 4096)
	require.ErrorContains(t, CheckHeaders(map[string]string{"x-a": long, "x-b": long}), "sink.headers: has 8198 bytes")
}

// What CheckHeaders takes, net/http sends.
func FuzzCheckHeaders(f *testing.F) {
	f.Add("x-team", "a")
	f.Add("x y", "a\r\nb")
	f.Add("Host", "\xff")
	f.Add("x", " ")
	f.Fuzz(func(t *testing.T, name, value string) {
		if CheckHeaders(map[string]string{name: value}) != nil {
			return
		}
		req, err := http.NewRequest(http.MethodPost, "http://x.example/", nil)
		require.NoError(t, err)
		req.Header[http.CanonicalHeaderKey(name)] = []string{value}
		_, err = (&http.Transport{DialContext: refuseToDial}).RoundTrip(req)
		require.ErrorIs(t, err, errNotDialled, "it got as far as dialling")
		require.False(t, isOurs(name))
	})
}

var errNotDialled = errors.New("not dialled")

func refuseToDial(context.Context, string, string) (net.Conn, error) { return nil, errNotDialled }
