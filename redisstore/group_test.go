package redisstore_test

import (
	"context"
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

// appendMany stores events in one call and returns their records.
func appendMany(t *testing.T, s *redisstore.Store, first, n int) []router.Record {
	t.Helper()
	events := make([]router.Event, n)
	for i := range events {
		events[i] = event(t, fmt.Sprint(first+i), "x.y")
	}
	records := make([]router.Record, n)
	for i, r := range s.Append(t.Context(), events) {
		require.NoError(t, r.Err)
		records[i] = router.Record{Position: r.Position, Event: events[i]}
	}
	return records
}

func TestEventsAreStoredInGroupsAndEveryWayOfReadingFindsThem(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		var all []router.Record
		for i, n := range []int{1, 200, 3, 64, 65, 1} {
			all = append(all, appendMany(t, s, 1000*i, n)...)
		}
		entries := redistest.Client(t, addr).XLen(t.Context(), redisstore.Key(s, "log")).Val()
		require.EqualValues(t, 1+4+1+1+2+1, entries, "groups of 64 at most")

		for i, r := range all {
			forward, err := s.ReadLog(t.Context(), r.Position, 7, 0)
			require.NoError(t, err)
			require.Equal(t, all[i+1:min(i+8, len(all))], nonNil(forward))
			back, err := s.ReadLogReverse(t.Context(), r.Position, 3)
			require.NoError(t, err)
			wanted := slices.Clone(all[max(i-2, 0) : i+1])
			slices.Reverse(wanted)
			require.Equal(t, wanted, back)
		}
		positions := []router.Position{all[70].Position, all[0].Position, all[len(all)-1].Position, all[69].Position, all[70].Position}
		for range 2 { // from the log, and remembered
			loaded, err := s.LoadEvents(t.Context(), 0, positions)
			require.NoError(t, err)
			require.Equal(t, []router.Record{all[70], all[0], all[len(all)-1], all[69], all[70]}, loaded)
		}
		status, err := s.Status(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, len(all), status.Partitions[0].Events)
		require.Equal(t, all[0].Position, status.Partitions[0].Oldest)
		require.Equal(t, all[len(all)-1].Position, status.Partitions[0].End)
	})
}

func nonNil(records []router.Record) []router.Record {
	return append([]router.Record{}, records...)
}

func TestAGroupHoldsNoMoreBytesThanItMayUnlessOneEventDoes(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		large := make([]router.Event, 4)
		for i := range large {
			var err error
			large[i], err = router.NewEvent(router.EventFields{ID: fmt.Sprint(i), Source: "/t", Type: "x.y", Data: strings.Repeat("x", 10<<10), DataKind: router.TextData, DataContentType: "text/plain"})
			require.NoError(t, err)
		}
		for _, r := range s.Append(t.Context(), large) {
			require.NoError(t, r.Err)
		}
		require.EqualValues(t, 4, redistest.Client(t, addr).XLen(t.Context(), redisstore.Key(s, "log")).Val())
	})
}

func TestWhatIsNoGroupIsARecordThatCannotBeDecoded(t *testing.T) {
	good := redisstore.Entry(event(t, "a", "x.y"), event(t, "b", "x.y"))
	last := router.Position{MS: 5, Seq: 9}
	require.Len(t, redisstore.Records(last, redisstore.EntryOf(good)), 2)
	for name, bytes := range map[string]string{
		"nothing": "", "another form": "\x01" + good[1:], "cut short": good[:len(good)-1], "too long": good + "x", "no events": "\x02\x00",
		"a count without end": "\x02" + strings.Repeat("\xff", 20), "a length without end": "\x02\x01" + strings.Repeat("\xff", 20),
		"a length beyond the end": "\x02\x01\x7fx",
	} {
		records := redisstore.Records(last, redisstore.EntryOf(bytes))
		require.Len(t, records, 1, name)
		require.Error(t, records[0].Err, name)
		require.Equal(t, last, records[0].Position, name)
		require.Equal(t, bytes, records[0].Raw, name)
	}
	early := redisstore.Records(router.Position{MS: 5, Seq: 0}, redisstore.EntryOf(good))
	require.Len(t, early, 1, "more events than positions")
	require.Error(t, early[0].Err)
}

func TestAReaderFollowsWhatThisProcessAppendsWithoutReadingAndMissesNothingOfOthers(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		namespace := redistest.Namespace(t)
		here := func(c *redisstore.Config) { c.Namespace = namespace }
		mine, other := open(t, addr, here), open(t, addr, here)
		var wanted []router.Record
		at := router.Position{}
		read := func() {
			t.Helper()
			for at != wanted[len(wanted)-1].Position {
				records, err := mine.ReadLog(t.Context(), at, 50, 5*time.Second)
				require.NoError(t, err)
				require.NotEmpty(t, records)
				first := slices.IndexFunc(wanted, func(r router.Record) bool { return r.Position.Compare(at) > 0 })
				require.Equal(t, wanted[first:first+len(records)], records)
				at = records[len(records)-1].Position
			}
		}
		for i := range 30 {
			wanted = append(wanted, appendMany(t, mine, 1000*i, 3+i)...)
			if i%3 == 0 {
				wanted = append(wanted, appendMany(t, other, 1000*i+500, 2)...)
			}
			if i%2 == 0 {
				read()
			}
		}
		read()

		reads := 0
		interleaveReads(mine, func() { reads++ })
		for i := range 20 {
			wanted = append(wanted, appendMany(t, mine, 100_000+1000*i, 5)...)
			read()
		}
		require.Zero(t, reads, "what was appended here is at hand")
	})
}

func TestWhatAFailoverLostIsNotApplied(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	kept := appendMany(t, s, 0, 3)
	client := redistest.Client(t, addr)
	state := client.HGetAll(t.Context(), redisstore.Key(s, "state")).Val()
	lost := appendMany(t, s, 10, 3)
	// A replica of Redis takes over that had not heard of these, and others come to stand behind them.
	require.NoError(t, client.Do(t.Context(), "XTRIM", redisstore.Key(s, "log"), "MAXLEN", 0).Err())
	require.NoError(t, client.Del(t.Context(), redisstore.Key(s, "log"), redisstore.Key(s, "seen0"), redisstore.Key(s, "seen1"), redisstore.Key(s, "seen2")).Err())
	entry := redisstore.Entry(kept[0].Event, kept[1].Event, kept[2].Event)
	require.NoError(t, client.Do(t.Context(), "XADD", redisstore.Key(s, "log"), kept[2].Position.ID(), "n", "0", "e", entry).Err())
	require.NoError(t, client.HSet(t.Context(), redisstore.Key(s, "state"), "floor", state["floor"], "seq", state["seq"], "stored", state["stored"]).Err())
	d, err := s.Definitions(t.Context(), 0)
	require.NoError(t, err)
	batch := router.Batch{Token: d.Tokens[0], Events: 6, To: router.Cursor{Position: lost[2].Position}}
	for range 2 {
		applied, err := s.Apply(t.Context(), batch)
		require.NoError(t, err)
		require.Equal(t, router.Fenced, applied.Status)
		require.Equal(t, router.Cursor{}, applied.Cursor)
		appendMany(t, open(t, addr, sameNamespace(s)), 20, 1)
	}
	records, err := s.ReadLog(t.Context(), kept[2].Position, 10, time.Second)
	require.NoError(t, err)
	require.Equal(t, []string{"20"}, idsOf(records), "what was lost is forgotten")
	batch.Events, batch.To.Position = 4, records[0].Position
	applied, err := s.Apply(context.WithoutCancel(t.Context()), batch)
	require.NoError(t, err)
	require.Equal(t, router.Done, applied.Status)
}

func idsOf(records []router.Record) (ids []string) {
	for _, r := range records {
		ids = append(ids, r.Event.ID())
	}
	return ids
}
