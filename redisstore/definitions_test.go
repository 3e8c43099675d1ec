package redisstore_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestDefinitionsTellWhatHasChangedSinceAVersion(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		a, b := create(t, s, "a", "x"), create(t, s, "b", "x")
		all, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		require.True(t, all.Complete)
		require.Equal(t, []string{"a", "b"}, names(all))

		b.Title = "changed"
		b, err = s.ReplaceSubscription(t.Context(), b)
		require.NoError(t, err)
		_, err = s.DeleteSubscription(t.Context(), a.ID, a.Version)
		require.NoError(t, err)
		since, err := s.Definitions(t.Context(), all.Version)
		require.NoError(t, err)
		require.False(t, since.Complete)
		require.Equal(t, []string{"b"}, names(since))
		require.Equal(t, []string{a.ID}, since.Deleted)
		require.Equal(t, b, since.Subscriptions[0])

		none, err := s.Definitions(t.Context(), since.Version)
		require.NoError(t, err)
		require.Equal(t, since.Version, none.Version)
		require.Empty(t, none.Subscriptions)
		require.Empty(t, none.Deleted)
	})
}

func names(d router.Definitions) (list []string) {
	for _, s := range d.Subscriptions {
		list = append(list, s.Name)
	}
	return list
}

func TestManyDefinitionsAreReadInPages(t *testing.T) {
	addr, _ := redistest.Shared(t)
	s := open(t, addr)
	for i := range 2100 {
		sub := create(t, s, fmt.Sprintf("s%d", i), "x")
		if i%3 == 0 {
			_, err := s.DeleteSubscription(t.Context(), sub.ID, 0)
			require.NoError(t, err)
		}
	}
	d, err := s.Definitions(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, d.Subscriptions, 1400)
	require.Len(t, d.Deleted, 700)
}

func TestADeploymentThatForgotDeletionsIsReadAnew(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		create(t, s, "a", "x")
		d, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		create(t, s, "b", "x")
		require.NoError(t, redistest.Client(t, addr).HSet(t.Context(), redisstore.Key(s, "meta"), "forgotten", d.Version+1).Err())
		again, err := s.Definitions(t.Context(), d.Version)
		require.NoError(t, err)
		require.True(t, again.Complete)
		require.Equal(t, []string{"a", "b"}, names(again))
	})
}

func TestAChangeThatDiedBeforeItWasAnnouncedIsCompleted(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		create(t, s, "a", "x")
		c := redistest.Client(t, addr)
		before := c.HGet(t.Context(), redisstore.Key(s, "state"), "token").Val()
		sub := create(t, s, "b", "x")
		require.NoError(t, c.HSet(t.Context(), redisstore.Key(s, "state"), "token", before).Err()) // as if it had died between the two writes
		d, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, before, d.Tokens[0], "a snapshot never claims a token that is newer than what it read")
		require.Equal(t, sub.Version, d.Version)
		require.NotEqual(t, before, c.HGet(t.Context(), redisstore.Key(s, "state"), "token").Val())
	})
}
