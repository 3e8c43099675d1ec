package client_test

import (
	"encoding/json"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/client"
)

func TestAnEventIsMadeOfItsParts(t *testing.T) {
	for name, c := range map[string]struct {
		fields client.EventFields
		want   string
	}{
		"the least": {client.EventFields{ID: "1", Type: "a"}, `{"specversion":"1.0","id":"1","type":"a"}`},
		"JSON stays as it is": {client.EventFields{ID: "1", Type: "a", Data: []byte(`{ "n": 1.0, "s": "<&>" }`)},
			`{"specversion":"1.0","id":"1","type":"a","data":{ "n": 1.0, "s": "<&>" }}`},
		"JSON by its suffix": {client.EventFields{ID: "1", Type: "a", DataContentType: "application/x+json; charset=utf-8", Data: []byte(`1`)},
			`{"specversion":"1.0","id":"1","type":"a","datacontenttype":"application/x+json; charset=utf-8","data":1}`},
		"text": {client.EventFields{ID: "1", Type: "a", DataContentType: "text/plain", Data: []byte("a\n\"b\"")},
			`{"specversion":"1.0","id":"1","type":"a","datacontenttype":"text/plain","data":"a\n\"b\""}`},
		"bytes": {client.EventFields{ID: "1", Type: "a", DataContentType: "image/png", Data: []byte{0xff, 0}},
			`{"specversion":"1.0","id":"1","type":"a","datacontenttype":"image/png","data_base64":"/wA="}`},
		"empty text": {client.EventFields{ID: "1", Type: "a", DataContentType: "text/plain", Data: []byte{}},
			`{"specversion":"1.0","id":"1","type":"a","datacontenttype":"text/plain","data":""}`},
		"everything": {client.EventFields{ID: "1", Type: "a", Source: "/s", Subject: "x", Time: "2024-11-20T18:40:00.10Z", DataSchema: "u:s", Extensions: map[string]string{"z": "1", "b": "2"}},
			`{"specversion":"1.0","id":"1","source":"/s","type":"a","subject":"x","time":"2024-11-20T18:40:00.10Z","dataschema":"u:s","b":"2","z":"1"}`},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := client.NewEvent(c.fields)
			require.NoError(t, err)
			require.Equal(t, c.want, e.String())
			require.Equal(t, "1", e.ID())
			require.Equal(t, len(c.want)+1, e.Size())
		})
	}
	_, err := client.NewEvent(client.EventFields{Type: "a", Data: []byte("hello")})
	require.EqualError(t, err, "data is not JSON; say of what content type it is")
}

func TestEventsWithoutIDGetOneBeforeTheyAreSent(t *testing.T) {
	made, err := client.NewEvent(client.EventFields{Type: "a"})
	require.NoError(t, err)
	parsed, err := client.ParseEvent([]byte(`{"type":"a"}`), client.EventFields{})
	require.NoError(t, err)
	require.Len(t, made.ID(), 26)
	require.Len(t, parsed.ID(), 26)
	require.NotEqual(t, made.ID(), parsed.ID())
	require.Contains(t, parsed.String(), parsed.ID())
}

func TestATextIsCompletedAndOtherwiseKept(t *testing.T) {
	all := client.EventFields{ID: "new", Source: "/cli", Type: "t", Subject: "s", DataContentType: "not used"}
	for in, want := range map[string]string{
		`{}`: `{"specversion":"1.0","id":"new","source":"/cli","type":"t","subject":"s"}`,
		` { "id" : "a", "data": {"n": 1.0,
 "d": "\u00e9"} } `: `{"specversion":"1.0","source":"/cli","type":"t","subject":"s", "id" : "a", "data": {"n": 1.0,
 "d": "\u00e9"} }`,
		`{"specversion":"1.0","id":"\u0061","source":"/x","type":"y","subject":"z","time":"2024-11-20T18:40:00.10+01:00"}`: `{"specversion":"1.0","id":"\u0061","source":"/x","type":"y","subject":"z","time":"2024-11-20T18:40:00.10+01:00"}`,
	} {
		e, err := client.ParseEvent([]byte(in), all)
		require.NoError(t, err, in)
		require.Equal(t, want, e.String())
		require.True(t, jsontext.Value(e.String()).IsValid(), e.String())
	}
	e, err := client.ParseEvent([]byte(`{"id":"\u0061"}`), client.EventFields{})
	require.NoError(t, err)
	require.Equal(t, "a", e.ID())
}

func TestATextThatIsNoEventIsRefusedWithAReason(t *testing.T) {
	for in, want := range map[string]string{
		``:                       "is not a JSON object",
		`[1]`:                    "is not a JSON object",
		`"x"`:                    "is not a JSON object",
		`{"a":1} {"b":2}`:        "holds more than one JSON value",
		`{"a":1}x`:               "holds more than one JSON value",
		`{"a":1,"a":2}`:          "has the same name twice in one object",
		`{"data":{"a":1,"a":2}}`: "has the same name twice in one object",
		`{"id":null}`:            "id must be a string",
		`{"id":1}`:               "id must be a string",
		`{"a":`:                  "is not JSON: ",
		`{"a":tru}`:              "is not JSON: ",
		"{\"a\":\"\xff\"}":       "is not JSON: ",
		`{"a":1`:                 "is not JSON: ",
	} {
		_, err := client.ParseEvent([]byte(in), client.EventFields{})
		require.ErrorContains(t, err, want, in)
	}
}

func FuzzParseEventGivesValidJSONThatHoldsWhatWasThere(f *testing.F) {
	for _, seed := range []string{`{}`, `{"id":"a"}`, ` {"type":"x","data":[1,{"a":null}]} `, `{"specversion":null}`, `{"a":1}{`, "{\n}", `{"id":"","x":"\ud800"}`} {
		f.Add(seed, "src")
	}
	f.Fuzz(func(t *testing.T, text, source string) {
		e, err := client.ParseEvent([]byte(text), client.EventFields{ID: "new", Source: source})
		if err != nil {
			return
		}
		require.True(t, jsontext.Value(e.String()).IsValid(), e.String())
		var before, after map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &before))
		require.NoError(t, json.Unmarshal([]byte(e.String()), &after))
		for name, value := range before {
			require.Equal(t, value, after[name])
		}
		require.Equal(t, e.ID(), after["id"])
	})
}
