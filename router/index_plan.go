package router

import (
	"hash/maphash"
	"math"
	"net/netip"
	"slices"
)

// Limits of what an index is told about a filter; what lies beyond is found by evaluating the filter.
const (
	maxPlans    = 16   // one for each branch of the pattern
	maxFilings  = 1024 // plans, times types
	maxPlanKeys = 64   // of one condition, and of conditions together
)

// plan is a list of conditions by which an index may file a filter: any of them will do, since all of them must hold.
type plan []condition

// condition is that the value at a path has one of these keys.
type condition struct {
	place int // of the path in the filter's list
	keys  []key
}

// key is what an index looks values up by. Values that a filter takes for equal have an equal key.
type key struct {
	kind keyKind
	bits uint64 // of a number
	text string // of all others
}

type keyKind uint8

const (
	textKey    keyKind = iota // a string; also the text of an attribute of another type, which dialects look at
	numberKey                 // a comparable number
	literalKey                // true, false, null, and numbers beyond comparison
	addressKey                // an IP address, as 16 bytes
	prefixKey                 // all strings that begin with the text
)

func numberKeyOf(x float64) key { return key{kind: numberKey, bits: math.Float64bits(x)} }

func addressKeyOf(a netip.Addr) key {
	b := a.As16()
	return key{kind: addressKey, text: string(b[:])}
}

func (k key) hash(seed maphash.Seed) uint64 {
	return maphash.String(seed, k.text) ^ mixed(k.bits+uint64(k.kind))
}

// mixed spreads a number over all bits, different numbers to different ones.
func mixed(x uint64) uint64 {
	x *= 0x9e3779b97f4a7c15
	return x ^ x>>32
}

// plan finds the filter's paths, keys and plans.
func (c *CompiledFilter) plan() {
	needs := c.needs()
	for _, b := range c.pattern {
		for i := range b {
			b[i].place = c.placeOf(b[i].path)
		}
	}
	c.keys, c.onlyKeys = c.allKeys()
	if n := len(c.pattern); n == 0 || n > maxPlans || n*len(c.types) > maxFilings {
		c.plans = []plan{c.conditions(needs)}
		return
	}
	for _, b := range c.pattern {
		c.plans = append(c.plans, c.conditions(b.needs(slices.Clone(needs))))
	}
}

// allKeys gives one key for each path; ok is false where the filter wants more or something else.
func (c *CompiledFilter) allKeys() (keys []key, ok bool) {
	if len(c.dialects) > 0 || len(c.pattern) > 1 {
		return nil, false
	}
	for _, b := range c.pattern {
		for i := range b {
			k, ok := b[i].key()
			if !ok {
				return nil, false
			}
			keys = append(keys, k)
		}
	}
	return keys, true
}

// key is the only one whose values the field wants; ok is false where there is none such.
func (f *field) key() (k key, ok bool) {
	if f.absent || len(f.tests) != 1 {
		return key{}, false
	}
	switch f.tests[0].(type) {
	case textTest, numberTest:
		return keysOf(f.tests)[0], true
	}
	return key{}, false
}

// placeOf finds a path's place in the list, where it is put if it is not there.
func (c *CompiledFilter) placeOf(path string) int {
	place := slices.Index(c.paths, path)
	if place < 0 {
		place = len(c.paths)
		c.paths = append(c.paths, path)
	}
	return place
}

func (c *CompiledFilter) conditions(list needs) plan {
	p := make(plan, len(list))
	for i, n := range list {
		p[i] = condition{place: c.placeOf(n.path), keys: n.keys}
	}
	return p
}

// needs is what must be true of any event that matches: at each path is a value that has one of the keys.
type needs []need

type need struct {
	path string
	keys []key
}

// add adds a need. Of two at the same path the narrower one stays.
func (list needs) add(n need) needs {
	same := slices.IndexFunc(list, func(m need) bool { return m.path == n.path })
	switch {
	case len(n.keys) == 0 || len(n.keys) > maxPlanKeys:
	case same < 0:
		return append(list, n)
	case len(n.keys) < len(list[same].keys):
		list[same] = n
	}
	return list
}

func (c *CompiledFilter) needs() needs {
	var list needs
	for i := range c.dialects {
		for _, n := range c.dialects[i].needs() {
			list = list.add(n)
		}
	}
	return list
}

// needs is what the expression needs, as far as it can be looked up.
func (d *dialect) needs() (list needs) {
	switch d.op {
	case "exact", "prefix":
		kind := map[string]keyKind{"exact": textKey, "prefix": prefixKey}[d.op]
		for _, p := range d.pairs {
			list = list.add(need{p.name, []key{{kind: kind, text: p.text}}})
		}
	case "all":
		for i := range d.of {
			for _, n := range d.of[i].needs() {
				list = list.add(n)
			}
		}
	case "any":
		list = d.of[0].needs()
		for i := range d.of[1:] {
			list = list.or(d.of[1+i].needs())
		}
	}
	return list
}

// or is what both of two alternatives need.
func (list needs) or(other needs) (both needs) {
	for _, n := range list {
		if same := slices.IndexFunc(other, func(m need) bool { return m.path == n.path }); same >= 0 {
			both = both.add(need{n.path, distinct(slices.Concat(n.keys, other[same].keys))})
		}
	}
	return both
}

// needs adds to a list what the fields of a branch need.
func (b branch) needs(list needs) needs {
	for _, f := range b {
		if !f.absent {
			list = list.add(need{f.path, keysOf(f.tests)})
		}
	}
	return list
}

// keysOf gives the keys of all values that may pass one of the tests; none: they can't be looked up.
func keysOf(tests []test) []key {
	keys := make([]key, 0, len(tests))
	for _, t := range tests {
		switch t := t.(type) {
		case textTest:
			kind := literalKey
			if t.kind == stringKind {
				kind = textKey
			}
			keys = append(keys, key{kind: kind, text: t.text})
		case numberTest:
			keys = append(keys, numberKeyOf(float64(t)))
		case addressTest:
			keys = append(keys, addressKeyOf(netip.Addr(t)))
		case prefixTest:
			keys = append(keys, key{kind: prefixKey, text: string(t)})
		default:
			return nil
		}
	}
	return distinct(keys)
}

func distinct(keys []key) []key {
	if len(keys) > maxPlanKeys {
		return keys // too many anyway
	}
	var list []key
	for _, k := range keys {
		if !slices.Contains(list, k) {
			list = append(list, k)
		}
	}
	return list
}
