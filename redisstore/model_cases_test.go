package redisstore_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
)

// Random histories, step by step against the model. More of them: go test -run Model -rapid.checks=5000, longer ones: -rapid.steps=200. A failure
// that rapid calls flaky is a real one where the partition of a subscription's permits matters: ids are random.

func TestTheStoreHoldsWhatTheModelHoldsOnMiniredis(t *testing.T) {
	t.Parallel()
	mini := redistest.Mini(t)
	var worlds []*world
	for _, change := range settings {
		worlds = append(worlds, newWorld(t, mini.Addr(), 0, change, func(*world) testClock { return miniClock{mini} }))
	}
	rapid.Check(t, func(t *rapid.T) { rapid.SampledFrom(worlds).Draw(t, "world").live(t) }) // slow with the race detector, so all in one
}

func TestTheStoreHoldsWhatTheModelHoldsOnRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.Args("--stream-node-max-entries", "2")) // so that trimming, which goes by nodes, bites
	for i, name := range []string{"tight", "roomy", "several partitions"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, server.Addr(), 2, settings[i], func(w *world) testClock { return newFalseClock(t, w) })
			rapid.Check(t, w.live)
		})
	}
}

var settings = []func(*redisstore.Config){
	func(c *redisstore.Config) { c.LogMaxBytes = 1 },
	func(c *redisstore.Config) { c.LogMaxBytes = 1 << 30 },
	func(c *redisstore.Config) { c.LogMaxBytes, c.Partitions = 1, 2 },
}

// live goes through one history.
func (w *world) live(t *rapid.T) {
	w.begin(t, 1_700_000_000_000)
	w.theme = rapid.SampledFrom([]theme{workers, operations, everything, everything}).Draw(t, "theme")
	w.create(t)
	w.create(t)
	if w.theme != everything { // which has something to work on from the start
		for range 3 {
			w.append(t)
			w.apply(t)
		}
	}
	t.Repeat(w.actions())
	w.finish(t)
}

func newWorld(t *testing.T, addr string, slack int, change func(*redisstore.Config), clock func(*world) testClock) *world {
	w := &world{retain: 24 * time.Hour, keep: 1, slack: slack}
	w.store = open(t, addr, func(c *redisstore.Config) {
		c.Namespace = redistest.Namespace(t)
		c.DedupeWindow, c.DeadLetterRetention, c.Retention = dedupeWindow, deadRetention, w.retain
		w.clockKey = c.Namespace + ":clock"
		change(c)
		if c.LogMaxBytes > 1 {
			w.keep = 1 << 20
		}
	})
	w.raw = redistest.Client(t, addr)
	w.clock = clock(w)
	w.names = redisstore.ScriptNames(w.store)
	redisstore.AddHook(w.store, w)
	require.NoError(t, w.raw.FlushAll(context.Background()).Err())
	return w
}

// miniClock is miniredis' own clock.
type miniClock struct {
	server *miniredis.Miniredis
}

func (c miniClock) set(ms int64) { c.server.SetTime(time.UnixMilli(ms)) }

// falseClock stands in for the clock of a real Redis, which can't be set: scripts read a key of the namespace instead, and so does who asks for TIME.
type falseClock struct {
	raw *redis.Client
	key string
	ms  atomic.Int64
}

const falseTime = `(function()
    local ms = redis.call('GET', string.match(KEYS[1], '^[^:]+') .. ':clock')
    return { string.sub(ms, 1, -4), string.sub(ms, -3) .. '000' }
  end)()`

func newFalseClock(t *testing.T, w *world) *falseClock {
	c := &falseClock{raw: w.raw, key: w.clockKey}
	require.NoError(t, redisstore.ChangeScripts(t.Context(), w.store, func(source string) string {
		return strings.Replace(source, "redis.call('TIME')", falseTime, 1)
	}))
	redisstore.AddHook(w.store, c)
	return c
}

func (c *falseClock) set(ms int64) {
	c.ms.Store(ms)
	c.raw.Set(context.Background(), c.key, ms, 0)
}

// ProcessHook answers TIME.
func (c *falseClock) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if asked, ok := cmd.(*redis.TimeCmd); ok {
			asked.SetVal(time.UnixMilli(c.ms.Load()))
		}
		return err
	}
}

// DialHook changes nothing.
func (c *falseClock) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook changes nothing.
func (c *falseClock) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}
