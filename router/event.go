package router

import (
	"slices"
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
	Subject         string
	Time            string // RFC 3339 as it was sent
	DataContentType string
	DataSchema      string
	Extensions      []Extension
	Data            string
	DataKind        DataKind
}

// Event is a CloudEvent 1.0. It is immutable: it is built of strings and has no setters, so that it can be shared by any
// number of goroutines and handed to handlers as it is. The zero Event is not valid.
type Event struct {
	f EventFields
}

// ID returns the attribute id.
func (e Event) ID() string { return e.f.ID }

// Source returns the attribute source.
func (e Event) Source() string { return e.f.Source }

// Type returns the attribute type.
func (e Event) Type() string { return e.f.Type }

// Subject returns the attribute subject, or "".
func (e Event) Subject() string { return e.f.Subject }

// DataContentType returns the attribute datacontenttype, or "".
func (e Event) DataContentType() string { return e.f.DataContentType }

// DataSchema returns the attribute dataschema, or "".
func (e Event) DataSchema() string { return e.f.DataSchema }

// TimeText returns the attribute time as it was sent, or "".
func (e Event) TimeText() string { return e.f.Time }

// Time returns the attribute time; ok is false where the event has none.
func (e Event) Time() (t time.Time, ok bool) {
	if e.f.Time == "" {
		return time.Time{}, false
	}
	t, err := ParseTime(e.f.Time)
	return t, err == nil
}

// Data returns a copy of the payload's bytes.
func (e Event) Data() []byte { return []byte(e.f.Data) }

// DataText returns the payload's bytes as a string, without copying them.
func (e Event) DataText() string { return e.f.Data }

// DataKind says how the payload travels in JSON.
func (e Event) DataKind() DataKind { return e.f.DataKind }

// Extensions yields the extension attributes in the order of their names.
func (e Event) Extensions(yield func(Extension) bool) {
	for _, x := range e.f.Extensions {
		if !yield(x) {
			return
		}
	}
}

// Extension returns the extension attribute of that name; ok is false where the event has none.
func (e Event) Extension(name string) (x Extension, ok bool) {
	i, ok := slices.BinarySearchFunc(e.f.Extensions, name, func(x Extension, name string) int {
		return strings.Compare(x.Name, name)
	})
	if !ok {
		return Extension{}, false
	}
	return e.f.Extensions[i], true
}
