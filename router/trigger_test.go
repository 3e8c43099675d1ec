package router_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/internal/triggertest"
	"github.com/streamlatch/streamlatch/router"
)

// problemsIn lists what is wrong with a trigger: "place message".
func problemsIn(t testing.TB, document string) (list []string) {
	t.Helper()
	_, err := router.DecodeTrigger([]byte(document), router.Rules{})
	if err == nil {
		return nil
	}
	require.Equal(t, router.Invalid, router.ErrorCode(err), "%s: %v", document, err)
	listed, ok := err.(*router.Error)
	require.True(t, ok)
	for _, p := range listed.Problems {
		list = append(list, p.Location+" "+p.Message)
	}
	return list
}

func TestEachFaultOfATriggerIsRefusedWithItsPlace(t *testing.T) {
	leaf := `{"event":{"types":["a"]}}`
	many := func(n int, one string) string {
		return strings.TrimSuffix(strings.Repeat(one+",", n), ",")
	}
	nested := func(depth int) string {
		return strings.Repeat(`{"all":[`, depth-1) + leaf + strings.Repeat(`]}`, depth-1)
	}
	paths := make([]string, 9)
	for i := range paths {
		paths[i] = fmt.Sprintf(`"k%d":"data.k%d"`, i, i)
	}
	for when, want := range map[string]string{
		`{"all":[]}`:                                                   `body.when.all must have a condition`,
		`{"sequence":[]}`:                                              `body.when.sequence must have a condition`,
		`{}`:                                                           `body.when must have one of the members event, all, any, at_least, sequence and absent`,
		`{"all":[` + leaf + `],"any":[]}`:                              `body.when is of several kinds: all, any; it must have one of these members`,
		`{"event":{},"more":1}`:                                        `body.when.more is not a known field`,
		`{"event":{},"lookback":"1s"}`:                                 `body.when.lookback does not go with "event"`,
		`{"any":[` + leaf + `],"within":"1s"}`:                         `body.when.within does not go with "any"`,
		`{"event":{},"count":0,"within":"1s"}`:                         `body.when.count must be from 1 to 1000`,
		`{"event":{},"count":1001,"within":"1s"}`:                      `body.when.count must be from 1 to 1000`,
		`{"event":{},"count":2}`:                                       `body.when.within is required for a count above 1: neither the event nor a condition around it has one`,
		`{"at_least":2,"of":[` + leaf + `]}`:                           `body.when.at_least must be at most the number of conditions in "of", 1`,
		`{"at_least":0,"of":[` + leaf + `]}`:                           `body.when.at_least must be at least 1`,
		`{"at_least":1}`:                                               `body.when.of is required`,
		`{"all":[` + leaf + `],"within":"0s"}`:                         `body.when.within must be longer than zero; leave it out for none`,
		`{"all":[` + leaf + `],"within":"32d"}`:                        `body.when.within must be at most 31d`,
		`{"all":[` + leaf + `],"within":"1us"}`:                        `body.when.within must be whole milliseconds`,
		`{"all":[` + leaf + `,{"all":[` + leaf + `],"within":"-1s"}]}`: `body.when.all[1].within duration "-1s" must not have a sign`,
		`{"absent":` + leaf + `}`:                                      `body.when.within is required: for how long no event must come`,
		`{"absent":` + leaf + `,"within":"1s","lookback":"1s"}`:        `body.when.lookback needs "after": it looks back from there`,
		`{"absent":{"all":[` + leaf + `]},"within":"1s"}`:              `body.when.absent must be an event: "all" can't be an absent event`,
		`{"absent":{"event":{},"count":2},"within":"1s"}`:              `body.when.absent.count does not go with an absent event`,
		`{"event":{},"count":2,"within":"1s","distinct":"dat.x"}`:      `body.when.distinct goes on after the attribute dat; only "data" has parts`,
		`{"event":{"types":["a.**"]}}`:                                 `body.when.event.types[0] must have a star only as a whole segment`,
		nested(6):                                                      `body.when.all[0].all[0].all[0].all[0].all[0] is nested 6 levels deep; at most 5 are possible`,
		`{"all":[{"all":[` + many(17, leaf) + `]},{"all":[` + many(16, leaf) + `]}]}`: `body.when has 33 leaves, those of reset_on included; at most 32 are possible`,
	} {
		got := problemsIn(t, `{"name":"t","when":`+when+`}`)
		require.NotEmpty(t, got, when)
		require.Equal(t, want, got[0], when)
	}
	for rest, place := range map[string]string{
		`"key":{` + strings.Join(paths, ",") + `}`:          "body.key",
		`"key":{"k":"data["}`:                               "body.key.k",
		`"key":["data.a","data.b.a"]`:                       "body.key[1]",
		`"clock":"wall"`:                                    "body.clock",
		`"cooldown":"40d"`:                                  "body.cooldown",
		`"reset_on":[{"all":[{"event":{}}]}]`:               "body.reset_on[0]",
		`"reset_on":[{"event":{},"count":2,"within":"1s"}]`: "body.reset_on[0].count",
		`"emit":{"type":"streamlatch.x"}`:                   "body.emit.type",
		`"emit":{"include":"some"}`:                         "body.emit.include",
		`"extra":1`:                                         "body.extra",
	} {
		got := problemsIn(t, `{"name":"t","when":{"event":{}},`+rest+`}`)
		require.NotEmpty(t, got, rest)
		require.True(t, strings.HasPrefix(got[0], place+" "), "%s: %s", rest, got)
	}
	require.Equal(t, []string{`body.when.key.other is not a name of the trigger's key: "k"`},
		problemsIn(t, `{"name":"t","key":{"k":"subject"},"when":{"event":{},"key":{"other":"data.x"}}}`))
	require.NotEmpty(t, problemsIn(t, `{"name":"t","clock":"event","when":{"absent":{"event":{}},"within":"1s"}}`), "absences need the accept clock")
	require.Empty(t, problemsIn(t, `{"name":"t","when":`+nested(5)+`}`))
}

// A peer takes 15 seconds for 1.3 KB: its checks of a level walk all levels below.
func TestDeepConditionsAreRefusedInTimeLinearInTheDocument(t *testing.T) {
	const unit = `{"all":[`
	deep := func(levels int) string {
		return `{"name":"t","when":` + strings.Repeat(unit, levels) + `{"event":{}}` + strings.Repeat(`]}`, levels) + `}`
	}
	cost := func(levels int) time.Duration {
		best := time.Hour
		for range 5 {
			began := time.Now()
			_, err := router.DecodeTrigger([]byte(deep(levels)), router.Rules{})
			best = min(best, time.Since(began))
			require.Error(t, err)
		}
		return best
	}
	require.Less(t, cost(25), 20*time.Millisecond)
	wide := `{"name":"t","when":{"all":[` + strings.TrimSuffix(strings.Repeat(`{"any":[{"event":{}},{"event":{}}]},`, 3000), ",") + `]}}`
	began := time.Now()
	_, err := router.DecodeTrigger([]byte(wide), router.Rules{})
	require.Error(t, err)
	require.Less(t, time.Since(began), time.Second)
}

func TestWhatIsShownOfATriggerReadsBackAsTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		first := triggertest.Trigger(t)
		draft, err := router.DecodeTrigger(router.AppendTrigger(nil, first, nil), router.Rules{})
		require.NoError(t, err)
		require.Equal(t, first, draft.Create())
		require.True(t, router.SameGeneration(first, draft.Create()))
		stored, err := router.DecodeStoredTrigger(router.AppendStoredTrigger(nil, first))
		require.NoError(t, err)
		require.Equal(t, first, stored)
	})
}

func TestWhatIsRecordedSurvivesOnlyWhatMeansTheSame(t *testing.T) {
	made := func(document string) router.Trigger {
		draft, err := router.DecodeTrigger([]byte(document), router.Rules{})
		require.NoError(t, err, document)
		return draft.Create()
	}
	base := `"key":{"k":"data.k"},"when":{"all":[{"event":{"types":["a"]}},{"event":{"types":["b"]},"count":2}],"within":"1h"}`
	old := made(`{"name":"t",` + base + `}`)
	for rest, same := range map[string]bool{
		base + `,"title":"other","enabled":false,"cooldown":"1m","emit":{"type":"x","include":"refs"}`:                                           true,
		base + `,"clock":"accept","reset_on":[]`:                                                                                                 true,
		`"when":{"within":"60m","all":[{"event":{"types":["a"]},"count":1},{"count":2,"event":{"types":["b"]},"within":"1h"}]},"key":["data.k"]`: true,
		base + `,"clock":"event"`:           false,
		base + `,"reset_on":[{"event":{}}]`: false,
		`"key":{"k":"data.j"},"when":{"all":[{"event":{"types":["a"]}},{"event":{"types":["b"]},"count":2}],"within":"1h"}`: false,
		`"key":{"k":"data.k"},"when":{"all":[{"event":{"types":["a"]}},{"event":{"types":["b"]},"count":3}],"within":"1h"}`: false,
		`"key":{"k":"data.k"},"when":{"all":[{"event":{"types":["b"]},"count":2},{"event":{"types":["a"]}}],"within":"1h"}`: false,
	} {
		require.Equal(t, same, router.SameGeneration(old, made(`{"name":"t",`+rest+`}`)), rest)
	}
}

func TestKeysCompareAsJSON(t *testing.T) {
	draft, err := router.DecodeTrigger([]byte(`{"name":"t","key":{"a":"data.a","b":"subject"},"when":{"event":{}}}`), router.Rules{})
	require.NoError(t, err)
	c, err := draft.Create().Compile()
	require.NoError(t, err)
	key := func(a string) router.Key {
		k, err := c.ParseKey([]byte(`{"b":"x","a":` + a + `}`))
		require.NoError(t, err, a)
		return k
	}
	for _, same := range [][]string{{`1`, `1.0`, `1e0`, `10e-1`}, {`"é"`, `"é"`}, {`-0`, `0`, `0.0`}, {`1e400`, `10e399`}} {
		for _, other := range same {
			require.Equal(t, key(same[0]).Hash(), key(other).Hash(), other)
		}
	}
	for _, different := range [][2]string{{`1`, `"1"`}, {`true`, `"true"`}, {`10000000000000000001`, `10000000000000000002`}, {`""`, `"0"`}, {`0.1`, `0.10000000000000000001`}} {
		require.NotEqual(t, key(different[0]).Hash(), key(different[1]).Hash(), different)
	}
	for _, none := range []string{`{"a":null,"b":"x"}`, `{"a":[],"b":"x"}`, `{"a":1}`, `{"a":1,"b":"x","c":1}`} {
		_, err := c.ParseKey([]byte(none))
		require.Error(t, err, none)
	}
	require.Equal(t, "1/x", key(`1.0`).Subject())
	require.JSONEq(t, `{"a":1,"b":"x"}`, key(`1.0`).JSON())
}

func TestPathsFindValuesInAttributesAndPayload(t *testing.T) {
	e, err := router.NewEvent(router.EventFields{
		ID: "1", Source: "/s", Type: "t", Subject: "sub", Extensions: []router.Extension{{Name: "region", Value: "eu"}},
		Data: `{"order":{"id":7,"a.b":"dot"},"items":[{"sku":"x"},{"sku":"y"}],"none":null,"list":[],"yes":true}`, DataKind: router.JSONData,
	})
	require.NoError(t, err)
	find := func(path string) string {
		draft, err := router.DecodeTrigger([]byte(fmt.Sprintf(`{"name":"t","key":{"k":%q},"when":{"event":{}}}`, path)), router.Rules{})
		require.NoError(t, err, path)
		c, err := draft.Create().Compile()
		require.NoError(t, err)
		offers, missing := c.KeyOffers(e)
		if missing > 0 {
			return "missing"
		}
		return offers[0].Key.JSON()
	}
	for path, want := range map[string]string{
		`subject`: `{"k":"sub"}`, `region`: `{"k":"eu"}`, `data.order.id`: `{"k":7}`, `data.items[1].sku`: `{"k":"y"}`, `data.order["a.b"]`: `{"k":"dot"}`,
		`data.yes`: `{"k":true}`, `data.none`: "missing", `data.list`: "missing", `data.order`: "missing", `data.items[2].sku`: "missing", `data.absent`: "missing",
		`data.items.sku`: "missing", `data.order[0]`: "missing", `data`: "missing", `other`: "missing",
	} {
		require.Equal(t, want, find(path), path)
	}
}
