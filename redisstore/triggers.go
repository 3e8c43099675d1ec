package redisstore

import (
	"context"
	"strconv"

	"github.com/streamlatch/streamlatch/router"
)

// CreateTrigger stores a new one; see router.TriggerStore.
func (s *Store) CreateTrigger(ctx context.Context, t router.Trigger) (router.Trigger, error) {
	id, now, err := s.stamp(ctx, triggerKind())
	if err != nil {
		return t, err
	}
	t.ID, t.Created, t.Updated, t.Since = id, now, now, now
	t.Version, err = s.define(ctx, triggerKind(), definition{id: id, expected: isNew, name: t.Name, document: router.AppendStoredTrigger(nil, t)})
	return t, err
}

// ReplaceTrigger changes one; see router.TriggerStore.
func (s *Store) ReplaceTrigger(ctx context.Context, t router.Trigger) (router.Trigger, error) {
	now, err := s.now(ctx)
	if err != nil {
		return t, err
	}
	t.Updated = now
	if t.Since.IsZero() {
		t.Since = now
	}
	expected := strconv.FormatUint(t.Version, 10)
	t.Version, err = s.define(ctx, triggerKind(), definition{id: t.ID, expected: expected, name: t.Name, document: router.AppendStoredTrigger(nil, t)})
	return t, err
}

// DeleteTrigger removes one; see router.TriggerStore.
func (s *Store) DeleteTrigger(ctx context.Context, id string, version uint64) (int64, error) {
	t, err := s.Trigger(ctx, id)
	if err != nil {
		return 0, err
	}
	status, err := s.TriggerStatus(ctx, t)
	if err != nil {
		return 0, err
	}
	return status.Partials, s.undefine(ctx, triggerKind(), id, version)
}

// Trigger returns one; see router.TriggerStore.
func (s *Store) Trigger(ctx context.Context, ref string) (router.Trigger, error) {
	return readDefinition(ctx, s, triggerKind(), ref, decodeTrigger)
}

// Triggers lists them; see router.TriggerStore.
func (s *Store) Triggers(ctx context.Context, after string, limit int) ([]router.Trigger, error) {
	ids, err := s.listIDs(ctx, triggerKind(), after, limit)
	if err != nil {
		return nil, err
	}
	return readDefinitions(ctx, s, triggerKind(), ids, decodeTrigger)
}

// TriggerStatus tells what a trigger has recorded and counted; see router.TriggerStore.
func (s *Store) TriggerStatus(ctx context.Context, t router.Trigger) (router.TriggerStatus, error) {
	status := router.TriggerStatus{}
	for _, k := range s.keys {
		pipe := s.reader.Pipeline()
		partials := pipe.ZCard(ctx, k.partials(generation(t.ID, t.Generation)))
		counters := pipe.HGetAll(ctx, k.triggerCounters(t.ID))
		if _, err := pipe.Exec(ctx); err != nil {
			return status, unavailable(err, "read the state of a trigger")
		}
		status.Partials += partials.Val()
		c := counters.Val()
		status.Firings += counter(c["firings"])
		status.Suppressed += counter(c["suppressed"])
		status.Dropped += counter(c["partials_dropped"]) + counter(c["deadlines_dropped"])
		status.KeyMissing += counter(c["key_missing"])
		status.OverCap += counter(c["over_cap"])
		status.Ignored += counter(c["ignored"])
		status.Loops += counter(c["loops"])
	}
	return status, nil
}

func decodeTrigger(stored string, version uint64) (router.Trigger, error) {
	t, err := router.DecodeStoredTrigger(documentIn(stored))
	t.Version = version
	return t, err
}
