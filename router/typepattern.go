package router

import (
	"fmt"
	"strings"
)

// MaxTypePatternBytes is the longest type pattern.
const MaxTypePatternBytes = 1 << 10

// anyType is the pattern that matches every type.
const anyType = "*"

// TypePattern is a pattern over the dot-separated segments of an event's type. A segment `*` stands for exactly one segment, as the
// last one for one or more that remain; the pattern `*` alone matches every type. `order.*` matches order.paid and order.paid.eu, not
// order, not orders.paid; `order.*.eu` matches order.paid.eu only. But for `*` alone, a star never covers an empty segment.
//
// It is the only matcher of types there is: subscriptions, triggers, tailing, Go handlers and API keys go by it. The zero
// TypePattern matches nothing.
type TypePattern struct{ text string }

// ParseTypePattern reads a pattern. The error is an *Error (Invalid) that says what is ill-formed: an empty segment, a star inside a
// segment, characters that no type can have, or a pattern longer than MaxTypePatternBytes.
func ParseTypePattern(s string) (TypePattern, error) {
	if fault := typePatternFault(s); fault != "" {
		return TypePattern{}, Errorf(Invalid, "type pattern %s %s", quoteShort(s), fault)
	}
	return TypePattern{s}, nil
}

// typePatternFault says what is wrong with a pattern, "" for a good one.
func typePatternFault(s string) string {
	switch {
	case s == "":
		return "must not be empty"
	case len(s) > MaxTypePatternBytes:
		return fmt.Sprintf("must have at most %d bytes", MaxTypePatternBytes)
	case textFault(s) != "":
		return textFault(s)
	case hasEmptySegment(s):
		return "must not have an empty segment"
	}
	for segment := range strings.SplitSeq(s, ".") {
		if segment != "*" && strings.Contains(segment, "*") {
			return "must have a star only as a whole segment"
		}
	}
	return ""
}

// hasEmptySegment tells whether a pattern or type is empty, starts or ends with a dot, or has two in a row.
func hasEmptySegment(s string) bool {
	return s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..")
}

// String returns the pattern as it was written.
func (p TypePattern) String() string { return p.text }

// isExact tells whether the pattern has no star, so that it matches one type only.
func (p TypePattern) isExact() bool { return !strings.Contains(p.text, "*") }

// Match tells whether the pattern matches a type.
func (p TypePattern) Match(eventType string) bool {
	switch {
	case p.text == anyType:
		return true
	case p.isExact():
		return p.text == eventType && p.text != ""
	case hasEmptySegment(eventType): // no star covers the empty segment, and no pattern spells one
		return false
	}
	return matchSegments(p.text, eventType)
}

// matchSegments matches a pattern and a type, neither of which has an empty segment.
func matchSegments(pattern, eventType string) bool {
	for {
		want, wanted, more := strings.Cut(pattern, ".")
		got, left, remains := strings.Cut(eventType, ".")
		switch {
		case want == "*" && !more:
			return true
		case want != "*" && want != got:
			return false
		case !more || !remains:
			return more == remains
		}
		pattern, eventType = wanted, left
	}
}
