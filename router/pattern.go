package router

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a pattern.
const (
	MaxPatternBytes    = 16 << 10
	MaxPatternValues   = 2000 // items of value lists, in all
	MaxPatternBranches = 1000 // combinations that $or makes, as EventBridge has it
	MaxPatternFields   = 256  // of one combination, as EventBridge has it
)

// pattern is an event pattern in the style of Amazon EventBridge (its user guide, "Amazon EventBridge event patterns"; the rules in detail are
// those of github.com/aws/event-ruler, which EventBridge runs on). It matches what one of its branches matches; without any it matches everything.
type pattern []branch

// branch is one combination of the alternatives of $or: fields that must all match, in the order of their paths, which decides what
// {"exists": false} sees of arrays.
type branch []field

// field is what a pattern wants at one path.
type field struct {
	place  int    // of the path in the filter's list
	absent bool   // {"exists": false} is among the alternatives
	tests  []test // any of them
	path   string
	wanted string // as the pattern has it
}

func compilePattern(faults *docFaults, raw json.RawMessage) pattern {
	const at = "pattern"
	if isNull(raw) {
		return nil
	}
	if len(raw) > MaxPatternBytes {
		faults.add(at, "has %d bytes; at most %d are possible", len(raw), MaxPatternBytes)
		return nil
	}
	n, err := parseSyntax(raw)
	if err != nil {
		faults.add(at, "%s", err)
		return nil
	}
	return compilePatternAt(faults, n, at)
}

// compilePatternAt compiles a pattern twice where need be: as EventBridge does, it takes $or for the name of a field where it can't mean alternatives.
func compilePatternAt(faults *docFaults, n syntaxNode, at string) pattern {
	c := patternCompiler{faults: &docFaults{}}
	p := c.compile(n, at)
	if len(c.faults.problems) == 0 {
		return p
	}
	plain := patternCompiler{faults: &docFaults{}, plain: true}
	if p := plain.compile(n, at); len(plain.faults.problems) == 0 {
		return p
	}
	for _, problem := range c.faults.problems {
		faults.add(problem.Location, "%s", problem.Message)
	}
	return nil
}

// patternCompiler turns a pattern's JSON into branches.
type patternCompiler struct {
	faults *docFaults
	plain  bool // $or is the name of a field
	values int
}

func (c *patternCompiler) compile(n syntaxNode, at string) pattern {
	if n.kind != jsontext.KindBeginObject {
		c.faults.add(at, "must be an object, not %s", n.typeName())
		return nil
	}
	p := pattern(c.object([]branch{nil}, n, nil, at))
	if c.values > MaxPatternValues {
		c.faults.add(at, "has %d values; at most %d are possible", c.values, MaxPatternValues)
	}
	for i, b := range p {
		slices.SortFunc(b, func(a, b field) int { return strings.Compare(a.path, b.path) })
		p[i] = b.packed()
	}
	return p
}

// object adds the fields of an object to each branch. What stands later replaces what is at the same path, as in EventBridge.
func (c *patternCompiler) object(branches []branch, n syntaxNode, path []string, at string) []branch {
	if len(n.members) == 0 {
		c.faults.add(at, "must not be an empty object")
	}
	for _, m := range n.members {
		at := memberAt(at, m.name)
		switch {
		case m.name == "$or" && !c.plain:
			branches = c.or(branches, m.value, path, at)
		case m.value.kind == jsontext.KindBeginObject:
			branches = c.object(branches, m.value, append(slices.Clip(path), m.name), at)
		case m.value.kind == jsontext.KindBeginArray:
			f := c.valueList(m.value, at)
			f.path = strings.Join(append(slices.Clip(path), m.name), ".")
			c.add(branches, f)
		default:
			c.faults.add(at, "must be an array of values, or an object, not %s", m.value.typeName())
		}
	}
	return branches
}

// add gives each branch a field, in the place of the one at the same path.
func (c *patternCompiler) add(branches []branch, f field) {
	for i, b := range branches {
		same := slices.IndexFunc(b, func(old field) bool { return old.path == f.path })
		switch {
		case same >= 0:
			b[same] = f
		case len(b) == MaxPatternFields:
			c.faults.spoil("pattern", "has more than %d fields that must match together", MaxPatternFields)
			return
		default:
			branches[i] = append(b, f)
		}
	}
}

// or multiplies the branches by the alternatives of $or.
func (c *patternCompiler) or(branches []branch, n syntaxNode, path []string, at string) []branch {
	if n.kind != jsontext.KindBeginArray || len(n.members) < 2 {
		c.faults.add(at, "must be an array of at least two objects")
		return branches
	}
	if len(branches)*len(n.members) > MaxPatternBranches {
		c.faults.add(at, "makes more than %d combinations", MaxPatternBranches)
		return branches
	}
	var all []branch
	for i, m := range n.members {
		all = append(all, c.alternative(branches, m.value, path, itemAt(at, i))...)
	}
	if len(all) > MaxPatternBranches {
		c.faults.add(at, "makes more than %d combinations", MaxPatternBranches)
		return branches
	}
	return all
}

// alternative adds one object of $or to copies of the branches.
func (c *patternCompiler) alternative(branches []branch, n syntaxNode, path []string, at string) []branch {
	if n.kind != jsontext.KindBeginObject {
		c.faults.add(at, "must be an object, not %s", n.typeName())
		return nil
	}
	c.reserved(n, at)
	copies := make([]branch, len(branches))
	for i, b := range branches {
		copies[i] = slices.Clone(b)
	}
	return c.object(copies, n, path, at)
}

// reserved refuses names that EventBridge keeps for itself, wherever they are within $or.
func (c *patternCompiler) reserved(n syntaxNode, at string) {
	for _, m := range n.members {
		at := memberAt(at, m.name)
		switch m.name {
		case "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard", "numeric", "cidr",
			"=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case",
			"date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range",
			"ip-address-in-range", "ip-address-not-in-range":
			c.faults.add(at, "is a name that a field within $or can't have")
		}
		if m.value.kind == jsontext.KindBeginObject {
			c.reserved(m.value, at)
		}
	}
}

// packed copies the branch to memory that is read at one go.
func (b branch) packed() branch {
	var tests []test
	for _, f := range b {
		tests = append(tests, f.tests...)
	}
	b, tests = slices.Clone(b), slices.Clone(tests)
	for i := range b {
		n := len(b[i].tests)
		b[i].tests, tests = tests[:n:n], tests[n:]
	}
	return b
}

// match tells whether the event a View shows matches; slots are those of the filter's paths.
func (p pattern) match(v *View, slots []slot) bool {
	for _, b := range p {
		if b.match(v, slots) {
			return true
		}
	}
	return len(p) == 0
}

// match tells whether every field has a value, or rightly none, and all of them together agree on elements of arrays.
func (b branch) match(v *View, slots []slot) bool {
	for i := range b {
		if f := &b[i]; !f.match(v, slots[f.place]) {
			return false
		}
	}
	return len(v.elements) == 0 || v.join.run(v, b, slots)
}

// match tells whether a field matches by itself.
func (f *field) match(v *View, s slot) bool {
	number := v.first(s)
	if number == 0 || f.absent && len(v.elements) > 0 {
		return f.absent // where there are arrays, whether a value counts depends on the other fields
	}
	for ; number != 0 && v.step(); number = v.at(number).next {
		if f.pass(v.at(number)) {
			return true
		}
	}
	return false
}

// pass tells whether a value passes one of the tests.
func (f *field) pass(v *value) bool {
	for _, t := range f.tests {
		if t.pass(v) {
			return true
		}
	}
	return false
}
