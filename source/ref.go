package source

import (
	"net/textproto"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// place is where in a message a value is.
type place uint8

const (
	inHeader place = iota
	inQuery
	inPayload
)

// ref names a value of a message: a header ("header.x-github-event"), a parameter of the URL ("query.team"), or a place in the payload
// ("data.repository.full_name").
type ref struct {
	place place
	name  string            // of a header or parameter
	steps []router.PathStep // into the payload
}

// parseRef reads a path as definitions write it. The error is an *router.Error (Invalid).
func parseRef(s string) (ref, error) {
	if name, ok := strings.CutPrefix(s, "header."); ok {
		if !isHeaderName(name) {
			return ref{}, router.Errorf(router.Invalid, "needs the name of a header after header.")
		}
		return ref{place: inHeader, name: textproto.CanonicalMIMEHeaderKey(name)}, nil
	}
	if name, ok := strings.CutPrefix(s, "query."); ok {
		if name == "" || len(name) > router.MaxPathBytes {
			return ref{}, router.Errorf(router.Invalid, "needs the name of a parameter after query.")
		}
		return ref{place: inQuery, name: name}, nil
	}
	p, err := router.ParsePath(s)
	if err != nil {
		return ref{}, err
	}
	steps, ok := p.Payload()
	if !ok || len(steps) == 0 {
		return ref{}, router.Errorf(router.Invalid, "must begin with data., header. or query.")
	}
	return ref{place: inPayload, steps: steps}, nil
}

// choice is refs of which the first that is there counts, as numbers of what a reader reads.
type choice []int

// plan is what is read from each message: refs, each once, and those into the payload as a tree.
type plan struct {
	refs    []ref
	numbers map[string]int // by the ref's text
	root    node
}

// node is a place in the payload at which, or below which, something is read.
type node struct {
	refs    []int
	members map[string]*node
	items   map[int]*node
}

// add takes a ref in, in the form in which definitions write it.
func (p *plan) add(text string) (int, error) {
	if n, ok := p.numbers[text]; ok {
		return n, nil
	}
	r, err := parseRef(text)
	if err != nil {
		return 0, err
	}
	n := len(p.refs)
	p.refs = append(p.refs, r)
	if p.numbers == nil {
		p.numbers = map[string]int{}
	}
	p.numbers[text] = n
	if r.place == inPayload {
		at := p.root.below(r.steps)
		at.refs = append(at.refs, n)
	}
	return n, nil
}

// addChoice takes in refs that are separated by bars; "" is an empty choice.
func (p *plan) addChoice(text string) (c choice, err error) {
	if text == "" {
		return nil, nil
	}
	for one := range strings.SplitSeq(text, "|") {
		n, err := p.add(one)
		if err != nil {
			return nil, err
		}
		c = append(c, n)
	}
	return c, nil
}

// below is the node to which steps lead, made where there is none.
func (n *node) below(steps []router.PathStep) *node {
	for _, step := range steps {
		next := n.members[step.Name]
		if step.Index >= 0 {
			next = n.items[step.Index]
		}
		if next == nil {
			next = &node{}
			n.put(step, next)
		}
		n = next
	}
	return n
}

func (n *node) put(step router.PathStep, next *node) {
	if step.Index >= 0 {
		if n.items == nil {
			n.items = map[int]*node{}
		}
		n.items[step.Index] = next
		return
	}
	if n.members == nil {
		n.members = map[string]*node{}
	}
	n.members[step.Name] = next
}
