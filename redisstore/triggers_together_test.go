package redisstore_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

// Whatever triggers come before it in the same call, also those that go by another clock.
func TestAnEventThatMeetsSeveralTriggersCountsForEach(t *testing.T) {
	pairOf := `{"name": "%s", "key": ["data.order"], "clock": "%s", "when": {"%s": [{"name": "a", "event": {"types": ["a"]}}, {"name": "b", "event": {"types": ["b"]}}], "within": "1h"}}`
	eachSpread(t, func(t *testing.T, make func(*testing.T, int) *spread) {
		d := make(t, 1)
		for i, words := range [][2]string{{"event", "sequence"}, {"accept", "all"}, {"accept", "sequence"}, {"accept", "all"}} {
			d.set(int64(i)) // so that their ids are in this order
			d.define(t, fmt.Sprintf(pairOf, fmt.Sprint("t", i), words[0], words[1]))
		}
		start(t, d.store, newSink())
		for i, typ := range []string{"a", "b"} {
			e, err := router.NewEvent(router.EventFields{
				ID: typ, Source: "/test", Type: typ, Time: router.FormatTime(router.Position{MS: labStart + int64(i) - 1000}.AcceptedAt()), Data: `{"order": 1}`, DataKind: router.JSONData,
			})
			require.NoError(t, err)
			d.publish(t, int64(100+i), e)
		}
		d.settled(t)
		require.Equal(t, []string{
			"22:13:19.001 trigger.t0 1: a=a b=b", "22:13:20.101 trigger.t1 1: a=a b=b", "22:13:20.101 trigger.t2 1: a=a b=b", "22:13:20.101 trigger.t3 1: a=a b=b",
		}, d.fired(t))
	})
}

func TestABacklogFiresWhatLiveTrafficWouldHaveFired(t *testing.T) {
	eachSpread(t, func(t *testing.T, make func(*testing.T, int) *spread) {
		run := func(live bool) []string {
			rng := rand.New(rand.NewPCG(1, 0))
			d := make(t, 1)
			d.define(t, kinds...)
			if live {
				start(t, d.store, newSink())
			}
			at := int64(0)
			for n := range 120 {
				at += []int64{0, 0, 1, 2, 5, 30}[rng.IntN(6)]
				d.publish(t, at, chance(t, rng, n))
				if live {
					eventually(t, func() bool { return d.quiet(t) }, "it is applied at once")
				}
			}
			d.set(at + 1000)
			if !live {
				start(t, d.store, newSink())
			}
			d.settled(t)
			require.Greater(t, d.requireModel(t, d.now()), 20)
			return d.fired(t)
		}
		require.Equal(t, run(true), run(false))
	})
}
