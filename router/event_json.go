package router

import (
	"encoding/base64"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendJSON appends the event in the JSON event format of CloudEvents, specversion first. Data that is JSON stands in it byte for byte, line breaks included,
// so that what comes out is one JSON value but not always one line.
func (e Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"specversion":"`+SpecVersion+`"`...)
	dst = appendAttribute(dst, `,"id":`, e.fields().ID)
	dst = appendAttribute(dst, `,"source":`, e.fields().Source)
	dst = appendAttribute(dst, `,"type":`, e.fields().Type)
	dst = appendAttribute(dst, `,"subject":`, e.fields().Subject)
	dst = appendAttribute(dst, `,"time":`, e.fields().Time)
	dst = appendAttribute(dst, `,"datacontenttype":`, e.fields().DataContentType)
	dst = appendAttribute(dst, `,"dataschema":`, e.fields().DataSchema)
	for _, x := range e.fields().Extensions {
		dst = x.appendJSON(dst)
	}
	return append(e.appendData(dst), '}')
}

// appendAttribute appends an attribute that the event has.
func appendAttribute(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendJSONString(append(dst, name...), value)
}

func (x Extension) appendJSON(dst []byte) []byte {
	dst = append(appendJSONString(append(dst, ','), x.Name), ':')
	if x.Kind == StringValue {
		return appendJSONString(dst, x.Value)
	}
	return append(dst, x.Value...)
}

func (e Event) appendData(dst []byte) []byte {
	switch e.fields().DataKind {
	case JSONData:
		return append(append(dst, `,"data":`...), e.fields().Data...)
	case TextData:
		return appendJSONString(append(dst, `,"data":`...), e.fields().Data)
	case BinaryData:
		dst = append(dst, `,"data_base64":"`...)
		return append(base64.StdEncoding.AppendEncode(dst, []byte(e.fields().Data)), '"')
	}
	return dst
}

// appendJSONString appends a JSON string. A valid event is valid UTF-8; of one that was damaged in storage the rest is still shown.
func appendJSONString(dst []byte, s string) []byte {
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}
