package router

// CompiledTrigger is a Trigger laid out for evaluation: its tree as a list of nodes, its filters compiled. It is immutable and safe for
// concurrent use.
type CompiledTrigger struct {
	Trigger
	// Nodes are the nodes of when in the order of the document, a node before its children: Nodes[0] is the root. Those of reset_on follow.
	Nodes []Node
	// Leaves are the nodes that match events, in the same order: what is stored of an event names a leaf by its number here.
	Leaves []Leaf
}

// Node is a node of the tree.
type Node struct {
	Kind     ConditionKind
	At       string // its path in the document: "when.all[1]"
	Parent   int    // -1: the root, or of reset_on
	Child    int    // which child of its parent it is, from 0
	Children []int
	Leaf     int // its number among the leaves, -1 for an inner node

	// Need is how many children must have an occurrence for an all, any or at_least.
	Need int
	// Count is how many events a leaf wants.
	Count int
	// Within is the window: of a counted leaf the one in effect, which may be an enclosing node's. 0: nothing goes stale.
	Within Duration
	// Lookback is that of an absent.
	Lookback Duration
}

// Leaf is what makes a node match events.
type Leaf struct {
	Node     int
	Name     string // what firings call it
	Filter   *CompiledFilter
	Distinct *Path
	Key      KeyPaths // where an event that meets it has the values of the trigger's key
	Reset    bool     // it is of reset_on
}

// Compile lays the trigger out. The error is an *Error (Invalid) whose locations are relative to the trigger ("when.all[0].event.types[1]"), for a
// trigger whose condition, key, reset_on or clock Validate refuses.
func (t Trigger) Compile() (*CompiledTrigger, error) {
	f := &docFaults{}
	c := t.compile(f, "")
	if err := f.err("the trigger is not valid"); err != nil {
		return nil, err
	}
	return c, nil
}

// compile lays out a trigger that stands at a place, and records what is wrong with it; then what it gives is of no use.
func (t Trigger) compile(f *docFaults, at string) *CompiledTrigger {
	t.checkStructure(f, at)
	c := compiler{compiled: &CompiledTrigger{Trigger: t}, faults: f, base: at}
	c.add(&t.When, nodePlace{at: "when", parent: -1, depth: 1})
	for i := range t.ResetOn {
		c.add(&t.ResetOn[i], nodePlace{at: itemAt("reset_on", i), parent: -1, child: i, depth: 1, reset: true})
	}
	return c.compiled
}

// compiler lays out a trigger.
type compiler struct {
	compiled *CompiledTrigger
	faults   *docFaults
	base     string // where the trigger stands
}

// place is where a node stands in the tree.
type nodePlace struct {
	at            string
	parent, child int
	depth         int
	within        Duration // the window of the nearest node around that has one
	reset         bool
}

// add lays out a node and what is below it, and returns the node's number.
func (c *compiler) add(n *Condition, p nodePlace) int {
	number := len(c.compiled.Nodes)
	node := Node{Kind: n.Kind, At: p.at, Parent: p.parent, Child: p.child, Leaf: -1, Within: n.Within, Lookback: n.Lookback, Need: n.need()}
	c.compiled.Nodes = append(c.compiled.Nodes, node)
	if n.Kind == EventCondition {
		c.addLeaf(n, number, p)
		return number
	}
	if n.Within > 0 {
		p.within = n.Within
	}
	var children []int
	for i := range n.Children {
		if p.depth == MaxConditionDepth || c.faults.full() {
			break
		}
		below := nodePlace{at: n.childAt(p.at, i), parent: number, child: i, depth: p.depth + 1, within: p.within}
		children = append(children, c.add(&n.Children[i], below))
	}
	c.compiled.Nodes[number].Children = children
	return number
}

func (c *compiler) addLeaf(n *Condition, number int, p nodePlace) {
	node := &c.compiled.Nodes[number]
	node.Leaf, node.Count, node.Within = len(c.compiled.Leaves), n.Count, n.window(p.within)
	c.compiled.Leaves = append(c.compiled.Leaves, Leaf{
		Node:     number,
		Name:     n.nameAt(p.at),
		Filter:   n.Filter.check(c.faults, memberAt(within(c.base, p.at), "event")),
		Distinct: n.Distinct,
		Key:      n.keyPaths(c.compiled.Key),
		Reset:    p.reset,
	})
}

// need is how many children must have an occurrence.
func (c *Condition) need() int {
	switch c.Kind {
	case AllCondition:
		return len(c.Children)
	case AnyCondition:
		return 1
	case AtLeastCondition:
		return c.Least
	}
	return 0
}

// window is the window in effect for a leaf, around which the nearest one is that given. One event lies within any window.
func (c *Condition) window(around Duration) Duration {
	switch {
	case c.Count <= 1:
		return 0
	case c.Within > 0:
		return c.Within
	}
	return around
}

// nameAt is the name of a leaf that stands at a place.
func (c *Condition) nameAt(at string) string {
	if c.Name != "" {
		return c.Name
	}
	return at
}

// keyPaths are a leaf's paths for the trigger's names.
func (c *Condition) keyPaths(key KeyPaths) KeyPaths {
	var paths KeyPaths
	for _, part := range key {
		if path, ok := c.Key.path(part.Name); ok {
			part.Path = path
		}
		paths = append(paths, part)
	}
	return paths
}
