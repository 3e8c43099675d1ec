package router

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// valueList reads the list of what a field may be. What EventBridge refuses, it refuses.
func (c *patternCompiler) valueList(n syntaxNode, at string) field {
	f := field{wanted: n.raw}
	if len(n.members) == 0 {
		c.faults.add(at, "must not be an empty array")
	}
	for i, m := range n.members {
		c.values++
		c.value(&f, m.value, itemAt(at, i))
	}
	return f
}

// value reads one item of a value list.
func (c *patternCompiler) value(f *field, n syntaxNode, at string) {
	switch n.kind {
	case jsontext.KindBeginObject:
		c.expression(f, n, at)
	case jsontext.KindBeginArray:
		c.faults.add(at, "must be a string, number, true, false or null, or an object with one match type, not an array")
	default:
		f.tests = append(f.tests, equalityTest(n))
	}
}

// equalityTest tests for a scalar. A string that spells an IP address stands for the address.
func equalityTest(n syntaxNode) test {
	if a, ok := parseAddress(n.text); ok {
		return addressTest(a)
	}
	return scalarTest(n)
}

// scalarTest tests for a scalar as it stands.
func scalarTest(n syntaxNode) test {
	switch n.kind {
	case jsontext.KindString:
		return textTest{stringKind, n.text}
	case jsontext.KindNumber:
		if x, ok := comparableNumber(n.raw); ok {
			return numberTest(x)
		}
		return textTest{numberKind, n.raw}
	}
	return textTest{literalKind, n.raw}
}

// expression reads {"prefix": "a"} and its like.
func (c *patternCompiler) expression(f *field, n syntaxNode, at string) {
	m, ok := n.only()
	if !ok {
		c.faults.add(at, `must have exactly one match type, such as {"prefix": "a"}`)
		return
	}
	at = memberAt(at, m.name)
	if m.name == "exists" {
		c.exists(f, m.value, at)
		return
	}
	if t := c.expressionTest(m, at); t != nil {
		f.tests = append(f.tests, t)
	}
}

// expressionTest makes the test of a match type; nil: it is refused.
func (c *patternCompiler) expressionTest(m syntaxMember, at string) test {
	switch n := m.value; m.name {
	case "prefix", "suffix":
		return c.affix(m.name, n, at)
	case "exactly", "equals-ignore-case", "wildcard":
		return c.textual(m.name, n, at)
	case "anything-but":
		return c.anythingBut(n, at)
	case "numeric":
		return c.numeric(n, at)
	case "cidr":
		return c.network(n, at)
	}
	c.faults.add(at, "is not a match type; prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, exists and cidr are")
	return nil
}

func (c *patternCompiler) exists(f *field, n syntaxNode, at string) {
	switch n.kind {
	case jsontext.KindTrue:
		f.tests = append(f.tests, existsTest{})
	case jsontext.KindFalse:
		f.absent = true
	default:
		c.faults.add(at, "must be true or false, not %s", n.typeName())
	}
}

// affix reads a prefix or suffix: a string, or {"equals-ignore-case": "…"}.
func (c *patternCompiler) affix(name string, n syntaxNode, at string) test {
	if n.kind != jsontext.KindBeginObject {
		return c.textual(name, n, at)
	}
	m, ok := n.only()
	if !ok || m.name != "equals-ignore-case" {
		c.faults.add(at, `must be a string, or {"equals-ignore-case": "…"}`)
		return nil
	}
	return c.textual(name+"-"+m.name, m.value, memberAt(at, m.name))
}

// textual reads a match type that takes one string.
func (c *patternCompiler) textual(name string, n syntaxNode, at string) test {
	if n.kind != jsontext.KindString {
		c.faults.add(at, "must be a string, not %s", n.typeName())
		return nil
	}
	switch name {
	case "prefix":
		return prefixTest(n.text)
	case "suffix":
		return suffixTest(n.text)
	case "prefix-equals-ignore-case":
		return foldPrefixTest(n.text)
	case "suffix-equals-ignore-case":
		return foldSuffixTest(n.text)
	case "equals-ignore-case":
		return foldTest(n.text)
	case "wildcard":
		w, err := parseWildcard(n.text)
		if err != nil {
			c.faults.add(at, "%s", err)
			return nil
		}
		return wildcardTest{w}
	}
	return textTest{stringKind, n.text} // exactly
}

// anythingBut reads what a value must not be: a string or number, a list of either, or one match type with a string or a list of strings.
func (c *patternCompiler) anythingBut(n syntaxNode, at string) test {
	switch n.kind {
	case jsontext.KindString, jsontext.KindNumber:
		return c.except([]syntaxMember{{value: n}}, at, func(int) string { return at })
	case jsontext.KindBeginArray:
		return c.except(n.members, at, func(i int) string { return itemAt(at, i) })
	case jsontext.KindBeginObject:
		if m, ok := n.only(); ok && slices.Contains([]string{"prefix", "suffix", "equals-ignore-case", "wildcard"}, m.name) {
			return c.exceptTextual(m, memberAt(at, m.name))
		}
	}
	c.faults.add(at, "must be a string, a number, a list of either, or an object with one of prefix, suffix, equals-ignore-case and wildcard")
	return nil
}

// except reads strings, or numbers, that a value must not be.
func (c *patternCompiler) except(list []syntaxMember, at string, itemAt func(int) string) test {
	var t exceptTest
	if len(list) == 0 {
		c.faults.add(at, "must not be an empty array")
	}
	for i, m := range list {
		n := m.value
		switch {
		case n.kind != jsontext.KindString && n.kind != jsontext.KindNumber:
			c.faults.add(itemAt(i), "must be a string or a number, not %s", n.typeName())
		case n.kind != list[0].value.kind:
			c.faults.add(itemAt(i), "must be of the same type as the others: all are strings, or all are numbers")
		case n.kind == jsontext.KindNumber:
			c.comparable(n, itemAt(i))
		}
		c.values++
		t = append(t, scalarTest(n))
	}
	return t
}

// exceptTextual reads {"prefix": …} and its like within anything-but.
func (c *patternCompiler) exceptTextual(m syntaxMember, at string) test {
	if m.value.kind != jsontext.KindBeginArray {
		return exceptTest{c.exceptOne(m.name, m.value, at)}
	}
	var t exceptTest
	for i, item := range m.value.members {
		c.values++
		t = append(t, c.exceptOne(m.name, item.value, itemAt(at, i)))
	}
	if len(t) == 0 {
		c.faults.add(at, "must not be an empty array")
	}
	return t
}

func (c *patternCompiler) exceptOne(name string, n syntaxNode, at string) test {
	if n.kind == jsontext.KindString && n.text == "" && (name == "prefix" || name == "suffix") {
		c.faults.add(at, "must not be empty")
	}
	return c.textual(name, n, at)
}

// comparable reads a number that is to be compared by value.
func (c *patternCompiler) comparable(n syntaxNode, at string) float64 {
	if n.kind != jsontext.KindNumber {
		c.faults.add(at, "must be a number, not %s", n.typeName())
		return 0
	}
	x, ok := comparableNumber(n.raw)
	if !ok {
		c.faults.add(at, "is a number that can't be compared, for it has more digits than a double holds")
	}
	return x
}

// numeric reads one comparison, or the two of a range: ["=", 5], ["<", 5], [">=", 1, "<", 5].
func (c *patternCompiler) numeric(n syntaxNode, at string) test {
	if n.kind != jsontext.KindBeginArray {
		c.faults.add(at, "must be an array of an operator and a number, and perhaps a second pair, not %s", n.typeName())
		return nil
	}
	t := rangeTest{low: math.Inf(-1), high: math.Inf(1)}
	switch len(n.members) {
	case 2:
		c.bound(&t, n.members, 0, at, "=", "<", "<=", ">", ">=")
	case 4:
		c.bound(&t, n.members, 0, at, ">", ">=")
		c.bound(&t, n.members, 2, at, "<", "<=")
		if t.low >= t.high {
			c.faults.add(at, "must be a range whose lower bound is less than its upper bound")
		}
	default:
		c.faults.add(at, "must have an operator and a number, and perhaps a second pair")
	}
	if t.low == t.high {
		return numberTest(t.low)
	}
	return t
}

// bound reads an operator, one of those allowed, and its number, which stand at place i of a numeric expression.
func (c *patternCompiler) bound(t *rangeTest, list []syntaxMember, i int, at string, allowed ...string) {
	op := list[i].value
	if op.kind != jsontext.KindString || !slices.Contains(allowed, op.text) {
		c.faults.add(itemAt(at, i), "must be one of the operators %s here", strings.Join(allowed, ", "))
	}
	x := c.comparable(list[i+1].value, itemAt(at, i+1))
	switch op.text {
	case "=":
		t.low, t.high = x, x
	case ">", ">=":
		t.low, t.lowOpen = x, op.text == ">"
	case "<", "<=":
		t.high, t.highOpen = x, op.text == "<"
	}
}

// network reads an IP network.
func (c *patternCompiler) network(n syntaxNode, at string) test {
	if n.kind != jsontext.KindString {
		c.faults.add(at, "must be a string, not %s", n.typeName())
		return nil
	}
	prefix, err := parseNetwork(n.text)
	if err != nil {
		c.faults.add(at, "%s", err)
	}
	return networkTest(prefix)
}

// parseNetwork reads an IP network as EventBridge does, which takes none of a single address. The error says what is wrong, for the eyes of a caller.
func parseNetwork(s string) (netip.Prefix, error) {
	address, mask, ok := strings.Cut(s, "/")
	if !ok {
		return netip.Prefix{}, fmt.Errorf(`must be a network with a mask, such as "10.0.0.0/24"`)
	}
	bits, err := strconv.Atoi(mask)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("must have a whole number of mask bits after the slash")
	}
	a, ok := parseAddress(address)
	if !ok {
		return netip.Prefix{}, fmt.Errorf("must have an IPv4 or IPv6 address before the slash")
	}
	if bits < 0 || bits >= a.BitLen() {
		return netip.Prefix{}, fmt.Errorf("must have from 0 to %d mask bits", a.BitLen()-1)
	}
	return netip.PrefixFrom(a, bits).Masked(), nil
}
