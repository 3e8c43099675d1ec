package cloudevents

import (
	"cmp"
	"encoding/base64"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/streamlatch/streamlatch/router"
)

// decodeJSON reads one event or an array of them.
func (d Decoder) decodeJSON(f format, body []byte) ([]router.Event, error) {
	limits := d.Limits.withDefaults()
	if f == structured && len(body) > limits.MaxEventBytes {
		return nil, tooLarge("body", "the event", limits.MaxEventBytes)
	}
	if len(body) > max(limits.MaxBatchBytes, limits.MaxEventBytes) {
		return nil, tooLarge("body", "the batch", limits.MaxBatchBytes)
	}
	r := readers.Get().(*reader)
	defer r.release()
	text := string(body)
	r.quick.open(text)
	if events, err := r.read(d, limits, f, text, &r.quick); !errors.Is(err, errUnsure) {
		return events, err
	}
	r.thorough.open(body, text)
	return r.read(d, limits, f, text, &r.thorough)
}

// readers keeps readers with their buffers.
var readers = sync.Pool{New: func() any { return &reader{thorough: thorough{json: new(jsontext.Decoder)}} }}

// reader reads the events of one JSON text. It is used by one goroutine at a time.
type reader struct {
	Decoder
	limits     Limits
	format     format
	json       source
	text       string // the body; events are parts of it
	index      int    // of the event within the batch, or -1
	extensions []router.Extension
	found      problems
	refused    error // by Check, the first

	quick    quick
	thorough thorough
}

func (r *reader) release() {
	clear(r.extensions[:cap(r.extensions)])
	r.quick.release()
	r.thorough.release()
	*r = reader{quick: r.quick, thorough: r.thorough, extensions: r.extensions[:0]}
	readers.Put(r)
}

// read reads the whole text from a source of it.
func (r *reader) read(d Decoder, limits Limits, f format, text string, from source) ([]router.Event, error) {
	r.Decoder, r.limits, r.format, r.json = d, limits, f, from
	r.text, r.index, r.found, r.refused = text, -1, nil, nil
	isArray := r.json.peek() == '['
	var events []router.Event
	var err error
	switch {
	case r.format == batch && !isArray && r.json.peek() != 0:
		r.found.add("body", "must be an array of CloudEvents")
		_, err = r.json.value()
	case isArray && r.format != structured:
		events, err = r.array()
	default:
		events, err = r.single()
	}
	if err == nil {
		err = r.end()
	}
	if err != nil {
		return nil, r.syntax(err)
	}
	if err := cmp.Or(r.found.err(), r.refused); err != nil {
		return nil, err
	}
	return events, nil
}

func (r *reader) single() ([]router.Event, error) {
	if len(r.text) > r.limits.MaxEventBytes {
		return nil, tooLarge("body", "the event", r.limits.MaxEventBytes)
	}
	e, err := r.event()
	return []router.Event{e}, err
}

func (r *reader) array() ([]router.Event, error) {
	if len(r.text) > r.limits.MaxBatchBytes {
		return nil, tooLarge("body", "the batch", r.limits.MaxBatchBytes)
	}
	if err := r.json.step(); err != nil {
		return nil, err
	}
	const likelyBytes = 256 // an event's, for a first guess at their number
	events := make([]router.Event, 0, min(r.limits.MaxBatchEvents, len(r.text)/likelyBytes+1))
	for kind := r.json.peek(); kind != ']' && kind != 0; kind = r.json.peek() {
		if r.index++; r.index == r.limits.MaxBatchEvents {
			return nil, placed(router.Errorf(router.TooLarge, "a batch may hold at most %d events", r.limits.MaxBatchEvents), "body")
		}
		start := r.json.offset()
		e, err := r.event()
		if err != nil {
			return nil, err
		}
		if sent := strings.TrimLeft(r.text[start:r.json.offset()], ", \t\r\n"); len(sent) > r.limits.MaxEventBytes {
			return nil, tooLarge(r.location(), "the event", r.limits.MaxEventBytes)
		}
		events = append(events, e)
		if len(r.found) >= maxProblems {
			return nil, r.found.err()
		}
	}
	return events, r.json.step()
}

// end makes sure that nothing follows.
func (r *reader) end() error {
	more, err := r.json.end()
	if more {
		r.found.add("body", "must hold nothing after the first JSON value")
	}
	return err
}

// location is where the present event stands.
func (r *reader) location() string {
	if r.index < 0 {
		return "body"
	}
	return "body[" + strconv.Itoa(r.index) + "]"
}

func (r *reader) locate(name string) string { return within(r.location(), name) }

func (r *reader) problem(name, message string) { r.found.add(r.locate(name), message) }

// draft is an event of which not all members have been read.
type draft struct {
	router.EventFields
	specVersion string
	data        string // the member's JSON text; "" where there is none
	base64      string // the member's value
	hasBase64   bool
}

// event reads one event. What is wrong with it is noted in found; an error is one of the JSON text or a limit, after which nothing can be read.
func (r *reader) event() (router.Event, error) {
	if kind := r.json.peek(); kind != '{' {
		if kind != 0 {
			r.found.add(r.location(), "must be an object")
		}
		_, err := r.json.value()
		return router.Event{}, err
	}
	var d draft
	before := len(r.found)
	if err := r.members(&d); err != nil {
		return router.Event{}, err
	}
	r.complete(&d)
	r.setData(&d)
	d.Extensions = r.extensions
	e, err := router.NewParsedEvent(d.EventFields)
	if err != nil {
		return router.Event{}, placed(r.found.addAll(err, r.locate), r.location())
	}
	if len(r.found) == before && r.refused == nil {
		r.refused = r.check(e, r.locate)
	}
	return e, nil
}

// members reads an object's members into d, and its extensions into r.extensions.
func (r *reader) members(d *draft) error {
	r.extensions = r.extensions[:0]
	if err := r.json.step(); err != nil {
		return err
	}
	for r.json.peek() != '}' {
		name, err := r.json.name()
		if err != nil {
			return err
		}
		value, err := r.json.value()
		if err != nil {
			return err
		}
		r.member(d, unquote(name), value, kindOf(value))
	}
	return r.json.step()
}

// kindOf is the kind of a value as its text.
func kindOf(value string) jsontext.Kind {
	if c := value[0]; c != '-' && (c < '0' || c > '9') {
		return jsontext.Kind(c)
	}
	return '0'
}

// member takes one member of the event. Null is the same as nothing (JSON event format, section 2.2), but for data, where it is a value.
func (r *reader) member(d *draft, name, value string, kind jsontext.Kind) {
	switch name {
	case "data":
		d.data = value
		return
	case "data_base64":
		d.hasBase64 = kind != 'n'
		d.base64 = r.attribute(name, value, kind)
		return
	}
	if kind == 'n' {
		return
	}
	if to := d.attribute(name); to != nil {
		if *to = r.attribute(name, value, kind); *to == "" {
			r.problem(name, "must not be empty")
		}
		return
	}
	r.extension(name, value, kind)
}

// attribute is where the attribute of that name is kept, nil for an extension.
func (d *draft) attribute(name string) *string {
	switch name {
	case "specversion":
		return &d.specVersion
	case "id":
		return &d.ID
	case "source":
		return &d.Source
	case "type":
		return &d.Type
	case "subject":
		return &d.Subject
	case "time":
		return &d.Time
	case "datacontenttype":
		return &d.DataContentType
	case "dataschema":
		return &d.DataSchema
	}
	return nil
}

// attribute gives the value of a core attribute, which has to be a string.
func (r *reader) attribute(name, value string, kind jsontext.Kind) string {
	if kind == '"' {
		return unquote(value)
	}
	if kind != 'n' {
		r.problem(name, "must be a string")
	}
	return ""
}

// extension takes an extension attribute (JSON event format, section 2.2: strings, booleans and numbers that are an Integer).
func (r *reader) extension(name, value string, kind jsontext.Kind) {
	x := router.Extension{Name: name, Value: value}
	switch kind {
	case '"':
		x.Value = unquote(value)
	case 't', 'f':
		x.Kind = router.BooleanValue
	case '0':
		x.Kind = router.IntegerValue
		if value == "-0" {
			x.Value = "0"
		}
	default:
		r.problem(member(name), "must be a string, a whole number or a boolean")
		x.Value = ""
	}
	r.extensions = append(r.extensions, x)
}

// complete checks the version and fills in what plain JSON may leave out.
func (r *reader) complete(d *draft) {
	if r.format == plain {
		if d.specVersion == "" {
			d.specVersion = router.SpecVersion
		}
		if d.Source == "" {
			d.Source = "/"
		}
		if d.ID == "" && r.NewID != nil {
			d.ID = r.NewID()
		}
	}
	if fault := versionFault(d.specVersion); fault != "" {
		r.problem("specversion", fault)
	}
}

func versionFault(version string) string {
	switch version {
	case router.SpecVersion:
		return ""
	case "":
		return "is required"
	}
	return "version " + quoted(version) + " of CloudEvents is not supported, only " + router.SpecVersion
}

// setData makes the data of the members data and data_base64 (JSON event format, section 3.1.2).
func (r *reader) setData(d *draft) {
	media, ok := router.ParseMediaType(d.DataContentType)
	isJSON := d.DataContentType == "" || ok && media.IsJSON()
	switch {
	case d.hasBase64 && d.data != "":
		r.problem("data_base64", "must not stand beside data")
	case d.hasBase64:
		d.DataKind, d.Data = router.BinaryData, r.decodeBase64(d.base64)
	case d.data == "":
	case !isJSON && d.data[0] == '"':
		d.DataKind, d.Data = router.TextData, unquote(d.data)
	case !isJSON && d.data == "null":
	case tooDeep(d.data):
		r.problem("data", tooDeepMessage)
	default:
		d.DataKind, d.Data = router.JSONData, d.data
	}
}

func (r *reader) decodeBase64(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") { // which the package passes over, and RFC 4648 (section 3.3) does not
		r.problem("data_base64", "must be base64 with padding (RFC 4648, section 4)")
	}
	return string(b)
}

// unquote gives the value of a valid JSON string.
func unquote(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s[1 : len(s)-1]
	}
	b, _ := jsontext.AppendUnquote(nil, s)
	return string(b)
}

var tooDeepMessage = "must not nest objects and arrays deeper than " + strconv.Itoa(MaxDataDepth) + " levels"

// tooDeep tells whether valid JSON is nested deeper than MaxDataDepth.
func tooDeep(json string) bool {
	// Counting is much faster than looking at strings, and settles nearly everything.
	return len(json) > MaxDataDepth && strings.Count(json, "{")+strings.Count(json, "[") > MaxDataDepth && depth(json) > MaxDataDepth
}

// depth is how deep valid JSON is nested.
func depth(json string) int {
	deepest, at := 0, 0
	inString := false
	for i := 0; i < len(json); i++ {
		switch c := json[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{', c == '[':
			at++
			deepest = max(deepest, at)
		case c == '}', c == ']':
			at--
		}
	}
	return deepest
}

// syntax turns an error of the JSON text into one for the caller, with its place; other errors stay.
func (r *reader) syntax(err error) error {
	if strings.TrimSpace(r.text) == "" {
		return &router.Error{Code: router.Malformed, Message: "the body is empty", Problems: problems{{Location: "body", Message: "must be JSON"}}}
	}
	e, ok := errors.AsType[*jsontext.SyntacticError](err)
	if !ok && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	p := router.Problem{Location: "body", Message: "ends too early"}
	if ok {
		p = router.Problem{Location: r.pointed(e.JSONPointer), Message: reason(e.Err) + ", at byte " + strconv.FormatInt(e.ByteOffset, 10)}
	}
	return &router.Error{Code: router.Malformed, Message: "the body is not valid JSON", Problems: problems{p}}
}

func reason(err error) string {
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		return "has this name twice"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "ends too early"
	case len(err.Error()) > 3*maxQuoted:
		return "is not valid JSON"
	}
	return err.Error()
}

// pointed turns a JSON pointer into a location; what lies very deep is cut off.
func (r *reader) pointed(p jsontext.Pointer) string {
	const mostParts = 12
	location, n := "body", 0
	for token := range p.Tokens() {
		if n++; n > mostParts {
			return location + "…"
		}
		if _, err := strconv.ParseUint(token, 10, 32); err == nil && (n > 1 || r.index >= 0) {
			location += "[" + token + "]"
		} else {
			location = within(location, member(token))
		}
	}
	return location
}
