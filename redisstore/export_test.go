package redisstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // Redis names scripts by their SHA-1.
	"encoding/hex"

	"github.com/redis/go-redis/v9"
)

// Key is the name of a key in partition 0, for tests that look at what is stored.
func Key(s *Store, name string) string { return s.keys[0].prefix + name }

// KeyIn is the name of a key in a partition.
func KeyIn(s *Store, partition int, name string) string { return s.keys[partition].prefix + name }

// Home is the partition where a subscription's permits are.
func Home(s *Store, subscription string) int { return home(subscription, len(s.keys)) }

// ChangeScripts makes a store run other scripts than its own from its next call on.
func ChangeScripts(ctx context.Context, s *Store, change func(source string) string) error {
	for _, script := range s.scripts.All() {
		script.Source = change(script.Source)
		sum := sha1.Sum([]byte(script.Source)) //nolint:gosec // see the import
		script.Hash = hex.EncodeToString(sum[:])
		if err := s.writer.ScriptLoad(ctx, script.Source).Err(); err != nil {
			return err
		}
	}
	return nil
}

// ScriptNames maps the hashes of a store's scripts to their names.
func ScriptNames(s *Store) map[string]string {
	names := make(map[string]string)
	for _, script := range s.scripts.All() {
		names[script.Hash] = script.Name
	}
	return names
}

// AddHook lets a hook see what a store sends, calls that wait excepted.
func AddHook(s *Store, hook redis.Hook) {
	s.writer.AddHook(hook)
	s.reader.AddHook(hook)
}
