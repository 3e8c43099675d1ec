package redistest

import (
	"path/filepath"
	"strconv"
)

// Fsync says when Redis forces its append-only file to disk (appendfsync in redis.conf).
type Fsync string

// The fsync policies.
const (
	EverySecond Fsync = "everysec"
	Always      Fsync = "always"
	Never       Fsync = "no"
)

// Option changes how a server is started.
type Option func(*config)

type config struct {
	fsync  Fsync // "": no append-only file
	socket bool
	noTCP  bool
	bus    bool // also reserve port+10000, where a Cluster node talks to the others
	unlink bool // remove the directory as soon as the server runs in it
	dir    string
	args   []string
}

// AOF makes the server write an append-only file, so that it has its data again after a Restart.
func AOF(fsync Fsync) Option {
	return func(c *config) { c.fsync = fsync }
}

// MaxMemory limits the server's memory, in bytes, with an eviction policy such as "noeviction" or "allkeys-lru".
func MaxMemory(bytes int64, policy string) Option {
	return Args("--maxmemory", strconv.FormatInt(bytes, 10), "--maxmemory-policy", policy)
}

// Args adds arguments to the command line of redis-server, after all others, so they win.
func Args(args ...string) Option {
	return func(c *config) { c.args = append(c.args, args...) }
}

// Dir keeps the server's files in a directory of the caller's, which must exist and which Close leaves alone. Without it
// they are in a temporary directory that Close removes.
func Dir(path string) Option {
	return func(c *config) { c.dir = path }
}

// Socket makes the server listen on a unix socket too (Server.Socket).
func Socket() Option {
	return func(c *config) { c.socket = true }
}

// SocketOnly makes the server listen on a unix socket and on no port; Server.Addr is then the socket's path.
func SocketOnly() Option {
	return func(c *config) { c.socket, c.noTCP = true, true }
}

func clusterNode() Option {
	return func(c *config) {
		c.bus = true
		c.args = append([]string{
			"--cluster-enabled", "yes",
			"--cluster-config-file", "nodes.conf",
			"--cluster-node-timeout", "2000",
			"--cluster-announce-ip", loopback,
			"--repl-diskless-sync-delay", "0", // not to wait five seconds for further replicas
		}, c.args...)
	}
}

func unlinkDir() Option {
	return func(c *config) { c.unlink = true }
}

// socketPath is kept short: the kernel takes at most 107 bytes.
func socketPath(dir string) string { return filepath.Join(dir, "s") }

// commandLine builds the arguments of redis-server; without a port it listens on none.
func (c *config) commandLine(dir string, port *Port) []string {
	number := 0
	if port != nil {
		number = port.number
	}
	args := []string{
		"--bind", loopback,
		"--port", strconv.Itoa(number),
		"--dir", dir,
		"--daemonize", "no",
		"--save", "",
		"--appendonly", "no",
	}
	if c.fsync != "" {
		args = append(args, "--appendonly", "yes", "--appendfsync", string(c.fsync))
	}
	if c.socket {
		args = append(args, "--unixsocket", socketPath(dir))
	}
	return append(args, c.args...)
}
