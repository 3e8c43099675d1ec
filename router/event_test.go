package router_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// smallest is an event with nothing but what it must have.
func smallest() router.EventFields {
	return router.EventFields{ID: "1", Source: "/a", Type: "t"}
}

func eventWith(t testing.TB, change func(*router.EventFields)) router.Event {
	t.Helper()
	f := smallest()
	change(&f)
	e, err := router.NewEvent(f)
	require.NoError(t, err)
	return e
}

// locations builds an event and returns where it is at fault.
func locations(t testing.TB, change func(*router.EventFields)) []string {
	t.Helper()
	f := smallest()
	change(&f)
	_, err := router.NewEvent(f)
	if err == nil {
		return nil
	}
	var e *router.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, router.Malformed, e.Code)
	var at []string
	for _, p := range e.Problems {
		require.NotEmpty(t, p.Message)
		at = append(at, p.Location)
	}
	return at
}

func TestRequiredAttributesMustBeThere(t *testing.T) {
	require.Equal(t, []string{"id", "type", "source"}, locations(t, func(f *router.EventFields) { *f = router.EventFields{} }))
}

func TestAttributesHoldWhatTheTypeStringAllows(t *testing.T) {
	for _, text := range []string{"a", " ", "é", "€", "😀", "\u202e", "e\u0301", "\u00a0", "\ufffd", "{p3}", "{", "*?[", "__proto__", "-inf", "0-0", "%s%n", "]]"} {
		require.Empty(t, locations(t, func(f *router.EventFields) { f.ID, f.Type, f.Subject = text, text, text }), "%q", text)
	}
	for _, text := range []string{"\x00", "a\n", "\r\n", "\t", "\x1f", "\x7f", "\u0080", "\u009f", "\ufffe", "\uffff", "\ufdd0", "\ufdef", "\U0001fffe", "\U0010ffff",
		"\xff", "\xc0\xa0", "\xed\xa0\x80", "a\xe2\x82"} {
		require.Equal(t, []string{"id", "type", "subject"},
			locations(t, func(f *router.EventFields) { f.ID, f.Type, f.Subject = text, text, text }), "%q", text)
	}
}

func TestSourceIsAURIReference(t *testing.T) {
	for _, source := range []string{
		"https://github.com/cloudevents", "mailto:cncf-wg-serverless@lists.cncf.io", "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
		"cloudevents/spec/pull/123", "/sensors/tn-1234567/alerts", "1-555-123-4567", "/", ".", "..", "?q", "#f", "a/b:c", "//host", "//host:80/p", "//u:p@host",
		"http://[2001:db8::1]:8080/x", "http://[v7.a:b]/", "//[::ffff:1.2.3.4]", "/%7e%C3%A9", "x:", "a+b-c.d:x", "/a?b=/?", "tag:example.com,2026:x",
	} {
		require.Empty(t, locations(t, func(f *router.EventFields) { f.Source = source }), source)
	}
	for _, source := range []string{
		"/a b", "/é", "/\u202e", "/a\nb", "/a\x00", "/<x>", `/a"b`, `\\host`, "/{p3}", "/a|b", "/a^b", "/a`b", "/%", "/%z0", "/%4", "1a:b", ":x", "a_b:c", "a%20:b",
		"/[x]", "/?a[0]=1", "#a[0]", "#a#b", "http://[::1", "http://[::1]x", "http://[fe80::1%25eth0]", "http://[1.2.3.4]", "http://h:8a/", "//a@b@c", "//[u]@h", "\xff",
	} {
		require.Equal(t, []string{"source"}, locations(t, func(f *router.EventFields) { f.Source = source }), source)
	}
}

func TestDataSchemaIsAnAbsoluteURI(t *testing.T) {
	for _, schema := range []string{"http://localhost/schema", "urn:x:y", "https://example.com/s.json#/definitions/a"} {
		require.Empty(t, locations(t, func(f *router.EventFields) { f.DataSchema = schema }), schema)
	}
	for _, schema := range []string{"/schema", "schema", "//host/schema", "#a", "http://ho st/"} {
		require.Equal(t, []string{"dataschema"}, locations(t, func(f *router.EventFields) { f.DataSchema = schema }), schema)
	}
}

func TestTimeIsRFC3339AndKeptAsItWasSent(t *testing.T) {
	e := eventWith(t, func(f *router.EventFields) { f.Time = "2018-04-26T14:48:09.1200+02:00" })
	require.Equal(t, "2018-04-26T14:48:09.1200+02:00", e.TimeText())
	at, ok := e.Time()
	require.True(t, ok)
	require.Equal(t, "2018-04-26T12:48:09.120Z", router.FormatTime(at))
	require.Equal(t, []string{"time"}, locations(t, func(f *router.EventFields) { f.Time = "yesterday" }))
}

func TestExtensionNamesAreLowerCaseLettersAndDigits(t *testing.T) {
	named := func(name string) func(*router.EventFields) {
		return func(f *router.EventFields) { f.Extensions = []router.Extension{{Name: name, Value: "x"}} }
	}
	for _, name := range []string{"a", "0", "partitionkey", "comexampleextension1", "nameslongerthantwentycharactersaredisadvised", strings.Repeat("a", router.MaxNameBytes)} {
		require.Empty(t, locations(t, named(name)), name)
	}
	for name, at := range map[string]string{
		"": `[""]`, "aString": "aString", "a_b": "a_b", "a-b": "a-b", "é": `["\u00e9"]`, "a.b": `["a.b"]`, "a\r\nb": `["a\r\nb"]`, "a ": `["a "]`, "\xff": `["\xff"]`,
		"specversion": "specversion", "id": "id", "source": "source", "type": "type", "subject": "subject", "time": "time",
		"datacontenttype": "datacontenttype", "dataschema": "dataschema", "data": "data", "data_base64": "data_base64",
		strings.Repeat("a", router.MaxNameBytes+1): `["` + strings.Repeat("a", 40) + `"…]`,
	} {
		require.Equal(t, []string{at}, locations(t, named(name)), name)
	}
}

func TestExtensionValuesAreCanonicalTextOfTheirKind(t *testing.T) {
	valued := func(kind router.ValueKind, value string) func(*router.EventFields) {
		return func(f *router.EventFields) {
			f.Extensions = []router.Extension{{Name: "x", Value: value, Kind: kind}}
		}
	}
	for kind, values := range map[router.ValueKind][]string{
		router.StringValue:  {"", "a b", "é", "42.42"},
		router.BooleanValue: {"true", "false"},
		router.IntegerValue: {"0", "-1", "2147483647", "-2147483648"},
	} {
		for _, value := range values {
			require.Empty(t, locations(t, valued(kind, value)), value)
		}
	}
	for kind, values := range map[router.ValueKind][]string{
		router.StringValue:  {"a\nb", "\xff"},
		router.BooleanValue: {"", "True", "1", "null"},
		router.IntegerValue: {"", "-0", "+1", "01", "1.0", "1e2", "0x10", "2147483648", "-2147483649", "4247483647", " 1", "NaN"},
		router.ValueKind(9): {"x"},
	} {
		for _, value := range values {
			require.Equal(t, []string{"x"}, locations(t, valued(kind, value)), value)
		}
	}
}

func TestAnExtensionMayNotBeGivenTwice(t *testing.T) {
	require.Equal(t, []string{"b"}, locations(t, func(f *router.EventFields) {
		f.Extensions = []router.Extension{{Name: "b"}, {Name: "a"}, {Name: "b"}}
	}))
}

func TestDataMustFitItsKindAndContentType(t *testing.T) {
	for _, c := range []struct {
		contentType, data string
		kind              router.DataKind
		at                []string
	}{
		{"", "", router.NoData, nil},
		{"text/plain", "", router.NoData, nil},
		{"", "{}", router.NoData, []string{"data"}},
		{"", `{"a":[1]}`, router.JSONData, nil},
		{"application/cloudevents+json", " null\n", router.JSONData, nil},
		{"application/json; charset=UTF-8", "1e400", router.JSONData, nil},
		{"", "", router.JSONData, []string{"data"}},
		{"", "{} {}", router.JSONData, []string{"data"}},
		{"", `{"a":1,"a":2}`, router.JSONData, []string{"data"}},
		{"", "\"\xff\"", router.JSONData, []string{"data"}},
		{"", `"\ud800"`, router.JSONData, []string{"data"}},
		{"", "\ufeff{}", router.JSONData, []string{"data"}},
		{"text/plain", "{}", router.JSONData, []string{"datacontenttype"}},
		{"application/json; charset=utf-16", "{}", router.JSONData, []string{"datacontenttype"}},
		{"text/plain", "a\x00\r\n😀", router.TextData, nil},
		{"application/xml; charset=us-ascii", "<a/>", router.TextData, nil},
		{"text/plain", "", router.TextData, nil},
		{"text/plain", "\xff", router.TextData, []string{"data"}},
		{"", "a", router.TextData, []string{"datacontenttype"}},
		{"application/json", "a", router.TextData, []string{"datacontenttype"}},
		{"text/plain; charset=iso-8859-1", "é", router.TextData, []string{"datacontenttype"}},
		{"text/plain; charset=iso-8859-1", "\xe9", router.BinaryData, nil},
		{"", "\x00\xff", router.BinaryData, nil},
		{"application/json", "", router.BinaryData, nil},
		{"json", "\x00", router.BinaryData, []string{"datacontenttype"}},
		{"", "a", router.DataKind(7), []string{"data"}},
	} {
		require.Equal(t, c.at, locations(t, func(f *router.EventFields) {
			f.DataContentType, f.Data, f.DataKind = c.contentType, c.data, c.kind
		}), "%q %q", c.contentType, c.data)
	}
}

func TestAttributesOverTheLimitsAreTooLarge(t *testing.T) {
	f := smallest()
	f.Subject = strings.Repeat("x", router.MaxAttributeBytes-len(f.ID+f.Source+f.Type))
	_, err := router.NewEvent(f)
	require.NoError(t, err)

	f.Subject += "x"
	_, err = router.NewEvent(f)
	require.Equal(t, router.TooLarge, router.ErrorCode(err))

	f = smallest()
	for i := range router.MaxExtensions + 1 {
		f.Extensions = append(f.Extensions, router.Extension{Name: "x" + strconv.Itoa(i)})
	}
	_, err = router.NewEvent(f)
	require.Equal(t, router.TooLarge, router.ErrorCode(err))
}

func TestAnEventKeepsNothingThatCanStillChange(t *testing.T) {
	list := []router.Extension{{Name: "b", Value: "1"}, {Name: "a", Value: "2"}}
	e := eventWith(t, func(f *router.EventFields) { f.Extensions = list })
	list[0].Value = "changed"

	require.Equal(t, []router.Extension{{Name: "a", Value: "2"}, {Name: "b", Value: "1"}}, slices.Collect(e.Extensions))

	data := eventWith(t, func(f *router.EventFields) { f.Data, f.DataKind = "xyz", router.BinaryData })
	data.Data()[0] = '!'
	require.Equal(t, "xyz", data.DataText())
}

func TestWithExtensionChangesACopy(t *testing.T) {
	e := eventWith(t, func(f *router.EventFields) { f.Extensions = []router.Extension{{Name: "b", Value: "1"}} })

	added, err := e.WithExtension(router.Extension{Name: "a", Value: "7", Kind: router.IntegerValue})
	require.NoError(t, err)
	replaced, err := added.WithExtension(router.Extension{Name: "b", Value: "2"})
	require.NoError(t, err)
	_, err = e.WithExtension(router.Extension{Name: "B", Value: "2"})
	require.Equal(t, router.Malformed, router.ErrorCode(err))

	require.Equal(t, []router.Extension{{Name: "b", Value: "1"}}, slices.Collect(e.Extensions))
	require.Equal(t, []router.Extension{{Name: "a", Value: "7", Kind: router.IntegerValue}, {Name: "b", Value: "2"}}, slices.Collect(replaced.Extensions))
	x, ok := added.Extension("b")
	require.True(t, ok)
	require.Equal(t, "1", x.Value)
}

func TestHopsAreCountedFromZero(t *testing.T) {
	require.Zero(t, eventWith(t, func(*router.EventFields) {}).Hops())
	for value, want := range map[string]int{"3": 3, "-3": 0, "x": 0, "": 0, "99999999999999999999": 0} {
		require.Equal(t, want, eventWith(t, func(f *router.EventFields) {
			f.Extensions = []router.Extension{{Name: router.HopsExtension, Value: value}}
		}).Hops(), value)
	}
}

func TestPublishersMayNotUseWhatIsReserved(t *testing.T) {
	for _, c := range []struct {
		location string
		change   func(*router.EventFields)
	}{
		{"type", func(f *router.EventFields) { f.Type = "streamlatch" }},
		{"type", func(f *router.EventFields) { f.Type = "streamlatch.test" }},
		{"source", func(f *router.EventFields) { f.Source = "/streamlatch" }},
		{"source", func(f *router.EventFields) { f.Source = "/streamlatch/triggers/a" }},
		{"streamlatchhops", func(f *router.EventFields) {
			f.Extensions = []router.Extension{{Name: "streamlatchhops", Value: "0"}}
		}},
	} {
		var e *router.Error
		require.ErrorAs(t, router.CheckReserved(eventWith(t, c.change)), &e)
		require.Equal(t, router.Reserved, e.Code)
		require.Len(t, e.Problems, 1)
		require.Equal(t, c.location, e.Problems[0].Location)
	}
	for _, change := range []func(*router.EventFields){
		func(*router.EventFields) {},
		func(f *router.EventFields) { f.Type, f.Source = "streamlatched", "/streamlatched" },
		func(f *router.EventFields) { f.Type, f.Source = "a.streamlatch", "/a/streamlatch/" },
		func(f *router.EventFields) { f.Extensions = []router.Extension{{Name: "streamlatch"}} },
	} {
		require.NoError(t, router.CheckReserved(eventWith(t, change)))
	}
}
