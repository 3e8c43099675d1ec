package main_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// racePairs is how many pairs race. STREAMLATCH_TEST_PAIRS says another number.
func racePairs(t testing.TB) int {
	text := os.Getenv("STREAMLATCH_TEST_PAIRS")
	if text == "" {
		return 4000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "STREAMLATCH_TEST_PAIRS")
	return n
}

// The race that this project began with: the two children of a parent are published at the same moment, to different replicas.
func TestChildrenPublishedAtTheSameMomentFireTheirParentOnce(t *testing.T) {
	const replicas, clients, batch = 3, 8, 50
	pairs := racePairs(t)
	server := redistest.Start(t)
	store, err := redisstore.Open(t.Context(), redisstore.Config{URL: server.URL(), Namespace: namespace})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	var apis []*client.Client
	for i := range replicas {
		r := startReplica(t, "replica "+strconv.Itoa(i), server.URL(), "--namespace", namespace, "--log-level", "warn")
		api, err := client.New(client.Config{Server: r.url, Transport: direct})
		require.NoError(t, err)
		apis = append(apis, api)
	}
	made, err := apis[0].Create(t.Context(), client.Trigger, []byte(`{"name": "parent", "key": {"pair": "data.pair"},
		"when": {"all": [{"event": {"types": ["child.a"]}}, {"event": {"types": ["child.b"]}}], "within": "1h"}, "emit": {"include": "refs"}}`))
	require.NoError(t, err)
	require.NotEmpty(t, made.ETag)

	work, ctx := errgroup.WithContext(t.Context())
	for n := range 2 * clients {
		typ := []string{"child.a", "child.b"}[n%2]
		work.Go(func() error { // the two clients of each number go through the same pairs, side by side
			for first := n / 2 * batch; first < pairs; first += clients * batch {
				var events []client.Event
				for pair := first; pair < min(first+batch, pairs); pair++ {
					e, err := client.NewEvent(client.EventFields{
						ID: fmt.Sprint(typ, pair), Source: "/race", Type: typ, Data: fmt.Appendf(nil, `{"pair":%d}`, pair),
					})
					if err != nil {
						return err
					}
					events = append(events, e)
				}
				if _, err := apis[(n+first)%replicas].Publish(ctx, events); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, work.Wait())

	parent, err := store.Trigger(t.Context(), "parent")
	require.NoError(t, err)
	require.NoError(t, poll(t.Context(), 2*time.Minute, func(ctx context.Context) error {
		status, err := store.TriggerStatus(ctx, parent)
		if err == nil && status.Firings < int64(pairs) {
			err = fmt.Errorf("%d firings of %d", status.Firings, pairs)
		}
		return err
	}))
	fired := map[string]int{}
	for after := (router.Position{}); ; {
		records, err := store.ReadLog(t.Context(), after, 1000, 0)
		require.NoError(t, err)
		if len(records) == 0 {
			break
		}
		for _, r := range records {
			if strings.HasPrefix(r.Event.Source(), "/streamlatch/") {
				fired[r.Event.Subject()]++
			}
		}
		after = records[len(records)-1].Position
	}
	for pair := range pairs {
		require.Equalf(t, 1, fired[strconv.Itoa(pair)], "pair %d", pair)
	}
	require.Len(t, fired, pairs)
	t.Logf("%d pairs, %d firings, each pair once", pairs, len(fired))
}
