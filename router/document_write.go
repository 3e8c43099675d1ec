package router

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonWriter appends JSON to a buffer, with the commas where they belong. What is opened must be closed.
type jsonWriter struct {
	b []byte
}

// open begins an object ('{') or array ('['): the document, or a member's value.
func (w *jsonWriter) open(bracket byte) { w.b = append(w.b, bracket) }

// close ends it.
func (w *jsonWriter) close(bracket byte) { w.b = append(w.b, bracket) }

// separate writes the comma that the next name or item needs.
func (w *jsonWriter) separate() {
	if last := w.b[len(w.b)-1]; last != '{' && last != '[' {
		w.b = append(w.b, ',')
	}
}

// name begins a member.
func (w *jsonWriter) name(name string) {
	w.separate()
	w.b, _ = jsontext.AppendQuote(w.b, name) // invalid UTF-8 becomes U+FFFD
	w.b = append(w.b, ':')
}

// text writes a member that is a string.
func (w *jsonWriter) text(name, value string) {
	w.name(name)
	w.b, _ = jsontext.AppendQuote(w.b, value)
}

// texts writes members that are strings, in the order of their names.
func (w *jsonWriter) texts(members map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		w.text(name, members[name])
	}
}

// optional writes a member that is a string, unless it is empty.
func (w *jsonWriter) optional(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

// literal writes a member whose value is JSON already.
func (w *jsonWriter) literal(name, value string) {
	w.name(name)
	w.b = append(w.b, value...)
}

func (w *jsonWriter) bool(name string, value bool) { w.literal(name, strconv.FormatBool(value)) }

func (w *jsonWriter) integer(name string, value int) { w.literal(name, strconv.Itoa(value)) }

func (w *jsonWriter) float(name string, value float64) {
	w.name(name)
	w.b = jsontext.AppendFloat(w.b, value, 64)
}

// item writes an item of an array that is a string.
func (w *jsonWriter) item(value string) {
	w.separate()
	w.b, _ = jsontext.AppendQuote(w.b, value)
}

// time writes a member that is a time, unless it is zero.
func (w *jsonWriter) time(name string, t time.Time) {
	if !t.IsZero() {
		w.text(name, FormatTime(t))
	}
}
