package cloudevents_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// fieldsOf takes an event apart again.
func fieldsOf(e router.Event) router.EventFields {
	return router.EventFields{
		ID: e.ID(), Source: e.Source(), Type: e.Type(), Subject: e.Subject(), Time: e.TimeText(), DataContentType: e.DataContentType(),
		DataSchema: e.DataSchema(), Extensions: slices.Collect(e.Extensions), Data: e.DataText(), DataKind: e.DataKind(),
	}
}

// variety is what drawn events are made of.
type variety struct {
	characters string // of the texts
	sources    []string
	documents  []string // data that is JSON
	jsonType   string   // its content type
}

// everything is hard on a reader.
var everything = variety{
	characters: "aZ \"%\\</é€😀\u00a0\u202e\u2028",
	sources:    []string{"/", "urn:a:b", "https://example.com/%7e?q#f"},
	documents:  []string{"null", `"a"`, "-0.0", `{"b":[1E400, {}],"a":" \u0000\/"}`, "[ \n]", "12345678901234567890"},
	jsonType:   "Application/X+JSON; charset=\"UTF-8\"",
}

// anyEvent draws valid events.
func anyEvent(t *rapid.T, of variety) router.Event {
	text := rapid.StringOf(rapid.RuneFrom([]rune(of.characters)))
	f := router.EventFields{
		ID:         "i" + text.Draw(t, "id"),
		Source:     rapid.SampledFrom(of.sources).Draw(t, "source"),
		Type:       "t" + text.Draw(t, "type"),
		Subject:    text.Draw(t, "subject"),
		Time:       rapid.SampledFrom([]string{"", "2026-11-20T12:00:00Z", "2018-04-26T14:48:09.1234+02:00"}).Draw(t, "time"),
		DataSchema: rapid.SampledFrom([]string{"", "http://localhost/schema"}).Draw(t, "dataschema"),
	}
	for _, name := range rapid.SliceOfNDistinct(rapid.StringMatching(`x[a-z0-9]{0,9}`), 0, 5, rapid.ID[string]).Draw(t, "names") {
		f.Extensions = append(f.Extensions, rapid.SampledFrom([]router.Extension{
			{Name: name, Value: "v" + text.Draw(t, "value")},
			{Name: name, Value: "-2147483648", Kind: router.IntegerValue},
			{Name: name, Value: "true", Kind: router.BooleanValue},
		}).Draw(t, "extension"))
	}
	drawData(t, of, &f)
	e, err := router.NewEvent(f)
	require.NoError(t, err)
	return e
}

func drawData(t *rapid.T, of variety, f *router.EventFields) {
	f.DataKind = rapid.SampledFrom([]router.DataKind{router.NoData, router.JSONData, router.TextData, router.BinaryData}).Draw(t, "kind")
	switch f.DataKind {
	case router.NoData:
		f.DataContentType = rapid.SampledFrom([]string{"", "application/json"}).Draw(t, "type of nothing")
	case router.JSONData:
		f.DataContentType = rapid.SampledFrom([]string{"", "application/json", of.jsonType}).Draw(t, "type of JSON")
		f.Data = rapid.SampledFrom(of.documents).Draw(t, "JSON")
	case router.TextData:
		f.DataContentType = rapid.SampledFrom([]string{"text/plain", "text/html; charset=utf-8"}).Draw(t, "type of text")
		f.Data = rapid.String().Draw(t, "text")
	case router.BinaryData:
		f.DataContentType = rapid.SampledFrom([]string{"", "image/png"}).Draw(t, "type of bytes")
		f.Data = string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))
	}
}

func TestStructuredEventsComeOutAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := []router.Event{anyEvent(t, everything), anyEvent(t, everything)}
		one, err := cloudevents.Decoder{}.Decode(cloudevents.StructuredType, nil, cloudevents.AppendStructured(nil, list[0]))
		require.NoError(t, err)
		require.Equal(t, list[:1], one)
		both, err := cloudevents.Decoder{}.Decode(cloudevents.BatchType, nil, cloudevents.AppendBatch(nil, list))
		require.NoError(t, err)
		require.Equal(t, list, both)
	})
}

// Binary mode says less than the JSON format: every extension is text, JSON has to have its content type, and an empty body is no data.
func TestBinaryEventsComeOutAsTheyWentIn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t, everything)
		want := fieldsOf(e)
		for i := range want.Extensions {
			want.Extensions[i].Kind = router.StringValue
		}
		if want.DataKind == router.JSONData && want.DataContentType == "" {
			want.DataContentType = "application/json"
		}
		if want.Data == "" {
			want.DataKind = router.NoData
		}
		header := throughTheWire(t, cloudevents.BinaryHeaders(e))
		got, err := cloudevents.Decoder{}.Decode(header.Get("Content-Type"), header, e.Data())
		require.NoError(t, err)
		require.Equal(t, want, fieldsOf(got[0]))
	})
}

// throughTheWire writes headers as HTTP does and reads them again.
func throughTheWire(t require.TestingT, header http.Header) http.Header {
	request, err := http.NewRequest(http.MethodPost, "http://example.com/", nil)
	require.NoError(t, err)
	request.Header = header
	var b strings.Builder
	require.NoError(t, request.Write(&b))
	got := httptest.NewRequest(http.MethodPost, "/", nil)
	for line := range strings.SplitSeq(strings.TrimSuffix(b.String(), "\r\n\r\n"), "\r\n") {
		if key, value, ok := strings.Cut(line, ": "); ok {
			require.Regexp(t, `^[ -~]*$`, value)
			got.Header.Add(key, value)
		}
	}
	return got.Header
}
