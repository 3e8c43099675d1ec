package router

import "slices"

// PartialSelection says which partials of a trigger are meant.
type PartialSelection struct {
	Keys   []KeyHash // without repetition
	All    bool
	DryRun bool // they are only counted
}

// MaxSelected is how many things a selection may name.
const MaxSelected = 1000

// ParseKey reads a key of the trigger's as Key.JSON writes it, {"order":12}, its members in any order. The error is an *Error (Invalid).
func (c *CompiledTrigger) ParseKey(text []byte) (Key, error) {
	var k Key
	err := readDocument(text, func(o *docObject) { k = c.readKey(o) })
	if err != nil {
		return Key{}, Errorf(Invalid, "must be an object with a string, number or boolean for each name of the trigger's key")
	}
	return k, nil
}

func (c *CompiledTrigger) readKey(o *docObject) (k Key) {
	for _, part := range c.Key {
		n := o.get(part.Name)
		v, ok := n.scalar()
		if !ok {
			n.faults.add(n.at, "must be a string, a number or a boolean")
		}
		k.names, k.values = append(k.names, part.Name), append(k.values, v)
	}
	return k
}

// DecodePartialSelection reads a selection of the trigger's partials: "ids", "keys", or "all": true; and "dry_run". The error is an *Error (Invalid); so is it
// for one that selects nothing.
func (c *CompiledTrigger) DecodePartialSelection(text []byte) (PartialSelection, error) {
	var s PartialSelection
	f := &docFaults{}
	f.read(text, func(o *docObject) {
		o.get("ids").list(MaxSelected, func(int) {}, func(_ int, n docNode) {
			id := ""
			n.text(&id)
			hash, ok := ParseKeyHash(id)
			if !ok {
				n.faults.add(n.at, "must be the id of a partial")
			}
			s.Keys = append(s.Keys, hash)
		})
		o.get("keys").list(MaxSelected, func(int) {}, func(_ int, n docNode) {
			n.object(func(o *docObject) { s.Keys = append(s.Keys, c.readKey(o).Hash()) })
		})
		o.get("all").bool(&s.All)
		o.get("dry_run").bool(&s.DryRun)
		if s.All == (len(s.Keys) > 0) {
			f.add(documentRoot, `must select something: "ids" or "keys", or everything with "all": true`)
		}
	})
	if err := f.err("the selection is not valid"); err != nil {
		return PartialSelection{}, err
	}
	slices.SortFunc(s.Keys, func(a, b KeyHash) int { return slices.Compare(a[:], b[:]) })
	s.Keys = slices.Compact(s.Keys)
	return s, nil
}
