package cloudevents_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// badTexts are texts that have broken programs: our own separators and braces, paths, numbers of every kind, code, and characters that are not what they seem.
var badTexts = []string{
	"", " ", "{", "}", "{}", "{p3}", "a}{p3}", "{{p3}}", ":", "*?[", "\x00", "\r\n", ".", "..", "\u202e", "\u00e9", "e\u0301", `\ud800`, "\xff", "\xc0\xa0", "😀", "__proto__",
	"-inf", "+", "$", ">", "0-0", "18446744073709551615-18446744073709551615", "1e309", "NaN", "0x10", "-0", "9007199254740991", "9007199254740993", "9223372036854775808",
	"1,2;3|4", "]]", "%s%n", "redis.call", "%", "%00", "%0d%0a", "%C0%A0", `"`, `"\"`, "null", "true", "\ufffe", "\u0085", strings.Repeat("x", 70_000),
}

// badDocuments are JSON, or nearly.
var badDocuments = []string{
	"", "null", "1", `"a"`, "[]", "{}", "\ufeff{}", "{} garbage", "{}{}", "[{}],", `{"a":1,"a":2}`, `{"A":1,"a":2}`, "12345678901234567890", "1e400", "-0", `"\u0000"`, `"\ud800"`,
	"[],", "[1,]", "{,}", "// c\n{}", "/**/{}", "{\x00}\x00", "\xff\xfe{\x00}\x00", strings.Repeat("[", 65) + strings.Repeat("]", 65),
	strings.Repeat("[", 257) + strings.Repeat("]", 257), strings.Repeat("[", 1_001) + strings.Repeat("]", 1_001), strings.Repeat(`{"a":`, 10_001), "\"\xff\"", `{"\u0061":1,"a":2}`,
}

func FuzzDecodeStructured(f *testing.F) {
	f.Add([]byte(typical))
	f.Add([]byte(with(`,"data_base64":"AP8="`)))
	f.Add([]byte(with(`,"datacontenttype":"text/plain","data":"a\n"`)))
	for _, s := range badTexts {
		quoted, err := json.Marshal(s)
		require.NoError(f, err)
		f.Add([]byte(with(`,"subject":` + string(quoted))))
		f.Add([]byte(with(`,` + string(quoted) + `:"x"`)))
		f.Add([]byte(with(`,"x":"` + s + `"`)))
		f.Add([]byte(with(`,"x":` + s)))
	}
	for _, s := range badDocuments {
		f.Add([]byte(s))
		f.Add([]byte(with(`,"data":` + s)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := string(body)
		events, err := cloudevents.Decoder{}.Decode(cloudevents.StructuredType, nil, body)
		require.Equal(t, before, string(body), "the body is only read")
		requireReadOrRefused(t, events, err)
	})
}

func FuzzDecodePlain(f *testing.F) {
	f.Add([]byte(`[{"type":"t"},` + typical + `]`))
	for _, s := range badDocuments {
		f.Add([]byte(s))
		f.Add([]byte("[" + s + "," + s + "]"))
	}
	d := cloudevents.Decoder{NewID: func() string { return "made" }, Limits: cloudevents.Limits{MaxBatchEvents: 3, MaxEventBytes: 2000, MaxBatchBytes: 4000}}
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := d.Decode(plainType, nil, body)
		requireReadOrRefused(t, events, err)
	})
}

func FuzzDecodeBinary(f *testing.F) {
	for _, s := range badTexts {
		f.Add("x", s, "application/json", []byte("{}"))
		f.Add(s, "x", "text/plain", []byte(s))
		f.Add("x", "y", s, []byte(s))
	}
	for _, s := range badDocuments {
		f.Add("subject", "Euro%20%E2%82%AC", "application/json; charset=utf-8", []byte(s))
	}
	f.Fuzz(func(t *testing.T, name, value, contentType string, body []byte) {
		header := headers()
		header.Set("Ce-"+name, value)
		events, err := cloudevents.Decoder{}.Decode(contentType, header, body)
		requireReadOrRefused(t, events, err)
		if err == nil && header.Get("Ce-Id") == "1" {
			require.Equal(t, string(body), events[0].DataText())
		}
	})
}

// requireReadOrRefused holds what was decoded against the rules that hold for every input: errors name their place and hold nothing raw from outside;
// events come out as they came in, and safely.
func requireReadOrRefused(t *testing.T, events []router.Event, err error) {
	if err != nil {
		requireRefusal(t, events, err)
		return
	}
	for _, e := range events {
		text := cloudevents.AppendStructured(nil, e)
		require.True(t, json.Valid(text), string(text))
		if e.DataKind() != router.JSONData || strings.TrimSpace(e.DataText()) == e.DataText() {
			limits := cloudevents.Limits{MaxEventBytes: 1 << 24}
			again, err := cloudevents.Decoder{Limits: limits}.Decode(cloudevents.StructuredType, nil, text)
			require.NoError(t, err)
			require.Equal(t, e, again[0])
		}
		for key, values := range cloudevents.BinaryHeaders(e) {
			require.Regexp(t, `^(Ce-[A-Z0-9][a-z0-9]*|Content-Type)$`, key)
			require.Regexp(t, `^[ -~]*$`, values[0])
		}
		back, err := router.DecodeEvent(e.Encode())
		require.NoError(t, err)
		require.Equal(t, e, back)
	}
}

func requireRefusal(t *testing.T, events []router.Event, err error) {
	require.Empty(t, events)
	var e *router.Error
	require.ErrorAs(t, err, &e)
	require.Contains(t, []router.Code{router.Malformed, router.TooLarge, router.Unsupported}, e.Code)
	require.False(t, e.Code == router.Malformed && len(e.Problems) == 0)
	require.LessOrEqual(t, len(e.Problems), 20)
	require.Regexp(t, printable, e.Error())
	require.Less(t, len(e.Error()), 10_000)
}

func TestHugeInputsAreRefusedWithoutHarm(t *testing.T) {
	var keys strings.Builder
	keys.WriteString(`{"type":"t","id":"1"`)
	for i := range 300_000 {
		keys.WriteString(`,"x` + strconv.Itoa(i) + `":1`)
	}
	keys.WriteString("}")
	long := strings.Repeat("x", 10<<20)
	for name, body := range map[string]string{
		"300,000 attributes":           keys.String(),
		"300,000 keys in the data":     `[{"type":"t","id":"1","data":` + keys.String() + `}]`,
		"a string of 10 MB":            `[{"type":"t","id":"` + long + `"}]`,
		"a name of 10 MB":              `[{"type":"t","id":"1","` + long + `":1}]`,
		"5 MB of empty arrays":         "[" + strings.Repeat("[],", 5<<20/3) + "[]]",
		"a million levels of arrays":   strings.Repeat("[", 1_000_000),
		"a million levels of objects":  strings.Repeat(`{"a":`, 1_000_000),
		"17 MB of blanks":              strings.Repeat(" ", 17<<20),
		"a million levels in the data": `[{"type":"t","id":"1","data":` + strings.Repeat("[", 1_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			events, err := cloudevents.Decoder{}.Decode(plainType, nil, []byte(body))
			require.Error(t, err)
			requireRefusal(t, events, err)
		})
	}
	_, err := cloudevents.Decoder{}.Decode("", http.Header{"Ce-Id": {long}, "Ce-Specversion": {long}}, nil)
	require.Equal(t, router.TooLarge, router.ErrorCode(err))
}
