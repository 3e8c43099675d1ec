package router

import (
	"math/bits"
	"slices"
)

// hamt is a map whose changes make a new map and share all but a path with the old one (a hash array mapped trie): finding and changing
// cost the same few steps at any size. The caller hashes the keys. The zero hamt is empty. A hamt that nobody edits any more is safe for
// concurrent use.
type hamt[K comparable, V any] struct {
	root *hamtNode[K, V]
	size int
}

// edit owns what was made during one bulk change: nodes that carry it are not shared yet and are changed in place. A nil edit owns nothing.
type edit struct{ _ byte } // not of size zero: edits are told apart by their addresses

// hamtNode has, for each six bits of the hash at its level, an item, a deeper node, or nothing. Below hamtDepth all bits are used up, and
// items whose whole hash is equal stand in one list.
type hamtNode[K comparable, V any] struct {
	itemBits uint64
	nodeBits uint64
	items    []hamtItem[K, V] // up to 16 are in the same piece of memory as the node
	nodes    []*hamtNode[K, V]
	owner    *edit
}

type hamtItem[K comparable, V any] struct {
	hash  uint64
	value V // beside the hash: many who come for the value don't look at the key
	key   K
}

const (
	hamtBits  = 6
	hamtDepth = 64
)

// get finds the value of a key with that hash; it is zero where there is none.
func (m hamt[K, V]) get(hash uint64, key K) (value V, ok bool) {
	if item := m.find(hash, key); item != nil && item.key == key {
		return item.value, true
	}
	return value, false
}

// find finds the only item that can be the one of a key with that hash; nil: there is none. The item may have another key with the same hash.
func (m hamt[K, V]) find(hash uint64, key K) *hamtItem[K, V] {
	n, shift := m.root, 0
	for ; n != nil && shift < hamtDepth; shift += hamtBits {
		bit := hamtBit(hash, shift)
		if n.itemBits&bit != 0 {
			if item := &n.items[hamtPlace(n.itemBits, bit)]; item.hash == hash {
				return item
			}
			return nil
		}
		if n.nodeBits&bit == 0 {
			return nil
		}
		n = n.nodes[hamtPlace(n.nodeBits, bit)]
	}
	if n != nil {
		if i := n.indexOf(key); i >= 0 {
			return &n.items[i]
		}
	}
	return nil
}

// with gives a map that has the value under the key.
func (m hamt[K, V]) with(e *edit, hash uint64, key K, value V) hamt[K, V] {
	root, grown := m.root.with(e, 0, hamtItem[K, V]{hash: hash, key: key, value: value})
	if grown {
		m.size++
	}
	m.root = root
	return m
}

// without gives a map that does not have the key.
func (m hamt[K, V]) without(e *edit, hash uint64, key K) hamt[K, V] {
	root, shrunk := m.root.without(e, 0, hash, key)
	if shrunk {
		m.size--
		m.root = root
	}
	return m
}

// all yields keys and values, in an order that means nothing.
func (m hamt[K, V]) all(yield func(K, V) bool) { m.root.all(yield) }

func hamtBit(hash uint64, shift int) uint64 { return 1 << (hash >> shift & (1<<hamtBits - 1)) }

// hamtPlace is where the entry of a bit stands among those whose bits are set.
func hamtPlace(set, bit uint64) int { return bits.OnesCount64(set & (bit - 1)) }

func (n *hamtNode[K, V]) all(yield func(K, V) bool) bool {
	if n == nil {
		return true
	}
	for i := range n.items {
		if !yield(n.items[i].key, n.items[i].value) {
			return false
		}
	}
	for _, child := range n.nodes {
		if !child.all(yield) {
			return false
		}
	}
	return true
}

// indexOf finds a key in the list of a node below all bits.
func (n *hamtNode[K, V]) indexOf(key K) int {
	return slices.IndexFunc(n.items, func(item hamtItem[K, V]) bool { return item.key == key })
}

// newHamtNode makes a node and room for items in one piece of memory, so that whoever comes for an item waits for memory once.
func newHamtNode[K comparable, V any](room int) *hamtNode[K, V] {
	switch {
	case room <= 1:
		n := &struct {
			hamtNode[K, V]
			room [1]hamtItem[K, V]
		}{}
		return n.roomy(n.room[:])
	case room <= 4:
		n := &struct {
			hamtNode[K, V]
			room [4]hamtItem[K, V]
		}{}
		return n.roomy(n.room[:])
	case room <= 8:
		n := &struct {
			hamtNode[K, V]
			room [8]hamtItem[K, V]
		}{}
		return n.roomy(n.room[:])
	case room <= 16:
		n := &struct {
			hamtNode[K, V]
			room [16]hamtItem[K, V]
		}{}
		return n.roomy(n.room[:])
	}
	return (&hamtNode[K, V]{}).roomy(make([]hamtItem[K, V], room))
}

func (n *hamtNode[K, V]) roomy(room []hamtItem[K, V]) *hamtNode[K, V] {
	n.items = room[:0]
	return n
}

// editable is the node itself where the edit owns it and has room for so many more items, else a copy.
func (n *hamtNode[K, V]) editable(e *edit, more int) *hamtNode[K, V] {
	if e != nil && n.owner == e && len(n.items)+more <= cap(n.items) {
		return n
	}
	c := newHamtNode[K, V](len(n.items) + more)
	c.owner, c.itemBits, c.nodeBits = e, n.itemBits, n.nodeBits
	c.items, c.nodes = append(c.items, n.items...), slices.Clone(n.nodes)
	return c
}

func (n *hamtNode[K, V]) with(e *edit, shift int, item hamtItem[K, V]) (_ *hamtNode[K, V], grown bool) {
	bit := hamtBit(item.hash, shift)
	switch {
	case n == nil:
		n = newHamtNode[K, V](1)
		n.owner = e
	case n.nodeBits&bit != 0:
		n = n.editable(e, 0)
		child := &n.nodes[hamtPlace(n.nodeBits, bit)]
		*child, grown = (*child).with(e, shift+hamtBits, item)
		return n, grown
	}
	n = n.editable(e, 1)
	if shift >= hamtDepth {
		return n, n.putInList(item)
	}
	at := hamtPlace(n.itemBits, bit)
	switch {
	case n.itemBits&bit == 0:
		n.items = slices.Insert(n.items, at, item)
		n.itemBits |= bit
		return n, true
	case n.items[at].key == item.key:
		n.items[at] = item
		return n, false
	}
	n.pushDown(e, shift, bit, item)
	return n, true
}

// pushDown puts a new item and the one in its place into a node of their own.
func (n *hamtNode[K, V]) pushDown(e *edit, shift int, bit uint64, item hamtItem[K, V]) {
	at := hamtPlace(n.itemBits, bit)
	child, _ := (*hamtNode[K, V])(nil).with(e, shift+hamtBits, n.items[at])
	child, _ = child.with(e, shift+hamtBits, item)
	n.items = slices.Delete(n.items, at, at+1)
	n.itemBits &^= bit
	n.nodes = slices.Insert(n.nodes, hamtPlace(n.nodeBits, bit), child)
	n.nodeBits |= bit
}

func (n *hamtNode[K, V]) putInList(item hamtItem[K, V]) (grown bool) {
	if i := n.indexOf(item.key); i >= 0 {
		n.items[i] = item
		return false
	}
	n.items = append(n.items, item)
	return true
}

// without gives the node without a key, nil for an empty one. It is n itself where the key is not there.
func (n *hamtNode[K, V]) without(e *edit, shift int, hash uint64, key K) (_ *hamtNode[K, V], shrunk bool) {
	if n == nil {
		return nil, false
	}
	bit := hamtBit(hash, shift)
	if shift < hamtDepth && n.nodeBits&bit != 0 {
		return n.withoutBelow(e, shift, hash, key)
	}
	at := -1
	if shift >= hamtDepth {
		at = n.indexOf(key)
	} else if n.itemBits&bit != 0 && n.items[hamtPlace(n.itemBits, bit)].key == key {
		at = hamtPlace(n.itemBits, bit)
	}
	if at < 0 {
		return n, false
	}
	n = n.editable(e, 0)
	n.items = slices.Delete(n.items, at, at+1)
	n.itemBits &^= bit
	if len(n.items) == 0 && len(n.nodes) == 0 {
		return nil, true
	}
	return n, true
}

// withoutBelow removes a key from the deeper node that its hash leads to, and takes a last lone item up out of that node.
func (n *hamtNode[K, V]) withoutBelow(e *edit, shift int, hash uint64, key K) (*hamtNode[K, V], bool) {
	bit := hamtBit(hash, shift)
	at := hamtPlace(n.nodeBits, bit)
	child, shrunk := n.nodes[at].without(e, shift+hamtBits, hash, key)
	if !shrunk {
		return n, false
	}
	if len(child.nodes) > 0 || len(child.items) > 1 {
		n = n.editable(e, 0)
		n.nodes[at] = child
		return n, true
	}
	n = n.editable(e, 1)
	n.nodes = slices.Delete(n.nodes, at, at+1)
	n.nodeBits &^= bit
	n.items = slices.Insert(n.items, hamtPlace(n.itemBits, bit), child.items[0])
	n.itemBits |= bit
	return n, true
}
