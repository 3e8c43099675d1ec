package router

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxFiringBytes is the most bytes of data that a firing may have with the whole events in it; one that would have more carries references.
const MaxFiringBytes = 1 << 20

// firingVersion is the first byte of a stored firing, in the place of encodingVersion. A script puts it together of strings that it does not look into,
// and DecodeEvent makes the event of them (numbers are varints, texts have their length before them):
//
//	version  1 byte, 2
//	header   a text: CompiledTrigger.FiringHead and the hash of the key (32 hexadecimal digits) and Key.Encode, each a text; then time (15 digits,
//	         milliseconds), position (24 digits, see firingPosition) of the event that completed it, or of its deadline and behind all events of that
//	         millisecond; "p" or "d" for these two; hops (2 digits); what it carries: "e" events, "r" references, "s" references since the events are
//	         too many bytes
//	refs     a text: 38 bytes for each event that is joined at a leaf, in the order of the leaves and then of the log: leaf (2 digits), position (24 digits)
//	events   for each that is joined, in the order in which refs name them first, a text: Event.Encode, or all of it up to the source
const firingVersion = 2

// FiringHead gives what all firings of the trigger have in common in a deployment of so many partitions, as stored firings begin.
func (c *CompiledTrigger) FiringHead(partitions int) string {
	h := c.firingHead(partitions)
	var b strings.Builder
	for _, s := range []string{strconv.Itoa(h.partitions - 1), h.trigger, h.generation, h.name, h.typ} {
		writeText(&b, s)
	}
	for _, list := range [][]string{h.names, h.leaves} {
		writeNumber(&b, len(list))
		for _, s := range list {
			writeText(&b, s)
		}
	}
	return b.String()
}

func (c *CompiledTrigger) firingHead(partitions int) firingHead {
	h := firingHead{partitions: partitions, trigger: c.ID, generation: strconv.FormatUint(c.Generation, 10), name: c.Name, typ: c.EmitType()}
	for _, part := range c.Key {
		h.names = append(h.names, part.Name)
	}
	for _, leaf := range c.Leaves {
		h.leaves = append(h.leaves, leaf.Name)
	}
	return h
}

// firingHead is what FiringHead says.
type firingHead struct {
	partitions    int    // of the deployment: positions say by it which one they are in
	trigger       string // id
	generation    string
	name, typ     string
	names, leaves []string
}

func readFiringHead(s string) (h firingHead, ok bool) {
	d := eventDecoder{rest: s}
	last, err := strconv.Atoi(d.text())
	h.partitions, h.trigger, h.generation, h.name, h.typ = last+1, d.text(), d.text(), d.text(), d.text()
	h.names, h.leaves = d.texts(MaxKeyPaths), d.texts(MaxLeaves)
	return h, err == nil && last >= 0 && !d.failed && d.rest == "" && h.name != "" && h.typ != ""
}

// texts takes a list of texts that has at most so many.
func (d *eventDecoder) texts(most int) []string {
	n := d.number()
	if n > most {
		d.failed = true
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.text()
	}
	return list
}

// firing is a stored firing, read.
type firing struct {
	firingHead
	hash     string
	values   []Scalar // of the key, in the order of the names
	time     time.Time
	position Position
	deadline bool
	hops     int
	form     byte
	joined   []joinedEvent
}

// joinedEvent is an event of a firing. Of a reference, only id and source are known.
type joinedEvent struct {
	leaf       string
	position   Position
	event      Event
	id, source string
}

// decodeFiring reads a stored firing, as DecodeEvent does.
func decodeFiring(s string) (Event, error) {
	f, ok := readFiring(s)
	if !ok {
		return Event{}, errors.New("decode stored firing: it is cut short or damaged")
	}
	e, err := f.asEvent()
	if err != nil {
		return Event{}, fmt.Errorf("decode stored firing: %w", err)
	}
	return e, nil
}

// asEvent is the event that the firing is.
func (f *firing) asEvent() (Event, error) {
	return NewParsedEvent(EventFields{
		ID: f.id(), Source: Trigger{Name: f.name}.EmitSource(), Type: f.typ, Subject: f.subject(), Time: FormatTime(f.time),
		DataContentType: "application/json", Data: f.data(), DataKind: JSONData,
		Extensions: []Extension{{Name: HopsExtension, Value: strconv.Itoa(f.hops), Kind: IntegerValue}},
	})
}

func readFiring(s string) (f firing, ok bool) {
	d := eventDecoder{rest: s[1:]}
	if !f.readHeader(d.text()) {
		return f, false
	}
	refs := eventDecoder{rest: d.text()}
	known := make(map[Position]joinedEvent)
	for refs.rest != "" && !refs.failed {
		leaf, err1 := strconv.Atoi(refs.take(2))
		position, err2 := parsePositionDigits(f.partitions, refs.take(positionDigits))
		refs.take(refBytes - 2 - positionDigits)
		if err1 != nil || err2 != nil || leaf < 0 || leaf >= len(f.leaves) {
			return f, false
		}
		j, there := known[position]
		if !there {
			if j, ok = readJoined(d.text(), f.form == 'e'); !ok {
				return f, false
			}
			known[position] = j
		}
		j.leaf, j.position = f.leaves[leaf], position
		f.joined = append(f.joined, j)
	}
	return f, !refs.failed && !d.failed && d.rest == "" && len(f.joined) > 0
}

// take takes so many bytes.
func (d *eventDecoder) take(n int) string {
	if n > len(d.rest) {
		d.failed = true
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (f *firing) readHeader(s string) (ok bool) {
	d := eventDecoder{rest: s}
	f.firingHead, ok = readFiringHead(d.text())
	f.hash = d.text()
	values, known := decodeScalars(d.text(), len(f.names))
	ms, err1 := strconv.ParseInt(d.take(timeDigits), 10, 64)
	position, err2 := parsePositionDigits(f.partitions, d.take(positionDigits))
	f.deadline = d.take(1) == "d"
	hops, err3 := strconv.Atoi(d.take(2))
	f.form = d.byte()
	f.time, f.position, f.hops = timeAt(ms), position, hops
	f.values = inOrder(f.names, values)
	return ok && known && err1 == nil && err2 == nil && err3 == nil && !d.failed && d.rest == "" && strings.IndexByte("ers", f.form) >= 0
}

// readJoined reads an encoded event, or only its beginning.
func readJoined(encoded string, whole bool) (j joinedEvent, ok bool) {
	decode := DecodeEventHead
	if whole {
		decode = DecodeEvent
	}
	e, err := decode(encoded)
	return joinedEvent{event: e, id: e.ID(), source: e.Source()}, err == nil
}

// DecodeEventHead reads id and source, all that the Event has then, off the beginning of what Encode gives.
func DecodeEventHead(s string) (Event, error) {
	d := eventDecoder{rest: s}
	d.take(2) // version and kind of data
	f := EventFields{ID: d.text(), Source: d.text()}
	if d.failed {
		return Event{}, errors.New("decode the beginning of a stored event: it is cut short or damaged")
	}
	return Event{f: &f}, nil
}

// The widths of numbers in what is stored of triggers. A position's digits are its milliseconds and, ten of them, its place within these among all events
// of the deployment: its number times the number of partitions, plus its partition. So they are in the order in which partials meet events.
const (
	timeDigits     = 15
	positionDigits = 24
	positionMS     = 14
	refBytes       = 38
)

func parsePositionDigits(partitions int, s string) (Position, error) {
	if len(s) != positionDigits {
		return Position{}, errors.New("a position has the wrong length")
	}
	ms, err := strconv.ParseInt(s[:positionMS], 10, 64)
	if err != nil {
		return Position{}, fmt.Errorf("position: %w", err)
	}
	place, err := strconv.ParseUint(s[positionMS:], 10, 64)
	if err != nil {
		return Position{}, fmt.Errorf("position: %w", err)
	}
	n := uint64(partitions)
	return Position{Partition: int(place % n), MS: ms, Seq: place / n}, nil
}

// id is the same for each firing of the same occurrence.
func (f *firing) id() string {
	at := f.position.ID()
	switch {
	case f.deadline:
		at = strconv.FormatInt(f.position.MS, 10)
	case f.partitions > 1:
		at = f.position.String()
	}
	return strings.Join([]string{f.trigger, f.generation, f.hash, at}, ".")
}

// subject is the key's values, joined by "/".
func (f *firing) subject() string {
	return Key{names: f.names, values: f.values}.Subject()
}

// data is what the firing carries: the events where they are known and not too large, or else references to them.
func (f *firing) data() string {
	if f.form == 'e' {
		if text := f.document(true, false); len(text) <= MaxFiringBytes {
			return text
		}
	}
	return f.document(false, f.form != 'r')
}

func (f *firing) document(whole, tooLarge bool) string {
	w := jsonWriter{}
	w.open('{')
	w.text("trigger", f.name)
	w.literal("key", Key{names: f.names, values: f.values}.JSON())
	if !whole {
		w.text("include", string(IncludeRefs))
	}
	if tooLarge {
		w.bool("too_large", true)
	}
	w.name("events")
	w.open('[')
	for _, j := range f.joined {
		w.separate()
		w.open('{')
		w.text("name", j.leaf)
		w.text("position", j.position.String())
		if whole {
			w.name("event")
			w.b = j.event.AppendJSON(w.b)
		} else {
			w.text("id", j.id)
			w.text("source", j.source)
		}
		w.close('}')
	}
	w.close(']')
	w.close('}')
	return string(w.b)
}

// decodeScalars reads what Key.Encode gives, a value for each name.
func decodeScalars(s string, n int) (values []Scalar, ok bool) {
	d := eventDecoder{rest: s}
	for range n {
		kind := scalarKind(d.byte())
		values = append(values, Scalar{kind: kind, text: d.text()})
		if kind != stringScalar && kind != numberScalar && kind != boolScalar {
			return nil, false
		}
	}
	return values, !d.failed && d.rest == ""
}

// inOrder gives values that are in the order of their names sorted, in the order of the names.
func inOrder(names []string, sorted []Scalar) []Scalar {
	if len(sorted) != len(names) {
		return nil
	}
	byName := slices.Sorted(slices.Values(names))
	values := make([]Scalar, len(names))
	for i, name := range names {
		at, _ := slices.BinarySearch(byName, name)
		values[i] = sorted[at]
	}
	return values
}
