package redisstore_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// world is a store, the model of what it must hold, and a clock that both go by.
type world struct {
	store    *redisstore.Store
	raw      *redis.Client
	clock    testClock
	clockKey string        // of a false clock
	retain   time.Duration // of the log
	keep     int64         // how many entries the log may keep
	slack    int           // how many entries below the horizon the log may keep, because they fill no node
	names    map[string]string
	m        *model
	theme    theme
	seen     []retained       // of each partition, when it was last looked at
	held     []router.Claimed // what claims have returned and nobody has settled, also when the lease has run out
	pulled   []pulledHere     // what pulls have returned and nobody has answered, also when the receipt is good no more
	tokens   int              // given to pulls
	pages    []replayPage     // of replays, some of them long out of date
	losing   atomic.Bool      // the next reply to append is lost
	during   func(script string)
	created  int   // names given to subscriptions
	lastMade int64 // when the last subscription was created
}

// testClock sets the time of a server.
type testClock interface {
	set(ms int64)
}

// ProcessHook lets other work in between the calls of one housekeeping, and loses replies.
func (w *world) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		script := ""
		if hash, ok := cmd.Args()[0].(string); ok && strings.EqualFold(hash, "evalsha") {
			hash, _ = cmd.Args()[1].(string)
			script = w.names[hash]
		}
		if w.during != nil && script != "" {
			f := w.during
			w.during = nil // what goes in between is not interrupted itself
			f(script)
			w.during = f
		}
		err := next(ctx, cmd)
		if w.during != nil && err == nil {
			w.housekept(script, cmd)
		}
		if script == "append" && w.losing.CompareAndSwap(true, false) {
			return errors.New("the connection broke before the reply came")
		}
		return err
	}
}

// DialHook changes nothing.
func (w *world) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessPipelineHook changes nothing.
func (w *world) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// housekept has the model do what a call of housekeeping has done.
func (w *world) housekept(script string, cmd redis.Cmder) {
	arg := func(i int) string { // of the script's arguments, from 1
		keys, _ := cmd.Args()[2].(int)
		return textOf(cmd.Args()[2+keys+i])
	}
	switch script {
	case "purge":
		p := w.partitionOf(cmd)
		if p.purge(arg(1)) && redisstore.Home(w.store, arg(1)) == p.number {
			delete(w.m.permits, arg(1))
			delete(w.m.rates, arg(1))
			delete(w.m.breakers, arg(1))
		}
	case "expire":
		w.m.expire(w.partitionOf(cmd))
	case "rotate":
		w.partitionOf(cmd).rotate(w.m.now, dedupeWindow)
	}
}

func textOf(arg any) string {
	switch arg := arg.(type) {
	case string:
		return arg
	case int:
		return decimal(int64(arg))
	case int64:
		return decimal(arg)
	}
	return ""
}

// partitionOf is the partition that a script works on: the one whose state is its first key.
func (w *world) partitionOf(cmd redis.Cmder) *modelPartition {
	for n, p := range w.m.partitions {
		if cmd.Args()[3] == redisstore.KeyIn(w.store, n, "state") {
			return p
		}
	}
	return nil
}

// begin empties the server and starts a new history.
func (w *world) begin(t require.TestingT, now int64) {
	ctx := context.Background()
	require.NoError(t, w.raw.FlushAll(ctx).Err())
	redisstore.Forget(w.store)
	w.m = newModel(now, w.store.Partitions(), dedupeWindow, deadRetention)
	w.held, w.seen, w.created, w.lastMade, w.during = nil, make([]retained, w.store.Partitions()), 0, 0, nil
	w.pulled, w.pages = nil, nil
	w.m.snapshots = []modelSnapshot{{tokens: make([]string, w.store.Partitions())}}
	for n := range w.seen {
		w.seen[n].horizon.Partition = n
		require.NoError(t, w.raw.HSet(ctx, redisstore.KeyIn(w.store, n, "state"), "window", dedupeWindow.Milliseconds()).Err())
	}
	w.clock.set(now)
}

const (
	subscriptionIDBytes = 30 // sub_ and 26 characters

	dedupeWindow  = 10 * time.Second
	deadRetention = 2 * time.Hour
)

// check compares all that is stored with the model, and holds what must be true whatever the model says.
func (w *world) check(t require.TestingT) {
	for n, p := range w.m.partitions {
		found, kept := w.look(t, n)
		require.Equal(t, w.expected(p), found)
		w.checkPlaces(t, p, found)
		w.checkRetained(t, p, found, kept)
		w.seen[n] = kept
	}
}

// checkPlaces: every delivery that was queued and is not done is in exactly one place; nothing that is done is anywhere.
func (w *world) checkPlaces(t require.TestingT, p *modelPartition, found stored) {
	for id, q := range p.queues {
		places := map[string]int{}
		for _, entry := range found.Queues[id].Fresh {
			places[entry]++
		}
		for entry := range found.Queues[id].Retries {
			places[entry]++
		}
		for entry := range found.Queues[id].Leases {
			places[entry]++
		}
		for _, member := range found.Queues[id].Waiting {
			places[member[strings.LastIndexByte(member, ' ')+1:]]++
		}
		for entry := range q.enqueued {
			wanted := 1
			if q.done[entry] {
				wanted = 0
			}
			require.Equal(t, wanted, places[q.name(entry)], "places of %s in the queue of %s", q.name(entry), id)
			delete(places, q.name(entry))
		}
		require.Empty(t, places)
	}
}

// checkRetained: the horizon never goes back and never passes the cursor, the log has all above it, every hold has a reason, a dead letter and what
// the log has lost have one, and a copy is there as long as it is held.
func (w *world) checkRetained(t require.TestingT, p *modelPartition, found stored, kept retained) {
	before := w.seen[p.number]
	require.GreaterOrEqual(t, kept.horizon.Compare(before.horizon), 0)
	if kept.horizon.Compare(before.horizon) > 0 {
		below := kept.horizon.Compare(p.cursor.Position)
		require.True(t, below < 0 || below == 0 && p.cursor.Target == "", "the horizon stays below what is applied")
	}
	gap := len(p.log) - len(kept.log)
	for i, r := range p.log {
		if i >= gap {
			require.Equal(t, r.Position, kept.log[i-gap], "the log ends with what was accepted last")
		} else {
			require.LessOrEqual(t, r.Position.Compare(kept.horizon), 0, "only what is below the horizon goes")
		}
	}
	wanted := map[string]string{}
	holders := map[string]int{}
	require.Empty(t, w.unheld(p, kept), "deliveries whose event is gone")
	for hold := range kept.holds {
		id, holder, _ := strings.Cut(hold, " ")
		position, err := router.ParseStreamID(p.number, id)
		require.NoError(t, err)
		if name, ok := strings.CutPrefix(holder, "dead "); ok {
			require.Contains(t, found.Dead, name, "hold %q", hold)
		} else {
			require.Contains(t, p.queue(holder[:subscriptionIDBytes]).names(position), position.ID()+holder[subscriptionIDBytes:], "hold %q", hold)
			require.LessOrEqual(t, position.Compare(kept.horizon), 0, "hold %q", hold)
		}
		holders[id]++
		wanted["#"+id], wanted[id] = decimal(int64(holders[id])), p.event(position).Encode()
	}
	require.Equal(t, wanted, kept.copies)
}

// unheld lists who needs an event that the log has lost and has no hold on it.
func (w *world) unheld(p *modelPartition, kept retained) (missing []string) {
	inLog := map[router.Position]bool{}
	for _, position := range kept.log {
		inLog[position] = true
	}
	for id, q := range p.queues {
		if _, gone := p.gone[id]; gone {
			continue
		}
		for _, entry := range q.outstanding() {
			position := entry.Position
			holder := strings.Replace(q.name(entry), position.ID(), id, 1)
			if _, ok := kept.holds[position.ID()+" "+holder]; !ok && !inLog[position] {
				missing = append(missing, id+" "+q.name(entry))
			}
		}
	}
	for name := range p.dead {
		if _, ok := kept.holds[name.entry.Position.ID()+" dead "+name.String()]; !ok {
			missing = append(missing, "dead "+name.String())
		}
	}
	return missing
}

// checkEvents: every outstanding delivery can be made, however much was trimmed.
func (w *world) checkEvents(t require.TestingT) {
	for n, p := range w.m.partitions {
		var positions []router.Position
		var wanted []router.Record
		for id, q := range p.queues {
			if _, gone := p.gone[id]; gone {
				continue
			}
			for _, entry := range q.outstanding() {
				positions = append(positions, entry.Position)
				wanted = append(wanted, router.Record{Position: entry.Position, Event: p.event(entry.Position)})
			}
		}
		if len(positions) == 0 {
			continue
		}
		found, err := w.store.LoadEvents(context.Background(), n, positions)
		require.NoError(t, err)
		require.Equal(t, wanted, found)
	}
}
