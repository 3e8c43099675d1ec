package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// A definition is stored in partition 0 and becomes binding when its version has been announced in every partition: see announce.lua.

const definitionsPage = 1000

// Definitions returns what has changed since a version; see router.DefinitionStore.
func (s *Store) Definitions(ctx context.Context, since uint64) (router.Definitions, error) {
	d := router.Definitions{Version: since, Complete: since == 0}
	var err error
	if d.Tokens, err = s.tokens(ctx); err != nil {
		return d, err
	}
	for {
		page, err := s.readChanges(ctx, d.Version)
		if err != nil {
			return d, err
		}
		if !d.Complete && page.forgotten > d.Version {
			d.Version, d.Complete = 0, true // deletions since then are not listed any more: all is read anew
			continue
		}
		if err := s.addChanges(ctx, &d, page); err != nil {
			return d, err
		}
		if !page.more {
			return d, s.completeAnnouncements(ctx, d)
		}
	}
}

func (s *Store) tokens(ctx context.Context) ([]string, error) {
	pipe := s.reader.Pipeline()
	calls := make([]*redis.StringCmd, len(s.keys))
	for p, k := range s.keys {
		calls[p] = pipe.HGet(ctx, k.state(), "token")
	}
	if _, err := pipe.Exec(ctx); ignoreNil(err) != nil {
		return nil, unavailable(err, "read the definitions' tokens")
	}
	tokens := make([]string, len(calls))
	for p, call := range calls {
		tokens[p] = call.Val()
	}
	return tokens, nil
}

// changes are a page of changes, of one moment, in the order of their versions.
type changes struct {
	changed, deleted []redis.Z
	through          uint64 // the page has all changes up to this version
	more             bool
	forgotten        uint64
}

// readChanges reads the next page of changes. A definition that changes after that comes again under its new version.
func (s *Store) readChanges(ctx context.Context, since uint64) (changes, error) {
	k := s.keys[0]
	after := &redis.ZRangeBy{Min: "(" + strconv.FormatUint(since, 10), Max: "+inf", Count: definitionsPage}
	pipe := s.reader.TxPipeline()
	changed, deleted := pipe.ZRangeByScoreWithScores(ctx, k.versions(), after), pipe.ZRangeByScoreWithScores(ctx, k.deleted(), after)
	forgotten := pipe.HGet(ctx, k.meta(), "forgotten")
	if _, err := pipe.Exec(ctx); ignoreNil(err) != nil {
		return changes{}, unavailable(err, "read changed definitions")
	}
	c := changes{changed: changed.Val(), deleted: deleted.Val(), through: since, forgotten: uint64(counter(forgotten.Val()))}
	for _, list := range [][]redis.Z{c.changed, c.deleted} {
		if len(list) > 0 {
			c.through = max(c.through, uint64(list[len(list)-1].Score))
		}
	}
	for _, list := range [][]redis.Z{c.changed, c.deleted} {
		if len(list) == definitionsPage {
			c.through, c.more = min(c.through, uint64(list[len(list)-1].Score)), true
		}
	}
	return c, nil
}

// addChanges adds a page to what has changed.
func (s *Store) addChanges(ctx context.Context, d *router.Definitions, page changes) error {
	for _, z := range page.deleted {
		if id, _ := z.Member.(string); uint64(z.Score) <= page.through {
			d.Deleted = append(d.Deleted, id)
		}
	}
	var ids []string
	var versions []uint64
	for _, z := range page.changed {
		if id, _ := z.Member.(string); uint64(z.Score) <= page.through {
			ids, versions = append(ids, id), append(versions, uint64(z.Score))
		}
	}
	d.Version = page.through
	if len(ids) == 0 {
		return nil
	}
	documents, err := s.reader.HMGet(ctx, s.keys[0].documents(), ids...).Result()
	if err != nil {
		return unavailable(err, "read changed definitions")
	}
	for i, id := range ids {
		if err := addChange(d, id, versions[i], documents[i]); err != nil {
			return err
		}
	}
	return nil
}

func addChange(d *router.Definitions, id string, version uint64, document any) error {
	text, ok := document.(string)
	if !ok {
		d.Deleted = append(d.Deleted, id)
		return nil
	}
	sub, err := decodeDocument(text, version)
	if err != nil {
		return fmt.Errorf("subscription %q: %w", id, err)
	}
	d.Subscriptions = append(d.Subscriptions, sub)
	return nil
}

// completeAnnouncements announces the version that was read wherever a change died before it came to that.
func (s *Store) completeAnnouncements(ctx context.Context, d router.Definitions) error {
	for p, token := range d.Tokens {
		if announcedVersion(token) >= d.Version {
			continue
		}
		if err := s.announceIn(ctx, p, d.Version); err != nil {
			return err
		}
	}
	return nil
}

func announcedVersion(token string) uint64 {
	digits, _, _ := strings.Cut(token, ".")
	version, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return version
}

// announce makes a version binding in every partition.
func (s *Store) announce(ctx context.Context, version uint64) error {
	for p := range s.keys {
		if err := s.announceIn(ctx, p, version); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) announceIn(ctx context.Context, partition int, version uint64) error {
	k := s.keys[partition]
	text := strconv.FormatUint(version, 10)
	return s.insist(ctx, "announce a change", func() error {
		args := []any{text, text + "." + rand.Text()}
		deleted, err := s.unannounced(ctx, partition, text)
		if err != nil {
			return err
		}
		for _, id := range deleted {
			args = append(args, id)
		}
		_, err = s.run(ctx, s.scripts.Announce, []string{k.state(), k.announced(), k.gone(), k.ready(), k.handlers()}, args...)
		return err
	})
}

// unannounced are the deletions up to a version that a partition may not have heard of. One that died before it was announced is among them, also
// when nobody has noticed before the next change.
func (s *Store) unannounced(ctx context.Context, partition int, version string) ([]string, error) {
	token, err := s.reader.HGet(ctx, s.keys[partition].state(), "token").Result()
	if ignoreNil(err) != nil {
		return nil, fmt.Errorf("read the definitions' token: %w", err)
	}
	since := strconv.FormatUint(announcedVersion(token), 10)
	deleted, err := s.reader.ZRangeByScore(ctx, s.keys[0].deleted(), &redis.ZRangeBy{Min: "(" + since, Max: version}).Result()
	if err != nil {
		return nil, fmt.Errorf("read deletions: %w", err)
	}
	return deleted, nil
}

// insist repeats a call that is safe to repeat, until it is answered or ctx ends, at most for the commit budget.
func (s *Store) insist(ctx context.Context, doing string, call func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, commitBudget, errors.New("Redis did not answer in time"))
	defer cancel()
	for {
		err := call()
		if err == nil {
			return nil
		}
		if !repeatable(err) || !pause(ctx, repeatPause) {
			return unavailable(err, doing)
		}
	}
}

// CreateSubscription stores a new one; see router.SubscriptionStore.
func (s *Store) CreateSubscription(ctx context.Context, sub router.Subscription) (router.Subscription, error) {
	now, err := s.now(ctx)
	if err != nil {
		return sub, err
	}
	if sub.ID, err = router.NewID(router.SubscriptionID, now, rand.Reader); err != nil {
		return sub, fmt.Errorf("make an id: %w", err)
	}
	sub.Created, sub.Updated = now, now
	return s.define(ctx, sub, "0")
}

// ReplaceSubscription changes one; see router.SubscriptionStore.
func (s *Store) ReplaceSubscription(ctx context.Context, sub router.Subscription) (router.Subscription, error) {
	now, err := s.now(ctx)
	if err != nil {
		return sub, err
	}
	sub.Updated = now
	return s.define(ctx, sub, strconv.FormatUint(sub.Version, 10))
}

func (s *Store) define(ctx context.Context, sub router.Subscription, expected string) (router.Subscription, error) {
	version, err := s.callDefine(ctx, sub.ID, expected, sub.Name, string(router.AppendStored(nil, sub)))
	if err != nil {
		return sub, err
	}
	sub.Version = version
	return sub, s.announce(ctx, version)
}

// DeleteSubscription removes one; see router.SubscriptionStore.
func (s *Store) DeleteSubscription(ctx context.Context, id string, version uint64) (int64, error) {
	expected := "any"
	if version != 0 {
		expected = strconv.FormatUint(version, 10)
	}
	changed, err := s.callDefine(ctx, id, expected, "", "")
	if err != nil {
		return 0, err
	}
	if err := s.announce(ctx, changed); err != nil {
		return 0, err
	}
	status, err := s.queueStatus(ctx, id)
	return status.Backlog, err
}

func (s *Store) callDefine(ctx context.Context, id, expected, name, document string) (uint64, error) {
	k := s.keys[0]
	reply, err := s.run(ctx, s.scripts.Define, []string{k.meta(), k.documents(), k.names(), k.versions(), k.ids(), k.deleted()}, id, expected, name, document)
	if err != nil {
		return 0, unavailable(err, "store a definition")
	}
	words, err := stringsOf(reply, 1)
	if err != nil {
		return 0, fmt.Errorf("store a definition: %w", err)
	}
	switch words[0] {
	case "missing":
		return 0, router.Errorf(router.NotFound, "there is no subscription %q", id)
	case "changed":
		return 0, router.Errorf(router.Precondition, "subscription %q has changed since", id)
	case "taken":
		return 0, router.Errorf(router.Conflict, "there is a subscription named %q already", name)
	}
	return strconv.ParseUint(words[1], 10, 64)
}

// Subscription returns one; see router.SubscriptionStore.
func (s *Store) Subscription(ctx context.Context, ref string) (router.Subscription, error) {
	k := s.keys[0]
	parsed, err := router.ParseRef(router.SubscriptionID, ref)
	if err != nil {
		return router.Subscription{}, err
	}
	id := parsed.ID
	if id == "" {
		id, err = s.reader.HGet(ctx, k.names(), parsed.Name).Result()
		if ignoreNil(err) != nil {
			return router.Subscription{}, unavailable(err, "look a subscription up")
		}
	}
	found, err := s.readSubscriptions(ctx, []string{id})
	if err != nil {
		return router.Subscription{}, err
	}
	if len(found) == 0 {
		return router.Subscription{}, router.Errorf(router.NotFound, "there is no subscription %q", ref)
	}
	return found[0], nil
}

// readSubscriptions returns those of the ids that there are.
func (s *Store) readSubscriptions(ctx context.Context, ids []string) ([]router.Subscription, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	pipe := s.reader.TxPipeline() // document and version must be of one moment
	documents := pipe.HMGet(ctx, s.keys[0].documents(), ids...)
	versions := pipe.ZMScore(ctx, s.keys[0].versions(), ids...)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err, "read subscriptions")
	}
	var found []router.Subscription
	for i, document := range documents.Val() {
		if text, ok := document.(string); ok {
			sub, err := decodeDocument(text, uint64(versions.Val()[i]))
			if err != nil {
				return nil, fmt.Errorf("subscription %q: %w", ids[i], err)
			}
			found = append(found, sub)
		}
	}
	return found, nil
}

// decodeDocument reads a stored document: the name, a newline, the definition.
func decodeDocument(text string, version uint64) (router.Subscription, error) {
	_, document, _ := strings.Cut(text, "\n")
	sub, err := router.DecodeStored([]byte(document))
	sub.Version = version
	return sub, err
}

// Subscriptions lists them; see router.SubscriptionStore.
func (s *Store) Subscriptions(ctx context.Context, after string, limit int) ([]router.Subscription, error) {
	start := "-"
	if after != "" {
		start = "(" + after
	}
	ids, err := s.reader.ZRangeByLex(ctx, s.keys[0].ids(), &redis.ZRangeBy{Min: start, Max: "+", Count: int64(limit)}).Result()
	if err != nil {
		return nil, unavailable(err, "list subscriptions")
	}
	return s.readSubscriptions(ctx, ids)
}

// now is Redis' clock.
func (s *Store) now(ctx context.Context) (time.Time, error) {
	now, err := s.reader.Time(ctx).Result()
	if err != nil {
		return now, unavailable(err, "read Redis' clock")
	}
	return now.UTC().Truncate(time.Millisecond), nil
}
