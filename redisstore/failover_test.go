package redisstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// insistent publishes events until each is accepted, through whatever happens to Redis.
type insistent struct {
	accepted atomic.Int64
	refused  atomic.Value // the last error
	all      sync.WaitGroup
}

// publish begins: each publisher has events of its own, and stops when ctx ends.
func (i *insistent) publish(ctx context.Context, t *testing.T, s *redisstore.Store, publishers int) {
	for p := range publishers {
		rng := rand.New(rand.NewPCG(uint64(p), 0))
		i.all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				e := scattered(t, fmt.Sprint("p", p, "e", n), []string{"a", "b", "c", "d"}[rng.IntN(4)], fmt.Sprint("k", rng.IntN(12)))
				for {
					err := s.Append(context.WithoutCancel(ctx), []router.Event{e})[0].Err
					if err == nil {
						break
					}
					i.refused.Store(err.Error())
					select {
					case <-time.After(20 * time.Millisecond):
					case <-t.Context().Done():
						return
					}
				}
				i.accepted.Add(1)
				select {
				case <-time.After(3 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
}

// Masters hand over to their replicas, one is paused until its replica has taken its place, and a partition's slot moves to another master: with WAIT for all replicas, every
// event that was accepted is there, and what has fired is what the surviving log says, once.
func TestThroughFailoversAndReshardingNothingAcceptedIsLostAndTheSameFires(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 3, 1)
	namespace := redistest.Namespace(t)
	replica := func() *redisstore.Store {
		return open(t, "", at("redis+cluster://"+strings.Join(cluster.Addrs(), ",")), func(c *redisstore.Config) {
			c.Namespace, c.Partitions, c.WaitReplicas, c.WaitTimeout = namespace, 3, 1, 500*time.Millisecond
		})
	}
	d := &spread{store: replica()}
	d.define(t, kinds...)
	for range 2 {
		start(t, replica(), newSink())
	}
	publishing, end := context.WithCancel(t.Context())
	publishers := &insistent{}
	publishers.publish(publishing, t, d.store, 4)
	nodes := make([]*redis.Client, len(cluster.Nodes))
	for i, addr := range cluster.Addrs() {
		nodes[i] = redistest.Client(t, addr)
	}

	publishers.more(t, 200)
	for i := range 3 {
		require.NoError(t, nodes[3+i].ClusterFailover(t.Context()).Err())
		awaitRole(t, nodes[3+i], "master")
		publishers.more(t, 100)
	}
	require.NoError(t, cluster.Nodes[3].Pause()) // a master now; node 0 is its replica
	awaitRole(t, nodes[0], "master")
	publishers.more(t, 0)
	require.NoError(t, cluster.Nodes[3].Resume())
	awaitRole(t, nodes[3], "slave")
	publishers.more(t, 200)
	moveSlot(t, nodes, redisstore.KeyIn(d.store, 1, "state"))
	publishers.more(t, 200)
	end()
	publishers.check(t, d, true)
}

// A Sentinel makes a replica the master, by hand, under load. Without WAIT what was accepted last may be lost, and what fires is still what the log says that is left.
func TestThroughAFailoverOfSentinelsTheSameFires(t *testing.T) {
	for name, wait := range map[string]int{"with WAIT": 1, "without": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failOverSentinels(t, wait)
		})
	}
}

func failOverSentinels(t *testing.T, wait int) {
	master, second := withReplica(t)
	sentinel := startSentinel(t, master.Addr())
	namespace := redistest.Namespace(t)
	replica := func() *redisstore.Store {
		return open(t, "", at("redis+sentinel://"+sentinel.Options().Addr+"/main"), waiting, func(c *redisstore.Config) { c.Namespace, c.WaitReplicas = namespace, wait })
	}
	d := &spread{store: replica()}
	d.define(t, kinds...)
	for range 2 {
		start(t, replica(), newSink())
	}
	publishing, end := context.WithCancel(t.Context())
	publishers := &insistent{}
	publishers.publish(publishing, t, d.store, 4)
	publishers.more(t, 300)
	eventually(t, func() bool { // else it may not have begun to stream, and be empty
		return redistest.Client(t, second.Addr()).Exists(t.Context(), redisstore.Key(d.store, "log")).Val() == 1
	}, "the replica follows")
	eventually(t, func() bool { return sentinel.Do(t.Context(), "SENTINEL", "FAILOVER", "main").Err() == nil }, "the Sentinel finds the replica fit")
	awaitRole(t, redistest.Client(t, second.Addr()), "master")
	require.NoError(t, redistest.Client(t, master.Addr()).ReplicaOf(t.Context(), "127.0.0.1", portOf(t, second.Addr())).Err()) // the Sentinel takes 8 s to
	publishers.more(t, 300)
	end()
	publishers.check(t, d, wait > 0)
}

// more waits until so many more events are accepted.
func (i *insistent) more(t *testing.T, n int64) {
	t.Helper()
	want := i.accepted.Load() + n
	for since := time.Now(); i.accepted.Load() < want; {
		require.Less(t, time.Since(since), time.Minute, "events are accepted again; the last error was %v", i.refused.Load())
		<-time.After(5 * time.Millisecond)
	}
}

// check holds what is left against what was accepted, if all of that has to be there, and what is recorded and has fired against the model.
func (i *insistent) check(t *testing.T, d *spread, complete bool) {
	t.Helper()
	i.all.Wait()

	records := d.records(t)
	past := records[len(records)-1].Position.AcceptedAt().Add(400 * time.Millisecond)
	eventually(t, func() bool { return time.Now().After(past) }, "the deadlines pass")
	d.settled(t)
	records = d.records(t)
	ids := map[string]int{}
	published := int64(0)
	for _, r := range records {
		if !isFiring(r) {
			ids[r.Event.ID()]++
			published++
		}
	}
	if complete {
		require.GreaterOrEqual(t, published, i.accepted.Load(), "accepted events that are lost")
	}
	for id, n := range ids {
		require.Equal(t, 1, n, "event %s is in the log %d times", id, n)
	}
	fired := d.requireModel(t, time.Now())
	t.Logf("%d events accepted, lost %d; %d firings of the log that is left, lost 0, double 0, other 0", i.accepted.Load(), max(i.accepted.Load()-published, 0), fired)
}

// awaitRole waits until a node is a master or a slave.
func awaitRole(t *testing.T, node *redis.Client, role string) {
	t.Helper()
	require.Eventually(t, func() bool {
		info, err := node.Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "role:"+role) && (role == "master" || strings.Contains(info, "master_link_status:up"))
	}, 30*time.Second, 20*time.Millisecond, "the node is a %s", role)
}

// moveSlot moves the slot of a key to another master, key by key, as redis-cli does, while it is in use.
func moveSlot(t *testing.T, nodes []*redis.Client, key string) {
	t.Helper()
	ctx := t.Context()
	slot := int(must(nodes[0].ClusterKeySlot(ctx, key).Result()))
	ids, masters := map[string]*redis.Client{}, []*redis.Client{}
	var from *redis.Client
	for _, node := range nodes {
		id := must(node.Do(ctx, "CLUSTER", "MYID").Text())
		ids[id] = node
		if strings.Contains(must(node.Info(ctx, "replication").Result()), "role:master") {
			masters = append(masters, node)
		}
	}
	owner := ""
	for line := range strings.SplitSeq(must(nodes[0].ClusterNodes(ctx).Result()), "\n") {
		fields := strings.Fields(line)
		for _, part := range fields[min(8, len(fields)):] {
			var first, last int
			if n, _ := fmt.Sscanf(part, "%d-%d", &first, &last); n == 1 {
				last = first
			}
			if first <= slot && slot <= last {
				owner, from = fields[0], ids[fields[0]]
			}
		}
	}
	require.NotNil(t, from)
	var to *redis.Client
	target := ""
	for id, node := range ids {
		for _, m := range masters {
			if node == m && id != owner {
				to, target = node, id
			}
		}
	}
	require.NoError(t, to.Do(ctx, "CLUSTER", "SETSLOT", slot, "IMPORTING", owner).Err())
	require.NoError(t, from.Do(ctx, "CLUSTER", "SETSLOT", slot, "MIGRATING", target).Err())
	host, port, _ := strings.Cut(to.Options().Addr, ":")
	for {
		keys := must(from.ClusterGetKeysInSlot(ctx, slot, 100).Result())
		if len(keys) == 0 {
			break
		}
		args := []any{"MIGRATE", host, port, "", 0, 5000, "KEYS"}
		for _, k := range keys {
			args = append(args, k)
		}
		require.NoError(t, from.Do(ctx, args...).Err())
	}
	for _, node := range []*redis.Client{to, from} {
		require.NoError(t, node.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", target).Err())
	}
	for _, m := range masters {
		_ = m.Do(ctx, "CLUSTER", "SETSLOT", slot, "NODE", target).Err() // the others hear of it anyway
	}
}
