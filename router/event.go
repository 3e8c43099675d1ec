package router

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// SpecVersion is the only CloudEvents version that Streamlatch speaks.
const SpecVersion = "1.0"

// HopsExtension is the extension that counts how often an event was derived from another one. Publishers may not set it.
const HopsExtension = "streamlatchhops"

// MaxHops is the highest hop count an event may have; what would go above it is refused as a loop.
const MaxHops = 16

// DataKind says how an event's data travels in the JSON event format.
type DataKind uint8

// The kinds of data.
const (
	// NoData: the event has no data.
	NoData DataKind = iota
	// JSONData: the data is one JSON value, kept as the text that was sent; in JSON it is the member "data" as it stands.
	JSONData
	// TextData: the data is UTF-8 text of a media type that is not JSON; in JSON it is the member "data" as a string.
	TextData
	// BinaryData: the data is bytes; in JSON it is the member "data_base64".
	BinaryData
)

// ValueKind is the JSON type of an extension attribute's value (CloudEvents JSON event format, section 2.2).
type ValueKind uint8

// The kinds of extension values.
const (
	StringValue ValueKind = iota
	IntegerValue
	BooleanValue
)

// Extension is one extension attribute.
type Extension struct {
	Name  string
	Value string // canonical text: "true", "-12", or the string itself
	Kind  ValueKind
}

// EventFields are the parts of an event, for building one with NewEvent.
type EventFields struct {
	ID              string // required
	Source          string // required, a URI reference
	Type            string // required
	Subject         string // "" here and below: the event has none
	Time            string // RFC 3339 as it was sent
	DataContentType string // a media type; "" with JSONData means application/json
	DataSchema      string // an absolute URI
	Extensions      []Extension
	Data            string
	DataKind        DataKind
}

// Event is a CloudEvent 1.0. It is immutable: it is built of strings and has no setters, so that it can be shared by any
// number of goroutines and handed to handlers as it is. The zero Event is not valid; all its attributes are empty.
type Event struct {
	f *EventFields // never changed
}

func (e Event) fields() *EventFields {
	if e.f == nil {
		return &EventFields{}
	}
	return e.f
}

// NewEvent builds an event, or says with an *Error what is wrong: Malformed for what CloudEvents 1.0 forbids, each Problem's Location being the name
// of the attribute or "data"; TooLarge for attributes above MaxAttributeBytes or MaxExtensions. Extensions may come in any order. The event keeps
// nothing of f that can still change.
func NewEvent(f EventFields) (Event, error) {
	e, err := NewParsedEvent(f)
	if err == nil && f.DataKind == JSONData && !isJSON(f.Data) {
		return Event{}, malformed(eventFaults{{Location: "data", Message: "must be one JSON value, in UTF-8 and without duplicate names"}})
	}
	return e, err
}

// NewParsedEvent is NewEvent for callers that have parsed the data: it trusts them that JSONData is one valid JSON value without duplicate names, and
// checks all else.
func NewParsedEvent(f EventFields) (Event, error) {
	if err := checkSize(&f); err != nil {
		return Event{}, err
	}
	var found eventFaults
	found.attributes(&f)
	found.add("datacontenttype", contentTypeFault(f.DataContentType, f.DataKind))
	found.add("data", dataFault(f.Data, f.DataKind))
	if f.Extensions = sortedExtensions(f.Extensions); f.Extensions != nil {
		found.extensions(f.Extensions)
	}
	if found != nil {
		return Event{}, malformed(found)
	}
	return Event{f: &f}, nil
}

func malformed(found eventFaults) *Error {
	return &Error{Code: Malformed, Message: "not a valid CloudEvent", Problems: found}
}

// checkSize holds the attributes against their limits before anything else looks at them.
func checkSize(f *EventFields) error {
	if len(f.Extensions) > MaxExtensions {
		return Errorf(TooLarge, "an event may have at most %d extension attributes", MaxExtensions)
	}
	n := len(f.ID) + len(f.Source) + len(f.Type) + len(f.Subject) + len(f.Time) + len(f.DataContentType) + len(f.DataSchema)
	for _, x := range f.Extensions {
		n += len(x.Name) + len(x.Value)
	}
	if n > MaxAttributeBytes {
		return Errorf(TooLarge, "an event's attributes may hold at most %d bytes, names included", MaxAttributeBytes)
	}
	return nil
}

// sortedExtensions returns a copy in the order of their names.
func sortedExtensions(list []Extension) []Extension {
	if len(list) == 0 {
		return nil
	}
	byName := func(a, b Extension) int { return strings.Compare(a.Name, b.Name) }
	list = slices.Clone(list)
	if !slices.IsSortedFunc(list, byName) {
		slices.SortStableFunc(list, byName)
	}
	return list
}

// WithExtension returns the event with one extension attribute added or replaced. Errors are those of NewEvent.
func (e Event) WithExtension(x Extension) (Event, error) {
	f := *e.fields()
	f.Extensions = slices.DeleteFunc(slices.Clone(f.Extensions), func(old Extension) bool { return old.Name == x.Name })
	f.Extensions = append(f.Extensions, x)
	return NewParsedEvent(f)
}

// Hops tells how often the event was derived from another one: 0 for what a publisher sent.
func (e Event) Hops() int {
	x, _ := e.Extension(HopsExtension)
	n, err := strconv.Atoi(x.Value)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// CheckReserved refuses with an *Error what only Streamlatch itself may publish: the extension streamlatchhops, types streamlatch.* and sources
// /streamlatch/…; a Problem's Location is the name of the attribute.
func CheckReserved(e Event) error {
	var found eventFaults
	if _, ok := e.Extension(HopsExtension); ok {
		found.add(HopsExtension, "only Streamlatch itself may set this extension")
	}
	if e.fields().Type == "streamlatch" || strings.HasPrefix(e.fields().Type, "streamlatch.") {
		found.add("type", "types that start with streamlatch. are Streamlatch's own")
	}
	if e.fields().Source == "/streamlatch" || strings.HasPrefix(e.fields().Source, "/streamlatch/") {
		found.add("source", "sources that start with /streamlatch/ are Streamlatch's own")
	}
	if found == nil {
		return nil
	}
	return &Error{Code: Reserved, Message: "the event uses what is reserved to Streamlatch", Problems: found}
}

// ID returns the attribute id.
func (e Event) ID() string { return e.fields().ID }

// Source returns the attribute source.
func (e Event) Source() string { return e.fields().Source }

// Type returns the attribute type.
func (e Event) Type() string { return e.fields().Type }

// Subject returns the attribute subject, or "".
func (e Event) Subject() string { return e.fields().Subject }

// DataContentType returns the attribute datacontenttype, or "".
func (e Event) DataContentType() string { return e.fields().DataContentType }

// DataSchema returns the attribute dataschema, or "".
func (e Event) DataSchema() string { return e.fields().DataSchema }

// TimeText returns the attribute time as it was sent, or "".
func (e Event) TimeText() string { return e.fields().Time }

// Time returns the attribute time; ok is false where the event has none.
func (e Event) Time() (t time.Time, ok bool) {
	if e.fields().Time == "" {
		return time.Time{}, false
	}
	t, err := ParseTime(e.fields().Time)
	return t, err == nil
}

// Data returns a copy of the payload's bytes.
func (e Event) Data() []byte { return []byte(e.fields().Data) }

// DataText returns the payload's bytes as a string, without copying them.
func (e Event) DataText() string { return e.fields().Data }

// DataKind says how the payload travels in JSON.
func (e Event) DataKind() DataKind { return e.fields().DataKind }

// Extensions yields the extension attributes in the order of their names.
func (e Event) Extensions(yield func(Extension) bool) {
	for _, x := range e.fields().Extensions {
		if !yield(x) {
			return
		}
	}
}

// Extension returns the extension attribute of that name; ok is false where the event has none.
func (e Event) Extension(name string) (x Extension, ok bool) {
	i, ok := slices.BinarySearchFunc(e.fields().Extensions, name, func(x Extension, name string) int {
		return strings.Compare(x.Name, name)
	})
	if !ok {
		return Extension{}, false
	}
	return e.fields().Extensions[i], true
}
