package httpapi_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/httpapi"
	"github.com/streamlatch/streamlatch/router"
)

func (f *fakeTriggers) Partials(_ context.Context, _ *router.CompiledTrigger, cursor string, limit int) ([]router.Partial, string, error) {
	if cursor != "" {
		return nil, "", router.Errorf(router.Invalid, "cursor: not one that this list gave")
	}
	return slices.Clone(f.partials[:min(limit, len(f.partials))]), "", nil
}

func (f *fakeTriggers) Partial(_ context.Context, _ *router.CompiledTrigger, key router.KeyHash) (p router.Partial, ok bool, err error) {
	for _, p := range f.partials {
		if p.Hash == key {
			return p, true, nil
		}
	}
	return p, false, nil
}

func (f *fakeTriggers) DropKeys(_ context.Context, _ router.Trigger, keys []router.KeyHash) (n int64, err error) {
	before := len(f.partials)
	f.partials = slices.DeleteFunc(f.partials, func(p router.Partial) bool { return slices.Contains(keys, p.Hash) })
	return int64(before - len(f.partials)), nil
}

func (f *fakeTriggers) DropAllKeys(context.Context, router.Trigger) (int64, error) {
	n := len(f.partials)
	f.partials = nil
	return int64(n), nil
}

// noon is the clock of servers whose answers depend on the time.
var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func atNoon(c *httpapi.Config) { c.Now = func() time.Time { return noon } }

// releases is an API with the trigger release-ready, and a log with events of types, each a release's, a second apart, the last one before noon.
func releases(t *testing.T, events ...[2]string) (a *api, positions []string) {
	store := newFakeStore(1)
	a = newAPIOn(t, store, atNoon)
	a.do("PUT", "/v1/triggers/release-ready", releaseReady).want(201)
	compiled, err := store.triggers.all[0].Compile()
	require.NoError(t, err)
	model := router.NewModel(compiled, router.ModelConfig{})
	add := func(e router.Event, at time.Time) router.Record {
		r := router.Record{Position: router.Position{MS: at.UnixMilli(), Seq: uint64(len(store.log[0]))}, Event: e}
		store.log[0] = append(store.log[0], r)
		return r
	}
	for i, e := range events {
		member := map[string]string{"qa.approved": "version"}[e[0]]
		if member == "" {
			member = "release"
		}
		event, err := router.NewEvent(router.EventFields{
			ID: fmt.Sprint("e", i), Source: "/ci", Type: e[0], Data: fmt.Sprintf(`{%q:%s}`, member, e[1]), DataKind: router.JSONData,
		})
		require.NoError(t, err)
		at := noon.Add(time.Duration(i-len(events)) * time.Second)
		r := add(event, at)
		positions = append(positions, r.Position.String())
		for _, f := range model.Offer(r) {
			fired, err := f.Event()
			require.NoError(t, err)
			add(fired, at)
		}
	}
	store.triggers.partials = model.Partials(noon)
	return a, positions
}

func TestPartialsSayWhatIsThereAndWhatIsMissing(t *testing.T) {
	a, positions := releases(t, [2]string{"build.finished", `"1.4"`}, [2]string{"qa.approved", `2`})
	page := a.do("GET", "/v1/triggers/release-ready/partials", "").want(200)
	require.Len(t, page.get("items"), 2)
	one := a.do("GET", "/v1/triggers/release-ready/partials?key="+url.QueryEscape(`{"release":"1.4"}`), "").want(200)
	require.Len(t, one.get("items"), 1)
	require.Equal(t, map[string]any{"release": "1.4"}, one.get("items", 0, "key"))
	require.Equal(t, map[string]any{
		"leaf": "build", "position": positions[0], "id": "e0", "source": "/ci", "time": "2026-11-29T11:59:58.000Z", "stale_at": "2026-11-30T11:59:58.000Z",
	}, one.get("items", 0, "have", 0))
	require.Equal(t, []any{"when.all[1]"}, one.get("items", 0, "missing"))

	require.Empty(t, a.do("GET", "/v1/triggers/release-ready/partials?key="+url.QueryEscape(`{"release":1.4}`), "").want(200).get("items"), "a number is no string")
	for _, wrong := range []string{`{"release":null}`, `{"other":1}`, `{}`, `[`} {
		require.Equal(t, "query.key", a.do("GET", "/v1/triggers/release-ready/partials?key="+url.QueryEscape(wrong), "").problem(422, "invalid").get("errors", 0, "location"))
	}
	a.do("GET", "/v1/triggers/other/partials", "").problem(404, "not-found")
}

func TestPartialsAreDroppedOneByOneOrBySelection(t *testing.T) {
	a, _ := releases(t, [2]string{"build.finished", `1`}, [2]string{"build.finished", `2`}, [2]string{"build.finished", `3`}, [2]string{"build.finished", `4`})
	id := a.do("GET", "/v1/triggers/release-ready/partials", "").get("items", 0, "id").(string)
	require.EqualValues(t, 1, a.do("DELETE", "/v1/triggers/release-ready/partials/"+id, "").want(200).get("dropped"))
	a.do("DELETE", "/v1/triggers/release-ready/partials/"+id, "").problem(404, "not-found")
	a.do("DELETE", "/v1/triggers/release-ready/partials/x", "").problem(404, "not-found")

	drop := func(body string) *answer { return a.do("POST", "/v1/triggers/release-ready/partials/drop", body) }
	for _, nothing := range []string{`{}`, `{"all": false}`, `{"keys": []}`, `{"all": true, "keys": [{"release": 1}]}`} {
		drop(nothing).problem(422, "invalid")
	}
	require.Equal(t, "body.ids[0]", drop(`{"ids": ["x"]}`).problem(422, "invalid").get("errors", 0, "location"))
	require.Equal(t, "body.keys[0].release", drop(`{"keys": [{}]}`).problem(422, "invalid").get("errors", 0, "location"))
	key := a.do("GET", "/v1/triggers/release-ready/partials", "").get("items", 0, "key", "release")
	selection := fmt.Sprintf(`"keys": [{"release": %v}, {"release": %v}, {"release": 77}]`, key, key)
	require.EqualValues(t, 1, drop(`{`+selection+`, "dry_run": true}`).want(200).get("dropped"))
	require.EqualValues(t, 1, drop(`{`+selection+`}`).want(200).get("dropped"))
	require.EqualValues(t, 2, drop(`{"all": true}`).want(200).get("dropped"))
	require.Empty(t, a.do("GET", "/v1/triggers/release-ready/partials", "").get("items"))
}

func TestFiringsAreListedWithTheEventsThatTheyJoined(t *testing.T) {
	a, positions := releases(t, [2]string{"build.finished", `1`}, [2]string{"qa.approved", `1`}, [2]string{"build.finished", `2`}, [2]string{"qa.approved", `2`})
	page := a.do("GET", "/v1/triggers/release-ready/firings?limit=1", "").want(200)
	require.Len(t, page.get("items"), 1)
	require.Equal(t, map[string]any{"release": 2.0}, page.get("items", 0, "key"), "newest first")
	require.Equal(t, map[string]any{"name": "build", "position": positions[2], "id": "e2", "source": "/ci"}, page.get("items", 0, "events", 0))
	rest := a.do("GET", "/v1/triggers/release-ready/firings?cursor="+page.get("next").(string), "").want(200)
	require.Len(t, rest.get("items"), 1)
	require.Equal(t, map[string]any{"release": 1.0}, rest.get("items", 0, "key"))
}

func TestADryRunOfAChangeSaysWhatItWouldDrop(t *testing.T) {
	a := newAPI(t)
	a.do("PUT", "/v1/triggers/release-ready?dry_run=true", releaseReady).want(200)
	a.do("GET", "/v1/triggers/release-ready", "").problem(404, "not-found")
	a.do("PUT", "/v1/triggers/release-ready?dry_run=false", releaseReady).want(201)
	same := a.do("PUT", "/v1/triggers/release-ready?dry_run=true", releaseReady).want(200)
	require.Equal(t, false, same.get("new_generation"))
	require.EqualValues(t, 0, same.get("dropped_partials"))
	other := a.do("PUT", "/v1/triggers/release-ready?dry_run=true", `{"when": {"event": {}}}`).want(200)
	require.Equal(t, true, other.get("new_generation"))
	require.EqualValues(t, 3, other.get("dropped_partials"))
	require.EqualValues(t, 1, a.do("GET", "/v1/triggers/release-ready", "").get("status", "generation"), "nothing was done")
	a.do("PUT", "/v1/triggers/release-ready?dry_run=maybe", releaseReady).problem(422, "invalid")
}
