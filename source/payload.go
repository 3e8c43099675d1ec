package source

import (
	"maps"
	"net/url"
	"slices"
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
	c.form = isForm(media)
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
	w := walker{text: text, values: v}
	w.value(&p.root)
}

// walker goes through a text that is known to be valid JSON, so that nothing is checked and nothing is copied but strings with escapes.
type walker struct {
	text   string
	pos    int
	values values
}

// space goes over white space, and gives the byte after it; 0 at the end.
func (w *walker) space() byte {
	for ; w.pos < len(w.text); w.pos++ {
		if c := w.text[w.pos]; c > ' ' {
			return c
		}
	}
	return 0
}

// value goes over the next value, which stands at a node; nil: nowhere that is of interest.
func (w *walker) value(n *node) {
	switch c := w.space(); {
	case c == '{' && n != nil && n.members != nil:
		w.object(n)
	case c == '[' && n != nil && n.items != nil:
		w.array(n)
	case c == '{' || c == '[':
		w.skip()
	case c == '"':
		text := w.quoted()
		if n != nil && len(n.refs) > 0 {
			w.values.set(n, unquoted(text))
		}
	default:
		text := w.word()
		if n != nil && text != "null" {
			w.values.set(n, text)
		}
	}
}

func (w *walker) object(n *node) {
	w.pos++
	for c := w.space(); c == '"'; c = w.space() {
		name := unquoted(w.quoted())
		w.space() // and the colon
		w.pos++
		w.value(n.members[name])
		if w.space() == ',' {
			w.pos++
		}
	}
	w.pos++
}

func (w *walker) array(n *node) {
	w.pos++
	for i, c := 0, w.space(); c != ']' && c != 0; i, c = i+1, w.space() {
		w.value(n.items[i])
		if w.space() == ',' {
			w.pos++
		}
	}
	w.pos++
}

// skip goes over an object or array.
func (w *walker) skip() {
	for depth := 0; w.pos < len(w.text); {
		switch w.text[w.pos] {
		case '"':
			w.quoted()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		w.pos++
		if depth == 0 {
			return
		}
	}
}

// quoted goes over a string, and gives it with its quotes.
func (w *walker) quoted() string {
	start := w.pos
	for w.pos++; w.pos < len(w.text); {
		end := strings.IndexByte(w.text[w.pos:], '"')
		if end < 0 {
			break
		}
		escapes := 0
		for at := w.pos + end - 1; at > start && w.text[at] == '\\'; at-- {
			escapes++
		}
		w.pos += end + 1
		if escapes%2 == 0 {
			return w.text[start:w.pos]
		}
	}
	w.pos = len(w.text)
	return w.text[start:]
}

// unquoted is what a string says.
func unquoted(s string) string {
	if strings.IndexByte(s, '\\') < 0 && len(s) >= 2 {
		return s[1 : len(s)-1]
	}
	b, _ := jsontext.AppendUnquote(nil, s) // valid, or the text would not be JSON
	return string(b)
}

// word goes over a number, true, false or null.
func (w *walker) word() string {
	start := w.pos
	for w.pos < len(w.text) && strings.IndexByte(",]} \t\r\n", w.text[w.pos]) < 0 {
		w.pos++
	}
	return w.text[start:w.pos]
}

func isForm(m router.MediaType) bool { return m.Type+"/"+m.Subtype == formType }

// signedForm gives the fields of a form in the order of their names, each with its value behind it. A field that is there twice could be read in two ways.
func signedForm(m Message) (fields []byte, ok bool) {
	given, _ := single(m.Header, "Content-Type")
	media, known := router.ParseMediaType(given)
	form, err := url.ParseQuery(string(m.Body))
	if !known || !isForm(media) || err != nil {
		return nil, false
	}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		if len(form[name]) != 1 {
			return nil, false
		}
		fields = append(append(fields, name...), form[name][0]...)
	}
	return fields, true
}
