package router_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestMediaTypesAreReadWithoutRegardToCase(t *testing.T) {
	for text, want := range map[string]router.MediaType{
		"application/json":                         {Type: "application", Subtype: "json"},
		"TEXT/Plain; CharSet=UTF-8":                {Type: "text", Subtype: "plain", Charset: "utf-8"},
		`text/plain;charset="utf-8"`:               {Type: "text", Subtype: "plain", Charset: "utf-8"},
		`text/plain; charset="ut\f-8"`:             {Type: "text", Subtype: "plain", Charset: "utf-8"},
		"application/json ; v=1 ; charset=latin1;": {Type: "application", Subtype: "json", Charset: "latin1"},
		"application/vnd.a+json; profile=\"a;b\"":  {Type: "application", Subtype: "vnd.a+json"},
		"multipart/form-data; boundary=x":          {Type: "multipart", Subtype: "form-data"},
	} {
		got, ok := router.ParseMediaType(text)
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
}

func TestWhatIsNoMediaTypeIsRefused(t *testing.T) {
	for _, text := range []string{
		"", "json", "/json", "application/", "application/json/x", "application /json", "application/ json", " application/json", "a/b c",
		"a/b; charset", "a/b; charset=", "a/b; =utf-8", `a/b; charset="utf-8`, `a/b; charset="utf-8\`, "a/b; charset=utf-8 x", "a/b; charset=utf-8; charset=x",
		"a/b, c/d", "a/b\r\nx: y", "a/b;x=\"\r\n\"", "a/b; x=é", "a/b;x=\"é\"", "é/b", "a/b\x00",
	} {
		_, ok := router.ParseMediaType(text)
		require.False(t, ok, text)
	}
}

func TestJSONIsToldByTheSubtype(t *testing.T) {
	for text, want := range map[string]bool{
		"application/json": true, "text/json; charset=utf-8": true, "application/problem+json": true, "IMAGE/SVG+JSON": true,
		"application/jsonl": false, "application/json-seq": false, "application/geo+json-seq": false, "text/plain": false,
	} {
		m, ok := router.ParseMediaType(text)
		require.True(t, ok, text)
		require.Equal(t, want, m.IsJSON(), text)
	}
}
