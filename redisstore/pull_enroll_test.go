package redisstore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// More of what goes wrong where AYON's workers enroll for jobs; the rest is in pull_test.go.

// AYON: what failed is offered first again, at once, without an end.
func TestADeliveryThatKeepsFailingHidesOthersForNoMoreThanItsAttempts(t *testing.T) {
	eachPulling(t, time.Minute, 3, func(t *testing.T, _ string, p *pulling) {
		p.publish(t, 1)
		poison := p.one(t)
		require.Equal(t, []bool{true}, p.nack(t, 0, poison.Receipt))
		appendOne(t, p.store, event(t, "good", "job.new"))
		pulls := 0
		for good := false; !good; pulls++ {
			one := p.one(t)
			if good = one.Event.ID() == "good"; !good {
				require.Equal(t, poison.ID, one.ID)
				require.Equal(t, []bool{true}, p.nack(t, 0, one.Receipt))
			}
		}
		require.LessOrEqual(t, pulls, 3, "two attempts were left")
	})
}

// AYON: a job that is restarted when its attempts are used up gets one, and its count goes on.
func TestARedrivenDeliveryCanBePulledAsOftenAsANewOne(t *testing.T) {
	eachPulling(t, time.Minute, 2, func(t *testing.T, _ string, p *pulling) {
		p.publish(t, 1)
		for round := 1; round <= 2; round++ {
			for attempt := 1; attempt <= 2; attempt++ {
				one := p.one(t)
				require.Equal(t, attempt, one.Receipt.Attempt)
				require.Equal(t, []bool{true}, p.nack(t, 0, one.Receipt))
			}
			letters := p.dead(t)
			require.Len(t, letters, 1)
			require.Len(t, letters[0].Attempts, 2*round, "none is forgotten")
			move(t, p.store, router.RedriveOperation, router.DeadLetterSelection{IDs: []string{letters[0].ID}})
		}
		require.Equal(t, []bool{true}, p.ack(t, p.one(t).Receipt))
		require.Empty(t, p.dead(t))
	})
}

// AYON: what was finished, or had its attempts used up, is handed out again when it is old and its event is touched.
func TestWhatIsDoneIsNotPulledAgainThoughItsEventIsTrimmedOrPublishedAgain(t *testing.T) {
	eachPulling(t, time.Minute, 1, func(t *testing.T, _ string, p *pulling) {
		p.publish(t, 2)
		pulled := p.pull(t, router.PullRequest{})
		require.Len(t, pulled, 2)
		require.Equal(t, []bool{true}, p.ack(t, pulled[0].Receipt))
		require.Equal(t, []bool{true}, p.nack(t, 0, pulled[1].Receipt))
		for _, one := range pulled {
			again := p.store.Append(t.Context(), []router.Event{one.Event})[0]
			require.NoError(t, again.Err)
			require.True(t, again.Duplicate)
		}
		appendOne(t, p.store, event(t, "last", "job.new"))
		require.Equal(t, "last", p.one(t).Event.ID())
		require.Empty(t, p.pull(t, router.PullRequest{}))
		require.Len(t, p.dead(t), 1)
	})
}

// AYON: after a request that was cut off, the same one waits for it for ten minutes.
func TestAWorkerThatGoesAwayWhileItWaitsTakesNothingWithIt(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		p := startPulling(t, addr, time.Hour, 5)
		ctx, leave := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		req := router.PullRequest{Max: 1, Wait: router.Duration(20 * time.Second), Worker: "w"}
		go func() {
			_, err := p.router.Pull(ctx, p.sub, req)
			gone <- err
		}()
		leave()
		require.ErrorIs(t, <-gone, context.Canceled)
		appendOne(t, p.store, event(t, "job", "job.new"))
		pulled := p.pull(t, req)
		require.Len(t, pulled, 1)
		require.Equal(t, 1, pulled[0].Receipt.Attempt)
	})
}

// AYON: an event is told of before it is stored, and whoever asks for it does not find it.
func TestADeliveryWhoseEventIsGoneIsADeadLetterAndNoAnswerWithoutAnEvent(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		own := redistest.Namespace(t)
		namespace := func(c *redisstore.Config) { c.Namespace = own }
		p := startPulling(t, addr, time.Minute, 5, namespace)
		p.publish(t, 2)
		c := redistest.Client(t, addr)
		first := c.XRangeN(t.Context(), redisstore.Key(p.store, "log"), "-", "+", 1).Val()[0]
		require.NoError(t, c.XDel(t.Context(), redisstore.Key(p.store, "log"), first.ID).Err())
		p.router, _ = start(t, open(t, addr, namespace), newSink()) // another replica, which does not remember the event
		pulled := p.pull(t, router.PullRequest{})
		require.Len(t, pulled, 1)
		require.Equal(t, "job1", pulled[0].Event.ID())
		letters := p.dead(t)
		require.Len(t, letters, 1)
		require.Equal(t, string(router.OutcomeInvalid), letters[0].Reason)
	})
}
