package redisstore_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// On a Cluster, the partition that forwards and the one that is forwarded to have replicas of their own.
func TestNothingIsForwardedThatRedisReplicasDoNotHaveOnEitherSide(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, 1)
	s := open(t, "", at("redis+cluster://"+strings.Join(cluster.Addrs(), ",")), waiting, func(c *redisstore.Config) { c.Partitions = 6 })
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs()[:1], Protocol: 2, DisableIdentity: true})
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	master := func(partition int) int { // the number of the node that a partition is on
		node, err := client.MasterForKey(t.Context(), redisstore.KeyIn(s, partition, "state"))
		require.NoError(t, err)
		return slices.Index(cluster.Addrs(), node.Options().Addr)
	}
	from, to := 0, 1
	for master(to) == master(from) {
		to++
	}
	made, err := s.CreateTrigger(t.Context(), draft(t, pair).Create())
	require.NoError(t, err)
	trigger, err := made.Compile()
	require.NoError(t, err)
	token := must(s.Definitions(t.Context(), 0)).Tokens[to]
	entry := offered(t, trigger, router.Position{Partition: from, MS: 5}, 0)
	forward := func() (router.ApplyStatus, error) {
		status, _, err := s.Forward(t.Context(), router.Forward{From: from, To: to, Token: token, Entries: []router.Forwarded{entry}})
		return status, err
	}
	entries := func() int { return len(must(s.ReadInbox(t.Context(), to)).Lists[from].Entries) }

	replica := cluster.Nodes[3+master(from)]
	require.NoError(t, replica.Pause())
	_, err = forward()
	require.ErrorContains(t, err, "0 of 1 replicas of Redis confirmed")
	require.Zero(t, entries(), "the event may yet be lost, so nothing has come of it")
	require.NoError(t, replica.Resume())

	replica = cluster.Nodes[3+master(to)]
	require.NoError(t, replica.Pause())
	eventually(t, func() bool {
		_, err = forward()
		return err != nil && entries() == 1
	}, "it is there, but may yet be lost")
	_, err = forward()
	require.ErrorContains(t, err, "0 of 1 replicas of Redis confirmed", "a repeat is not confirmed either")
	require.NoError(t, replica.Resume())
	eventually(t, func() bool {
		status, err := forward()
		return err == nil && status == router.Fenced
	}, "now it is known to be there")
	require.Equal(t, 1, entries())
}
