package router

// CompiledTrigger is a Trigger laid out for evaluation: its tree as a list of nodes, its filters compiled. It is immutable and safe for
// concurrent use.
type CompiledTrigger struct {
	Trigger
	// Nodes are the nodes of when in the order of the document, a node before its children: Nodes[0] is the root. Those of reset_on follow.
	Nodes []Node
	// Leaves are the nodes that match events, in the same order: what Trigger stores of an event names a leaf by its number here.
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
	Key      []Path // of an event that meets it, the values of the trigger's key, in the order of its names
	Reset    bool   // it is of reset_on
}

// Compile lays the trigger out. The error is an *Error (Invalid) whose locations are relative to the trigger ("when.all[0].event.types[1]"), for
// a trigger that Validate would refuse as well.
func (t Trigger) Compile() (*CompiledTrigger, error) {
	c := &compiler{compiled: &CompiledTrigger{Trigger: t}, faults: &docFaults{}}
	c.add(&t.When, "when", -1, 0, 0)
	for i := range t.ResetOn {
		c.add(&t.ResetOn[i], itemAt("reset_on", i), -1, i, 0)
	}
	if err := c.faults.err("the trigger is not valid"); err != nil {
		return nil, err
	}
	return c.compiled, nil
}

// compiler lays out a trigger.
type compiler struct {
	compiled *CompiledTrigger
	faults   *docFaults
}

// add lays out a node and what is below it, and returns the node's number. Within is the window of the nearest node around that has one.
func (c *compiler) add(n *Condition, at string, parent, child int, within Duration) int {
	number := len(c.compiled.Nodes)
	node := Node{Kind: n.Kind, At: at, Parent: parent, Child: child, Leaf: -1, Count: n.Count, Within: n.Within, Lookback: n.Lookback, Need: n.need()}
	c.compiled.Nodes = append(c.compiled.Nodes, node)
	if n.Kind == EventCondition {
		c.addLeaf(n, number, within)
		return number
	}
	if n.Within > 0 {
		within = n.Within
	}
	var children []int
	for i := range n.Children {
		children = append(children, c.add(&n.Children[i], n.childAt(at, i), number, i, within))
	}
	c.compiled.Nodes[number].Children = children
	return number
}

func (c *compiler) addLeaf(n *Condition, number int, within Duration) {
	node := &c.compiled.Nodes[number]
	node.Leaf = len(c.compiled.Leaves)
	switch {
	case n.Count <= 1:
		node.Within = 0 // one event lies within any window
	case node.Within == 0:
		node.Within = within
	}
	leaf := Leaf{Node: number, Name: n.Name, Distinct: n.Distinct, Reset: number > 0 && node.Parent < 0}
	if leaf.Name == "" {
		leaf.Name = node.At
	}
	for _, part := range c.compiled.Key {
		path, ok := n.Key.path(part.Name)
		if !ok {
			path = part.Path
		}
		leaf.Key = append(leaf.Key, path)
	}
	filter, err := n.Filter.Compile()
	c.faults.refuse(memberAt(node.At, "event"), "", err)
	leaf.Filter = filter
	c.compiled.Leaves = append(c.compiled.Leaves, leaf)
}

// need is how many children must have an occurrence.
func (n *Condition) need() int {
	switch n.Kind {
	case AllCondition:
		return len(n.Children)
	case AnyCondition:
		return 1
	case AtLeastCondition:
		return n.Least
	}
	return 0
}
