package router

import (
	"bytes"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"
)

func TestScannerUnescapesStrings(t *testing.T) {
	for text, want := range map[string]string{
		`"plain"`:                           "plain",
		`"\"\\\/\b\f\n\r\t"`:                "\"\\/\b\f\n\r\t",
		`"\u0041\u00e9\u20AC"`:              "Aé€",
		`"a\ud83d\ude80b"`:                  "a🚀b",
		`"\ufffd"`:                          "\ufffd",
		`"` + "🚀é" + `"`:                    "🚀é",
		`"\u0000"`:                          "\x00",
		`""`:                                "",
		`"` + "\u2028\u007f" + `"`:          "\u2028\u007f",
		`"` + strings.Repeat(`\n`, 9) + `"`: strings.Repeat("\n", 9),
	} {
		v, slots := viewOf(jsonEvent(text), "data")
		values := v.valuesOf(slots["data"])
		require.Len(t, values, 1, text)
		require.Equal(t, want, values[0].text, text)
	}
}

// scanned gives the scalars of a JSON text by path, in the order of the text; ok is false where the scanner takes it for no JSON.
func scanned(text string, paths []string) (values map[string][]string, ok bool) {
	v, slots := viewOf(Event{}, paths...)
	s := scanner{text: text, view: v, paths: v.paths}
	if !s.scan(v.paths.root) {
		return nil, false
	}
	values = map[string][]string{}
	for path, slot := range slots {
		for _, value := range v.valuesOf(slot) {
			kind := []string{"string ", "", ""}[value.kind]
			values[path] = append(values[path], kind+value.text)
		}
	}
	return values, true
}

// decoded gives the same by way of a decoder, with how deep the text nests.
func decoded(text string) (values map[string][]string, depth int, ok bool) {
	dec := jsontext.NewDecoder(bytes.NewBufferString(text), jsontext.AllowDuplicateNames(true))
	if !jsontext.Value(text).IsValid(jsontext.AllowDuplicateNames(true)) {
		return nil, 0, false
	}
	values = map[string][]string{}
	var path []string
	for {
		isName := false
		if kind, n := dec.StackIndex(dec.StackDepth()); kind == jsontext.KindBeginObject {
			isName = n%2 == 0
		}
		token, err := dec.ReadToken()
		if err != nil {
			return values, depth, true
		}
		depth = max(depth, dec.StackDepth())
		switch token.Kind() {
		case jsontext.KindBeginObject:
			path = append(path, "")
			continue
		case jsontext.KindEndObject:
			path = path[:len(path)-1]
			continue
		case jsontext.KindBeginArray, jsontext.KindEndArray:
			continue
		}
		if isName {
			path[len(path)-1] = token.String()
			continue
		}
		if len(path) == 0 {
			continue // a scalar at the top has no path
		}
		name, value := strings.Join(path, "."), token.String()
		if token.Kind() == jsontext.KindString {
			value = "string " + value
		}
		values[name] = append(values[name], value)
	}
}

// FuzzScanner holds the scanner against a decoder: they agree on what is JSON, and on every scalar in it.
func FuzzScanner(f *testing.F) {
	for _, seed := range []string{
		`{"a":{"b":[1,2.50,-3e+7,{"c":null}]},"d.e":"x","d":{"e":true},"":false}`, `[[[1],{"a":[]}],{}]`, ` "a\u00e9\ud83d\ude80" `, `"\ud800"`, `-0`, `01`, `1.`, `1e`,
		`{"a":1,}`, `[1,]`, `{"a" 1}`, `{1:2}`, `tru`, `nul`, `"a`, `"\x"`, "\"\x01\"", "\xff", `{"a":1}{"a":2}`, ``, ` `, `[`, `{"a":[{"a":1},{"a":2}],"a":3}`, "\ufeff1",
		`{"\u0061":1,"a\u002eb":2}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		want, depth, valid := decoded(text)
		var paths []string
		for path := range want {
			paths = append(paths, path)
		}
		got, ok := scanned(text, paths)
		require.Equal(t, valid && depth <= MaxPayloadDepth, ok, "%q", text)
		if !ok {
			return
		}
		require.Equal(t, want, got, "%q", text)
	})
}
