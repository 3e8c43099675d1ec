package router

import (
	"hash/maphash"
	"slices"
)

// indexNode holds filters that nothing is known to tell apart yet. Most nodes have one alone, and what it wants is at hand. The zero node is empty. A node
// is immutable.
type indexNode struct {
	crowd  *crowd
	sole   posting // where there is no crowd
	wanted wanted  // by the sole one
}

// crowd is what a node holds that has more than one filter: up to fewPostings of them as a list, more than that spread by the values they need, each
// by the condition of its plan under which there are the fewest so far. So a field that many filters have in common does no harm as long as there is
// another, whatever the order they come in; and where all fields have few values, filters are spread by one after the other. A crowd is immutable.
type crowd struct {
	size   int // postings in the crowd and below
	listed int
	few    [fewPostings]posting      // those listed: not spread yet
	rest   hamt[posting, struct{}]   // can't be spread any further
	fields hamt[slot, *indexedField] // spread by the values of these
}

// fewPostings is how many filters are evaluated rather than spread.
const fewPostings = 4

// posting is an entry filed by one of its filter's plans.
type posting struct {
	entry *entry
	plan  int
}

// indexedField is where filters are by the keys that they need at one path.
type indexedField struct {
	nodes     hamt[key, indexNode]
	addresses int           // how many keys are addresses
	prefixes  []prefixCount // by length, ascending
}

// prefixCount is how many keys are prefixes of a length.
type prefixCount struct{ length, count int }

// filing is a posting on its way through the nodes.
type filing struct {
	edit    *edit
	seed    maphash.Seed
	posting posting
	oneType bool   // all events that come to these nodes are of one type
	used    []slot // fields that the nodes are spread by
}

func (p posting) hash(seed maphash.Seed) uint64 {
	return maphash.String(seed, p.entry.id) ^ mixed(uint64(p.plan))
}

func (s slot) hash() uint64 { return mixed(uint64(s)) }

// conditions are those that the posting can still be spread by.
func (f *filing) conditions(yield func(slot, *condition) bool) {
	e := f.posting.entry
	plan := e.filter.plans[f.posting.plan]
	copies := 1 // that spreading has made
	for i := range plan {
		if slices.Contains(f.used, e.slots[plan[i].place]) {
			copies *= len(plan[i].keys)
		}
	}
	for i := range plan {
		s := e.slots[plan[i].place]
		idle := f.oneType && e.filter.isOfType(plan[i]) || slices.Contains(f.used, s)
		if !idle && copies*len(plan[i].keys) <= maxPlanKeys && !yield(s, &plan[i]) {
			return
		}
	}
}

// below is the filing at the nodes of a field.
func (f *filing) below(s slot) *filing {
	c := *f
	c.used = append(slices.Clip(f.used), s)
	return &c
}

// soleNode is the node of one posting.
func soleNode(p posting) indexNode { return indexNode{sole: p, wanted: p.entry.wanted} }

// isEmpty tells whether the node has no filters.
func (n *indexNode) isEmpty() bool { return n.crowd == nil && n.sole.entry == nil }

// holds tells whether the node holds the same as another one, of which it was made.
func (n *indexNode) holds(m *indexNode) bool { return n.crowd == m.crowd && n.sole == m.sole }

// changed is the node after a change; nil stands for an empty node.
func (n *indexNode) changed(change func(indexNode) indexNode) *indexNode {
	if n == nil {
		n = &indexNode{}
	}
	if c := change(*n); !c.isEmpty() {
		return &c
	}
	return nil
}

// size is how many postings there are in the node and below.
func (n *indexNode) size() int {
	switch {
	case n.crowd != nil:
		return n.crowd.size
	case n.isEmpty():
		return 0
	}
	return 1
}

// with gives the node with a posting filed.
func (n indexNode) with(f *filing) indexNode {
	switch {
	case n.isEmpty():
		return soleNode(f.posting)
	case n.crowd == nil:
		first := *f
		first.posting = n.sole
		return indexNode{crowd: new(crowd).with(&first).with(f)}
	}
	return indexNode{crowd: n.crowd.with(f)}
}

// with gives the crowd with a posting filed.
func (n *crowd) with(f *filing) *crowd {
	c := *n
	c.size++
	s, by := c.best(f)
	switch {
	case by == nil:
		c.rest = c.rest.with(f.edit, f.posting.hash(f.seed), f.posting, struct{}{})
	case c.fields.size == 0 && c.listed < fewPostings:
		c.few[c.listed] = f.posting
		c.listed++
	default:
		c.spread(f, s, by)
		c.spreadListed(f)
	}
	return &c
}

// best is the condition under which there are the fewest postings; nil: the posting can't be spread any further. Prefixes, which take longer to look
// up, have to be worth it.
func (n *crowd) best(f *filing) (best slot, by *condition) {
	least := 0
	for s, c := range f.conditions {
		load := 0
		field, _ := n.fields.get(s.hash(), s)
		for _, k := range c.keys {
			load += field.load(f.seed, k)
		}
		if by == nil || load < least {
			best, by, least = s, c, load
		}
	}
	return best, by
}

func (field *indexedField) load(seed maphash.Seed, k key) int {
	load := 0
	if field != nil {
		if n, ok := field.nodes.get(k.hash(seed), k); ok {
			load = n.size()
		}
	}
	if k.kind == prefixKey {
		load += fewPostings
	}
	return load
}

// spread files a posting under a condition.
func (n *crowd) spread(f *filing, s slot, by *condition) {
	field, _ := n.fields.get(s.hash(), s)
	below := f.below(s)
	for _, k := range by.keys {
		field = field.change(f, k, func(n indexNode) indexNode { return n.with(below) })
	}
	n.fields = n.fields.with(f.edit, s.hash(), s, field)
}

// spreadListed spreads what was only listed.
func (n *crowd) spreadListed(f *filing) {
	few, listed := n.few, n.listed
	n.few, n.listed = [fewPostings]posting{}, 0
	for _, p := range few[:listed] {
		each := *f
		each.posting = p
		s, by := n.best(&each)
		n.spread(&each, s, by)
	}
}

// change gives the field with the node of a key changed; a field without nodes is nil.
func (field *indexedField) change(f *filing, k key, change func(indexNode) indexNode) *indexedField {
	c := indexedField{}
	if field != nil {
		c = *field
	}
	hash := k.hash(f.seed)
	before, there := c.nodes.get(hash, k)
	after := change(before)
	switch {
	case !after.isEmpty():
		c.nodes = c.nodes.with(f.edit, hash, k, after)
		if !there {
			c.count(k, +1)
		}
	case there:
		c.nodes = c.nodes.without(f.edit, hash, k)
		c.count(k, -1)
	}
	if c.nodes.size == 0 {
		return nil
	}
	return &c
}

// count notes that there is one key more, or less.
func (field *indexedField) count(k key, by int) {
	switch k.kind {
	case addressKey:
		field.addresses += by
	case prefixKey:
		i, found := slices.BinarySearchFunc(field.prefixes, len(k.text), func(p prefixCount, n int) int { return p.length - n })
		prefixes := slices.Clone(field.prefixes)
		if !found {
			prefixes = slices.Insert(prefixes, i, prefixCount{length: len(k.text)})
		}
		if prefixes[i].count += by; prefixes[i].count == 0 {
			prefixes = slices.Delete(prefixes, i, i+1)
		}
		field.prefixes = prefixes
	}
}

// without gives the node without a posting. It is n itself where the posting is not there: then it is under another field.
func (n indexNode) without(f *filing) indexNode {
	switch {
	case n.crowd == nil && n.sole == f.posting:
		return indexNode{}
	case n.crowd == nil:
		return n
	}
	c := n.crowd.without(f)
	switch {
	case c.size == 0:
		return indexNode{}
	case c.size == 1 && c.listed == 1:
		return soleNode(c.few[0])
	}
	return indexNode{crowd: c}
}

// without gives the crowd without a posting. It is n itself where the posting is not there.
func (n *crowd) without(f *filing) *crowd {
	c := *n
	c.size--
	if i := slices.Index(n.few[:n.listed], f.posting); i >= 0 {
		c.listed--
		c.few[i], c.few[c.listed] = c.few[c.listed], posting{}
	} else if hash := f.posting.hash(f.seed); c.rest.size > 0 {
		c.rest = c.rest.without(f.edit, hash, f.posting)
	}
	if c.listed == n.listed && c.rest.size == n.rest.size && !c.gather(f) {
		return n
	}
	return &c
}

// gather takes a posting out of the field that it was spread by; false: it is in none.
func (n *crowd) gather(f *filing) bool {
	for s, by := range f.conditions {
		field, ok := n.fields.get(s.hash(), s)
		if !ok {
			continue
		}
		below := f.below(s)
		first, _ := field.nodes.get(by.keys[0].hash(f.seed), by.keys[0])
		if rest := first.without(below); rest.holds(&first) {
			continue
		}
		for _, k := range by.keys {
			field = field.change(f, k, func(n indexNode) indexNode { return n.without(below) })
		}
		if field != nil {
			n.fields = n.fields.with(f.edit, s.hash(), s, field)
		} else {
			n.fields = n.fields.without(f.edit, s.hash(), s)
		}
		return true
	}
	return false
}

// matching is the search for the filters that match one event.
type matching struct {
	seed maphash.Seed
	view *View
	out  []string

	tried int // filters evaluated
}

// visit looks through a node; nil stands for an empty one.
func (m *matching) visit(n *indexNode) {
	switch {
	case n == nil:
	case n.crowd != nil:
		m.visitCrowd(n.crowd)
	default:
		m.try(&n.wanted, n.sole.entry)
	}
}

func (m *matching) visitCrowd(n *crowd) {
	for i := range n.listed {
		m.try(&n.few[i].entry.wanted, n.few[i].entry)
	}
	for p := range n.rest.all {
		m.try(&p.entry.wanted, p.entry)
	}
	if n.fields.size > 0 {
		m.visitFields(n)
	}
}

// try evaluates a filter whose types match.
func (m *matching) try(w *wanted, e *entry) {
	m.tried++
	if w.match(m.view, e) {
		m.out = append(m.out, w.id)
	}
}

// visitFields looks up the event's values, going by the node's fields or by those of the event, whichever are fewer.
func (m *matching) visitFields(n *crowd) {
	const few = 8
	if n.fields.size > few {
		m.view.takeAttributes()
		m.view.takePayload()
	}
	if n.fields.size <= max(few, len(m.view.filled)) {
		for s, field := range n.fields.all {
			m.visitField(field, s)
		}
		return
	}
	for _, s := range m.view.filled {
		if field, ok := n.fields.get(s.hash(), s); ok {
			m.visitField(field, s)
		}
	}
}

func (m *matching) visitField(field *indexedField, s slot) {
	first := m.view.first(s)
	many := first != 0 && m.view.at(first).next != 0
	for number := first; number != 0 && m.view.step(); number = m.view.at(number).next {
		v := m.view.at(number)
		if v.kind == stringKind || !s.inPayload() {
			m.visitText(field, v.text, many)
		}
		if v.kind != stringKind {
			m.visitKey(field, v.key(), many)
		}
	}
}

// key is what a value that is no string is looked up by.
func (v *value) key() key {
	if x, ok := v.number(); ok {
		return numberKeyOf(x)
	}
	return key{kind: literalKey, text: v.text}
}

func (m *matching) visitText(field *indexedField, text string, many bool) {
	m.visitKey(field, key{kind: textKey, text: text}, many)
	if field.addresses > 0 {
		if a, ok := parseAddress(text); ok {
			m.visitKey(field, addressKeyOf(a), many)
		}
	}
	for _, p := range field.prefixes {
		if p.length > len(text) {
			return
		}
		m.visitKey(field, key{kind: prefixKey, text: text[:p.length]}, many)
	}
}

// visitKey visits the node of a key; where there are many values, only once, even if some of them are equal. It may be the node of another key with
// the same hash: filters are evaluated there as everywhere.
func (m *matching) visitKey(field *indexedField, k key, many bool) {
	found := field.nodes.find(k.hash(m.seed), k)
	if found == nil || many && !m.view.firstVisit(&found.value) {
		return
	}
	m.visit(&found.value)
}

// firstVisit notes that a node is visited; false: it was before.
func (v *View) firstVisit(n *indexNode) bool {
	if v.visited == nil {
		v.visited = map[*indexNode]struct{}{}
	}
	before := len(v.visited)
	v.visited[n] = struct{}{}
	return len(v.visited) > before
}
