package router

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Limits of a wildcard, by EventBridge's measure of it: how many of its beginnings one text can fit at the same time. EventBridge does not say where
// it draws the line; it takes what measures 7 and refuses what measures 11.
const (
	maxWildcardComplexity = 10
	maxWildcardStates     = 1 << 12 // looked at to find that out; a wildcard that has more is too complex, too
)

const tooComplex = "is too complex: use fewer stars, or fewer repeated sequences of characters after a star"

// wildcard is a wildcard's literal parts; between two of them there is a star, which stands for any text.
type wildcard []string

// parseWildcard reads a wildcard, in which `\*` and `\\` stand for a star and a backslash. The error says what is wrong, for the eyes of a caller.
func parseWildcard(s string) (wildcard, error) {
	var w wildcard
	var part strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '*' && strings.HasPrefix(s[i+1:], "*"):
			return nil, fmt.Errorf("must not have two stars in a row, as at byte %d", i)
		case s[i] == '*':
			w = append(w, part.String())
			part.Reset()
			continue
		case s[i] == '\\':
			if i++; i == len(s) || s[i] != '*' && s[i] != '\\' {
				return nil, fmt.Errorf(`must have only a star or a backslash after a backslash, other than at byte %d`, i-1)
			}
		}
		part.WriteByte(s[i])
	}
	w = append(w, part.String())
	if w.complexity(maxWildcardComplexity) > maxWildcardComplexity {
		return nil, errors.New(tooComplex)
	}
	return w, nil
}

// match tells whether a text fits.
func (w wildcard) match(text string) bool {
	if len(w) == 1 {
		return text == w[0]
	}
	text, ok := strings.CutPrefix(text, w[0])
	if !ok {
		return false
	}
	last := len(w) - 1
	for _, part := range w[1:last] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return strings.HasSuffix(text, w[last])
}

// complexity is the most beginnings that one text fits at the same time, or some number above most if there are more.
func (w wildcard) complexity(most int) int {
	a := newWildcardAutomaton(w)
	seen := map[string]bool{}
	found := 1
	for queue := []wildcardStates{{0}}; len(queue) > 0; queue = queue[1:] {
		for _, c := range a.next(queue[0]) {
			to := a.step(queue[0], c)
			if found = max(found, len(to)); found > most || len(seen) > maxWildcardStates {
				return most + 1
			}
			if key := to.key(); !seen[key] {
				seen[key] = true
				queue = append(queue, to)
			}
		}
	}
	return found
}

// wildcardAutomaton reads texts in quotes, as EventBridge does. In its state number i what stands before place i has been read.
type wildcardAutomaton struct {
	places []int // a byte, or anyByte for a star
}

// anyByte is a star, and any byte that the wildcard does not spell.
const anyByte = -1

func newWildcardAutomaton(w wildcard) wildcardAutomaton {
	a := wildcardAutomaton{places: []int{'"'}}
	for i, part := range w {
		if i > 0 {
			a.places = append(a.places, anyByte)
		}
		for _, c := range []byte(part) {
			a.places = append(a.places, int(c))
		}
	}
	a.places = append(a.places, '"')
	return a
}

// wildcardStates is a set of states, in ascending order.
type wildcardStates []uint32

func (s wildcardStates) key() string {
	var b []byte
	for _, i := range s {
		b = binary.BigEndian.AppendUint32(b, i)
	}
	return string(b)
}

// next is the bytes that make a difference in some states.
func (a wildcardAutomaton) next(from wildcardStates) []int {
	bytes := []int{anyByte}
	for _, i := range from {
		if int(i) < len(a.places) && !slices.Contains(bytes, a.places[i]) {
			bytes = append(bytes, a.places[i])
		}
	}
	return bytes
}

// step is the states after one more byte.
func (a wildcardAutomaton) step(from wildcardStates, c int) (to wildcardStates) {
	for _, i := range from {
		if i > 0 && a.places[i-1] == anyByte {
			to = append(to, i)
		}
		if c == anyByte || int(i) == len(a.places) || a.places[i] != c {
			continue
		}
		if to = append(to, i+1); int(i)+1 < len(a.places) && a.places[i+1] == anyByte {
			to = append(to, i+2) // the star may stand for nothing
		}
	}
	slices.Sort(to)
	return slices.Compact(to)
}
