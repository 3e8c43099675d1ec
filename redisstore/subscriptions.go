package redisstore

import (
	"context"
	"strconv"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// CreateSubscription stores a new one; see router.SubscriptionStore.
func (s *Store) CreateSubscription(ctx context.Context, sub router.Subscription) (router.Subscription, error) {
	id, now, err := s.stamp(ctx, subscriptionKind())
	if err != nil {
		return sub, err
	}
	sub.ID, sub.Created, sub.Updated = id, now, now
	sub.Version, err = s.define(ctx, subscriptionKind(), definition{id: id, expected: isNew, name: sub.Name, document: s.storedSubscription(sub)})
	return sub, err
}

// ReplaceSubscription changes one; see router.SubscriptionStore.
func (s *Store) ReplaceSubscription(ctx context.Context, sub router.Subscription) (router.Subscription, error) {
	now, err := s.now(ctx)
	if err != nil {
		return sub, err
	}
	return s.replaceSubscription(ctx, sub, now)
}

// RotateSecret gives one a fresh signing secret; see router.SubscriptionStore.
func (s *Store) RotateSecret(ctx context.Context, sub router.Subscription, fresh string) (router.Subscription, error) {
	now, err := s.now(ctx)
	if err != nil {
		return sub, err
	}
	rotated, err := sub.RotateSecret(fresh, now)
	if err != nil {
		return sub, err
	}
	return s.replaceSubscription(ctx, rotated, now)
}

func (s *Store) replaceSubscription(ctx context.Context, sub router.Subscription, now time.Time) (_ router.Subscription, err error) {
	sub = sub.ForgetRotated(now)
	sub.Updated = now
	expected := strconv.FormatUint(sub.Version, 10)
	sub.Version, err = s.define(ctx, subscriptionKind(), definition{id: sub.ID, expected: expected, name: sub.Name, document: s.storedSubscription(sub)})
	if err == nil && sub.Enabled {
		err = s.resume(ctx, sub, "disabled")
	}
	return sub, err
}

// DeleteSubscription removes one; see router.SubscriptionStore.
func (s *Store) DeleteSubscription(ctx context.Context, id string, version uint64) (int64, error) {
	if err := s.undefine(ctx, subscriptionKind(), id, version); err != nil {
		return 0, err
	}
	status, err := s.queueStatus(ctx, id)
	return status.Backlog, err
}

// Subscription returns one; see router.SubscriptionStore.
func (s *Store) Subscription(ctx context.Context, ref string) (router.Subscription, error) {
	return readDefinition(ctx, s, subscriptionKind(), ref, s.decodeSubscription)
}

// Subscriptions lists them; see router.SubscriptionStore.
func (s *Store) Subscriptions(ctx context.Context, after string, limit int) ([]router.Subscription, error) {
	ids, err := s.listIDs(ctx, subscriptionKind(), after, limit)
	if err != nil {
		return nil, err
	}
	return readDefinitions(ctx, s, subscriptionKind(), ids, s.decodeSubscription)
}

// storedSubscription is what is stored of one: its secrets are sealed.
func (s *Store) storedSubscription(sub router.Subscription) []byte {
	return router.AppendStored(nil, sub.MapSecrets(s.sealer(subscriptionKind(), sub.ID)))
}

func (s *Store) decodeSubscription(stored string, version uint64) (router.Subscription, error) {
	sub, err := router.DecodeStored(documentIn(stored))
	if err != nil {
		return sub, err
	}
	sub.Version = version
	o := s.opener(subscriptionKind(), sub.ID)
	sub = sub.MapSecrets(o.open)
	return sub, o.err
}
