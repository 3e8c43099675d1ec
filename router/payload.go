package router

import "sync"

// View is an event as filters see it: a JSON object with the attributes at the top and the payload under "data". It decodes the payload when
// a filter first asks for something in it, in one pass over its text that keeps only what some filter of the index asks for.
//
// The payload is the JSON of an event with JSONData, a string for TextData, and for BinaryData of a JSON media type what the bytes say, if they
// are JSON. In all other cases, and where it nests deeper than MaxPayloadDepth, it is absent. A name that an object has twice counts as two
// values of one field.
//
// A View is for one goroutine. It can be used again for another event: by itself with Reset, or by whoever calls NewView after Release.
type View struct {
	event    Event
	document string // in place of event: a whole JSON document, for tests
	steps    int    // values looked at
	gaveUp   bool

	paths           *paths
	attributesTaken bool
	payloadTaken    bool
	chains          []chain // by a slot's number
	filled          []slot  // those that have values
	values          []value
	elements        []element // of arrays, in the order of the document; a number n stands for elements[n-1], 0 for no element
	arrays          []array

	join    joint // scratch
	visited map[*indexNode]struct{}
}

// chain is the list of the values of one path, in the order of the document: numbers of values, counted from 1.
type chain struct{ first, last int32 }

// valueKind is the type of a scalar JSON value.
type valueKind uint8

const (
	stringKind valueKind = iota
	numberKind
	literalKind // true, false, null
)

// value is a scalar of the event.
type value struct {
	kind    valueKind
	text    string // of a string: what it says; else the JSON text
	element int32  // the innermost array element around it that is an object or array itself
	next    int32  // the next one of its chain, 0: none
}

// element is an object or array that is an element of an array.
type element struct {
	parent int32 // the element around that array
	array  int32
	last   int32 // the last element within it, at any depth
}

// array is the range of the elements within an array, at any depth.
type array struct{ first, last int32 }

// viewPool holds Views that were released.
var viewPool = sync.Pool{New: func() any { return &View{} }}

// NewView gives a View of an event.
func NewView(e Event) *View {
	v := viewPool.Get().(*View)
	v.Reset(e)
	return v
}

// Release gives the View back; it must not be used any more.
func (v *View) Release() {
	v.Reset(Event{})
	viewPool.Put(v)
}

// keepValues is how much of a View's buffers survives Reset: more is for rare, large payloads.
const keepValues = 1 << 12

// Reset turns the View to another event.
func (v *View) Reset(e Event) {
	v.forget()
	v.event, v.document, v.steps, v.gaveUp = e, "", 0, false
}

// resetToDocument turns the View to a JSON document that stands for a whole event.
func (v *View) resetToDocument(text string) {
	v.Reset(Event{})
	v.document = text
}

// MaxMatchSteps is how many values are looked at, over and over, on behalf of one event and all filters. Only an event with thousands of values
// in arrays that many filters name can come near it.
const MaxMatchSteps = 1 << 24

// GaveUp tells whether matching the event was cut short, at MaxMatchSteps or, for one pattern, at MaxJoinSteps: then filters that match may have been
// missed.
func (v *View) GaveUp() bool { return v.gaveUp }

// step counts a value that is looked at; false: there have been too many.
func (v *View) step() bool {
	v.steps++
	v.gaveUp = v.gaveUp || v.steps > MaxMatchSteps
	return v.steps <= MaxMatchSteps
}

// forget drops the values.
func (v *View) forget() {
	if cap(v.values) > keepValues || cap(v.elements) > keepValues {
		v.values, v.elements, v.arrays, v.join, v.visited = nil, nil, nil, joint{}, nil
	}
	v.dropFrom(0, 0)
	clear(v.visited)
	v.attributesTaken, v.payloadTaken = false, false
}

// dropFrom drops the values from a place on, and the slots that were filled from a place on.
func (v *View) dropFrom(filled, values int) {
	for _, s := range v.filled[filled:] {
		v.chains[s.number()] = chain{}
	}
	clear(v.values[values:]) // strings of the event that would stay in memory
	v.filled, v.values = v.filled[:filled], v.values[:values]
	v.elements, v.arrays = v.elements[:0], v.arrays[:0]
}

// use says where to look. What was found elsewhere is forgotten, so that a View decodes again when it goes from one index to another.
func (v *View) use(p *paths) {
	if v.paths == p {
		return
	}
	v.forget()
	v.paths = p
	if missing := p.slots() - len(v.chains); missing > 0 {
		v.chains = append(v.chains, make([]chain, missing)...)
	}
}

// first is the first value of a slot's chain, 0: there is none.
func (v *View) first(s slot) int32 {
	if s.inPayload() {
		v.takePayload()
	} else {
		v.takeAttributes()
	}
	return v.chains[s.number()].first
}

// at is the value of a number.
func (v *View) at(number int32) *value { return &v.values[number-1] }

func (v *View) add(s slot, kind valueKind, text string, element int32) {
	v.values = append(v.values, value{kind: kind, text: text, element: element})
	number := int32(len(v.values))
	c := &v.chains[s.number()]
	if c.first == 0 {
		c.first = number
		v.filled = append(v.filled, s)
	} else {
		v.at(c.last).next = number
	}
	c.last = number
}

// takeAttributes puts the attributes that somebody asks for in their slots.
func (v *View) takeAttributes() {
	if v.attributesTaken {
		return
	}
	v.attributesTaken = true
	if v.document != "" {
		v.takeDocument()
		return
	}
	if v.paths.root.children.size == 0 {
		return
	}
	for _, name := range [...]string{"id", "source", "specversion", "type", "subject", "time", "datacontenttype", "dataschema"} {
		v.takeAttribute(name)
	}
	for _, x := range v.event.fields().Extensions {
		v.takeAttribute(x.Name)
	}
}

func (v *View) takeAttribute(name string) {
	n := v.paths.child(v.paths.root, name)
	if n == nil || n.users == 0 {
		return
	}
	if kind, text, ok := v.event.attribute(name); ok {
		v.add(n.slot, kind, text, 0)
	}
}

// attribute gives an attribute's JSON type and text; ok is false where the event does not have it.
func (e Event) attribute(name string) (kind valueKind, text string, ok bool) {
	switch name {
	case "id":
		text = e.fields().ID
	case "source":
		text = e.fields().Source
	case "specversion":
		text = SpecVersion
	case "type":
		text = e.fields().Type
	case "subject":
		text = e.fields().Subject
	case "time":
		text = e.fields().Time
	case "datacontenttype":
		text = e.fields().DataContentType
	case "dataschema":
		text = e.fields().DataSchema
	default:
		x, ok := e.Extension(name)
		return [...]valueKind{StringValue: stringKind, IntegerValue: numberKind, BooleanValue: literalKind}[x.Kind], x.Value, ok
	}
	return stringKind, text, text != ""
}

// takePayload puts the values of the payload that somebody asks for in their slots.
func (v *View) takePayload() {
	if v.payloadTaken {
		return
	}
	v.payloadTaken = true
	if v.document != "" {
		v.takeAttributes()
		return
	}
	n := v.paths.child(v.paths.root, dataPath)
	switch f := v.event.fields(); {
	case n == nil || f.DataKind == NoData:
	case f.DataKind == TextData:
		if n.users > 0 {
			v.add(n.slot, stringKind, f.Data, 0)
		}
	case f.DataKind == JSONData || isJSONType(f.DataContentType):
		v.takeJSON(f.Data, n)
	}
}

// takeDocument takes all of a document, in which there are no attributes.
func (v *View) takeDocument() {
	v.payloadTaken = true
	v.takeJSON(v.document, v.paths.root)
}

// takeJSON takes what stands below n out of a JSON text, and nothing out of a text that is not JSON.
func (v *View) takeJSON(text string, n *pathNode) {
	filled, values := len(v.filled), len(v.values)
	s := scanner{text: text, view: v, paths: v.paths}
	if !s.scan(n) {
		v.dropFrom(filled, values)
	}
}

func isJSONType(contentType string) bool {
	m, ok := ParseMediaType(contentType)
	return ok && m.IsJSON()
}

// enterArray makes a number for an array, and enterElement for an element of it; leave is called when all of it has been read.
func (v *View) enterArray() (number int32) {
	v.arrays = append(v.arrays, array{first: int32(len(v.elements)) + 1})
	return int32(len(v.arrays)) - 1
}

func (v *View) leaveArray(number int32) { v.arrays[number].last = int32(len(v.elements)) }

func (v *View) enterElement(array, parent int32) int32 {
	v.elements = append(v.elements, element{parent: parent, array: array})
	return int32(len(v.elements))
}

func (v *View) leaveElement(number int32) { v.elements[number-1].last = int32(len(v.elements)) }

// valuesOf lists the values of a slot.
func (v *View) valuesOf(s slot) []value {
	var list []value
	for i := v.first(s); i != 0; i = v.at(i).next {
		list = append(list, *v.at(i))
	}
	return list
}
