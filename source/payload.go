package source

import (
	"errors"
	"io"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// formPayload is the field of a form in which GitHub and Slack send JSON.
const formPayload = "payload"

// values are what a plan reads from a message, by the numbers of refs; "" is nothing.
type values []string

// first is the first value of a choice that there is.
func (v values) first(c choice) string {
	for _, n := range c {
		if v[n] != "" {
			return v[n]
		}
	}
	return ""
}

// content is how a body travels in an event.
type content struct {
	kind        router.DataKind
	contentType string // what the sender said, where it is a media type
	text        string // the body, byte for byte
	form        bool
}

// contentOf tells what a body is. Without a content type, JSON is taken for what it is.
func contentOf(m Message) content {
	c := content{text: string(m.Body)}
	media, known := router.MediaType{}, false
	if given, ok := single(m.Header, "Content-Type"); ok {
		if media, known = router.ParseMediaType(given); known {
			c.contentType = given
		}
	}
	if !known {
		media, _ = router.ParseMediaType(jsonType)
	}
	c.form = media.Type+"/"+media.Subtype == formType
	if c.form && media.IsUTF8() && len(m.Body) > 0 && isASCII(c.text) {
		c.kind = router.TextData // that is all that a form consists of
		return c
	}
	c.kind = cloudevents.BodyKind(media, m.Body, c.text)
	return c
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x7f || r < ' ' && r != '\t' && r != '\n' && r != '\r' }) < 0
}

// read gives all that the plan asks for. Of what is not JSON and no form there is no payload.
func (p *plan) read(m Message, c content) values {
	v := make(values, len(p.refs))
	for i, r := range p.refs {
		switch r.place {
		case inHeader:
			v[i], _ = single(m.Header, r.name)
		case inQuery:
			if given := m.Query[r.name]; len(given) == 1 {
				v[i] = given[0]
			}
		}
	}
	switch {
	case c.form:
		p.readForm(v, c.text)
	case c.kind == router.JSONData:
		p.readJSON(v, c.text)
	}
	return v
}

// readForm reads a form: each field a member of the payload, or the JSON that is in the field "payload". A field that is there twice is not there.
func (p *plan) readForm(v values, text string) {
	form, err := url.ParseQuery(text)
	if err != nil {
		return
	}
	if inner := form[formPayload]; len(inner) == 1 && jsontext.Value(inner[0]).IsValid() {
		p.readJSON(v, inner[0])
		return
	}
	for name, given := range form {
		if n := p.root.members[name]; n != nil && len(given) == 1 {
			v.set(n, given[0])
		}
	}
}

func (v values) set(n *node, text string) {
	for _, ref := range n.refs {
		v[ref] = text
	}
}

// readJSON reads a text that is valid JSON, once, looking only at what leads to something.
func (p *plan) readJSON(v values, text string) {
	if p.root.members == nil && p.root.items == nil {
		return
	}
	w := walker{jsontext.NewDecoder(strings.NewReader(text)), v}
	_ = w.value(&p.root) // what was read until something is wrong with it is good
}

type walker struct {
	*jsontext.Decoder
	values values
}

// value reads the next value, which stands at a node.
func (w walker) value(n *node) error {
	switch w.PeekKind() {
	case jsontext.KindBeginObject:
		if n.members == nil {
			return w.SkipValue()
		}
		return w.object(n)
	case jsontext.KindBeginArray:
		if n.items == nil {
			return w.SkipValue()
		}
		return w.array(n)
	case jsontext.KindNull:
		return w.SkipValue()
	}
	token, err := w.ReadToken()
	if err != nil {
		return err
	}
	if len(n.refs) > 0 {
		w.values.set(n, token.String())
	}
	return nil
}

func (w walker) object(n *node) error {
	if _, err := w.ReadToken(); err != nil {
		return err
	}
	for w.PeekKind() == jsontext.KindString {
		name, err := w.ReadToken()
		if err != nil {
			return err
		}
		if err := w.member(n.members[name.String()]); err != nil {
			return err
		}
	}
	return w.end(jsontext.KindEndObject)
}

func (w walker) array(n *node) error {
	if _, err := w.ReadToken(); err != nil {
		return err
	}
	for i := 0; w.PeekKind() != jsontext.KindEndArray; i++ {
		if err := w.member(n.items[i]); err != nil {
			return err
		}
	}
	return w.end(jsontext.KindEndArray)
}

// member reads a value that stands at a node, or nowhere that is of interest.
func (w walker) member(n *node) error {
	if n == nil {
		return w.SkipValue()
	}
	return w.value(n)
}

var errNotEnded = errors.New("the JSON ends too early")

// end goes over a closing bracket.
func (w walker) end(bracket jsontext.Kind) error {
	token, err := w.ReadToken()
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if token.Kind() != bracket {
		return errNotEnded
	}
	return nil
}
