package cloudevents_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// The Go SDK of CloudEvents is the oracle where it does what the specification says. It reads no numbers that a float64 can't hold, takes data that is
// null for none, knows few JSON types, trims texts, and keeps times as instants and not as texts.
var sdkReads = variety{
	characters: "aZ\"%\\</é€😀\u202e",
	sources:    everything.sources,
	documents:  []string{`"a"`, "-0.0", `{"b":[1.50, {}, null],"a":" \u0000\/"}`},
	jsonType:   "text/json",
}

// In binary mode it does not percent-encode or decode, so only what needs none can be compared.
var sdkReadsBinary = variety{
	characters: "aZ.-/~!",
	sources:    []string{"/", "urn:a:b", "https://example.com/~x?q#f"},
	documents:  sdkReads.documents,
	jsonType:   sdkReads.jsonType,
}

// requireSame compares an event with what the SDK makes of it.
func requireSame(t *rapid.T, e router.Event, sdk *event.Event) {
	require.NoError(t, sdk.Validate())
	require.Equal(t, []string{e.ID(), e.Source(), e.Type(), e.Subject(), e.DataSchema()}, []string{sdk.ID(), sdk.Source(), sdk.Type(), sdk.Subject(), sdk.DataSchema()})
	if at, ok := e.Time(); ok {
		require.True(t, at.Equal(sdk.Time()))
	}
	extensions := 0
	for x := range e.Extensions {
		extensions++
		got, err := json.Marshal(sdk.Extensions()[x.Name])
		require.NoError(t, err)
		want := x.Value
		if x.Kind == router.StringValue {
			quoted, err := json.Marshal(x.Value)
			require.NoError(t, err)
			want = string(quoted)
		}
		require.JSONEq(t, want, string(got))
	}
	require.Len(t, sdk.Extensions(), extensions)
	require.Equal(t, e.DataText(), string(sdk.Data()))
}

func TestTheSDKReadsTheStructuredEventsWeWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t, sdkReads)
		var sdk event.Event
		require.NoError(t, json.Unmarshal(cloudevents.AppendStructured(nil, e), &sdk))
		requireSame(t, e, &sdk)
		require.Equal(t, e.DataContentType(), sdk.DataContentType())
	})
}

func TestWeReadTheStructuredEventsTheSDKWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sdk event.Event
		require.NoError(t, json.Unmarshal(cloudevents.AppendStructured(nil, anyEvent(t, sdkReads)), &sdk))
		body, err := json.Marshal(sdk)
		require.NoError(t, err)
		events, err := cloudevents.Decoder{}.Decode(cloudevents.StructuredType, nil, body)
		require.NoError(t, err, string(body))
		if events[0].DataKind() == router.JSONData { // the SDK writes it without blanks
			require.JSONEq(t, string(sdk.Data()), events[0].DataText())
			require.NoError(t, sdk.SetData(sdk.DataContentType(), events[0].Data()))
		}
		requireSame(t, events[0], &sdk)
	})
}

func TestTheSDKReadsTheBinaryEventsWeWrite(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := anyEvent(t, sdkReadsBinary)
		header := throughTheWire(t, cloudevents.BinaryHeaders(e))
		sdk, err := binding.ToEvent(context.Background(), cehttp.NewMessage(header, io.NopCloser(bytes.NewReader(e.Data()))))
		require.NoError(t, err)
		for x := range e.Extensions { // which have no kinds in binary mode
			require.Equal(t, x.Value, sdk.Extensions()[x.Name])
		}
		require.NoError(t, sdk.Validate())
		require.Equal(t, []string{e.ID(), e.Source(), e.Type(), e.Subject(), e.DataSchema()}, []string{sdk.ID(), sdk.Source(), sdk.Type(), sdk.Subject(), sdk.DataSchema()})
		require.Equal(t, e.DataText(), string(sdk.Data()))
	})
}

func TestWeReadTheBinaryEventsTheSDKWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sdk event.Event
		require.NoError(t, json.Unmarshal(cloudevents.AppendStructured(nil, anyEvent(t, sdkReadsBinary)), &sdk))
		request, err := http.NewRequest(http.MethodPost, "http://example.com/", nil)
		require.NoError(t, err)
		require.NoError(t, cehttp.WriteRequest(context.Background(), (*binding.EventMessage)(&sdk), request))
		var body []byte
		if request.Body != nil {
			body, err = io.ReadAll(request.Body)
			require.NoError(t, err)
		}
		events, err := cloudevents.Decoder{}.Decode(request.Header.Get("Content-Type"), request.Header, body)
		require.NoError(t, err)
		e := events[0]
		require.Equal(t, []string{e.ID(), e.Source(), e.Type(), e.Subject(), e.DataSchema()}, []string{sdk.ID(), sdk.Source(), sdk.Type(), sdk.Subject(), sdk.DataSchema()})
		require.Equal(t, e.DataText(), string(sdk.Data()))
	})
}
