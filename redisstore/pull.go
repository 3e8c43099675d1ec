package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// PullDeliveries leases deliveries to a worker; see router.PullStore.
func (s *Store) PullDeliveries(ctx context.Context, partition int, c router.Claim, token, worker string) (receipts []router.Receipt, until time.Time, err error) {
	all := []permits{{left: c.Max}} // the worker decides how many it takes
	keys, args := s.claimCall(partition, []router.Claim{c}, all)
	args[len(args)-1] = token + " " + worker
	reply, err := s.run(ctx, s.scripts.Claim, keys, args...)
	if err != nil {
		return nil, until, unavailable(err, "pull deliveries")
	}
	words, err := stringsOf(reply, 4)
	if err != nil {
		return nil, until, fmt.Errorf("pull deliveries: %w", err)
	}
	claimed, err := readClaimed(partition, []router.Claim{c}, all, words[1:])
	if err != nil {
		return nil, until, fmt.Errorf("pull deliveries: %w", err)
	}
	for _, one := range claimed {
		receipts = append(receipts, router.Receipt{Entry: one.Entry, Attempt: one.Attempt, Token: token})
	}
	until, err = timeOf(words[1])
	return receipts, until, err
}

// timeOf reads milliseconds since 1970.
func timeOf(word string) (time.Time, error) {
	ms, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("unexpected %q in a reply: %w", word, err)
	}
	return time.UnixMilli(ms).UTC(), nil
}

// receiptSuffix is behind an entry in the name of its receipt; see scripts/common.lua.
const receiptSuffix = " receipt"

// entryName is how an entry is stored.
func entryName(e router.Entry) string { return e.Position.ID() + e.Suffix }

// SettlePulled records answers; see router.PullStore.
func (s *Store) SettlePulled(ctx context.Context, partition int, q router.Queue, answers []router.Answer) (held []bool, settled router.Settled, err error) {
	group := make([]router.Settlement, len(answers))
	for i, a := range answers {
		group[i] = router.Settlement{
			Claimed: router.Claimed{Queue: q, Entry: a.Receipt.Entry, Attempt: a.Receipt.Attempt, Lease: "#" + a.Receipt.Token, Name: entryName(a.Receipt.Entry)},
			Verdict: a.Verdict, After: a.After, Attempt: a.Attempt, Unstarted: a.Unstarted,
		}
	}
	keys, args := s.settleCall(partition, [][]router.Settlement{group}, nil)
	reply, err := s.run(ctx, s.scripts.Settle, keys, args...)
	if err != nil {
		return nil, settled, unavailable(err, "settle what was pulled")
	}
	words, err := stringsOf(reply, 1+6)
	if err != nil {
		return nil, settled, fmt.Errorf("settle what was pulled: %w", err)
	}
	all, err := readSettled(partition, [][]router.Settlement{group}, words[1:])
	if err != nil {
		return nil, settled, fmt.Errorf("settle what was pulled: %w", err)
	}
	held = make([]bool, len(answers))
	for i := range held {
		held[i] = true
	}
	for _, late := range words[3 : 3+all[0].Lost] { // behind the token, the number of arrivals, none, and their own
		i, err := strconv.Atoi(late)
		if err != nil || i < 1 || i > len(held) {
			return nil, settled, fmt.Errorf("settle what was pulled: unexpected %q in a reply", late)
		}
		held[i-1] = false
	}
	return held, all[0], nil
}

// ExtendPulled makes leases end at another time; see router.PullStore.
func (s *Store) ExtendPulled(ctx context.Context, partition int, q router.Queue, receipts []router.Receipt, e router.PullExtension) (held []bool, until time.Time, err error) {
	k, id := s.keys[partition], q.Subscription
	progress, note := "", ""
	if e.Progress != nil {
		progress = strconv.Itoa(*e.Progress)
	}
	if e.Note != nil {
		note = "+" + *e.Note
	}
	args := []any{id, q.MaxInFlight, e.Lease.Std().Milliseconds(), progress, note}
	for _, one := range receipts {
		args = append(args, entryName(one.Entry), one.Token)
	}
	keys := []string{k.gone(), s.scheduleKey(partition, q.Kind), k.fresh(id), k.retries(id), k.leases(id), k.attempts(id), k.paused()}
	reply, err := s.run(ctx, s.scripts.Extend, keys, args...)
	if err != nil {
		return nil, until, unavailable(err, "extend leases")
	}
	words, err := stringsOf(reply, 1+len(receipts))
	if err != nil {
		return nil, until, fmt.Errorf("extend leases: %w", err)
	}
	for _, word := range words[1:] {
		held = append(held, word == "ok")
	}
	until, err = timeOf(words[0])
	return held, until, err
}

// lapsePage is how many leases that ran out one call ends.
const lapsePage = 200

// ExpirePulled ends leases that have run out; see router.PullStore. A queue that can't be used keeps no other one from having its turn.
func (s *Store) ExpirePulled(ctx context.Context, partition int, known func(subscription string) (q router.Queue, attempts int, ok bool)) (dead int, more bool, err error) {
	now, err := s.now(ctx)
	if err != nil {
		return 0, false, err
	}
	var failed []error
	for cursor := uint64(0); ; {
		members, next, err := s.reader.ZScan(ctx, s.keys[partition].pulls(), cursor, "", keepPage).Result()
		if err != nil {
			return dead, false, unavailable(err, "list queues")
		}
		for i := 0; i+1 < len(members); i += 2 {
			q, attempts, ok := known(members[i])
			if at, err := strconv.ParseFloat(members[i+1], 64); !ok || err != nil || at > float64(now.UnixMilli()) {
				continue
			}
			ended, given, err := s.lapse(ctx, partition, q, attempts)
			switch {
			case err == nil:
				dead, more = dead+given, more || ended == lapsePage
			case isReply(err):
				failed = append(failed, fmt.Errorf("subscription %s: %w", q.Subscription, err))
			default:
				return dead, false, err
			}
		}
		if cursor = next; cursor == 0 {
			return dead, more, errors.Join(failed...)
		}
	}
}

// lapse ends leases of one queue, and tells how many, and how many deliveries became dead letters.
func (s *Store) lapse(ctx context.Context, partition int, q router.Queue, attempts int) (ended, dead int, err error) {
	k, id := s.keys[partition], q.Subscription
	keys := []string{
		k.state(), k.log(), k.copies(), k.holds(), k.dead(), k.deadAt(), k.gone(), k.paused(), k.pulls(),
		k.fresh(id), k.retries(id), k.leases(id), k.attempts(id), k.counters(id),
	}
	reply, err := s.run(ctx, s.scripts.Lapse, keys, id, q.MaxInFlight, attempts, lapsePage)
	if err != nil {
		return 0, 0, unavailable(err, "end leases that ran out")
	}
	words, err := stringsOf(reply, 2)
	if err != nil {
		return 0, 0, fmt.Errorf("end leases that ran out: %w", err)
	}
	r := replyReader{words: words}
	return r.integer(), r.integer(), r.err
}

// DuePulls tells who has something to pull; see router.PullStore.
func (s *Store) DuePulls(ctx context.Context, partition int, subscriptions []string) (due []string, err error) {
	now, err := s.now(ctx)
	if err != nil {
		return nil, err
	}
	scores, err := s.reader.ZMScore(ctx, s.keys[partition].pulls(), subscriptions...).Result()
	if err != nil {
		return nil, unavailable(err, "look for what can be pulled")
	}
	for i, at := range scores {
		if at > 0 && at <= float64(now.UnixMilli()) {
			due = append(due, subscriptions[i])
		}
	}
	return due, nil
}
