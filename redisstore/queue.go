package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	switch kind {
	case router.HandlerSink:
		return s.keys[partition].handlers()
	case router.PullSink:
		return s.keys[partition].pulls()
	default:
		return s.keys[partition].ready()
	}
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
	permits, err := s.takePermits(ctx, claims)
	if err != nil {
		return nil, "", err
	}
	keys, args := s.claimCall(partition, claims, permits)
	reply, err := s.run(ctx, s.scripts.Claim, keys, args...)
	if err != nil {
		return nil, "", unavailable(err, "claim deliveries")
	}
	words, err := stringsOf(reply, 1+3*len(claims))
	if err != nil {
		return nil, "", fmt.Errorf("claim deliveries: %w", err)
	}
	claimed, err := readClaimed(partition, claims, permits, words[1:])
	if err != nil {
		return nil, "", fmt.Errorf("claim deliveries: %w", err)
	}
	s.returnUnused(ctx, claims, permits)
	return claimed, words[0], nil
}

func (s *Store) claimCall(partition int, claims []router.Claim, permits []permits) (keys []string, args []any) {
	k := s.keys[partition]
	keys = append(keys, k.state(), k.log(), k.copies(), k.holds(), k.gone(), k.paused(), k.open())
	for i, c := range claims {
		id := c.Queue.Subscription
		keys = append(keys, s.scheduleKey(partition, c.Queue.Kind), k.fresh(id), k.retries(id), k.leases(id), k.attempts(id), k.counters(id), k.breaker(id), k.lanes(id), k.waiting(id))
		args = append(args, id, permits[i].left, c.Queue.MaxInFlight, c.Lease.Milliseconds(), permits[i].wait.Milliseconds(), s.breakerHere(c.Queue), "")
	}
	return keys, args
}

// readClaimed reads claim's reply: for each queue a lease, deliveries with their attempt, and fresh deliveries.
func readClaimed(partition int, claims []router.Claim, permits []permits, words []string) ([]router.Claimed, error) {
	r := replyReader{words: words}
	var claimed []router.Claimed
	for i, c := range claims {
		lease := r.word()
		take := func(entry string, attempt int) {
			one := r.claimed(partition, c.Queue, lease, entry, attempt)
			one.Permit, one.Date = permits[i].use()
			claimed = append(claimed, one)
		}
		for range r.integer() {
			entry := r.word()
			take(entry, r.integer())
		}
		for range r.integer() {
			take(r.word(), 1)
		}
	}
	return claimed, r.err
}

// replyReader goes through a script's reply word by word. After a fault it gives zero values; err says what it was.
type replyReader struct {
	words []string
	err   error
}

func (r *replyReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *replyReader) word() string {
	if len(r.words) == 0 {
		r.fail(errors.New("the reply is too short"))
		return ""
	}
	word := r.words[0]
	r.words = r.words[1:]
	return word
}

func (r *replyReader) integer() int {
	n, err := strconv.Atoi(r.word())
	r.fail(err)
	if r.err != nil {
		return 0
	}
	return n
}

// claimed is a delivery that the reply says is leased.
func (r *replyReader) claimed(partition int, q router.Queue, lease, name string, attempt int) router.Claimed {
	entry, err := parseEntry(partition, name)
	r.fail(err)
	return router.Claimed{Queue: q, Entry: entry, Attempt: attempt, Lease: lease, Name: name}
}

func parseEntry(partition int, word string) (router.Entry, error) {
	id, _, _ := strings.Cut(word, "#")
	suffix := ""
	if i := strings.IndexByte(id, '~'); i >= 0 {
		id, suffix = id[:i], id[i:]
	}
	position, err := router.ParseStreamID(partition, id)
	return router.Entry{Position: position, Suffix: suffix}, err
}

// SettleDeliveries records outcomes; see router.QueueStore.
func (s *Store) SettleDeliveries(ctx context.Context, partition int, settlements []router.Settlement, next []router.Claim) ([]router.Settled, string, error) {
	groups := bySubscription(settlements)
	keys, args := s.settleCall(partition, groups, next)
	reply, err := s.run(ctx, s.scripts.Settle, keys, args...)
	if err != nil {
		return nil, "", unavailable(err, "settle deliveries")
	}
	words, err := stringsOf(reply, 1+6*len(groups))
	if err != nil {
		return nil, "", fmt.Errorf("settle deliveries: %w", err)
	}
	settled, err := readSettled(partition, groups, words[1:])
	if err != nil {
		return nil, "", fmt.Errorf("settle deliveries: %w", err)
	}
	s.returnPermits(ctx, groups, settled)
	return settled, words[0], nil
}

func readSettled(partition int, groups [][]router.Settlement, words []string) ([]router.Settled, error) {
	r := replyReader{words: words}
	settled := make([]router.Settled, len(groups))
	for i, group := range groups {
		settled[i] = router.Settled{Queue: group[0].Claimed.Queue, Lost: r.integer()}
		others := r.integer()
		settled[i].Lost += others
		for range others {
			r.integer() // which it was
		}
		if next := r.word(); next != "idle" {
			wait, err := milliseconds(next)
			r.fail(err)
			settled[i].Work, settled[i].Next = true, wait
		}
		settled[i].Failing = time.Duration(r.integer()) * time.Millisecond
		lease := r.word()
		for range r.integer() {
			settled[i].Claimed = append(settled[i].Claimed, r.claimed(partition, settled[i].Queue, lease, r.word(), 1))
		}
	}
	return settled, r.err
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

func (s *Store) settleCall(partition int, groups [][]router.Settlement, next []router.Claim) (keys []string, args []any) {
	k := s.keys[partition]
	wanted := make(map[string]router.Claim, len(next))
	for _, c := range next {
		wanted[c.Queue.Subscription] = c
	}
	keys = append(keys, k.state(), k.log(), k.copies(), k.holds(), k.dead(), k.deadAt(), k.gone(), k.paused(), k.open())
	for _, group := range groups {
		q := group[0].Claimed.Queue
		id := q.Subscription
		keys = append(keys, s.scheduleKey(partition, q.Kind), k.fresh(id), k.retries(id), k.leases(id), k.attempts(id), k.counters(id), k.successes(id),
			k.breaker(id), k.lanes(id), k.waiting(id))
		args = append(args, id, q.MaxInFlight)
		args = append(appendBreaker(args, q, !s.countsInFlight()), lowest(group).ID(), s.keptSuccesses(), s.withSettlement(wanted[id]), wanted[id].Lease.Milliseconds())
		args = appendResults(slices.Grow(args, 6*len(group)), group)
	}
	return keys, args
}

// withSettlement is how many deliveries a settlement may lease: none where that takes permits.
func (s *Store) withSettlement(c router.Claim) int {
	if s.needsPermits(c.Queue) {
		return 0
	}
	return c.Max
}

// appendResults appends the results of one queue: those that settle.lua calls arrivals in runs, and then the others.
func appendResults(args []any, group []router.Settlement) []any {
	var runs [][]*router.Settlement
	var others []*router.Settlement
	for i := range group {
		one := &group[i]
		if !isArrival(one) {
			others = append(others, one)
			continue
		}
		at := slices.IndexFunc(runs, func(run []*router.Settlement) bool {
			return run[0].Claimed.Lease == one.Claimed.Lease && len(run) < longestRun
		})
		if at < 0 {
			at, runs = len(runs), append(runs, nil)
		}
		runs[at] = append(runs[at], one)
	}
	args = append(args, len(runs))
	for _, run := range runs {
		args = append(args, &run[0].Claimed.Lease, len(run)) // pointers: less garbage
		records := newTexts(len(run), 64)
		for _, one := range run {
			args = append(args, &one.Claimed.Name)
			records.bytes = appendSuccess(records.bytes, one)
			records.end()
		}
		args = appendStringArgs(args, records.strings())
	}
	return appendOthers(args, others)
}

func appendOthers(args []any, others []*router.Settlement) []any {
	args = append(args, len(others))
	var details []any
	for _, one := range others {
		word := verdictWord(one)
		args = append(args, &one.Claimed.Name, &one.Claimed.Lease, one.Claimed.Attempt, word, one.After.Milliseconds())
		switch word {
		case "retry", "dead":
			details = append(details, attemptRecord(one.Attempt), describe(one.Attempt), verdictOn(*one, false))
		case "delivered":
			details = append(details, appendSuccess(nil, one))
		}
	}
	return append(args, details...)
}

// longestRun is how many arrivals settle.lua is told of at once; Lua takes some thousands of arguments in a call.
const longestRun = 1000

// isArrival tells whether a delivery arrived that was in no lane, and was not pulled.
func isArrival(one *router.Settlement) bool {
	return verdictWord(one) == "delivered" && !strings.HasPrefix(one.Claimed.Lease, "#") && !strings.Contains(one.Claimed.Name, "#")
}

func lowest(group []router.Settlement) router.Position {
	low := group[0].Claimed.Entry.Position
	for _, one := range group[1:] {
		if one.Claimed.Entry.Position.Compare(low) < 0 {
			low = one.Claimed.Entry.Position
		}
	}
	return low
}

func verdictWord(one *router.Settlement) string {
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
