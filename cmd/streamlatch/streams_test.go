package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
)

// What a subscription to a stream gets is in the stream, once, in the own Redis or in another one, whose password is in Redis sealed.
func TestEventsArriveInStreams(t *testing.T) {
	own, other := redistest.Start(t), redistest.Start(t, redistest.Args("--requirepass", "hunter2"))
	url, _ := startServe(t, "--redis", own.URL(), "--allow-targets", "127.0.0.0/8", "--secrets-key", secretsKey)
	environ := []string{serverVariable + "=" + url}
	run := func(args ...string) string {
		stdout, stderr, code := runCommand(t, environ, args...)
		require.Equal(t, exitDone, code, stderr)
		return stdout
	}
	elsewhere := "redis://:hunter2@" + other.Addr()
	run("subscriptions", "create", "--name", "here", "--types", "order.*", "--stream", "orders")
	run("subscriptions", "create", "--name", "there", "--stream", "all", "--maxlen", "100000", "--stream-redis", elsewhere)
	_, stderr, code := runCommand(t, environ, "subscriptions", "create", "--name", "itself", "--stream", "x", "--stream-redis", own.URL())
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "own storage")
	require.NotContains(t, run("subscriptions", "show", "there"), "hunter2")
	require.Contains(t, run("subscriptions", "test", "there"), "delivered")

	for i := range 20 {
		run("publish", "--type", []string{"order.paid", "user.created"}[i%2], "--id", fmt.Sprint(i), "--data", "{}")
	}
	here, there := redistest.Client(t, own.Addr()), redis.NewClient(&redis.Options{Addr: other.Addr(), Password: "hunter2", Protocol: 2, DisableIdentity: true})
	defer func() { require.NoError(t, there.Close()) }()
	require.Eventually(t, func() bool {
		return here.XLen(t.Context(), "orders").Val() == 10 && there.XLen(t.Context(), "all").Val() == 21
	}, 30*time.Second, 10*time.Millisecond)
	for id, text := range here.HGetAll(t.Context(), "sl:{0}:subs").Val() {
		require.NotContains(t, text, "hunter2", id)
		require.Equal(t, strings.HasPrefix(text, "there"), strings.Contains(text, "sealed:v1:"))
	}
}
