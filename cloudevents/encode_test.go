package cloudevents_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

func TestAStructuredEventIsWrittenAsTheFormatSays(t *testing.T) {
	for _, c := range []struct {
		fields router.EventFields
		want   string
	}{
		{router.EventFields{ID: "1", Source: "/a", Type: "t"}, with("")},
		{
			router.EventFields{
				ID: `"\` + "<&>\u2028é😀", Source: "/a", Type: "t", Subject: "s", Time: "2018-04-26T14:48:09.1200+02:00", DataContentType: "application/json",
				DataSchema: "a:b", DataKind: router.JSONData, Data: "{ \"b\":1.50,\n\"a\":12345678901234567890, \"c\":\"<\\u003c\\/\" }",
				Extensions: []router.Extension{{Name: "s", Value: "5"}, {Name: "i", Value: "-5", Kind: router.IntegerValue}, {Name: "b", Value: "false", Kind: router.BooleanValue}},
			},
			`{"specversion":"1.0","id":"\"\\<&>` + "\u2028é😀" + `","source":"/a","type":"t","subject":"s","time":"2018-04-26T14:48:09.1200+02:00",` +
				`"datacontenttype":"application/json","dataschema":"a:b","b":false,"i":-5,"s":"5",` +
				"\"data\":{ \"b\":1.50,\n\"a\":12345678901234567890, \"c\":\"<\\u003c\\/\" }}",
		},
		{
			router.EventFields{ID: "1", Source: "/a", Type: "t", DataContentType: "text/plain", DataKind: router.TextData, Data: "<a>\r\n\x00\"é"},
			with(`,"datacontenttype":"text/plain","data":"<a>\r\n\u0000\"é"`),
		},
		{router.EventFields{ID: "1", Source: "/a", Type: "t", DataKind: router.BinaryData, Data: "\x00\xff>??"}, with(`,"data_base64":"AP8+Pz8="`)},
		{router.EventFields{ID: "1", Source: "/a", Type: "t", DataKind: router.BinaryData}, with(`,"data_base64":""`)},
	} {
		e, err := router.NewEvent(c.fields)
		require.NoError(t, err)
		require.Equal(t, "before"+c.want, string(cloudevents.AppendStructured([]byte("before"), e)))
		require.Equal(t, "["+c.want+","+c.want+"]", string(cloudevents.AppendBatch(nil, []router.Event{e, e})))
	}
	require.Equal(t, "[]", string(cloudevents.AppendBatch(nil, nil)))
}

func TestWhatIsWrittenIsJSONWhateverWasStored(t *testing.T) {
	e, err := router.DecodeEvent("\x01\x02\x03\xff\"\n\x02/a\x01t\x00\x00\x00\x00\x01\x00\x02\"\x00\x01\x7f\x01x")
	require.NoError(t, err)
	require.Equal(t, `{"specversion":"1.0","id":"`+"\ufffd"+`\"\n","source":"/a","type":"t","\"\u0000":"`+"\x7f"+`","data":"x"}`,
		string(cloudevents.AppendStructured(nil, e)))
}
