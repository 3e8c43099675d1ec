package client

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/oklog/ulid/v2"
)

// Event is a CloudEvent 1.0 in the JSON event format, kept as the text it was made of. It always has an id, so that publishing it again stores nothing
// twice. The zero Event is not valid. Safe for concurrent use.
type Event struct {
	id   string
	text string
}

// EventFields are the parts of an event, and the defaults for what a text leaves out.
type EventFields struct {
	ID              string // Defaults to a new ULID.
	Source          string // Defaults to what the server takes for it: "/".
	Type            string
	Subject         string
	Time            string // RFC 3339. Defaults to when the server gets the event.
	DataContentType string // Defaults to JSON.
	DataSchema      string
	Extensions      map[string]string // extension attributes
	Data            []byte            // nil: none. JSON, or what DataContentType says
}

// NewEvent makes an event of its parts. The data of a JSON media type, or of none, must be JSON and is kept byte for byte; other data goes as text where it is
// UTF-8, else as base64. The rules for attributes are the server's to check.
func NewEvent(f EventFields) (Event, error) {
	e := newText()
	if f.ID == "" {
		f.ID = ulid.Make().String()
	}
	e.attribute("specversion", "1.0")
	e.attribute("id", f.ID)
	e.attribute("source", f.Source)
	e.attribute("type", f.Type)
	e.attribute("subject", f.Subject)
	e.attribute("time", f.Time)
	e.attribute("datacontenttype", f.DataContentType)
	e.attribute("dataschema", f.DataSchema)
	for _, name := range slices.Sorted(maps.Keys(f.Extensions)) {
		e.attribute(name, f.Extensions[name])
	}
	if err := e.data(f.DataContentType, f.Data); err != nil {
		return Event{}, err
	}
	return Event{f.ID, e.close("")}, nil
}

// ParseEvent reads one event in the JSON event format. Of the defaults, the attributes specversion, id, source, type and subject fill in what the text leaves
// out; all else is left to the server. The error says what is wrong with the text as JSON: not an object, a name twice, not UTF-8, a null for the id.
func ParseEvent(text []byte, defaults EventFields) (Event, error) {
	have, err := readMembers(text)
	if err != nil {
		return Event{}, err
	}
	e := newText()
	if defaults.ID == "" && have["id"] == nil {
		defaults.ID = ulid.Make().String()
	}
	for _, a := range [...][2]string{{"specversion", "1.0"}, {"id", defaults.ID}, {"source", defaults.Source}, {"type", defaults.Type}, {"subject", defaults.Subject}} {
		if have[a[0]] == nil {
			e.attribute(a[0], a[1])
		}
	}
	id := defaults.ID
	if given := have["id"]; given != nil {
		if given.Kind() != '"' {
			return Event{}, errors.New("id must be a string")
		}
		plain, _ := jsontext.AppendUnquote(nil, given)
		id = string(plain)
	}
	inside := bytes.TrimSpace(text)
	return Event{id, e.close(string(inside[1:]))}, nil
}

// ID is the event's id.
func (e Event) ID() string { return e.id }

// String gives the event's JSON, whose line breaks are those of what it was made of.
func (e Event) String() string { return e.text }

// readMembers gives the values of an object's members.
func readMembers(text []byte) (map[string]jsontext.Value, error) {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	if d.PeekKind() != '{' {
		return nil, errors.New("is not a JSON object")
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	have := map[string]jsontext.Value{}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, notJSON(err)
		}
		key := name.String()
		value, err := d.ReadValue()
		if err != nil {
			return nil, notJSON(err)
		}
		have[key] = value.Clone()
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, notJSON(err)
	}
	if d.PeekKind() != 0 || len(bytes.TrimSpace(text[d.InputOffset():])) > 0 {
		return nil, errors.New("holds more than one JSON value")
	}
	return have, nil
}

// notJSON puts a parser's error in words.
func notJSON(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return errors.New("has the same name twice in one object")
	}
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("is not JSON: %w at byte %d", e.Err, e.ByteOffset)
	}
	return fmt.Errorf("is not JSON: %w", err)
}

// eventText builds the JSON of an event.
type eventText struct{ b []byte }

func newText() *eventText { return &eventText{[]byte{'{'}} }

func (e *eventText) name(name string) {
	if len(e.b) > 1 {
		e.b = append(e.b, ',')
	}
	e.b, _ = jsontext.AppendQuote(e.b, name)
	e.b = append(e.b, ':')
}

// attribute adds an attribute that is not empty. What is not UTF-8 becomes U+FFFD, which the server then takes or refuses.
func (e *eventText) attribute(name, value string) {
	if value == "" {
		return
	}
	e.name(name)
	e.b, _ = jsontext.AppendQuote(e.b, value)
}

func (e *eventText) data(contentType string, data []byte) error {
	switch {
	case data == nil:
	case isJSON(contentType):
		if !jsontext.Value(data).IsValid() {
			return errors.New("data is not JSON; say of what content type it is")
		}
		e.name("data")
		e.b = append(e.b, data...)
	case utf8.Valid(data):
		e.name("data")
		e.b, _ = jsontext.AppendQuote(e.b, string(data))
	default:
		e.name("data_base64")
		e.b = append(base64.StdEncoding.AppendEncode(append(e.b, '"'), data), '"')
	}
	return nil
}

// close ends the text with the rest of an object's text, behind its opening brace, or with nothing.
func (e *eventText) close(rest string) string {
	if rest == "" {
		return string(append(e.b, '}'))
	}
	if len(e.b) > 1 && !strings.HasPrefix(strings.TrimSpace(rest), "}") {
		e.b = append(e.b, ',')
	}
	return string(e.b) + rest
}

// isJSON tells whether data of a media type is JSON (CloudEvents JSON event format, section 3.1).
func isJSON(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json"))
}
