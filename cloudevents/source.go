package cloudevents

import (
	"bytes"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// source gives what one JSON text holds, from its beginning to its end: an array's values, an object's names and values in turns, and whole values. Its
// texts are parts of the text. After an error it gives nothing of use.
type source interface {
	// peek is the kind of what comes next, a closing bracket included: 0 where nothing valid does.
	peek() jsontext.Kind
	// step passes the bracket that comes next.
	step() error
	// name reads the name of a member as it stands in the text, quoted.
	name() (string, error)
	// value reads one value, with all that lies within it.
	value() (string, error)
	// offset is where what was read last ends, or behind it, but no further than before what comes next.
	offset() int
	// end tells whether more follows.
	end() (more bool, err error)
}

// thorough reads with jsontext, which says no to invalid UTF-8 and duplicate names at any depth, and tells what is wrong.
type thorough struct {
	json   *jsontext.Decoder // reads buffer
	buffer bytes.Buffer      // the body
	text   string            // the same
}

func (t *thorough) open(body []byte, text string) {
	t.buffer, t.text = *bytes.NewBuffer(body), text
	t.json.Reset(&t.buffer)
}

func (t *thorough) release() {
	*t = thorough{json: t.json}
	t.json.Reset(&t.buffer)
}

func (t *thorough) peek() jsontext.Kind { return t.json.PeekKind() }

func (t *thorough) step() error {
	_, err := t.json.ReadToken()
	return err
}

func (t *thorough) name() (string, error) { return t.value() }

func (t *thorough) value() (string, error) {
	v, err := t.json.ReadValue()
	if err != nil {
		return "", err
	}
	end := t.offset()
	return t.text[end-len(v) : end], nil
}

func (t *thorough) offset() int { return int(t.json.InputOffset()) }

func (t *thorough) end() (more bool, err error) {
	if _, err = t.json.ReadToken(); err == io.EOF {
		return false, nil
	}
	return err == nil, err
}
