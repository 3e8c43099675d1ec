package router

import (
	"hash/maphash"
	"strings"
)

// dataPath is the first name of every path into the payload; all other paths name attributes.
const dataPath = "data"

// slot is where a View keeps the values found under one path: the top bit tells those of the payload from those of attributes, so that
// asking for an attribute does not decode the payload.
type slot uint32

const payloadSlot slot = 1 << 31

// number is the slot's index, without regard to what it is of.
func (s slot) number() int { return int(s &^ payloadSlot) }

func (s slot) inPayload() bool { return s&payloadSlot != 0 }

// paths is the set of paths that somebody asks for, as a trie of names: what a View has to look for in an event. A path is written as
// EventBridge writes it, its names joined by dots, so that a name with a dot in it means the same as two names. paths is
// immutable; changes share all but what they touch. Safe for concurrent use.
type paths struct {
	seed maphash.Seed
	root *pathNode
	next int // the lowest number that was never given to a slot
	free *freeSlot
}

// pathNode is a name in a path.
type pathNode struct {
	children hamt[string, *pathNode]
	users    int  // how many ask for the path that ends here
	slot     slot // where users > 0
}

// freeSlot is a list of numbers that were given back.
type freeSlot struct {
	number int
	next   *freeSlot
}

// newSeed seeds the hashes of names and values, so that nobody can choose ones that collide.
func newSeed() maphash.Seed { return maphash.MakeSeed() }

func newPaths(seed maphash.Seed) *paths { return &paths{seed: seed, root: &pathNode{}} }

// slots is how many numbers of slots there may be.
func (p *paths) slots() int { return p.next }

// child finds the node of a name below n; nil where nobody asks for anything there, or n is nil.
func (p *paths) child(n *pathNode, name string) *pathNode {
	if n == nil || n.children.size == 0 {
		return nil
	}
	child, _ := n.children.get(maphash.String(p.seed, name), name)
	return child
}

// below is child for a name of a document, which may hold dots.
func (p *paths) below(n *pathNode, name string) *pathNode {
	if n == nil || n.children.size == 0 {
		return nil
	}
	for {
		first, rest, more := strings.Cut(name, ".")
		if n = p.child(n, first); n == nil || !more {
			return n
		}
		name = rest
	}
}

// with gives paths that have one more user for a path, and the path's slot.
func (p *paths) with(e *edit, path string) (*paths, slot) {
	c := *p
	s := payloadSlot
	if first, _, _ := strings.Cut(path, "."); first != dataPath {
		s = 0
	}
	if n := p.below(p.root, path); n != nil && n.users > 0 {
		s = n.slot
	} else if c.free != nil {
		s |= slot(c.free.number)
		c.free = c.free.next
	} else {
		s |= slot(c.next)
		c.next++
	}
	c.root = c.change(e, c.root, path, s, +1)
	return &c, s
}

// without gives paths that have one user less for a path.
func (p *paths) without(e *edit, path string) *paths {
	c := *p
	n := p.below(p.root, path)
	if n.users == 1 {
		c.free = &freeSlot{n.slot.number(), c.free}
	}
	if c.root = c.change(e, c.root, path, n.slot, -1); c.root == nil {
		c.root = &pathNode{}
	}
	return &c
}

// change adds users to the node that a path leads to from n. A node that has neither users nor children is nil.
func (p *paths) change(e *edit, n *pathNode, path string, s slot, users int) *pathNode {
	c := pathNode{}
	if n != nil {
		c = *n
	}
	name, rest, more := strings.Cut(path, ".")
	hash := maphash.String(p.seed, name)
	child, _ := c.children.get(hash, name)
	if more {
		child = p.change(e, child, rest, s, users)
	} else {
		child = child.withUsers(s, users)
	}
	if child != nil {
		c.children = c.children.with(e, hash, name, child)
	} else {
		c.children = c.children.without(e, hash, name)
	}
	if c.children.size == 0 && c.users == 0 {
		return nil
	}
	return &c
}

func (n *pathNode) withUsers(s slot, users int) *pathNode {
	c := pathNode{}
	if n != nil {
		c = *n
	}
	c.slot, c.users = s, c.users+users
	if c.children.size == 0 && c.users == 0 {
		return nil
	}
	return &c
}
