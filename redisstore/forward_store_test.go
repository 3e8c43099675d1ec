package redisstore_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// two is a store of two partitions with a trigger, pair.
func two(t *testing.T, addr string) (*redisstore.Store, *router.CompiledTrigger, router.Definitions) {
	t.Helper()
	s := open(t, addr, func(c *redisstore.Config) { c.Partitions = 2 })
	made, err := s.CreateTrigger(t.Context(), draft(t, pair).Create())
	require.NoError(t, err)
	compiled, err := made.Compile()
	require.NoError(t, err)
	d, err := s.Definitions(t.Context(), 0)
	require.NoError(t, err)
	return s, compiled, d
}

// offered is an event of partition 0 for pair's partial that has no key.
func offered(t *testing.T, trigger *router.CompiledTrigger, at router.Position, leaf int) router.Forwarded {
	t.Helper()
	return router.Forwarded{Position: at, Event: event(t, at.ID(), []string{"a", "b"}[leaf]), Offers: []router.ForwardedOffer{
		{Trigger: trigger.ID, Generation: trigger.Generation, Hash: router.KeyHash{7}, Key: "s\x017", Leaves: []router.MetLeaf{{Leaf: leaf, Distinct: [16]byte{1, 2}}}},
	}}
}

func forwardTo1(t *testing.T, s *redisstore.Store, token string, after router.Cursor, entries ...router.Forwarded) (router.ApplyStatus, router.Cursor) {
	t.Helper()
	status, last, err := s.Forward(t.Context(), router.Forward{From: 0, To: 1, Token: token, After: after, Entries: entries})
	require.NoError(t, err)
	return status, last
}

func TestWhatIsForwardedAgainIsThereOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s, trigger, d := two(t, addr)
		first, second := offered(t, trigger, router.Position{MS: 5}, 0), offered(t, trigger, router.Position{MS: 5, Seq: 1}, 1)
		second.Offers[0].Reset = true
		status, last := forwardTo1(t, s, d.Tokens[1], router.Cursor{}, first)
		require.Equal(t, router.Done, status)
		require.Equal(t, first.End(), last)
		for _, entries := range [][]router.Forwarded{{first}, {first, second}} {
			status, last = forwardTo1(t, s, d.Tokens[1], router.Cursor{}, entries...)
			require.Equal(t, router.Fenced, status)
			require.Equal(t, first.End(), last)
		}
		status, _ = forwardTo1(t, s, d.Tokens[1], first.End(), second)
		require.Equal(t, router.Done, status)
		inbox, err := s.ReadInbox(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, router.Inbox{Lists: []router.InboxList{{Entries: []router.Forwarded{first, second}}, {}}}, inbox)
	})
}

func TestNothingIsForwardedThatWasMatchedUnderOlderDefinitions(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s, trigger, d := two(t, addr)
		create(t, s, "change", "x")
		status, _ := forwardTo1(t, s, d.Tokens[1], router.Cursor{}, offered(t, trigger, router.Position{MS: 5}, 0))
		require.Equal(t, router.Stale, status)
		inbox, err := s.ReadInbox(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, router.Inbox{Lists: make([]router.InboxList, 2)}, inbox)
	})
}

func TestAMarkIsNeverAheadOfAnEventThatIsNotForwarded(t *testing.T) {
	eachSpread(t, func(t *testing.T, make func(*testing.T, int) *spread) {
		d := make(t, 2)
		const far = labStart + 10_000
		mark := func(wanted int64) int64 {
			at, err := d.store.Mark(t.Context(), 0, wanted)
			require.NoError(t, err)
			return at
		}
		in0 := func(id string) router.Position { // an event in partition 0
			e := event(t, id, "a")
			for n := 0; e.Partition(2) != 0; n++ {
				e = event(t, id+string(rune('a'+n)), "a")
			}
			return appendOne(t, d.store, e)
		}
		passed := func(from, to router.Cursor) {
			token := must(d.store.Definitions(t.Context(), 0)).Tokens[0]
			applied, err := d.store.Apply(t.Context(), router.Batch{From: from, To: to, Token: token})
			require.NoError(t, err)
			require.Equal(t, router.Done, applied.Status)
		}
		require.EqualValues(t, labStart, mark(far), "nothing waits: it is the present")
		d.set(100)
		require.EqualValues(t, labStart, mark(labStart), "as much is known")
		first := in0("first")
		require.EqualValues(t, labStart+100, first.MS)
		d.set(200)
		require.EqualValues(t, labStart, mark(far), "one waits")
		amid := router.Cursor{Position: first, Target: "trg_"}
		passed(router.Cursor{}, amid)
		require.Equal(t, first.MS, mark(far), "the rest of its targets wait")
		passed(amid, router.Cursor{Position: first})
		require.EqualValues(t, labStart+200, mark(far))
		d.set(150) // as after a failover to a slower clock
		second := in0("second")
		require.EqualValues(t, labStart+200, second.MS, "no event comes before the mark")
		passed(router.Cursor{Position: first}, router.Cursor{Position: second})
		require.EqualValues(t, labStart+201, mark(second.MS+1), "the next one comes a millisecond later, so that this one need not wait for the clock")
		require.EqualValues(t, labStart+201, in0("third").MS)
	})
}

// merging is a merge of what two entries of partition 0 have for pair.
func merging(t *testing.T, trigger *router.CompiledTrigger, d router.Definitions, entries ...router.Forwarded) router.Merge {
	t.Helper()
	last := entries[len(entries)-1]
	m := router.Merge{Partition: 1, To: last.End(), Token: d.Tokens[1], Taken: []router.Taken{{From: 0, N: len(entries), Last: last}}}
	m.Work.Triggers = []router.WorkTrigger{{
		ID: trigger.ID, Generation: trigger.Generation, Enabled: trigger.Enabled, Include: trigger.Emit.Include, Program: trigger.Program(), Head: trigger.FiringHead(2),
	}}
	m.Work.Partials = []router.WorkPartial{{Hash: entries[0].Offers[0].Hash, Key: entries[0].Offers[0].Key}}
	for i, e := range entries {
		m.Work.Events = append(m.Work.Events, router.WorkEvent{Position: e.Position, Time: e.Position.MS, Event: e.Event})
		m.Work.Offers = append(m.Work.Offers, router.Offer{Event: i, Leaves: e.Offers[0].Leaves})
	}
	return m
}

func TestAnInboxIsAppliedOnceWhicheverReplicaDoesIt(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s, trigger, d := two(t, addr)
		const past = 1_700_000_000_000 // miniredis' Lua makes arrays of tables by number, and the times of 1970 are small enough for it
		a, b := offered(t, trigger, router.Position{MS: past + 5}, 0), offered(t, trigger, router.Position{MS: past + 6}, 1)
		merge := func(m router.Merge) router.Applied {
			applied, err := s.Merge(t.Context(), m)
			require.NoError(t, err)
			return applied
		}
		m := merging(t, trigger, d, a, b)
		require.Equal(t, router.Fenced, merge(m).Status, "the inbox does not have it, as after a failover")
		forwardTo1(t, s, d.Tokens[1], router.Cursor{}, a, b)
		other := m
		other.Token = "other"
		require.Equal(t, router.Stale, merge(other).Status)
		other = m
		other.Taken = []router.Taken{{From: 0, N: 1, Last: b}}
		require.Equal(t, router.Fenced, merge(other).Status, "the inbox has something else")
		other = m
		other.From = a.End()
		require.Equal(t, router.Fenced, merge(other).Status, "the inbox is not applied that far")

		require.Equal(t, router.Applied{Status: router.Done, Cursor: b.End(), Firings: 1}, merge(m))
		fired, err := s.ReadLog(t.Context(), router.Position{Partition: 1}, 10, 0)
		require.NoError(t, err)
		require.NotZero(t, redisstore.Patience(s, fired[len(fired)-1].Position), "the call that fired told of it")
		require.Equal(t, router.Fenced, merge(m).Status)
		c := offered(t, trigger, router.Position{MS: past + 7}, 0)
		forwardTo1(t, s, d.Tokens[1], b.End(), c)
		other = merging(t, trigger, d, c)
		other.From = router.Cursor{Position: b.Position, Target: "another"}
		require.Equal(t, router.Fenced, merge(other).Status, "the inbox is applied further within that event")
		other.From = b.End()
		require.Equal(t, router.Done, merge(other).Status)
		inbox, err := s.ReadInbox(t.Context(), 1)
		require.NoError(t, err)
		require.Equal(t, router.Inbox{Cursor: c.End(), Lists: make([]router.InboxList, 2)}, inbox)
		firing := must(s.ReadLog(t.Context(), router.Position{Partition: 1}, 10, 0))[0].Event
		require.Contains(t, string(firing.Data()), `"position":"0:1700000000005-0"`, "the position says which partition the event is in")
		require.Contains(t, firing.ID(), ".0:1700000000006-0", "and so does the firing's id")
	})
}

func TestAnInboxIsReadInPartsThatAreNotTooLarge(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s, trigger, d := two(t, addr)
		var entries []router.Forwarded
		for i := range 64 {
			f := offered(t, trigger, router.Position{MS: int64(i)}, 0)
			e, err := router.NewEvent(router.EventFields{ID: "1", Source: "/", Type: "a", DataContentType: "text/plain", Data: strings.Repeat("x", 50_000), DataKind: router.TextData})
			require.NoError(t, err)
			f.Event = e
			entries = append(entries, f)
		}
		forwardTo1(t, s, d.Tokens[1], router.Cursor{}, entries...)
		list := must(s.ReadInbox(t.Context(), 1)).Lists[0]
		require.True(t, list.More)
		require.Len(t, list.Entries, 16, "half a mebibyte of each list, and what was read with it")
		require.Equal(t, entries[:16], list.Entries)
	})
}

func TestWithOnePartitionNothingIsForwarded(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		d := &spread{store: open(t, addr)}
		d.define(t, pair, strings.NewReplacer(`"pair"`, `"silent"`, `"all": [{"event": {"types": ["a"]}}, {"event": {"types": ["b"]}}], "within": "1h"`, `"absent": {"event": {"types": ["a"]}}, "within": "10ms"`).Replace(pair))
		interleave(d.store, func(script string, _ []any) error {
			require.NotContains(t, []string{"forward", "mark", "inbox", "merge"}, script)
			return nil
		})
		start(t, d.store, newSink())
		appendOne(t, d.store, scattered(t, "1", "a", "1"))
		appendOne(t, d.store, scattered(t, "2", "b", "1"))
		eventually(t, func() bool { return len(firingsIn(t, d.store)) == 2 }, "both fire")
		raw := redistest.Client(t, addr)
		require.Empty(t, raw.Keys(t.Context(), redisstore.Key(d.store, "in:*")).Val())
		require.Zero(t, raw.Exists(t.Context(), redisstore.Key(d.store, "forwarded")).Val())
		require.Empty(t, raw.HMGet(t.Context(), redisstore.Key(d.store, "state"), "merged", "held_up").Val()[0])
		require.Nil(t, must(d.store.Status(t.Context())).Partitions[0].Forwarded)
	})
}
