package redisstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// DueQueues finds queues that have to be looked at; see router.QueueStore.
func (s *Store) DueQueues(ctx context.Context, partition int, kind router.SinkKind, limit int) ([]string, time.Duration, error) {
	reply, err := s.run(ctx, s.scripts.Due, []string{s.scheduleKey(partition, kind)}, limit)
	if err != nil {
		return nil, 0, unavailable(err, "look for due queues")
	}
	words, err := stringsOf(reply, 1)
	if err != nil {
		return nil, 0, fmt.Errorf("look for due queues: %w", err)
	}
	next := time.Duration(-1)
	if words[0] != "none" {
		next, err = milliseconds(words[0])
	}
	return words[1:], next, err
}

func (s *Store) scheduleKey(partition int, kind router.SinkKind) string {
	if kind == router.HandlerSink {
		return s.keys[partition].handlers()
	}
	return s.keys[partition].ready()
}

func milliseconds(word string) (time.Duration, error) {
	n, err := strconv.ParseInt(word, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("unexpected %q in a reply: %w", word, err)
	}
	return time.Duration(n) * time.Millisecond, nil
}

// ClaimDeliveries leases deliveries; see router.QueueStore.
func (s *Store) ClaimDeliveries(ctx context.Context, partition int, claims []router.Claim) ([]router.Claimed, string, error) {
	token := rand.Text()
	permits, err := s.takePermits(ctx, claims, token)
	if err != nil {
		return nil, "", err
	}
	keys, args := s.claimCall(partition, claims, permits, token)
	reply, err := s.run(ctx, s.scripts.Claim, keys, args...)
	if err != nil {
		return nil, "", unavailable(err, "claim deliveries")
	}
	words, err := stringsOf(reply, 1+len(claims))
	if err != nil {
		return nil, "", fmt.Errorf("claim deliveries: %w", err)
	}
	claimed, err := s.claimed(partition, claims, permits, token, words[1:])
	if err != nil {
		return nil, "", fmt.Errorf("claim deliveries: %w", err)
	}
	s.returnUnused(ctx, claims, permits, claimed, token)
	return claimed, words[0], nil
}

func (s *Store) claimCall(partition int, claims []router.Claim, permits []int, token string) (keys []string, args []any) {
	k := s.keys[partition]
	keys = append(keys, k.state(), k.log(), k.copies(), k.holds(), k.gone())
	args = append(args, token)
	for i, c := range claims {
		id := c.Queue.Subscription
		keys = append(keys, s.scheduleKey(partition, c.Queue.Kind), k.fresh(id), k.retries(id), k.leases(id), k.tokens(id), k.attempts(id))
		args = append(args, id, permits[i], c.Queue.MaxInFlight, c.Lease.Milliseconds())
	}
	return keys, args
}

func (s *Store) claimed(partition int, claims []router.Claim, permits []int, token string, words []string) ([]router.Claimed, error) {
	var claimed []router.Claimed
	for i, c := range claims {
		n, err := strconv.Atoi(words[0])
		if err != nil || len(words) < 1+2*n {
			return nil, fmt.Errorf("unexpected reply for queue %d", i)
		}
		for j := range n {
			entry, err := parseEntry(partition, words[1+2*j])
			if err != nil {
				return nil, err
			}
			attempt, err := strconv.Atoi(words[2+2*j])
			if err != nil {
				return nil, err
			}
			one := router.Claimed{Queue: c.Queue, Entry: entry, Attempt: attempt, Token: token}
			if s.needsPermits() {
				one.Permit = permitName(token, j+1)
			}
			claimed = append(claimed, one)
		}
		words = words[1+2*n:]
	}
	return claimed, nil
}

func parseEntry(partition int, word string) (router.Entry, error) {
	id, suffix := word, ""
	if i := strings.IndexByte(word, '~'); i >= 0 {
		id, suffix = word[:i], word[i:]
	}
	position, err := router.ParseStreamID(partition, id)
	return router.Entry{Position: position, Suffix: suffix}, err
}

func entryName(e router.Entry) string { return e.Position.ID() + e.Suffix }

// SettleDeliveries records outcomes; see router.QueueStore.
func (s *Store) SettleDeliveries(ctx context.Context, partition int, settlements []router.Settlement) ([]router.Settled, error) {
	groups := bySubscription(settlements)
	keys, args := s.settleCall(partition, groups)
	reply, err := s.run(ctx, s.scripts.Settle, keys, args...)
	if err != nil {
		return nil, unavailable(err, "settle deliveries")
	}
	words, err := stringsOf(reply, len(settlements)+len(groups))
	if err != nil {
		return nil, fmt.Errorf("settle deliveries: %w", err)
	}
	settled := make([]router.Settled, 0, len(groups))
	for _, group := range groups {
		one := router.Settled{Queue: group[0].Claimed.Queue}
		for i := range group {
			if words[i] == "lost" {
				one.Lost++
			}
		}
		if next := words[len(group)]; next != "idle" {
			one.Work = true
			if one.Next, err = milliseconds(next); err != nil {
				return nil, fmt.Errorf("settle deliveries: %w", err)
			}
		}
		settled, words = append(settled, one), words[len(group)+1:]
	}
	s.returnPermits(ctx, groups)
	return settled, nil
}

func bySubscription(settlements []router.Settlement) [][]router.Settlement {
	var groups [][]router.Settlement
	index := make(map[string]int, len(settlements))
	for _, one := range settlements {
		id := one.Claimed.Queue.Subscription
		i, ok := index[id]
		if !ok {
			i = len(groups)
			index[id] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], one)
	}
	return groups
}

func (s *Store) settleCall(partition int, groups [][]router.Settlement) (keys []string, args []any) {
	k := s.keys[partition]
	keys = append(keys, k.state(), k.log(), k.copies(), k.holds(), k.dead(), k.deadAt())
	for _, group := range groups {
		q := group[0].Claimed.Queue
		id := q.Subscription
		keys = append(keys, s.scheduleKey(partition, q.Kind), k.fresh(id), k.retries(id), k.leases(id), k.tokens(id), k.attempts(id), k.counters(id))
		args = append(args, id, q.MaxInFlight, len(group))
		for _, one := range group {
			args = append(args, settlementArgs(one)...)
		}
	}
	return keys, args
}

func settlementArgs(one router.Settlement) []any {
	word, record, lastError := verdictWord(one), "", ""
	if word == "retry" || word == "dead" {
		record = attemptRecord(one.Attempt)
		lastError = describe(one.Attempt)
	}
	return []any{entryName(one.Claimed.Entry), one.Claimed.Token, word, one.After.Milliseconds(), record, lastError}
}

func verdictWord(one router.Settlement) string {
	switch {
	case one.Unstarted:
		return "back"
	case one.Verdict == router.Delivered:
		return "delivered"
	case one.Verdict == router.Dead:
		return "dead"
	default:
		return "retry"
	}
}

// storedAttempt is an attempt as Redis keeps it, on one line of JSON. The scripts write one too, for a lease that ran out.
type storedAttempt struct {
	At       int64          `json:"at"`
	Took     int64          `json:"took,omitempty"` // milliseconds
	Outcome  router.Outcome `json:"outcome"`
	Status   int            `json:"status,omitempty"`
	Error    string         `json:"error,omitempty"`
	Response string         `json:"response,omitempty"`
}

func attemptRecord(a router.Attempt) string {
	line, err := json.Marshal(storedAttempt{
		At: a.At.UnixMilli(), Took: time.Duration(a.Duration).Milliseconds(), Outcome: a.Outcome, Status: a.StatusCode, Error: a.Error, Response: a.Response,
	})
	if err != nil { // can't be: there is nothing in it that JSON has no form for
		return `{"outcome":"unknown"}`
	}
	return string(line)
}

func misfitRecord(reason string) string {
	return "0\n" + `{"outcome":` + strconv.Quote(reason) + "}\n"
}

func describe(a router.Attempt) string {
	if a.Error != "" {
		return string(a.Outcome) + ": " + a.Error
	}
	if a.StatusCode != 0 {
		return string(a.Outcome) + ": status " + strconv.Itoa(a.StatusCode)
	}
	return string(a.Outcome)
}
