package redistest

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// Options returns settings for a client of a server at addr ("host:port" or the path of a socket): RESP2, as the program
// uses it, and no command is ever sent twice.
func Options(addr string) *redis.Options {
	return &redis.Options{
		Network:         network(addr),
		Addr:            addr,
		Protocol:        2,
		DisableIdentity: true,
		MaxRetries:      -1,
		DialerRetries:   1,
	}
}

func network(addr string) string {
	if strings.HasPrefix(addr, "/") {
		return "unix"
	}
	return "tcp"
}

// Client returns a client that is closed with the test.
func Client(t testing.TB, addr string) *redis.Client {
	t.Helper()
	client := redis.NewClient(Options(addr))
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close client: %v", err)
		}
	})
	return client
}

// Namespace returns a prefix for keys that no other test uses: letters and digits, without hash tags.
func Namespace(t testing.TB) string {
	t.Helper()
	return "t" + strings.ToLower(rand.Text()[:16])
}

// launchShared starts this process' shared server at its first call. Nothing closes it: it ends with the process, and its
// directory is gone before that. (A check for leaked goroutines has to leave out redistest.(*Process).supervise.)
var launchShared = sync.OnceValues(func() (*Server, error) {
	return Launch(unlinkDir())
})

// Shared returns the address of a real server that all tests of this process share, and a namespace of this test's own
// for its keys, so that tests can run in parallel. A test that touches the whole server (FLUSHALL, SCRIPT FLUSH, CONFIG
// SET, limits) uses Start instead.
func Shared(t testing.TB) (addr, namespace string) {
	t.Helper()
	s, err := launchShared()
	if err != nil {
		t.Fatal(err)
	}
	return s.Addr(), Namespace(t)
}

// idle are miniredis servers that are empty and used by no test.
var idle struct {
	mu   sync.Mutex
	list []*miniredis.Miniredis
}

// Mini returns a miniredis on a loopback port (Miniredis.Addr) that is the test's own until it ends. Its TTLs follow the clock. A test may change keys, scripts and
// the clock, and may close it; what else it changes it has to change back, since another test gets the server after it: with the scripts that it knows, which
// take long to parse.
func Mini(t testing.TB) *miniredis.Miniredis {
	t.Helper()
	idle.mu.Lock()
	defer idle.mu.Unlock()
	var m *miniredis.Miniredis
	if n := len(idle.list); n > 0 {
		m, idle.list = idle.list[n-1], idle.list[:n-1]
	} else {
		m = miniredis.NewMiniRedis()
		if err := m.StartAddr(hostPort(0)); err != nil {
			t.Fatalf("start miniredis: %v", err)
		}
		m.Server().SetPreHook(loadOnce(m.Addr()))
	}
	m.ClockTTL(true)
	t.Cleanup(func() {
		m.FlushAll()
		m.SetTime(time.Time{}) // it shows the machine's time again
		idle.mu.Lock()
		defer idle.mu.Unlock()
		if m.Server() != nil { // it was not closed
			idle.list = append(idle.list, m)
		}
	})
	return m
}

// loadOnce lets SCRIPT LOAD of what a miniredis knows be answered without parsing it, which takes a hundred times as long.
func loadOnce(addr string) server.Hook {
	side := redis.NewClient(Options(addr))
	return func(c *server.Peer, command string, args ...string) bool {
		if command != "SCRIPT" || len(args) != 2 || !strings.EqualFold(args[0], "load") {
			return false
		}
		sum := sha1.Sum([]byte(args[1]))
		hash := hex.EncodeToString(sum[:])
		known, err := side.ScriptExists(context.Background(), hash).Result()
		if err != nil || !known[0] {
			return false
		}
		c.WriteBulk(hash)
		return true
	}
}

// Each runs a test on both kinds of server, as the subtests "miniredis" and "redis". The real one is the shared one, so
// the test keeps its keys to a Namespace and leaves alone what concerns the whole server.
func Each(t *testing.T, test func(t *testing.T, addr string)) {
	t.Helper()
	t.Run("miniredis", func(t *testing.T) { test(t, Mini(t).Addr()) })
	t.Run("redis", func(t *testing.T) {
		addr, _ := Shared(t)
		test(t, addr)
	})
}
