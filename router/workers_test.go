package router

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWorkersDoEveryJobOnceAndAJobThatHangsHoldsUpNoOther(t *testing.T) {
	const jobs = 5000
	hang := make(chan struct{})
	var seen [jobs]atomic.Int64
	var done sync.WaitGroup
	done.Add(jobs)
	w := newWorkers(func(j job) {
		seen[j.claimed.Attempt].Add(1)
		if j.claimed.Attempt%500 == 0 {
			<-hang
		}
		done.Done()
	})
	var all sync.WaitGroup
	for first := range 50 {
		all.Go(func() {
			for i := first; i < jobs; i += 50 {
				w.start(job{claimed: Claimed{Attempt: i}})
			}
		})
	}
	all.Wait()
	require.Eventually(t, func() bool {
		n := 0
		for i := range seen {
			n += int(seen[i].Load())
		}
		return n == jobs
	}, 10*time.Second, time.Millisecond, "all begin, though ten hang")
	close(hang)
	done.Wait()
	w.close()
	for i := range seen {
		require.EqualValues(t, 1, seen[i].Load())
	}
}

func TestAnOutboxGivesEverythingOnceAndHoldsUpThoseWhoFillIt(t *testing.T) {
	const brings, each = 20, 1000
	o := newOutbox()
	var all sync.WaitGroup
	for range brings {
		all.Go(func() {
			for i := range each {
				o.put(Settlement{Claimed: Claimed{Attempt: i}})
			}
		})
	}
	go func() {
		all.Wait()
		o.close()
	}()
	var counts [each]int
	many := func() int { return settleSome }
	for batch := o.take(many); batch != nil; batch = o.take(many) {
		require.LessOrEqual(t, len(batch), maxOutbox)
		for _, s := range batch {
			counts[s.Claimed.Attempt]++
		}
		o.giveBack(batch)
	}
	for _, n := range counts {
		require.Equal(t, brings, n)
	}
}

func TestResultsWaitForOthersUntilThereAreEnoughOrForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox()
		taken := make(chan int)
		take := func(enough int) { taken <- len(o.take(func() int { return enough })) }
		began := time.Now()

		go take(3)
		for range 3 {
			synctest.Wait()
			require.Empty(t, taken)
			o.put(Settlement{})
		}
		require.Equal(t, 3, <-taken)
		require.Zero(t, time.Since(began), "as soon as there are enough")

		go take(3)
		o.put(Settlement{})
		require.Equal(t, 1, <-taken)
		require.Equal(t, gatherResults, time.Since(began), "no longer than a moment")

		go take(3)
		o.put(Settlement{})
		synctest.Wait()
		o.close()
		require.Equal(t, 1, <-taken)
		require.Nil(t, o.take(func() int { return 3 }))
		require.Equal(t, gatherResults, time.Since(began), "nor for what can't come any more")
	})
}
