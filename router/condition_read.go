package router

import (
	"fmt"
	"slices"
	"strings"
)

// conditionKinds are the members that make an object a condition of a kind, each named as the kind.
func conditionKinds() []ConditionKind {
	return []ConditionKind{EventCondition, AllCondition, AnyCondition, AtLeastCondition, SequenceCondition, AbsentCondition}
}

// fields are the members that a condition of a kind may have beside the one named as the kind.
func (k ConditionKind) fields() []string {
	switch k {
	case EventCondition:
		return []string{"name", "count", "distinct", "within", "key"}
	case AllCondition, SequenceCondition:
		return []string{"within"}
	case AtLeastCondition:
		return []string{"of", "within"}
	case AbsentCondition:
		return []string{"after", "within", "lookback"}
	}
	return nil
}

// read takes a condition at a depth (that of the root is 1) out of a document. Key is the trigger's. A node that is refused as a whole has no kind.
func (c *Condition) read(n docNode, depth int, key KeyPaths) {
	if depth > MaxConditionDepth {
		n.faults.spoil(n.at, "is nested %d levels deep; at most %d are possible", depth, MaxConditionDepth)
		return
	}
	n.object(func(o *docObject) {
		kind, ok := readKind(o)
		switch {
		case ok:
			c.readAs(kind, o, depth, key)
		case n.faults.mode == namesOnly: // a patch may say no more than what changes
			for _, kind := range conditionKinds() {
				o.ignore(kind.fields()...)
			}
		default:
			o.ignoreRest()
		}
	})
}

// readKind finds out what kind of condition an object is.
func readKind(o *docObject) (kind ConditionKind, ok bool) {
	var kinds []string
	for _, k := range conditionKinds() {
		if o.get(string(k)).present() {
			kind, kinds = k, append(kinds, string(k))
		}
	}
	switch {
	case len(kinds) == 1:
		return kind, true
	case len(kinds) > 1:
		o.faults.spoil(o.at, "is of several kinds: %s; it must have one of these members", strings.Join(kinds, ", "))
	case o.faults.mode == tolerant: // a kind that this version does not know
	default:
		o.faults.spoil(o.at, "must have one of the members event, all, any, at_least, sequence and absent")
	}
	return "", false
}

func (c *Condition) readAs(kind ConditionKind, o *docObject, depth int, key KeyPaths) {
	c.Kind = kind
	refuseOthers(kind, o)
	switch kind {
	case EventCondition:
		c.readEvent(o, key)
	case AtLeastCondition:
		o.get("at_least").integer(&c.Least)
		if of := o.get("of"); of.present() {
			c.readChildren(of, depth, key)
		} else {
			o.faults.spoil(of.at, "is required")
		}
	case AbsentCondition:
		c.readAbsent(o, depth, key)
	default:
		c.readChildren(o.get(string(kind)), depth, key)
	}
	if slices.Contains(kind.fields(), "within") {
		readWindow(o.get("within"), &c.Within)
	}
}

// refuseOthers refuses members that go with other kinds of conditions.
func refuseOthers(kind ConditionKind, o *docObject) {
	for _, other := range conditionKinds() {
		for _, name := range other.fields() {
			if slices.Contains(kind.fields(), name) {
				continue
			}
			if n := o.get(name); n.present() && o.faults.mode != tolerant {
				o.faults.add(n.at, "does not go with %q", string(kind))
			}
		}
	}
}

func (c *Condition) readChildren(n docNode, depth int, key KeyPaths) {
	n.list(MaxLeaves,
		func(count int) { c.Children = make([]Condition, count) },
		func(i int, n docNode) { c.Children[i].read(n, depth+1, key) })
}

func (c *Condition) readAbsent(o *docObject, depth int, key KeyPaths) {
	c.Children = make([]Condition, 1, 2)
	c.Children[0].read(o.get("absent"), depth+1, key)
	if after := o.get("after"); after.present() {
		c.Children = c.Children[:2]
		c.Children[1].read(after, depth+1, key)
	}
	readWindow(o.get("lookback"), &c.Lookback)
}

// readEvent takes the members of a leaf.
func (c *Condition) readEvent(o *docObject, key KeyPaths) {
	c.Count = 1
	o.get("event").object(c.Filter.read)
	o.get("name").text(&c.Name)
	o.get("count").integer(&c.Count)
	if distinct := o.get("distinct"); distinct.present() {
		distinct.path(func(p Path) { c.Distinct = &p })
	}
	if n := o.get("key"); n.present() {
		c.Key.read(n, func(name string) string {
			if _, ok := key.path(name); !ok {
				return fmt.Sprintf("is not a name of the trigger's key: %s", key.listNames())
			}
			return ""
		})
	}
}

// readWindow reads a length of time that must not be zero.
func readWindow(n docNode, dst *Duration) {
	before := *dst
	n.duration(dst)
	if n.present() && *dst == 0 && n.faults.mode != tolerant {
		n.faults.add(n.at, "must be longer than zero; leave it out for none")
		*dst = before
	}
}

// path reads a path into an event.
func (n docNode) path(set func(Path)) {
	text := ""
	if n.text(&text); text == "" && n.kind() != '"' {
		return
	}
	p, fault := parsePath(text)
	if fault != "" {
		n.faults.add(n.at, "%s", fault)
		return
	}
	set(p)
}

// read takes the names and paths of a key: an object, or an array of paths, which are named by their last segments. Refuse says what is wrong with a
// name, "" for a good one.
func (k *KeyPaths) read(n docNode, refuse func(name string) string) {
	*k = nil
	switch n.kind() {
	case '{':
		k.readObject(n, refuse)
	case '[':
		k.readList(n, refuse)
	default:
		n.faults.spoil(n.at, "must be an object of names and paths, or an array of paths, not %s", kindName(n.kind()))
		return
	}
	if len(n.members) == 0 {
		n.faults.add(n.at, "must name a path; leave it out for none")
	}
}

func (k *KeyPaths) readObject(n docNode, refuse func(string) string) {
	n.object(func(o *docObject) {
		o.each(MaxKeyPaths, func(name string, n docNode) {
			if fault := refuse(name); fault != "" {
				n.faults.add(n.at, "%s", fault)
				return
			}
			n.path(func(p Path) { *k = append(*k, KeyPath{name, p}) })
		})
	})
}

func (k *KeyPaths) readList(n docNode, refuse func(string) string) {
	n.list(MaxKeyPaths, func(int) {}, func(_ int, n docNode) {
		n.path(func(p Path) {
			name := p.lastName()
			_, twice := k.path(name)
			switch fault := refuse(name); {
			case name == "":
				n.faults.add(n.at, "ends in no name; write the key as an object, which gives it one")
			case twice:
				n.faults.add(n.at, "is the second path that would be named %s; write the key as an object", quoteShort(name))
			case fault != "":
				n.faults.add(n.at, "%s", fault)
			default:
				*k = append(*k, KeyPath{name, p})
			}
		})
	})
}

// listNames lists the names for a message.
func (k KeyPaths) listNames() string {
	if len(k) == 0 {
		return "it has none"
	}
	var names []string
	for _, part := range k {
		names = append(names, quoteShort(part.Name))
	}
	return strings.Join(names, ", ")
}
