package redisstore_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// spread is a deployment with triggers on several partitions, and a clock of its own.
type spread struct {
	store *redisstore.Store
	clock testClock // nil: the server's
	ms    int64     // what it shows
}

// eachSpread runs a test on miniredis and on a real Redis. Each call of make gives an empty deployment of so many partitions.
func eachSpread(t *testing.T, run func(t *testing.T, make func(t *testing.T, partitions int) *spread)) {
	t.Run("miniredis", func(t *testing.T) { run(t, miniSpread) })
	t.Run("redis", func(t *testing.T) {
		addr, _ := redistest.Shared(t)
		run(t, func(t *testing.T, partitions int) *spread {
			namespace := redistest.Namespace(t)
			s := open(t, addr, func(c *redisstore.Config) { c.Namespace, c.Partitions = namespace, partitions })
			w := &world{store: s, raw: redistest.Client(t, addr), clockKey: namespace + ":clock"}
			return newSpread(s, newFalseClock(t, w))
		})
	})
}

func miniSpread(t *testing.T, partitions int) *spread {
	mini := redistest.Mini(t)
	return newSpread(open(t, mini.Addr(), func(c *redisstore.Config) { c.Partitions = partitions }), miniClock{mini})
}

func newSpread(s *redisstore.Store, clock testClock) *spread {
	d := &spread{store: s, clock: clock}
	d.set(0)
	return d
}

// set sets the clock, counted from the beginning of a lab.
func (d *spread) set(ms int64) {
	d.ms = ms
	d.clock.set(labStart + ms)
}

// define creates triggers.
func (d *spread) define(t testing.TB, documents ...string) {
	t.Helper()
	for _, document := range documents {
		_, err := d.store.CreateTrigger(t.Context(), draft(t, document).Create())
		require.NoError(t, err)
	}
}

// publish stores an event at a time.
func (d *spread) publish(t testing.TB, at int64, e router.Event) {
	t.Helper()
	d.set(at)
	appendOne(t, d.store, e)
}

// settled waits until everything is applied and no deadline has passed; the clock goes on meanwhile, a little.
func (d *spread) settled(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool {
		if d.clock != nil {
			d.set(d.ms + 1)
		}
		return d.quiet(t)
	}, 2*time.Minute, 10*time.Millisecond, "everything comes to rest")
}

// quiet tells whether there is nothing to do.
func (d *spread) quiet(t testing.TB) bool {
	t.Helper()
	status, err := d.store.Status(t.Context())
	require.NoError(t, err)
	for _, p := range status.Partitions {
		if p.Cursor != p.End {
			return false
		}
	}
	for p := range status.Partitions {
		inbox, err := d.store.ReadInbox(t.Context(), p)
		require.NoError(t, err)
		if slices.ContainsFunc(inbox.Lists, func(l router.InboxList) bool { return len(l.Entries) > 0 }) {
			return false
		}
		due, err := d.store.DuePartials(t.Context(), p, time.Time{}, func(string, uint64) bool { return true }, 1)
		require.NoError(t, err)
		if len(due.Triggers) > 0 {
			return false
		}
	}
	return true
}

// records is what all logs hold, in the order in which triggers meet it.
func (d *spread) records(t testing.TB) (all []router.Record) {
	t.Helper()
	for p := range d.store.Partitions() {
		for after := (router.Position{Partition: p}); ; after = all[len(all)-1].Position {
			records, err := d.store.ReadLog(t.Context(), after, 10000, 0)
			require.NoError(t, err)
			if len(records) == 0 {
				break
			}
			all = append(all, records...)
		}
	}
	slices.SortFunc(all, func(a, b router.Record) int {
		return cmp.Or(a.Position.Compare(b.Position), cmp.Compare(a.Position.Partition, b.Position.Partition))
	})
	return all
}

// isFiring tells whether a trigger made the event.
func isFiring(r router.Record) bool { return strings.HasPrefix(r.Event.Source(), "/streamlatch/") }

// fired is what triggers have made of events: of each firing the trigger, the time and what it joined.
func (d *spread) fired(t testing.TB) (firings []string) {
	t.Helper()
	ids := map[string]bool{}
	for _, r := range d.records(t) {
		require.NoError(t, r.Err)
		if !isFiring(r) {
			continue
		}
		require.False(t, ids[r.Event.ID()], "no firing is there twice: %s", r.Event.ID())
		ids[r.Event.ID()] = true
		at, _ := r.Event.Time()
		var data struct {
			Events []struct {
				Name  string
				Event struct{ ID string }
			}
		}
		require.NoError(t, json.Unmarshal(r.Event.Data(), &data))
		text := fmt.Sprintf("%s %s %s:", at.Format("15:04:05.000"), r.Event.Type(), r.Event.Subject())
		for _, e := range data.Events {
			text += " " + e.Name + "=" + e.Event.ID
		}
		firings = append(firings, text)
	}
	slices.Sort(firings)
	return firings
}

// requireModel checks that everything is as the reference model has it that meets all events in their order: firings, byte for byte, what is recorded, and what is
// counted, when all deadlines before a time are settled. It returns how much fired.
func (d *spread) requireModel(t testing.TB, at time.Time) (firings int) {
	t.Helper()
	records := d.records(t)
	triggers, err := d.store.Triggers(t.Context(), "", 100)
	require.NoError(t, err)
	for _, one := range triggers {
		c, err := one.Compile()
		require.NoError(t, err)
		model := router.NewModel(c, router.ModelConfig{Partitions: d.store.Partitions()})
		var want, got []string
		for _, r := range records {
			require.NoError(t, r.Err)
			if r.Event.Source() == c.EmitSource() {
				got = append(got, eventText(r.Event))
			}
			want = append(want, firingTexts(t, model.Offer(r))...)
		}
		want = append(want, firingTexts(t, model.Advance(at))...)
		slices.Sort(want)
		slices.Sort(got)
		require.Equal(t, want, got)
		firings += len(got)
		left, _, err := d.store.Partials(t.Context(), c, "", 1000)
		require.NoError(t, err)
		require.ElementsMatch(t, partialTexts(c, model.Partials(at), at.UnixMilli()), partialTexts(c, left, at.UnixMilli()))
		status, err := d.store.TriggerStatus(t.Context(), one)
		require.NoError(t, err)
		wanted := model.Status()
		wanted.Partials, status.Partials = 0, 0 // what can be of no use any more may still be there
		require.Equal(t, wanted, status)
	}
	return firings
}

// now is the time that the clock shows.
func (d *spread) now() time.Time { return time.UnixMilli(labStart + d.ms) }

// scattered is an event whose partition has nothing to do with its order.
func scattered(t testing.TB, id, typ, order string) router.Event {
	t.Helper()
	e, err := router.NewEvent(router.EventFields{
		ID: id, Source: "/test", Type: typ, Data: `{"order":"` + order + `","by":"` + id[len(id)-1:] + `"}`, DataKind: router.JSONData,
	})
	require.NoError(t, err)
	return e
}
