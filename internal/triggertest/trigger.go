package triggertest

import (
	"encoding/json"
	"strconv"

	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/router"
)

// types are the types of random events. They are few, so that events meet leaves, and several of them.
var types = []string{"a", "b", "c", "d"}

type document map[string]any

// Trigger draws a trigger that a definition can hold: nodes of all kinds, nested, with keys, overrides, counts, windows and cooldowns.
func Trigger(t *rapid.T) router.Trigger {
	g := generator{t: t, keyed: rapid.IntRange(0, 3).Draw(t, "keyed") > 0, byEvent: rapid.IntRange(0, 4).Draw(t, "clock") == 0}
	d := document{"name": "random", "when": g.node(1, false)}
	if g.keyed {
		d["key"] = document{"k": "data.k"}
	}
	if g.byEvent {
		d["clock"] = "event"
	}
	if g.chance(3) {
		d["cooldown"] = g.duration(12)
	}
	if g.chance(3) {
		d["reset_on"] = []document{g.leaf(false)}
	}
	if g.chance(8) {
		d["emit"] = document{"include": "refs"}
	}
	text, err := json.Marshal(d)
	if err != nil {
		t.Fatalf("a random trigger: %v", err)
	}
	draft, err := router.DecodeTrigger(text, router.Rules{})
	if err != nil {
		t.Fatalf("a random trigger is refused: %v\n%s", err, text)
	}
	t.Logf("trigger %s", text)
	return draft.Create()
}

// generator draws the parts of a trigger.
type generator struct {
	t       *rapid.T
	keyed   bool
	byEvent bool // by the event clock, where there is no absent
	leaves  int
}

const (
	maxDepth  = 4
	maxLeaves = 9
)

func (g *generator) chance(of int) bool { return rapid.IntRange(1, of).Draw(g.t, "chance") == 1 }

func (g *generator) duration(most int) string {
	return strconv.Itoa(rapid.IntRange(1, most).Draw(g.t, "ms")) + "ms"
}

func (g *generator) within(d document, of int) bool {
	if g.chance(of) {
		return false
	}
	d["within"] = g.duration(20)
	return true
}

// node draws a node; windowed says that a node around it has a window.
func (g *generator) node(depth int, windowed bool) document {
	kinds := []string{"event", "all", "any", "at_least", "sequence", "absent"}
	if g.byEvent {
		kinds = kinds[:5]
	}
	kind := rapid.SampledFrom(kinds).Draw(g.t, "kind")
	if depth == 1 && kind == "event" && !g.chance(3) {
		kind = "all"
	}
	if depth == maxDepth || g.leaves >= maxLeaves {
		kind = "event"
	}
	switch kind {
	case "event":
		return g.event(windowed)
	case "any":
		return document{"any": g.children(depth, windowed)}
	case "absent":
		return g.absent(depth)
	}
	d := document{}
	windowed = g.within(d, 4) || windowed
	children := g.children(depth, windowed)
	if kind != "at_least" {
		d[kind] = children
		return d
	}
	d["at_least"], d["of"] = rapid.IntRange(1, len(children)).Draw(g.t, "least"), children
	return d
}

func (g *generator) children(depth int, windowed bool) []document {
	list := make([]document, rapid.IntRange(1, 3).Draw(g.t, "children"))
	for i := range list {
		list[i] = g.node(depth+1, windowed)
	}
	return list
}

func (g *generator) absent(depth int) document {
	d := document{"absent": g.leaf(true), "within": g.duration(15)}
	if g.chance(4) {
		return d
	}
	d["after"] = g.node(depth+1, true)
	if g.chance(2) {
		d["lookback"] = g.duration(12)
	}
	return d
}

func (g *generator) leaf(override bool) document {
	g.leaves++
	d := document{"event": document{"types": rapid.SampledFrom([][]string{{"a"}, {"b"}, {"c"}, {"d"}, {"a", "b"}, {"*"}}).Draw(g.t, "types")}}
	if override && g.keyed && g.chance(4) {
		d["key"] = document{"k": "data.j"}
	}
	return d
}

func (g *generator) event(windowed bool) document {
	d := g.leaf(true)
	if g.chance(2) {
		return d
	}
	d["count"] = rapid.IntRange(1, 4).Draw(g.t, "count")
	if !windowed || g.chance(2) {
		d["within"] = g.duration(20)
	}
	if g.chance(2) {
		d["distinct"] = "data.v"
	}
	return d
}
