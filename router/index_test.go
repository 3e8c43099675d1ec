package router

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawnLong is a text that there is no room for where an index has what a filter wants.
var drawnLong = `"` + strings.Repeat("x", 60) + `"`

// Filters and events that overlap: few names, few values, all ways of filing.
var (
	drawnValue = rapid.SampledFrom([]string{`"x"`, `"y"`, `"xy"`, `1`, `1.0`, `2`, `true`, `null`, `"10.0.0.1"`, `{"prefix":"x"}`, `{"prefix":"xy"}`, `{"suffix":"y"}`,
		`{"anything-but":"x"}`, `{"numeric":[">",1]}`, `{"exists":true}`, `{"exists":false}`, `{"cidr":"10.0.0.0/8"}`, `12345678901234567890`, drawnLong})
	drawnPath = rapid.SampledFrom([]string{"type", "subject", "level", "data", "data.a", "data.b", "data.c", "data.a.b"})

	drawnFields = rapid.Custom(func(t *rapid.T) string {
		parts := rapid.SliceOfNDistinct(drawnPath, 1, 5, rapid.ID[string]).Draw(t, "paths")
		for i := range parts {
			parts[i] = fmt.Sprintf("%q:[%s]", parts[i], strings.Join(rapid.SliceOfN(drawnValue, 1, 3).Draw(t, "values"), ","))
		}
		return strings.Join(parts, ",")
	})
	drawnPattern = rapid.Custom(func(t *rapid.T) string {
		text := drawnFields.Draw(t, "fields")
		for range rapid.IntRange(0, 2).Draw(t, "times $or") {
			text += `,"$or":[{` + drawnFields.Draw(t, "one") + `},{` + drawnFields.Draw(t, "other") + `}]`
		}
		return "{" + text + "}"
	})
	drawnType = rapid.SampledFrom([]string{"a", "b", "a.b", "a.*", "*.b", "a.*.c", "*", "*.*", "x"})

	drawnData = rapid.Custom(func(t *rapid.T) string {
		value := rapid.SampledFrom([]string{`"x"`, `"y"`, `"xyz"`, `1`, `2.0`, `true`, `null`, `"10.0.0.1"`, `"010.0.0.1"`, `12345678901234567890`, `[]`, `{"b":"x"}`,
			`["x",2]`, `[{"b":1},{"b":"xy"}]`, drawnLong})
		a, b, c := value.Draw(t, "a"), value.Draw(t, "b"), value.Draw(t, "c")
		return rapid.SampledFrom([]string{a, `{"a":` + a + `,"b":` + b + `,"c":` + c + `}`, `[{"a":` + a + `},{"b":` + b + `}]`}).Draw(t, "data")
	})
)

// drawnDialect is an expression of some depth.
func drawnDialect(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		kind := "pair"
		if depth > 0 {
			kind = rapid.SampledFrom([]string{"pair", "not", "all", "any"}).Draw(t, "kind")
		}
		switch kind {
		case "pair":
			return fmt.Sprintf(`{%q:{%q:%q}}`, rapid.SampledFrom([]string{"exact", "prefix", "suffix"}).Draw(t, "op"),
				rapid.SampledFrom([]string{"type", "subject", "level"}).Draw(t, "attribute"), rapid.SampledFrom([]string{"a", "x", "xy", "1", "5"}).Draw(t, "text"))
		case "not":
			return `{"not":` + drawnDialect(depth-1).Draw(t, "of") + `}`
		}
		return fmt.Sprintf(`{%q:[%s]}`, kind, strings.Join(rapid.SliceOfN(drawnDialect(depth-1), 1, 2).Draw(t, "of"), ","))
	})
}

func drawFilter(t *rapid.T) Filter {
	f := Filter{Types: rapid.SliceOfN(drawnType, 0, 2).Draw(t, "types")}
	if rapid.Bool().Draw(t, "with pattern") {
		f.Pattern = json.RawMessage(drawnPattern.Draw(t, "pattern"))
	}
	if rapid.Bool().Draw(t, "with dialect") {
		f.Filters = []json.RawMessage{json.RawMessage(drawnDialect(2).Draw(t, "dialect"))}
	}
	return f
}

func drawEvent(t *rapid.T) Event {
	f := EventFields{ID: "1", Source: "/s", DataKind: JSONData, Data: drawnData.Draw(t, "data")}
	f.Type = rapid.SampledFrom([]string{"a", "b", "a.b", "a.b.c", "x", "x.b", "a..b"}).Draw(t, "type")
	f.Subject = rapid.SampledFrom([]string{"", "x", "xy"}).Draw(t, "subject")
	if rapid.Bool().Draw(t, "with level") {
		f.Extensions = []Extension{{"level", rapid.SampledFrom([]string{"1", "5"}).Draw(t, "level"), IntegerValue}}
	}
	return Event{f: &f}
}

// TestIndexAnswersAsItsFiltersDo changes an index at random and holds its answers against those of each filter by itself.
func TestIndexAnswersAsItsFiltersDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		index, model, view := NewIndex(), map[string]*CompiledFilter{}, &View{}
		type version struct {
			index *Index
			model map[string]*CompiledFilter
		}
		versions := []version{}
		for range rapid.IntRange(1, 4).Draw(t, "edits") {
			edit := index.Edit()
			for range rapid.IntRange(1, 25).Draw(t, "changes") {
				id := fmt.Sprintf("sub_%02d", rapid.IntRange(0, 40).Draw(t, "id"))
				if rapid.IntRange(0, 3).Draw(t, "remove") == 0 {
					edit.Remove(id)
					delete(model, id)
					continue
				}
				filter, err := drawFilter(t).Compile()
				require.NoError(t, err)
				edit.Set(id, filter)
				model[id] = filter
			}
			index = edit.Index()
			versions = append(versions, version{index, maps.Clone(model)})
		}
		for range 5 {
			e := drawEvent(t)
			for _, version := range versions {
				requireAnswers(t, version.index, version.model, view, e)
			}
		}
		for id := range model {
			index = index.Without(id)
		}
		requireEmpty(t, index)
	})
}

func requireAnswers(t require.TestingT, index *Index, model map[string]*CompiledFilter, view *View, e Event) {
	want := []string{"before"}
	for _, id := range slices.Sorted(maps.Keys(model)) {
		if model[id].Match(NewView(e)) {
			want = append(want, id)
		}
	}
	view.Reset(e)
	require.Equal(t, want, index.Match(view, []string{"before"}), "%+v", e)
	require.Equal(t, len(model), index.Len())
}

func requireEmpty(t require.TestingT, index *Index) {
	require.Zero(t, index.Len())
	require.Zero(t, index.exact.size)
	require.Nil(t, index.stars)
	require.Nil(t, index.any)
	require.Zero(t, index.paths.root.children.size)
}

// indexShape is a kind of filters, the i-th of which matches the i-th event, and few others do.
type indexShape struct {
	filter func(i int) Filter
	event  func(i int) Event
}

// shaped makes the pattern of one type and the event that it matches out of a format for both: 0 stands for the value.
func shaped(pattern, data string, values func(i int) []any) indexShape {
	return indexShape{
		func(i int) Filter {
			return Filter{Types: []string{"t"}, Pattern: fmt.Appendf(nil, pattern, values(i)...)}
		},
		func(i int) Event { return jsonEvent(fmt.Sprintf(data, values(i)...)) },
	}
}

func indexShapes() map[string]indexShape {
	unique := func(i int) []any { return []any{i} }
	typed := func(pattern, eventType string) indexShape {
		return indexShape{
			func(i int) Filter { return Filter{Types: []string{fmt.Sprintf(pattern, i)}} },
			func(i int) Event { return Event{f: &EventFields{Type: fmt.Sprintf(eventType, i)}} },
		}
	}
	bySource := func(filter string) indexShape {
		return indexShape{
			func(i int) Filter { return dialects(fmt.Sprintf(filter, i)) },
			func(i int) Event { return Event{f: &EventFields{Type: "t", Source: fmt.Sprintf("/s/%d/x", i)}} },
		}
	}
	return map[string]indexShape{
		"exact types":             typed("t.n%d", "t.n%d"),
		"types with a last star":  typed("t.n%d.*", "t.n%d.x.y"),
		"types with a first star": typed("*.n%d", "t.n%d"),
		"types in the pattern": {
			func(i int) Filter { return Filter{Pattern: fmt.Appendf(nil, `{"type":["n%d","m%d"]}`, i, i)} },
			func(i int) Event { return Event{f: &EventFields{Type: fmt.Sprintf("m%d", i)}} },
		},
		"one unique field": shaped(`{"data":{"a":["v%d"]}}`, `{"a":"v%d"}`, unique),
		"numbers":          shaped(`{"data":{"a":[%d]}}`, `{"a":%d.0}`, unique),
		"addresses":        shaped(`{"data":{"a":["10.%d.%d.%d"]}}`, `{"a":"10.%d.%d.%d"}`, func(i int) []any { return []any{i >> 16, i >> 8 & 255, i & 255} }),
		"prefixes":         shaped(`{"data":{"a":[{"prefix":"v%d."}]}}`, `{"a":"v%d.x"}`, unique),
		"a list of values": shaped(`{"data":{"a":["v%[1]d","w%[1]d","x%[1]d"]}}`, `{"a":["w%[1]d"]}`, unique),
		"three fields, the last unique": shaped(`{"data":{"a":[%d],"b":[%d],"c":[%d]}}`, `{"a":%d,"b":%d,"c":%d}`,
			func(i int) []any { return []any{i % 10, i / 10 % 10, i} }),
		"three fields, the first unique": shaped(`{"data":{"a":[%d],"b":[%d],"c":[%d]}}`, `{"a":%d,"b":%d,"c":%d}`,
			func(i int) []any { return []any{i, i / 10 % 10, i % 10} }),
		"three fields of few values": shaped(`{"data":{"a":[%d],"b":[%d],"c":[%d]}}`, `{"a":%d,"b":%d,"c":%d}`,
			func(i int) []any { return []any{i % 13, i / 13 % 13, i / 169} }),
		"a shared field and a range": shaped(`{"data":{"a":["x"],"b":[%d],"c":[{"numeric":[">",0]}]}}`, `{"a":"x","b":%d,"c":1}`, unique),
		"a path for each":            shaped(`{"data":{"p%d":[true]}}`, `{"p%d":true}`, unique),
		"unique elements of arrays":  shaped(`{"data":{"a":{"x":[1],"y":[%d]}}}`, `{"a":[{"x":1,"y":0},{"x":1,"y":%d}]}`, func(i int) []any { return []any{i + 1} }),
		"alternatives":               shaped(`{"data":{"$or":[{"a":["v%[1]d"]},{"b":["v%[1]d"]}]}}`, `{"b":"v%[1]d","a":"x"}`, unique),
		"exact attributes":           bySource(`{"exact":{"source":"/s/%d/x"}}`),
		"prefixes of attributes":     bySource(`{"prefix":{"source":"/s/%d/"}}`),
		"any of exact attributes":    bySource(`{"any":[{"exact":{"source":"/s/%[1]d/x"}},{"exact":{"source":"/t/%[1]d/x"}}]}`),
	}
}

// TestIndexTriesHardlyMoreThanMatches counts how many filters are evaluated, whatever the order they came in and after others were removed: a few
// more than match, at any size.
func TestIndexTriesHardlyMoreThanMatches(t *testing.T) {
	const size, slack = 2000, 8 * fewPostings
	for name, shape := range indexShapes() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			edit := NewIndex().Edit()
			for _, i := range rand.Perm(size) {
				filter, err := shape.filter(i).Compile()
				require.NoError(t, err)
				edit.Set(fmt.Sprintf("sub_%06d", i), filter)
			}
			whole := edit.Index()
			for _, i := range rand.Perm(size)[:size/2] {
				edit.Remove(fmt.Sprintf("sub_%06d", i))
			}
			half, view := edit.Index(), &View{}
			for i := range size {
				view.Reset(shape.event(i))
				ids := whole.Match(view, nil)
				require.Contains(t, ids, fmt.Sprintf("sub_%06d", i))
				tried := whole.search(view, nil).tried
				require.LessOrEqual(t, tried, len(ids)+slack, "%v for %v", tried, ids)
				ids = half.Match(view, nil)
				require.LessOrEqual(t, half.search(view, nil).tried, len(ids)+slack)
			}
		})
	}
}

// TestIndexBoundsWhatAnEventCosts has events made to cost much: values that lead to the same node again and again, and values that many filters look
// through in vain.
func TestIndexBoundsWhatAnEventCosts(t *testing.T) {
	edit := NewIndex().Edit()
	for i := range 400 {
		for j, filter := range []Filter{
			{Types: []string{"t"}, Pattern: fmt.Appendf(nil, `{"data":{"a":["x"],"b":[%d]}}`, i%20)},
			{Types: []string{"range"}, Pattern: fmt.Appendf(nil, `{"data":{"a":[{"numeric":[">",%d]}]}}`, i)},
		} {
			compiled, err := filter.Compile()
			require.NoError(t, err)
			edit.Set(fmt.Sprintf("sub_%d_%d", i, j), compiled)
		}
	}
	index := edit.Index()

	view := NewView(jsonEvent(`{"a":["x"` + strings.Repeat(`,"x"`, 9999) + `],"b":[` + strings.Repeat(`1,`, 9999) + `1]}`))
	require.Len(t, index.Match(view, nil), 20)
	require.False(t, view.GaveUp())
	require.Less(t, index.search(view, nil).tried, 100)

	costly := jsonEvent(`{"a":[` + strings.Repeat(`0,`, 99_999) + `1]}`)
	costly.f.Type = "range"
	view.Reset(costly)
	require.LessOrEqual(t, len(index.Match(view, nil)), 1)
	require.True(t, view.GaveUp(), "400 filters times 100,000 values")
	require.LessOrEqual(t, view.steps, MaxMatchSteps+1000)
}

func TestIndexGivesEachIdOnceInOrder(t *testing.T) {
	filter := func(f Filter) *CompiledFilter {
		compiled, err := f.Compile()
		require.NoError(t, err)
		return compiled
	}
	many := filter(Filter{Types: []string{"t", "*", "t", "*.x"}, Pattern: []byte(`{"data":{"a":["x","y",{"prefix":"x"}],"$or":[{"b":[1]},{"b":[1,2]}]}}`)})
	index := NewIndex().With("c", many).With("a", many).With("b", filter(Filter{})).With("d", filter(Filter{Types: []string{"u"}}))
	view := NewView(jsonEvent(`{"a":["x","y","x"],"b":[1,2,1]}`))
	require.Equal(t, []string{"z", "a", "b", "c"}, index.Match(view, []string{"z"}))
	require.Equal(t, []string{"a", "b"}, index.Without("c").Without("unknown").Match(view, nil))
	require.Equal(t, []string{"a", "b", "c", "d"}, index.With("d", filter(Filter{})).Match(view, nil), "the filter is replaced")
	require.Equal(t, []string{"a", "b", "c"}, index.Match(view, nil), "the index is as it was")
	require.Equal(t, 4, index.Len())
}

func TestIndexMatchesWithoutAllocating(t *testing.T) {
	index, view, out := mixedIndex(t, 300), &View{}, make([]string, 0, 8)
	events := []Event{mixedEvent(0), mixedEvent(1), mixedEvent(2)}
	i := 0
	require.Zero(t, testing.AllocsPerRun(100, func() {
		view.Reset(events[i%len(events)])
		i++
		out = index.Match(view, out[:0])
		if len(out) != 1 {
			t.Errorf("event %d matched %v", i, out)
		}
	}))
}

// TestIndexIsSafeForConcurrentUse matches on one index while others are made of it; the race detector watches.
func TestIndexIsSafeForConcurrentUse(t *testing.T) {
	index := mixedIndex(t, 600)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			mine, view := index, NewView(Event{})
			for i := range 200 {
				filter, _ := mixedFilter(i).Compile()
				mine = mine.With(fmt.Sprintf("sub_%d", worker), filter).Without(fmt.Sprintf("sub_%026d", i))
				view.Reset(mixedEvent(i))
				if got := index.Match(view, nil); len(got) != 1 || got[0] != fmt.Sprintf("sub_%026d", i) {
					t.Errorf("event %d matched %v", i, got)
				}
			}
		})
	}
	group.Wait()
}
