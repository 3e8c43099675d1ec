package router

// ConditionKind says what a node of a trigger's condition is, by the name of the member that makes it one in a document.
type ConditionKind string

// The kinds of nodes.
const (
	EventCondition    ConditionKind = "event"    // a leaf: Count events that Filter matches
	AllCondition      ConditionKind = "all"      // every child
	AnyCondition      ConditionKind = "any"      // a child
	AtLeastCondition  ConditionKind = "at_least" // Least different children
	SequenceCondition ConditionKind = "sequence" // the children in this order
	AbsentCondition   ConditionKind = "absent"   // an event that does not come
)

// Limits of a condition (design.md, Triggers, rule 16).
const (
	MaxConditionDepth = 5  // nodes within each other; the root is 1
	MaxLeaves         = 32 // of a trigger, those of reset_on included
	MaxKeyPaths       = 8
	MaxCount          = 1000
	MaxWithin         = 31 * Duration(day) // of within, lookback and cooldown
)

// Condition is a node of a trigger's condition: a leaf matches events, an inner node combines its children. The fields that apply
// depend on Kind; the others are zero. Durations are whole milliseconds.
type Condition struct {
	Kind ConditionKind

	// Children are those of all, any, at_least and sequence, in the order of the document, at least one. An absent has one or two:
	// the event that must not come, an event leaf without Count, Distinct and Within; then the condition "after", if there is one.
	Children []Condition

	Within   Duration // of all but any; 0: none. An absent must have one
	Least    int      // of an at_least: from 1 to the number of its children
	Lookback Duration // of an absent with "after": up to how long before the arming an event prevents it; 0: none

	Name     string   // of a leaf: what firings call it; "": its path
	Filter   Filter   // of a leaf: the events that meet it
	Count    int      // of a leaf: how many of them, at least 1
	Distinct *Path    // of a leaf: where the events must have different values; nil: anything goes
	Key      KeyPaths // of a leaf: paths in place of the trigger's, under names that the trigger's key has
}

// AbsentEvent gives the leaf whose event must not come, of an absent.
func (c *Condition) AbsentEvent() *Condition { return &c.Children[0] }

// After gives the condition that arms an absent, nil where there is none: then every event of AbsentEvent does.
func (c *Condition) After() *Condition {
	if len(c.Children) < 2 {
		return nil
	}
	return &c.Children[1]
}

// childAt is the place of a child: "when.all[1]", "when.absent", "when.after".
func (c *Condition) childAt(at string, i int) string {
	switch {
	case c.Kind == AbsentCondition && i == 0:
		return memberAt(at, "absent")
	case c.Kind == AbsentCondition:
		return memberAt(at, "after")
	case c.Kind == AtLeastCondition:
		return itemAt(memberAt(at, "of"), i)
	}
	return itemAt(memberAt(at, string(c.Kind)), i)
}
