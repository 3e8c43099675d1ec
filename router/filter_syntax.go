package router

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxFilterDepth is how deep objects and arrays may lie within each other in a dialect or a pattern.
const MaxFilterDepth = 32

// syntaxNode is a JSON value of a filter's definition. Other than jsonValue it keeps repeated names, since EventBridge goes by the last one, and
// its parts are parts of one string, so that what a compiled filter keeps of them costs nothing.
type syntaxNode struct {
	kind    jsontext.Kind
	raw     string // the JSON text
	text    string // what a string says
	members []syntaxMember
}

// syntaxMember is a name and its value, or an item of an array, which has no name.
type syntaxMember struct {
	name  string
	value syntaxNode
}

// parseSyntax parses a JSON text. The error says what is wrong, for the eyes of a caller.
func parseSyntax(raw []byte) (syntaxNode, error) {
	text := string(raw)
	p := syntaxParser{text: text, dec: jsontext.NewDecoder(bytes.NewBuffer(raw), jsontext.AllowDuplicateNames(true))}
	n, err := p.value()
	if err == nil {
		if _, err = p.dec.ReadToken(); err == nil {
			err = errors.New("more text after the value")
		} else if errors.Is(err, io.EOF) {
			return n, nil
		}
	}
	return syntaxNode{}, p.refusal(err)
}

type syntaxParser struct {
	text string
	dec  *jsontext.Decoder
}

func (p *syntaxParser) value() (syntaxNode, error) {
	switch p.dec.PeekKind() {
	case jsontext.KindBeginObject, jsontext.KindBeginArray:
		return p.container()
	}
	v, err := p.dec.ReadValue()
	if err != nil {
		return syntaxNode{}, err
	}
	n := syntaxNode{kind: v.Kind(), raw: p.since(p.offset() - len(v))}
	if n.kind == jsontext.KindString {
		n.text = unquoted(n.raw)
	}
	return n, nil
}

// container reads an object or array.
func (p *syntaxParser) container() (syntaxNode, error) {
	open, err := p.dec.ReadToken()
	if err != nil {
		return syntaxNode{}, err
	}
	if p.dec.StackDepth() > MaxFilterDepth {
		return syntaxNode{}, errTooDeep
	}
	start, named := p.offset()-1, open.Kind() == jsontext.KindBeginObject
	n := syntaxNode{kind: open.Kind()}
	for {
		switch p.dec.PeekKind() {
		case jsontext.KindEndObject, jsontext.KindEndArray:
			_, err := p.dec.ReadToken()
			n.raw = p.since(start)
			return n, err
		}
		m, err := p.member(named)
		if err != nil {
			return syntaxNode{}, err
		}
		n.members = append(n.members, m)
	}
}

func (p *syntaxParser) member(named bool) (m syntaxMember, err error) {
	if named {
		name, err := p.value()
		if err != nil {
			return m, err
		}
		m.name = name.text
	}
	m.value, err = p.value()
	return m, err
}

func (p *syntaxParser) offset() int { return int(p.dec.InputOffset()) }

// since is the text from a place to where the decoder stands.
func (p *syntaxParser) since(start int) string { return p.text[start:p.offset()] }

// refusal says why and where parsing ended.
func (p *syntaxParser) refusal(err error) error {
	if errors.Is(err, errTooDeep) {
		return fmt.Errorf("is nested more than %d levels deep", MaxFilterDepth)
	}
	reason, offset := err.Error(), p.offset()
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		reason, offset = s.Err.Error(), int(s.ByteOffset)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		reason = "ends too early"
	}
	return fmt.Errorf("is not valid JSON: %s, at byte %d", reason, offset)
}

// unquoted is what a valid JSON string says, as a part of it where it has no escapes.
func unquoted(raw string) string {
	if strings.Contains(raw, `\`) {
		return unescaped(raw[1 : len(raw)-1])
	}
	return raw[1 : len(raw)-1]
}

// typeName is the JSON type, for messages.
func (n syntaxNode) typeName() string { return kindName(n.kind) }

// only gives the single member of an object, in which a name says what the value means; false: that is not what it is.
func (n syntaxNode) only() (m syntaxMember, ok bool) {
	if n.kind != jsontext.KindBeginObject || len(n.members) != 1 {
		return syntaxMember{}, false
	}
	return n.members[0], true
}
