package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

// definition is one document of a definition file, checked as far as that is possible without the server.
type definition struct {
	kind     client.Kind
	name     string
	document []byte // as the API takes it
	where    string // "orders.yaml:12"
}

// maxNodes bounds what the aliases of a YAML file can blow up to.
const maxNodes = 100_000

// readDefinitions reads definitions from files, from the YAML and JSON files in folders and those below, and from stdin ("-"). The error is a usageError that lists
// all documents that are wrong, each with its place.
func readDefinitions(stdin io.Reader, paths []string) ([]definition, error) {
	files, err := definitionFiles(paths)
	if err != nil {
		return nil, usageError{err}
	}
	var all []definition
	var faults []error
	for _, path := range files {
		read, err := readDefinitionFile(stdin, path)
		all = append(all, read...)
		faults = append(faults, err)
	}
	faults = append(faults, checkNames(all))
	if err := errors.Join(faults...); err != nil {
		return nil, usageError{err}
	}
	return all, nil
}

// definitionFiles lists the files that paths stand for, each once, those of a folder in the order of their names.
func definitionFiles(paths []string) (files []string, err error) {
	add := func(path string) {
		if !slices.Contains(files, path) {
			files = append(files, path)
		}
	}
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case path == "-":
			add(path)
			continue
		case err != nil:
			return nil, fmt.Errorf("read definitions: %w", err)
		case !info.IsDir():
			add(filepath.Clean(path))
			continue
		}
		found := len(files)
		err = filepath.WalkDir(path, func(file string, entry fs.DirEntry, err error) error {
			if err != nil {
				return fmt.Errorf("read definitions: %w", err)
			}
			hides := file != path && strings.HasPrefix(entry.Name(), ".")
			switch {
			case hides && entry.IsDir():
				return fs.SkipDir
			case !hides && !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(file)):
				add(file)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(files) == found {
			return nil, fmt.Errorf("%s has no .yaml, .yml or .json file", path)
		}
	}
	return files, nil
}

func readDefinitionFile(stdin io.Reader, path string) (all []definition, err error) {
	var text []byte
	if path == "-" {
		path = "stdin"
		text, err = io.ReadAll(stdin)
	} else {
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read definitions: %w", err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var faults []error
	for {
		var document yaml.Node
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", path, err))
			break // the rest can't be read
		}
		root := document.Content[0]
		if root.Tag == "!!null" {
			continue // nothing between two separators
		}
		d, err := readDefinition(root, path+":"+strconv.Itoa(root.Line))
		if err != nil {
			faults = append(faults, err)
			continue
		}
		all = append(all, d)
	}
	return all, errors.Join(faults...)
}

// readDefinition makes a definition of a document.
func readDefinition(root *yaml.Node, where string) (definition, error) {
	if root.Kind != yaml.MappingNode {
		return definition{}, fmt.Errorf("%s: is not a mapping with a kind, a name and so on", where)
	}
	d := definition{where: where}
	budget := maxNodes
	text, err := appendYAML(nil, root, &budget, func(name string, value *yaml.Node) bool {
		switch name {
		case "kind":
			d.kind = client.Kind(value.Value)
			return false
		case "name":
			d.name = value.Value
		}
		return true
	})
	d.document = text
	if err == nil {
		err = d.check()
	}
	if err != nil {
		return definition{}, fmt.Errorf("%s: %w", where, err)
	}
	return d, nil
}

// check tells what is wrong with the definition, as the server would.
func (d definition) check() error {
	switch d.kind {
	case client.Subscription:
		_, err := router.DecodeSubscription(d.document, router.Rules{})
		return documentFault(err)
	case client.Trigger:
		_, err := router.DecodeTrigger(d.document, router.Rules{})
		return documentFault(err)
	case client.Source:
		_, err := router.DecodeSource(d.document, sourceRules())
		return documentFault(err)
	case "":
		return fmt.Errorf("has no kind; it is one of %q, %q and %q", client.Subscription, client.Trigger, client.Source)
	}
	return fmt.Errorf("kind %q is not known; %q, %q and %q are", string(d.kind), client.Subscription, client.Trigger, client.Source)
}

// sourceRules are those of a server whose version is this one.
func sourceRules() router.Rules { return router.Rules{CheckSource: source.Check} }

// documentFault puts the faults of a document in words that fit a file.
func documentFault(err error) error {
	e, ok := errors.AsType[*router.Error](err)
	if !ok || len(e.Problems) == 0 {
		return err
	}
	var all []string
	for _, p := range e.Problems {
		all = append(all, strings.TrimPrefix(strings.TrimPrefix(p.Location, "body"), ".")+" "+p.Message)
	}
	return errors.New(strings.Join(all, "; "))
}

// checkNames refuses two documents of the same kind and name: which one is meant can't be told.
func checkNames(all []definition) error {
	type name struct {
		kind client.Kind
		name string
	}
	seen := map[name]string{}
	var faults []error
	for _, d := range all {
		key := name{d.kind, d.name}
		if first := seen[key]; first != "" {
			faults = append(faults, fmt.Errorf("%s: %s %q is also in %s", d.where, d.kind, d.name, first))
			continue
		}
		seen[key] = d.where
	}
	return errors.Join(faults...)
}

// appendYAML appends a node as JSON. Numbers stay as they are written where JSON writes them so; dates are text. keep, where it is not nil, chooses the members of
// this mapping.
func appendYAML(dst []byte, n *yaml.Node, budget *int, keep func(name string, value *yaml.Node) bool) ([]byte, error) {
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
			if dst, err = appendYAML(dst, item, budget, nil); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case yaml.AliasNode:
		return appendYAML(dst, n.Alias, budget, nil)
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
		if dst, err = appendYAML(append(dst, ':'), value, budget, nil); err != nil {
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
