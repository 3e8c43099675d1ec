package redistest

import (
	"strconv"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func TestAClusterServesEverySlot(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3, 0)
	require.Len(t, c.Addrs(), 3)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()[:1], Protocol: 2, DisableIdentity: true})
	defer func() { require.NoError(t, client.Close()) }()
	for i := range 100 {
		require.NoError(t, client.Set(t.Context(), strconv.Itoa(i), i, 0).Err())
	}
	for _, node := range c.Nodes {
		n, err := Client(t, node.Addr()).DBSize(t.Context()).Result()
		require.NoError(t, err)
		require.NotZero(t, n)
	}
	err := client.MSet(t.Context(), "a", 1, "b", 2, "c", 3).Err()
	require.ErrorContains(t, err, "CROSSSLOT", "a Cluster refuses what a single server takes")
}

func TestAClustersReplicasFollowTheirMasters(t *testing.T) {
	t.Parallel()
	c := StartCluster(t, 3, 1)
	for i, replica := range c.Nodes[3:] {
		info, err := Client(t, replica.Addr()).Info(t.Context(), "replication").Result()
		require.NoError(t, err)
		require.Contains(t, info, "role:slave")
		require.Contains(t, info, "master_port:"+strconv.Itoa(c.Nodes[i].port.number))
	}
}

func TestAClusterNeedsAMaster(t *testing.T) {
	_, err := LaunchCluster(0, 1)
	require.ErrorContains(t, err, "0 masters")
}
