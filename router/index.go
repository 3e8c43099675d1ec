package router

import (
	"hash/maphash"
	"slices"
)

// Index finds the filters that match an event, each under an id, at a cost that depends on how many match, and hardly on how many there
// are. It files a filter by the types it wants and then by values that it needs at some path; only what can't be told apart so
// (ranges, suffixes, wildcards and the like, of the same types) is evaluated for every event.
//
// An Index is immutable and safe for concurrent use; changing it makes another one, at a cost that does not depend on its size.
type Index struct {
	seed    maphash.Seed
	paths   *paths
	entries hamt[string, *entry]

	exact hamt[string, indexNode] // filters that want one type
	stars *typeNode               // filters that want types with a star
	any   *indexNode              // filters that any type may match
}

// NewIndex makes an empty index.
func NewIndex() *Index {
	seed := newSeed()
	return &Index{seed: seed, paths: newPaths(seed)}
}

// Len is the number of filters.
func (x *Index) Len() int { return x.entries.size }

// With gives an index that has the filter under the id, in the place of the one that was there.
func (x *Index) With(id string, filter *CompiledFilter) *Index {
	e := x.Edit()
	e.Set(id, filter)
	return e.Index()
}

// Without gives an index that has nothing under the id.
func (x *Index) Without(id string) *Index {
	e := x.Edit()
	e.Remove(id)
	return e.Index()
}

// Match appends the ids of the filters that match to out, in ascending order.
func (x *Index) Match(v *View, out []string) []string {
	m := x.search(v, out)
	found := m.out[len(out):]
	slices.Sort(found)
	return m.out[:len(out)+len(slices.Compact(found))]
}

// search finds the ids in no order, some more than once.
func (x *Index) search(v *View, out []string) matching {
	v.use(x.paths)
	clear(v.visited)
	m := matching{seed: x.seed, view: v, out: out}
	eventType := v.event.Type()
	if exact := x.exact.find(maphash.String(x.seed, eventType), eventType); exact != nil && exact.key == eventType {
		m.visit(&exact.value)
	}
	m.visit(x.any)
	if x.stars != nil && !hasEmptySegment(eventType) {
		m.visitTypes(x.stars, eventType)
	}
	return m
}

// Edit begins a change of many filters, which costs less than as many single ones.
func (x *Index) Edit() *IndexEdit { return &IndexEdit{index: *x, owner: &edit{}} }

// IndexEdit is a change of an index under way. It is for one goroutine.
type IndexEdit struct {
	index Index
	owner *edit
}

// Index gives the index as changed so far; the edit can go on without touching it.
func (e *IndexEdit) Index() *Index {
	x := e.index
	e.owner = &edit{}
	return &x
}

// Set puts a filter under an id, in the place of the one that was there.
func (e *IndexEdit) Set(id string, filter *CompiledFilter) {
	e.Remove(id)
	n := &entry{filter: filter}
	for _, path := range filter.paths {
		var s slot
		e.index.paths, s = e.index.paths.with(e.owner, path)
		n.slots = append(n.slots, s)
	}
	n.wanted = wantedBy(id, filter, n.slots)
	e.index.entries = e.index.entries.with(e.owner, e.hash(id), id, n)
	e.file(n, indexNode.with)
}

// Remove takes out what is under an id.
func (e *IndexEdit) Remove(id string) {
	n, ok := e.index.entries.get(e.hash(id), id)
	if !ok {
		return
	}
	e.file(n, indexNode.without)
	e.index.entries = e.index.entries.without(e.owner, e.hash(id), id)
	for _, path := range n.filter.paths {
		e.index.paths = e.index.paths.without(e.owner, path)
	}
}

func (e *IndexEdit) hash(s string) uint64 { return maphash.String(e.index.seed, s) }

// file makes a change at all nodes that an entry is filed under by types: those that the filter lists, or else those that a plan needs.
func (e *IndexEdit) file(n *entry, change func(indexNode, *filing) indexNode) {
	for i, p := range n.filter.plans {
		f := &filing{edit: e.owner, seed: e.index.seed, posting: posting{n, i}}
		types := n.filter.typesNeeded(p)
		switch {
		case len(n.filter.types) > 0:
			for _, pattern := range n.filter.types {
				e.fileUnder(pattern, f, change)
			}
		case types != nil:
			for _, eventType := range types {
				e.fileUnderType(eventType, f, change)
			}
		default:
			e.fileUnder(TypePattern{anyType}, f, change)
		}
	}
}

// typesNeeded lists the types that a plan names, none if it names none, or prefixes of types, too.
func (c *CompiledFilter) typesNeeded(p plan) (types []string) {
	i := slices.IndexFunc(p, c.isOfType)
	if i < 0 {
		return nil
	}
	for _, k := range p[i].keys {
		if k.kind != textKey {
			return nil
		}
		types = append(types, k.text)
	}
	return types
}

// isOfType tells whether a condition is one of the type.
func (c *CompiledFilter) isOfType(d condition) bool { return c.paths[d.place] == "type" }

func (e *IndexEdit) fileUnder(pattern TypePattern, f *filing, change func(indexNode, *filing) indexNode) {
	filed := func(n indexNode) indexNode { return change(n, f) }
	switch {
	case pattern.text == anyType:
		e.index.any = e.index.any.changed(filed)
	case pattern.isExact():
		e.fileUnderType(pattern.text, f, change)
	default:
		e.index.stars = e.index.stars.change(e, pattern.text, filed)
	}
}

func (e *IndexEdit) fileUnderType(eventType string, f *filing, change func(indexNode, *filing) indexNode) {
	ofType := *f
	ofType.oneType = true
	node, _ := e.index.exact.get(e.hash(eventType), eventType)
	if node = change(node, &ofType); !node.isEmpty() {
		e.index.exact = e.index.exact.with(e.owner, e.hash(eventType), eventType, node)
	} else {
		e.index.exact = e.index.exact.without(e.owner, e.hash(eventType), eventType)
	}
}
