package router

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// recentRecords are records at some numbers of a millisecond.
func recentRecords(ms int64, data string, numbers ...uint64) (list []Record) {
	for _, n := range numbers {
		list = append(list, Record{Position: Position{MS: ms, Seq: n}, Event: Event{f: &EventFields{ID: data, Data: data}}})
	}
	return list
}

func requireRecent(t *testing.T, r *recent, want Record) {
	t.Helper()
	got, ok := r.get(want.Position)
	require.True(t, ok)
	require.Equal(t, want, got)
}

func TestWhatWasRoutedLastIsAtHand(t *testing.T) {
	var r recent
	_, ok := r.get(Position{MS: 1})
	require.False(t, ok, "there is nothing yet")
	first, sparse := recentRecords(1, "a", 0, 1, 2), recentRecords(2, "b", 3, 7, 8)
	r.add(first)
	r.add(nil)
	r.add(sparse)
	for _, want := range append(first, sparse...) {
		requireRecent(t, &r, want)
	}
	for _, p := range []Position{{}, {MS: 1, Seq: 3}, {MS: 2}, {MS: 2, Seq: 4}, {MS: 2, Seq: 9}, {MS: 3}} {
		_, ok := r.get(p)
		require.False(t, ok, "%s", p)
	}
}

func TestARunThatBeginsWithTheLastRecordIsTakenFromTheNextOneOn(t *testing.T) {
	var r recent
	r.add(recentRecords(1, "a", 0, 1))
	r.add(recentRecords(1, "a", 1, 2))
	r.add(recentRecords(1, "a", 2))
	require.Equal(t, 3, r.events)
	requireRecent(t, &r, recentRecords(1, "a", 2)[0])
}

func TestALogThatIsReadAnewIsTheOneThatCounts(t *testing.T) {
	var r recent
	r.add(recentRecords(1, "lost in a failover", 0, 1, 2))
	r.add(recentRecords(1, "new", 1))
	requireRecent(t, &r, recentRecords(1, "new", 1)[0])
	_, ok := r.get(Position{MS: 1, Seq: 2})
	require.False(t, ok)
	require.Equal(t, []int{1, len("new")}, []int{r.events, r.bytes})
}

func TestWhatIsAtHandIsBounded(t *testing.T) {
	var r recent
	for n := range uint64(recentEvents + 10) {
		r.add(recentRecords(1, "a", n))
	}
	require.Equal(t, recentEvents, r.events)
	_, ok := r.get(Position{MS: 1, Seq: 9})
	require.False(t, ok, "the oldest go first")
	requireRecent(t, &r, recentRecords(1, "a", 10)[0])

	large := strings.Repeat("x", recentBytes/2)
	for n := range uint64(3) {
		r.add(recentRecords(2, large, n))
	}
	require.Equal(t, 2*len(large), r.bytes)
	_, ok = r.get(Position{MS: 2})
	require.False(t, ok)
	r.add(recentRecords(3, large+large+large, 0))
	requireRecent(t, &r, recentRecords(3, large+large+large, 0)[0])
}
