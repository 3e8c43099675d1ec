package router

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMergePatchGivesWhatTheAppendixOfRFC7396Says(t *testing.T) {
	for _, c := range []struct{ target, patch, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`},
		{`{"a":"b","b":"c"}`, `{"a":null}`, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`},
		{`{"a":[{"b":"c"}]}`, `{"a":[1]}`, `{"a":[1]}`},
		{`["a","b"]`, `["c","d"]`, `["c","d"]`},
		{`{"a":"b"}`, `["c"]`, `["c"]`},
		{`{"a":"foo"}`, `null`, `null`},
		{`{"a":"foo"}`, `"bar"`, `"bar"`},
		{`{"e":null}`, `{"a":1}`, `{"e":null,"a":1}`},
		{`[1,2]`, `{"a":"b","c":null}`, `{"a":"b"}`},
		{`{}`, `{"a":{"bb":{"ccc":null}}}`, `{"a":{"bb":{}}}`},
		// Section 3.
		{
			`{"title":"Goodbye!","author":{"givenName":"John","familyName":"Doe"},"tags":["example","sample"],"content":"This will be unchanged"}`,
			`{"title":"Hello!","phoneNumber":"+01-123-456-7890","author":{"familyName":null},"tags":["example"]}`,
			`{"title":"Hello!","author":{"givenName":"John"},"tags":["example"],"content":"This will be unchanged","phoneNumber":"+01-123-456-7890"}`,
		},
		// What is not patched keeps its text, and nulls within arrays are values.
		{`{"n": 1.00, "s": "\u0041"}`, `{"x": [null, {"y": null}]}`, `{"n":1.00,"s":"\u0041","x":[null, {"y": null}]}`},
		{`{"a":1,"b":2}`, `{"b":3,"\u0061":4}`, `{"a":4,"b":3}`},
	} {
		got, err := MergePatch([]byte(c.target), []byte(c.patch))
		require.NoError(t, err)
		require.Equal(t, c.want, string(got), "%s with %s", c.target, c.patch)
	}
}

func TestMergePatchRefusesWhatIsNotOneStrictDocument(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65)
	for patch, want := range map[string]Code{
		``: Malformed, `{`: Malformed, `{} {}`: Malformed, `{"a":1,"a":2}`: Invalid, deep: Invalid,
		`"` + strings.Repeat("a", MaxDocumentBytes) + `"`: TooLarge,
	} {
		_, err := MergePatch([]byte(`{}`), []byte(patch))
		require.Equal(t, want, ErrorCode(err), "%.40s", patch)
		_, err = MergePatch([]byte(patch), []byte(`{}`))
		require.Equal(t, want, ErrorCode(err), "%.40s", patch)
	}
}

func FuzzMergePatch(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a":{"b":1}}`, `{"a":{"b":null,"c":[null]}}`}, {`[1]`, `{"a":null}`}, {`{}`, `7`}, {`{"a":1,"a":2}`, `{}`}, {`{"\ud83d\ude00":"x"}`, `{"😀":{}}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]))
	}
	f.Fuzz(func(t *testing.T, target, patch []byte) {
		once, err := MergePatch(target, patch)
		if err != nil {
			require.NotEqual(t, Internal, ErrorCode(err))
			return
		}
		if len(once) > MaxDocumentBytes {
			return
		}
		twice, err := MergePatch(once, patch)
		require.NoError(t, err)
		require.Equal(t, canonical(t, string(once)), canonical(t, string(twice)), "a patch applied twice is a patch applied once")
	})
}
