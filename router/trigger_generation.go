package router

import (
	"slices"
)

// SameGeneration tells whether what is recorded for one definition of a trigger is good for another: their conditions, keys, clocks and events that
// reset mean the same (design.md, Triggers, rule 12). How they are written does not count: the order of members, a default that is spelled out, 1 or
// 1.0 in a filter.
func SameGeneration(a, b Trigger) bool { return string(a.meaning()) == string(b.meaning()) }

// meaning is what a generation depends on, as appendCanonical writes it, defaults and inherited windows and paths spelled out.
func (t Trigger) meaning() []byte {
	w := &jsonWriter{}
	w.open('{')
	w.text("clock", string(t.Clock))
	when := t.When.spelledOut("when", 0, t.Key)
	w.condition("when", &when)
	var resets []Condition
	for i := range t.ResetOn {
		resets = append(resets, t.ResetOn[i].spelledOut(itemAt("reset_on", i), 0, t.Key))
	}
	w.conditions("reset_on", resets)
	w.close('}')
	return canonicalText(w.b)
}

// spelledOut is the condition with everything at the leaves that they take from elsewhere. The window is that of the nearest node around that has one.
func (c *Condition) spelledOut(at string, window Duration, key KeyPaths) Condition {
	full := *c
	if c.Kind == EventCondition {
		full.Name, full.Within, full.Key = c.nameAt(at), c.window(window), c.keyPaths(key)
		return full
	}
	if c.Within > 0 {
		window = c.Within
	}
	full.Children = slices.Clone(c.Children)
	for i := range full.Children {
		full.Children[i] = c.Children[i].spelledOut(c.childAt(at, i), window, key)
	}
	return full
}

// EqualTriggers tells whether two triggers are defined alike: id, version, generation and times do not count, nor how they are written.
func EqualTriggers(a, b Trigger) bool {
	sameOrder := slices.EqualFunc(a.Key, b.Key, func(a, b KeyPath) bool { return a.Name == b.Name }) // it shows in subjects
	return sameOrder && string(canonicalText(a.appendDefinition(nil))) == string(canonicalText(b.appendDefinition(nil)))
}

// Definition gives the definition, without what only the server sets, as maps and lists to print as JSON or YAML. Definitions that EqualTriggers holds
// equal give equal maps. It is nil for a definition with a filter that is not JSON.
func (t Trigger) Definition() map[string]any {
	v, err := parseJSON(t.appendDefinition(nil), &docFaults{})
	if err != nil {
		return nil
	}
	definition, _ := v.plain().(map[string]any)
	return definition
}

// appendDefinition appends the JSON of what a document would say.
func (t Trigger) appendDefinition(dst []byte) []byte {
	w := &jsonWriter{dst}
	w.open('{')
	t.write(w)
	w.close('}')
	return w.b
}

// canonicalText is a JSON text as appendCanonical writes it. What is not JSON stays as it is: a filter made by Go code that Validate would refuse.
func canonicalText(text []byte) []byte {
	v, err := parseJSON(text, &docFaults{})
	if err != nil {
		return text
	}
	return appendCanonical(nil, v)
}
