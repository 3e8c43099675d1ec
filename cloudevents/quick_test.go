package cloudevents_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// sameBothWays reads a body quickly and thoroughly, and tells whether the quick way was sure. Then both must have said the same.
func sameBothWays(t testing.TB, contentType, body string) (sure bool) {
	t.Helper()
	d := cloudevents.Decoder{Limits: cloudevents.Limits{MaxBatchEvents: 3, MaxEventBytes: 4000, MaxBatchBytes: 8000}, NewID: func() string { return "made" }}
	quick, sure, quickErr := d.DecodeQuickly(contentType, []byte(body))
	if !sure {
		return false
	}
	events, err := d.DecodeThoroughly(contentType, []byte(body))
	require.Equal(t, err, quickErr)
	require.Equal(t, events, quick)
	return true
}

// names are so many members of different names.
func names(n int) []string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"n%d":%d`, i, i)
	}
	return members
}

func TestPlainJSONIsReadQuickly(t *testing.T) {
	for _, data := range []string{
		`null`, `true`, `false`, `0`, `-0`, `12`, `-1.50e+10`, `1E-2`, `""`, `"a"`, `"exactly8"`, `"exactly 16 bytes"`, `"é"`, `"12345678é€😀 and more of it"`, `"\"\\\/\b\f\n\r\t"`,
		"\"\u007f\"", `[]`, `{}`, " [ ] ", "\t{\r\n}", `[1,"a",[2,{}],{"a":[{}]}]`, `{"a":{"a":{"a":1}},"b":{"a":1}}`, `{"":1}`, `{"é":1}`, `[{"a":1},{"a":2}]`,
		strings.Repeat("[", 64) + strings.Repeat("]", 64), "{" + strings.Join(names(64), ",") + "}",
	} {
		event := with(`,"data":` + data + `,"after":"x"`)
		require.True(t, sameBothWays(t, cloudevents.StructuredType, event), data)
		require.True(t, sameBothWays(t, cloudevents.BatchType, "["+event+" , "+event+"]"), data)
	}
	require.True(t, sameBothWays(t, cloudevents.BatchType, " [ ] "))
	require.True(t, sameBothWays(t, plainType, `{"type":"t"}`))
	require.True(t, sameBothWays(t, plainType, `[{"type":"t"},1,{"type":""},null]`), "faults of events are no faults of JSON")
}

func TestWhatIsNotSurelyValidJSONIsReadThoroughly(t *testing.T) {
	for _, data := range []string{
		`tru`, `truex`, `nul`, `NaN`, `+1`, `01`, `-`, `1.`, `.5`, `1e`, `1e+`, `0x10`, `"`, `"a`, `"\"`, `"\`, `"\x"`, `"\u0041"`, `"\ud800"`, "\"\n\"", "\"12345678\x00\"", "\"\xff\"",
		"\"12345678\xc0\xa0\"", "\"\x1f1234567\"", `[`, `]`, `[1`, `[1,`, `[1,]`, `[,1]`, `[1 2]`, `[1:2]`, `[1}`, `{`, `}`, `{"a"`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{"a" 1}`,
		`{"a",1}`, `{"a":1]`, `{1:1}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":1,"a":2}`, `{"b":{"a":1,"c":{"a":1},"a":2}}`, `{"\u0061":1,"a":2}`, `{"a\n":1}`, "\u00a01", "\xef\xbb\xbf1", `1 1`, "1\x00",
		strings.Repeat("[", 66) + strings.Repeat("]", 66),
		"{" + strings.Join(names(65), ",") + "}",
	} {
		event := with(`,"data":` + data)
		require.False(t, sameBothWays(t, cloudevents.StructuredType, event), data)
		require.False(t, sameBothWays(t, cloudevents.BatchType, "["+event+"]"), data)
		require.False(t, sameBothWays(t, cloudevents.BatchType, data), data)
	}
	for _, body := range []string{
		typical + typical, typical + ",", typical + "]", "[" + typical + ",]", "[" + typical + " " + typical + "]", "[" + typical, "[" + typical + "}", "[" + typical + "]]", "," + typical,
		"[," + typical + "]", "[" + typical + "] 1", with(`,"id":"again"`), with(`,"data":1,"data":1`), with(`,`), with(`,"x"`), with(`,"x":`), typical[:len(typical)-1] + "]",
	} {
		require.False(t, sameBothWays(t, cloudevents.BatchType, body), body)
		require.False(t, sameBothWays(t, cloudevents.StructuredType, body), body)
	}
}

// requireKind holds what a body is taken for against the JSON library.
func requireKind(t testing.TB, body string) {
	t.Helper()
	want := router.BinaryData
	switch {
	case body == "":
		want = router.NoData
	case jsontext.Value(body).IsValid() && !strings.Contains(body, strings.Repeat("[", 256)): // none lies deeper otherwise
		want = router.JSONData
	}
	media, _ := router.ParseMediaType("application/json")
	require.Equal(t, want, cloudevents.BodyKind(media, []byte(body), body), "%.100q", body)
}

func TestABodyIsJSONWhereAllOfItIs(t *testing.T) {
	for _, s := range badDocuments {
		for _, body := range []string{s, " " + s + "\r\n", "[" + s + "," + s + "]", s + s, s + ",", s + "\x00", `{"a":` + s + `}`, `{"a":` + s + `,"a":` + s + `}`} {
			requireKind(t, body)
		}
	}
	for _, s := range badTexts {
		requireKind(t, s)
		requireKind(t, `"`+s+`"`)
		requireKind(t, `{"`+s+`":"`+s+`"}`)
	}
}

// FuzzQuickReadsAsThoroughDoes holds the quick way against the thorough one.
func FuzzQuickReadsAsThoroughDoes(f *testing.F) {
	f.Add([]byte(typical))
	f.Add([]byte("[" + typical + "," + typical + "]"))
	for _, s := range badTexts {
		f.Add([]byte(with(`,"x":"` + s + `"`)))
		f.Add([]byte(with(`,"` + s + `":1`)))
		f.Add([]byte(with(`,"data":{"` + s + `":` + s + `}`)))
	}
	for _, s := range badDocuments {
		f.Add([]byte(s))
		f.Add([]byte(with(`,"data":[` + s + `,{"a":` + s + `}]`)))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, contentType := range []string{cloudevents.StructuredType, cloudevents.BatchType, plainType} {
			sameBothWays(t, contentType, string(body))
		}
		if len(body) < 2*257 { // what is too deep is longer
			requireKind(t, string(body))
		}
	})
}

func BenchmarkDecodeThoroughly(b *testing.B) {
	body := typicalBatch()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if _, err := (cloudevents.Decoder{}).DecodeThoroughly(cloudevents.BatchType, body); err != nil {
			b.Fatal(err)
		}
	}
}
