package redisstore_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
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

// forgetful is a store that loses the answer for one batch, behind which another one was applied that leased something.
type forgetful struct {
	*redisstore.Store
	sent sync.Map                       // the cursor from which a batch is applied: a channel with the first answer for it
	lost atomic.Pointer[router.Applied] // the answer for the batch behind the one whose answer was lost
}

func (f *forgetful) Apply(ctx context.Context, b router.Batch) (router.Applied, error) {
	own, again := f.sent.LoadOrStore(b.From, make(chan router.Applied, 1))
	applied, err := f.Store.Apply(ctx, b)
	if !again {
		own.(chan router.Applied) <- applied
	}
	if err != nil || applied.Status != router.Done || f.lost.Load() != nil {
		return applied, err
	}
	<-time.After(50 * time.Millisecond) // for one to be sent behind it
	next, ok := f.sent.Load(b.To)
	if !ok {
		return applied, nil
	}
	second := <-next.(chan router.Applied)
	if second.Status == router.Done && len(second.Claimed) > 0 && f.lost.CompareAndSwap(nil, &second) {
		return router.Applied{}, errUnruly
	}
	return applied, nil
}

func TestWhatABatchLeasedIsSentThoughTheAnswerForTheOneBeforeItIsLost(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		store, out := &forgetful{Store: s}, newSink()
		publish := func(n int) { // each read of the log is of one type, whose queue is empty
			create(t, s, fmt.Sprint("s", n), fmt.Sprint("x.", n))
			events := make([]router.Event, 512)
			for i := range events {
				events[i] = event(t, fmt.Sprint(n, "-", i), fmt.Sprint("x.", n))
			}
			for _, a := range s.Append(t.Context(), events) {
				require.NoError(t, a.Err)
			}
		}
		for n := 0; store.lost.Load() == nil; n++ { // whether a batch is sent ahead of an answer depends on who is faster
			require.Less(t, n, 200, "no batch was sent ahead that leased something")
			publish(n)
			switch {
			case n == 7:
				start(t, store, out)
			case n%8 == 7:
				eventually(t, func() bool { return store.lost.Load() != nil || len(out.ids(fmt.Sprint("s", n))) == 512 }, "it is sent")
			}
		}
		for _, c := range store.lost.Load().Claimed { // not only when its lease ends, after 20 s
			record, err := s.LoadEvents(t.Context(), 0, []router.Position{c.Entry.Position})
			require.NoError(t, err)
			name := "s" + record[0].Event.Type()[2:]
			sent := func() bool { return slices.Contains(out.ids(name), record[0].Event.ID()) }
			require.Eventually(t, sent, 10*time.Second, 5*time.Millisecond, "it is sent")
		}
	})
}
