package redisstore_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestAPausedSubscriptionIsNotPulledFrom(t *testing.T) {
	eachPulling(t, time.Minute, 5, func(t *testing.T, addr string, p *pulling) {
		p.publish(t, 4)
		had := p.pull(t, router.PullRequest{Max: 2})
		require.Len(t, had, 2)
		require.NoError(t, p.store.PauseSubscription(t.Context(), p.sub.ID))
		require.Equal(t, router.StoppedByOperator, p.status(t).Paused.Reason)

		require.Empty(t, p.pull(t, router.PullRequest{}))
		require.Equal(t, []bool{true}, p.nack(t, 0, had[0].Receipt), "what is under way can be answered")
		good, _, err := p.router.Extend(t.Context(), p.sub, []router.Receipt{had[1].Receipt}, router.PullExtension{})
		require.NoError(t, err)
		require.Equal(t, []bool{true}, good)
		_, err = p.store.HastenDelivery(t.Context(), had[0].ID)
		require.NoError(t, err)
		require.Empty(t, p.pull(t, router.PullRequest{Max: 10}))
		c := redistest.Client(t, addr)
		for partition := range p.store.Partitions() {
			key := strings.Replace(redisstore.Key(p.store, "pulls"), "{0}", fmt.Sprintf("{%d}", partition), 1)
			require.Empty(t, c.ZRange(t.Context(), key, 0, -1).Val(), "nobody is woken for it")
		}

		woken := make(chan []router.Pulled, 1)
		go func() {
			pulled, _ := p.router.Pull(context.Background(), p.sub, router.PullRequest{Max: 1, Wait: router.Duration(20 * time.Second)})
			woken <- pulled
		}()
		require.NoError(t, p.store.ResumeSubscription(t.Context(), p.sub.ID))
		require.Len(t, <-woken, 1, "who waits is woken when it is resumed")
		eventually(t, func() bool { return len(p.pull(t, router.PullRequest{})) > 0 }, "and the rest can be pulled")
	})
}
