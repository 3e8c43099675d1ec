package cloudevents

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/streamlatch/streamlatch/router"
)

// headerPrefix is what names of attributes have before them in HTTP (HTTP protocol binding, section 3.1.3.1).
const headerPrefix = "Ce-"

// hasEventHeaders tells whether the headers are those of an event in binary mode: a version, or without it any attribute that every event must
// have, so that a forgotten version is said and not passed over.
func hasEventHeaders(header http.Header) bool {
	for key := range header {
		switch name, _ := attributeName(key); name {
		case "specversion", "id", "source", "type":
			return true
		}
	}
	return false
}

// attributeName gives the name of the attribute that a header holds.
func attributeName(key string) (name string, ok bool) {
	if len(key) <= len(headerPrefix) || !strings.EqualFold(key[:len(headerPrefix)], headerPrefix) {
		return "", false
	}
	switch key { // as net/http writes them
	case "Ce-Specversion":
		return "specversion", true
	case "Ce-Id":
		return "id", true
	case "Ce-Source":
		return "source", true
	case "Ce-Type":
		return "type", true
	case "Ce-Subject":
		return "subject", true
	case "Ce-Time":
		return "time", true
	}
	return strings.ToLower(key[len(headerPrefix):]), true
}

// decodeBinary reads the one event of a request in binary mode (HTTP protocol binding, section 3.1).
func (d Decoder) decodeBinary(contentType string, media router.MediaType, header http.Header, body []byte) ([]router.Event, error) {
	if limit := d.Limits.withDefaults().MaxEventBytes; len(body) > limit {
		return nil, tooLarge("body", "the event", limit)
	}
	var found problems
	event := headerAttributes(header, &found)
	if fault := versionFault(event.specVersion); fault != "" {
		found.add("header.ce-specversion", fault)
	}
	event.DataContentType = contentType
	event.Data = string(body)
	event.DataKind = BodyKind(media, body, event.Data)
	e, err := router.NewParsedEvent(event.EventFields)
	if err != nil {
		if err := found.addAll(err, locateHeader); err != nil {
			return nil, placed(err, "header")
		}
	}
	if found != nil {
		// Headers come in no order.
		slices.SortFunc(found, func(a, b router.Problem) int { return cmp.Compare(a.Location, b.Location) })
		return nil, found.err()
	}
	if err := d.check(e, locateHeader); err != nil {
		return nil, err
	}
	return []router.Event{e}, nil
}

// headerAttributes reads all attributes that the headers hold.
func headerAttributes(header http.Header, found *problems) draft {
	var d draft
	for key, values := range header {
		name, ok := attributeName(key)
		if !ok {
			if key == "Content-Type" && len(values) > 1 {
				found.add("header.content-type", "is given twice")
			}
			continue
		}
		value, fault := headerValue(values)
		if fault != "" {
			found.add(locateHeader(member(name)), fault)
		}
		d.setHeader(name, value, found)
	}
	return d
}

// setHeader takes one attribute.
func (d *draft) setHeader(name, value string, found *problems) {
	to := d.attribute(name)
	switch {
	case name == "datacontenttype":
		found.add("header.ce-datacontenttype", "must not be there: the Content-Type says it")
	case to == nil:
		d.Extensions = append(d.Extensions, router.Extension{Name: name, Value: value})
	case *to != "":
		found.add(locateHeader(name), "is given twice")
	case value == "":
		found.add(locateHeader(name), "must not be empty")
	default:
		*to = value
	}
}

func headerValue(values []string) (value, fault string) {
	if len(values) != 1 {
		return "", "is given twice"
	}
	return decodeHeaderValue(values[0])
}

// locateHeader tells which header an attribute's location is.
func locateHeader(location string) string {
	switch {
	case location == "datacontenttype":
		return "header.content-type"
	case strings.HasPrefix(location, "["):
		return "header" + location
	}
	return "header.ce-" + location
}

// BodyKind tells how the body of a request travels in JSON; text is the same as body. What does not hold what its content type says is bytes: in
// binary mode data is opaque.
func BodyKind(media router.MediaType, body []byte, text string) router.DataKind {
	switch {
	case len(body) == 0:
		return router.NoData
	case !media.IsUTF8():
		return router.BinaryData
	case media.IsJSON():
		if (surelyValid(text) || jsontext.Value(body).IsValid()) && !tooDeep(text) {
			return router.JSONData
		}
	case media.Type == "text" && utf8.ValidString(text):
		return router.TextData
	}
	return router.BinaryData
}

// BinaryHeaders gives the headers of the event in binary mode; the body is its Data. Whatever the event holds, names and values are such as may
// stand in a header. Data that is JSON without a datacontenttype is said to be application/json (JSON event format, section 3.1.2).
func BinaryHeaders(e router.Event) http.Header {
	h := headerWriter{header: make(http.Header, 8), values: make([]string, 0, 8)}
	h.set("Ce-Specversion", router.SpecVersion)
	h.set("Ce-Id", e.ID())
	h.set("Ce-Source", e.Source())
	h.set("Ce-Type", e.Type())
	h.set("Ce-Subject", e.Subject())
	h.set("Ce-Time", e.TimeText())
	h.set("Ce-Dataschema", e.DataSchema())
	for x := range e.Extensions {
		h.header[headerKey(x.Name)] = h.one(encodeHeaderValue(x.Value))
	}
	delete(h.header, "")
	if contentType := contentTypeOf(e); contentType != "" {
		h.header["Content-Type"] = h.one(contentType)
	}
	return h.header
}

// headerWriter sets headers whose values lie in one array.
type headerWriter struct {
	header http.Header
	values []string
}

func (h *headerWriter) set(key, value string) {
	if value != "" {
		h.header[key] = h.one(encodeHeaderValue(value))
	}
}

func (h *headerWriter) one(value string) []string {
	h.values = append(h.values, value)
	n := len(h.values)
	return h.values[n-1 : n : n]
}

// headerKey is the header of an extension in net/http's spelling, "" for a name that no valid event has.
func headerKey(name string) string {
	if name == "" {
		return ""
	}
	b := make([]byte, 0, len(headerPrefix)+router.MaxNameBytes)
	b = append(append(b, headerPrefix...), name...)
	for _, c := range b[len(headerPrefix):] {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return ""
		}
	}
	if first := &b[len(headerPrefix)]; *first >= 'a' {
		*first -= 'a' - 'A'
	}
	return string(b)
}

// contentTypeOf is the Content-Type of the event's data.
func contentTypeOf(e router.Event) string {
	contentType := e.DataContentType()
	if contentType == "" && e.DataKind() == router.JSONData {
		return "application/json"
	}
	if _, ok := router.ParseMediaType(contentType); !ok {
		return encodeHeaderValue(contentType)
	}
	return contentType
}
