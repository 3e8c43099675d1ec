package router

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFilterMatchesWhereAllItsFieldsDo(t *testing.T) {
	types, filters, pattern := []string{"order.*"}, []json.RawMessage{[]byte(`{"prefix":{"source":"/shop"}}`)}, json.RawMessage(`{"data":{"total":[{"numeric":[">",10]}]}}`)
	for name, c := range map[string]struct {
		filter Filter
		want   bool
	}{
		"all fields match":        {Filter{types, filters, pattern}, true},
		"types do not":            {Filter{[]string{"order"}, filters, pattern}, false},
		"filters do not":          {Filter{types, []json.RawMessage{[]byte(`{"exact":{"source":"/"}}`)}, pattern}, false},
		"the pattern does not":    {Filter{types, filters, json.RawMessage(`{"data":{"total":[{"numeric":["<",10]}]}}`)}, false},
		"any of the types":        {Filter{Types: []string{"x", "y.*", "*"}}, true},
		"the zero filter":         {Filter{}, true},
		"fields that are null":    {Filter{Pattern: json.RawMessage("null")}, true},
		"attributes by type":      {Filter{Pattern: json.RawMessage(`{"level":[5],"test":[true],"region":[{"prefix":"eu"}]}`)}, true},
		"an integer is no string": {Filter{Pattern: json.RawMessage(`{"level":["5"]}`)}, false},
	} {
		filter, err := c.filter.Compile()
		require.NoError(t, err, name)
		require.Equal(t, c.want, filter.Match(NewView(orderPaid())), name)
	}
}

func TestFilterListsItsProblems(t *testing.T) {
	_, err := Filter{
		Types:   []string{"order.*", "a..b", "c*"},
		Filters: []json.RawMessage{[]byte(`{"exact":{"id":1}}`), []byte(`{`)},
		Pattern: json.RawMessage(`{"data":{"total":[{"numeric":["x",1]}]}}`),
	}.Compile()
	require.Equal(t, &Error{Code: Invalid, Message: "the filter is not valid", Problems: []Problem{
		{"types[1]", "must not have an empty segment"},
		{"types[2]", "must have a star only as a whole segment"},
		{"filters[0].exact.id", "must be a string that is not empty"},
		{"filters[1]", "is not valid JSON: ends too early, at byte 1"},
		{"pattern.data.total[0].numeric[0]", "must be one of the operators =, <, <=, >, >= here"},
	}}, err)
	_, err = Filter{Types: make([]string, MaxFilterItems+1)}.Compile()
	require.ErrorContains(t, err, "types: has 1001 items; at most 1000 are possible")
}

func TestFilterExplainsWhatMissed(t *testing.T) {
	long := strings.Repeat("é", 150)
	arrays := `{"items":[{"sku":"a","count":1},{"sku":"b","count":2}],"text":"` + long + `","many":[` + strings.Repeat("1,", 29) + `1]}`
	for _, c := range []struct {
		name   string
		filter Filter
		data   string
		want   Miss
	}{
		{"the type", Filter{Types: []string{"a.*", "b"}}, `1`, Miss{"type", `["a.*","b"]`, `"order.paid"`}},
		{"the first pair that fails", dialects(`{"exact":{"subject":"o1","id":"2","source":"x"}}`), `1`, Miss{"id", `{"exact":{"subject":"o1","id":"2","source":"x"}}`, `"1"`}},
		{"an attribute that is not there", dialects(`{"exact":{"time":"2"}}`), `1`, Miss{"time", `{"exact":{"time":"2"}}`, ``}},
		{"the first of all that fails", dialects(`{"all":[{"exact":{"id":"1"}},{"prefix":{"level":"6"}}]}`), `1`, Miss{"level", `{"prefix":{"level":"6"}}`, `5`}},
		{"any", dialects(`{"any":[{"exact":{"id":"2"}},{"exact":{"time":"2"}},{"exact":{"test":"2"}}]}`), `1`,
			Miss{"id,time,test", `{"any":[{"exact":{"id":"2"}},{"exact":{"time":"2"}},{"exact":{"test":"2"}}]}`, `["1",true]`}},
		{"not", dialects(`{"not":{"exact":{"id":"1"}}}`), `1`, Miss{"id", `{"not":{"exact":{"id":"1"}}}`, `"1"`}},
		{"a field of the pattern", Filter{Pattern: []byte(`{"id":["1"],"data":{"a":["x",{"prefix":"y"}]}}`)}, `{"a":["z",1]}`, Miss{"data.a", `["x",{"prefix":"y"}]`, `["z",1]`}},
		{"a field that is not there", Filter{Pattern: []byte(`{"data":{"b":["x"]}}`)}, `{"a":1}`, Miss{"data.b", `["x"]`, ``}},
		{"a field that should not be there", Filter{Pattern: []byte(`{"data":{"a":[{"exists":false}]}}`)}, `{"a":1}`, Miss{"data.a", `[{"exists":false}]`, `1`}},
		{"the alternative that comes furthest", Filter{Pattern: []byte(`{"data":{"$or":[{"a":[2]},{"a":[1],"b":[2]}]}}`)}, `{"a":1,"b":3}`, Miss{"data.b", `[2]`, `3`}},
		{"fields that only together fail", Filter{Pattern: []byte(`{"id":["1"],"data":{"items":{"sku":["a"],"count":[2]}}}`)}, arrays,
			Miss{"data.items.count,data.items.sku", `[2],["a"]`, "no array element that has all of them"}},
		{"a long text", Filter{Pattern: []byte(`{"data":{"text":["x"]}}`)}, arrays, Miss{"data.text", `["x"]`, `"` + long[:200] + `…"`}},
		{"a long list", Filter{Pattern: []byte(`{"data":{"many":["x"]}}`)}, arrays, Miss{"data.many", `["x"]`, `[` + strings.Repeat("1,", 20) + `…]`}},
	} {
		filter, err := c.filter.Compile()
		require.NoError(t, err, c.name)
		e := orderPaid()
		e.f.Data = c.data
		view := NewView(e)
		require.False(t, filter.Match(view), c.name)
		miss, missed := filter.Explain(view)
		require.True(t, missed, c.name)
		require.Equal(t, c.want, miss, c.name)
	}
	filter, err := Filter{Types: []string{"order.*"}}.Compile()
	require.NoError(t, err)
	_, missed := filter.Explain(NewView(orderPaid()))
	require.False(t, missed)
}
