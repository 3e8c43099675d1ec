package router

import (
	"github.com/go-json-experiment/json/jsontext"
)

// MergePatch applies a JSON merge patch (RFC 7396): members of the patch replace or join those of the target, null removes them, and
// what is not an object replaces the whole. What neither touches keeps its text and its order. Both documents are read strictly and
// within the limits of documents; the errors are those of the patch, or of the target (Malformed, TooLarge, Invalid).
func MergePatch(target, patch []byte) ([]byte, error) {
	t, err := parseStrict(target)
	if err != nil {
		return nil, err
	}
	p, err := parseStrict(patch)
	if err != nil {
		return nil, err
	}
	return appendMerged(nil, t, p), nil
}

// parseStrict parses a document and refuses repeated names.
func parseStrict(text []byte) (jsonValue, error) {
	f := &docFaults{}
	v, err := parseJSON(text, f)
	if err != nil {
		return jsonValue{}, err
	}
	return v, f.err("the document is not valid")
}

// appendMerged is RFC 7396, section 2. An absent or other target counts as an empty object.
func appendMerged(dst []byte, target, patch jsonValue) []byte {
	if patch.kind() != jsontext.KindBeginObject {
		return append(dst, patch.src...)
	}
	changes := make(map[string]jsonValue, len(patch.members))
	for _, m := range patch.members {
		changes[m.name] = m.value
	}
	w := jsonWriter{dst}
	w.open('{')
	if target.kind() == jsontext.KindBeginObject {
		for _, m := range target.members {
			change, changed := changes[m.name]
			delete(changes, m.name)
			w.merge(m.name, m.value, change, changed)
		}
	}
	for _, m := range patch.members {
		if change, left := changes[m.name]; left {
			w.merge(m.name, jsonValue{}, change, true)
		}
	}
	w.close('}')
	return w.b
}

// merge writes one member of the result, unless the change removes it.
func (w *jsonWriter) merge(name string, value, change jsonValue, changed bool) {
	switch {
	case !changed:
		w.name(name)
		w.b = append(w.b, value.src...)
	case change.kind() != jsontext.KindNull:
		w.name(name)
		w.b = appendMerged(w.b, value, change)
	}
}
