package main_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

func TestARedisThatIsKilledAndRestartedLosesNothingThatWasAccepted(t *testing.T) {
	server := redistest.Start(t, redistest.AOF(redistest.Always))
	tr := newTrial(t, setup{server: server, replicas: 3, flags: []string{"--lease", shortLease.String()}, events: 10_000})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	wait := tr.publish(ctx, 16)
	unload := tr.load(ctx, 500)

	random := tr.random(2)
	for range 5 {
		tr.awaitEvents(ctx, 300)
		require.True(t, pause(ctx, upTo(random, 200*time.Millisecond)))
		require.NoError(t, server.Kill())
		require.True(t, pause(ctx, upTo(random, time.Second)))
		require.NoError(t, server.Restart())
	}
	tr.awaitEvents(ctx, 300)
	unload()
	require.NoErrorf(t, wait(), "seed %d: publish", tr.seed)
	tr.settle()
	tr.check()
}

func TestLostRepliesOfRedisLoseAndRepeatNoEvent(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.NewProxy(t, server.Addr())
	tr := newTrial(t, setup{
		server: server, url: "redis://" + proxy.Addr(), replicas: 3, flags: []string{"--lease", shortLease.String()}, events: 3000,
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	proxy.Only("evalsha")
	proxy.SwallowEvery(0.03, tr.seed)
	proxy.CutEvery(0.01, tr.seed+1)
	wait := tr.publish(ctx, 16)
	unload := tr.load(ctx, 500)
	tr.awaitEvents(ctx, len(tr.events))
	unload()
	require.NoErrorf(t, wait(), "seed %d: publish", tr.seed)
	done := proxy.Stats()
	proxy.SwallowEvery(0, 0)
	proxy.CutEvery(0, 0)

	tr.settle()
	t.Logf("%+v", done)
	require.Greater(t, done.Swallowed, 30)
	require.Greater(t, done.Cut, 8)
	tr.check()
}

func TestAPausedRedisMeans503WithRetryAfterUntilItIsBack(t *testing.T) {
	t.Parallel() // most of it is waiting
	const (
		singles = 400
		batches = 12 // of several hundred events, which the store commits one by one
		soon    = 20 * time.Second
	)
	sizes := slices.Concat(slices.Repeat([]int{1}, singles), slices.Repeat([]int{600}, batches))
	server := redistest.Start(t)
	tr := newTrial(t, setup{server: server, replicas: 1, events: singles + batches*600})
	require.NoError(t, server.Pause())

	var all sync.WaitGroup
	answers := make(chan error, len(sizes))
	start, next := time.Now(), 0
	for _, size := range sizes {
		batch := make([]int, size)
		for i := range batch {
			batch[i], next = next, next+1
		}
		all.Go(func() {
			p := &publisher{trial: tr, http: &http.Client{Transport: direct, Timeout: 2 * patience}}
			answers <- p.send(t.Context(), tr.replicas[0].url, batch)
		})
	}
	all.Wait()
	took := time.Since(start)
	close(answers)
	for err := range answers {
		_, fatal := errors.AsType[fatalError](err)
		require.Falsef(t, fatal, "%v", err)
		require.ErrorContains(t, err, "status 503")
	}
	t.Logf("all %d were answered within %v, Retry-After %v at most", len(sizes), took, tr.retry)
	require.Equal(t, map[string]int{"503": len(sizes)}, tr.refused)
	require.LessOrEqual(t, tr.retry, 5*time.Second)
	require.Less(t, took, soon)

	require.NoError(t, server.Resume())
	start = time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	wait := tr.publish(ctx, 32)
	tr.give(len(tr.events))
	tr.awaitEvents(ctx, 1)
	require.Less(t, time.Since(start), soon, "until the first was accepted")
	require.NoError(t, wait())
	t.Logf("all %d were accepted %v after Redis was back", len(tr.events), time.Since(start))
	tr.settle()
	tr.check()
}
