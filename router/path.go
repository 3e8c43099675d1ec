package router

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxPathBytes is the longest path.
const MaxPathBytes = 1 << 10

// Path says where an event has a value: an attribute (`subject`, `region`), or a place in the payload by names and by numbers of array items, from 0
// (`data.order.id`, `data.items[0].sku`, `data["a.b"]`, `data`). Paths that mean the same are equal. The zero Path is not valid.
type Path struct {
	text string // in its canonical form, so that == compares what is meant
}

// pathStep leads from a value of the payload to one in it: a member's name, or an item's number.
type pathStep struct {
	name  string
	index int // -1: by name
}

// ParsePath reads a path. The error is an *Error (Invalid) that says what is ill-formed.
func ParsePath(s string) (Path, error) {
	p, fault := parsePath(s)
	if fault != "" {
		return Path{}, Errorf(Invalid, "%s", fault)
	}
	return p, nil
}

// parsePath also says what is wrong, "" for a good path.
func parsePath(s string) (p Path, fault string) {
	if len(s) > MaxPathBytes {
		return Path{}, "must have at most " + strconv.Itoa(MaxPathBytes) + " bytes"
	}
	if !utf8.ValidString(s) {
		return Path{}, "must be valid UTF-8"
	}
	end := strings.IndexAny(s, ".[")
	if end < 0 {
		end = len(s)
	}
	first, rest := s[:end], s[end:]
	switch {
	case first == dataPath:
	case !isAttributeName(first):
		return Path{}, quoteShort(first) + ` is not the name of an attribute; paths into the payload begin with "data"`
	case rest != "":
		return Path{}, "goes on after the attribute " + first + `; only "data" has parts`
	}
	text := []byte(first)
	for rest != "" {
		var step pathStep
		if step, rest, fault = cutStep(rest); fault != "" {
			return Path{}, fault
		}
		text = step.append(text)
	}
	return Path{string(text)}, ""
}

// isAttributeName tells whether an event can have an attribute of that name.
func isAttributeName(name string) bool {
	return name != "data_base64" && (isReservedName(name) || nameFault(name) == "")
}

// cutStep takes the first step off what follows "data".
func cutStep(s string) (step pathStep, rest, fault string) {
	if s[0] == '.' {
		end := strings.IndexFunc(s[1:], isNotPlain) + 1
		if end == 0 {
			end = len(s)
		}
		if end == 1 {
			return step, "", `needs a name after each dot, or ["…"] around one with other characters`
		}
		return pathStep{s[1:end], -1}, s[end:], ""
	}
	if s[0] != '[' {
		return step, "", `needs a dot or a bracket before ` + quoteShort(s)
	}
	if strings.HasPrefix(s, `["`) {
		return cutQuoted(s)
	}
	number, rest, closed := strings.Cut(s[1:], "]")
	n, err := strconv.ParseInt(number, 10, 32)
	if !closed || err != nil || n < 0 || strconv.FormatInt(n, 10) != number {
		return step, "", `needs the number of an item, such as [0], or a name, such as ["a.b"], between brackets`
	}
	return pathStep{index: int(n)}, rest, ""
}

// cutQuoted takes off a step such as ["a.b"].
func cutQuoted(s string) (step pathStep, rest, fault string) {
	end := 2
	for ; end < len(s) && s[end] != '"'; end++ {
		if s[end] == '\\' {
			end++
		}
	}
	if end+1 >= len(s) || s[end+1] != ']' {
		return step, "", `has ["… without "]`
	}
	name, err := jsontext.AppendUnquote(nil, s[1:end+1])
	if err != nil {
		return step, "", "has a name between brackets that is not a JSON string"
	}
	return pathStep{string(name), -1}, s[end+2:], ""
}

// isNotPlain tells whether a character can't stand in a name without brackets.
func isNotPlain(r rune) bool {
	return strings.ContainsRune(`.[]"\`, r) || unicode.IsSpace(r) || !unicode.IsPrint(r)
}

// append writes the step in its canonical form.
func (s pathStep) append(text []byte) []byte {
	switch {
	case s.index >= 0:
		return append(strconv.AppendInt(append(text, '['), int64(s.index), 10), ']')
	case s.name != "" && strings.IndexFunc(s.name, isNotPlain) < 0:
		return append(append(text, '.'), s.name...)
	}
	text, _ = jsontext.AppendQuote(append(text, '['), s.name)
	return append(text, ']')
}

// String gives the path in its canonical form, which ParsePath reads.
func (p Path) String() string { return p.text }

// attribute gives the name of the attribute that the path names; ok is false for a path into the payload.
func (p Path) attribute() (name string, ok bool) {
	return p.text, p.text != dataPath && !strings.HasPrefix(p.text, dataPath+".") && !strings.HasPrefix(p.text, dataPath+"[")
}

// steps lead through the payload to what the path names.
func (p Path) steps() []pathStep {
	var steps []pathStep
	for rest := strings.TrimPrefix(p.text, dataPath); rest != ""; {
		var step pathStep
		step, rest, _ = cutStep(rest) // there are no faults in a canonical path
		steps = append(steps, step)
	}
	return steps
}

// lastName is the last segment of the path, the name that it is known by where no other is given; "" where that is an item's number.
func (p Path) lastName() string {
	if name, ok := p.attribute(); ok {
		return name
	}
	steps := p.steps()
	if len(steps) == 0 {
		return dataPath
	}
	return steps[len(steps)-1].name
}

// PathStep leads from a value of a payload to one in it: to a member by its name, or, where Index is not negative, to an item by its number.
type PathStep struct {
	Name  string
	Index int
}

// Payload gives the steps that lead through the payload; ok is false for a path that names an attribute.
func (p Path) Payload() (steps []PathStep, ok bool) {
	if _, attribute := p.attribute(); attribute {
		return nil, false
	}
	for _, s := range p.steps() {
		steps = append(steps, PathStep{s.name, s.index})
	}
	return steps, true
}
