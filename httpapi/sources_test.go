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

// fakeSources is the contract of router.SourceStore in memory, and what a replica knows of it: what was stored when it looked last.
type fakeSources struct {
	mu        sync.Mutex
	all       []router.Source
	known     []*router.Source
	version   uint64
	counts    map[string]router.SourceCounts
	refreshed int
	down      error // looking and counting fails with it
}

func (f *fakeSources) find(ref string) int {
	return slices.IndexFunc(f.all, func(s router.Source) bool { return s.ID == ref || s.Name == ref })
}

func (f *fakeSources) CreateSource(_ context.Context, s router.Source) (router.Source, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.find(s.Name) >= 0 {
		return s, router.Errorf(router.Conflict, "the name %q is taken", s.Name)
	}
	f.version++
	s.ID, s.Version, s.Created = fmt.Sprintf("src_%026d", f.version), f.version, time.UnixMilli(1_732_128_000_000).UTC()
	s.Updated = s.Created
	f.all = append(f.all, s)
	return s, nil
}

func (f *fakeSources) Source(_ context.Context, ref string) (router.Source, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.find(ref); i >= 0 {
		return f.all[i], nil
	}
	return router.Source{}, router.Errorf(router.NotFound, "there is no source %q", ref)
}

func (f *fakeSources) ReplaceSource(_ context.Context, s router.Source) (router.Source, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.find(s.ID)
	if i < 0 || f.all[i].Version != s.Version {
		return s, router.Errorf(router.Precondition, "it was changed")
	}
	f.version++
	s.Version = f.version
	f.all[i] = s
	return s, nil
}

func (f *fakeSources) DeleteSource(_ context.Context, id string, version uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.find(id)
	if i < 0 || version != 0 && version != f.all[i].Version {
		return router.Errorf(router.Precondition, "it was changed")
	}
	f.all = slices.Delete(f.all, i, i+1)
	return nil
}

func (f *fakeSources) Sources(_ context.Context, after string, limit int) (out []router.Source, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.all {
		if s.ID > after && len(out) < limit {
			out = append(out, s)
		}
	}
	return out, nil
}

func (f *fakeSources) SourceCounts(_ context.Context, id string) (router.SourceCounts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.counts[id], nil
}

func (f *fakeSources) CountSource(_ context.Context, id string, counts router.SourceCounts) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return f.down
	}
	if f.counts == nil {
		f.counts = map[string]router.SourceCounts{}
	}
	n := f.counts[id]
	n.Add(counts)
	f.counts[id] = n
	return nil
}

func (f *fakeSources) Inlet(name string) *router.Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := slices.IndexFunc(f.known, func(s *router.Source) bool { return s.Name == name }); i >= 0 {
		return f.known[i]
	}
	return nil
}

func (f *fakeSources) RefreshDefinitions(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refreshed++
	if f.down != nil {
		return f.down
	}
	f.known = nil
	for _, s := range f.all {
		f.known = append(f.known, &s)
	}
	return nil
}

func TestASourceIsCreatedShownChangedAndDeletedLikeAnyDefinition(t *testing.T) {
	a := newAPI(t)
	made := a.do("POST", "/v1/sources", `{"name": "github", "provider": "github", "secret": "s3cret", "type_prefix": "github.",
		"extract": {"release": {"path": "data.release.tag_name", "match": "^v(.*)$"}}}`).want(201)
	id := made.get("id").(string)
	require.Equal(t, "/v1/sources/"+id, made.header.Get("Location"))
	require.Equal(t, "/in/github", made.get("inlet"))
	require.Equal(t, "****", made.get("secret"))
	a.do("POST", "/v1/sources", `{"name": "github", "provider": "github"}`).problem(409, "conflict")

	shown := a.do("GET", "/v1/sources/github", "").want(200)
	require.NotContains(t, shown.body, "s3cret")
	require.EqualValues(t, 0, shown.get("status", "rejected"))
	same := a.do("PUT", "/v1/sources/"+id, shown.body).want(200)
	require.Equal(t, []string{"s3cret"}, a.store.sources.all[0].Secrets, "what GET gave can be put back, and changes nothing")
	a.do("PATCH", "/v1/sources/"+id, `{"title": "x"}`, "If-Match: "+made.header.Get("ETag")).problem(412, "precondition")
	a.do("PATCH", "/v1/sources/"+id, `{"secret": ["****", "new"]}`, "If-Match: "+same.header.Get("ETag")).want(200)
	require.Equal(t, []string{"s3cret", "new"}, a.store.sources.all[0].Secrets)
	require.Equal(t, []any{"****", "****"}, a.do("GET", "/v1/sources/"+id, "").get("secret"))

	a.do("PUT", "/v1/sources/another", `{"provider": "stripe"}`).want(201)
	page := a.do("GET", "/v1/sources?limit=1", "").want(200)
	require.Len(t, page.get("items"), 1)
	require.Len(t, a.do("GET", "/v1/sources?cursor="+page.get("next").(string), "").want(200).get("items"), 1)

	a.do("DELETE", "/v1/sources/github", "").want(200)
	a.do("GET", "/v1/sources/github", "").problem(404, "not-found")
	a.do("DELETE", "/v1/sources/github", "").problem(404, "not-found")
}

func TestASecretIsMadeWhereTheReceiverChoosesItAndShownOnce(t *testing.T) {
	a := newAPI(t)
	require.Equal(t, freshSecret, a.do("POST", "/v1/sources", `{"name": "a", "provider": "github"}`).want(201).get("secret"))
	require.Equal(t, "****", a.do("GET", "/v1/sources/a", "").get("secret"))
	require.Nil(t, a.do("POST", "/v1/sources", `{"name": "b", "provider": "stripe"}`).want(201).get("secret"), "Stripe gives it out")

	made := a.do("POST", "/v1/sources", `{"name": "c", "provider": "none"}`).want(201)
	require.Equal(t, "/in/c/MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", made.get("inlet"))
	require.Equal(t, "/in/c/****", a.do("GET", "/v1/sources/c", "").get("inlet"))
	require.NotContains(t, a.do("GET", "/v1/sources", "").body, "MfKQ9r8")
}

func TestWhatIsWrongInASourceIsRefusedWithItsPlace(t *testing.T) {
	a := newAPI(t)
	for document, place := range map[string]string{
		`{"name": "s", "provider": "githbu"}`:                                                           "body.provider",
		`{"name": "s", "provider": "github", "unknown": 1}`:                                             "body.unknown",
		`{"name": "s", "provider": "github", "extract": {"Release": {"path": "data.x"}}}`:               "body.extract.Release",
		`{"name": "s", "provider": "github", "extract": {"release": {"path": "data.x", "match": "("}}}`: "body.extract.release.match",
		`{"name": "s", "provider": "standard-webhooks", "secret": "x"}`:                                 "body.secret",
		`{"name": "s", "provider": "none", "secret": "guess"}`:                                          "body.secret",
		`{"name": "s", "provider": "github", "token": {"header": "x"}}`:                                 "body.token",
	} {
		require.Contains(t, a.do("POST", "/v1/sources", document).problem(422, "invalid").body, `"location":"`+place+`"`, document)
	}
}

func TestASourceIsTestedWithASampleThatIsSigned(t *testing.T) {
	a := newAPI(t)
	for _, document := range []string{
		`{"name": "a", "provider": "github"}`, `{"name": "b", "provider": "stripe", "secret": "x"}`, `{"name": "c", "provider": "none"}`,
		`{"name": "d", "provider": "basic", "user": "ann"}`, `{"name": "e", "provider": "slack", "secret": "x"}`,
	} {
		name := a.do("POST", "/v1/sources", document).want(201).get("name").(string)
		tested := a.do("POST", "/v1/sources/"+name+"/test", "").want(200)
		require.Equal(t, "/in/"+name, tested.get("event", "source"))
		a.do("GET", "/v1/events/"+tested.get("position").(string), "").want(200)
		require.EqualValues(t, 1, a.do("GET", "/v1/sources/"+name, "").get("status", "accepted"))
	}
	require.Equal(t, "github.ping", a.do("POST", "/v1/sources/a/test", "").get("event", "type"))
	a.do("POST", "/v1/sources", `{"name": "f", "provider": "stripe"}`).want(201)
	a.do("POST", "/v1/sources/f/test", "").problem(422, "invalid")
	a.do("PATCH", "/v1/sources/a", `{"enabled": false}`).want(200)
	a.do("POST", "/v1/sources/a/test", "").problem(422, "invalid")
}
