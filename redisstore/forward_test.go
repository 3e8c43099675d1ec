package redisstore_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
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
	text, err := os.ReadFile("/work/shared/scenarios/triggers.json")
	require.NoError(t, err)
	var file struct{ Scenarios []told }
	require.NoError(t, json.Unmarshal(text, &file))
	eachSpread(t, func(t *testing.T, make func(*testing.T, int) *spread) {
		for _, s := range file.Scenarios {
			t.Run(s.Name, func(t *testing.T) { s.run(t, make(t, 3)) })
		}
	})
}

// told is one of the shared ones.
type told struct {
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

func (s told) run(t *testing.T, d *spread) {
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
