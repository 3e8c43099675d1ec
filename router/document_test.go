package router

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// problems returns an error's code and its faults as "location: message" lines.
func problems(t testing.TB, err error) (Code, []string) {
	t.Helper()
	require.Error(t, err)
	e, ok := err.(*Error)
	require.True(t, ok, "%T is not an *Error", err)
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.Location+": "+p.Message)
	}
	return e.Code, lines
}

// thing is a definition with a member of each type, for testing how documents are read.
type thing struct {
	Text    string
	On      bool
	Count   int
	Seq     uint64
	Share   float64
	Wait    Duration
	Since   time.Time
	Numbers []int
	Labels  map[string]string
}

func (x *thing) read(o *docObject) {
	o.ignore("id")
	o.get("text").text(&x.Text)
	o.get("on").bool(&x.On)
	o.get("count").integer(&x.Count)
	o.get("seq").unsigned(&x.Seq)
	o.get("share").float(&x.Share)
	o.get("wait").duration(&x.Wait)
	o.get("since").time(&x.Since)
	o.get("numbers").list(3, func(n int) { x.Numbers = make([]int, n) }, func(i int, n docNode) { n.integer(&x.Numbers[i]) })
	o.get("labels").object(func(o *docObject) {
		x.Labels = map[string]string{}
		o.each(2, func(name string, n docNode) {
			value := ""
			n.text(&value)
			x.Labels[name] = value
		})
	})
	o.unavailable("later")
}

func TestADocumentIsReadIntoItsTypes(t *testing.T) {
	var x thing
	require.NoError(t, readDocument([]byte(` {"text": "a\u00e9\ud83d\ude00\n", "on": true, "count": 16.0, "seq": 18446744073709551615, "share": 2.5e-1, "wait": "1d12h",
		"since": "2026-11-20T12:00:00.5Z", "numbers": [1, 1e2, -3], "labels": {"a.b": "1", "": "2"}, "id": {"any": ["thing"]}} `), x.read))
	require.Equal(t, thing{
		Text: "aé😀\n", On: true, Count: 16, Seq: 1<<64 - 1, Share: 0.25, Wait: Duration(36 * time.Hour),
		Since:   time.Date(2026, 11, 20, 12, 0, 0, 500e6, time.UTC),
		Numbers: []int{1, 100, -3}, Labels: map[string]string{"a.b": "1", "": "2"},
	}, x)
}

func TestWhatADocumentLeavesOutStaysAsItWas(t *testing.T) {
	before := thing{Text: "t", On: true, Count: 1, Seq: 2, Share: 3, Wait: 4, Numbers: []int{5}, Labels: map[string]string{"a": "b"}}
	x := before
	require.NoError(t, readDocument([]byte(`{}`), x.read))
	require.Equal(t, before, x)
}

func TestEachFaultOfADocumentIsNamedAtItsPlace(t *testing.T) {
	long := strings.Repeat("n", 70)
	for name, c := range map[string]struct {
		doc  string
		want []string
	}{
		"no object":             {`[{}]`, []string{"body: must be an object, not an array"}},
		"a bare scalar":         {`"text"`, []string{"body: must be an object, not a string"}},
		"null":                  {`null`, []string{"body: must be an object, not null"}},
		"unknown":               {`{"colour": 1}`, []string{"body.colour: is not a known field"}},
		"unknown by its case":   {`{"Text": "a"}`, []string{`body.Text: is not a known field; did you mean "text"?`}},
		"an odd name":           {`{"a.b\n": 1}`, []string{`body["a.b\n"]: is not a known field`}},
		"an empty name":         {`{"": 1}`, []string{`body[""]: is not a known field`}},
		"a long name":           {`{"` + long + `": 1}`, []string{`body["` + long[:64] + `"…]: is not a known field`}},
		"a text":                {`{"text": 1}`, []string{"body.text: must be a string, not a number"}},
		"a null":                {`{"text": null}`, []string{"body.text: must be a string, not null"}},
		"a boolean":             {`{"on": "true"}`, []string{"body.on: must be a boolean, not a string"}},
		"a number":              {`{"count": true}`, []string{"body.count: must be a number, not a boolean"}},
		"a fraction":            {`{"count": 1.5}`, []string{"body.count: must be a whole number within ±2^53"}},
		"too many digits":       {`{"count": 12345678901234567890}`, []string{"body.count: must be a whole number within ±2^53"}},
		"no count":              {`{"seq": -1}`, []string{"body.seq: must be a whole number that is not negative"}},
		"too large a number":    {`{"share": 1e400}`, []string{"body.share: is too large a number"}},
		"a number for duration": {`{"wait": 5}`, []string{`body.wait: must be a duration such as "90s" or "7d", not a number`}},
		"no duration":           {`{"wait": "soon"}`, []string{`body.wait: duration "soon" is not of the form "90s", "1h30m" or "7d", or longer than 292 years`}},
		"no time":               {`{"since": "today"}`, []string{"body.since: must be an RFC 3339 timestamp such as 2026-11-20T12:00:00Z"}},
		"an item":               {`{"numbers": [1, "2", {}]}`, []string{"body.numbers[1]: must be a number, not a string", "body.numbers[2]: must be a number, not an object"}},
		"too many items":        {`{"numbers": [1, 2, 3, "4"]}`, []string{"body.numbers: has 4 items; at most 3 are possible"}},
		"too many members":      {`{"labels": {"a": 1, "b": 2, "c": 3}}`, []string{"body.labels: has 3 members; at most 2 are possible"}},
		"a member":              {`{"labels": {"x y": false}}`, []string{`body.labels["x y"]: must be a string, not a boolean`}},
		"repeated":              {`{"text": "a", "text": "b", "text": 1}`, []string{"body.text: stands here more than once"}},
		"repeated by escape":    {`{"text": "a", "te\u0078t": "b"}`, []string{"body.text: stands here more than once"}},
		"repeated, deep down":   {`{"id": [{"0": [1, {"a": 1, "a": 2}]}]}`, []string{`body.id[0].0[1].a: stands here more than once`}},
		"of a later version":    {`{"later": {}}`, []string{"body.later: is not available in this version"}},
		"several at once": {`{"text": 1, "on": 2, "x": 3, "labels": {"a": 4}}`, []string{
			"body.text: must be a string, not a number", "body.on: must be a boolean, not a number", "body.labels.a: must be a string, not a number", "body.x: is not a known field",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			code, got := problems(t, readDocument([]byte(c.doc), new(thing).read))
			require.Equal(t, Invalid, code)
			require.Equal(t, c.want, got)
		})
	}
}

func TestWhatIsNotJSONIsMalformed(t *testing.T) {
	for name, c := range map[string]struct{ doc, location, message string }{
		"empty":               {"", "body", "ends too early, at line 1, column 1"},
		"space":               {" \n\t", "body", "ends too early, at line 2, column 2"},
		"cut short":           {`{"text": "a"`, "body.text", "ends too early"},
		"cut within a string": {`{"text": "a`, "body.text", "ends too early"},
		"no value":            {"{\n  \"text\": }", "body.text", "at line 2, column 11"},
		"no comma":            {`{"labels": {"a": "1" "b": "2"}}`, "body.labels.a", "at line 1, column 22"},
		"a comma too many":    {`{"numbers": [1, ]}`, "body.numbers[0]", "at line 1, column 15"},
		"trailing text":       {`{} x`, "body", "at line 1, column 4"},
		"two documents":       {`{}{}`, "body", "more text after the value, at line 1, column 4"},
		"a comment":           {`{} // no`, "body", "at line 1, column 4"},
		"a byte order mark":   {"\ufeff{}", "body", "at line 1, column 1"},
		"UTF-16":              {"{\x00}\x00", "body", "at line 1, column 2"},
		"single quotes":       {`{'text': 'a'}`, "body", "at line 1, column 2"},
		"invalid UTF-8":       {"{\"text\": \"\xff\"}", "body.text", "UTF-8"},
		"a lone surrogate":    {`{"text": "\ud800"}`, "body.text", "surrogate"},
		"NaN":                 {`{"share": NaN}`, "body.share", "at line 1, column 11"},
		"hexadecimal":         {`{"count": 0x10}`, "body.count", "at line 1, column 12"},
		"a leading zero":      {`{"count": 010}`, "body.count", "at line 1, column 12"},
		"a number as name":    {`{1: 2}`, "body", "at line 1, column 2"},
		"a control character": {"{\"text\": \"a\tb\"}", "body.text", "at line 1, column 12"},
	} {
		t.Run(name, func(t *testing.T) {
			err := readDocument([]byte(c.doc), new(thing).read)
			code, got := problems(t, err)
			require.Equal(t, Malformed, code)
			require.Len(t, got, 1)
			require.True(t, strings.HasPrefix(got[0], c.location+": "), got[0])
			require.Contains(t, got[0], c.message)
		})
	}
}

func TestNestingIsLimitedToSixtyFourLevels(t *testing.T) {
	nested := func(levels int) []byte {
		return []byte(`{"id":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`)
	}
	require.NoError(t, readDocument(nested(64), new(thing).read))
	code, got := problems(t, readDocument(nested(65), new(thing).read))
	require.Equal(t, Invalid, code)
	require.Len(t, got, 1)
	require.Contains(t, got[0], "is nested more than 64 levels deep")
}

func TestADocumentIsLimitedInBytes(t *testing.T) {
	doc := []byte(`{"text":"` + strings.Repeat("a", MaxDocumentBytes-11) + `"}`)
	require.Len(t, doc, MaxDocumentBytes)
	require.NoError(t, readDocument(doc, new(thing).read))
	code, _ := problems(t, readDocument(append(doc, ' '), new(thing).read))
	require.Equal(t, TooLarge, code)
}

func TestNoMoreThanTwentyFaultsAreListed(t *testing.T) {
	var doc strings.Builder
	for i := range 30 {
		fmt.Fprintf(&doc, `%c"x%d": 1`, "{,"[min(i, 1)], i)
	}
	err := readDocument([]byte(doc.String()+"}"), new(thing).read)
	_, got := problems(t, err)
	require.Len(t, got, 20)
	require.Equal(t, "body.x0: is not a known field", got[0])
	require.Contains(t, err.Error(), "the first 20 faults are listed")
}

// The worst documents of the largest size must cost what their size allows. Work is counted in bytes allocated, which do not depend on how busy
// the machine is: a reader that is quadratic in anything would need gigabytes here.
func TestTheLargestDocumentsAreReadInLinearWork(t *testing.T) {
	const perByte = 256
	fill := func(open, item, end string) []byte {
		n := (MaxDocumentBytes - len(open) - len(end)) / len(item)
		return []byte(open + strings.Repeat(item, n) + end)
	}
	names := []byte(`{"x":0`)
	for i := 0; len(names) < MaxDocumentBytes-32; i++ {
		names = fmt.Appendf(names, `,"%x":0`, i)
	}
	deep := strings.Repeat(`{"`+strings.Repeat("n", 60)+`":`, 60)
	for name, doc := range map[string][]byte{
		"empty arrays":             fill(`{"id":[[]`, `,[]`, `]}`),
		"empty objects":            fill(`{"id":[{}`, `,{}`, `]}`),
		"small objects":            fill(`{"id":[{}`, `,{"":0}`, `]}`),
		"one name repeated":        fill(`{"a":0`, `,"a":0`, `}`),
		"repeated far down":        fill(deep+`{"a":0`, `,"a":{"b":0,"b":0}`, strings.Repeat(`}`, 61)),
		"many unknown names":       append(names, '}'),
		"many deep trees":          fill(`{"id":[0`, `,`+strings.Repeat(`{"a":`, 62)+`0`+strings.Repeat(`}`, 62), `]}`),
		"one long escape":          fill(`{"text":"`, `\u0001`, `"}`),
		"only openings":            fill(``, `[`, ``),
		"only openings of objects": fill(``, `{"a":`, ``),
		"a long number":            fill(`{"count":`, `9`, `}`),
		"a long name":              fill(`{"`, `n`, `":1}`),
		"many labels":              fill(`{"labels":{"":""`, `,"a":""`, `}}`),
		"many numbers":             fill(`{"numbers":[0`, `,0`, `]}`),
	} {
		t.Run(name, func(t *testing.T) {
			require.LessOrEqual(t, len(doc), MaxDocumentBytes)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_ = readDocument(doc, new(thing).read)
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(perByte*MaxDocumentBytes))
		})
	}
}

func TestWhatIsStoredMayHaveFieldsThatThisVersionDoesNotKnow(t *testing.T) {
	var x thing
	require.NoError(t, readStored([]byte(`{"text": "a", "later": {"x": 1}, "labels": {}, "new": []}`), x.read))
	require.Equal(t, "a", x.Text)
	code, got := problems(t, readStored([]byte(`{"text": 1}`), x.read))
	require.Equal(t, Invalid, code)
	require.Equal(t, []string{"body.text: must be a string, not a number"}, got)
}

func TestTextsThatMeanTheSameBecomeOneCanonicalText(t *testing.T) {
	for _, c := range []struct{ a, b string }{
		{`{"a": 1, "b": [true, null]}`, `{"b":[true,null],"a":1}`},
		{`"\u0041\/\u00e9"`, `"A/é"`},
		{`1`, `1.0`}, {`1`, `10e-1`}, {`100`, `1E+2`}, {`0`, `-0.00e7`}, {`-1.50`, `-15e-1`}, {`0.001`, `1e-3`}, {`1e400`, `10e399`},
		{`12345678901234567890.0`, `12345678901234567890`},
	} {
		require.Equal(t, canonical(t, c.a), canonical(t, c.b), "%s and %s", c.a, c.b)
	}
	for _, c := range []struct{ a, b string }{
		{`1`, `"1"`}, {`1`, `-1`}, {`9007199254740993`, `9007199254740992`}, {`[1,2]`, `[2,1]`}, {`1`, `10`}, {`0.1`, `0.01`}, {`{}`, `[]`},
		{`1e99999999999999999999`, `1e99999999999999999998`},
	} {
		require.NotEqual(t, canonical(t, c.a), canonical(t, c.b), "%s and %s", c.a, c.b)
	}
}

func TestNumbersForPrintingAreTheSameWhateverTheirText(t *testing.T) {
	for text, want := range map[string]string{
		`1`: "int64 1", `1.0`: "int64 1", `1e2`: "int64 100", `-0`: "int64 0", `9007199254740993.0`: "int64 9007199254740993",
		`0.5`: "float64 0.5", `5e-1`: "float64 0.5", `1e30`: "float64 1e+30",
		`1e400`: "json.Number 1e400", `10e399`: "json.Number 1e400", `9223372036854775809`: "json.Number 9223372036854775809e0",
	} {
		got := parsed(t, text).plain()
		require.Equal(t, want, fmt.Sprintf("%T %v", got, got), text)
	}
}

func parsed(t testing.TB, text string) jsonValue {
	t.Helper()
	v, err := parseStrict([]byte(text))
	require.NoError(t, err)
	return v
}

func canonical(t testing.TB, text string) string {
	t.Helper()
	return string(appendCanonical(nil, parsed(t, text)))
}
