// Package router routes events to subscriptions, over any number of replicas that share one log. It is the domain of Streamlatch, and a library for
// programs that handle events in Go: no Redis, no HTTP server; what it keeps, it keeps in a [Store], such as that of package redisstore.
//
// # Usage
//
//	store, err := redisstore.Open(ctx, redisstore.Config{URL: "redis://localhost"})
//	…
//	r := router.New(store, router.Config{})
//	go r.Run(ctx)
//
//	// durably, on one replica for each event
//	_, err = r.Subscribe(ctx, "order.*", "billing", func(ctx context.Context, e router.Event) error {
//		return bill(ctx, e.DataText())
//	}, router.HandlerConfig{})
//
//	// live, on every replica
//	_, err = r.Watch(ctx, "price.changed", func(ctx context.Context, e router.Event) { cache.Forget(e.Subject()) })
//
//	event, err := router.NewEvent(router.EventFields{ID: "1", Source: "/shop", Type: "order.paid", Data: `{"total": 12}`, DataKind: router.JSONData})
//	…
//	position, err := r.Publish(ctx, event)
//
// Each replica of a program does the same; it needs no coordination beyond the Redis and namespace that all share. Patterns are those of
// [TypePattern]. Subscribe, Watch, Publish and both kinds of Close may be called at any time, before Run and from within handlers too.
//
// # Guarantees
//
//  1. When Publish has returned without an error, the event is stored; publishing it again, after an error or for any other reason, stores and
//     handles it no second time within the store's dedupe window (TestD10APublishThatFailedCanBeRepeatedAndIsHandledOnce).
//  2. When Subscribe or Watch has returned, every matching event that is accepted after that is seen, whichever replica it came in by and whichever
//     routes it (TestWhatIsCreatedOnOneReplicaHoldsForWhatIsPublishedOnAnother, TestN01StableHandlersMissNothingWhileOthersComeAndGo). What a
//     handler subscribes does not see the event that is being handled (TestR02WhatAHandlerSubscribesDoesNotSeeTheEventThatItHandles).
//  3. An event is queued once for each subscription that it matches, whatever replicas die, wake up late, or both believe to be in charge
//     (TestReplicasThatAllBelieveToHaveTheLeaseApplyNoBatchTwice, TestAReplicaThatWakesUpLateAppliesNothingTwice). So, where nothing fails, a
//     handler is called once for it (TestReplicasThatSubscribeUnderOneNameShareTheWorkEachEventOnce); else at least once
//     (TestLostAnswersNeitherLoseADeliveryNorQueueOneTwice).
//  4. A subscription outlives the replicas that handle it: its events wait for the next one
//     (TestWhatNobodyHandlesWaitsForTheNextReplicaThatSubscribesUnderTheName). Where nobody has the handler any more, its status says so, and it can be
//     deleted (TestAHandlerThatNoReplicaHasShowsAsSuchAndCanBeDeleted).
//  5. When Close has returned, no new call begins (TestNoCallBeginsAfterCloseHasReturned, TestACallThatHasNotBegunWhenCloseReturnsNeverDoes,
//     TestR06AfterAHandlerHasEndedAnotherThatOneIsNotCalledAgain).
//  6. How a call ends concerns its own delivery only: an error, a panic, runtime.Goexit and running out of time are retried by schedule, and at
//     its end become a dead letter (TestD01AHandlerThatFailsIsRetriedAndHarmsNoOther, TestD02AFailureThatCannotBePrintedHarmsNobody,
//     TestD13AHandlerThatHangsIsTimedOutRetriedAndDeadLettered).
//  7. A handler has at most MaxInFlight calls at once, over all replicas (TestAHandlersLimitHoldsOverAllReplicasAndPartitions); one that hangs
//     takes no more than those from its replica (TestAHandlerThatHangsTakesNoMoreThanItsShareAndHarmsNobody).
//  8. A watching function is called in every replica, one call at a time, in the order of each partition
//     (TestG01EveryReplicaThatWatchesSeesTheEvent, TestG05AWatcherSeesEventsInTheOrderOfTheirAcceptance), with what an outage of Redis held back
//     (TestG07AWatcherMissesNothingWhenItsReplicaLosesRedisForAWhile). A slow one delays nobody else (TestASlowWatcherDelaysNobodyElse).
//  9. Events are immutable: all handlers see what was published (TestD07WhatAHandlerDoesWithAnEventNoOtherSees,
//     TestG06AHandlerSeesTheEventAsItWasPublishedHoweverLateItIs).
//  10. What handlers publish in answer to each other comes to an end after 16 hops, with the code [Loop]
//     (TestD06AHandlerThatPublishesItsOwnTypeEndsAfterSixteenHops).
//
// Less formally: a durable handler may be called twice for an event, never not at all; calls of it run side by side and in no particular order, which
// MaxInFlight 1 mostly, but after failures not strictly, gives them.
//
// # Expected behaviour of handlers
//
// A handler should be idempotent: the same event has the same source and id whenever it comes. It should return when its ctx ends, and return an
// error for what is worth another attempt; for what never will be, it should return nil. It should publish with the ctx that it was given, so that hops
// are counted, and make the ids of what it publishes from the id of its cause, so that a repeated call publishes nothing new.
//
// A handler that does not heed its ctx is not stopped, since Go can't do that. It is left alone, its delivery is retried, and until it returns it
// takes one of its handler's places in that replica.
//
// # Limits
//
// At most MaxHops hops, 5 minutes for a call, 1,000 calls of a handler at once, and Config.MaxSends attempts of a replica at once. Up to 1,000 handlers
// with queued events that no replica has any more do not slow the others down; delete them. Where a replica dies amid a call, or an answer of
// Redis is lost amid a claim, the deliveries concerned are made again when their lease runs out, 5 seconds after the time limit of a call.
// A watching function that is behind by more than its buffer and for more than a minute skips to the present; Watch sees nothing of what was accepted
// while its replica was not running.
//
// # Debugging
//
// Attempts that failed, and why, are in the status of a subscription and in its dead letters; Config.Observer hears of every attempt, Config.Logger of
// what kept failing in the background. Handlers have names so that all of these can be read.
package router
