package redisstore_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// erratic is a store to which some batches come late, so that the next one overtakes them, or never, and of which some answers are lost.
type erratic struct {
	*redisstore.Store
	underWay, ahead atomic.Int64 // ahead: how many were sent while another was under way
}

func (e *erratic) Apply(ctx context.Context, b router.Batch) (router.Applied, error) {
	if e.underWay.Add(1) > 1 {
		e.ahead.Add(1)
	}
	defer e.underWay.Add(-1)
	switch rand.IntN(12) {
	case 0:
		return router.Applied{}, errUnruly
	case 1:
		_, _ = e.Store.Apply(ctx, b)
		return router.Applied{}, errUnruly
	case 2, 3, 4:
		<-time.After(5 * time.Millisecond)
	}
	return e.Store.Apply(ctx, b)
}

func TestBatchesThatAreSentAheadAreAppliedOnceAndInOrderHoweverTheyArrive(t *testing.T) {
	eachSpread(t, func(t *testing.T, make func(*testing.T, int) *spread) {
		rng := rand.New(rand.NewPCG(2, 0))
		d := make(t, 1)
		d.define(t, kinds...)
		for n := range 1500 {
			d.publish(t, int64(n/2), chance(t, rng, n))
		}
		d.set(10_000)
		store := &erratic{Store: d.store}
		start(t, store, newSink())
		d.settled(t)
		require.Greater(t, d.requireModel(t, d.now()), 100)
		require.Greater(t, store.ahead.Load(), int64(5))
	})
}
