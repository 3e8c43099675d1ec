package router

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// orderPaid is an event with attributes of all kinds.
func orderPaid() Event {
	return Event{f: &EventFields{ID: "1", Source: "/shop/eu", Type: "order.paid", Subject: "o1", DataContentType: "application/json", Data: `{"total": 12.5}`,
		DataKind: JSONData, Extensions: []Extension{{"level", "5", IntegerValue}, {"region", "eu-west", StringValue}, {"test", "true", BooleanValue}}}}
}

func dialects(list ...string) Filter {
	f := Filter{}
	for _, s := range list {
		f.Filters = append(f.Filters, json.RawMessage(s))
	}
	return f
}

func TestDialectsMatch(t *testing.T) {
	for _, c := range []struct {
		name   string
		filter Filter
		want   bool
	}{
		{"exact", dialects(`{"exact":{"type":"order.paid"}}`), true},
		{"exact minds case", dialects(`{"exact":{"type":"Order.paid"}}`), false},
		{"prefix", dialects(`{"prefix":{"source":"/shop/"}}`), true},
		{"suffix", dialects(`{"suffix":{"source":"/eu"}}`), true},
		{"all pairs of one object must match", dialects(`{"exact":{"type":"order.paid","subject":"o2"}}`), false},
		{"all pairs of one object match", dialects(`{"prefix":{"type":"order.","subject":"o"}}`), true},
		{"an extension", dialects(`{"suffix":{"region":"west"}}`), true},
		{"an integer as text", dialects(`{"exact":{"level":"5"}}`), true},
		{"a boolean as text", dialects(`{"prefix":{"test":"tr"}}`), true},
		{"specversion", dialects(`{"exact":{"specversion":"1.0"}}`), true},
		{"an attribute that is not there", dialects(`{"prefix":{"time":"2"}}`), false},
		{"an extension that is not there", dialects(`{"exact":{"other":"5"}}`), false},
		{"all", dialects(`{"all":[{"exact":{"subject":"o1"}},{"prefix":{"type":"order"}}]}`), true},
		{"not all", dialects(`{"all":[{"exact":{"subject":"o1"}},{"prefix":{"type":"x"}}]}`), false},
		{"any", dialects(`{"any":[{"exact":{"subject":"x"}},{"prefix":{"type":"order"}}]}`), true},
		{"none of any", dialects(`{"any":[{"exact":{"subject":"x"}},{"prefix":{"type":"x"}}]}`), false},
		{"not", dialects(`{"not":{"exact":{"subject":"o1"}}}`), false},
		{"not an attribute that is not there", dialects(`{"not":{"exact":{"time":"x"}}}`), true},
		{"all of the list must match", dialects(`{"exact":{"subject":"o1"}}`, `{"exact":{"id":"2"}}`), false},
		{"an empty list", Filter{Filters: []json.RawMessage{}}, true},
	} {
		filter, err := c.filter.Compile()
		require.NoError(t, err, c.name)
		require.Equal(t, c.want, filter.Match(NewView(orderPaid())), c.name)
	}
}

// problemsOf is what an error lists that refuses a filter.
func problemsOf(t testing.TB, err error) []Problem {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, Invalid, e.Code)
	require.NotEmpty(t, e.Problems)
	return e.Problems
}

func TestDialectRefusalsSayWhatAndWhere(t *testing.T) {
	deep := strings.Repeat(`{"not":`, MaxDialectDepth) + `{"exact":{"id":"1"}}` + strings.Repeat(`}`, MaxDialectDepth)
	many := `{"any":[` + strings.Repeat(`{"exact":{"id":"1"}},`, MaxDialects/2) + `{"exact":{"id":"1"}}]}`
	for _, c := range []struct{ dialect, at, why string }{
		{`{"exact":`, `filters[0]`, "not valid JSON"},
		{`null`, `filters[0]`, "must be an object with one dialect"},
		{`{}`, `filters[0]`, "must be an object with one dialect"},
		{`{"exact":{"id":"1"},"prefix":{"id":"1"}}`, `filters[0]`, "must be an object with one dialect"},
		{`{"Exact":{"id":"1"}}`, `filters[0].Exact`, "is not a dialect"},
		{`{"sql":"TRUE"}`, `filters[0].sql`, "sql is not supported"},
		{`{"exact":{}}`, `filters[0].exact`, "at least one attribute"},
		{`{"exact":["id"]}`, `filters[0].exact`, "at least one attribute"},
		{`{"exact":{"":"1"}}`, `filters[0].exact[""]`, "must not be empty"},
		{`{"exact":{"id":""}}`, `filters[0].exact.id`, "must be a string that is not empty"},
		{`{"prefix":{"id":1}}`, `filters[0].prefix.id`, "must be a string that is not empty"},
		{`{"exact":{"myExt":"1"}}`, `filters[0].exact.myExt`, "a to z and digits"},
		{`{"suffix":{"data":"1"}}`, `filters[0].suffix.data`, "is not an attribute; the payload is matched by a pattern"},
		{`{"exact":{"id":"1","id":"2"}}`, `filters[0].exact.id`, "more than once"},
		{`{"all":[]}`, `filters[0].all`, "an array of at least one expression"},
		{`{"any":{"exact":{"id":"1"}}}`, `filters[0].any`, "an array of at least one expression"},
		{`{"all":[{"exact":{"id":"1"}},{"prefix":{}}]}`, `filters[0].all[1].prefix`, "at least one attribute"},
		{`{"not":[{"exact":{"id":"1"}}]}`, `filters[0].not`, "must be an object with one dialect"},
		{deep, `filters[0]` + strings.Repeat(`.not`, MaxDialectDepth), "nested more than 8 levels deep"},
		{many, `filters`, "holds 259 expressions; at most 256 are possible"},
		{strings.Repeat("[", 33), `filters[0]`, "nested more than 32 levels deep"},
	} {
		_, err := dialects(c.dialect).Compile()
		problems := problemsOf(t, err)
		require.Len(t, problems, 1, c.dialect)
		require.Equal(t, c.at, problems[0].Location, c.dialect)
		require.Contains(t, problems[0].Message, c.why, c.dialect)
	}
}

func TestDialectsAtTheirLimitsAreTaken(t *testing.T) {
	deep := strings.Repeat(`{"not":`, MaxDialectDepth-1) + `{"exact":{"id":"1"}}` + strings.Repeat(`}`, MaxDialectDepth-1)
	many := `{"any":[` + strings.Repeat(`{"exact":{"id":"1"}},`, MaxDialects/2-2) + `{"exact":{"id":"1"}}]}`
	for _, dialect := range []string{deep, many} {
		_, err := dialects(dialect).Compile()
		require.NoError(t, err)
	}
	list := make([]string, MaxFilterItems+1)
	_, err := dialects(list...).Compile()
	require.ErrorContains(t, err, fmt.Sprintf("filters: has %d items", len(list)))
}
