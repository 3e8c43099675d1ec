package httpapi_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// fakeTriggers is the contract of router.TriggerStore in memory.
type fakeTriggers struct {
	mu      sync.Mutex
	all     []router.Trigger
	version uint64

	partials []router.Partial
}

func (f *fakeTriggers) find(ref string) int {
	return slices.IndexFunc(f.all, func(t router.Trigger) bool { return t.ID == ref || t.Name == ref })
}

func (f *fakeTriggers) CreateTrigger(_ context.Context, t router.Trigger) (router.Trigger, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.find(t.Name) >= 0 {
		return t, router.Errorf(router.Conflict, "the name %q is taken", t.Name)
	}
	f.version++
	t.ID, t.Version, t.Created = fmt.Sprintf("trg_%026d", f.version), f.version, time.UnixMilli(1_732_128_000_000).UTC()
	t.Updated = t.Created
	f.all = append(f.all, t)
	return t, nil
}

func (f *fakeTriggers) Trigger(_ context.Context, ref string) (router.Trigger, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.find(ref); i >= 0 {
		return f.all[i], nil
	}
	return router.Trigger{}, router.Errorf(router.NotFound, "there is no trigger %q", ref)
}

func (f *fakeTriggers) ReplaceTrigger(_ context.Context, t router.Trigger) (router.Trigger, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.find(t.ID)
	if i < 0 || f.all[i].Version != t.Version {
		return t, router.Errorf(router.Precondition, "it was changed")
	}
	f.version++
	t.Version = f.version
	f.all[i] = t
	return t, nil
}

func (f *fakeTriggers) DeleteTrigger(_ context.Context, id string, version uint64) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.find(id)
	if i < 0 || version != 0 && version != f.all[i].Version {
		return 0, router.Errorf(router.Precondition, "it was changed")
	}
	f.all = slices.Delete(f.all, i, i+1)
	return 9, nil
}

func (f *fakeTriggers) Triggers(_ context.Context, after string, limit int) (out []router.Trigger, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.all {
		if t.ID > after && len(out) < limit {
			out = append(out, t)
		}
	}
	return out, nil
}

func (f *fakeTriggers) TriggerStatus(context.Context, router.Trigger) (router.TriggerStatus, error) {
	return router.TriggerStatus{Partials: 3, Firings: 2, Suppressed: 1}, nil
}

const releaseReady = `{"name": "release-ready", "key": {"release": "data.release"},
	"when": {"all": [{"name": "build", "event": {"types": ["build.finished"]}}, {"event": {"types": ["qa.approved"]}, "key": {"release": "data.version"}}], "within": "24h"},
	"emit": {"type": "release.ready"}, "cooldown": "5m"}`

func TestATriggerIsCreatedShownChangedAndDeletedLikeAnyDefinition(t *testing.T) {
	a := newAPI(t)
	made := a.do("POST", "/v1/triggers", releaseReady).want(201)
	id := made.get("id").(string)
	require.Equal(t, "/v1/triggers/"+id, made.header.Get("Location"))
	require.Equal(t, `"1"`, made.header.Get("ETag"))
	a.do("POST", "/v1/triggers", releaseReady).problem(409, "conflict")

	shown := a.do("GET", "/v1/triggers/release-ready", "").want(200)
	require.Equal(t, "1d", shown.get("when", "within"))
	require.EqualValues(t, 3, shown.get("status", "partials"))
	require.EqualValues(t, 1, shown.get("status", "generation"))

	same := a.do("PUT", "/v1/triggers/"+id, shown.body).want(200)
	require.EqualValues(t, 1, a.do("GET", "/v1/triggers/"+id, "").get("status", "generation"), "what GET gave can be put back, and changes nothing")
	a.do("PATCH", "/v1/triggers/"+id, `{"cooldown": "1m"}`, "If-Match: "+made.header.Get("ETag")).problem(412, "precondition")
	a.do("PATCH", "/v1/triggers/"+id, `{"cooldown": "1m"}`, "If-Match: "+same.header.Get("ETag")).want(200)
	require.EqualValues(t, 1, a.do("GET", "/v1/triggers/"+id, "").get("status", "generation"))
	a.do("PATCH", "/v1/triggers/"+id, `{"when": {"within": "1h"}}`).want(200)
	require.EqualValues(t, 2, a.do("GET", "/v1/triggers/"+id, "").get("status", "generation"), "what is recorded does not survive that")

	a.do("PUT", "/v1/triggers/another", `{"when": {"event": {"types": ["x.y"]}}}`).want(201)
	page := a.do("GET", "/v1/triggers?limit=1", "").want(200)
	require.Len(t, page.get("items"), 1)
	rest := a.do("GET", "/v1/triggers?cursor="+page.get("next").(string), "").want(200)
	require.Len(t, rest.get("items"), 1)

	require.EqualValues(t, 9, a.do("DELETE", "/v1/triggers/release-ready", "").want(200).get("dropped_partials"))
	a.do("GET", "/v1/triggers/release-ready", "").problem(404, "not-found")
	a.do("DELETE", "/v1/triggers/release-ready", "").problem(404, "not-found")
}

func TestWhatIsWrongInATriggerIsRefusedWithItsPlace(t *testing.T) {
	a := newAPI(t)
	for document, place := range map[string]string{
		`{"name": "t", "when": {"all": []}}`: "body.when.all",
		`{"name": "t", "when": {"all": [{"event": {"types": ["x"]}}, {"any": [{"event": {}, "within": "99d", "count": 2}]}]}}`: "body.when.all[1].any[0].within",
		`{"name": "t", "when": {"event": {"types": ["x"]}, "any": []}}`:                                                        "body.when",
		`{"name": "t", "when": {"event": {"types": ["x.**"]}}}`:                                                                "body.when.event.types[0]",
		`{"name": "t", "when": {"event": {}}, "emit": {"type": "streamlatch.x"}}`:                                              "body.emit.type",
		`{"name": "t", "when": {"event": {}}, "unknown": 1}`:                                                                   "body.unknown",
	} {
		require.Contains(t, a.do("POST", "/v1/triggers", document).problem(422, "invalid").body, `"location":"`+place+`"`, document)
	}
	a.do("GET", "/v1/triggers/sub_01JD6ZZZZZZZZZZZZZZZZZZZZZ", "").problem(422, "invalid")
}
