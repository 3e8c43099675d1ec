package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// defined is a store with triggers that are not stored.
type defined struct {
	*redisstore.Store
	triggers []router.Trigger
}

func (d defined) Definitions(ctx context.Context, since uint64) (router.Definitions, error) {
	definitions, err := d.Store.Definitions(ctx, since)
	definitions.Triggers = d.triggers
	return definitions, err
}

func trigger(t testing.TB, document string) router.Trigger {
	t.Helper()
	draft, err := router.DecodeTrigger([]byte(document), router.Rules{})
	require.NoError(t, err)
	made := draft.Create()
	made.ID = "trg_" + strings.Repeat("0", 25) + "1"
	return made
}

func keyed(t testing.TB, id, typ, key string) router.Event {
	t.Helper()
	e, err := router.NewEvent(router.EventFields{ID: id, Source: "/test", Type: typ, Subject: key, Data: `{"order":"` + key + `"}`, DataKind: router.JSONData})
	require.NoError(t, err)
	return e
}

// firingsIn lists the firings in the log.
func firingsIn(t testing.TB, s *redisstore.Store) (list []router.Event) {
	t.Helper()
	for _, r := range (&spread{store: s}).records(t) {
		require.NoError(t, r.Err)
		if isFiring(r) {
			list = append(list, r.Event)
		}
	}
	return list
}

func TestEveryPairFiresOnceWhicheverReplicaRoutes(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		own := redistest.Namespace(t)
		namespace := func(c *redisstore.Config) { c.Namespace = own }
		a, b := open(t, addr, namespace), open(t, addr, namespace)
		pair := trigger(t, `{"name":"pair","key":{"order":"data.order"},"when":{"all":[{"event":{"types":["paid"]}},{"event":{"types":["packed"]}}],"within":"1h"}}`)
		_, stop := start(t, defined{a, []router.Trigger{pair}}, newSink())
		start(t, defined{b, []router.Trigger{pair}}, newSink())
		const pairs = 1000
		var all sync.WaitGroup
		for w := range 8 {
			all.Go(func() {
				for i := w; i < 2*pairs; i += 8 {
					typ := []string{"paid", "packed"}[i%2]
					appendOne(t, b, keyed(t, fmt.Sprint(i), typ, fmt.Sprint(i/2)))
				}
			})
		}
		stop()
		all.Wait()
		eventually(t, func() bool { return len(firingsIn(t, a)) == pairs }, "each pair fires")
		subjects := map[string]bool{}
		for _, f := range firingsIn(t, a) {
			subjects[f.Subject()] = true
		}
		require.Len(t, subjects, pairs)
	})
}

func TestASilentKeyFiresThoughNoEventsCome(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		start(t, defined{s, []router.Trigger{trigger(t, `{"name":"silent","key":["subject"],"when":{"absent":{"event":{"types":["beat"]}},"within":"100ms"}}`)}}, newSink())
		p := appendOne(t, s, keyed(t, "1", "beat", "a"))
		eventually(t, func() bool { return len(firingsIn(t, s)) == 1 }, "it fires")
		at, _ := firingsIn(t, s)[0].Time()
		require.Equal(t, p.AcceptedAt().Add(100*time.Millisecond), at)
	})
}
