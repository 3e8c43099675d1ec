package redisstore

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/keyring"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/scripts"
)

// Format is the version of what this program stores. A deployment of another format is refused at start.
const Format = 3

// oldestFormat can be read as it is: what of it is written anew gets the new form. Its programs can't read that.
const oldestFormat = 2

// MaxPartitions is the highest number of partitions.
const MaxPartitions = 256

var namespacePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

// Config says which Redis to use, and how. The zero value of every field but URL works.
type Config struct {
	// URL of Redis; see ParseURL. Required.
	URL string
	// TLS is used where the URL asks for it. Defaults to the system's certificate authorities.
	TLS *tls.Config
	// Namespace is in front of every key. Defaults to "sl".
	Namespace string
	// Partitions of the log, fixed when the deployment first starts. 0 takes what was fixed, or 1 at the first start.
	Partitions int
	// DedupeWindow is how long an event is known, at least. All replicas use what the last one that started said. Defaults to 1 hour.
	DedupeWindow time.Duration
	// Retention is how long the log keeps events. Defaults to 24 hours.
	Retention time.Duration
	// LogMaxBytes is how much the log keeps, over all partitions, about. Defaults to 2 GiB.
	LogMaxBytes int64
	// DeadLetterRetention is how long dead letters are kept. Defaults to 30 days.
	DeadLetterRetention time.Duration
	// MaxPartials is how many partials a trigger may have in a partition; what would need more is not recorded, and counted. Defaults to 1,000,000.
	MaxPartials int
	// MaxPartialBytes is how many bytes of events a partial may hold; what would be more is not recorded, and counted. Defaults to 4 MiB.
	MaxPartialBytes int
	// WaitReplicas is how many of Redis' replicas must have an event before it counts as accepted. Defaults to 0.
	WaitReplicas int
	// WaitTimeout is how long to wait for them. Defaults to 1 second.
	WaitTimeout time.Duration
	// Secrets seals the secrets of definitions. What is stored in clear, or under another of its keys, is sealed anew when the Store opens; a Store that lacks a key that
	// was used does not open. Defaults to storing them in clear.
	Secrets *keyring.Keyring
	// Connected is told the address of each new connection to Redis. Defaults to nobody.
	Connected func(netip.AddrPort)
	// Logger takes what an operator should know. Defaults to discarding it.
	Logger *slog.Logger
}

// Store keeps everything in Redis. Safe for concurrent use.
type Store struct {
	config     Config
	writer     redis.UniversalClient // never repeats a command by itself
	reader     redis.UniversalClient
	blocking   redis.UniversalClient // for calls that wait
	scripts    *scripts.Set
	plain      bool         // the server is miniredis
	tails      []tail       // of each partition
	density    []meanEvents // of each partition
	loaded     []loadedRing // of each partition
	keys       []keys       // of each partition
	memory     memory
	committers []*committer
}

// Open connects, checks that Redis is fit for use and that the deployment is one that this program understands, and fixes what its
// first start fixes. The caller closes the Store.
func Open(ctx context.Context, config Config) (*Store, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	options, err := ParseURL(config.URL)
	if err != nil {
		return nil, err
	}
	if options.TLSConfig != nil && config.TLS != nil {
		options.TLSConfig = config.TLS
	}
	s := &Store{config: config}
	s.connect(options)
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.tails, s.density, s.loaded = make([]tail, len(s.keys)), make([]meanEvents, len(s.keys)), make([]loadedRing, len(s.keys))
	for p := range s.keys {
		s.committers = append(s.committers, newCommitter(func(ctx context.Context, callers []*pending, stored func()) {
			s.commitAll(ctx, p, callers, stored)
		}))
	}
	return s, nil
}

func (c *Config) check() error {
	c.Namespace = cmp.Or(c.Namespace, "sl")
	c.DedupeWindow = cmp.Or(c.DedupeWindow, time.Hour)
	c.Retention = cmp.Or(c.Retention, 24*time.Hour)
	c.LogMaxBytes = cmp.Or(c.LogMaxBytes, 2<<30)
	c.DeadLetterRetention = cmp.Or(c.DeadLetterRetention, 30*24*time.Hour)
	c.MaxPartials = cmp.Or(c.MaxPartials, 1_000_000)
	c.MaxPartialBytes = cmp.Or(c.MaxPartialBytes, 4<<20)
	c.WaitTimeout = cmp.Or(c.WaitTimeout, time.Second)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case !namespacePattern.MatchString(c.Namespace):
		return router.Errorf(router.Invalid, "namespace %q: must be lower-case letters, digits and hyphens, at most 32", c.Namespace)
	case c.Partitions < 0 || c.Partitions > MaxPartitions:
		return router.Errorf(router.Invalid, "partitions %d: must be 1 to %d", c.Partitions, MaxPartitions)
	case c.DedupeWindow < time.Second:
		return router.Errorf(router.Invalid, "dedupe window %v: must be at least 1s", c.DedupeWindow)
	case c.Retention < time.Second:
		return router.Errorf(router.Invalid, "retention %v: must be at least 1s", c.Retention)
	case c.WaitReplicas < 0:
		return router.Errorf(router.Invalid, "wait replicas %d: must not be negative", c.WaitReplicas)
	}
	return nil
}

// connect makes three clients: the library's own repeats would store an event twice, and calls that wait would use up the connections of
// those that do not.
func (s *Store) connect(options *redis.UniversalOptions) {
	options.Protocol = 2 // RESP3 adds nothing here, and miniredis differs in it
	options.DisableIdentity = true
	options.ContextTimeoutEnabled = true
	options.Dialer = s.dialer(options.TLSConfig)
	client := func(change func(*redis.UniversalOptions)) redis.UniversalClient {
		o := *options
		change(&o)
		return redis.NewUniversalClient(&o)
	}
	s.writer = client(func(o *redis.UniversalOptions) { o.MaxRetries = -1 })
	s.reader = client(func(*redis.UniversalOptions) {})
	s.blocking = client(func(o *redis.UniversalOptions) { o.PoolSize, o.PoolTimeout = MaxPartitions+64, time.Minute })
}

// dialer is the library's own, and tells of each connection.
func (s *Store) dialer(encrypted *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	dial := redis.NewDialer(&redis.Options{TLSConfig: encrypted, DialTimeout: 5 * time.Second})
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if to, ok := c.RemoteAddr().(*net.TCPAddr); ok && s.config.Connected != nil {
			s.config.Connected(to.AddrPort())
		}
		return c, nil
	}
}

// Close ends all connections, also calls that wait.
func (s *Store) Close() error {
	for _, c := range s.committers {
		c.close()
	}
	return errors.Join(s.blocking.Close(), s.reader.Close(), s.writer.Close())
}

// Partitions is the number of partitions of this deployment.
func (s *Store) Partitions() int { return len(s.keys) }

// Ping tells whether Redis answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.reader.Ping(ctx).Err(); err != nil {
		return unavailable(err, "ping Redis")
	}
	return nil
}

func (s *Store) prepare(ctx context.Context) error {
	if err := s.chooseDialect(ctx); err != nil {
		return err
	}
	if err := s.checkServer(ctx); err != nil {
		return err
	}
	if err := s.fix(ctx); err != nil {
		return err
	}
	for _, k := range s.keys {
		if err := s.recordWindow(ctx, k.state()); err != nil {
			return fmt.Errorf("record the dedupe window: %w", err)
		}
	}
	return s.sealDefinitions(ctx)
}

// recordWindow writes only what is new, so that a replica can start while Redis is full.
func (s *Store) recordWindow(ctx context.Context, state string) error {
	window := strconv.FormatInt(s.config.DedupeWindow.Milliseconds(), 10)
	known, err := s.reader.HGet(ctx, state, "window").Result()
	if ignoreNil(err) != nil || known == window {
		return ignoreNil(err)
	}
	return s.writer.HSet(ctx, state, "window", window).Err()
}

// chooseDialect finds out whether the server knows #!lua, which miniredis does not, and loads the scripts.
func (s *Store) chooseDialect(ctx context.Context) error {
	s.scripts = scripts.Load(scripts.Redis)
	if err := s.writer.ScriptLoad(ctx, s.scripts.Due.Source).Err(); err != nil {
		if !isReply(err) {
			return fmt.Errorf("connect to Redis: %w", err)
		}
		s.scripts, s.plain = scripts.Load(scripts.Plain), true
	}
	for _, script := range s.scripts.All() {
		if err := s.writer.ScriptLoad(ctx, script.Source).Err(); err != nil {
			return fmt.Errorf("load script %s: %w", script.Name, err)
		}
	}
	return nil
}

// fix records the format and the number of partitions, or reads what was recorded.
func (s *Store) fix(ctx context.Context) error {
	first := partitionKeys(s.config.Namespace, 0)
	fixed, err := s.run(ctx, s.scripts.Init, []string{first.meta()}, Format, oldestFormat, s.config.Partitions)
	if err != nil {
		return fmt.Errorf("read the deployment's format: %w", err)
	}
	words, err := stringsOf(fixed, 2)
	if err != nil {
		return fmt.Errorf("read the deployment's format: %w", err)
	}
	format, partitions := words[0], words[1]
	if format != strconv.Itoa(Format) {
		return router.Errorf(router.Invalid, "namespace %q holds format %q, and this program understands %d", s.config.Namespace, format, Format)
	}
	n, err := strconv.Atoi(partitions)
	if err != nil || n < 1 || n > MaxPartitions {
		return router.Errorf(router.Invalid, "namespace %q says that it has %q partitions", s.config.Namespace, partitions)
	}
	if s.config.Partitions != 0 && s.config.Partitions != n {
		return router.Errorf(router.Invalid, "partitions %d: namespace %q was started with %d, and that can't change", s.config.Partitions, s.config.Namespace, n)
	}
	for p := range n {
		s.keys = append(s.keys, partitionKeys(s.config.Namespace, p))
	}
	return nil
}

// run calls a script. A script that the server has forgotten (it restarted, or a replica took over) is sent whole: it was not executed.
func (s *Store) run(ctx context.Context, script *scripts.Script, keys []string, args ...any) (any, error) {
	return runOn(ctx, s.writer, script, keys, args...)
}

// ask calls a script that writes nothing, again if the connection breaks.
func (s *Store) ask(ctx context.Context, script *scripts.Script, keys []string, args ...any) (any, error) {
	return runOn(ctx, s.reader, script, keys, args...)
}

func runOn(ctx context.Context, client redis.UniversalClient, script *scripts.Script, keys []string, args ...any) (any, error) {
	reply, err := client.EvalSha(ctx, script.Hash, keys, args...).Result()
	if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
		reply, err = client.Eval(ctx, script.Source, keys, args...).Result()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", script.Name, err)
	}
	return reply, nil
}

// isReply tells whether Redis itself answered with an error, as opposed to no answer.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// unavailable classifies an error of Redis for a caller.
func unavailable(err error, doing string) error {
	e := &router.Error{Code: router.Unavailable, Message: "Redis can't be reached", RetryAfter: time.Second, Err: fmt.Errorf("%s: %w", doing, err)}
	switch {
	case isReply(err) && strings.Contains(err.Error(), "OOM "):
		e.Code, e.Message, e.RetryAfter = router.Full, "Redis has no memory left", 5*time.Second
	case isReply(err) && !repeatable(err):
		e.Message = "Redis refused a command"
	}
	return e
}

// stringsOf reads a script's reply that is a list of at least n strings or integers. A list within it stands for what is in it.
func stringsOf(reply any, n int) ([]string, error) {
	list, ok := reply.([]any)
	if !ok {
		return nil, fmt.Errorf("unexpected reply %T", reply)
	}
	words, err := appendStrings(make([]string, 0, len(list)), list)
	if err == nil && len(words) < n {
		err = fmt.Errorf("unexpected reply of %d, wanted %d", len(words), n)
	}
	return words, err
}

func appendStrings(words []string, list []any) (_ []string, err error) {
	words = slices.Grow(words, len(list))
	for _, item := range list {
		switch item := item.(type) {
		case string:
			words = append(words, item)
		case int64:
			words = append(words, strconv.FormatInt(item, 10))
		case nil:
			words = append(words, "")
		case []any:
			if words, err = appendStrings(words, item); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("unexpected %T in a reply", item)
		}
	}
	return words, nil
}

// LogTo sends what the Redis client library says of its connections to a logger, at debug level: the library has one for the whole process, so this is for a
// program to call, once. What matters of it is in the errors of this package's methods.
func LogTo(logger *slog.Logger) { redis.SetLogger(clientLog{logger}) }

type clientLog struct{ logger *slog.Logger }

func (l clientLog) Printf(ctx context.Context, format string, values ...any) {
	l.logger.DebugContext(ctx, "redis client", "message", fmt.Sprintf(format, values...))
}
