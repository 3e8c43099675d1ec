package cloudevents_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// headers is a small event in binary mode with more headers, as pairs of name and value.
func headers(more ...string) http.Header {
	h := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/a"}, "Ce-Type": {"t"}, "User-Agent": {"x"}, "Cement": {"y"}, "Ce-": {"z"}}
	for i := 0; i < len(more); i += 2 {
		h[more[i]] = []string{more[i+1]}
	}
	return h
}

func decodeBinary(t testing.TB, contentType string, header http.Header, body string) router.Event {
	t.Helper()
	events, err := cloudevents.Decoder{}.Decode(contentType, header, []byte(body))
	require.NoError(t, err)
	require.Len(t, events, 1)
	return events[0]
}

func TestABinaryEventIsReadWithAllItsParts(t *testing.T) {
	e := decodeBinary(t, "application/json; charset=utf-8", headers("ce-subject", "s", "CE-TIME", "2018-04-05T03:56:24Z", "Ce-Dataschema", "a:b",
		"Ce-Comexampleextension1", "value", "cE-cOUNT", "5"), ` {"world":"hello"}`+"\n")
	require.Equal(t, []string{"1", "/a", "t", "s", "2018-04-05T03:56:24Z", "a:b", "application/json; charset=utf-8"},
		[]string{e.ID(), e.Source(), e.Type(), e.Subject(), e.TimeText(), e.DataSchema(), e.DataContentType()})
	require.Equal(t, []router.Extension{{Name: "comexampleextension1", Value: "value"}, {Name: "count", Value: "5"}}, slices.Collect(e.Extensions))
	require.Equal(t, router.JSONData, e.DataKind())
	require.Equal(t, ` {"world":"hello"}`+"\n", e.DataText(), "byte for byte")
}

func TestABodyTravelsByItsContentType(t *testing.T) {
	for _, c := range []struct {
		contentType, body string
		kind              router.DataKind
	}{
		{"application/json", "", router.NoData},
		{"", "", router.NoData},
		{"application/json", "null", router.JSONData},
		{"application/problem+json", `"a"`, router.JSONData},
		{"application/json", "{", router.BinaryData},
		{"application/json", "{} {}", router.BinaryData},
		{"application/json", `{"a":1,"a":2}`, router.BinaryData},
		{"application/json", "\"\xff\"", router.BinaryData},
		{"application/json", "\ufeff{}", router.BinaryData},
		{"application/json", strings.Repeat("[", 300) + strings.Repeat("]", 300), router.BinaryData},
		{"application/json; charset=utf-16", "{}", router.BinaryData},
		{"text/plain", "é", router.TextData},
		{"text/plain; charset=us-ascii", "Hello, World!\n", router.TextData},
		{"text/plain", "\xe9", router.BinaryData},
		{"text/plain; charset=iso-8859-1", "e", router.BinaryData},
		{"application/xml", "<a/>", router.BinaryData},
		{"image/png", "\x89PNG", router.BinaryData},
		{"", "{}", router.BinaryData},
	} {
		e := decodeBinary(t, c.contentType, headers(), c.body)
		require.Equal(t, c.kind, e.DataKind(), "%s %q", c.contentType, c.body)
		require.Equal(t, c.body, e.DataText())
		require.Equal(t, c.contentType, e.DataContentType())
	}
}

// The rules and the examples are those of the HTTP protocol binding, section 3.1.3.2.
func TestHeaderValuesAreUnquotedAndPercentDecodedOnce(t *testing.T) {
	for value, want := range map[string]string{
		"plain":                                  "plain",
		"Euro%20%E2%82%AC%20%F0%9F%98%80":        "Euro € 😀",
		"Euro%20%e2%82%ac":                       "Euro €",
		"%41%62":                                 "Ab",
		"100%2525":                               "100%25",
		"a b":                                    "a b",
		"Euro €":                                 "Euro €",
		`"quoted value"`:                         "quoted value",
		`"a \"b\" \\ c"`:                         `a "b" \ c`,
		`a="b c"`:                                "a=b c",
		`""`:                                     "",
		`"%20%22"`:                               ` "`,
		`a\b`:                                    `a\b`,
		" \tpadded\t ":                           "padded",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-01": "00-4bf92f3577b34da6a3ce929d0e0e4736-01",
	} {
		x, ok := decodeBinary(t, "", headers("Ce-X", value), "").Extension("x")
		require.True(t, ok)
		require.Equal(t, want, x.Value, value)
	}
}

func TestHeadersThatAreNotACloudEventAreRefusedWithTheName(t *testing.T) {
	for _, c := range []struct {
		header http.Header
		at     []string
	}{
		{headers("Ce-X", "%C0%A0"), []string{"header.ce-x"}},
		{headers("Ce-X", "%ED%A0%80"), []string{"header.ce-x"}},
		{headers("Ce-X", "%FF"), []string{"header.ce-x"}},
		{headers("Ce-X", "\xe9"), []string{"header.ce-x"}},
		{headers("Ce-X", "100%"), []string{"header.ce-x"}},
		{headers("Ce-X", "%4"), []string{"header.ce-x"}},
		{headers("Ce-X", "%zz"), []string{"header.ce-x"}},
		{headers("Ce-X", "%0D%0Ax: y"), []string{"header.ce-x"}},
		{headers("Ce-X", "%00"), []string{"header.ce-x"}},
		{headers("Ce-X", "a\x07"), []string{"header.ce-x"}},
		{headers("Ce-X", "%EF%BF%BF"), []string{"header.ce-x"}},
		{headers("Ce-X", `"open`), []string{"header.ce-x"}},
		{headers("Ce-X", `"open\`), []string{"header.ce-x"}},
		{headers("Ce-X", `"a"b"`), []string{"header.ce-x"}},
		{headers("Ce-Time", "yesterday"), []string{"header.ce-time"}},
		{headers("Ce-Subject", ""), []string{"header.ce-subject"}},
		{headers("Ce-Subject", `""`), []string{"header.ce-subject"}},
		{headers("Ce-Source", "/a%20b", "Ce-Id", ""), []string{"header.ce-id", "header.ce-source"}},
		{headers("Ce-Datacontenttype", "text/plain"), []string{"header.ce-datacontenttype"}},
		{headers("Ce-Data", "x"), []string{"header.ce-data"}},
		{headers("Ce-Data_base64", "eA=="), []string{"header.ce-data_base64"}},
		{headers("Ce-A_b", "x", "Ce-A.b", "y", "Ce-\u00e9", "z"), []string{"header.ce-a_b", `header["\u00e9"]`, `header["a.b"]`}},
		{headers("Ce-Specversion", "0.3"), []string{"header.ce-specversion"}},
		{headers("Ce-Specversion", ""), []string{"header.ce-specversion"}},
		{headers("ce-id", "1"), []string{"header.ce-id"}},
		{headers("ce-x", "1", "Ce-X", "1"), []string{"header.ce-x"}},
		{http.Header{"Ce-Specversion": {"1.0"}}, []string{"header.ce-id", "header.ce-source", "header.ce-type"}},
		{http.Header{"Ce-Id": {"1"}, "Ce-Source": {"/a"}, "Ce-Type": {"t"}}, []string{"header.ce-specversion"}},
		{http.Header{"Ce-Specversion": {"1.0", "1.0"}, "Ce-Id": {"1", "2"}, "Ce-Source": {"/a"}, "Ce-Type": {"t"}, "Ce-X": {"1", "1"}},
			[]string{"header.ce-id", "header.ce-specversion", "header.ce-x"}},
	} {
		require.Equal(t, c.at, refused(t, "application/json", c.header, "{}"), "%q", c.header)
	}
	require.Equal(t, []string{"header.content-type"}, refused(t, "json", headers(), "{}"))
	twice := headers()
	twice["Content-Type"] = []string{"a/b", "a/b"}
	require.Equal(t, []string{"header.content-type"}, refused(t, "a/b", twice, "{}"))
}

func TestAContentTypeOfCloudEventsIsStrongerThanHeaders(t *testing.T) {
	e := decodeBinary(t, cloudevents.StructuredType, headers("Ce-Id", "other"), with(""))
	require.Equal(t, "1", e.ID())
	events, err := cloudevents.Decoder{}.Decode("application/cloudevents+protobuf", headers(), nil)
	locationsOf(t, events, err, router.Unsupported)
}

func TestBinaryHeadersAreEncodedAsTheBindingSays(t *testing.T) {
	e, err := router.NewEvent(router.EventFields{
		ID: "Euro € 😀", Source: "/a%20b", Type: `"q" %`, Subject: "~!\u00a0", Time: "2026-11-20T12:00:00Z", DataContentType: `text/plain; x="a b"`, DataSchema: "a:b",
		Extensions: []router.Extension{{Name: "0x", Value: "true", Kind: router.BooleanValue}, {Name: "abc"}}, Data: "d", DataKind: router.TextData,
	})
	require.NoError(t, err)
	require.Equal(t, http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Id": {"Euro%20%E2%82%AC%20%F0%9F%98%80"}, "Ce-Source": {"/a%2520b"}, "Ce-Type": {"%22q%22%20%25"},
		"Ce-Subject": {"~!%C2%A0"}, "Ce-Time": {"2026-11-20T12:00:00Z"}, "Ce-Dataschema": {"a:b"}, "Content-Type": {`text/plain; x="a b"`},
		"Ce-0x": {"true"}, "Ce-Abc": {""},
	}, cloudevents.BinaryHeaders(e))
}

func TestJSONWithoutAContentTypeIsSaidToBeJSONInBinaryMode(t *testing.T) {
	require.Equal(t, "application/json", cloudevents.BinaryHeaders(decodeOne(t, cloudevents.StructuredType, with(`,"data":1`))).Get("Content-Type"))
	for _, members := range []string{``, `,"data_base64":"AA=="`} {
		require.NotContains(t, cloudevents.BinaryHeaders(decodeOne(t, cloudevents.StructuredType, with(members))), "Content-Type")
	}
}

// Storage is not under our control alone: what was put there by hand must not break out of a header.
func TestNothingThatWasStoredBreaksOutOfAHeader(t *testing.T) {
	e, err := router.DecodeEvent("\x01\x00\x04\r\nX:\x03/\xff\n\x02t\x00\x00\x00\x06a/b\r\nX\x00\x03\x00\x04A\r\nX\x03x\r\n\x00\x01a\x02\r\n\x00\x03b:c\x01d\x00")
	require.NoError(t, err)
	require.Equal(t, http.Header{
		"Ce-Specversion": {"1.0"}, "Ce-Id": {"%0D%0AX:"}, "Ce-Source": {"/%FF%0A"}, "Ce-Type": {"t%00"}, "Content-Type": {"a/b%0D%0AX"}, "Ce-A": {"%0D%0A"},
	}, cloudevents.BinaryHeaders(e))
}
