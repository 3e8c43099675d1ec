package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// fullShare is the share of maxmemory above which publishing is refused, so that routing, settling and removing still have room.
const fullShare = 0.9

// memory watches how full Redis is.
type memory struct {
	full atomic.Bool

	mu     sync.Mutex
	latest router.MemoryStatus
	first  time.Time // when watching began, and what was used then
	before int64
}

func (m *memory) status() router.MemoryStatus {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.latest
}

func (m *memory) record(used, limit int64, now time.Time) {
	full := limit > 0 && float64(used) >= fullShare*float64(limit)
	m.full.Store(full)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.first.IsZero() {
		m.first, m.before = now, used
	}
	m.latest = router.MemoryStatus{Used: used, Max: limit, Full: full}
	if watched := now.Sub(m.first); watched >= time.Minute {
		m.latest.PerHour = int64(float64(used-m.before) / watched.Hours())
	}
}

// WatchMemory looks at Redis' memory until ctx ends; publishing is refused while it is nearly full.
func (s *Store) WatchMemory(ctx context.Context, every time.Duration) error {
	for {
		if err := s.lookAtMemory(ctx); err != nil && ctx.Err() == nil {
			s.config.Logger.Warn("Redis' memory can't be read", "error", err)
		}
		if !pause(ctx, every) {
			return nil
		}
	}
}

// lookAtMemory takes the fullest of the nodes. A server that does not tell (miniredis) has no limit.
func (s *Store) lookAtMemory(ctx context.Context) error {
	var mu sync.Mutex
	var node fullest
	err := s.eachMaster(ctx, func(ctx context.Context, client redis.Cmdable) error {
		info, err := infoOf(ctx, client, "memory")
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		node.consider(counter(info["used_memory"]), counter(info["maxmemory"]))
		return nil
	})
	if err == nil {
		s.memory.record(node.used, node.limit, time.Now())
	}
	return err
}

// fullest is the node that has the least room; one without a limit counts only where none has one.
type fullest struct {
	used, limit int64
}

func (f *fullest) consider(used, limit int64) {
	fuller := limit > 0 && (f.limit == 0 || float64(used)/float64(limit) > float64(f.used)/float64(f.limit))
	if fuller || limit == 0 && f.limit == 0 && used > f.used {
		*f = fullest{used: used, limit: limit}
	}
}

// eachMaster calls f for each node that holds a part of the keys.
func (s *Store) eachMaster(ctx context.Context, f func(context.Context, redis.Cmdable) error) error {
	if cluster, ok := s.reader.(*redis.ClusterClient); ok {
		return cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return f(ctx, c) })
	}
	return f(ctx, s.reader)
}

// infoOf reads a section of INFO; a server that does not know the section gives nothing.
func infoOf(ctx context.Context, client redis.Cmdable, section string) (map[string]string, error) {
	text, err := client.Info(ctx, section).Result()
	if err != nil && !isReply(err) {
		return nil, fmt.Errorf("read INFO %s: %w", section, err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	return fields, nil
}

// checkServer refuses a server that would lose what it is given, or that is too old.
func (s *Store) checkServer(ctx context.Context) error {
	return s.eachMaster(ctx, func(ctx context.Context, client redis.Cmdable) error {
		server, err := infoOf(ctx, client, "server")
		if err != nil {
			return err
		}
		if major, _, ok := strings.Cut(server["redis_version"], "."); ok {
			if n, err := strconv.Atoi(major); err != nil || n < 7 {
				return router.Errorf(router.Invalid, "Redis %s is too old: 7.0 or newer is needed", server["redis_version"])
			}
		}
		memory, err := infoOf(ctx, client, "memory")
		if err != nil {
			return err
		}
		if policy := memory["maxmemory_policy"]; policy != "" && policy != "noeviction" {
			return router.Errorf(router.Invalid, "Redis' maxmemory-policy is %q and would throw events away: set it to noeviction", policy)
		}
		return nil
	})
}
