package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// Page sizes of lists.
const (
	defaultLimit = 50
	maxLimit     = 1000
)

// query reads the parameters in a request's URL and collects what is wrong with them. What is not asked for is refused in the end, so that a misspelt filter
// does not silently select everything.
type query struct {
	values url.Values
	faults []router.Problem
}

func newQuery(r *http.Request) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.fault("", "can't be parsed")
	}
	return q
}

func (q *query) fault(name, message string) {
	location := "query"
	if name != "" {
		location += "." + name
	}
	q.faults = append(q.faults, router.Problem{Location: location, Message: message})
}

// refuse records an error under a parameter's name.
func (q *query) refuse(name string, err error) {
	if err != nil {
		q.fault(name, show(err).detail)
	}
}

// text takes a parameter that may be given once.
func (q *query) text(name string) string {
	values := q.values[name]
	delete(q.values, name)
	if len(values) > 1 {
		q.fault(name, "must be given once")
	}
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// types takes type patterns, separated by commas or in several parameters; none matches every type.
func (q *query) types() (patterns []router.TypePattern) {
	values := q.values["types"]
	delete(q.values, "types")
	if len(values) == 0 {
		return nil
	}
	for text := range strings.SplitSeq(strings.Join(values, ","), ",") {
		p, err := router.ParseTypePattern(text)
		q.refuse("types", err)
		patterns = append(patterns, p)
	}
	return patterns
}

func (q *query) time(name string) time.Time {
	text := q.text(name)
	if text == "" {
		return time.Time{}
	}
	t, err := router.ParseTime(text)
	if err != nil {
		q.fault(name, "must be a time as in 2006-01-02T15:04:05Z (RFC 3339)")
	}
	return t
}

// flag takes true or false; false where it is not given.
func (q *query) flag(name string) bool {
	switch q.text(name) {
	case "true":
		return true
	case "", "false":
		return false
	}
	q.fault(name, "must be true or false")
	return false
}

func (q *query) limit() int {
	text := q.text("limit")
	if text == "" {
		return defaultLimit
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxLimit {
		q.fault("limit", "must be a number from 1 to "+strconv.Itoa(maxLimit))
	}
	return n
}

// err is everything that is wrong, parameters that nobody asked for included.
func (q *query) err() error {
	unknown := make([]string, 0, len(q.values))
	for name := range q.values {
		unknown = append(unknown, name)
	}
	slices.Sort(unknown)
	for _, name := range unknown[:min(len(unknown), 20)] {
		q.fault(strconv.QuoteToASCII(name[:min(len(name), 40)]), "is not a parameter here")
	}
	if len(q.faults) == 0 {
		return nil
	}
	return &router.Error{Code: router.Invalid, Message: "the parameters are not valid", Problems: q.faults}
}
