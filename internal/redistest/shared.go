package redistest

import (
	"crypto/rand"
	"strings"
	"sync"
	"testing"

	"github.com/alicebob/miniredis/v2"
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

// Mini starts a miniredis for a test on a loopback port (Miniredis.Addr) and ends it with the test. Its TTLs follow the clock.
func Mini(t testing.TB) *miniredis.Miniredis {
	t.Helper()
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(hostPort(0)); err != nil {
		t.Fatalf("start miniredis: %v", err)
	}
	m.ClockTTL(true)
	t.Cleanup(m.Close)
	return m
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
