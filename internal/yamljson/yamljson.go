// Package yamljson turns YAML into JSON, so that what reads JSON strictly reads YAML as strictly.
package yamljson

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxNodes bounds what the aliases of a YAML document can blow up to.
const MaxNodes = 100_000

// Append appends a YAML node as JSON. Numbers stay as they are written where JSON writes them so; dates are text. keep, where it is not nil, chooses the members of
// a mapping that is the node. The error names the line.
func Append(dst []byte, n *yaml.Node, keep func(name string, value *yaml.Node) bool) ([]byte, error) {
	budget := MaxNodes
	return appendNode(dst, n, &budget, keep)
}

// appendNode appends a node as JSON. Numbers stay as they are written where JSON writes them so; dates are text. keep, where it is not nil, chooses the members of
// this mapping.
func appendNode(dst []byte, n *yaml.Node, budget *int, keep func(name string, value *yaml.Node) bool) ([]byte, error) {
	if *budget--; *budget < 0 {
		return nil, fmt.Errorf("line %d: the document is too large, or its aliases are", n.Line)
	}
	switch n.Kind {
	case yaml.MappingNode:
		return appendMapping(dst, n, budget, keep)
	case yaml.SequenceNode:
		dst = append(dst, '[')
		for i, item := range n.Content {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendNode(dst, item, budget, nil); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case yaml.AliasNode:
		return appendNode(dst, n.Alias, budget, nil)
	}
	return appendScalar(dst, n)
}

func appendMapping(dst []byte, n *yaml.Node, budget *int, keep func(string, *yaml.Node) bool) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	for i := 0; i < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		if name.Kind != yaml.ScalarNode || name.Tag == "!!merge" {
			return nil, fmt.Errorf("line %d: a name must be text", name.Line)
		}
		if keep != nil && !keep(name.Value, value) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		var err error
		if dst, err = appendText(dst, name); err != nil {
			return nil, err
		}
		if dst, err = appendNode(append(dst, ':'), value, budget, nil); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func appendScalar(dst []byte, n *yaml.Node) ([]byte, error) {
	switch n.ShortTag() {
	case "!!null":
		return append(dst, "null"...), nil
	case "!!bool":
		return strconv.AppendBool(dst, strings.EqualFold(n.Value, "true")), nil
	case "!!int", "!!float":
		return appendNumber(dst, n)
	case "!!str", "!!timestamp":
		return appendText(dst, n)
	}
	return nil, fmt.Errorf("line %d: %s is not possible here", n.Line, n.ShortTag())
}

func appendText(dst []byte, n *yaml.Node) ([]byte, error) {
	text, err := json.Marshal(n.Value)
	if err != nil {
		return nil, fmt.Errorf("line %d: %w", n.Line, err)
	}
	return append(dst, text...), nil
}

// appendNumber keeps numbers that are numbers in JSON too, and rewrites YAML's own forms.
func appendNumber(dst []byte, n *yaml.Node) ([]byte, error) {
	if json.Valid([]byte(n.Value)) {
		return append(dst, n.Value...), nil
	}
	if i := int64(0); n.ShortTag() == "!!int" && n.Decode(&i) == nil { // of a float it would be the whole part
		return strconv.AppendInt(dst, i, 10), nil
	}
	f := 0.0
	if err := n.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, fmt.Errorf("line %d: %q is not a number of JSON", n.Line, n.Value)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64), nil
}
