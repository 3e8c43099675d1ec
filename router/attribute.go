package router

import (
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits on an event's attributes. CloudEvents has none of its own, but wants every event of up to 64 KiB to pass; attributes alone may be that large.
const (
	// MaxAttributeBytes is the most that names and values of all attributes may hold together.
	MaxAttributeBytes = 64 << 10
	// MaxExtensions is the most extension attributes that an event may have.
	MaxExtensions = 256
	// MaxNameBytes is the longest name of an extension attribute; CloudEvents advises against more than 20.
	MaxNameBytes = 64
)

// eventFaults collects what is wrong with an event; locations are names of attributes, or "data".
type eventFaults []Problem

func (f *eventFaults) add(location, message string) {
	if message != "" {
		*f = append(*f, Problem{Location: location, Message: message})
	}
}

// required checks an attribute of type String that must be there.
func (f *eventFaults) required(name, value string) {
	if value == "" {
		f.add(name, "is required and must not be empty")
		return
	}
	f.add(name, textFault(value))
}

// attributes checks the core attributes, all but datacontenttype.
func (f *eventFaults) attributes(e *EventFields) {
	f.required("id", e.ID)
	f.required("type", e.Type)
	f.add("subject", textFault(e.Subject))
	if e.Source == "" {
		f.add("source", "is required and must not be empty")
	} else {
		f.add("source", uriFault(e.Source, false))
	}
	if e.DataSchema != "" {
		f.add("dataschema", uriFault(e.DataSchema, true))
	}
	if e.Time != "" {
		if _, err := ParseTime(e.Time); err != nil {
			f.add("time", "must be an RFC 3339 timestamp such as 2026-11-20T12:00:00Z")
		}
	}
}

// extensions checks extension attributes that are in the order of their names.
func (f *eventFaults) extensions(list []Extension) {
	for i, x := range list {
		f.extension(x)
		if i > 0 && x.Name == list[i-1].Name {
			f.add(attributeLocation(x.Name), "is given twice")
		}
	}
}

// extension checks name and value of one extension attribute.
func (f *eventFaults) extension(x Extension) {
	if fault := nameFault(x.Name); fault != "" {
		f.add(attributeLocation(x.Name), fault)
		return
	}
	f.add(x.Name, valueFault(x))
}

// nameFault says why an extension can't have that name (CloudEvents 1.0, "Naming conventions").
func nameFault(name string) string {
	switch {
	case name == "":
		return "an attribute's name must not be empty"
	case len(name) > MaxNameBytes:
		return fmt.Sprintf("an attribute's name must not be longer than %d characters", MaxNameBytes)
	case isReservedName(name):
		return "is not a name that an extension may have"
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return "an attribute's name must consist of the letters a to z and digits"
		}
	}
	return ""
}

// isReservedName tells whether CloudEvents itself gives the name a meaning.
func isReservedName(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64":
		return true
	}
	return false
}

// valueFault says what is wrong with an extension's value, by its kind.
func valueFault(x Extension) string {
	switch x.Kind {
	case StringValue:
		return textFault(x.Value)
	case BooleanValue:
		if x.Value != "true" && x.Value != "false" {
			return "must be true or false"
		}
	case IntegerValue:
		if n, err := strconv.ParseInt(x.Value, 10, 32); err != nil || strconv.FormatInt(n, 10) != x.Value {
			return "must be a whole number from -2147483648 to 2147483647"
		}
	default:
		return "must be a string, a whole number or a boolean"
	}
	return ""
}

// textFault says what in s the CloudEvents type String forbids: control characters, noncharacters, and with invalid UTF-8 also unpaired surrogates.
func textFault(s string) string {
	for i := 0; i < len(s); {
		if c := s[i]; c >= ' ' && c < 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			return "must be valid UTF-8"
		case r <= 0x9f:
			return fmt.Sprintf("must not hold control characters: U+%04X", r)
		case r >= 0xfdd0 && r <= 0xfdef, r&0xfffe == 0xfffe:
			return fmt.Sprintf("must not hold code points that are not characters: U+%04X", r)
		}
		i += n
	}
	return ""
}

// contentTypeFault says why an event with such data can't have that datacontenttype. Text is Unicode here, so a charset in which it would have to be
// encoded when it is sent on is refused (CloudEvents JSON event format, section 3.1.2, allows that).
func contentTypeFault(contentType string, kind DataKind) string {
	m, ok := ParseMediaType(contentType)
	switch {
	case contentType == "" && kind == TextData:
		return "is required for data that is text and not JSON"
	case contentType == "":
		return ""
	case !ok:
		return "must be a media type such as application/json"
	case kind == JSONData && !m.IsJSON():
		return "is not a JSON type, so the data must be a string, or bytes in data_base64"
	case kind == TextData && m.IsJSON():
		return "is a JSON type, so the data must be a JSON value"
	case (kind == JSONData || kind == TextData) && !m.IsUTF8():
		return "names a charset other than UTF-8, so the data must be bytes in data_base64"
	}
	return ""
}

// dataFault says why data is not of its kind, for all that can be seen without parsing it.
func dataFault(data string, kind DataKind) string {
	switch {
	case kind > BinaryData:
		return "is of an unknown kind"
	case kind == NoData && data != "":
		return "must be empty where there is no data"
	case kind == JSONData && data == "":
		return "must be a JSON value"
	case kind == TextData && !utf8.ValidString(data):
		return "must be valid UTF-8"
	}
	return ""
}

// isJSON tells whether s is one JSON value in valid UTF-8 without duplicate names (RFC 8259, strict as RFC 7493).
func isJSON(s string) bool { return jsontext.Value(s).IsValid() }

// attributeLocation is where a problem with an attribute is, for a name that may be anything: safe to print, and short.
func attributeLocation(name string) string {
	const most = 40
	plain := name != ""
	for i := range len(name) {
		plain = plain && (isAlphanumeric(name[i]) || name[i] == '_' || name[i] == '-')
	}
	switch {
	case plain && len(name) <= most:
		return name
	case len(name) > most:
		return "[" + strconv.QuoteToASCII(name[:most]) + "…]"
	}
	return "[" + strconv.QuoteToASCII(name) + "]"
}

func quoteFirstRune(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if r == utf8.RuneError && n == 1 {
		return fmt.Sprintf("byte 0x%02X", s[0])
	}
	return strconv.QuoteRuneToASCII(r)
}

// CanBeText tells whether an attribute of the CloudEvents type String can have this value and is not empty.
func CanBeText(s string) bool { return s != "" && textFault(s) == "" }

// CanBeSource tells whether an event can have this source.
func CanBeSource(s string) bool { return s != "" && uriFault(s, false) == "" }

// CheckExtensionName tells why no extension attribute of a publisher's event can have that name; nil: it can.
func CheckExtensionName(name string) error {
	if name == HopsExtension {
		return Errorf(Reserved, "only Streamlatch itself may set this extension")
	}
	if fault := nameFault(name); fault != "" {
		return Errorf(Invalid, "%s", fault)
	}
	return nil
}
