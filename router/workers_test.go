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
	always := func(int) bool { return true }
	for batch := o.take(always); batch != nil; batch = o.take(always) {
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

func TestFewResultsWaitForOthersForAMoment(t *testing.T) {
	for _, few := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			o := newOutbox()
			o.put(Settlement{})
			time.AfterFunc(gatherResults/2, func() { o.put(Settlement{}) })
			began := time.Now()
			batch := o.take(func(n int) bool {
				require.Equal(t, 1, n)
				return few
			})
			if few {
				require.Len(t, batch, 2)
				require.Equal(t, gatherResults, time.Since(began))
			} else {
				require.Len(t, batch, 1)
				require.Zero(t, time.Since(began))
			}
			<-time.After(gatherResults)
			o.close()
			synctest.Wait()
		})
	}
}
