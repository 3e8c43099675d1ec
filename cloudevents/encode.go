package cloudevents

import (
	"encoding/base64"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/streamlatch/streamlatch/router"
)

// AppendStructured appends the event in the JSON event format, specversion first. Data that is JSON stands in it byte for byte, line breaks
// included, so that what comes out is one JSON value but not always one line.
func AppendStructured(dst []byte, e router.Event) []byte {
	dst = append(dst, `{"specversion":"`+router.SpecVersion+`"`...)
	dst = appendMember(dst, `,"id":`, e.ID())
	dst = appendMember(dst, `,"source":`, e.Source())
	dst = appendMember(dst, `,"type":`, e.Type())
	dst = appendMember(dst, `,"subject":`, e.Subject())
	dst = appendMember(dst, `,"time":`, e.TimeText())
	dst = appendMember(dst, `,"datacontenttype":`, e.DataContentType())
	dst = appendMember(dst, `,"dataschema":`, e.DataSchema())
	for x := range e.Extensions {
		dst = appendExtension(dst, x)
	}
	return append(appendData(dst, e), '}')
}

// AppendBatch appends the events in the JSON batch format.
func AppendBatch(dst []byte, events []router.Event) []byte {
	dst = append(dst, '[')
	for i, e := range events {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = AppendStructured(dst, e)
	}
	return append(dst, ']')
}

// appendMember appends an attribute that the event has.
func appendMember(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, name...), value)
}

func appendExtension(dst []byte, x router.Extension) []byte {
	dst = append(appendString(append(dst, ','), x.Name), ':')
	if x.Kind == router.StringValue {
		return appendString(dst, x.Value)
	}
	return append(dst, x.Value...)
}

func appendData(dst []byte, e router.Event) []byte {
	switch e.DataKind() {
	case router.JSONData:
		return append(append(dst, `,"data":`...), e.DataText()...)
	case router.TextData:
		return appendString(append(dst, `,"data":`...), e.DataText())
	case router.BinaryData:
		dst = append(dst, `,"data_base64":"`...)
		return append(base64.StdEncoding.AppendEncode(dst, e.Data()), '"')
	}
	return dst
}

// appendString appends a JSON string. A valid event is valid UTF-8; of one that was damaged in storage the rest is still shown.
func appendString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
