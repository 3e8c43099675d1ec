package router

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// valueReader finds values of one event by paths, each of them once.
type valueReader struct {
	event Event
	found []foundValue
}

type foundValue struct {
	path  Path
	value Scalar
	ok    bool
}

// value gives the string, number or boolean at a path; ok is false where there is none.
func (r *valueReader) value(p Path) (Scalar, bool) {
	for _, f := range r.found {
		if f.path == p {
			return f.value, f.ok
		}
	}
	f := foundValue{path: p}
	if name, ok := p.attribute(); ok {
		if kind, text, ok := r.event.attribute(name); ok {
			f.value, f.ok = scalarOf(kind, text)
		}
	} else {
		f.value, f.ok = payloadValue(r.event, p.steps())
	}
	r.found = append(r.found, f)
	return f.value, f.ok
}

// key gives the values of a trigger's key; ok is false where one is missing.
func (r *valueReader) key(paths KeyPaths) (k Key, ok bool) {
	k.names, k.values = make([]string, len(paths)), make([]Scalar, len(paths))
	for i, part := range paths {
		v, ok := r.value(part.Path)
		if !ok || len(v.text) > MaxScalarBytes {
			return Key{}, false
		}
		k.names[i], k.values[i] = part.Name, v
	}
	return k, true
}

// distinct gives what stands for the value at a leaf's distinct, zero where the leaf has none; ok is false where the event has no such value.
func (r *valueReader) distinct(p *Path) (hash [16]byte, ok bool) {
	if p == nil {
		return hash, true
	}
	v, ok := r.value(*p)
	if ok {
		hash = shortHash(v.appendEncoded(nil))
	}
	return hash, ok
}

// payloadValue finds a scalar in the payload.
func payloadValue(e Event, steps []pathStep) (Scalar, bool) {
	switch f := e.fields(); {
	case f.DataKind == TextData:
		return Scalar{stringScalar, f.Data}, len(steps) == 0
	case f.DataKind == NoData, f.DataKind == BinaryData && !isJSONType(f.DataContentType):
		return Scalar{}, false
	}
	d := jsontext.NewDecoder(strings.NewReader(e.f.Data))
	for _, step := range steps {
		if !enterStep(d, step) {
			return Scalar{}, false
		}
	}
	token, err := d.ReadToken()
	if err != nil {
		return Scalar{}, false
	}
	switch token.Kind() {
	case '"':
		return scalarOf(stringKind, token.String())
	case '0':
		return scalarOf(numberKind, token.String())
	case 't', 'f':
		return scalarOf(literalKind, token.String())
	}
	return Scalar{}, false
}

// enterStep goes to a member or an item of the value that comes next.
func enterStep(d *jsontext.Decoder, step pathStep) bool {
	token, err := d.ReadToken()
	if err != nil || (token.Kind() == '[') != (step.index >= 0) || token.Kind() != '[' && token.Kind() != '{' {
		return false
	}
	for i := 0; ; i++ {
		if d.PeekKind() == ']' || d.PeekKind() == '}' {
			return false
		}
		if step.index == i {
			return true
		}
		if step.index < 0 {
			name, err := d.ReadToken()
			if err != nil {
				return false
			}
			if name.String() == step.name {
				return true
			}
		}
		if err := d.SkipValue(); err != nil {
			return false
		}
	}
}
