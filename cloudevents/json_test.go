package cloudevents_test

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

const plainType = "application/json"

// with is a small structured event with more members.
func with(members string) string {
	return `{"specversion":"1.0","id":"1","source":"/a","type":"t"` + members + `}`
}

// decodeOne reads one event, which has to be valid.
func decodeOne(t testing.TB, contentType, body string) router.Event {
	t.Helper()
	events, err := cloudevents.Decoder{}.Decode(contentType, nil, []byte(body))
	require.NoError(t, err)
	require.Len(t, events, 1)
	return events[0]
}

// refused reads a request that is at fault, and returns where.
func refused(t testing.TB, contentType string, header http.Header, body string) []string {
	t.Helper()
	events, err := cloudevents.Decoder{}.Decode(contentType, header, []byte(body))
	return locationsOf(t, events, err, router.Malformed)
}

// printable is what messages may hold: nothing from outside comes out unescaped.
const printable = `^[\pL\pM\pN\pP\pS ]*$`

func locationsOf(t testing.TB, events []router.Event, err error, code router.Code) []string {
	t.Helper()
	require.Error(t, err)
	require.Empty(t, events)
	var e *router.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code, "%v", err)
	require.NotEmpty(t, e.Message)
	var at []string
	for _, p := range e.Problems {
		require.NotEmpty(t, p.Message)
		require.Regexp(t, printable, p.Location+p.Message)
		require.Less(t, len(p.Location+p.Message), 1000)
		at = append(at, p.Location)
	}
	return at
}

func TestAStructuredEventIsReadWithAllItsParts(t *testing.T) {
	e := decodeOne(t, "Application/CloudEvents+JSON; charset=UTF-8", "\r\n"+`{
		"data" : { "b":1.50, "a" : [ ] } , "subject":"caf\u00e9 \ud83d\ude00", "anumber": 10, "specversion": "1.0", "\u0069d":"1", "negative":-2147483648,
		"source":"/a", "type" : "t", "time":"2018-04-26T14:48:09.1234+02:00", "aboolean": false, "astring":"a\/b", "unset":null,
		"datacontenttype":"application/json", "dataschema":"http://localhost/schema"
	}`+" \n")
	require.Equal(t, "1", e.ID())
	require.Equal(t, "/a", e.Source())
	require.Equal(t, "t", e.Type())
	require.Equal(t, "café 😀", e.Subject())
	require.Equal(t, "2018-04-26T14:48:09.1234+02:00", e.TimeText())
	require.Equal(t, "application/json", e.DataContentType())
	require.Equal(t, "http://localhost/schema", e.DataSchema())
	require.Equal(t, []router.Extension{
		{Name: "aboolean", Value: "false", Kind: router.BooleanValue},
		{Name: "anumber", Value: "10", Kind: router.IntegerValue},
		{Name: "astring", Value: "a/b"},
		{Name: "negative", Value: "-2147483648", Kind: router.IntegerValue},
	}, slices.Collect(e.Extensions))
	require.Equal(t, router.JSONData, e.DataKind())
	require.Equal(t, `{ "b":1.50, "a" : [ ] }`, e.DataText(), "byte for byte")
}

func TestDataTravelsByItsContentType(t *testing.T) {
	for _, c := range []struct {
		members string
		kind    router.DataKind
		data    string
	}{
		{``, router.NoData, ""},
		{`,"data":null`, router.JSONData, "null"},
		{`,"data":"a \u00e9"`, router.JSONData, `"a \u00e9"`},
		{`,"data":1E400`, router.JSONData, "1E400"},
		{`,"data":12345678901234567890`, router.JSONData, "12345678901234567890"},
		{`,"datacontenttype":"application/vnd.x+json","data":"{}"`, router.JSONData, `"{}"`},
		{`,"datacontenttype":"TEXT/JSON; charset=utf-8","data":{}`, router.JSONData, "{}"},
		{`,"datacontenttype":"text/plain","data":"a\n\u00e9\u0000"`, router.TextData, "a\né\x00"},
		{`,"datacontenttype":"application/xml","data":"<a b=\"c\"\/>"`, router.TextData, `<a b="c"/>`},
		{`,"data":"<a/>","datacontenttype":"application/xml"`, router.TextData, "<a/>"},
		{`,"datacontenttype":"text/plain","data":""`, router.TextData, ""},
		{`,"datacontenttype":"text/plain","data":null`, router.NoData, ""},
		{`,"datacontenttype":"text/plain"`, router.NoData, ""},
		{`,"data_base64":"AP8+Pz8="`, router.BinaryData, "\x00\xff>??"},
		{`,"data_base64":"PHN0dWZmPjwvc3R1ZmY\u002b"`, router.BinaryData, "<stuff></stuff>"},
		{`,"data_base64":"Pz8\/"`, router.BinaryData, "???"},
		{`,"data_base64":""`, router.BinaryData, ""},
		{`,"data_base64":null`, router.NoData, ""},
		{`,"data_base64":null,"data":{}`, router.JSONData, "{}"},
		{`,"datacontenttype":"application/json","data_base64":"e30="`, router.BinaryData, "{}"},
	} {
		e := decodeOne(t, cloudevents.StructuredType, with(c.members))
		require.Equal(t, c.kind, e.DataKind(), c.members)
		require.Equal(t, c.data, e.DataText(), c.members)
	}
}

func TestEventsThatAreNotCloudEventsAreRefusedWithThePlace(t *testing.T) {
	for body, at := range map[string][]string{
		`{}`: {"body.specversion", "body.id", "body.type", "body.source"},
		`{"specversion":"1.0","id":"1","source":"/a"}`:                     {"body.type"},
		`{"specversion":"0.3","id":"1","source":"/a","type":"t"}`:          {"body.specversion"},
		`{"specversion":"1.0.2","id":"1","source":"/a","type":"t"}`:        {"body.specversion"},
		`{"specversion":1.0,"id":"1","source":"/a","type":"t"}`:            {"body.specversion"},
		`{"specversion":"1.0","id":1,"source":["/a"],"type":{}}`:           {"body.id", "body.source", "body.type"},
		`{"specversion":"1.0","id":null,"source":"","type":true}`:          {"body.source", "body.type", "body.id"},
		`{"SpecVersion":"1.0","specversion":"1.0","id":"1","source":"/a"}`: {"body.type", "body.SpecVersion"},
		with(`,"subject":""`):                                                     {"body.subject"},
		with(`,"subject":5`):                                                      {"body.subject"},
		with(`,"time":"yesterday"`):                                               {"body.time"},
		with(`,"time":""`):                                                        {"body.time"},
		with(`,"time":1532128000`):                                                {"body.time"},
		with(`,"dataschema":"#"`):                                                 {"body.dataschema"},
		with(`,"datacontenttype":""`):                                             {"body.datacontenttype"},
		with(`,"datacontenttype":"json"`):                                         {"body.datacontenttype"},
		with(`,"datacontenttype":"text/plain","data":{}`):                         {"body.datacontenttype"},
		with(`,"datacontenttype":"text/plain;charset=utf-16","data":"a"`):         {"body.datacontenttype"},
		with(`,"data":{},"data_base64":"e30="`):                                   {"body.data_base64"},
		with(`,"data":null,"data_base64":"e30="`):                                 {"body.data_base64"},
		with(`,"data_base64":"e30"`):                                              {"body.data_base64"},
		with(`,"data_base64":"e3\n0="`):                                           {"body.data_base64"},
		with(`,"data_base64":"-_8="`):                                             {"body.data_base64"},
		with(`,"data_base64":{}`):                                                 {"body.data_base64"},
		with(`,"aString":"x"`):                                                    {"body.aString"},
		with(`,"a_b":"x","":"y","a.b":"z"`):                                       {`body[""]`, `body["a.b"]`, "body.a_b"},
		with(`,"a\u0000\u202e":"x"`):                                              {`body["a\x00\u202e"]`},
		with(`,"decimal":42.42,"long":4247483647,"e":1e2,"o":{},"l":[]`):          {"body.o", "body.l", "body.decimal", "body.e", "body.long"},
		with(`,"control":"a\u0007"`):                                              {"body.control"},
		with(`,"nonchar":"\uffff"`):                                               {"body.nonchar"},
		with(`,"datacontentencoding":"base64","schemaurl":"x","specversionx":[]`): {"body.specversionx"},
		"[" + with("") + "]":                                                      {"body"},
		`null`:                                                                    {"body"},
		`1`:                                                                       {"body"},
		`"{}"`:                                                                    {"body"},
		with("") + "{}":                                                           {"body"},
		with("") + with(""):                                                       {"body"},
	} {
		require.Equal(t, at, refused(t, cloudevents.StructuredType, nil, body), body)
	}
}

func TestWhatIsNotStrictJSONIsRefusedWithThePlace(t *testing.T) {
	for body, at := range map[string]string{
		"":                           "body",
		" \r\n":                      "body",
		"{":                          "body",
		"\ufeff" + with(""):          "body",
		with("") + "}":               "body",
		with("") + " garbage":        "body",
		with("") + "\x00":            "body",
		with(`,`):                    "body",
		with(`,"x":NaN`):             "body.x",
		with(`,"x":0x10`):            "body",
		with(`,"x":01`):              "body",
		with(`,"x":+1`):              "body.x",
		with(`,"x":'a'`):             "body.x",
		with(`,"x":"a` + "\n" + `"`): "body.x",
		with(`,1:2`):                 "body", with(`,null:2`): "body", with(`,[]:2`): "body", with(`,{"a":1}:2`): "body",
		with(`,x:1`):                                    "body",
		with(`,"x":1 // comment`):                       "body",
		with(`,"x":1/**/`):                              "body",
		with(`,"x":[1,]`):                               "body.x",
		with(`,"id":"2"`):                               "body.id",
		with(`,"\u0069d":"2"`):                          "body.id",
		with(`,"x":1,"x":null`):                         "body.x",
		with(`,"data":{"a":{"b c":1,"b\u0020c":2}}`):    `body.data.a["b c"]`,
		with(`,"data":[{},{"a":1,"a":1}]`):              "body.data[1].a",
		with(",\"x\":\"\xff\""):                         "body.x",
		with(",\"data\":\"\xc0\xa0\""):                  "body.data",
		with(",\"\xff\":1"):                             "body",
		with(`,"x":"\ud800"`):                           "body.x",
		with(`,"data":"\udc00\ud800"`):                  "body.data",
		with(`,"x":"\ud83d\u0041"`):                     "body.x",
		with(`,"x":"\x41"`):                             "body.x",
		"\xff\xfe{\x00}\x00":                            "body",
		strings.Repeat("[", 1_000_000):                  "body" + strings.Repeat("[0]", 11) + "…",
		strings.Repeat(`{"a":`, 200_000):                "body" + strings.Repeat(".a", 12) + "…",
		with(`,"data":` + strings.Repeat("[", 100_000)): "body.data" + strings.Repeat("[0]", 11) + "…",
		with(`,"` + strings.Repeat("é", 5000) + `":01`): `body["` + strings.Repeat(`\u00e9`, 20) + `"…]`,
	} {
		got := refused(t, cloudevents.StructuredType, nil, body)
		require.Len(t, got, 1)
		if len(body) < 1000 {
			require.Equal(t, at, got[0], body)
		}
	}
}

func TestDataMayBeNestedToALimit(t *testing.T) {
	nested := func(depth int) string {
		return with(`,"data":` + strings.Repeat(`{"a[{":[`, depth/2) + `"[[[{{{\"[{"` + strings.Repeat(`]}`, depth/2))
	}
	for _, depth := range []int{2, 64, cloudevents.MaxDataDepth} {
		decodeOne(t, cloudevents.StructuredType, nested(depth))
	}
	for _, depth := range []int{cloudevents.MaxDataDepth + 2, 1_000, 10_000} {
		require.Contains(t, refused(t, cloudevents.StructuredType, nil, nested(depth))[0], "body.data")
	}
	wide := with(`,"data":[` + strings.Repeat(`[{}],`, 5000) + `"[{"]`)
	decodeOne(t, cloudevents.StructuredType, wide)
}

func TestABatchKeepsItsOrder(t *testing.T) {
	events, err := cloudevents.Decoder{}.Decode(cloudevents.BatchType, nil, []byte(" [ "+with(`,"data":1`)+"\n,\t"+with(`,"x":"y"`)+" ] "))
	require.NoError(t, err)
	require.Len(t, events, 2)
	require.Equal(t, "1", events[0].DataText())
	_, ok := events[1].Extension("x")
	require.True(t, ok)
	require.Empty(t, slices.Collect(events[0].Extensions), "an event has only its own extensions")

	events, err = cloudevents.Decoder{}.Decode(cloudevents.BatchType, nil, []byte("[]"))
	require.NoError(t, err)
	require.Empty(t, events)
}

func TestABatchWithAnInvalidEventIsRefusedAsAWhole(t *testing.T) {
	ok := with("")
	for body, at := range map[string][]string{
		"[" + ok + "," + ok + "," + ok + `,{"specversion":"1.0","id":"1","type":"t"}]`: {"body[3].source"},
		"[" + ok + `,5,` + with(`,"time":"x"`) + "," + ok + `,{}]`: {
			"body[1]", "body[2].time", "body[4].specversion", "body[4].id", "body[4].type", "body[4].source",
		},
		"[" + ok + "," + with(`,"data":{"3":{"a":1,"a":2}}`) + "]":             {"body[1].data[3].a"},
		"[" + ok + `,{"specversion":"0.3","id":"1","source":"/a","type":"t"}]`: {"body[1].specversion"},
		"[" + ok + "," + "]":      {"body"},
		"[" + ok + " " + ok + "]": {"body"},
		"[" + ok:                  {"body"},
		"[" + ok + "]]":           {"body"},
		"[" + ok + "] []":         {"body"},
		"[[" + ok + "]]":          {"body[0]"},
		"[null]":                  {"body[0]"},
		ok:                        {"body"},
		"null":                    {"body"},
		"":                        {"body"},
	} {
		require.Equal(t, at, refused(t, cloudevents.BatchType, nil, body), body)
	}
}

func TestALongListOfProblemsIsCutShort(t *testing.T) {
	require.Len(t, refused(t, cloudevents.BatchType, nil, "["+strings.Repeat("{},", 999)+"{}]"), 20)

	var many strings.Builder
	for i := range 200 {
		many.WriteString(`,"x` + strconv.Itoa(i) + `":[]`)
	}
	require.Len(t, refused(t, cloudevents.StructuredType, nil, with(many.String())), 20)
}

func TestLimitsAreNamedWhenTheyAreExceeded(t *testing.T) {
	ok := with("")
	limits := cloudevents.Limits{MaxEventBytes: len(ok), MaxBatchEvents: 3, MaxBatchBytes: 4 * len(ok)}
	for _, c := range []struct {
		contentType, body, message string
	}{
		{cloudevents.StructuredType, ok, ""},
		{cloudevents.StructuredType, ok + " ", "the event is larger than the limit of " + strconv.Itoa(len(ok)) + " bytes"},
		{cloudevents.StructuredType, with(`,"x":"1"`), "the event is larger"},
		{plainType, with(`,"x":"1"`), "the event is larger"},
		{cloudevents.BatchType, "[" + ok + " , \n" + ok + "," + ok + "]", ""},
		{cloudevents.BatchType, "[" + ok + "," + with(`,"x":"1"`) + "]", "the event is larger"},
		{cloudevents.BatchType, "[{},{},{},{}]", "a batch may hold at most 3 events"},
		{cloudevents.BatchType, "[{}," + strings.Repeat(" ", 4*len(ok)) + "]", "the batch is larger than the limit of " + strconv.Itoa(4*len(ok)) + " bytes"},
		{plainType, "[" + strings.Repeat(" ", 4*len(ok)) + "]", "the batch is larger"},
	} {
		_, err := cloudevents.Decoder{Limits: limits}.Decode(c.contentType, nil, []byte(c.body))
		if c.message == "" {
			require.NoError(t, err, c.body)
			continue
		}
		require.ErrorContains(t, err, c.message, c.body)
		require.Equal(t, router.TooLarge, router.ErrorCode(err), c.body)
	}

	header := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/a"}, "Ce-Type": {"t"}}
	_, err := cloudevents.Decoder{Limits: cloudevents.Limits{MaxEventBytes: 4}}.Decode("", header, []byte("12345"))
	require.Equal(t, router.TooLarge, router.ErrorCode(err))
}

func TestAttributesOverTheLimitsAreTooLargeWithThePlace(t *testing.T) {
	long := with(`,"subject":"` + strings.Repeat("x", router.MaxAttributeBytes) + `"`)
	events, err := cloudevents.Decoder{}.Decode(cloudevents.BatchType, nil, []byte("["+with("")+","+long+"]"))
	require.Equal(t, []string{"body[1]"}, locationsOf(t, events, err, router.TooLarge))

	header := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/a"}, "Ce-Type": {strings.Repeat("x", router.MaxAttributeBytes)}}
	events, err = cloudevents.Decoder{}.Decode("", header, nil)
	require.Equal(t, []string{"header"}, locationsOf(t, events, err, router.TooLarge))
}

func TestTheDefaultLimitsAreThoseOfTheAPI(t *testing.T) {
	fits := with(`,"data":"` + strings.Repeat("x", 1<<20-len(with(`,"data":""`))) + `"`)
	decodeOne(t, cloudevents.StructuredType, fits)
	_, err := cloudevents.Decoder{}.Decode(cloudevents.StructuredType, nil, []byte(fits+" "))
	require.Equal(t, router.TooLarge, router.ErrorCode(err))

	thousand := "[" + strings.Repeat(with("")+",", 999) + with("") + "]"
	_, err = cloudevents.Decoder{}.Decode(cloudevents.BatchType, nil, []byte(thousand))
	require.NoError(t, err)
	_, err = cloudevents.Decoder{}.Decode(cloudevents.BatchType, nil, []byte("["+with("")+","+thousand[1:]))
	require.Equal(t, router.TooLarge, router.ErrorCode(err))

	var limits cloudevents.Limits
	require.Equal(t, 1<<20, limits.BodyBytes(cloudevents.StructuredType))
	require.Equal(t, 16<<20, limits.BodyBytes(cloudevents.BatchType+"; charset=utf-8"))
	require.Equal(t, 16<<20, limits.BodyBytes(plainType))
	require.Equal(t, 1<<20, limits.BodyBytes("image/png"))
}

func TestPlainJSONMayLeaveOutWhatTheServerCanFillIn(t *testing.T) {
	n := 0
	d := cloudevents.Decoder{NewID: func() string { n++; return "made-" + strconv.Itoa(n) }}
	decode := func(body string) []router.Event {
		events, err := d.Decode("application/json; charset=utf-8", nil, []byte(body))
		require.NoError(t, err, body)
		return events
	}
	one := decode(`{"type":"order.paid","data":{"total":5}}`)
	require.Len(t, one, 1)
	require.Equal(t, []string{"made-1", "/", "order.paid", "", `{"total":5}`},
		[]string{one[0].ID(), one[0].Source(), one[0].Type(), one[0].TimeText(), one[0].DataText()})

	many := decode(`[{"type":"a","id":"mine","source":"/s"},{"type":"b","id":null}]`)
	require.Equal(t, []string{"mine", "/s", "made-2", "/"}, []string{many[0].ID(), many[0].Source(), many[1].ID(), many[1].Source()})

	for body, at := range map[string]string{
		`{}`:                                  "body.type",
		`{"type":"t","id":""}`:                "body.id",
		`{"type":"t","source":5}`:             "body.source",
		`{"type":"t","specversion":"0.3"}`:    "body.specversion",
		`[{"type":"t"},{"type":"t","id":[]}]`: "body[1].id",
		`5`:                                   "body",
	} {
		events, err := d.Decode(plainType, nil, []byte(body))
		require.Equal(t, []string{at}, locationsOf(t, events, err, router.Malformed), body)
	}
	require.Equal(t, []string{"body.id"}, refused(t, plainType, nil, `{"type":"t"}`), "without NewID an id is required")
}

func TestAContentTypeThatIsNotUnderstoodIsUnsupported(t *testing.T) {
	for _, contentType := range []string{
		"", "text/plain", "application/x-www-form-urlencoded", "application/cloudevents+xml", "application/cloudevents", "application/cloudevents+avro",
		"application/cloudevents-batch", "application/cloudevents-batch+xml", "text/json", "application/json/x", "application/jsonx", "json", "*/*",
		"application/json; charset=utf-16", cloudevents.StructuredType + "; charset=iso-8859-1", cloudevents.BatchType + `; charset="UTF-16LE"`,
		cloudevents.StructuredType + "; charset=utf-8; charset=latin1", "application/json\r\nx: y", strings.Repeat("x", 10_000),
	} {
		events, err := cloudevents.Decoder{}.Decode(contentType, http.Header{"Content-Type": {contentType}}, []byte(with("")))
		require.Empty(t, locationsOf(t, events, err, router.Unsupported), contentType)
		require.Regexp(t, printable, err.Error())
		require.Less(t, len(err.Error()), 300)
	}
	for _, contentType := range []string{cloudevents.StructuredType + ";charset=us-ascii", `application/cloudevents+json; charset="UTF-8"`, "application/JSON"} {
		decodeOne(t, contentType, with(""))
	}
}

func TestACheckSeesEachValidEventAndItsPlacesArePutRight(t *testing.T) {
	d := cloudevents.Decoder{Check: router.CheckReserved}
	ok, reserved := with(""), `{"specversion":"1.0","id":"1","source":"/streamlatch/x","type":"streamlatch.x"}`

	events, err := d.Decode(cloudevents.BatchType, nil, []byte("["+ok+","+reserved+"]"))
	require.Equal(t, []string{"body[1].type", "body[1].source"}, locationsOf(t, events, err, router.Reserved))

	events, err = d.Decode(cloudevents.StructuredType, nil, []byte(reserved))
	require.Equal(t, []string{"body.type", "body.source"}, locationsOf(t, events, err, router.Reserved))

	events, err = d.Decode(cloudevents.BatchType, nil, []byte("["+reserved+",{}]"))
	require.Contains(t, locationsOf(t, events, err, router.Malformed), "body[1].id", "what is no CloudEvent comes first")

	header := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/a"}, "Ce-Type": {"t"}, "Ce-Streamlatchhops": {"1"}}
	events, err = d.Decode("", header, nil)
	require.Equal(t, []string{"header.ce-streamlatchhops"}, locationsOf(t, events, err, router.Reserved))
}
