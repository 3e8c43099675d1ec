package redisstore

import (
	"context"
	"fmt"
	"strconv"

	"github.com/streamlatch/streamlatch/router"
)

// A notice is an event about a change of a definition. It is stored by the script that makes the change, and from there appended to the log: by whoever
// made the change, and if that one has died, by whoever keeps house. Its id is in the dedupe window long enough for it to be appended once.

// DisableSubscription disables one, and has the log tell of it; see router.Disabler.
func (s *Store) DisableSubscription(ctx context.Context, id string, version uint64, reason router.StopReason, notice router.Event) error {
	sub, err := s.Subscription(ctx, id)
	if err != nil {
		return err
	}
	if sub.Version != version {
		return router.Errorf(router.Precondition, "subscription %q has changed since", id)
	}
	if sub.Enabled {
		if sub.Version, err = s.disable(ctx, sub, notice); err != nil {
			return err
		}
	}
	if err := s.pause(ctx, id, reason); err != nil {
		return err
	}
	return s.liftIfEnabled(ctx, id)
}

// disable stores the definition as disabled, and tells.
func (s *Store) disable(ctx context.Context, sub router.Subscription, notice router.Event) (version uint64, err error) {
	expected := strconv.FormatUint(sub.Version, 10)
	if sub.Updated, err = s.now(ctx); err != nil {
		return 0, err
	}
	sub.Enabled = false
	change := definition{id: sub.ID, expected: expected, name: sub.Name, document: s.storedSubscription(sub), notice: notice.Encode()}
	if version, err = s.define(ctx, subscriptionKind(), change); err != nil {
		return 0, err
	}
	return version, s.tellNotices(ctx)
}

// liftIfEnabled ends a pause that came with disabling where somebody has enabled the subscription between the two.
func (s *Store) liftIfEnabled(ctx context.Context, id string) error {
	sub, err := s.Subscription(ctx, id)
	if router.ErrorCode(err) == router.NotFound {
		return nil
	}
	if err != nil || !sub.Enabled {
		return err
	}
	return s.resume(ctx, sub, "disabled")
}

// tellNotices appends what notices there are to the log.
func (s *Store) tellNotices(ctx context.Context) error {
	key := s.keys[0].notices()
	kept, err := s.reader.HGetAll(ctx, key).Result()
	if err != nil {
		return unavailable(err, "read notices")
	}
	for name, text := range kept {
		notice, err := router.DecodeEvent(text)
		if err != nil {
			return fmt.Errorf("notice %q: %w", name, err)
		}
		if err := s.Append(ctx, []router.Event{notice})[0].Err; err != nil && router.ErrorCode(err) != router.IDReused {
			return fmt.Errorf("append notice %q: %w", name, err)
		}
		if err := s.writer.HDel(ctx, key, name).Err(); err != nil {
			return unavailable(err, "forget a notice")
		}
	}
	return nil
}

// tellLateNotices is a step of housekeeping: it tells what nobody has come to tell.
func (s *Store) tellLateNotices(ctx context.Context, partition int) (more bool, err error) {
	if partition != 0 {
		return false, nil
	}
	return false, s.tellNotices(ctx)
}
