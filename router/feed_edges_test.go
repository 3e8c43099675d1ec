package router_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestReadsOfLargeEventsAreSmall(t *testing.T) {
	inFeed(t, 1, router.FeedConfig{Wait: time.Millisecond}, func(t *testing.T, log *feedLog, feed *router.Feed) {
		large := strings.Repeat("x", 1<<20)
		for range 40 {
			log.addData(t, 0, "a", large)
		}
		fo := follow(t, feed, []router.Position{{}}, nil)
		require.Equal(t, numbers(1, 40), collect(t, fo))
		require.LessOrEqual(t, log.resetLargest(), 32, "what comes is not known at first")
		log.addData(t, 0, "a", large)
		require.Equal(t, []string{"41"}, collect(t, fo))
		log.resetLargest()
		for range 40 {
			log.addData(t, 0, "a", large)
		}
		require.Equal(t, numbers(42, 81), collect(t, fo))
		require.LessOrEqual(t, log.resetLargest(), 4, "as many as fit into a few MiB")

		addMany(t, log, 5000)
		require.Equal(t, numbers(82, 5081), collect(t, fo))
		require.Greater(t, log.resetLargest(), 100, "small events are read by the hundred again")
	})
}

func TestWhatComesBetweenReadingToTheEndAndGoingLiveIsSeenOnce(t *testing.T) {
	inFeed(t, 2, router.FeedConfig{Batch: 4}, func(t *testing.T, log *feedLog, feed *router.Feed) {
		require.Empty(t, collect(t, follow(t, feed, nil, nil)), "a reader runs")
		log.add(t, 0, "a")
		fo := follow(t, feed, []router.Position{{}, {Partition: 1}}, nil)
		records, err := fo.Next(t.Context())
		require.NoError(t, err)
		require.Len(t, records, 1, "partition 0 has been read, partition 1 has not")

		for range 10 {
			log.add(t, 0, "a")
		}
		synctest.Wait() // the reader has handed them out, and not to this follower
		require.Equal(t, numbers(2, 11), collect(t, fo))
		require.Equal(t, uint64(11), fo.Cursors()[0].Seq)
	})
}
