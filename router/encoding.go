package router

import (
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// encodingVersion is the first byte of an encoded event. A format that readers of this one can't read gets another number.
const encodingVersion = 1

// Encode gives the event in the form in which it is stored: compact, and read by DecodeEvent without copying. All numbers are unsigned varints
// (encoding/binary), all strings have their length before them:
//
//	version    1 byte, 1
//	data kind  1 byte
//	id, source, type, subject, time, datacontenttype, dataschema; "" where there is none
//	number of extensions, then for each, in the order of their names: kind (1 byte), name, value
//	data
func (e Event) Encode() string {
	var b strings.Builder
	b.Grow(e.EncodedLen())
	e.EncodeTo(&b)
	return b.String()
}

// EncodeTo writes what Encode gives.
func (e Event) EncodeTo(b *strings.Builder) {
	b.WriteByte(encodingVersion)
	b.WriteByte(byte(e.fields().DataKind))
	for _, s := range []string{e.fields().ID, e.fields().Source, e.fields().Type, e.fields().Subject, e.fields().Time, e.fields().DataContentType, e.fields().DataSchema} {
		writeText(b, s)
	}
	writeNumber(b, len(e.fields().Extensions))
	for _, x := range e.fields().Extensions {
		b.WriteByte(byte(x.Kind))
		writeText(b, x.Name)
		writeText(b, x.Value)
	}
	writeText(b, e.fields().Data)
}

// EncodedLen is the number of bytes that Encode gives.
func (e Event) EncodedLen() int {
	n := 2 + textLen(e.fields().ID) + textLen(e.fields().Source) + textLen(e.fields().Type) + textLen(e.fields().Subject) + textLen(e.fields().Time) +
		textLen(e.fields().DataContentType) + textLen(e.fields().DataSchema) + numberLen(len(e.fields().Extensions)) + textLen(e.fields().Data)
	for _, x := range e.fields().Extensions {
		n += 1 + textLen(x.Name) + textLen(x.Value)
	}
	return n
}

func textLen(s string) int { return numberLen(len(s)) + len(s) }

func numberLen(n int) int { return (bits.Len64(uint64(n)|1) + 6) / 7 }

func writeText(b *strings.Builder, s string) {
	writeNumber(b, len(s))
	b.WriteString(s)
}

func writeNumber(b *strings.Builder, n int) {
	for n >= 0x80 {
		b.WriteByte(byte(n) | 0x80)
		n >>= 7
	}
	b.WriteByte(byte(n))
}

// DecodeEvent reads what Encode gives. The event's strings are parts of s, which lives as long as they do. It takes any input: what is not an encoded
// event is an error, which says no more than what was expected. Attributes were checked when the event came in and are not checked again, but the
// event's invariants are: required attributes are there, extensions are in order.
func DecodeEvent(s string) (Event, error) {
	if s == "" {
		return Event{}, errors.New("decode stored event: it is empty")
	}
	if s[0] == firingVersion {
		return decodeFiring(s)
	}
	if s[0] != encodingVersion {
		return Event{}, fmt.Errorf("decode stored event: its format is version %d, only %d and %d are known", s[0], encodingVersion, firingVersion)
	}
	d := eventDecoder{rest: s[1:]}
	f := &EventFields{}
	f.DataKind = DataKind(d.byte())
	f.ID = d.text()
	f.Source = d.text()
	f.Type = d.text()
	f.Subject = d.text()
	f.Time = d.text()
	f.DataContentType = d.text()
	f.DataSchema = d.text()
	f.Extensions = d.extensions()
	f.Data = d.text()
	switch {
	case d.failed:
		return Event{}, errors.New("decode stored event: it is cut short or damaged")
	case d.rest != "":
		return Event{}, errors.New("decode stored event: more follows after its end")
	case f.ID == "" || f.Source == "" || f.Type == "":
		return Event{}, errors.New("decode stored event: id, source or type is missing")
	case dataFault(f.Data, f.DataKind) != "":
		return Event{}, errors.New("decode stored event: its data is not of the kind given")
	}
	return Event{f: f}, nil
}

// eventDecoder takes an encoded event apart from left to right; failed stays set once something was missing.
type eventDecoder struct {
	rest   string
	failed bool
}

func (d *eventDecoder) byte() byte {
	if d.rest == "" {
		d.failed = true
		return 0
	}
	c := d.rest[0]
	d.rest = d.rest[1:]
	return c
}

// number takes a varint; more than what is left of the input is never a number of anything, and fails.
func (d *eventDecoder) number() int {
	var n uint64
	for shift := 0; shift < 63; shift += 7 {
		c := d.byte()
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			if n > uint64(len(d.rest)) {
				break
			}
			return int(n)
		}
	}
	d.failed = true
	return 0
}

func (d *eventDecoder) text() string {
	n := d.number()
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *eventDecoder) extensions() []Extension {
	n := d.number()
	if n == 0 || n > MaxExtensions {
		d.failed = d.failed || n > 0
		return nil
	}
	list := make([]Extension, n)
	before := ""
	for i := range list {
		x := &list[i]
		x.Kind = ValueKind(d.byte())
		x.Name = d.text()
		x.Value = d.text()
		if x.Kind > BooleanValue || x.Name <= before {
			d.failed = true
			return nil
		}
		before = x.Name
	}
	return list
}
