package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"go.yaml.in/yaml/v3"
)

// writeYAML writes a JSON text as YAML, its members in their order.
func writeYAML(w io.Writer, text json.RawMessage) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	node, err := readNode(d)
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	out, err := yaml.Marshal(node)
	if err != nil {
		return fmt.Errorf("write YAML: %w", err)
	}
	return write(w, plainLines(string(out))) // what YAML did not quote is plain already
}

// readNode makes a YAML node of the next JSON value.
func readNode(d *json.Decoder) (*yaml.Node, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		return readNodes(d, &yaml.Node{Kind: yaml.MappingNode})
	case json.Delim('['):
		list, err := readNodes(d, &yaml.Node{Kind: yaml.SequenceNode})
		if err == nil && !slices.ContainsFunc(list.Content, func(item *yaml.Node) bool { return item.Kind != yaml.ScalarNode }) {
			list.Style = yaml.FlowStyle
		}
		return list, err
	}
	if number, ok := token.(json.Number); ok {
		return &yaml.Node{Kind: yaml.ScalarNode, Value: number.String()}, nil
	}
	node := &yaml.Node{}
	return node, node.Encode(token)
}

// readNodes fills a node with what stands in an object or array, up to its end.
func readNodes(d *json.Decoder, node *yaml.Node) (*yaml.Node, error) {
	for d.More() {
		item, err := readNode(d)
		if err != nil {
			return nil, err
		}
		node.Content = append(node.Content, item)
	}
	if len(node.Content) == 0 {
		node.Style = yaml.FlowStyle
	}
	_, err := d.Token() // the end
	return node, err
}
