package router

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestPatternRules has the essential answers of EventBridge; most are from its user guide.
func TestPatternRules(t *testing.T) {
	for _, c := range []struct{ name, pattern, document, want string }{
		{"all fields must match", `{"a":["x"],"b":["y"]}`, `{"a":"x","b":"z"}`, "nomatch"},
		{"any value of a list will do", `{"a":["x","y"]}`, `{"a":"y"}`, "match"},
		{"case matters", `{"a":["X"]}`, `{"a":"x"}`, "nomatch"},
		{"a string is not a number", `{"a":["1"]}`, `{"a":1}`, "nomatch"},
		{"numbers compare by value", `{"a":[300]}`, `{"a":3.0e2}`, "match"},
		{"-0 is 0", `{"a":[0]}`, `{"a":-0.0}`, "match"},
		{"numbers beyond a double compare as text", `{"a":[12345678901234567890]}`, `{"a":12345678901234567891}`, "nomatch"},
		{"numbers beyond a double equal themselves", `{"a":[12345678901234567890]}`, `{"a":12345678901234567890}`, "match"},
		{"no range holds numbers beyond a double", `{"a":[{"numeric":[">",0]}]}`, `{"a":12345678901234567890}`, "nomatch"},
		{"null", `{"a":[null]}`, `{"a":null}`, "match"},
		{"null is not the string", `{"a":[null]}`, `{"a":"null"}`, "nomatch"},
		{"null is not absence", `{"a":[null]}`, `{}`, "nomatch"},
		{"booleans", `{"a":[false]}`, `{"a":false}`, "match"},
		{"addresses equal in any spelling", `{"a":["2001:db8::1"]}`, `{"a":"2001:0DB8:0:0::1"}`, "match"},
		{"prefix", `{"a":[{"prefix":"ab"}]}`, `{"a":"abc"}`, "match"},
		{"an empty prefix takes every string", `{"a":[{"prefix":""}]}`, `{"a":1}`, "nomatch"},
		{"prefix but for case", `{"a":[{"prefix":{"equals-ignore-case":"Ab"}}]}`, `{"a":"aBc"}`, "match"},
		{"suffix", `{"a":[{"suffix":"bc"}]}`, `{"a":"abd"}`, "nomatch"},
		{"suffix but for case", `{"a":[{"suffix":{"equals-ignore-case":".É"}}]}`, `{"a":"x.é"}`, "match"},
		{"equals but for case", `{"a":[{"equals-ignore-case":"ÀB"}]}`, `{"a":"àb"}`, "match"},
		{"equals but for case is not a prefix", `{"a":[{"equals-ignore-case":"a"}]}`, `{"a":"ab"}`, "nomatch"},
		{"exactly", `{"a":[{"exactly":"10.0.0.1"}]}`, `{"a":"010.0.0.1"}`, "nomatch"},
		{"wildcard", `{"a":[{"wildcard":"a*c*"}]}`, `{"a":"abbc"}`, "match"},
		{"wildcard escapes", `{"a":[{"wildcard":"a\\*\\\\"}]}`, `{"a":"a*\\"}`, "match"},
		{"a wildcard's end does not overlap its middle", `{"a":[{"wildcard":"*ab*b"}]}`, `{"a":"ab"}`, "nomatch"},
		{"anything but", `{"a":[{"anything-but":"x"}]}`, `{"a":"y"}`, "match"},
		{"anything but takes null", `{"a":[{"anything-but":["x","y"]}]}`, `{"a":null}`, "match"},
		{"anything but wants the field", `{"a":[{"anything-but":"x"}]}`, `{}`, "nomatch"},
		{"anything but a number takes strings", `{"a":[{"anything-but":[1]}]}`, `{"a":"1"}`, "match"},
		{"anything but a number, by value", `{"a":[{"anything-but":1}]}`, `{"a":1.0}`, "nomatch"},
		{"anything but a prefix", `{"a":[{"anything-but":{"prefix":["a","b"]}}]}`, `{"a":"bx"}`, "nomatch"},
		{"anything but a suffix", `{"a":[{"anything-but":{"suffix":"x"}}]}`, `{"a":"bx"}`, "nomatch"},
		{"anything but a wildcard", `{"a":[{"anything-but":{"wildcard":"*x*"}}]}`, `{"a":"bxc"}`, "nomatch"},
		{"anything but case", `{"a":[{"anything-but":{"equals-ignore-case":["X"]}}]}`, `{"a":"x"}`, "nomatch"},
		{"of an array, one element that is another will do", `{"a":[{"anything-but":"x"}]}`, `{"a":["x","y"]}`, "match"},
		{"numeric equality", `{"a":[{"numeric":["=",5]}]}`, `{"a":5.0}`, "match"},
		{"numeric bounds are open", `{"a":[{"numeric":[">",0,"<",5]}]}`, `{"a":5}`, "nomatch"},
		{"numeric bounds are closed", `{"a":[{"numeric":[">=",5,"<=",6]}]}`, `{"a":5}`, "match"},
		{"numeric takes no strings", `{"a":[{"numeric":["<",5]}]}`, `{"a":"1"}`, "nomatch"},
		{"cidr", `{"a":[{"cidr":"10.0.0.0/24"}]}`, `{"a":"10.0.0.255"}`, "match"},
		{"cidr of the wrong network", `{"a":[{"cidr":"10.0.0.0/24"}]}`, `{"a":"10.0.1.0"}`, "nomatch"},
		{"cidr of version 6", `{"a":[{"cidr":"2001:db8::/32"}]}`, `{"a":"2001:db8:ffff::1"}`, "match"},
		{"exists", `{"a":[{"exists":true}]}`, `{"a":null}`, "match"},
		{"exists looks at leaves only", `{"a":[{"exists":true}]}`, `{"a":{"b":1}}`, "nomatch"},
		{"an empty array has no value", `{"a":[{"exists":true}]}`, `{"a":[]}`, "nomatch"},
		{"exists not", `{"a":[{"exists":false}]}`, `{"a":{"b":1}}`, "match"},
		{"exists not, or a value", `{"a":[{"exists":false},"x"]}`, `{"a":"x"}`, "match"},
		{"$or", `{"$or":[{"a":[1]},{"b":[2]}]}`, `{"b":2}`, "match"},
		{"$or with other fields", `{"c":[3],"$or":[{"a":[1]},{"b":[2]}]}`, `{"b":2}`, "nomatch"},
		{"$or below", `{"x":{"$or":[{"a":[1]},{"b":[2],"$or":[{"c":[3]},{"d":[4]}]}]}}`, `{"x":{"b":2,"d":4}}`, "match"},
		{"$or that can't mean alternatives is a field", `{"$or":{"a":[1]}}`, `{"$or":{"a":1}}`, "match"},
		{"the last of equal names counts", `{"a":[1],"a":[2]}`, `{"a":1}`, "nomatch"},
		{"dots join names", `{"x":{"a.b":[1]}}`, `{"x.a":{"b":1}}`, "match"},
		{"arrays intersect", `{"a":[1,2]}`, `{"a":[2,3]}`, "match"},
		{"arrays of arrays", `{"a":[3]}`, `{"a":[[1,[2,[3]]]]}`, "match"},
		{"the same element", `{"a":{"x":[1],"y":[2]}}`, `{"a":[{"x":1,"y":2}]}`, "match"},
		{"not the same element", `{"a":{"x":[1],"y":[2]}}`, `{"a":[{"x":1},{"y":2}]}`, "nomatch"},
		{"elements within the same element", `{"a":{"b":{"x":[1]},"y":[2]}}`, `{"a":[{"b":[{"x":1}]},{"b":[{"x":0},{"x":1}],"y":2}]}`, "match"},
		{"not the same inner element", `{"a":{"b":{"x":[1],"y":[2]}}}`, `{"a":[{"b":[{"x":1},{"y":2}]}]}`, "nomatch"},
		{"elements of independent arrays", `{"a":{"x":[1]},"b":{"y":[2]}}`, `{"a":[{"x":0},{"x":1}],"b":[{"y":2},{"y":0}]}`, "match"},
		{"absent in the same element", `{"a":{"x":[1],"y":[{"exists":false}]}}`, `{"a":[{"x":0,"y":2},{"x":1}]}`, "match"},
		{"present in the same element", `{"a":{"x":[1],"y":[{"exists":false}]}}`, `{"a":[{"x":0},{"x":1,"y":2}]}`, "nomatch"},
	} {
		require.Equal(t, c.want, answer(c.pattern, c.document), c.name)
	}
}

func TestPatternRefusalsSayWhatAndWhere(t *testing.T) {
	for _, c := range []struct{ pattern, at, why string }{
		{`[]`, `pattern`, "must be an object, not an array"},
		{`{"a":`, `pattern`, "not valid JSON: ends too early"},
		{`{"a":["x"]} {}`, `pattern`, "not valid JSON: more text after the value"},
		{`{}`, `pattern`, "must not be an empty object"},
		{`{"data":{}}`, `pattern.data`, "must not be an empty object"},
		{`{"data":{"a":1}}`, `pattern.data.a`, "must be an array of values, or an object, not a number"},
		{`{"data":{"a b":[]}}`, `pattern.data["a b"]`, "must not be an empty array"},
		{`{"a":[["x"]]}`, `pattern.a[0]`, "not an array"},
		{`{"a":[{}]}`, `pattern.a[0]`, "exactly one match type"},
		{`{"a":["x",{"prefix":"x","suffix":"y"}]}`, `pattern.a[1]`, "exactly one match type"},
		{`{"a":[{"PREFIX":"x"}]}`, `pattern.a[0].PREFIX`, "is not a match type"},
		{`{"a":[{"prefix":1}]}`, `pattern.a[0].prefix`, "must be a string, not a number"},
		{`{"a":[{"prefix":{"wildcard":"x"}}]}`, `pattern.a[0].prefix`, `must be a string, or {"equals-ignore-case"`},
		{`{"a":[{"suffix":{"equals-ignore-case":1}}]}`, `pattern.a[0].suffix.equals-ignore-case`, "must be a string"},
		{`{"a":[{"equals-ignore-case":["x"]}]}`, `pattern.a[0].equals-ignore-case`, "must be a string, not an array"},
		{`{"a":[{"wildcard":"a**"}]}`, `pattern.a[0].wildcard`, "two stars in a row, as at byte 1"},
		{`{"a":[{"wildcard":"a\\b"}]}`, `pattern.a[0].wildcard`, "after a backslash"},
		{`{"a":[{"wildcard":"*:*:*:*:*:event-bus/*"}]}`, `pattern.a[0].wildcard`, "too complex"},
		{`{"a":[{"exists":"yes"}]}`, `pattern.a[0].exists`, "must be true or false, not a string"},
		{`{"a":[{"cidr":"10.0.0.0"}]}`, `pattern.a[0].cidr`, "must be a network with a mask"},
		{`{"a":[{"cidr":"10.0.0/8"}]}`, `pattern.a[0].cidr`, "must have an IPv4 or IPv6 address"},
		{`{"a":[{"cidr":"10.0.0.0/x"}]}`, `pattern.a[0].cidr`, "whole number of mask bits"},
		{`{"a":[{"cidr":"10.0.0.0/32"}]}`, `pattern.a[0].cidr`, "from 0 to 31 mask bits"},
		{`{"a":[{"cidr":5}]}`, `pattern.a[0].cidr`, "must be a string, not a number"},
		{`{"a":[{"numeric":5}]}`, `pattern.a[0].numeric`, "must be an array"},
		{`{"a":[{"numeric":[]}]}`, `pattern.a[0].numeric`, "must have an operator and a number"},
		{`{"a":[{"numeric":[">",1,"<"]}]}`, `pattern.a[0].numeric`, "must have an operator and a number"},
		{`{"a":[{"numeric":["!=",1]}]}`, `pattern.a[0].numeric[0]`, "must be one of the operators =, <, <=, >, >= here"},
		{`{"a":[{"numeric":["=",1,"<",2]}]}`, `pattern.a[0].numeric[0]`, "must be one of the operators >, >= here"},
		{`{"a":[{"numeric":[">",1,">",2]}]}`, `pattern.a[0].numeric[2]`, "must be one of the operators <, <= here"},
		{`{"a":[{"numeric":[">",5,"<",5]}]}`, `pattern.a[0].numeric`, "lower bound is less than its upper bound"},
		{`{"a":[{"numeric":[">","5"]}]}`, `pattern.a[0].numeric[1]`, "must be a number, not a string"},
		{`{"a":[{"numeric":[">",12345678901234567890]}]}`, `pattern.a[0].numeric[1]`, "can't be compared"},
		{`{"a":[{"anything-but":null}]}`, `pattern.a[0].anything-but`, "must be a string, a number, a list"},
		{`{"a":[{"anything-but":[]}]}`, `pattern.a[0].anything-but`, "empty array"},
		{`{"a":[{"anything-but":["x",null]}]}`, `pattern.a[0].anything-but[1]`, "must be a string or a number, not null"},
		{`{"a":[{"anything-but":["x",1]}]}`, `pattern.a[0].anything-but[1]`, "of the same type"},
		{`{"a":[{"anything-but":{"numeric":["=",1]}}]}`, `pattern.a[0].anything-but`, "one of prefix, suffix"},
		{`{"a":[{"anything-but":{"prefix":""}}]}`, `pattern.a[0].anything-but.prefix`, "must not be empty"},
		{`{"a":[{"anything-but":{"suffix":["x",1]}}]}`, `pattern.a[0].anything-but.suffix[1]`, "must be a string, not a number"},
		{`{"a":[{"anything-but":{"wildcard":[]}}]}`, `pattern.a[0].anything-but.wildcard`, "empty array"},
		{`{"$or":[{"a":["x"]}]}`, `pattern.$or`, "at least two objects"},
		{`{"$or":[{"a":["x"]},1]}`, `pattern.$or[1]`, "must be an object, not a number"},
		{`{"$or":[{"a":["x"]},{"b":{"prefix":["x"]}}]}`, `pattern.$or[1].b.prefix`, "a field within $or can't have"},
		{`{"a":` + strings.Repeat(`{"a":`, 32) + `["x"]` + strings.Repeat(`}`, 33), `pattern`, "nested more than 32 levels"},
		{`{"a":["` + strings.Repeat("x", MaxPatternBytes) + `"]}`, `pattern`, "at most 16384 are possible"},
		{`{"a":[` + strings.Repeat("1,", MaxPatternValues) + `1]}`, `pattern`, "at most 2000 are possible"},
		{`{` + manyFields(MaxPatternFields+1) + `}`, `pattern`, "more than 256 fields"},
		{`{` + strings.Repeat(`"x":{"$or":[{"a":[1]},{"b":[2]},{"c":[3]}]},`, 7) + `"z":[1]}`, `pattern.x.$or`, "more than 1000 combinations"},
	} {
		_, err := Filter{Pattern: json.RawMessage(c.pattern)}.Compile()
		first := problemsOf(t, err)[0]
		require.Equal(t, c.at, first.Location, c.pattern)
		require.Contains(t, first.Message, c.why, c.pattern)
	}
}

func manyFields(n int) string {
	var fields []string
	for i := range n {
		fields = append(fields, fmt.Sprintf(`"f%d":[1]`, i))
	}
	return strings.Join(fields, ",")
}

func TestPatternListsAllProblems(t *testing.T) {
	_, err := Filter{Pattern: json.RawMessage(`{"a":[{"prefix":1},{"exists":0}],"b":1,"c":["fine"]}`)}.Compile()
	var at []string
	for _, p := range problemsOf(t, err) {
		at = append(at, p.Location)
	}
	require.Equal(t, []string{"pattern.a[0].prefix", "pattern.a[1].exists", "pattern.b"}, at)
}

func TestComparableNumber(t *testing.T) {
	for text, want := range map[string]float64{
		"0": 0, "-0": 0, "-0.0e5": 0, "1": 1, "-17": -17, "999999999999999": 999999999999999, "9007199254740992": 9007199254740992, "0.1": 0.1, "0.10": 0.1,
		"1e3": 1000, "1E+3": 1000, "100000e-5": 1, "1.7976931348623157e308": 1.7976931348623157e308, "123456789012345680000": 123456789012345680000, "0e999999999999": 0,
	} {
		x, ok := comparableNumber(text)
		require.True(t, ok, text)
		require.Equal(t, want, x, text)
	}
	for _, text := range []string{"9007199254740993", "12345678901234567890", "0.1234567890123456789", "1e400", "1e-400", "1e99999999999999999999", "-9007199254740993"} {
		_, ok := comparableNumber(text)
		require.False(t, ok, text)
	}
}

// TestWildcardComplexity has the measures that event-ruler's MachineComplexityEvaluator gives.
func TestWildcardComplexity(t *testing.T) {
	for text, want := range map[string]int{
		"": 1, "abc": 1, "*": 2, "Simple*Service": 2, "*/dir/*": 4, "arn:aws:events:us-east-1:*:event-bus/*": 3,
		"/Users/*/dir/dir/dir/dir/dir/doc.txt": 7, "*:*:*:*:*:event-bus/*": 11,
	} {
		require.Equal(t, want, wildcard(strings.Split(text, "*")).complexity(100), text)
	}
	long := wildcard(strings.Split(strings.Repeat("abcdefgh*", 8)+strings.Repeat("xy", 5000), "*"))
	require.Greater(t, long.complexity(maxWildcardComplexity), maxWildcardComplexity, "measuring ends")
}

// TestWildcardAgreesWithItsRule holds wildcards against the plainest way of matching them.
func TestWildcardAgreesWithItsRule(t *testing.T) {
	var fits func(pattern, text string) bool
	fits = func(pattern, text string) bool {
		switch {
		case pattern == "":
			return text == ""
		case pattern[0] == '*':
			return fits(pattern[1:], text) || text != "" && fits(pattern, text[1:])
		}
		return text != "" && text[0] == pattern[0] && fits(pattern[1:], text[1:])
	}
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringOfN(rapid.RuneFrom([]rune("ab*")), 0, 8, -1).Draw(t, "pattern")
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab")), 0, 8, -1).Draw(t, "text")
		if w, err := parseWildcard(pattern); err == nil {
			require.Equal(t, fits(pattern, text), w.match(text))
		}
	})
}

// exhaustive tells whether a branch matches, by trying all values for all fields in the order of their paths.
func exhaustive(v *View, b branch, slots []slot, chosen map[int32]int32) bool {
	if len(b) == 0 {
		return true
	}
	agree := func(element int32) (map[int32]int32, bool) {
		with := map[int32]int32{}
		maps.Copy(with, chosen)
		for ; element != 0; element = v.elements[element-1].parent {
			array := v.elements[element-1].array
			if e, ok := with[array]; ok && e != element {
				return nil, false
			}
			with[array] = element
		}
		return with, true
	}
	f, present := b[0], false
	for _, value := range v.valuesOf(slots[f.place]) {
		with, ok := agree(value.element)
		present = present || ok
		if ok && f.pass(&value) && exhaustive(v, b[1:], slots, with) {
			return true
		}
	}
	return f.absent && !present && exhaustive(v, b[1:], slots, chosen)
}

// TestPatternFindsValuesThatAgreeOnArrays holds the search for values of the same array elements against trying everything.
func TestPatternFindsValuesThatAgreeOnArrays(t *testing.T) {
	names := rapid.SampledFrom([]string{"a", "b", "c", "a.b"})
	scalar := rapid.SampledFrom([]string{"1", "2"})
	var document func(depth int) *rapid.Generator[string]
	document = func(depth int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			kind := rapid.IntRange(0, 4).Draw(t, "kind")
			if depth == 0 || kind == 0 {
				return scalar.Draw(t, "scalar")
			}
			items := rapid.SliceOfN(document(depth-1), 0, 3).Draw(t, "items")
			if kind < 3 {
				return "[" + strings.Join(items, ",") + "]"
			}
			for i := range items {
				items[i] = `"` + names.Draw(t, "name") + `":` + items[i]
			}
			return "{" + strings.Join(items, ",") + "}"
		})
	}
	value := rapid.SampledFrom([]string{`[1]`, `[2]`, `[1,2]`, `[{"exists":false}]`, `[1,{"exists":false}]`})
	path := rapid.SampledFrom([]string{"a", "b", "a.a", "a.b", "a.c", "a.b.a", "a.b.c", "b.a", "b.c", "a.a.b", "a.a.c"})
	rapid.Check(t, func(t *rapid.T) {
		fields := rapid.SliceOfNDistinct(path, 1, 5, rapid.ID[string]).Draw(t, "paths")
		for i := range fields {
			fields[i] = `"` + fields[i] + `":` + value.Draw(t, "value")
		}
		filter, err := Filter{Pattern: json.RawMessage("{" + strings.Join(fields, ",") + "}")}.Compile()
		require.NoError(t, err)
		view := &View{}
		view.resetToDocument(`{"a":` + document(4).Draw(t, "a") + `,"b":` + document(3).Draw(t, "b") + `}`)
		got := filter.Match(view)
		require.Equal(t, exhaustive(view, filter.pattern[0], filter.useAlone(view), nil), got)
		require.False(t, view.GaveUp())
	})
}

func TestPatternSearchOfLargeArraysIsBounded(t *testing.T) {
	large := func(n int, item string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(item+",", n), ",") + "]"
	}
	for name, c := range map[string]struct{ pattern, document, want string }{
		"two fields never in one element": {`{"a":{"x":[1],"y":[2]}}`, `{"a":` + large(20_000, `{"x":1},{"y":2}`) + `}`, "nomatch"},
		"independent arrays do not multiply": {`{"a":{"x":[1]},"b":{"x":[1]},"c":{"x":[1],"y":[2]}}`,
			`{"a":` + large(2000, `{"x":1}`) + `,"b":` + large(2000, `{"x":1}`) + `,"c":` + large(2000, `{"x":1},{"y":2}`) + `}`, "nomatch"},
		"the last element has both": {`{"a":{"x":[1],"y":[2]}}`, `{"a":[` + strings.Repeat(`{"x":1},{"y":2},`, 5000) + `{"x":1,"y":2}]}`, "match"},
		"an absent field in another array": {`{"a":{"x":[1]},"b":{"x":[1]},"c":{"x":[{"exists":false}]}}`,
			`{"a":` + large(2000, `{"x":1}`) + `,"b":` + large(2000, `{"x":1}`) + `,"c":[{"x":1}]}`, "nomatch"},
		"many scalars": {`{"a":[1],"b":{"c":[5]}}`, `{"a":` + large(50_000, `1`) + `,"b":[{"c":1}]}`, "nomatch"},
	} {
		filter, err := Filter{Pattern: json.RawMessage(c.pattern)}.Compile()
		require.NoError(t, err)
		view := &View{}
		view.resetToDocument(c.document)
		require.Equal(t, c.want == "match", filter.Match(view), name)
		require.False(t, view.GaveUp(), name)
		require.Less(t, view.join.steps, 200_000, name)
	}
}

// TestPatternGivesUpOnWhatIsMadeToTakeLong has as many arrays at one path, by repeated names, as there are fields less one, so that
// the fields are pigeons that have no holes to go to.
func TestPatternGivesUpOnWhatIsMadeToTakeLong(t *testing.T) {
	const pigeons = 12
	var fields, elements []string
	for i := range pigeons {
		fields = append(fields, fmt.Sprintf(`"p%d":[1]`, i))
		elements = append(elements, fmt.Sprintf(`{"p%d":1}`, i))
	}
	hole := `"v":[` + strings.Join(elements, ",") + `]`
	filter, err := Filter{Pattern: json.RawMessage(`{"v":{` + strings.Join(fields, ",") + `}}`)}.Compile()
	require.NoError(t, err)
	view := &View{}
	view.resetToDocument("{" + strings.Repeat(hole+",", pigeons-2) + hole + "}")
	require.False(t, filter.Match(view))
	require.True(t, view.GaveUp())
	miss, missed := filter.Explain(view)
	require.True(t, missed)
	require.Contains(t, miss.Found, "too many array elements")
	view.resetToDocument("{" + strings.Repeat(hole+",", pigeons-1) + hole + "}")
	require.True(t, filter.Match(view), "one more hole")
	require.False(t, view.GaveUp())
}

func FuzzPattern(f *testing.F) {
	for _, seed := range []string{
		`{"a":["x",1,null,{"prefix":"y"}],"b":{"$or":[{"c":[{"numeric":[">",1,"<=",2]}]},{"d":[{"anything-but":{"wildcard":["*a*","b*"]}}]}]}}`,
		`{"a":[{"cidr":"10.0.0.0/8"},{"exists":false}],"a":[{"equals-ignore-case":"É"}]}`, `{"a.b":[{"suffix":{"equals-ignore-case":"x"}}],"a":{"b":["::1"]}}`,
	} {
		f.Add(seed, `{"a":[{"b":1},{"b":"x","c":null}],"a.b":{"c":[[2]]}}`)
	}
	f.Fuzz(func(t *testing.T, pattern, document string) {
		if isNull(json.RawMessage(pattern)) {
			return
		}
		filter, err := Filter{Pattern: json.RawMessage(pattern)}.Compile()
		if err != nil {
			problemsOf(t, err)
			return
		}
		require.True(t, json.Valid([]byte(pattern)))
		view := &View{}
		view.resetToDocument(document)
		_, missed := filter.Explain(view)
		require.Equal(t, !filter.Match(view), missed)
	})
}
