package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/scripts"
)

// runAndWait calls a script, the first key of which is a partition's state, and, where it is asked for, waits until Redis' replicas have what it wrote: on the same
// connection, since WAIT speaks of what that connection has written. A call that writes nothing, because it is a repeat, must not be confirmed before what it
// found is replicated, so something is written in any case.
func (s *Store) runAndWait(ctx context.Context, script *scripts.Script, keys []string, args ...any) (any, error) {
	if s.config.WaitReplicas == 0 {
		return s.run(ctx, script, keys, args...)
	}
	client, err := s.master(ctx, keys[0])
	if err != nil {
		return nil, err
	}
	pipe := client.Pipeline()
	call := pipe.EvalSha(ctx, script.Hash, keys, args...)
	confirmed := s.addWait(ctx, pipe, keys[0])
	_, err = pipe.Exec(ctx)
	if call.Err() != nil && strings.HasPrefix(call.Err().Error(), "NOSCRIPT") {
		if err := client.ScriptLoad(ctx, script.Source).Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", script.Name, err)
		}
		return s.runAndWait(ctx, script, keys, args...)
	}
	if err := confirmed(err); err != nil {
		return nil, fmt.Errorf("%s: %w", script.Name, err)
	}
	return call.Val(), nil
}

// awaitReplicas returns when Redis' replicas have all that was ever written to a partition, where that is asked for.
func (s *Store) awaitReplicas(ctx context.Context, partition int) error {
	if s.config.WaitReplicas == 0 {
		return nil
	}
	key := s.keys[partition].state()
	client, err := s.master(ctx, key)
	if err != nil {
		return err
	}
	pipe := client.Pipeline()
	confirmed := s.addWait(ctx, pipe, key)
	_, err = pipe.Exec(ctx)
	return confirmed(err)
}

// addWait adds a wait for the replicas to a pipeline. The function tells whether they confirmed, given the pipeline's error.
func (s *Store) addWait(ctx context.Context, pipe redis.Pipeliner, state string) (confirmed func(error) error) {
	pipe.HIncrBy(ctx, state, "waits", 1)
	wait := pipe.Do(ctx, "WAIT", s.config.WaitReplicas, s.config.WaitTimeout.Milliseconds())
	return func(err error) error {
		if err != nil {
			if cluster, ok := s.writer.(*redis.ClusterClient); ok {
				cluster.ReloadState(ctx) // it follows its nodes by itself only for calls that it routes itself
			}
			return err
		}
		if n, err := wait.Int(); err != nil || n < s.config.WaitReplicas {
			missing := router.Errorf(router.Unavailable, "%d of %d replicas of Redis confirmed", n, s.config.WaitReplicas)
			return errors.Join(missing, err)
		}
		return nil
	}
}

// unconfirmed is unavailable, but keeps what addWait says.
func unconfirmed(err error, doing string) error {
	if missing, ok := errors.AsType[*router.Error](err); ok {
		return &router.Error{Code: missing.Code, Message: missing.Message, RetryAfter: time.Second, Err: fmt.Errorf("%s: %w", doing, err)}
	}
	return unavailable(err, doing)
}

// master is a client of the one node that holds a key.
func (s *Store) master(ctx context.Context, key string) (redis.Cmdable, error) {
	if cluster, ok := s.writer.(*redis.ClusterClient); ok {
		client, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("find the node of %s: %w", key, err)
		}
		return client, nil
	}
	return s.writer, nil
}
