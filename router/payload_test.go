package router

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// viewOf is a View of an event that has some paths looked for, and the slots of these.
func viewOf(e Event, paths ...string) (*View, map[string]slot) {
	p, slots := newPaths(newSeed()), map[string]slot{}
	for _, path := range paths {
		p, slots[path] = p.with(nil, path)
	}
	v := &View{}
	v.Reset(e)
	v.use(p)
	return v, slots
}

// jsonEvent is an event with some JSON data.
func jsonEvent(data string) Event {
	return Event{f: &EventFields{ID: "1", Source: "/s", Type: "t", DataContentType: "application/json", Data: data, DataKind: JSONData}}
}

// found lists the values of a path as JSON.
func found(v *View, s slot) []string {
	list := []string{}
	for _, value := range v.valuesOf(s) {
		list = append(list, value.json())
	}
	return list
}

func TestViewShowsTheWholeEvent(t *testing.T) {
	e := Event{f: &EventFields{ID: "1", Source: "/shop", Type: "order.paid", Subject: "o1", Time: "2026-11-20T12:00:00Z", DataContentType: "application/json",
		DataSchema: "http://s", Extensions: []Extension{{"flag", "true", BooleanValue}, {"level", "-3", IntegerValue}, {"word", "w", StringValue}},
		Data: `{"total": 1.50}`, DataKind: JSONData}}
	want := map[string][]string{
		"id": {`"1"`}, "source": {`"/shop"`}, "type": {`"order.paid"`}, "subject": {`"o1"`}, "time": {`"2026-11-20T12:00:00Z"`}, "specversion": {`"1.0"`},
		"datacontenttype": {`"application/json"`}, "dataschema": {`"http://s"`}, "flag": {`true`}, "level": {`-3`}, "word": {`"w"`},
		"data.total": {`1.50`}, "data": {}, "absent": {}, "source.x": {}, "data_base64": {},
	}
	for path, values := range want {
		v, slots := viewOf(e, path)
		require.Equal(t, values, found(v, slots[path]), path)
	}
	v, slots := viewOf(Event{f: &EventFields{ID: "1"}}, "subject", "time", "dataschema")
	for path, s := range slots {
		require.Empty(t, found(v, s), "an event without %s", path)
	}
}

func TestViewShowsThePayloadByItsKind(t *testing.T) {
	for name, c := range map[string]struct {
		kind        DataKind
		contentType string
		data        string
		whole, a    []string
	}{
		"JSON object":             {JSONData, "", `{"a":"b"}`, []string{}, []string{`"b"`}},
		"JSON scalar":             {JSONData, "", ` 5 `, []string{`5`}, []string{}},
		"JSON array of scalars":   {JSONData, "", `[1, "x", [true], null, {"a": 2}]`, []string{`1`, `"x"`, `true`, `null`}, []string{`2`}},
		"text":                    {TextData, "text/plain", `{"a":"b"}`, []string{`"{\"a\":\"b\"}"`}, []string{}},
		"bytes that are JSON":     {BinaryData, "application/vnd.x+json", `{"a":1}`, []string{}, []string{`1`}},
		"bytes that are no JSON":  {BinaryData, "application/json", `{"a":1`, []string{}, []string{}},
		"bytes of another type":   {BinaryData, "image/png", `{"a":1}`, []string{}, []string{}},
		"bytes of no type":        {BinaryData, "", `{"a":1}`, []string{}, []string{}},
		"nothing":                 {NoData, "", ``, []string{}, []string{}},
		"JSON that is cut off":    {JSONData, "", `{"a":1,"b":`, []string{}, []string{}},
		"JSON that is not UTF-8":  {JSONData, "", "{\"a\":\"\xff\"}", []string{}, []string{}},
		"more than one value":     {JSONData, "", `{"a":1} 2`, []string{}, []string{}},
		"a name twice":            {JSONData, "", `{"a":1,"a":2}`, []string{}, []string{`1`, `2`}},
		"as deep as may be":       {JSONData, "", strings.Repeat("[", 1000) + strings.Repeat("]", 1000), []string{}, []string{}},
		"a value at the bottom":   {JSONData, "", strings.Repeat("[", 1000) + "1" + strings.Repeat("]", 1000), []string{`1`}, []string{}},
		"a value below all depth": {JSONData, "", strings.Repeat("[", 1001) + "1" + strings.Repeat("]", 1001), []string{}, []string{}},
	} {
		v, slots := viewOf(Event{f: &EventFields{Type: "t", DataContentType: c.contentType, Data: c.data, DataKind: c.kind}}, "data", "data.a", "type")
		require.Equal(t, []string{`"t"`}, found(v, slots["type"]), name)
		require.Equal(t, c.whole, found(v, slots["data"]), name)
		require.Equal(t, c.a, found(v, slots["data.a"]), name)
		require.Equal(t, []string{`"t"`}, found(v, slots["type"]), "%s: attributes stay when the payload is no good", name)
	}
}

func TestViewJoinsNamesByDots(t *testing.T) {
	v, slots := viewOf(jsonEvent(`{"a.b":1,"a":{"b":2,"b.c":3},"":4,"x\u002ey":5}`), "data.a.b", "data.a.b.c", "data.", "data.x.y", "data.a")
	require.Equal(t, []string{`1`, `2`}, found(v, slots["data.a.b"]))
	require.Equal(t, []string{`3`}, found(v, slots["data.a.b.c"]))
	require.Equal(t, []string{`4`}, found(v, slots["data."]))
	require.Equal(t, []string{`5`}, found(v, slots["data.x.y"]))
	require.Empty(t, found(v, slots["data.a"]))
}

func TestViewDecodesOnlyWhenThePayloadIsAskedFor(t *testing.T) {
	v, slots := viewOf(jsonEvent(`{"a":1}`), "type", "data.a")
	v.first(slots["type"])
	require.False(t, v.payloadTaken)
	v.first(slots["data.a"])
	require.True(t, v.payloadTaken)
}

func TestViewIsUsedAgainWithoutAllocating(t *testing.T) {
	events := []Event{jsonEvent(`{"a":[{"b":"x"},{"b":1}],"c":"skipped"}`), jsonEvent(`{"a":{"b":true}}`), jsonEvent(`"y"`)}
	v, slots := viewOf(events[0], "data.a.b", "type")
	i := 0
	allocs := testing.AllocsPerRun(100, func() {
		v.Reset(events[i%len(events)])
		i++
		v.first(slots["data.a.b"])
		v.first(slots["type"])
	})
	require.Zero(t, allocs)
	v.Reset(events[2])
	require.Empty(t, found(v, slots["data.a.b"]), "nothing of the event before is left")
}

func TestViewForgetsWhatItFoundForAnotherIndex(t *testing.T) {
	v, slots := viewOf(jsonEvent(`{"a":1,"b":2}`), "data.a")
	require.Equal(t, []string{`1`}, found(v, slots["data.a"]))
	other, s := newPaths(newSeed()).with(nil, "data.b")
	v.use(other)
	require.Equal(t, []string{`2`}, found(v, s))
}

// TestPathsCountTheirUsers adds and removes paths at random: each that has users has a slot of its own, and no number is lost.
func TestPathsCountTheirUsers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SampledFrom([]string{"data", "data.a", "data.a.b", "data.b", "data.", "type", "type.x", "level"})
		p, users, most := newPaths(newSeed()), map[string]int{}, 0
		for range rapid.IntRange(0, 60).Draw(t, "changes") {
			path, before := names.Draw(t, "path"), p
			if rapid.Bool().Draw(t, "remove") && users[path] > 0 {
				p = p.without(nil, path)
				users[path]--
			} else {
				p, _ = p.with(nil, path)
				users[path]++
			}
			require.NotSame(t, before, p)
			taken := map[int]string{}
			for path, n := range users {
				if n == 0 {
					continue
				}
				node := p.below(p.root, path)
				require.Equal(t, n, node.users, path)
				require.Equal(t, strings.HasPrefix(path, "data"), node.slot.inPayload(), path)
				require.Empty(t, taken[node.slot.number()], "two paths in one slot")
				taken[node.slot.number()] = path
				require.Less(t, node.slot.number(), p.slots())
			}
			most = max(most, len(taken))
			require.Equal(t, most, p.slots(), "numbers are used again")
		}
		for path, n := range users {
			for range n {
				p = p.without(nil, path)
			}
		}
		require.Zero(t, p.root.children.size, "nothing is left")
	})
}

func TestViewFindsElementsOfArrays(t *testing.T) {
	v, slots := viewOf(jsonEvent(`{"a":[{"x":1},[{"x":2},3],{"b":[{"x":4}],"x":5}],"x":6}`), "data.a.x", "data.a", "data.a.b.x", "data.x")
	place := func(s slot) (places []string) {
		for _, value := range v.valuesOf(s) {
			chain := value.text
			for e := value.element; e != 0; e = v.elements[e-1].parent {
				chain += fmt.Sprintf(" in %d of array %d", e, v.elements[e-1].array)
			}
			places = append(places, chain)
		}
		return places
	}
	require.Equal(t, []string{"1 in 1 of array 0", "2 in 3 of array 1 in 2 of array 0", "5 in 4 of array 0"}, place(slots["data.a.x"]))
	require.Equal(t, []string{"3 in 2 of array 0"}, place(slots["data.a"]), "a scalar belongs to what its array is in")
	require.Equal(t, []string{"4 in 5 of array 2 in 4 of array 0"}, place(slots["data.a.b.x"]))
	require.Equal(t, []string{"6"}, place(slots["data.x"]))
	require.Equal(t, []array{{1, 5}, {3, 3}, {5, 5}}, v.arrays)
	require.Equal(t, int32(3), v.elements[1].last)
}
