package redisstore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// scenarios says where each of the shared cases for Go handlers (scenarios/handlers.json) is tested, or why it does not apply. The cases come from
// an event system that keeps rows in a database, updates them, and calls handlers one after another within the call that publishes.
func scenarios() map[string]string {
	return map[string]string{
		"R01": "TestR01AHandlerMaySubscribeToAnotherType",
		"R02": "TestR02WhatAHandlerSubscribesDoesNotSeeTheEventThatItHandles",
		"R03": "TestR03NeitherWhenTheNewPatternIsInUseAlready",
		"R04": "TestR04NorWhenItWasInUseFirst",
		"R05": "TestR05NorWhenItIsANewWildcard",
		"R06": "TestR06AfterAHandlerHasEndedAnotherThatOneIsNotCalledAgain",
		"R07": "TestR07ThatHoldsForAnotherPatternToo",
		"R08": "TestR08AHandlerMayEndItselfAndItsNeighbourIsNotSkipped",
		"R09": "TestR09TheLastHandlerOfATypeMayEndItself",
		"R10": "TestR10EndingOneAndSubscribingAnotherWithinACallIsTwoChanges",
		"R11": "TestR11AHundredSubscriptionsWhileAHandlerIsAtWork",
		"R12": "TestR12EndingTwiceDoesNothingAndDeletingTheUnknownSaysSo",
		"R13": "TestR13OneFunctionUnderTwoNamesIsTwoSubscriptions",
		"R14": "TestR14AFunctionIsCalledOnceForEachOfItsSubscriptionsThatMatch",
		"R15": "TestR15PatternsThatCouldNotMatchAreRefused",
		"D01": "TestD01AHandlerThatFailsIsRetriedAndHarmsNoOther",
		"D02": "TestD02AFailureThatCannotBePrintedHarmsNobody",
		"D03": "TestD03AHandlerThatReturnsAtOnceIsDelivered",
		"D04": "TestD04ThePublisherMayGoAwayWhileHandlersWork",
		"D05": "TestD05WhatAHandlerPublishesComesInItsTurn",
		"D06": "TestD06AHandlerThatPublishesItsOwnTypeEndsAfterSixteenHops",
		"D07": "TestD07WhatAHandlerDoesWithAnEventNoOtherSees",
		"D08": "TestD08WhenAHandlerIsCalledTheEventIsInTheLog",
		"D09": "does not apply: an event is a fact, without status or progress",
		"D10": "TestD10APublishThatFailedCanBeRepeatedAndIsHandledOnce",
		"D11": "does not apply: no database, and no transaction that publishing could be part of",
		"D12": "does not apply: no database; that handlers do not run within the publisher's call is TestD04ThePublisherMayGoAwayWhileHandlersWork",
		"D13": "TestD13AHandlerThatHangsIsTimedOutRetriedAndDeadLettered",
		"D14": "TestD14AFailingHandlersOwnErrorsAreNeverRoutedAsEvents",
		"G01": "TestG01EveryReplicaThatWatchesSeesTheEvent",
		"G02": "TestG02WatchingHasWildcardsLikeSubscribing",
		"G03": "does not apply: every event is stored, and Watch and Subscribe see the same ones, which TestG01EveryReplicaThatWatchesSeesTheEvent shows",
		"G04": "does not apply: events are never updated",
		"G05": "TestG05AWatcherSeesEventsInTheOrderOfTheirAcceptance",
		"G06": "TestG06AHandlerSeesTheEventAsItWasPublishedHoweverLateItIs",
		"G07": "TestG07AWatcherMissesNothingWhenItsReplicaLosesRedisForAWhile",
		"N01": "TestN01StableHandlersMissNothingWhileOthersComeAndGo",
		"N02": "TestN02EndingItselfDisturbsNeitherTheEventNorTheNeighbours",
		"N03": "TestN03WatchersThatJoinAndLeaveCostTheOthersNothing",
		"N04": "does not apply: there are no hooks around operations",
	}
}

func TestEachSharedScenarioForHandlersHasItsTest(t *testing.T) {
	source, err := filepath.Glob("handlers*_test.go")
	require.NoError(t, err)
	var code []byte
	for _, name := range source {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		code = append(code, text...)
	}
	for id, where := range scenarios() {
		for _, name := range regexp.MustCompile(`Test\w+`).FindAllString(where, -1) {
			require.True(t, bytes.Contains(code, []byte("func "+name+"(t *testing.T)")), "%s: there is no %s", id, name)
		}
	}
	for _, id := range sharedScenarios(t) {
		require.Contains(t, scenarios(), id)
	}
}

// sharedScenarios are the ids of the shared cases, which lie beside the project or not at all.
func sharedScenarios(t testing.TB) (ids []string) {
	t.Helper()
	const name = "shared/scenarios/handlers.json"
	for _, up := range []string{"..", "../..", "../../.."} {
		text, err := os.ReadFile(filepath.Join(up, name))
		if err != nil {
			continue
		}
		var all struct{ Scenarios []struct{ ID string } }
		require.NoError(t, json.Unmarshal(text, &all))
		for _, one := range all.Scenarios {
			ids = append(ids, one.ID)
		}
		require.NotEmpty(t, ids)
		return ids
	}
	t.Skipf("%s is not beside the project", name)
	return nil
}

// calls records what handlers were called with: ids of events, under the handler's name.
type calls struct {
	mu  sync.Mutex
	got map[string][]string
}

func (c *calls) note(name string, e router.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.got == nil {
		c.got = map[string][]string{}
	}
	c.got[name] = append(c.got[name], e.ID())
}

func (c *calls) of(name string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got[name])
}

// handler is a handler that notes its calls, and then does what is asked for.
func (c *calls) handler(name string, do ...router.Handler) router.Handler {
	return func(ctx context.Context, e router.Event) error {
		c.note(name, e)
		for _, f := range do {
			if err := f(ctx, e); err != nil {
				return err
			}
		}
		return nil
	}
}

// awaits waits until a handler was called with these, and with nothing else.
func (c *calls) awaits(t testing.TB, name string, ids ...string) {
	t.Helper()
	eventually(t, func() bool { return len(c.of(name)) >= len(ids) }, fmt.Sprintf("%s is called for %v", name, ids))
	require.Equal(t, ids, c.of(name), name)
}

// on handles events under a name, durably or live, until end is called.
type on func(ctx context.Context, pattern, name string, handler router.Handler) (end func())

// subscribing handles events durably, one after another, so that their order can be told.
func subscribing(t testing.TB, r *router.Router) on {
	return func(ctx context.Context, pattern, name string, handler router.Handler) func() {
		h, err := r.Subscribe(ctx, pattern, name, handler, router.HandlerConfig{MaxInFlight: 1})
		require.NoError(t, err)
		return h.Close
	}
}

func watching(t testing.TB, r *router.Router) on {
	return func(ctx context.Context, pattern, name string, handler router.Handler) func() {
		w, err := r.Watch(ctx, pattern, func(ctx context.Context, e router.Event) {
			require.NoError(t, handler(ctx, e), name)
		})
		require.NoError(t, err)
		return w.Close
	}
}

// eachWay runs a test of a rule that holds for durable and for live handlers: for durable ones on both kinds of server. Live ones are called from
// within this process, so one kind will do; what they need of Redis is tested on both by the scenarios G01 to G07.
func eachWay(t *testing.T, test func(t *testing.T, s *redisstore.Store, r *router.Router, handle on)) {
	t.Helper()
	t.Parallel()
	t.Run("subscribe", func(t *testing.T) {
		t.Parallel()
		eachServer(t, func(t *testing.T, s *redisstore.Store, r *router.Router) { test(t, s, r, subscribing(t, r)) })
	})
	t.Run("watch", func(t *testing.T) {
		t.Parallel()
		s := open(t, redistest.Mini(t).Addr())
		r, _ := start(t, s, newSink())
		test(t, s, r, watching(t, r))
	})
}

// eachServer runs a test with one replica on each kind of server.
func eachServer(t *testing.T, test func(t *testing.T, s *redisstore.Store, r *router.Router)) {
	t.Helper()
	redistest.Each(t, func(t *testing.T, addr string) {
		t.Parallel()
		s := open(t, addr)
		r, _ := start(t, s, newSink())
		test(t, s, r)
	})
}

// publish has a router store an event and returns when it is accepted.
func publish(t testing.TB, r *router.Router, id, typ string) router.Position {
	t.Helper()
	p, err := r.Publish(context.Background(), event(t, id, typ))
	require.NoError(t, err)
	return p
}

// status is the state of the queues of a subscription, by its name.
func status(t testing.TB, s *redisstore.Store, name string) router.SubscriptionStatus {
	t.Helper()
	sub, err := s.Subscription(context.Background(), name)
	require.NoError(t, err)
	state, err := s.SubscriptionStatus(context.Background(), sub.ID)
	require.NoError(t, err)
	return state
}
