package redisstore_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// at sets where a store is.
func at(url string) func(*redisstore.Config) {
	return func(c *redisstore.Config) { c.URL = url }
}

// insist appends an event until it is accepted, as a publisher does.
func insist(t *testing.T, s *redisstore.Store, id string) {
	t.Helper()
	eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		return s.Append(ctx, []router.Event{event(t, id, "x.y")})[0].Err == nil
	}, "event "+id+" is accepted")
}

func TestASocketWorksAsWellAsAPort(t *testing.T) {
	server := redistest.Start(t, redistest.SocketOnly())
	s := open(t, "", at(server.URL()))
	appendOne(t, s, event(t, "a", "x.y"))
	require.NoError(t, s.Ping(t.Context()))
}

func TestForgottenScriptsAreSentAgain(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.Addr())
	create(t, s, "one", "x.*")
	out := newSink()
	start(t, s, out)
	c := redistest.Client(t, server.Addr())
	const events = 200
	for i := range events {
		if i%10 == 0 {
			require.NoError(t, c.ScriptFlush(t.Context()).Err())
		}
		appendOne(t, s, event(t, fmt.Sprint(i), "x.y"))
	}
	eventually(t, func() bool { return out.count("one") == events }, "all are delivered")
}

func TestForgottenScriptsAreSentAgainAlsoWhereReplicasAreWaitedFor(t *testing.T) {
	server, _ := withReplica(t)
	s := open(t, server.Addr(), waiting)
	insist(t, s, "a")
	require.NoError(t, redistest.Client(t, server.Addr()).ScriptFlush(t.Context()).Err())
	appendOne(t, s, event(t, "b", "x.y"))
}

func waiting(c *redisstore.Config) { c.WaitReplicas, c.WaitTimeout = 1, 500*time.Millisecond }

// withReplica starts a master and a replica that is in step with it.
func withReplica(t *testing.T) (master, replica *redistest.Server) {
	t.Helper()
	options := redistest.Args("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "3600")
	master = redistest.Start(t, options)
	replica = redistest.Start(t, options, redistest.Args("--replicaof", "127.0.0.1", portOf(t, master.Addr())))
	c := redistest.Client(t, replica.Addr())
	eventually(t, func() bool {
		return strings.Contains(c.Info(t.Context(), "replication").Val(), "master_link_status:up")
	}, "the replica is in step")
	return master, replica
}

// WAIT answers for what its connection has written. (Redis before 7.2 takes what the connection has seen, so there the fault would not show.)
func TestADuplicateIsConfirmedOnlyByReplicasThatHaveTheFirst(t *testing.T) {
	master, replica := withReplica(t)
	s := open(t, master.Addr(), waiting)
	insist(t, s, "a")
	c := redistest.Client(t, master.Addr())
	offset := func() (n int64) {
		for line := range strings.Lines(c.Info(t.Context(), "replication").Val()) {
			if text, ok := strings.CutPrefix(line, "master_repl_offset:"); ok {
				_, err := fmt.Sscan(text, &n)
				require.NoError(t, err)
			}
		}
		return n
	}
	before := offset()
	require.True(t, s.Append(t.Context(), []router.Event{event(t, "a", "x.y")})[0].Duplicate)
	require.Greater(t, offset(), before, "something is written, so that WAIT has something to wait for")

	require.NoError(t, replica.Pause())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	refused := s.Append(ctx, []router.Event{event(t, "a", "x.y")})[0]
	require.Equal(t, router.Unavailable, router.ErrorCode(refused.Err))
	require.NoError(t, replica.Resume())
	insist(t, s, "a")
}

func TestAnotherServerIsFoundThroughSentinelsAfterAFailover(t *testing.T) {
	master, replica := withReplica(t)
	sentinel := startSentinel(t, master.Addr())
	s := open(t, "", at("redis+sentinel://"+sentinel.Options().Addr+"/main"), waiting)
	create(t, s, "one", "x.*")
	out := newSink()
	start(t, s, out)
	for i := range 20 {
		insist(t, s, fmt.Sprint("before", i))
	}
	eventually(t, func() bool { return sentinel.Do(t.Context(), "SENTINEL", "FAILOVER", "main").Err() == nil }, "the Sentinel finds the replica fit")
	awaitMaster(t, replica)
	require.NoError(t, redistest.Client(t, master.Addr()).ReplicaOf(t.Context(), "127.0.0.1", portOf(t, replica.Addr())).Err()) // the Sentinel takes 8 s to
	for i := range 20 {
		insist(t, s, fmt.Sprint("after", i))
	}
	create(t, s, "two", "x.*")
	insist(t, s, "last")
	eventually(t, func() bool { return distinct(out.ids("one")) == 41 && distinct(out.ids("two")) == 1 }, "every accepted event is delivered")
}

// awaitMaster waits until a replica has become the master.
func awaitMaster(t *testing.T, server *redistest.Server) {
	t.Helper()
	c := redistest.Client(t, server.Addr())
	eventually(t, func() bool {
		role, err := c.Do(t.Context(), "ROLE").Slice()
		return err == nil && role[0] == "master"
	}, "the replica takes over")
}

func distinct(ids []string) int {
	set := map[string]bool{}
	for _, id := range ids {
		set[id] = true
	}
	return len(set)
}

// startSentinel starts a Sentinel that watches a master as "main" and returns a client of it when it knows the replica.
func startSentinel(t *testing.T, master string) *redis.Client {
	t.Helper()
	port, err := redistest.ReservePort()
	require.NoError(t, err)
	_, number, err := net.SplitHostPort(port.Addr())
	require.NoError(t, err)
	host, masterPort, err := net.SplitHostPort(master)
	require.NoError(t, err)
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `
port %s
bind 127.0.0.1
dir %s
sentinel monitor main %s %s 1
sentinel down-after-milliseconds main 1000
sentinel failover-timeout main 10000
`, number, dir, host, masterPort), 0o600))
	program, err := exec.LookPath("redis-server")
	require.NoError(t, err)
	process, err := redistest.Spawn(exec.Command(program, file, "--sentinel"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, errors.Join(process.Kill(), port.Release())) })
	c := redistest.Client(t, port.Addr())
	eventually(t, func() bool {
		replicas, err := c.Do(t.Context(), "SENTINEL", "REPLICAS", "main").Slice()
		return err == nil && len(replicas) == 1
	}, "the Sentinel knows the replica")
	return c
}

func TestOnAClusterReplicasAreWaitedFor(t *testing.T) {
	cluster := redistest.StartCluster(t, 2, 1)
	s := open(t, "", at("redis+cluster://"+strings.Join(cluster.Addrs(), ",")), waiting, func(c *redisstore.Config) { c.Partitions = 4 })
	perPartition := map[int]int{}
	for i := range 40 {
		insist(t, s, fmt.Sprint(i))
		perPartition[event(t, fmt.Sprint(i), "x.y").Partition(4)]++
	}
	require.Len(t, perPartition, 4)

	for _, replica := range cluster.Nodes[2:] {
		require.NoError(t, replica.Pause())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	refused := s.Append(ctx, []router.Event{event(t, "alone", "x.y")})[0]
	require.Equal(t, router.Unavailable, router.ErrorCode(refused.Err))
	for _, replica := range cluster.Nodes[2:] {
		require.NoError(t, replica.Resume())
	}
	insist(t, s, "alone")
}

func TestOnAClusterAppendsGoOnAfterAFailover(t *testing.T) {
	cluster := redistest.StartCluster(t, 2, 1)
	s := open(t, "", at("redis+cluster://"+strings.Join(cluster.Addrs(), ",")), waiting, func(c *redisstore.Config) { c.Partitions = 4 })
	insist(t, s, "before")
	for _, node := range cluster.Nodes[2:] {
		require.NoError(t, redistest.Client(t, node.Addr()).ClusterFailover(t.Context()).Err())
		awaitMaster(t, node)
	}
	for i := range 40 {
		insist(t, s, fmt.Sprint(i))
	}
}

func TestAnEncryptedConnectionNeedsTheServersCertificateAuthority(t *testing.T) {
	authority, files := certificates(t)
	port, err := redistest.ReservePort()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, port.Release()) })
	_, number, err := net.SplitHostPort(port.Addr())
	require.NoError(t, err)
	redistest.Start(t, redistest.Args("--tls-port", number, "--tls-auth-clients", "no",
		"--tls-cert-file", files.certificate, "--tls-key-file", files.key, "--tls-ca-cert-file", files.authority))

	pool := x509.NewCertPool()
	pool.AddCert(authority)
	s := open(t, "", at("rediss://"+port.Addr()), func(c *redisstore.Config) { c.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12} })
	appendOne(t, s, event(t, "a", "x.y"))

	_, err = redisstore.Open(t.Context(), redisstore.Config{URL: "rediss://" + port.Addr()})
	require.ErrorContains(t, err, "certificate signed by unknown authority")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = redisstore.Open(ctx, redisstore.Config{URL: "redis://" + port.Addr()})
	require.Error(t, err, "an unencrypted connection to the encrypted port")
}

type certificateFiles struct {
	authority, certificate, key string
}

// certificates makes a certificate authority, and one of its certificates for 127.0.0.1.
func certificates(t *testing.T) (*x509.Certificate, certificateFiles) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "redis"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	dir := t.TempDir()
	file := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, &key.PublicKey, key)
	require.NoError(t, err)
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	authority, err = x509.ParseCertificate(authorityDER)
	require.NoError(t, err)
	return authority, certificateFiles{
		authority: file("ca.pem", "CERTIFICATE", authorityDER), certificate: file("redis.pem", "CERTIFICATE", leafDER),
		key: file("key.pem", "EC PRIVATE KEY", keyDER),
	}
}
