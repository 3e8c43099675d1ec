// Package cloudevents reads and writes events as they travel over HTTP: the CloudEvents 1.0 JSON event format (single and batch), the HTTP protocol
// binding's binary mode, and plain JSON for clients that know nothing of CloudEvents. It is strict in what it takes, and gives attributes, extensions and the
// payload's bytes back as they came.
package cloudevents

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// The content types of CloudEvents in JSON.
const (
	StructuredType = "application/cloudevents+json"
	BatchType      = "application/cloudevents-batch+json"
)

// MaxDataDepth is how deep objects and arrays of a payload in JSON may lie within each other. It leaves room for a chain of 16 firings, each of which
// wraps the payload in four more, below the 1,000 levels that Redis' cjson and other parsers take.
const MaxDataDepth = 256

// Limits bound what one request may hold. What is over one of them is refused as router.TooLarge.
type Limits struct {
	MaxEventBytes  int // one event as it is sent: its JSON, or in binary mode its body. Defaults to 1 MiB.
	MaxBatchEvents int // events of a batch. Defaults to 1,000.
	MaxBatchBytes  int // the body of a batch. Defaults to 16 MiB.
}

// BodyBytes is the largest body that a request of that content type can have, so that no more of it need be read.
func (l Limits) BodyBytes(contentType string) int {
	l = l.withDefaults()
	m, _ := router.ParseMediaType(contentType)
	if f := formatOf(m); f == batch || f == plain {
		return max(l.MaxBatchBytes, l.MaxEventBytes)
	}
	return l.MaxEventBytes
}

// EventBytes is the largest body that one event can have.
func (l Limits) EventBytes() int { return l.withDefaults().MaxEventBytes }

func (l Limits) withDefaults() Limits {
	if l.MaxEventBytes == 0 {
		l.MaxEventBytes = 1 << 20
	}
	if l.MaxBatchEvents == 0 {
		l.MaxBatchEvents = 1000
	}
	if l.MaxBatchBytes == 0 {
		l.MaxBatchBytes = 16 << 20
	}
	return l
}

// Decoder reads the events of HTTP requests. Its zero value works, and takes only complete CloudEvents. It is safe for concurrent use.
type Decoder struct {
	Limits Limits
	// NewID makes the id of an event in plain JSON that has none. Defaults to refusing such an event.
	NewID func() string
	// Check is called with each valid event; its *router.Error is passed on with the locations of its problems put in place ("source" becomes
	// "body[3].source"). Defaults to none.
	Check func(router.Event) error
}

// Decode reads all events of one request, in their order; an empty batch has none. One invalid event refuses them all. The events are made of one
// copy of the body, which they keep alive.
//
// Content type and headers decide how the body is read (HTTP protocol binding, section 3): as one CloudEvent in JSON, as a batch of them, with
// ce- headers as the data of one event in binary mode, or as plain JSON, an object or an array, where specversion, id and source ("/") may be left
// out. Everything that is JSON has to be UTF-8 without duplicate names.
//
// Errors are *router.Error: Unsupported for a content type or charset that can't be read, TooLarge for what is over a limit, Malformed for all
// else, with problems at locations such as "body[3].time" and "header.ce-time".
func (d Decoder) Decode(contentType string, header http.Header, body []byte) ([]router.Event, error) {
	media, ok := router.ParseMediaType(contentType)
	format := formatOf(media)
	switch {
	case format == foreign:
		return nil, unsupported("CloudEvents are understood in JSON only, not as ", contentType)
	case format != structured && format != batch && hasEventHeaders(header):
		return d.decodeBinary(contentType, media, header, body)
	case format == unknown || !ok:
		return nil, unsupported("send "+StructuredType+", "+BatchType+", application/json or ce- headers; this is not understood: ", contentType)
	case !media.IsUTF8():
		return nil, unsupported("JSON has to be in UTF-8, not as ", contentType)
	}
	return d.decodeJSON(format, body)
}

// format is how a body is read.
type format uint8

const (
	unknown    format = iota
	structured        // one CloudEvent in JSON
	batch             // an array of them
	plain             // one or an array of them, of which parts may be missing
	foreign           // CloudEvents in another format than JSON
)

// formatOf tells the format by the media type. What starts with application/cloudevents is never binary mode (HTTP protocol binding, section 3).
func formatOf(m router.MediaType) format {
	switch {
	case m.Type != "application":
		return unknown
	case m.Subtype == "cloudevents+json":
		return structured
	case m.Subtype == "cloudevents-batch+json":
		return batch
	case m.Subtype == "json":
		return plain
	case strings.HasPrefix(m.Subtype, "cloudevents"):
		return foreign
	}
	return unknown
}

func unsupported(message, contentType string) error {
	if contentType == "" {
		return router.Errorf(router.Unsupported, "%sno content type", message)
	}
	return router.Errorf(router.Unsupported, "%s%s", message, quoted(contentType))
}

// check calls the decoder's Check and puts the locations of its problems in place.
func (d Decoder) check(e router.Event, locate func(string) string) error {
	if d.Check == nil {
		return nil
	}
	return relocated(d.Check(e), locate)
}

func tooLarge(location, what string, limit int) error {
	err := router.Errorf(router.TooLarge, "%s is larger than the limit of %s bytes", what, strconv.Itoa(limit))
	err.Problems = []router.Problem{{Location: location, Message: "must not be larger than " + strconv.Itoa(limit) + " bytes"}}
	return err
}
