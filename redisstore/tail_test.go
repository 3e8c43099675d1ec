package redisstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// What a tail gives is what stands in the log right behind a position, or nothing, whatever of the log it was told and whatever it had to drop.
func TestATailIsWithoutAGapOrThereIsNone(t *testing.T) {
	small, large := event(t, "small", "x.y"), largeEvent(t)
	rapid.Check(t, func(t *rapid.T) {
		var tail redisstore.Tail
		var log []router.Record
		for range rapid.IntRange(1, 12).Draw(t, "appends") {
			previous := router.Position{}
			if len(log) > 0 {
				previous = log[len(log)-1].Position
			}
			run := make([]router.Record, rapid.SampledFrom([]int{1, 3, 500, 6000}).Draw(t, "events"))
			for i := range run {
				run[i] = router.Record{Position: router.Position{MS: previous.MS + 1, Seq: uint64(i)}, Event: small}
			}
			if rapid.IntRange(0, 4).Draw(t, "large") == 0 {
				run[0].Event = large
			}
			log = append(log, run...)
			if rapid.IntRange(0, 5).Draw(t, "appended elsewhere") > 0 {
				tail.Add(previous, run)
			}
			after := rapid.IntRange(-1, len(log)-1).Draw(t, "after")
			position, limit := router.Position{}, rapid.IntRange(1, 700).Draw(t, "limit")
			if after >= 0 {
				position = log[after].Position
			}
			if found := tail.After(position, limit); len(found) > 0 {
				require.LessOrEqual(t, len(found), limit)
				require.Equal(t, log[after+1:after+1+len(found)], found, fmt.Sprint(after))
			}
			events, bytes, runs := tail.Size()
			require.True(t, runs <= 1 || events <= 16384 && bytes <= 16<<20, "%d events, %d bytes", events, bytes)
		}
	})
}

// An event that another replica appends must not wait for one of ours.
func TestAReaderIsPatientOnlyWhereNobodyElseAppends(t *testing.T) {
	var tail redisstore.Tail
	at := func(n int) router.Position { return router.Position{MS: int64(n)} }
	add := func(n int) { tail.Add(at(n-1), []router.Record{{Position: at(n), Event: event(t, "a", "x.y")}}) }
	require.Zero(t, tail.Patience(at(0)), "there is no tail")
	for n := 1; n < 16; n++ {
		add(n)
		require.Equal(t, time.Millisecond, tail.Patience(at(n)))
	}
	add(16)
	require.Equal(t, 10*time.Millisecond, tail.Patience(at(16)))
	require.Zero(t, tail.Patience(at(15)), "there is more")
	require.Zero(t, tail.Patience(at(17)), "others have appended")
	add(18)
	require.Equal(t, time.Millisecond, tail.Patience(at(18)), "others have appended in between")
	tail.Forget()
	require.Zero(t, tail.Patience(at(18)))
}

// What a call of append stored may be told after a firing that stands behind it was: nobody may wait for it to grow either.
func TestATailGoesOnBehindAFiring(t *testing.T) {
	var tail redisstore.Tail
	at := func(n int) router.Position { return router.Position{MS: int64(n)} }
	add := func(n int) { tail.Add(at(n-1), []router.Record{{Position: at(n), Event: event(t, "a", "x.y")}}) }
	add(1)
	tail.GoOn(at(3))
	tail.GoOn(at(2)) // of two calls, the first one's answer may come last
	for n := 2; n <= 3; n++ {
		add(n)
		require.Zero(t, tail.Patience(at(n)))
		require.Empty(t, tail.After(at(n-1), 10))
	}
	add(5)
	require.NotZero(t, tail.Patience(at(5)))
	require.Len(t, tail.After(at(4), 10), 1)
	require.Empty(t, tail.After(at(3), 10), "the firing is read")
	tail.GoOn(at(6), router.Record{Position: at(7), Event: event(t, "fired", "x.y")})
	add(6)
	require.NotZero(t, tail.Patience(at(7)), "what it is was told")
	require.Len(t, tail.After(at(6), 10), 1)
	require.Empty(t, tail.After(at(5), 10), "what was told late is read")
	add(10)
	tail.GoOn(at(8), router.Record{Position: at(9), Event: event(t, "fired", "x.y")})
	require.NotZero(t, tail.Patience(at(10)), "what stands behind the firing was told before")
	require.Len(t, tail.After(at(9), 10), 1)
}

// Of two calls of append that are under way at a time, the first one's answer may come last.
func TestWhatATailIsToldLateDoesNotReplaceWhatStandsBehindIt(t *testing.T) {
	var tail redisstore.Tail
	at := func(n int) router.Position { return router.Position{MS: int64(n)} }
	add := func(n int) { tail.Add(at(n-1), []router.Record{{Position: at(n), Event: event(t, "a", "x.y")}}) }
	add(2)
	add(1)
	require.Zero(t, tail.Patience(at(1)), "there is more")
	require.Len(t, tail.After(at(1), 10), 1)
	add(3)
	require.Len(t, tail.After(at(1), 10), 2)
}

// A firing stands behind what this process appended, and nobody may wait for that to grow.
func TestWhatATriggerFiresIsReadAtOnce(t *testing.T) {
	eachLab(t, func(t *testing.T, l *lab) {
		draft, err := router.DecodeTrigger([]byte(`{"name":"one","when":{"event":{"types":["a.b"]}}}`), router.Rules{})
		require.NoError(t, err)
		l.begin(t, draft.Create())
		l.publish(t, 0, event(t, "1", "a.b"))
		records := l.unread(t)
		require.Len(t, records, 1)
		require.NotZero(t, redisstore.Patience(l.store, records[0].Position))
		require.Equal(t, 1, l.apply(t, l.batch(records)).Firings)
		require.Zero(t, redisstore.Patience(l.store, records[0].Position))
		fired := l.unread(t)
		require.Len(t, fired, 1)
		require.NotZero(t, redisstore.Patience(l.store, fired[0].Position), "the call that fired told of it")
	})
}

func largeEvent(t testing.TB) router.Event {
	t.Helper()
	e, err := router.NewEvent(router.EventFields{
		ID: "large", Source: "/t", Type: "x.y", Data: strings.Repeat("x", 9<<20), DataKind: router.TextData, DataContentType: "text/plain",
	})
	require.NoError(t, err)
	return e
}
