package router

import (
	"encoding/json"
	"slices"
	"sync"
)

// Filter is the definition of which events match: all fields given must match; the zero Filter matches every event.
// Compile makes it fit for use.
type Filter struct {
	Types   []string          `json:"types,omitempty"`   // any of these type patterns
	Filters []json.RawMessage `json:"filters,omitempty"` // all of these CloudEvents Subscriptions API dialects
	Pattern json.RawMessage   `json:"pattern,omitempty"` // an EventBridge event pattern over the whole event
}

// CompiledFilter is a Filter ready to match events. It is immutable and safe for concurrent use.
type CompiledFilter struct {
	types []TypePattern
	matcher

	// paths are those whose values the pattern and plans look at; both refer to them by their places here.
	paths []string
	// plans are the conditions by which an index may file the filter: whatever matches fulfils all of at least one plan.
	plans []plan

	// keys are what a filter wants that wants nothing else: at each path a value that has the key in the path's place. onlyKeys says that it is such a filter.
	keys     []key
	onlyKeys bool

	// alone is where the filter finds its values when it is no part of an index; it is made when that is needed.
	alone     placed
	aloneOnce sync.Once
}

// matcher is a filter but for its types.
type matcher struct {
	dialects []dialect
	pattern  pattern
}

// placed is where a View keeps the values for a filter's paths.
type placed struct {
	paths *paths
	slots []slot // in the order of the filter's paths
}

// Compile checks a filter and makes it ready. The error is an *Error (Invalid) that lists what is wrong; the locations are relative to
// the filter, such as "types[1]", "filters[0].all[1].prefix" or "pattern.data.total[0].numeric", and what within joins to the filter's own.
func (filter Filter) Compile() (*CompiledFilter, error) {
	faults := &docFaults{}
	c := &CompiledFilter{types: compileTypes(faults, filter.Types)}
	c.dialects = compileDialects(faults, filter.Filters)
	c.pattern = compilePattern(faults, filter.Pattern)
	if err := faults.err("the filter is not valid"); err != nil {
		return nil, err
	}
	c.plan()
	return c, nil
}

func compileTypes(faults *docFaults, list []string) []TypePattern {
	if len(list) > MaxFilterItems {
		faults.spoil("types", "has %d items; at most %d are possible", len(list), MaxFilterItems)
		return nil
	}
	var types []TypePattern
	for i, s := range list {
		if fault := typePatternFault(s); fault != "" {
			faults.add(itemAt("types", i), "%s", fault)
		} else if p := (TypePattern{s}); !slices.Contains(types, p) {
			types = append(types, p)
		}
	}
	return types
}

// isNull tells whether a member of a filter is not given: left out, or null.
func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

// Match tells whether the event matches. Matching many filters is the business of an Index, which decodes the payload once for all of them.
func (c *CompiledFilter) Match(v *View) bool {
	return c.matchType(v) && c.matchValues(v, c.useAlone(v))
}

// useAlone prepares a View for this filter alone.
func (c *CompiledFilter) useAlone(v *View) []slot {
	c.aloneOnce.Do(func() { c.alone = place(c.paths) })
	v.use(c.alone.paths)
	return c.alone.slots
}

// place finds places for the values of some paths.
func place(list []string) placed {
	p := placed{paths: newPaths(newSeed())}
	for _, path := range list {
		var s slot
		p.paths, s = p.paths.with(nil, path)
		p.slots = append(p.slots, s)
	}
	return p
}

func (c *CompiledFilter) matchType(v *View) bool {
	for _, p := range c.types {
		if p.Match(v.event.Type()) {
			return true
		}
	}
	return len(c.types) == 0
}

// matchValues matches all but the types; slots are those of the filter's paths.
func (m *matcher) matchValues(v *View, slots []slot) bool {
	for i := range m.dialects {
		if !m.dialects[i].match(&v.event) {
			return false
		}
	}
	return m.pattern.match(v, slots)
}
