package router_test

import (
	"encoding/json"
	"fmt"

	"github.com/streamlatch/streamlatch/router"
)

// A filter is compiled once; an index then finds all filters that match an event, decoding its payload once.
func ExampleIndex() {
	large, err := router.Filter{
		Types:   []string{"order.*"},
		Filters: []json.RawMessage{json.RawMessage(`{"prefix": {"source": "/shop"}}`)},
		Pattern: json.RawMessage(`{"data": {"total": [{"numeric": [">", 100]}]}}`),
	}.Compile()
	if err != nil {
		fmt.Println(err)
		return
	}
	everything, _ := router.Filter{}.Compile()
	index := router.NewIndex().With("sub_large", large).With("sub_all", everything)

	event, _ := router.NewEvent(router.EventFields{
		ID: "a1", Source: "/shop/eu", Type: "order.paid", Data: `{"total": 90}`, DataKind: router.JSONData,
	})
	view := router.NewView(event)
	defer view.Release()

	fmt.Println(index.Match(view, nil))
	miss, _ := large.Explain(view)
	fmt.Printf("%s: wanted %s, found %s\n", miss.Field, miss.Wanted, miss.Found)
	// Output:
	// [sub_all]
	// data.total: wanted [{"numeric": [">", 100]}], found 90
}

// What is wrong with a filter is said with its place.
func ExampleFilter_Compile() {
	_, err := router.Filter{
		Types:   []string{"order..paid"},
		Pattern: json.RawMessage(`{"data": {"total": [{"numeric": ["above", 100]}]}}`),
	}.Compile()
	fmt.Println(err)
	// Output:
	// the filter is not valid; types[0]: must not have an empty segment; pattern.data.total[0].numeric[0]: must be one of the operators =, <, <=, >, >= here
}
