package redisstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestTheFiguresOfAllSubscriptionsAreThoseOfTheirStatuses(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		for _, partitions := range []int{1, 3} {
			s := open(t, addr, func(c *redisstore.Config) { c.Partitions = partitions })
			const subs = 230 // more than a page
			var all []router.Subscription
			for i := range subs {
				all = append(all, create(t, s, fmt.Sprintf("s%d", i), "x.*"))
			}
			slices.SortFunc(all, func(a, b router.Subscription) int { return strings.Compare(a.ID, b.ID) }) // within a millisecond they are in any order
			busy, off := all[3], all[220]
			queued(t, s, busy, 12)
			for p := range partitions {
				for i, c := range claim(t, s, p, busy, 3) {
					verdict := []router.Verdict{router.Delivered, router.Retrying, router.Dead}[i%3]
					settle(t, s, router.Settlement{Claimed: c, Verdict: verdict, After: time.Hour, Attempt: failure(time.Now())})
				}
				claim(t, s, p, busy, 1)
			}
			require.NoError(t, s.PauseSubscription(t.Context(), busy.ID))
			require.NoError(t, redistest.Client(t, addr).HSet(t.Context(), redisstore.KeyIn(s, partitions-1, "c:"+off.ID), "not_queued", 2, "over_cap", 3).Err())
			figures, err := s.SubscriptionFigures(t.Context())
			require.NoError(t, err)
			require.Len(t, figures, subs)
			for i, f := range figures {
				require.Equal(t, all[i].Name, f.Name, "in the order of their creation")
				status := statusOf(t, s, all[i])
				paused := int64(0)
				if status.Paused != nil {
					paused = 1
				}
				require.Equal(t, router.SubscriptionFigures{
					Name: f.Name, Backlog: status.Backlog, InFlight: status.InFlight, Retrying: status.Retrying, Delivered: status.Delivered, Dead: status.Dead,
					OverCap: status.OverCap, NotQueued: status.NotQueued, OldestPending: status.OldestPending, Paused: paused,
				}, f)
			}
			require.NotZero(t, figures[3].Delivered*figures[3].Dead*figures[3].Retrying*figures[3].InFlight*figures[3].Paused)
			require.Equal(t, []int64{2, 3}, []int64{figures[220].NotQueued, figures[220].OverCap})
		}
	})
}

func TestAKeyThatHoldsSomethingElseTakesTheFiguresOfNoOtherQueue(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		bad, good := create(t, s, "bad", "x.*"), create(t, s, "good", "x.*")
		queued(t, s, bad, 2)
		queued(t, s, good, 3)
		c := redistest.Client(t, addr)
		for _, key := range []string{"c:", "l:"} {
			require.NoError(t, c.Set(t.Context(), redisstore.Key(s, key+bad.ID), "x", 0).Err())
		}
		figures, err := s.SubscriptionFigures(t.Context())
		require.NoError(t, err)
		backlogs := map[string]int64{}
		for _, f := range figures {
			backlogs[f.Name] = f.Backlog
		}
		require.Equal(t, map[string]int64{"bad": 2, "good": 3}, backlogs)
	})
}
