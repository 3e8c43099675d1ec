package router

import (
	"encoding/binary"
	"math"
)

// entry is a filter in an index.
type entry struct {
	wanted
	slots  []slot // where the values for the filter's paths are, in their order
	filter *CompiledFilter
}

// wanted is what most filters want of an event whose type is right, in so little room that it can stand wherever it is asked for: to go
// and see the filter is to wait for memory several times, which takes longer than all else.
type wanted struct {
	id    string
	count int8 // of wants; beyondWants: see the filter
	wants [4]want
	texts [56]byte // of the wants
}

// want is that one of the values at a path has a key.
type want struct {
	slot     slot
	kind     keyKind
	from, to uint8 // where its text is; a number is there in binary
}

// beyondWants stands for the count where a filter wants something else, or more than there is room for.
const beyondWants = -1

// wantedBy sums up a filter, as far as there is room.
func wantedBy(id string, c *CompiledFilter, slots []slot) wanted {
	w := wanted{id: id, count: beyondWants}
	if !c.onlyKeys || len(c.keys) > len(w.wants) {
		return w
	}
	texts := w.texts[:0]
	for i, k := range c.keys {
		from := len(texts)
		if k.kind == numberKey {
			texts = binary.NativeEndian.AppendUint64(texts, k.bits)
		} else {
			texts = append(texts, k.text...)
		}
		if len(texts) > len(w.texts) {
			return w
		}
		w.wants[i] = want{slots[i], k.kind, uint8(from), uint8(len(texts))}
	}
	w.count = int8(len(c.keys))
	return w
}

// match tells whether an event matches the filter of the entry.
func (w *wanted) match(v *View, e *entry) bool {
	if w.count == beyondWants {
		return e.filter.matchValues(v, e.slots)
	}
	for i := range w.wants[:w.count] {
		if !w.isMet(v, &w.wants[i]) {
			return false
		}
	}
	return w.count < 2 || len(v.elements) == 0 || e.filter.matchValues(v, e.slots)
}

// isMet tells whether one of the values at a path is what is wanted.
func (w *wanted) isMet(v *View, want *want) bool {
	text := w.texts[want.from:want.to]
	for number := v.first(want.slot); number != 0 && v.step(); number = v.at(number).next {
		switch value := v.at(number); want.kind {
		case numberKey:
			if x, ok := value.number(); ok && x == math.Float64frombits(binary.NativeEndian.Uint64(text)) {
				return true
			}
		default:
			if (want.kind == textKey) == (value.kind == stringKind) && value.text == string(text) {
				return true
			}
		}
	}
	return false
}
