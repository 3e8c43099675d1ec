package redisstore_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// every kind of condition, keyed by what does not decide an event's partition.
var kinds = []string{
	`{"name": "pair", "key": ["data.order"], "when": {"all": [{"name": "a", "event": {"types": ["a"]}}, {"name": "b", "event": {"types": ["b"]}}], "within": "150ms"}}`,
	`{"name": "steps", "key": ["data.order"], "when": {"sequence": [{"name": "a", "event": {"types": ["a"]}}, {"name": "b", "event": {"types": ["b"]}}, {"name": "c", "event": {"types": ["c"]}}], "within": "300ms"}}`,
	`{"name": "counted", "key": ["data.order"], "when": {"name": "a", "event": {"types": ["a"]}, "count": 3, "within": "200ms"}, "reset_on": [{"event": {"types": ["d"]}}]}`,
	`{"name": "distinct", "key": ["data.order"], "when": {"name": "b", "event": {"types": ["b"]}, "count": 2, "distinct": "data.by", "within": "300ms"}, "cooldown": "100ms"}`,
	`{"name": "silent", "key": ["data.order"], "when": {"absent": {"event": {"types": ["c"]}}, "within": "80ms", "after": {"name": "a", "event": {"types": ["a"]}}}}`,
	`{"name": "quiet", "key": ["data.order"], "when": {"absent": {"name": "d", "event": {"types": ["d"]}}, "within": "60ms"}}`,
	`{"name": "two", "when": {"at_least": 2, "of": [{"name": "a", "event": {"types": ["a"]}}, {"name": "c", "event": {"types": ["c"]}}, {"name": "d", "event": {"types": ["d"]}}], "within": "20ms"}}`,
}

// chance is a random event.
func chance(t testing.TB, rng *rand.Rand, n int) router.Event {
	return scattered(t, fmt.Sprint("e", n), []string{"a", "b", "c", "d"}[rng.IntN(4)], fmt.Sprint("k", rng.IntN(12)))
}

func TestOnSeveralPartitionsTriggersFireAsTheScenariosSay(t *testing.T) {
	text := triggerScenarios(t)
	var file struct{ Scenarios []sharedScenario }
	require.NoError(t, json.Unmarshal(text, &file))
	eachSpread(t, func(t *testing.T, make func(*testing.T, int) *spread) {
		for _, s := range file.Scenarios {
			t.Run(s.Name, func(t *testing.T) {
				t.Parallel()
				s.run(t, make(t, 3))
			})
		}
	})
}

// triggerScenarios is the file of scenarios that lies beside the project, or not.
func triggerScenarios(t *testing.T) []byte {
	t.Helper()
	for dir := ".."; len(dir) < 30; dir = filepath.Join(dir, "..") {
		if text, err := os.ReadFile(filepath.Join(dir, "shared", "scenarios", "triggers.json")); err == nil {
			return text
		}
	}
	t.Skip("shared/scenarios/triggers.json is not beside the project")
	return nil
}

// sharedScenario is one of them.
type sharedScenario struct {
	Name    string
	Trigger json.RawMessage
	Events  []struct {
		ID, Type, Subject string
		T                 int64
	}
	Until  int64
	Expect []struct {
		T      int64
		Events []string
	}
}

var idsOnly = regexp.MustCompile(` [^ =]*=`)

func (s sharedScenario) run(t *testing.T, d *spread) {
	d.define(t, string(s.Trigger))
	for _, e := range s.Events {
		made, err := router.NewEvent(router.EventFields{
			ID: e.ID, Source: "/test", Type: e.Type, Subject: e.Subject,
			Extensions: []router.Extension{{Name: router.PartitionKeyExtension, Value: e.ID}},
		})
		require.NoError(t, err)
		d.publish(t, e.T, made)
	}
	d.set(s.Until + 1)
	start(t, d.store, newSink())
	d.settled(t)
	var expected, fired []string
	for _, want := range s.Expect {
		expected = append(expected, time.UnixMilli(labStart+want.T).UTC().Format("15:04:05.000 ")+strings.Join(want.Events, " "))
	}
	for _, text := range d.fired(t) {
		fired = append(fired, text[:len("15:04:05.000")]+idsOnly.ReplaceAllString(text[strings.LastIndex(text, ":")+1:], " "))
	}
	require.ElementsMatch(t, expected, fired)
}

func TestOnSeveralPartitionsTheSameFiresAsOnOne(t *testing.T) {
	eachSpread(t, func(t *testing.T, make func(*testing.T, int) *spread) {
		for seed := range uint64(2) {
			t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
				t.Parallel()
				rng := rand.New(rand.NewPCG(seed, 0))
				d := make(t, 3)
				d.define(t, kinds...)
				start(t, d.store, newSink())
				at := int64(0)
				for n := range 300 {
					at += []int64{0, 0, 0, 1, 1, 2, 5, 30}[rng.IntN(8)]
					d.publish(t, at, chance(t, rng, n))
				}
				d.set(at + 1000)
				d.settled(t)
				require.Greater(t, d.requireModel(t, d.now()), 100)
			})
		}
	})
}

// What explains firings and partials has to tell partitions apart as the scripts do.
func TestOnSeveralPartitionsTheModelFiresUnderTheSameIDsAndHoldsTheSameEvents(t *testing.T) {
	eachSpread(t, func(t *testing.T, make func(*testing.T, int) *spread) {
		d := make(t, 3)
		d.define(t, `{"name": "pair", "key": ["data.order"], "when": {"all": [{"name": "a", "event": {"types": ["a"]}}, {"name": "b", "event": {"types": ["b"]}}]}}`)
		start(t, d.store, newSink())
		rng := rand.New(rand.NewPCG(1, 0))
		for n := range 100 {
			d.publish(t, int64(n/4), chance(t, rng, n))
		}
		d.settled(t)
		made, err := d.store.Trigger(t.Context(), "pair")
		require.NoError(t, err)
		c, err := made.Compile()
		require.NoError(t, err)
		m := router.NewModel(c, router.ModelConfig{Partitions: 3})
		var expected, fired []string
		for _, r := range d.records(t) {
			if isFiring(r) {
				fired = append(fired, r.Event.ID())
				continue
			}
			for _, f := range m.Offer(r) {
				expected = append(expected, f.ID())
			}
		}
		require.NotEmpty(t, expected)
		require.ElementsMatch(t, expected, fired)
		stored, _, err := d.store.Partials(t.Context(), c, "", 100)
		require.NoError(t, err)
		held := map[router.KeyHash][]router.Held{}
		for _, p := range stored {
			held[p.Hash] = p.Held(c)
			for _, h := range p.Held(c) {
				require.Contains(t, p.Events, h.Event.Position)
			}
		}
		for _, p := range m.Partials(time.UnixMilli(labStart + d.ms)) {
			require.Equal(t, p.Held(c), held[p.Hash])
			delete(held, p.Hash)
		}
		require.Empty(t, held)
	})
}
