package router

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxKeyNameBytes is the longest name in a trigger's key.
const MaxKeyNameBytes = 64

// Validate tells whether the definition can be stored and used. The error is an *Error (Invalid) that names each faulty field ("when.all[1].within").
func (t Trigger) Validate() error {
	f := &docFaults{}
	t.check(f, "")
	return f.err("the trigger is not valid")
}

// check records what is wrong with a definition that stands at a place.
func (t Trigger) check(f *docFaults, at string) {
	if t.Name == "" {
		f.add(memberAt(at, "name"), "is required")
	} else if !namePattern.MatchString(t.Name) {
		f.add(memberAt(at, "name"), "must be %s", nameRule)
	}
	checkTitle(f, memberAt(at, "title"), t.Title)
	t.Emit.check(f, memberAt(at, "emit"))
	checkWindow(f, memberAt(at, "cooldown"), t.Cooldown)
	t.compile(f, at)
}

func (e Emit) check(f *docFaults, at string) {
	place := memberAt(at, "type")
	if fault := textFault(e.Type); fault != "" {
		f.add(place, "%s", fault)
	}
	if len(e.Type) > MaxTypePatternBytes {
		f.add(place, "must have at most %d bytes", MaxTypePatternBytes)
	}
	if e.Type == "streamlatch" || strings.HasPrefix(e.Type, "streamlatch.") {
		f.add(place, "must not be one of Streamlatch's own types, which begin with streamlatch.")
	}
	if e.Include != IncludeEvents && e.Include != IncludeRefs {
		f.add(memberAt(at, "include"), "must be %q or %q", IncludeEvents, IncludeRefs)
	}
}

// checkStructure records what is wrong with the parts that a trigger's evaluation depends on, filters excepted.
func (t Trigger) checkStructure(f *docFaults, at string) {
	if t.Clock != AcceptClock && t.Clock != EventClock {
		f.add(memberAt(at, "clock"), "must be %q or %q", AcceptClock, EventClock)
	}
	t.Key.check(f, memberAt(at, "key"))
	c := conditionCheck{faults: f, trigger: &t}
	c.node(&t.When, memberAt(at, "when"), 1, false)
	for i := range t.ResetOn {
		place := itemAt(memberAt(at, "reset_on"), i)
		c.node(&t.ResetOn[i], place, 1, false)
		c.plain(&t.ResetOn[i], place, "an event that resets")
	}
	if c.leaves > MaxLeaves {
		f.spoil(memberAt(at, "when"), "has %d leaves, those of reset_on included; at most %d are possible", c.leaves, MaxLeaves)
	}
}

func (k KeyPaths) check(f *docFaults, at string) {
	if len(k) > MaxKeyPaths {
		f.spoil(at, "has %d paths; at most %d are possible", len(k), MaxKeyPaths)
		return
	}
	for i, part := range k {
		place := memberAt(at, part.Name)
		if fault := keyNameFault(part.Name); fault != "" {
			f.add(place, "%s", fault)
		}
		if _, twice := k[:i].path(part.Name); twice {
			f.add(place, "stands here more than once")
		}
		if part.Path == (Path{}) {
			f.add(place, "must be a path")
		}
	}
}

// keyNameFault says what is wrong with a name in a trigger's key, "" for a good one.
func keyNameFault(name string) string {
	switch {
	case name == "":
		return "must not have an empty name"
	case len(name) > MaxKeyNameBytes:
		return fmt.Sprintf("must have a name of at most %d bytes", MaxKeyNameBytes)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "must have a name without control characters"
	}
	return ""
}

// checkWindow holds a length of time, 0 for none, to what can be stored and is worth storing.
func checkWindow(f *docFaults, at string, d Duration) {
	switch {
	case d < 0:
		f.add(at, "must not be negative")
	case d > MaxWithin:
		f.add(at, "must be at most %s", MaxWithin)
	case d%Duration(time.Millisecond) != 0:
		f.add(at, "must be whole milliseconds")
	}
}

// conditionCheck records what is wrong with conditions.
type conditionCheck struct {
	faults  *docFaults
	trigger *Trigger
	leaves  int
}

// node checks a node at a depth, and what is below it. Windowed tells that a node around it has a window that a counted leaf can take.
func (c *conditionCheck) node(n *Condition, at string, depth int, windowed bool) {
	if depth > MaxConditionDepth {
		c.faults.spoil(at, "is nested %d levels deep; at most %d are possible", depth, MaxConditionDepth)
		return
	}
	checkWindow(c.faults, memberAt(at, "within"), n.Within)
	checkWindow(c.faults, memberAt(at, "lookback"), n.Lookback)
	switch n.Kind {
	case EventCondition:
		c.leaf(n, at, windowed)
		return
	case AbsentCondition:
		c.absent(n, at)
	case AllCondition, AnyCondition, AtLeastCondition, SequenceCondition:
		c.inner(n, at)
	default:
		c.faults.spoil(at, "must have one of the members event, all, any, at_least, sequence and absent")
	}
	for i := range n.Children {
		c.node(&n.Children[i], n.childAt(at, i), depth+1, windowed || n.Within > 0)
	}
}

// inner checks a node that combines its children.
func (c *conditionCheck) inner(n *Condition, at string) {
	list := memberAt(at, string(n.Kind))
	if n.Kind == AtLeastCondition {
		if n.Least < 1 {
			c.faults.add(list, "must be at least 1")
		} else if n.Least > len(n.Children) {
			c.faults.add(list, "must be at most the number of conditions in \"of\", %d", len(n.Children))
		}
		list = memberAt(at, "of")
	}
	if len(n.Children) == 0 {
		c.faults.add(list, "must have a condition")
	}
	if n.Kind == AnyCondition && n.Within != 0 {
		c.faults.add(memberAt(at, "within"), "does not go with %q", n.Kind)
	}
}

func (c *conditionCheck) absent(n *Condition, at string) {
	if c.trigger.Clock == EventClock {
		c.faults.add(memberAt(at, "absent"), "needs the clock %q: an event's own time never tells that nothing more will come", AcceptClock)
	}
	if n.Within == 0 {
		c.faults.add(memberAt(at, "within"), "is required: for how long no event must come")
	}
	if n.Lookback != 0 && len(n.Children) == 1 {
		c.faults.add(memberAt(at, "lookback"), "needs \"after\": it looks back from there")
	}
	if len(n.Children) < 1 || len(n.Children) > 2 {
		c.faults.spoil(memberAt(at, "absent"), "must be one event")
		return
	}
	c.plain(n.AbsentEvent(), memberAt(at, "absent"), "an absent event")
}

// plain checks a leaf that stands for single events.
func (c *conditionCheck) plain(n *Condition, at, what string) {
	if n.Kind != EventCondition {
		if n.Kind != "" {
			c.faults.spoil(at, "must be an event: %q can't be %s", n.Kind, what)
		}
		return
	}
	for _, m := range [...]struct {
		name  string
		given bool
	}{{"count", n.Count != 1}, {"distinct", n.Distinct != nil}, {"within", n.Within != 0}} {
		if m.given {
			c.faults.add(memberAt(at, m.name), "does not go with %s", what)
		}
	}
}

func (c *conditionCheck) leaf(n *Condition, at string, windowed bool) {
	c.leaves++
	if n.Count < 1 || n.Count > MaxCount {
		c.faults.add(memberAt(at, "count"), "must be from 1 to %d", MaxCount)
	} else if n.Count > 1 && n.Within == 0 && !windowed {
		c.faults.add(memberAt(at, "within"), "is required for a count above 1: neither the event nor a condition around it has one")
	}
	checkTitle(c.faults, memberAt(at, "name"), n.Name)
	if n.Distinct != nil && *n.Distinct == (Path{}) {
		c.faults.add(memberAt(at, "distinct"), "must be a path")
	}
	n.Key.check(c.faults, memberAt(at, "key"))
	for _, part := range n.Key {
		if _, ok := c.trigger.Key.path(part.Name); !ok {
			c.faults.add(memberAt(memberAt(at, "key"), part.Name), "is not a name of the trigger's key: %s", c.trigger.Key.listNames())
		}
	}
}
