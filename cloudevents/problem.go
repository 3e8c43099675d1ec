package cloudevents

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// maxProblems is how many problems are listed; a batch is given up when so many are found.
const maxProblems = 20

// problems collects what is wrong with the events of a request.
type problems []router.Problem

// add notes one problem; what is wrong at a place is said once, so later ones at the same place are consequences.
func (p *problems) add(location, message string) {
	if len(*p) < maxProblems && !slices.ContainsFunc(*p, func(q router.Problem) bool { return q.Location == location }) {
		*p = append(*p, router.Problem{Location: location, Message: message})
	}
}

// addAll notes the problems of an error that says the event is malformed, with their locations put in place, and returns any other error.
func (p *problems) addAll(err error, locate func(string) string) error {
	e, ok := errors.AsType[*router.Error](relocated(err, locate))
	if !ok || e.Code != router.Malformed || len(e.Problems) == 0 {
		return err
	}
	for _, q := range e.Problems {
		p.add(q.Location, q.Message)
	}
	return nil
}

// err gives everything as one error, or nil.
func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return &router.Error{Code: router.Malformed, Message: "not a valid CloudEvent", Problems: p}
}

// relocated copies an error with the locations of its problems put in place.
func relocated(err error, locate func(string) string) error {
	e, ok := errors.AsType[*router.Error](err)
	if !ok {
		return err
	}
	moved := *e
	moved.Problems = slices.Clone(e.Problems)
	for i := range moved.Problems {
		moved.Problems[i].Location = locate(moved.Problems[i].Location)
	}
	return &moved
}

// placed copies an error without problems as one with its message as the problem of a location.
func placed(err error, location string) error {
	e, ok := errors.AsType[*router.Error](err)
	if !ok || len(e.Problems) > 0 {
		return err
	}
	moved := *e
	moved.Problems = []router.Problem{{Location: location, Message: e.Message}}
	return &moved
}

// within joins a location and the name of an attribute or member in it; names that an escape is needed for come as ["…"].
func within(location, name string) string {
	if strings.HasPrefix(name, "[") {
		return location + name
	}
	return location + "." + name
}

// member is a JSON member's name as a part of a location: safe to print, and short.
func member(name string) string {
	for i := range len(name) {
		c := name[i]
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return "[" + quoted(name) + "]"
		}
	}
	if name == "" || len(name) > maxQuoted {
		return "[" + quoted(name) + "]"
	}
	return name
}

const maxQuoted = 40

// quoted is text from outside for a message: safe to print, and short.
func quoted(s string) string {
	if len(s) > maxQuoted {
		return strconv.QuoteToASCII(s[:maxQuoted]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
