package router

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// mergeTriggers is a snapshot of three partitions with n triggers, in generation 2.
func mergeTriggers(t testing.TB, n int) *snapshot {
	t.Helper()
	d := Definitions{Version: 7, Tokens: []string{"7.a", "7.b", "7.c"}}
	for i := range n {
		draft, err := DecodeTrigger([]byte(`{"name": "t", "when": {"event": {"types": ["x"]}}}`), Rules{})
		require.NoError(t, err)
		trigger := draft.Create()
		trigger.ID, trigger.Generation = fmt.Sprintf("trg_%026d", i), 2
		d.Triggers = append(d.Triggers, trigger)
	}
	s, err := (&snapshot{index: NewIndex()}).with(d)
	require.NoError(t, err)
	return s
}

// someEvent is any event of about so many bytes.
func someEvent(t require.TestingT, bytes int) Event {
	e, err := NewEvent(EventFields{ID: "1", Source: "/", Type: "x", Data: fmt.Sprintf(`"%0*d"`, bytes, 0), DataKind: JSONData})
	require.NoError(t, err)
	return e
}

// drawLists draws what three partitions have forwarded, each in its order.
func drawLists(t *rapid.T, triggers int) (lists [3][]Forwarded) {
	for p := range lists {
		position := Position{Partition: p, MS: 1}
		for range rapid.IntRange(0, 12).Draw(t, "entries") {
			if rapid.Bool().Draw(t, "same ms") {
				position.Seq++
			} else {
				position = Position{Partition: p, MS: position.MS + int64(rapid.IntRange(1, 3).Draw(t, "ms"))}
			}
			f := Forwarded{Position: position, Event: someEvent(t, rapid.SampledFrom([]int{1, batchEventBytes / 2}).Draw(t, "bytes"))}
			for i := range triggers {
				if rapid.Bool().Draw(t, "met") {
					f.Offers = append(f.Offers, ForwardedOffer{Trigger: fmt.Sprintf("trg_%026d", i), Generation: 2})
				}
			}
			if len(f.Offers) > 0 {
				lists[p] = append(lists[p], f)
			}
		}
	}
	return lists
}

// offersIn are what a merge offers, as cursors.
func offersIn(m Merge) (all []Cursor) {
	for _, o := range m.Work.Offers {
		p := m.Work.Partials[o.Partial]
		all = append(all, Cursor{Position: m.Work.Events[o.Event].Position, Target: partialTarget(m.Work.Triggers[p.Trigger].ID, p.Hash.String())})
	}
	return all
}

func TestAnInboxIsMergedInOneOrderWhateverIsReadOfItAtATime(t *testing.T) {
	const triggers = 4
	s := mergeTriggers(t, triggers)
	rapid.Check(t, func(t *rapid.T) {
		lists := drawLists(t, triggers)
		var wanted, got []Cursor
		for _, list := range lists {
			for _, f := range list {
				for _, o := range f.Offers {
					wanted = append(wanted, Cursor{Position: f.Position, Target: o.Target()})
				}
			}
		}
		slices.SortFunc(wanted, Cursor.compareAll)
		cursor, mark := Cursor{}, int64(0)
		for round := 0; len(got) < len(wanted); round++ {
			require.Less(t, round, 500, "it comes to an end")
			inbox := Inbox{Cursor: cursor}
			for _, list := range lists {
				n := rapid.IntRange(min(1, len(list)), len(list)).Draw(t, "read")
				inbox.Lists = append(inbox.Lists, InboxList{Entries: list[:n], More: n < len(list)})
			}
			m, whole := s.merge(1, inbox, mark, rapid.IntRange(1, 5).Draw(t, "offers"))
			require.Empty(t, m.Lost)
			got = append(got, offersIn(m)...)
			for _, c := range offersIn(m) {
				require.Less(t, c.Position.MS, mark, "nothing is applied before its mark")
			}
			for _, taken := range m.Taken {
				require.Equal(t, inbox.Lists[taken.From].Entries[taken.N-1], taken.Last)
				lists[taken.From] = lists[taken.From][taken.N:]
			}
			if whole {
				for _, list := range lists {
					require.False(t, len(list) > 0 && list[0].Position.MS < mark, "nothing of it is left")
				}
				mark += int64(rapid.IntRange(1, 5).Draw(t, "later"))
			}
			cursor = m.To
		}
		require.Equal(t, wanted, got)
	})
}

func TestOfAnInboxIsLeftOutWhatHasPassed(t *testing.T) {
	s := mergeTriggers(t, 2)
	offer := func(trigger int, generation uint64) ForwardedOffer {
		return ForwardedOffer{Trigger: fmt.Sprintf("trg_%026d", trigger), Generation: generation}
	}
	entry := func(ms int64, offers ...ForwardedOffer) Forwarded {
		return Forwarded{Position: Position{MS: ms}, Event: someEvent(t, int(ms)), Offers: offers}
	}
	applied := entry(5, offer(0, 2), offer(1, 2))
	entries := []Forwarded{entry(4, offer(0, 2)), {Raw: "?"}, applied, entry(6, offer(0, 1)), entry(7, offer(1, 2)), entry(8, offer(9, 1))}
	inbox := Inbox{Cursor: Cursor{applied.Position, applied.Offers[0].Target()}, Lists: []InboxList{{Entries: entries}, {}, {}}}
	m, whole := s.merge(0, inbox, 9, 100)
	require.True(t, whole)
	require.Equal(t, []Cursor{applied.End(), entries[4].End()}, offersIn(m), "not what was applied before, of a generation that has passed, of a trigger that is gone")
	require.Equal(t, []Lost{{Event: entries[0].Event, Reason: "late"}, {Raw: "?", Reason: "malformed"}}, m.Lost)
	require.Equal(t, []Taken{{N: 6, Last: entries[5]}}, m.Taken)
	require.Equal(t, entries[5].End(), m.To)
}

func TestADisabledTriggerIgnoresWhatWasForwardedAndCountsIt(t *testing.T) {
	s := mergeTriggers(t, 1)
	live, _ := s.trigger("trg_" + fmt.Sprintf("%026d", 0))
	live.Enabled = false
	f := Forwarded{Position: Position{MS: 1}, Event: someEvent(t, 1), Offers: []ForwardedOffer{{Trigger: live.ID, Generation: 2}}}
	m, _ := s.merge(0, Inbox{Lists: []InboxList{{Entries: []Forwarded{f}}}}, 2, 10)
	require.Empty(t, m.Work.Offers)
	require.Equal(t, 1, m.Work.Triggers[0].Ignored)
	require.Equal(t, f.End(), m.To)
}

func TestABatchForwardsEverythingOnceToItsHomeInAnyNumberOfCalls(t *testing.T) {
	const triggers = 3
	s := mergeTriggers(t, triggers)
	rapid.Check(t, func(t *rapid.T) {
		run := matched{snapshot: s}
		var wanted, got []string
		for n := range rapid.IntRange(1, 40).Draw(t, "records") {
			record := Record{Position: at(n), Event: someEvent(t, rapid.SampledFrom([]int{1, batchEventBytes / 3}).Draw(t, "bytes"))}
			var offers []matchedOffer
			for i := range triggers {
				trigger, _ := s.trigger(fmt.Sprintf("trg_%026d", i))
				for key := range rapid.IntRange(0, 20).Draw(t, "keys") {
					hash := KeyHash{0, 0, 0, byte(key)}
					offers = append(offers, matchedOffer{target: trigger.target(hash.String()), trigger: trigger, hash: hash})
					wanted = append(wanted, fmt.Sprint(record.Position, trigger.target(hash.String())))
				}
			}
			run.records, run.targets, run.offers = append(run.records, record), append(run.targets, nil), append(run.offers, offers)
		}
		cursor := Cursor{Position: Position{Partition: 1}}
		last := make([]Cursor, 3)
		for len(run.records) > 0 {
			batch, rest := run.batch(1, cursor)
			require.Empty(t, batch.Work.Offers, "nothing is offered here")
			for _, f := range batch.Forwards {
				require.Equal(t, s.tokens[f.To], f.Token)
				f = f.behind(last[f.To])
				for _, e := range f.Entries {
					for _, o := range e.Offers {
						require.Equal(t, f.To, homeOf(o.Trigger, o.Hash, 3))
						got = append(got, fmt.Sprint(e.Position, o.Target()))
					}
					last[f.To] = e.End()
				}
				require.Empty(t, f.behind(last[f.To]).Entries, "nothing is left to forward again")
			}
			cursor, run = batch.To, rest
		}
		require.ElementsMatch(t, wanted, got)
	})
}
