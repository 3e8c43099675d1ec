package redisstore_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// stored is what Redis holds of a partition, in a form that the model can be brought into too.
type stored struct {
	Cursor   string
	Target   string
	Stored   int64
	Routed   int64
	Queues   map[string]storedQueue // those that hold anything
	Ready    map[string]int64
	Handlers map[string]int64
	Pulls    map[string]int64
	Dead     map[string]int64
	Letters  map[string]string // outcomes of the attempts
	Paused   map[string]string
	Open     map[string]string
	Gone     map[string]string // and the last ID that may still be queued
}

type storedQueue struct {
	Fresh    []string
	Retries  map[string]int64
	Leases   map[string]int64
	Attempts map[string]string // number, and outcomes
	Receipts map[string]string
	Counters map[string]string
	Permits  map[string]int64
	Rate     map[string]int64
	Breaker  map[string]string
	Lanes    map[string]string
	Waiting  []string
}

// retained is what Redis keeps of events: which, beyond the log, and for whom.
type retained struct {
	horizon router.Position
	log     []router.Position
	entries []router.Position // the last event of each
	copies  map[string]string
	holds   map[string]string
}

// look reads all that a partition holds.
func (w *world) look(t require.TestingT, partition int) (stored, retained) {
	ctx := context.Background()
	key := func(name string) string { return redisstore.KeyIn(w.store, partition, name) }
	pipe := w.raw.Pipeline()
	state, log := pipe.HGetAll(ctx, key("state")), pipe.XRange(ctx, key("log"), "-", "+")
	ready, handlers := pipe.ZRangeWithScores(ctx, key("ready"), 0, -1), pipe.ZRangeWithScores(ctx, key("handlers"), 0, -1)
	letters := pipe.HGetAll(ctx, key("dead"))
	pulls := pipe.ZRangeWithScores(ctx, key("pulls"), 0, -1)
	copies, holds := pipe.HGetAll(ctx, key("copies")), pipe.HGetAll(ctx, key("holds"))
	paused, open := pipe.HGetAll(ctx, key("paused")), pipe.HGetAll(ctx, key("open"))
	dead, gone := pipe.ZRangeWithScores(ctx, key("dead_at"), 0, -1), pipe.HGetAll(ctx, key("gone"))
	queues := map[string]func() storedQueue{}
	for id := range w.m.partitions[partition].queues {
		queues[id] = w.lookAtQueue(ctx, pipe, key, id)
	}
	calls, err := pipe.Exec(ctx)
	require.NoError(t, err, "%v", calls)

	s := stored{
		Cursor: state.Val()["cursor"], Target: state.Val()["target"], Stored: integer(state.Val()["stored"]), Routed: integer(state.Val()["routed"]),
		Ready: scores(ready.Val()), Handlers: scores(handlers.Val()), Pulls: scores(pulls.Val()), Dead: scores(dead.Val()), Gone: gone.Val(), Paused: paused.Val(), Open: open.Val(), Letters: map[string]string{}, Queues: map[string]storedQueue{},
	}
	for name, text := range letters.Val() {
		_, s.Letters[name], _ = strings.Cut(summary(text), " ")
	}
	for id, read := range queues {
		s.add(id, read())
	}
	return s, w.retained(t, partition, state.Val()["horizon"], log.Val(), copies.Val(), holds.Val())
}

func (w *world) lookAtQueue(ctx context.Context, pipe redis.Pipeliner, key func(string) string, id string) func() storedQueue {
	fresh, attempts, counters := pipe.LRange(ctx, key("q:"+id), 0, -1), pipe.HGetAll(ctx, key("a:"+id)), pipe.HGetAll(ctx, key("c:"+id))
	retries, leases := pipe.ZRangeWithScores(ctx, key("r:"+id), 0, -1), pipe.ZRangeWithScores(ctx, key("l:"+id), 0, -1)
	breaker, lanes, waiting := pipe.HGetAll(ctx, key("b:"+id)), pipe.HGetAll(ctx, key("o:"+id)), pipe.ZRange(ctx, key("w:"+id), 0, -1)
	permits, rate := pipe.ZRangeWithScores(ctx, key("p:"+id), 0, -1), pipe.MGet(ctx, key("n:"+id))
	return func() storedQueue {
		q := storedQueue{
			Fresh: fresh.Val(), Retries: microScores(retries.Val()), Leases: scores(leases.Val()), Attempts: map[string]string{}, Receipts: map[string]string{}, Counters: counters.Val(),
			Permits: scores(permits.Val()), Rate: w.m.rates[id].count(w.m.now, rateOf(rate.Val()[0])), Breaker: breaker.Val(), Lanes: lanes.Val(), Waiting: waiting.Val(),
		}
		delete(q.Counters, "popped") // how the script finds its place again, which nobody else sees
		for field, text := range attempts.Val() {
			if entry, ok := strings.CutSuffix(field, " receipt"); ok {
				q.Receipts[entry] = text
			} else {
				q.Attempts[field] = summary(text)
			}
		}
		return q
	}
}

// add takes a queue in unless it is empty.
func (s *stored) add(id string, q storedQueue) {
	if len(q.Fresh)+len(q.Retries)+len(q.Leases)+len(q.Attempts)+len(q.Receipts)+len(q.Counters)+len(q.Permits)+len(q.Rate)+len(q.Breaker)+len(q.Lanes)+len(q.Waiting) > 0 {
		s.Queues[id] = q
	}
}

// rateOf reads the permits of a rate: how many of each date.
func rateOf(stored any) map[int64]int {
	permits := map[int64]int{}
	text, _ := stored.(string)
	for one := range strings.FieldsSeq(text) {
		date, n, _ := strings.Cut(one, ":")
		permits[integer(date)] = int(integer(n))
	}
	return permits
}

// summary brings the attempts of a delivery into the form "2 status expired".
func summary(text string) string {
	count, lines, _ := strings.Cut(text, "\n")
	words := []string{count}
	for line := range strings.Lines(lines) {
		_, rest, _ := strings.Cut(line, `"outcome":"`)
		outcome, _, _ := strings.Cut(rest, `"`)
		words = append(words, outcome)
	}
	return strings.Join(words, " ")
}

func (w *world) retained(t require.TestingT, partition int, horizon string, log []redis.XMessage, copies, holds map[string]string) retained {
	r := retained{horizon: router.Position{Partition: partition}, copies: copies, holds: holds}
	var err error
	if horizon != "" {
		r.horizon, err = router.ParseStreamID(partition, horizon)
		require.NoError(t, err)
	}
	for _, entry := range log {
		position, err := router.ParseStreamID(partition, entry.ID)
		require.NoError(t, err)
		r.entries = append(r.entries, position)
		for _, record := range redisstore.Records(position, entry) {
			require.NoError(t, record.Err)
			r.log = append(r.log, record.Position)
		}
	}
	return r
}

// expected is what the model wants a partition to hold.
func (w *world) expected(p *modelPartition) stored {
	s := stored{
		Stored: int64(len(p.log)), Routed: p.routed, Gone: map[string]string{}, Paused: map[string]string{}, Open: map[string]string{}, Letters: map[string]string{}, Queues: map[string]storedQueue{},
		Ready: p.schedules[router.WebhookSink], Handlers: p.schedules[router.HandlerSink], Pulls: p.schedules[router.PullSink], Dead: map[string]int64{},
	}
	if p.cursor.Position.MS > 0 {
		s.Cursor, s.Target = p.cursor.Position.ID(), p.cursor.Target
	}
	for id, last := range p.gone {
		s.Gone[id] = last.ID()
	}
	for id, b := range w.m.breakers {
		if b.open > 0 && redisstore.Home(w.store, id) == p.number {
			s.Open[id] = decimal(b.open)
		}
	}
	for id, pause := range p.paused {
		s.Paused[id] = decimal(pause.Since.UnixMilli()) + " " + string(pause.Reason)
	}
	for name, letter := range p.dead {
		s.Dead[name.String()], s.Letters[name.String()] = letter.At.UnixMilli(), outcomes(letter.Attempts)
	}
	for id := range p.queues {
		q := p.queue(id).expected()
		if redisstore.Home(w.store, id) == p.number {
			maps.Copy(q.Permits, w.m.permits[id])
			if b := w.m.breakers[id]; b != nil {
				q.Breaker = b.fields
			}
			q.Rate = w.m.rates[id].count(w.m.now, w.m.rates[id].permits)
		}
		s.add(id, q)
	}
	return s
}

func (q *modelQueue) expected() storedQueue {
	s := storedQueue{Fresh: []string{}, Retries: q.named(q.retries), Leases: q.named(q.leases), Lanes: map[string]string{}, Waiting: []string{}, Attempts: map[string]string{}, Receipts: map[string]string{}, Counters: map[string]string{}, Permits: map[string]int64{}, Rate: map[string]int64{}, Breaker: map[string]string{}}
	for _, entry := range q.fresh {
		s.Fresh = append(s.Fresh, q.name(entry))
	}
	for lane, entry := range q.first {
		s.Lanes[lane] = q.name(entry)
		for _, behind := range q.waiting[lane] {
			s.Waiting = append(s.Waiting, fmt.Sprintf("%s %020d-%020d %s", lane, behind.Position.MS, behind.Position.Seq, q.name(behind)))
		}
	}
	slices.Sort(s.Waiting)
	for entry, attempts := range q.attempts {
		s.Attempts[q.name(entry)] = strings.TrimSpace(strconv.Itoa(attempts.count) + " " + outcomes(attempts.list))
	}
	for entry, r := range q.receipts {
		s.Receipts[q.name(entry)] = r.String()
	}
	for name, n := range map[string]int64{"delivered": q.delivered, "dead": q.dead, "not_queued": q.notQueued, "over_cap": q.overCap, "last_success": q.success, "last_failure": q.failure} {
		if n != 0 {
			s.Counters[name] = decimal(n)
		}
	}
	if q.failure != 0 {
		s.Counters["last_error"] = q.lastError
	}
	return s
}

func outcomes(attempts []router.Attempt) string {
	words := make([]string, len(attempts))
	for i, a := range attempts {
		words[i] = string(a.Outcome)
	}
	return strings.Join(words, " ")
}

// names are what the outstanding deliveries of an event are called.
func (q *modelQueue) names(position router.Position) (names []string) {
	for _, entry := range q.outstanding() {
		if entry.Position == position {
			names = append(names, q.name(entry))
		}
	}
	return names
}

func (q *modelQueue) named(set map[router.Entry]int64) map[string]int64 {
	named := make(map[string]int64, len(set))
	for entry, at := range set {
		named[q.name(entry)] = at
	}
	return named
}

// microScores are the scores in microseconds.
func microScores(members []redis.Z) map[string]int64 {
	set := make(map[string]int64, len(members))
	for _, z := range members {
		name, _ := z.Member.(string)
		set[name] = int64(math.Round(1000 * z.Score))
	}
	return set
}

func scores(members []redis.Z) map[string]int64 {
	set := make(map[string]int64, len(members))
	for _, z := range members {
		name, _ := z.Member.(string)
		set[name] = int64(z.Score)
	}
	return set
}

func decimal(n int64) string { return strconv.FormatInt(n, 10) }

func integer(text string) int64 {
	n, _ := strconv.ParseInt(text, 10, 64) // "" is 0
	return n
}
