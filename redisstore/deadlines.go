package redisstore

import (
	"context"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// dueTriggers is how many triggers one look at the schedule takes.
const dueTriggers = 256

// DuePartials finds partials whose deadlines have passed; see router.DeadlineStore.
func (s *Store) DuePartials(ctx context.Context, partition int, before time.Time, known func(trigger string, generation uint64) bool, limit int) (router.Due, error) {
	now, err := s.now(ctx)
	if err != nil {
		return router.Due{}, err
	}
	if before.IsZero() || before.After(now) {
		before = now
	}
	look := dueLook{store: s, keys: s.keys[partition], before: before.UnixMilli(), limit: limit, known: known}
	if err := look.run(ctx); err != nil {
		return router.Due{}, unavailable(err, "look for due partials")
	}
	if look.next < math.MaxInt64 {
		look.due.Next = max(time.UnixMilli(look.next+1).Sub(now), 0)
	} else {
		look.due.Next = -1
	}
	return look.due, nil
}

// dueLook is one look at a partition's schedule.
type dueLook struct {
	store  *Store
	keys   keys
	before int64
	limit  int
	known  func(string, uint64) bool
	due    router.Due
	next   int64 // the earliest deadline that is not due, MaxInt64: none
}

func (l *dueLook) run(ctx context.Context) error {
	l.next = math.MaxInt64
	for offset := int64(0); ; offset += dueTriggers {
		page, err := l.store.reader.ZRangeByScoreWithScores(ctx, l.keys.triggers(), &redis.ZRangeBy{Min: "-inf", Max: "+inf", Offset: offset, Count: dueTriggers}).Result()
		if err != nil {
			return fmt.Errorf("read the schedule of triggers: %w", err)
		}
		due, more := l.sort(page)
		if err := l.addPartials(ctx, due); err != nil || !more {
			return err
		}
	}
}

// sort takes those that are due out of a page of the schedule, and tells whether the next page may have some, too.
func (l *dueLook) sort(page []redis.Z) (due []router.DueTrigger, more bool) {
	for _, z := range page {
		name, _ := z.Member.(string)
		if z.Score >= float64(l.before) {
			if !math.IsInf(z.Score, 1) {
				l.next = int64(z.Score)
			}
			return due, false
		}
		trigger, number, _ := strings.Cut(name, ":")
		generation, err := strconv.ParseUint(number, 10, 64)
		if err == nil && l.known(trigger, generation) {
			due = append(due, router.DueTrigger{Trigger: trigger, Generation: generation})
		}
	}
	return due, len(page) == dueTriggers && l.limit > 0 && len(l.due.Triggers) < dueTriggers
}

// addPartials reads which partials of some triggers are due, as many as there is still room for.
func (l *dueLook) addPartials(ctx context.Context, triggers []router.DueTrigger) error {
	pipe := l.store.reader.Pipeline()
	calls := make([]*redis.StringSliceCmd, len(triggers))
	for i, t := range triggers {
		calls[i] = pipe.ZRangeByScore(ctx, l.keys.partials(generation(t.Trigger, t.Generation)), &redis.ZRangeBy{
			Min: "-inf", Max: "(" + strconv.FormatInt(l.before, 10), Count: int64(max(l.limit, 1)),
		})
	}
	if len(calls) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil && !isReply(err) {
		return fmt.Errorf("read due partials: %w", err)
	}
	for i, call := range calls {
		if call.Err() != nil {
			continue // the key holds something else; apply says so, when there is an event
		}
		members := call.Val()[:min(l.limit, len(call.Val()))]
		if l.limit == 0 {
			l.due.More = true
			return nil
		}
		l.limit -= len(members)
		for _, member := range members {
			var hash router.KeyHash
			if n, err := hex.Decode(hash[:], []byte(member)); err == nil && n == len(hash) { // others are not of this program
				triggers[i].Partials = append(triggers[i].Partials, hash)
			}
		}
		l.due.Triggers = append(l.due.Triggers, triggers[i])
	}
	l.due.More = l.due.More || l.limit == 0 || len(l.due.Triggers) >= dueTriggers
	return nil
}

// TriggerGenerations lists what may have partials; see router.PartialStore.
func (s *Store) TriggerGenerations(ctx context.Context, partition int) ([]router.DueTrigger, error) {
	names, err := s.reader.ZRange(ctx, s.keys[partition].triggers(), 0, -1).Result()
	if err != nil {
		return nil, unavailable(err, "list triggers that have partials")
	}
	list := make([]router.DueTrigger, 0, len(names))
	for _, name := range names {
		trigger, number, _ := strings.Cut(name, ":")
		if n, err := strconv.ParseUint(number, 10, 64); err == nil {
			list = append(list, router.DueTrigger{Trigger: trigger, Generation: n})
		}
	}
	return list, nil
}

// FreeGeneration frees a page of partials; see router.PartialStore.
func (s *Store) FreeGeneration(ctx context.Context, partition int, token, trigger string, number uint64, deleted bool) (router.Freed, error) {
	name := generation(trigger, number)
	members, err := s.reader.ZRange(ctx, s.keys[partition].partials(name), 0, freePage-1).Result()
	if err != nil {
		return router.Freed{}, unavailable(err, "list partials")
	}
	what := "generation"
	if deleted {
		what = "trigger"
	}
	return s.drop(ctx, partition, token, trigger, name, what, members)
}

// DropPartials frees some partials; see router.PartialStore.
func (s *Store) DropPartials(ctx context.Context, partition int, trigger string, number uint64, hashes []router.KeyHash) (int, error) {
	members := make([]string, len(hashes))
	for i, hash := range hashes {
		members[i] = hex.EncodeToString(hash[:])
	}
	freed, err := s.drop(ctx, partition, "", trigger, generation(trigger, number), "some", members)
	return freed.Partials, err
}

// freePage is how many partials one call frees.
const freePage = 256

func (s *Store) drop(ctx context.Context, partition int, token, trigger, name, what string, members []string) (router.Freed, error) {
	k := s.keys[partition]
	keys := []string{k.state(), k.triggers(), k.partials(name), k.triggerCounters(trigger)}
	args := []any{token, name, what}
	for _, member := range members {
		keys, args = append(keys, k.partial(name, member)), append(args, member)
	}
	reply, err := s.run(ctx, s.scripts.Drop, keys, args...)
	if err != nil {
		return router.Freed{}, unavailable(err, "free partials")
	}
	words, err := stringsOf(reply, 2)
	if err != nil {
		return router.Freed{}, fmt.Errorf("free partials: %w", err)
	}
	n, err := strconv.Atoi(words[1])
	return router.Freed{Partials: n, More: words[0] == "more", Stale: words[0] == "stale"}, err
}
