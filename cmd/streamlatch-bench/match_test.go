package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func TestEachEventThatIsMatchedIsWantedByOneSubscription(t *testing.T) {
	const subscriptions = 30
	index, err := mixedIndex(subscriptions)
	require.NoError(t, err)
	for i := range subscriptions {
		stored, err := mixedEvent(i)
		require.NoError(t, err)
		event, err := router.DecodeEvent(stored)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(event.DataText()), payloadSize)
		require.Less(t, len(event.DataText()), payloadSize+8)
		view := router.NewView(event)
		require.Len(t, index.Match(view, nil), 1, "event %d", i)
		view.Release()
	}
}

func TestMatchedEventsAreSpreadOverAllSubscriptionsOrThoseWithAPattern(t *testing.T) {
	const subscriptions = 30
	for all, wanted := range map[bool]int{true: subscriptions, false: subscriptions / 3} {
		stored, err := storedEvents(subscriptions, all)
		require.NoError(t, err)
		require.Len(t, stored, matchEvents)
		different := map[string]bool{}
		for _, s := range stored {
			different[s] = true
		}
		require.Len(t, different, wanted)
	}
}

func TestMatchingThatFindsTooLittleFails(t *testing.T) {
	stored, err := storedEvents(30, true)
	require.NoError(t, err)
	_, err = matchAll(router.NewIndex(), stored)
	require.EqualError(t, err, "10000 events matched 0 subscriptions; each should match one")
}
