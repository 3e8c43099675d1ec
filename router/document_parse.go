package router

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// jsonValue is a parsed JSON value: its text as it stands in the document, and what it holds. The zero jsonValue is an absent one.
type jsonValue struct {
	src     []byte
	members []jsonMember // of an object: in the document's order, each name once; of an array: nameless
}

// jsonMember is a name and its value.
type jsonMember struct {
	name  string
	value jsonValue
}

// kind is the JSON type, 0 of an absent value.
func (v jsonValue) kind() jsontext.Kind { return jsontext.Value(v.src).Kind() }

// member finds a member of an object; it is absent where there is none, or v is no object.
func (v jsonValue) member(name string) jsonValue {
	if v.kind() != jsontext.KindBeginObject {
		return jsonValue{}
	}
	for _, m := range v.members {
		if m.name == name {
			return m.value
		}
	}
	return jsonValue{}
}

// parseJSON parses one document. The error is TooLarge, Malformed, or Invalid for too deep a nesting; repeated names are added to f,
// and the first of them stands. The values refer to text, which must stay as it is.
func parseJSON(text []byte, f *docFaults) (jsonValue, error) {
	if len(text) > MaxDocumentBytes {
		return jsonValue{}, Errorf(TooLarge, "the document has %d bytes; at most %d are possible", len(text), MaxDocumentBytes)
	}
	// Duplicates are found here, not by the decoder, which would stop at the first.
	p := &jsonParser{text: text, faults: f, dec: jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))}
	v, err := p.value()
	if err == nil {
		err = p.end()
	}
	if err != nil {
		return jsonValue{}, p.refusal(err)
	}
	return v, nil
}

// errTooDeep ends the parsing of a document that nests too deeply.
var errTooDeep = errors.New("too deep")

// jsonParser builds jsonValues out of a decoder's tokens.
type jsonParser struct {
	text    []byte
	dec     *jsontext.Decoder
	faults  *docFaults
	repeats int
}

func (p *jsonParser) value() (jsonValue, error) {
	switch p.dec.PeekKind() {
	case jsontext.KindBeginObject:
		return p.container(p.object)
	case jsontext.KindBeginArray:
		return p.container(p.array)
	}
	v, err := p.dec.ReadValue()
	if err != nil {
		return jsonValue{}, err
	}
	return jsonValue{src: p.since(p.offset() - len(v))}, nil
}

// container reads the opening bracket, the members, and the closing one.
func (p *jsonParser) container(read func() ([]jsonMember, error)) (jsonValue, error) {
	if _, err := p.dec.ReadToken(); err != nil {
		return jsonValue{}, err
	}
	if p.dec.StackDepth() > MaxDocumentDepth {
		return jsonValue{}, errTooDeep
	}
	start := p.offset() - 1
	members, err := read()
	if err != nil {
		return jsonValue{}, err
	}
	if _, err := p.dec.ReadToken(); err != nil {
		return jsonValue{}, err
	}
	return jsonValue{src: p.since(start), members: members}, nil
}

func (p *jsonParser) object() (members []jsonMember, err error) {
	seen := map[string]bool{}
	for p.dec.PeekKind() != jsontext.KindEndObject {
		token, err := p.dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := token.String()
		repeated := seen[name]
		if repeated {
			p.reportRepeated()
		}
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		if !repeated {
			seen[name] = true
			members = append(members, jsonMember{name, v})
		}
	}
	return members, nil
}

// reportRepeated records that the name read last was there before. Only so often: saying where costs as much as the place is long.
func (p *jsonParser) reportRepeated() {
	p.repeats++
	if p.repeats <= MaxDocumentProblems {
		p.faults.add(p.at(), "stands here more than once")
	}
}

func (p *jsonParser) array() (items []jsonMember, err error) {
	for p.dec.PeekKind() != jsontext.KindEndArray {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		items = append(items, jsonMember{value: v})
	}
	return items, nil
}

// end checks that nothing follows the value.
func (p *jsonParser) end() error {
	_, err := p.dec.ReadToken()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil:
		return errors.New("more text after the value")
	}
	return err
}

func (p *jsonParser) offset() int { return int(p.dec.InputOffset()) }

// since is the text from a place to where the decoder stands.
func (p *jsonParser) since(start int) []byte { return p.text[start:p.offset():p.offset()] }

// at is the place of the value, or name, that was read last.
func (p *jsonParser) at() string {
	at, level := []byte(documentRoot), 1
	for token := range p.dec.StackPointer().Tokens() {
		if kind, _ := p.dec.StackIndex(level); kind == jsontext.KindBeginArray {
			at = append(append(append(at, '['), token...), ']')
		} else {
			at = appendMemberAt(at, token)
		}
		level++
	}
	return string(at)
}

// refusal says why and where parsing ended.
func (p *jsonParser) refusal(err error) error {
	if errors.Is(err, errTooDeep) {
		return &Error{Code: Invalid, Message: "the document is nested too deeply", Problems: []Problem{
			{p.at(), fmt.Sprintf("is nested more than %d levels deep", MaxDocumentDepth)}}}
	}
	reason, offset := err.Error(), p.offset()
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		reason, offset = s.Err.Error(), int(s.ByteOffset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		reason, offset = "ends too early", len(p.text)
	}
	before := p.text[:min(offset, len(p.text))]
	line, column := bytes.Count(before, []byte("\n"))+1, len(before)-bytes.LastIndexByte(before, '\n')
	return &Error{Code: Malformed, Message: "the document is not valid JSON", Problems: []Problem{
		{p.at(), fmt.Sprintf("%s, at line %d, column %d", reason, line, column)}}}
}
