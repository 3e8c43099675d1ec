package redistest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

const hashSlots = 16384

// Cluster is a Redis Cluster of child processes on loopback.
type Cluster struct {
	// Nodes are the masters, then the replicas of the first master, of the second, and so on. Who is master can change later.
	Nodes   []*Server
	masters int
}

// StartCluster starts a Cluster for a test and ends it with the test. Each master has the given number of replicas; the
// options go to every node.
func StartCluster(t testing.TB, masters, replicas int, opts ...Option) *Cluster {
	t.Helper()
	c, err := LaunchCluster(masters, replicas, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close cluster: %v", err)
		}
	})
	return c
}

// LaunchCluster starts a Cluster and returns when every node says that its state is ok and every replica is in step. The
// slots are spread evenly over the masters in ascending order. A node counts as failed after two seconds
// (cluster-node-timeout), unless options say otherwise.
func LaunchCluster(masters, replicas int, opts ...Option) (*Cluster, error) {
	if masters < 1 || replicas < 0 {
		return nil, fmt.Errorf("start cluster: %d masters with %d replicas each", masters, replicas)
	}
	c := &Cluster{masters: masters, Nodes: make([]*Server, masters*(1+replicas))}
	var starts errgroup.Group
	for i := range c.Nodes {
		starts.Go(func() (err error) {
			c.Nodes[i], err = Launch(append([]Option{clusterNode()}, opts...)...)
			return err
		})
	}
	err := starts.Wait()
	if err == nil {
		err = c.join(replicas)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start cluster: %w", err), c.Close())
	}
	return c, nil
}

// join makes one Cluster of the nodes.
func (c *Cluster) join(replicas int) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), 2*patience,
		fmt.Errorf("the nodes did not agree within %v", 2*patience))
	defer cancel()
	nodes := make([]*redis.Client, len(c.Nodes))
	for i, node := range c.Nodes {
		nodes[i] = redis.NewClient(Options(node.Addr()))
		defer nodes[i].Close()
	}
	if err := c.introduce(ctx, nodes); err != nil {
		return err
	}
	if err := every(ctx, nodes, c.knowsAll); err != nil {
		return err
	}
	if err := c.attachReplicas(ctx, nodes, replicas); err != nil {
		return err
	}
	return every(ctx, nodes, c.isReady)
}

// introduce hands out the slots, with an epoch for each node so that none has to win an election first, and makes the
// first node meet the others.
func (c *Cluster) introduce(ctx context.Context, nodes []*redis.Client) error {
	for i, node := range nodes {
		if err := node.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(); err != nil {
			return err
		}
		if i < c.masters {
			if err := node.ClusterAddSlotsRange(ctx, i*hashSlots/c.masters, (i+1)*hashSlots/c.masters-1).Err(); err != nil {
				return err
			}
		}
	}
	for _, other := range c.Nodes[1:] {
		host, port, err := net.SplitHostPort(other.Addr())
		if err != nil {
			return err
		}
		if err := nodes[0].ClusterMeet(ctx, host, port).Err(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) attachReplicas(ctx context.Context, nodes []*redis.Client, replicas int) error {
	for i, node := range nodes[c.masters:] {
		master, err := nodes[i/replicas].ClusterMyID(ctx).Result()
		if err != nil {
			return err
		}
		if err := node.ClusterReplicate(ctx, master).Err(); err != nil {
			return err
		}
	}
	return nil
}

// every waits until all nodes meet a condition.
func every(ctx context.Context, nodes []*redis.Client, done func(context.Context, *redis.Client) (bool, error)) error {
	for _, node := range nodes {
		if err := poll(ctx, func(ctx context.Context) (bool, error) { return done(ctx, node) }); err != nil {
			return fmt.Errorf("node %s: %w", node.Options().Addr, err)
		}
	}
	return nil
}

// knowsAll: the node has shaken hands with all others and knows who holds each slot.
func (c *Cluster) knowsAll(ctx context.Context, node *redis.Client) (bool, error) {
	table, err := node.ClusterNodes(ctx).Result()
	if err != nil {
		return false, err
	}
	if strings.Contains(table, "handshake") || strings.Count(table, " connected") != len(c.Nodes) {
		return false, errors.New("not all nodes are connected")
	}
	return holds(node.ClusterInfo(ctx), fmt.Sprintf("cluster_slots_ok:%d", hashSlots))
}

// isReady: the node says that all is well, knows every replica as such, and is in step with its master if it is one.
func (c *Cluster) isReady(ctx context.Context, node *redis.Client) (bool, error) {
	table, err := node.ClusterNodes(ctx).Result()
	if err != nil {
		return false, err
	}
	if strings.Count(table, "slave") != len(c.Nodes)-c.masters {
		return false, errors.New("not all replicas are known as such")
	}
	if strings.Contains(table, "myself,slave") {
		if ok, err := holds(node.Info(ctx, "replication"), "master_link_status:up"); !ok {
			return false, err
		}
	}
	return holds(node.ClusterInfo(ctx), "cluster_state:ok")
}

// holds tells whether a reply has a certain line.
func holds(reply *redis.StringCmd, line string) (bool, error) {
	text, err := reply.Result()
	if err != nil {
		return false, err
	}
	if !slices.Contains(strings.Split(text, "\r\n"), line) {
		return false, fmt.Errorf("no %s", line)
	}
	return true, nil
}

// Addrs returns the addresses of all nodes, in the order of Nodes.
func (c *Cluster) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		addrs[i] = node.Addr()
	}
	return addrs
}

// Close ends all nodes at once and removes their files. It may be called again.
func (c *Cluster) Close() error {
	var errs []error
	for _, node := range c.Nodes {
		if node != nil {
			errs = append(errs, node.Close())
		}
	}
	return errors.Join(errs...)
}
