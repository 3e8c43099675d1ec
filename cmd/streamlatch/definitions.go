package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/internal/yamljson"
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
	text, err := yamljson.Append(nil, root, func(name string, value *yaml.Node) bool {
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
