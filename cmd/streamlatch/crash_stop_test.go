package main_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// A rolling restart under load: the replica that routes is asked to end, time and again, with a lease that would keep the others waiting for half a minute.
func TestAStoppedReplicaHandsOverAtOnceAndRepeatsNothing(t *testing.T) {
	const (
		rounds    = 4
		lease     = 30 * time.Second
		atOnce    = 5 * time.Second // on a busy machine; it takes about half a second
		grace     = 10 * time.Second
		perSecond = 400
	)
	tr := newTrial(t, setup{
		server: redistest.Start(t), replicas: 1, events: perSecond * 60, latency: 50 * time.Millisecond, timeout: time.Minute,
		flags: []string{"--lease", lease.String(), "--shutdown-grace", grace.String()},
	})
	url := tr.redis.Options().Addr
	tr.replicas = append(tr.replicas, startReplica(t, "replica 1", "redis://"+url, tr.flags...))
	owners := watchOwners(tr)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	wait := tr.publish(ctx, 8)
	unload := tr.load(ctx, perSecond)

	for round := range rounds {
		r, other := tr.replicas[round%2], tr.replicas[1-round%2]
		before := owners.takeovers.Load()
		tr.awaitEvents(ctx, 200)
		code, took, err := r.terminate(syscall.SIGTERM)
		require.NoError(t, err)
		require.Zero(t, code, "exit code of %s, which printed:\n%s", r.name, r.said())
		require.Less(t, took, grace, "%s took its time to end", r.name)
		require.NoErrorf(t, poll(ctx, atOnce, func(context.Context) error {
			if n := owners.takeovers.Load(); n != before+1 {
				return fmt.Errorf("%d takeovers, %d before", n, before)
			}
			return nil
		}), "%s took over from %s", other.name, r.name)
		tr.awaitEvents(ctx, 200)
		require.NoError(t, r.start(ctx))
		t.Logf("round %d: %s ended after %v", round, r.name, took)
	}
	unload()
	owners.stop()
	require.NoError(t, wait())
	tr.settle()
	require.Less(t, owners.still, atOnce, "routing stood still")
	t.Logf("%d events, routing stood still for %v at most", len(tr.events), owners.still)
	require.Zero(t, tr.check(), "deliveries that were made twice, though no replica ended before it had recorded its own")
}

// Without Redis there is nothing to give up and nobody to tell, and that must not take for ever either.
func TestAReplicaEndsSoonAfterItsGraceWhenRedisStandsStill(t *testing.T) {
	t.Parallel() // most of it is waiting
	const grace = 2 * time.Second
	server := redistest.Start(t)
	tr := newTrial(t, setup{
		server: server, replicas: 1, events: 12_000, latency: time.Second, timeout: 10 * time.Second, inFlight: 600,
		flags: []string{"--shutdown-grace", grace.String()},
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	wait := tr.publish(ctx, 8)
	tr.give(6000)
	tr.awaitEvents(ctx, 5000) // a thousand of deliveries are under way
	require.NoError(t, server.Pause())
	tr.give(6000)

	code, took, err := tr.replicas[0].terminate(syscall.SIGTERM)
	require.NoError(t, err)
	t.Logf("exit code %d after %v", code, took)
	require.Zero(t, code)
	require.Less(t, took, grace+30*time.Second, "time limits of a few calls to Redis, one after the other")
	cancel()
	require.Error(t, wait(), "not all was accepted")
}

func TestASecondSignalEndsAReplicaAtOnce(t *testing.T) {
	server := redistest.Start(t)
	for name, c := range map[string]struct {
		first, second syscall.Signal
		code          int
	}{
		"SIGTERM":            {syscall.SIGTERM, syscall.SIGTERM, 143},
		"SIGINT":             {syscall.SIGINT, syscall.SIGINT, 130},
		"SIGTERM and SIGINT": {syscall.SIGTERM, syscall.SIGINT, 130},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startReplica(t, "replica", server.URL(), "--namespace", redistest.Namespace(t), "--shutdown-grace", "5m")
			conn := beginRequest(t, r)
			defer conn.Close()

			require.NoError(t, r.process.Signal(c.first))
			require.NoError(t, poll(t.Context(), patience, func(ctx context.Context) error {
				if err := get(ctx, r.url+"/healthz"); err == nil {
					return fmt.Errorf("it still takes requests")
				}
				return nil
			}))
			require.True(t, running(r), "it waits for the request under way")
			code, took, err := r.terminate(c.second)
			require.NoError(t, err)
			require.Equal(t, c.code, code)
			require.Less(t, took, 5*time.Second)
		})
	}
}

// beginRequest sends half a request, which keeps a server that stops in good order waiting, and returns when the server has begun to read it.
func beginRequest(t testing.TB, r *replica) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	require.NoError(t, err)
	_, err = fmt.Fprintf(conn, "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
	require.NoError(t, err)
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(patience)))
	line := make([]byte, len("HTTP/1.1 100 Continue"))
	_, err = io.ReadFull(conn, line) // the server asks for the body when its handler reads it
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 100 Continue", string(line))
	return conn
}

func running(r *replica) bool {
	select {
	case <-r.process.Exited():
		return false
	default:
		return true
	}
}
