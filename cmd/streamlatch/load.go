package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	koanfyaml "github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/streamlatch/streamlatch/router"
)

// configVariable names the variable that stands for the flag --config.
const configVariable = envPrefix + "CONFIG"

// effective is a configuration with where each value of it came from.
type effective struct {
	config  config
	values  []effectiveValue // in the order of the table
	ignored []string         // where settings stand that this command does not have
}

// effectiveValue is the value of one setting.
type effectiveValue struct {
	setting setting
	value   []string
	origin  string // "default", "--lease", "STREAMLATCH_LEASE", "streamlatch.yaml:3"
}

// addSettingFlags gives a command a flag for each setting, and --config.
func addSettingFlags(flags *pflag.FlagSet, table []setting) {
	flags.String("config", "", "YAML file with settings (or "+configVariable+")")
	for _, s := range table {
		usage := s.help + " (or " + s.variable() + ")"
		flags.Var(&settingFlag{kind: s.kind, list: s.list, shown: s.byDefault}, s.name, strings.ReplaceAll(usage, "`", "'"))
	}
}

// settingFlag holds the text of a flag; it is read together with the other sources of settings.
type settingFlag struct {
	kind  string
	list  bool
	given []string
	shown string // the default, for the help
}

// String gives the default, for the help.
func (f *settingFlag) String() string { return f.shown }

// Type names the values in the help.
func (f *settingFlag) Type() string { return f.kind }

// Set takes a value, or one more.
func (f *settingFlag) Set(s string) error {
	if !f.list && f.given != nil {
		return errors.New("is given twice")
	}
	f.given = append(f.given, s)
	return nil
}

// layer is one source of settings.
type layer struct {
	values *koanf.Koanf
	origin func(name string) string
}

// loadConfig reads the settings of a command: flags go before variables, those before the file, and that before the defaults. The error is a usageError that
// lists all that is wrong, each with where it stands.
func loadConfig(flags *pflag.FlagSet, environ []string, dev bool) (effective, error) {
	table := settings(dev)
	all := koanf.New(".")
	origins := map[string]string{}
	layers, err := readLayers(flags, environ, table)
	if err != nil {
		return effective{}, usageError{err}
	}
	for _, l := range layers {
		if err := all.Merge(l.values); err != nil {
			return effective{}, fmt.Errorf("merge the settings: %w", err)
		}
		for name := range l.values.Raw() {
			origins[name] = l.origin(name)
		}
	}
	e := effective{config: config{options: options{Embedded: dev, Router: router.Config{Version: programVersion()}}}, ignored: ignored(all, origins, table)}
	var faults []error
	for _, s := range table {
		v := effectiveValue{setting: s, origin: origins[s.name]}
		if v.value, err = valueTexts(s, all.Get(s.name)); err == nil && len(v.value) > 0 {
			err = s.set(&e.config, v.value)
		}
		if err != nil {
			faults = append(faults, settingFault(v, err))
		}
		e.values = append(e.values, v)
	}
	if len(faults) == 0 {
		faults = e.finish()
	}
	if len(faults) > 0 {
		return effective{}, usageError{errors.Join(faults...)}
	}
	return e, nil
}

// ignored lists where settings stand that are not in the table.
func ignored(all *koanf.Koanf, origins map[string]string, table []setting) (where []string) {
	for name := range all.Raw() {
		if !slices.ContainsFunc(table, func(s setting) bool { return s.name == name }) {
			where = append(where, origins[name])
		}
	}
	slices.Sort(where)
	return where
}

// settingFault says which setting is wrong and where it stands.
func settingFault(v effectiveValue, err error) error {
	if strings.HasPrefix(v.origin, "--") || strings.HasPrefix(v.origin, envPrefix) {
		return fmt.Errorf("%s: %w", v.origin, err)
	}
	return fmt.Errorf("%s: %s: %w", v.origin, v.setting.name, err)
}

// readLayers reads the sources, weakest first.
func readLayers(flags *pflag.FlagSet, environ []string, table []setting) ([]layer, error) {
	defaults := koanf.New(".")
	values := map[string]any{}
	for _, s := range table {
		values[s.name] = s.elements()
	}
	if err := defaults.Load(confmap.Provider(values, ""), nil); err != nil {
		return nil, fmt.Errorf("load the defaults: %w", err)
	}
	layers := []layer{{defaults, func(string) string { return "default" }}}
	variables, err := readVariables(environ)
	if err != nil {
		return nil, err
	}
	path, _ := flags.GetString("config")
	for _, variable := range environ {
		if value, ok := strings.CutPrefix(variable, configVariable+"="); ok && path == "" {
			path = value
		}
	}
	if path != "" {
		file, err := readFile(path)
		if err != nil {
			return nil, err
		}
		layers = append(layers, file)
	}
	given, err := readFlags(flags)
	return append(layers, variables, given), err
}

// readFlags takes the flags that were given.
func readFlags(flags *pflag.FlagSet) (layer, error) {
	k := koanf.New(".")
	provider := posflag.ProviderWithFlag(flags, "", nil, func(f *pflag.Flag) (string, any) {
		s, ok := f.Value.(*settingFlag)
		if !ok {
			return "", nil
		}
		return f.Name, s.given
	})
	if err := k.Load(provider, nil); err != nil {
		return layer{}, fmt.Errorf("load the flags: %w", err)
	}
	return layer{k, func(name string) string { return "--" + name }}, nil
}

// readVariables takes the environment's variables that are settings, and refuses those that look like one and are none. An empty one is not set.
func readVariables(environ []string) (layer, error) {
	names := map[string]string{}
	known := []string{configVariable, serverVariable, apiKeyVariable}
	for _, s := range settings(false) {
		names[s.variable()] = s.name
		known = append(known, s.variable())
	}
	var faults []error
	k := koanf.New(".")
	provider := env.Provider("", env.Opt{
		Prefix: envPrefix, EnvironFunc: func() []string { return environ },
		TransformFunc: func(variable, value string) (string, any) {
			if names[variable] == "" && !slices.Contains(known, variable) && !isServiceLink(variable) {
				faults = append(faults, fmt.Errorf("%s: there is no such setting%s", variable, variableHint(variable, known)))
			}
			if value == "" {
				return "", nil
			}
			return names[variable], value
		},
	})
	if err := k.Load(provider, nil); err != nil {
		return layer{}, fmt.Errorf("load the environment: %w", err)
	}
	slices.SortFunc(faults, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return layer{k, func(name string) string { return setting{name: name}.variable() }}, errors.Join(faults...)
}

// serviceLink is the form of variables that Kubernetes and Docker set in containers beside a service that is called streamlatch.
var serviceLink = regexp.MustCompile(`^STREAMLATCH(_[A-Z0-9_]+)?_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$`)

func isServiceLink(variable string) bool { return serviceLink.MatchString(variable) }

// hint proposes the name that was meant, if one is near.
func hint(name string, names []string) string {
	if best := nearest(name, names); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// variableHint is hint for variables, whose prefix makes them all alike.
func variableHint(variable string, known []string) string {
	var names []string
	for _, name := range known {
		names = append(names, strings.TrimPrefix(name, envPrefix))
	}
	if best := nearest(strings.TrimPrefix(variable, envPrefix), names); best != "" {
		return "; did you mean " + envPrefix + best + "?"
	}
	return ""
}

// readFile reads the YAML file, in which every key has to be a setting.
func readFile(path string) (layer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return layer{}, fmt.Errorf("read the configuration: %w", err)
	}
	values, err := koanfyaml.Parser().Unmarshal(text)
	if err != nil {
		return layer{}, fmt.Errorf("%s: %w", path, err)
	}
	lines, err := keyLines(text)
	if err != nil {
		return layer{}, fmt.Errorf("%s: %w", path, err)
	}
	var names []string
	for _, s := range settings(false) {
		names = append(names, s.name)
	}
	origin := func(name string) string { return path + ":" + strconv.Itoa(lines[name]) }
	var faults []error
	for _, name := range slices.SortedFunc(maps.Keys(values), func(a, b string) int { return lines[a] - lines[b] }) {
		if !slices.Contains(names, name) {
			faults = append(faults, fmt.Errorf("%s: there is no setting %q%s", origin(name), name, hint(name, names)))
		}
		if values[name] == nil {
			delete(values, name) // a key without a value is not set
		}
	}
	if len(faults) > 0 {
		return layer{}, errors.Join(faults...)
	}
	k := koanf.New(".")
	if err := k.Load(confmap.Provider(values, ""), nil); err != nil {
		return layer{}, fmt.Errorf("load %s: %w", path, err)
	}
	return layer{k, origin}, nil
}

// keyLines gives the line of each key of a YAML mapping.
func keyLines(text []byte) (map[string]int, error) {
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	var document, more yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return map[string]int{}, nil
	} else if err != nil {
		return nil, fmt.Errorf("find the lines of settings: %w", err)
	}
	if decoder.Decode(&more) == nil {
		return nil, fmt.Errorf("line %d: holds more than one YAML document", more.Line)
	}
	lines := map[string]int{}
	if root := document.Content[0]; root.Kind == yaml.MappingNode {
		for i := 0; i < len(root.Content); i += 2 {
			lines[root.Content[i].Value] = root.Content[i].Line
		}
	}
	return lines, nil
}

// valueTexts gives a setting's value as text: of a list its elements, of what has parts its JSON.
func valueTexts(s setting, value any) ([]string, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case []string:
		if s.list && len(v) > 0 {
			return splitList(strings.Join(v, ",")), nil
		}
		return v, nil
	case []any:
		if s.list {
			return listTexts(v)
		}
	case map[string]any:
	default:
		text, err := scalarText(v)
		if err == nil && s.list {
			return splitList(text), nil
		}
		return []string{text}, err
	}
	if s.name != "api-keys" {
		return nil, fmt.Errorf("must be one value of the kind %q", s.kind)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, errors.New("is not a list of keys")
	}
	return []string{string(text)}, nil
}

func listTexts(values []any) (texts []string, err error) {
	for _, v := range values {
		text, err := scalarText(v)
		if err != nil {
			return nil, err
		}
		texts = append(texts, text)
	}
	return texts, nil
}

func splitList(text string) (elements []string) {
	for element := range strings.SplitSeq(text, ",") {
		elements = append(elements, strings.TrimSpace(element))
	}
	return elements
}

func scalarText(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool, int, int64, uint64:
		return fmt.Sprint(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	}
	return "", errors.New("must be a text or a number")
}
