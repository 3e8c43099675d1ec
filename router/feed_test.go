package router_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// feedLog is a log in memory that counts its readers and can be made to fail.
type feedLog struct {
	mu      sync.Mutex
	records [][]router.Record
	grown   chan struct{} // closed and replaced when the log grows
	failing error
	reads   int // calls of ReadLog
	largest int // most records that one call returned
	waiting int // readers that are waiting for something to come
}

func newFeedLog(partitions int) *feedLog {
	return &feedLog{records: make([][]router.Record, partitions), grown: make(chan struct{})}
}

// add appends an event and returns its position. The ids of a partition count up from 1.
func (l *feedLog) add(t testing.TB, partition int, eventType string) router.Position {
	t.Helper()
	return l.addData(t, partition, eventType, "")
}

func (l *feedLog) addData(t testing.TB, partition int, eventType, data string) router.Position {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.records[partition]) + 1
	e, err := router.NewEvent(router.EventFields{ID: fmt.Sprint(n), Source: "/test", Type: eventType, DataContentType: "text/plain", Data: data, DataKind: router.TextData})
	require.NoError(t, err)
	p := router.Position{Partition: partition, MS: int64(1000 + n/3), Seq: uint64(n)}
	l.append(router.Record{Position: p, Event: e})
	return p
}

func (l *feedLog) addBroken(partition int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.records[partition]) + 1
	l.append(router.Record{Position: router.Position{Partition: partition, MS: int64(1000 + n/3), Seq: uint64(n)}, Err: errors.New("broken")})
}

func (l *feedLog) append(r router.Record) {
	l.records[r.Position.Partition] = append(l.records[r.Position.Partition], r)
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *feedLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failing = err
}

func (l *feedLog) counts() (reads, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.reads, l.waiting
}

// resetLargest returns how many records one call returned at most, since the last time.
func (l *feedLog) resetLargest() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.largest
	l.largest = 0
	return n
}

func (l *feedLog) Partitions() int { return len(l.records) }

func (l *feedLog) ReadLog(_ context.Context, after router.Position, most int, wait time.Duration) ([]router.Record, error) {
	timeout := time.After(wait)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reads++
	for {
		if l.failing != nil {
			return nil, l.failing
		}
		all := l.records[after.Partition]
		i, _ := slices.BinarySearchFunc(all, after, func(r router.Record, p router.Position) int { return r.Position.Compare(p) })
		if i < len(all) && all[i].Position == after {
			i++
		}
		if i < len(all) || wait <= 0 {
			l.largest = max(l.largest, min(most, len(all)-i))
			return slices.Clone(all[i:min(i+most, len(all))]), nil
		}
		if !l.waitForGrowth(timeout) {
			return nil, nil
		}
	}
}

// waitForGrowth lets go of mu while it waits.
func (l *feedLog) waitForGrowth(timeout <-chan time.Time) bool {
	grown := l.grown
	l.waiting++
	l.mu.Unlock()
	defer func() { l.mu.Lock(); l.waiting-- }()
	select {
	case <-grown:
		return true
	case <-timeout:
		return false
	}
}

func (l *feedLog) ReadLogReverse(context.Context, router.Position, int) ([]router.Record, error) {
	return nil, errors.New("a feed does not read backwards")
}

func (l *feedLog) LogEnd(_ context.Context, partition int) (router.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if all := l.records[partition]; l.failing == nil && len(all) > 0 {
		return all[len(all)-1].Position, nil
	}
	return router.Position{}, l.failing
}

// inFeed runs a test of a feed in a bubble with a clock of its own, in which a goroutine that does not end fails the test.
func inFeed(t *testing.T, partitions int, cfg router.FeedConfig, test func(t *testing.T, log *feedLog, feed *router.Feed)) {
	synctest.Test(t, func(t *testing.T) {
		log := newFeedLog(partitions)
		feed := router.NewFeed(log, cfg)
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- feed.Run(ctx) }()
		defer func() {
			cancel()
			require.NoError(t, <-ran)
		}()
		test(t, log, feed)
	})
}

// pass lets time of the bubble's clock pass.
func pass(d time.Duration) { <-time.After(d) }

func follow(t testing.TB, feed *router.Feed, from []router.Position, match func(router.Event) bool) *router.Follower {
	t.Helper()
	fo, err := feed.Follow(t.Context(), from, match)
	require.NoError(t, err)
	t.Cleanup(fo.Close)
	return fo
}

// collect takes records until nothing has come for 10 s of the bubble's clock.
func collect(t testing.TB, fo *router.Follower) (ids []string) {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		records, err := fo.Next(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return ids
		}
		require.NoError(t, err)
		require.NotEmpty(t, records)
		for _, r := range records {
			ids = append(ids, r.Event.ID())
		}
	}
}

func numbers(from, to int) (ids []string) {
	for i := from; i <= to; i++ {
		ids = append(ids, fmt.Sprint(i))
	}
	return ids
}

func addMany(t testing.TB, log *feedLog, n int) {
	t.Helper()
	for range n {
		log.add(t, 0, "a")
	}
}

func TestFollowingFromNowSeesWhatIsAcceptedAfterFollowReturned(t *testing.T) {
	inFeed(t, 1, router.FeedConfig{}, func(t *testing.T, log *feedLog, feed *router.Feed) {
		addMany(t, log, 3)
		fo := follow(t, feed, nil, nil)
		log.add(t, 0, "a")
		require.Equal(t, []string{"4"}, collect(t, fo))
		log.add(t, 0, "a")
		require.Equal(t, []string{"5"}, collect(t, fo))
	})
}

func TestFollowingFromAPositionReadsWhatIsKeptAndGoesOnLive(t *testing.T) {
	inFeed(t, 2, router.FeedConfig{Batch: 4}, func(t *testing.T, log *feedLog, feed *router.Feed) {
		addMany(t, log, 5)
		from := log.add(t, 0, "a")
		addMany(t, log, 20)
		fo := follow(t, feed, []router.Position{from, {Partition: 1}}, nil)
		require.Equal(t, numbers(7, 26), collect(t, fo))
		log.add(t, 1, "a")
		require.Equal(t, []string{"1"}, collect(t, fo))
		require.Equal(t, []router.Position{{MS: 1008, Seq: 26}, {Partition: 1, MS: 1000, Seq: 1}}, fo.Cursors())
	})
}

func TestAFollowerSeesOnlyWhatMatchesAndItsCursorsMoveOn(t *testing.T) {
	inFeed(t, 1, router.FeedConfig{}, func(t *testing.T, log *feedLog, feed *router.Feed) {
		log.add(t, 0, "b")
		fo := follow(t, feed, []router.Position{{}}, func(e router.Event) bool { return e.Type() == "a" })
		require.Empty(t, collect(t, fo))
		log.add(t, 0, "a")
		log.add(t, 0, "b")
		last := log.add(t, 0, "b")
		require.Equal(t, []string{"2"}, collect(t, fo))
		require.Equal(t, []router.Position{last}, fo.Cursors())
	})
}

func TestEntriesThatCannotBeDecodedAreLeftOut(t *testing.T) {
	inFeed(t, 1, router.FeedConfig{}, func(t *testing.T, log *feedLog, feed *router.Feed) {
		log.addBroken(0)
		fo := follow(t, feed, []router.Position{{}}, nil)
		log.add(t, 0, "a")
		require.Equal(t, []string{"2"}, collect(t, fo))
		log.addBroken(0)
		log.add(t, 0, "a")
		require.Equal(t, []string{"4"}, collect(t, fo))
	})
}

func TestAPartitionHasOneReaderHoweverManyFollowAndNoneWhenNobodyDoes(t *testing.T) {
	inFeed(t, 1, router.FeedConfig{}, func(t *testing.T, log *feedLog, feed *router.Feed) {
		var followers []*router.Follower
		for range 50 {
			fo := follow(t, feed, nil, nil)
			require.Empty(t, collect(t, fo))
			followers = append(followers, fo)
		}
		synctest.Wait()
		_, waiting := log.counts()
		require.Equal(t, 1, waiting)

		for _, fo := range followers {
			fo.Close()
			fo.Close()
			_, err := fo.Next(t.Context())
			require.ErrorIs(t, err, router.ErrFeedClosed)
		}
		pass(time.Second) // the wait of a read
		before, _ := log.counts()
		pass(time.Hour)
		after, waiting := log.counts()
		require.Equal(t, before, after)
		require.Zero(t, waiting)

		addMany(t, log, 3) // unseen by any reader
		fo := follow(t, feed, nil, nil)
		log.add(t, 0, "a")
		require.Equal(t, []string{"4"}, collect(t, fo), "a new reader starts where its first follower does")
	})
}

func TestAFollowerWhoseBufferRunsOverReadsTheLogItselfAndMissesNothing(t *testing.T) {
	for name, cfg := range map[string]router.FeedConfig{
		"records": {Batch: 16, Buffer: 10},
		"bytes":   {Batch: 16, BufferBytes: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			inFeed(t, 1, cfg, func(t *testing.T, log *feedLog, feed *router.Feed) {
				slow, quick := follow(t, feed, nil, nil), follow(t, feed, nil, nil)
				require.Empty(t, collect(t, slow))
				var seen []string
				for range 40 {
					for range 5 {
						log.addData(t, 0, "a", strings.Repeat("x", 100))
					}
					seen = append(seen, collect(t, quick)...)
				}
				require.Equal(t, numbers(1, 200), seen, "the slow one holds nobody up")

				records, err := slow.Next(t.Context())
				require.NoError(t, err)
				require.LessOrEqual(t, len(records), 10, "what was buffered is bounded")
				require.Equal(t, numbers(len(records)+1, 200), collect(t, slow))
				log.add(t, 0, "a")
				require.Equal(t, []string{"201"}, collect(t, slow), "it is live again")
			})
		})
	}
}

func TestAnEventLargerThanTheBufferIsHandedOutAlone(t *testing.T) {
	inFeed(t, 1, router.FeedConfig{BufferBytes: 10}, func(t *testing.T, log *feedLog, feed *router.Feed) {
		fo := follow(t, feed, nil, nil)
		require.Empty(t, collect(t, fo))
		log.addData(t, 0, "a", strings.Repeat("x", 100))
		require.Equal(t, []string{"1"}, collect(t, fo))
	})
}

func TestAFollowerThatDoesNotCatchUpInTimeIsEndedAndCanGoOnFromItsCursors(t *testing.T) {
	inFeed(t, 1, router.FeedConfig{Batch: 4, Buffer: 4}, func(t *testing.T, log *feedLog, feed *router.Feed) {
		fo := follow(t, feed, nil, nil)
		require.Empty(t, collect(t, fo))
		addMany(t, log, 4)
		synctest.Wait()

		var seen []string
		var err error
		for range 100 {
			var records []router.Record
			if records, err = fo.Next(t.Context()); err != nil {
				break
			}
			for _, r := range records {
				seen = append(seen, r.Event.ID())
			}
			addMany(t, log, 8) // twice of what it takes
			pass(2 * time.Second)
		}
		require.ErrorIs(t, err, router.ErrTooSlow)
		_, err = fo.Next(t.Context())
		require.ErrorIs(t, err, router.ErrTooSlow, "the end is final")

		again := follow(t, feed, fo.Cursors(), nil)
		seen = append(seen, collect(t, again)...)
		require.Equal(t, numbers(1, len(seen)), seen)
		end, err := log.LogEnd(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, []router.Position{end}, again.Cursors())
	})
}

// G07 of the shared scenarios: a replica that was cut off while an event was published calls its handler once after it is back.
func TestAnOutageOfTheStoreDelaysAndLosesNothing(t *testing.T) {
	var failures atomic.Int64
	cfg := router.FeedConfig{Batch: 4, OnError: func(partition int, err error) {
		failures.Add(1)
		if partition != 0 || err.Error() != "no route" {
			panic("wrong failure")
		}
	}}
	inFeed(t, 1, cfg, func(t *testing.T, log *feedLog, feed *router.Feed) {
		live, resuming := follow(t, feed, nil, nil), follow(t, feed, []router.Position{{}}, nil)
		require.Empty(t, collect(t, live))

		log.fail(errors.New("no route"))
		log.add(t, 0, "a")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := resuming.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		addMany(t, log, 10)
		_, err = feed.Follow(t.Context(), nil, nil)
		require.ErrorContains(t, err, "no route", "who asks for now learns that now is not known")
		log.fail(nil)

		require.Equal(t, numbers(1, 11), collect(t, live))
		require.Equal(t, numbers(1, 11), collect(t, resuming))
		require.Positive(t, failures.Load())
		require.Less(t, failures.Load(), int64(50), "tries have pauses between them")
	})
}

func TestWhenTheFeedEndsItsFollowersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := newFeedLog(1)
		feed := router.NewFeed(log, router.FeedConfig{})
		early := follow(t, feed, nil, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := early.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		log.add(t, 0, "a")

		running, stop := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- feed.Run(running) }()
		require.Equal(t, []string{"1"}, collect(t, early), "who followed before Run is served when it runs")
		require.ErrorContains(t, feed.Run(running), "once")

		waiting := make(chan error)
		go func() { _, err := early.Next(t.Context()); waiting <- err }()
		synctest.Wait()
		stop()
		require.ErrorIs(t, <-waiting, router.ErrFeedClosed)
		require.NoError(t, <-ran)
		_, err = follow(t, feed, nil, nil).Next(t.Context())
		require.ErrorIs(t, err, router.ErrFeedClosed)
	})
}

func TestPositionsToFollowFromNameEachPartitionOnce(t *testing.T) {
	feed := router.NewFeed(newFeedLog(2), router.FeedConfig{})
	for _, from := range [][]router.Position{{}, {{}}, {{}, {}}, {{Partition: 1}, {}}, {{}, {Partition: 1}, {Partition: 2}}} {
		_, err := feed.Follow(t.Context(), from, nil)
		require.Equal(t, router.Invalid, router.ErrorCode(err), "%v", from)
	}
}

// Followers come, lag, go and come back while events are appended: each sees a contiguous run of every partition.
func TestWhoeverComesAndGoesEachFollowerSeesARunWithoutGapOrRepeat(t *testing.T) {
	const partitions, events = 3, 3000
	cfg := router.FeedConfig{Batch: 7, Buffer: 16, Wait: time.Millisecond, Patience: time.Hour}
	inFeed(t, partitions, cfg, func(t *testing.T, log *feedLog, feed *router.Feed) {
		var all sync.WaitGroup
		all.Go(func() {
			rnd := rand.New(rand.NewPCG(1, 1))
			for i := range events {
				log.add(t, i%partitions, "a")
				if rnd.IntN(4) == 0 {
					pass(time.Duration(rnd.IntN(2000)) * time.Microsecond)
				}
			}
		})
		failed := make(chan error, 12)
		for seed := range uint64(12) {
			all.Go(func() {
				failed <- checkRuns(t.Context(), feed, rand.New(rand.NewPCG(seed, 2)), partitions, events/partitions)
			})
		}
		all.Wait()
		close(failed)
		for err := range failed {
			require.NoError(t, err)
		}
	})
}

// checkRuns follows in several sittings, each from the cursors of the one before, until it has seen the last event of each partition.
func checkRuns(ctx context.Context, feed *router.Feed, rnd *rand.Rand, partitions, last int) error {
	pass(time.Duration(rnd.IntN(300)) * time.Millisecond)
	fo, err := feed.Follow(ctx, nil, nil)
	if err != nil {
		return err
	}
	defer func() { fo.Close() }()
	next := make([]int, partitions)
	for p, cursor := range fo.Cursors() {
		next[p] = int(cursor.Seq) + 1
	}
	for slices.Min(next) <= last {
		records, err := fo.Next(ctx)
		if err != nil {
			return err
		}
		for _, r := range records {
			p := r.Position.Partition
			if r.Event.ID() != fmt.Sprint(next[p]) {
				return fmt.Errorf("partition %d: event %s where %d was due", p, r.Event.ID(), next[p])
			}
			next[p]++
		}
		switch rnd.IntN(20) {
		case 0:
			pass(time.Duration(rnd.IntN(20)) * time.Millisecond)
		case 1:
			fo.Close()
			if fo, err = feed.Follow(ctx, fo.Cursors(), nil); err != nil {
				return err
			}
		}
	}
	return nil
}
