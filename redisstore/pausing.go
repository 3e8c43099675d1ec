package redisstore

import (
	"context"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// PauseSubscription stops sending; see router.Pauser.
func (s *Store) PauseSubscription(ctx context.Context, id string) error {
	if _, err := s.Subscription(ctx, id); err != nil {
		return err
	}
	return s.pause(ctx, id, router.StoppedByOperator)
}

// ResumeSubscription ends a pause; see router.Pauser.
func (s *Store) ResumeSubscription(ctx context.Context, id string) error {
	sub, err := s.Subscription(ctx, id)
	if err != nil {
		return err
	}
	return s.resume(ctx, sub, "any")
}

// pause pauses the queues of all partitions.
func (s *Store) pause(ctx context.Context, id string, reason router.StopReason) error {
	for _, k := range s.keys {
		err := s.insist(ctx, "pause a subscription", func() error {
			_, err := s.run(ctx, s.scripts.Pause, []string{k.state(), k.paused(), k.gone(), k.ready(), k.handlers(), k.pulls()}, id, string(reason))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// resume ends the pauses that are meant, "any" or "disabled", in all partitions.
func (s *Store) resume(ctx context.Context, sub router.Subscription, which string) error {
	for p, k := range s.keys {
		keys := []string{k.state(), k.paused(), s.scheduleKey(p, sub.Sink.Kind), k.fresh(sub.ID), k.retries(sub.ID), k.leases(sub.ID), k.open(), k.breaker(sub.ID)}
		err := s.insist(ctx, "resume a subscription", func() error {
			_, err := s.run(ctx, s.scripts.Resume, keys, sub.ID, which)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addPause tells of a pause that began earlier than the one that is known.
func addPause(status *router.SubscriptionStatus, stored any) {
	text, ok := stored.(string)
	if !ok {
		return
	}
	since, reason, _ := strings.Cut(text, " ")
	at := time.UnixMilli(counter(since)).UTC()
	if status.Paused == nil || at.Before(status.Paused.Since) {
		status.Paused = &router.Pause{Since: at, Reason: router.StopReason(reason)}
	}
}
