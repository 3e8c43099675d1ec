package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// oldestScan is how many deliveries that wait for a retry, and how many that wait behind others, are looked at for the oldest one.
const oldestScan = 1000

// SubscriptionStatus tells the state of a subscription's queues; see router.SubscriptionStore.
func (s *Store) SubscriptionStatus(ctx context.Context, id string) (router.SubscriptionStatus, error) {
	sub, err := s.Subscription(ctx, id)
	if err != nil {
		return router.SubscriptionStatus{}, err
	}
	status, err := s.queueStatus(ctx, id)
	if err != nil || sub.Sink.Kind != router.HandlerSink {
		return status, err
	}
	replicas, err := s.replicas(ctx)
	for _, r := range replicas {
		for _, name := range r.Handlers {
			if name == sub.Name {
				status.HandledBy = append(status.HandledBy, r.ID)
			}
		}
	}
	return status, err
}

// queueStatus adds a subscription's queues of all partitions up.
func (s *Store) queueStatus(ctx context.Context, id string) (status router.SubscriptionStatus, err error) {
	for p, k := range s.keys {
		pipe := s.reader.Pipeline()
		sizes, counters := askSizes(ctx, pipe, k, id), pipe.HGetAll(ctx, k.counters(id))
		first := pipe.LRange(ctx, k.fresh(id), 0, 0)
		behind := pipe.ZRange(ctx, k.waiting(id), 0, oldestScan-1) // older than the first of their lane where they were put back
		paused := pipe.HMGet(ctx, k.paused(), id)
		waiting, leased := pipe.ZRange(ctx, k.retries(id), 0, oldestScan-1), pipe.ZRange(ctx, k.leases(id), 0, -1)
		if _, err := pipe.Exec(ctx); err != nil {
			return status, unavailable(err, "read the state of queues")
		}
		addPause(&status, paused.Val()[0])
		status.InFlight += sizes.flying.Val()
		status.Retrying += sizes.retrying.Val()
		status.Backlog += sizes.backlog()
		addCounters(&status, counters.Val())
		for _, entries := range [][]string{first.Val(), waiting.Val(), leased.Val(), behind.Val()} {
			addOldest(&status, p, entries)
		}
	}
	status.Breaker, err = s.breakerStatus(ctx, id)
	return status, err
}

// queueSizes are how many deliveries a queue has of each sort.
type queueSizes struct{ fresh, flying, retrying, behind *redis.IntCmd }

func askSizes(ctx context.Context, pipe redis.Pipeliner, k keys, id string) queueSizes {
	return queueSizes{
		fresh: pipe.LLen(ctx, k.fresh(id)), flying: pipe.ZCard(ctx, k.leases(id)), retrying: pipe.ZCard(ctx, k.retries(id)), behind: pipe.ZCard(ctx, k.waiting(id)),
	}
}

// backlog is all that waits or is under way.
func (s queueSizes) backlog() int64 {
	return s.fresh.Val() + s.flying.Val() + s.retrying.Val() + s.behind.Val()
}

func addCounters(status *router.SubscriptionStatus, counters map[string]string) {
	status.Delivered += counter(counters["delivered"])
	status.Dead += counter(counters["dead"])
	status.NotQueued += counter(counters["not_queued"])
	status.OverCap += counter(counters["over_cap"])
	if at := moment(counters["last_success"]); at.After(status.LastSuccess) {
		status.LastSuccess = at
	}
	if at := moment(counters["last_failure"]); at.After(status.LastFailure) {
		status.LastFailure, status.LastError = at, counters["last_error"]
	}
}

func addOldest(status *router.SubscriptionStatus, partition int, entries []string) {
	for _, name := range entries {
		entry, err := parseEntry(partition, name[strings.LastIndexByte(name, ' ')+1:]) // behind others, its lane and its position stand before it
		if err != nil {
			continue // not ours; sending it will say so
		}
		if at := entry.Position.AcceptedAt(); status.OldestPending.IsZero() || at.Before(status.OldestPending) {
			status.OldestPending = at
		}
	}
}

func counter(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func moment(text string) time.Time {
	if ms := counter(text); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// replicaDocument is what a replica says of itself.
type replicaDocument struct {
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Handlers []string  `json:"handlers,omitempty"`
}

// Register says that a replica lives; see router.Replicas.
func (s *Store) Register(ctx context.Context, r router.ReplicaStatus, ttl time.Duration) (live int, err error) {
	text, err := json.Marshal(replicaDocument{Version: r.Version, Started: r.Started, Handlers: r.Handlers})
	if err != nil {
		return 0, fmt.Errorf("register replica: %w", err)
	}
	return s.register(ctx, r.ID, string(text), ttl)
}

// Leave says good-bye; see router.Replicas.
func (s *Store) Leave(ctx context.Context, replica string) error {
	_, err := s.register(ctx, replica, "", time.Hour)
	return err
}

func (s *Store) register(ctx context.Context, replica, document string, ttl time.Duration) (live int, err error) {
	k := s.keys[0]
	reply, err := s.run(ctx, s.scripts.Register, []string{k.replicas(), k.replicasSeen()}, replica, document, ttl.Milliseconds())
	if err != nil {
		return 0, unavailable(err, "register the replica")
	}
	words, err := stringsOf(reply, 2)
	if err != nil {
		return 0, fmt.Errorf("register the replica: %w", err)
	}
	return strconv.Atoi(words[0])
}

func (s *Store) replicas(ctx context.Context) ([]router.ReplicaStatus, error) {
	k := s.keys[0]
	seen, err := s.reader.ZRangeWithScores(ctx, k.replicasSeen(), 0, -1).Result()
	if err != nil {
		return nil, unavailable(err, "list replicas")
	}
	documents, err := s.reader.HGetAll(ctx, k.replicas()).Result()
	if err != nil {
		return nil, unavailable(err, "list replicas")
	}
	var list []router.ReplicaStatus
	for _, z := range seen {
		id, _ := z.Member.(string)
		if documents[id] == "" {
			continue // it has left since
		}
		var d replicaDocument
		if err := json.Unmarshal([]byte(documents[id]), &d); err != nil {
			return nil, fmt.Errorf("replica %q: %w", id, err)
		}
		list = append(list, router.ReplicaStatus{ID: id, Version: d.Version, Started: d.Started, Seen: time.UnixMilli(int64(z.Score)).UTC(), Handlers: d.Handlers})
	}
	return list, nil
}

// Status tells the state of the deployment; see router.StatusStore.
func (s *Store) Status(ctx context.Context) (router.Status, error) {
	status := router.Status{Format: Format, Memory: s.memory.status()}
	var err error
	if status.Replicas, err = s.replicas(ctx); err != nil {
		return status, err
	}
	for p := range s.keys {
		one, letters, err := s.partitionStatus(ctx, p)
		if err != nil {
			return status, err
		}
		status.Partitions = append(status.Partitions, one)
		status.Dead += letters.kept
		status.Expired += letters.expired
	}
	return status, s.addForwarded(ctx, &status)
}

// lettersOf are the dead letters of a partition.
type lettersOf struct{ kept, expired int64 }

func (s *Store) partitionStatus(ctx context.Context, partition int) (router.PartitionStatus, lettersOf, error) {
	status, letters := router.PartitionStatus{Partition: partition}, lettersOf{}
	k := s.keys[partition]
	now, err := s.now(ctx)
	if err != nil {
		return status, letters, err
	}
	pipe := s.reader.Pipeline()
	state := pipe.HGetAll(ctx, k.state())
	first, last := pipe.XRangeN(ctx, k.log(), "-", "+", 1), pipe.XRevRangeN(ctx, k.log(), "+", "-", 1)
	ready, handlers, pulls := pipe.ZCard(ctx, k.ready()), pipe.ZCard(ctx, k.handlers()), pipe.ZCard(ctx, k.pulls())
	dead := pipe.ZCard(ctx, k.deadAt())
	if _, err := pipe.Exec(ctx); err != nil {
		return status, letters, unavailable(err, "read the state of a partition")
	}
	status.Backlog = ready.Val() + handlers.Val() + pulls.Val()
	if lease := counter(state.Val()["lease"]); lease > now.UnixMilli() {
		status.Owner = state.Val()["owner"]
	}
	cursor := state.Val()["cursor"]
	if cursor == "" {
		cursor = "0-0"
	}
	if status.Cursor, err = router.ParseStreamID(partition, cursor); err != nil {
		return status, letters, err
	}
	status.Lag = max(0, counter(state.Val()["stored"])-counter(state.Val()["routed"]))
	status.Oldest, status.End = firstOf(partition, first.Val()), lastOf(partition, last.Val())
	if len(first.Val()) > 0 {
		storedBefore, _ := first.Val()[0].Values[countField].(string)
		status.Events = max(counter(state.Val()["stored"])-counter(storedBefore), 0)
	}
	if err := s.CheckLog(ctx, status.Cursor); err != nil {
		status.Alarm = err.Error()
	}
	if reason := state.Val()["held_up"]; reason != "" {
		status.Alarm = reason
	}
	letters = lettersOf{kept: dead.Val(), expired: counter(state.Val()["dead_expired"])}
	return status, letters, s.addLag(ctx, &status, now)
}

// CheckLog tells whether a partition's log reaches as far as its cursor; see router.PartitionStore. miniredis does not tell how far it reached.
func (s *Store) CheckLog(ctx context.Context, cursor router.Position) error {
	info, err := s.reader.XInfoStream(ctx, s.keys[cursor.Partition].log()).Result()
	last := router.Position{Partition: cursor.Partition}
	switch {
	case err != nil && !isReply(err):
		return unavailable(err, "look at the log")
	case err == nil && info.LastGeneratedID == "":
		return nil
	case err == nil:
		if last, err = router.ParseStreamID(cursor.Partition, info.LastGeneratedID); err != nil {
			return err
		}
	}
	if last.Compare(cursor) < 0 {
		return router.Errorf(router.Internal, "the log of partition %d ends at %s, before the cursor %s: it was deleted or restored from an older copy, and events are missing", cursor.Partition, last.ID(), cursor.ID())
	}
	return nil
}

// firstOf is where the first event of some entries stands; zero where there are none.
func firstOf(partition int, entries []redis.XMessage) router.Position {
	position := lastOf(partition, entries[:min(len(entries), 1)])
	if len(entries) == 0 {
		return position
	}
	return appendRecords(nil, position, entries[0])[0].Position
}

// lastOf is where the last event of some entries stands.
func lastOf(partition int, entries []redis.XMessage) router.Position {
	position := router.Position{Partition: partition}
	if len(entries) > 0 {
		if p, err := router.ParseStreamID(partition, entries[len(entries)-1].ID); err == nil {
			position = p
		}
	}
	return position
}

// addLag tells how many events are accepted and not yet routed, and how old the oldest of them is.
func (s *Store) addLag(ctx context.Context, status *router.PartitionStatus, now time.Time) error {
	if status.End.Compare(status.Cursor) <= 0 {
		status.Lag = 0
		return nil
	}
	next, err := s.ReadLog(ctx, status.Cursor, 1, 0)
	if err == nil && len(next) > 0 {
		status.LagAge = max(0, now.Sub(next[0].Position.AcceptedAt()))
	}
	return err
}
