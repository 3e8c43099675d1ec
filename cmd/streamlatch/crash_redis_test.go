package main_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

func TestARedisThatIsKilledAndRestartedLosesNothingThatWasAccepted(t *testing.T) {
	server := redistest.Start(t, redistest.AOF(redistest.Always))
	tr := newTrial(t, setup{server: server, replicas: 3, flags: []string{"--lease", shortLease.String()}, events: 4000})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	wait := tr.publish(ctx, 16)
	random := tr.random(2)

	const kills = 5
	for range kills {
		tr.give(len(tr.events) / (kills + 1))
		require.True(t, pause(ctx, upTo(random, 300*time.Millisecond)))
		require.NoError(t, server.Kill())
		require.True(t, pause(ctx, upTo(random, time.Second)))
		require.NoError(t, server.Restart())
		tr.awaitEvents(ctx, len(tr.events)/(kills+1)/2)
	}
	tr.give(len(tr.events))
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
	tr.giveAtRate(ctx, 300)
	require.NoErrorf(t, wait(), "seed %d: publish", tr.seed)
	done := proxy.Stats()
	proxy.SwallowEvery(0, 0)
	proxy.CutEvery(0, 0)

	tr.settle()
	t.Logf("%+v", done)
	require.Greater(t, done.Swallowed, 50)
	require.Greater(t, done.Cut, 15)
	tr.check()
}

func TestAPausedRedisMeans503WithRetryAfterUntilItIsBack(t *testing.T) {
	const (
		publishers = 400
		soon       = 20 * time.Second
	)
	server := redistest.Start(t)
	tr := newTrial(t, setup{server: server, replicas: 1, events: 2 * publishers})
	require.NoError(t, server.Pause())

	var all sync.WaitGroup
	answers := make(chan error, publishers)
	start := time.Now()
	for i := range publishers {
		all.Go(func() {
			p := &publisher{trial: tr, http: &http.Client{Transport: direct, Timeout: patience}}
			answers <- p.send(t.Context(), tr.replicas[0].url, []int{i})
		})
	}
	all.Wait()
	close(answers)
	for err := range answers {
		_, fatal := err.(fatalError)
		require.Falsef(t, fatal, "%v", err)
		require.ErrorContains(t, err, "status 503")
	}
	took := time.Since(start)
	require.Equal(t, map[string]int{"503": publishers}, tr.refused)
	require.LessOrEqual(t, tr.retry, 5*time.Second)
	require.Less(t, took, soon, "until all were answered")
	t.Logf("all %d were answered after %v, Retry-After %v", publishers, took, tr.retry)

	require.NoError(t, server.Resume())
	start = time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	wait := tr.publish(ctx, 32)
	tr.give(len(tr.events))
	require.NoError(t, wait())
	require.Less(t, time.Since(start), soon, "until all were accepted")
	t.Logf("all %d were accepted %v after Redis was back", len(tr.events), time.Since(start))
	tr.settle()
	tr.check()
}

// awaitEvents waits until so many more events were accepted.
func (tr *trial) awaitEvents(ctx context.Context, n int) {
	tr.Helper()
	want := tr.acked.Load() + int64(n)
	require.NoErrorf(tr, poll(ctx, patience, func(context.Context) error {
		if have := tr.acked.Load(); have < want {
			return fmt.Errorf("%d events of %d were accepted", have, want)
		}
		return nil
	}), "seed %d", tr.seed)
}
