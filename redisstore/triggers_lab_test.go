package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/internal/scenario"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// lab runs triggers on a store, batch by batch, as a router would, with a clock of its own.
type lab struct {
	store    *redisstore.Store
	raw      *redis.Client
	clock    testClock // nil: the server's
	prefix   string    // of all keys
	triggers []*router.CompiledTrigger
	cursor   router.Cursor
	ids      map[router.Position]string // of events
}

const labStart = 1_700_000_000_000

// eachLab runs a test on miniredis and on a real Redis.
func eachLab(t *testing.T, run func(t *testing.T, l *lab), change ...func(*redisstore.Config)) {
	t.Run("miniredis", func(t *testing.T) {
		mini := redistest.Mini(t)
		l := newLab(t, mini.Addr(), change...)
		l.clock = miniClock{mini}
		run(t, l)
	})
	t.Run("redis", func(t *testing.T) {
		addr, _ := redistest.Shared(t)
		l := newLab(t, addr, change...)
		w := &world{store: l.store, raw: l.raw, clockKey: strings.TrimSuffix(l.prefix, ":{0}:") + ":clock"}
		l.clock = newFalseClock(t, w)
		run(t, l)
	})
}

func newLab(t testing.TB, addr string, change ...func(*redisstore.Config)) *lab {
	l := &lab{store: open(t, addr, change...), raw: redistest.Client(t, addr)}
	l.prefix = strings.TrimSuffix(redisstore.Key(l.store, "state"), "state")
	return l
}

// begin empties the namespace and defines the triggers.
func (l *lab) begin(t require.TestingT, triggers ...router.Trigger) {
	ctx := context.Background()
	keys, err := l.raw.Keys(ctx, l.prefix+"*").Result()
	require.NoError(t, err)
	if len(keys) > 0 {
		require.NoError(t, l.raw.Del(ctx, keys...).Err())
	}
	require.NoError(t, l.raw.HSet(ctx, l.prefix+"state", "window", 1000).Err())
	l.cursor, l.triggers, l.ids = router.Cursor{}, nil, map[router.Position]string{}
	for i, trigger := range triggers {
		trigger.ID = fmt.Sprintf("trg_%026d", i)
		c, err := trigger.Compile()
		require.NoError(t, err)
		l.triggers = append(l.triggers, c)
	}
	if l.clock != nil {
		l.clock.set(labStart)
	}
}

// publish stores an event at a time, counted from the lab's beginning.
func (l *lab) publish(t require.TestingT, at int64, events ...router.Event) {
	l.clock.set(labStart + at)
	for i, r := range l.store.Append(context.Background(), events) {
		require.NoError(t, r.Err)
		l.ids[r.Position] = events[i].ID()
	}
}

// unread is the log behind the cursor.
func (l *lab) unread(t require.TestingT) []router.Record {
	records, err := l.store.ReadLog(context.Background(), l.cursor.Position, 10000, 0)
	require.NoError(t, err)
	return records
}

// route applies all of the log, at most so many events in a call, and then settles deadlines until nothing is due.
func (l *lab) route(t require.TestingT, most int) (firings []router.Event) {
	for {
		records := l.unread(t)
		if len(records) == 0 {
			return firings
		}
		for len(records) > 0 {
			n := min(most, len(records))
			l.apply(t, l.batch(records[:n]))
			for _, r := range records[:n] {
				if strings.HasPrefix(r.Event.Source(), "/streamlatch/") {
					firings = append(firings, r.Event)
				}
			}
			records = records[n:]
		}
		l.settle(t, most)
	}
}

func (l *lab) apply(t require.TestingT, b router.Batch) router.Applied {
	applied, err := l.store.Apply(context.Background(), b)
	require.NoError(t, err)
	require.Equal(t, router.Done, applied.Status, "%+v", applied)
	l.cursor = applied.Cursor
	return applied
}

// settle settles all that is due, so many partials in a call, unless there are events that have to be applied before.
func (l *lab) settle(t require.TestingT, page int) {
	for {
		due, err := l.store.DuePartials(context.Background(), 0, time.Time{}, func(string, uint64) bool { return true }, page)
		require.NoError(t, err)
		if len(due.Triggers) == 0 {
			return
		}
		if !l.apply(t, l.settlement(due)).Settled {
			return
		}
	}
}

func (l *lab) settlement(due router.Due) router.Batch {
	b := router.Batch{From: l.cursor, To: l.cursor}
	for _, d := range due.Triggers {
		for _, c := range l.triggers {
			if c.ID == d.Trigger {
				b.Work.Triggers = append(b.Work.Triggers, scenario.NewBatch(l.cursor, nil, c).Work.Triggers...)
			}
		}
		for _, hash := range d.Partials {
			b.Work.Offers = append(b.Work.Offers, router.Offer{Partial: len(b.Work.Partials), Event: -1})
			b.Work.Partials = append(b.Work.Partials, router.WorkPartial{Trigger: len(b.Work.Triggers) - 1, Hash: hash})
		}
	}
	return b
}

func (l *lab) batch(records []router.Record) router.Batch {
	return scenario.NewBatch(l.cursor, records, l.triggers...)
}
