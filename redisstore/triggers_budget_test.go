package redisstore_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/router"
)

// The most that a condition may be, and nearly the most that a partial may hold: no call may hold Redis for long all the same. The bound is generous, since
// machines are slow at times; what is typical is logged.
func TestACallStaysShortWithTheMostLeavesAndState(t *testing.T) {
	var leaves []string
	for i := range router.MaxLeaves {
		leaves = append(leaves, fmt.Sprintf(`{"event":{"types":["t%d"]},"count":%d,"within":"31d"}`, i, 5))
	}
	document := `{"name":"large","when":{"all":[` + strings.Join(leaves, ",") + `]}}`
	server := redistest.Start(t, redistest.Args("--slowlog-log-slower-than", "0", "--slowlog-max-len", "100000"))
	l := newLab(t, server.Addr())
	w := &world{store: l.store, raw: l.raw, clockKey: strings.TrimSuffix(l.prefix, ":{0}:") + ":clock"}
	l.clock = newFalseClock(t, w)
	l.begin(t, trigger(t, document))
	const bytes = 26_000 // 160 of them are just less than 4 MiB
	fired, own, bare := 0, []time.Duration(nil), []time.Duration(nil)
	for i := range 5 * router.MaxLeaves {
		e, err := router.NewEvent(router.EventFields{
			ID: strconv.Itoa(i), Source: "/test", Type: "t" + strconv.Itoa(i%router.MaxLeaves), Data: `"` + strings.Repeat("x", bytes) + `"`, DataKind: router.JSONData,
		})
		require.NoError(t, err)
		l.publish(t, int64(i), e)
		batch := l.batch(l.unread(t))
		own = append(own, l.held(t, func() { fired += l.apply(t, batch).Firings }))
		bare = append(bare, l.held(t, func() {
			require.NoError(t, l.raw.Eval(t.Context(), "return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])", []string{l.prefix + "bare"}, i, e.Encode()).Err())
		}))
	}
	require.Equal(t, 1, fired)
	slices.Sort(own)
	slices.Sort(bare)
	t.Logf("%d calls, by the slow log: median %s, p99.9 and longest %s (the firing, with the heads of 160 events); of a script that only writes as much %s and %s",
		len(own), own[len(own)/2], own[len(own)-1], bare[len(bare)/2], bare[len(bare)-1])
	require.Less(t, own[len(own)/2], 20*time.Millisecond)
	require.Less(t, own[len(own)-1], 500*time.Millisecond)
	firings := l.route(t, 10)
	require.Len(t, firings, 1)
	require.Contains(t, string(firings[0].Data()), `"too_large":true`)
	status, err := l.store.TriggerStatus(context.Background(), l.triggers[0].Trigger)
	require.NoError(t, err)
	require.Zero(t, status.OverCap)
	require.Zero(t, status.Partials)
}

// held is how long scripts held Redis meanwhile, by its slow log.
func (l *lab) held(t *testing.T, call func()) (total time.Duration) {
	t.Helper()
	require.NoError(t, l.raw.Do(t.Context(), "SLOWLOG", "RESET").Err())
	call()
	for _, entry := range must(l.raw.SlowLogGet(t.Context(), -1).Result()) {
		if strings.HasPrefix(strings.ToUpper(entry.Args[0]), "EVAL") {
			total += entry.Duration
		}
	}
	return total
}

// dueKeys is how many keys fall due at the same moment. STREAMLATCH_TEST_KEYS says another number.
func dueKeys(t testing.TB) int {
	text := os.Getenv("STREAMLATCH_TEST_KEYS")
	if text == "" {
		return 5000
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "STREAMLATCH_TEST_KEYS")
	return n
}

func TestKeysThatFallDueAtTheSameMomentAllFireOnceWhileOtherKeysGoOn(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	keys := dueKeys(t)
	silent := trigger(t, `{"name":"silent","key":["subject"],"when":{"absent":{"event":{"types":["beat"]}},"within":"500ms"},"emit":{"include":"refs"}}`)
	pair := trigger(t, `{"name":"pair","key":["subject"],"when":{"all":[{"event":{"types":["a"]}},{"event":{"types":["b"]}}]}}`)
	pair.ID = strings.Replace(pair.ID, "1", "2", 1)
	at := time.Now().Add(time.Duration(keys) * 200 * time.Microsecond).Truncate(time.Millisecond)
	require.NoError(t, s.RaiseClock(t.Context(), 0, at))
	for chunk := range slices.Chunk(slices.Collect(numbers(keys)), 500) {
		var beats []router.Event
		for _, n := range chunk {
			beats = append(beats, keyed(t, "beat"+strconv.Itoa(n), "beat", "k"+strconv.Itoa(n)))
		}
		for _, appended := range s.Append(t.Context(), beats) {
			require.NoError(t, appended.Err)
			require.Equal(t, at.UnixMilli(), appended.Position.MS, "all of them are accepted at the same millisecond")
		}
	}
	require.Eventually(t, func() bool { return time.Now().After(at.Add(600 * time.Millisecond)) }, time.Minute, 10*time.Millisecond)

	start(t, defined{s, []router.Trigger{silent, pair}}, newSink())
	var took []time.Duration
	began := time.Now()
	for n := 0; ; n++ {
		status, err := s.TriggerStatus(t.Context(), silent)
		require.NoError(t, err)
		if status.Firings >= int64(keys) {
			break
		}
		if status.Firings > 0 { // deadlines are being settled: other keys go on meanwhile
			key := "pair" + strconv.Itoa(n)
			asked := time.Now()
			appendOne(t, s, keyed(t, key+"a", "a", key))
			appendOne(t, s, keyed(t, key+"b", "b", key))
			require.Eventually(t, func() bool {
				status, err := s.TriggerStatus(t.Context(), pair)
				require.NoError(t, err)
				return status.Firings > int64(len(took))
			}, 20*time.Second, time.Millisecond)
			took = append(took, time.Since(asked))
		}
		require.Less(t, time.Since(began), 4*time.Minute)
	}
	slices.Sort(took)
	t.Logf("%d deadlines in %s; %d other firings meanwhile, median %s, longest %s", keys, time.Since(began), len(took), took[len(took)/2], took[len(took)-1])
	require.Less(t, took[len(took)/2], 500*time.Millisecond)
	fired := map[string]int{}
	for _, f := range firingsIn(t, s) {
		if silent.Fired(f) {
			fired[f.Subject()]++
		}
	}
	require.Len(t, fired, keys)
	for key, n := range fired {
		require.Equal(t, 1, n, key)
	}
}

func numbers(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestARouterThatWasDownForAnHourFiresWhatItWouldHaveFired(t *testing.T) {
	const hour = 3_600_000
	eachLab(t, func(t *testing.T, l *lab) {
		l.begin(t, trigger(t, `{"name":"silent","key":["subject"],"when":{"absent":{"event":{"types":["beat"]}},"within":"10s"}}`))
		for at := int64(0); at < hour; at += 9000 { // "well" never falls silent, "ill" does after a minute
			l.publish(t, at, keyed(t, "well"+strconv.FormatInt(at, 10), "beat", "well"))
			if at < 60_000 {
				l.publish(t, at, keyed(t, "ill"+strconv.FormatInt(at, 10), "beat", "ill"))
			}
		}
		l.clock.set(labStart + hour)
		firings := l.route(t, 128)
		require.Len(t, firings, 1)
		require.Equal(t, "ill", firings[0].Subject())
		at, _ := firings[0].Time()
		require.EqualValues(t, 54_000+10_000, at.UnixMilli()-labStart)
	})
}
