package router

import (
	"hash/maphash"
	"strings"
)

// typeNode is a segment in the trie of type patterns with stars. It is immutable.
type typeNode struct {
	segments hamt[string, *typeNode]
	star     *typeNode  // any one segment
	end      *indexNode // filters whose pattern ends here
	rest     *indexNode // filters whose pattern has one more segment, a star: it takes all that remains
}

// change gives the trie with the node that a pattern leads to changed; a node without anything is nil.
func (t *typeNode) change(e *IndexEdit, pattern string, change func(indexNode) indexNode) *typeNode {
	c := typeNode{}
	if t != nil {
		c = *t
	}
	segment, rest, more := strings.Cut(pattern, ".")
	below := func(child *typeNode) *typeNode {
		if more {
			return child.change(e, rest, change)
		}
		return child.changeEnd(change)
	}
	switch {
	case segment == "*" && !more:
		c.rest = c.rest.changed(change)
	case segment == "*":
		c.star = below(c.star)
	default:
		child, _ := c.segments.get(e.hash(segment), segment)
		if child = below(child); child != nil {
			c.segments = c.segments.with(e.owner, e.hash(segment), segment, child)
		} else {
			c.segments = c.segments.without(e.owner, e.hash(segment), segment)
		}
	}
	return c.orNil()
}

func (t *typeNode) changeEnd(change func(indexNode) indexNode) *typeNode {
	c := typeNode{}
	if t != nil {
		c = *t
	}
	c.end = c.end.changed(change)
	return c.orNil()
}

func (t *typeNode) orNil() *typeNode {
	if t.segments.size == 0 && t.star == nil && t.end == nil && t.rest == nil {
		return nil
	}
	return t
}

// visitTypes visits the filters whose pattern matches what remains of a type, which has no empty segment.
func (m *matching) visitTypes(t *typeNode, remaining string) {
	m.visit(t.rest)
	segment, rest, more := strings.Cut(remaining, ".")
	literal, _ := t.segments.get(maphash.String(m.seed, segment), segment)
	for _, child := range [...]*typeNode{literal, t.star} {
		switch {
		case child == nil:
		case more:
			m.visitTypes(child, rest)
		default:
			m.visit(child.end)
		}
	}
}
