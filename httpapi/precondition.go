package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// preconditions are the If-Match and If-None-Match of a request (RFC 9110, section 13.1).
type preconditions struct {
	match, noneMatch tags
}

// tags is a list of entity tags, or any.
type tags struct {
	given bool
	any   bool
	list  []string // with their quotes; weak ones with W/
}

func readPreconditions(r *http.Request) (p preconditions, err error) {
	if p.match, err = readTags(r, "If-Match"); err != nil {
		return p, err
	}
	p.noneMatch, err = readTags(r, "If-None-Match")
	return p, err
}

func readTags(r *http.Request, name string) (t tags, err error) {
	text := strings.TrimSpace(strings.Join(r.Header.Values(name), ","))
	if text == "" {
		return tags{}, nil
	}
	if text == "*" {
		return tags{given: true, any: true}, nil
	}
	for tag := range strings.SplitSeq(text, ",") { // our tags hold no commas; others match nothing, cut or whole
		tag = strings.TrimSpace(tag)
		opaque := strings.TrimPrefix(tag, "W/")
		if len(opaque) < 2 || opaque[0] != '"' || opaque[len(opaque)-1] != '"' {
			return tags{}, &router.Error{
				Code: router.Malformed, Message: "a precondition can't be parsed",
				Problems: []router.Problem{{Location: "header." + strings.ToLower(name), Message: `must be * or entity tags in quotes, as in "12"`}},
			}
		}
		t.list = append(t.list, tag)
	}
	t.given = true
	return t, nil
}

// namesVersion tells whether the caller makes the request depend on what it has read.
func (p preconditions) namesVersion() bool { return p.match.given && !p.match.any }

// checkPresent holds the preconditions against something that is there.
func (p preconditions) checkPresent(etag string) error {
	if p.match.given && !p.match.any && !slices.Contains(p.match.list, etag) {
		return router.Errorf(router.Precondition, "it was changed: its entity tag is %s now", etag)
	}
	if p.noneMatch.any {
		return router.Errorf(router.Precondition, "it is there already")
	}
	if slices.ContainsFunc(p.noneMatch.list, func(tag string) bool { return strings.TrimPrefix(tag, "W/") == etag }) {
		return router.Errorf(router.Precondition, "it still has the entity tag %s", etag)
	}
	return nil
}

// checkAbsent holds the preconditions against something that is not there.
func (p preconditions) checkAbsent() error {
	if p.match.given {
		return router.Errorf(router.Precondition, "it is not there")
	}
	return nil
}
