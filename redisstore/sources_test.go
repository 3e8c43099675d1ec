package redisstore_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func TestSourcesAreDefinedBesideTheOtherKindsUnderOneVersion(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		sub := create(t, s, "github", "x") // names are unique per kind
		made, err := s.CreateSource(t.Context(), router.Source{Name: "github", Enabled: true, Provider: "github", Secrets: []string{"a", "b"}})
		require.NoError(t, err)
		require.Equal(t, sub.Version+1, made.Version)
		_, err = s.CreateSource(t.Context(), made)
		require.Equal(t, router.Conflict, router.ErrorCode(err))

		for _, ref := range []string{"github", made.ID} {
			found, err := s.Source(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, made, found)
		}
		all, err := s.Sources(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []router.Source{made}, all)
		d, err := s.Definitions(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, []router.Source{made}, d.Sources)
		require.Len(t, d.Subscriptions, 1)

		changed := made
		changed.Name = "hooks"
		changed, err = s.ReplaceSource(t.Context(), changed)
		require.NoError(t, err)
		_, err = s.ReplaceSource(t.Context(), made)
		require.Equal(t, router.Precondition, router.ErrorCode(err))
		since, err := s.Definitions(t.Context(), d.Version)
		require.NoError(t, err)
		require.Equal(t, []router.Source{changed}, since.Sources)
		require.Empty(t, since.Subscriptions)

		require.Equal(t, router.Precondition, router.ErrorCode(s.DeleteSource(t.Context(), made.ID, made.Version)))
		require.NoError(t, s.DeleteSource(t.Context(), made.ID, changed.Version))
		require.Equal(t, router.NotFound, router.ErrorCode(s.DeleteSource(t.Context(), made.ID, 0)))
		gone, err := s.Definitions(t.Context(), since.Version)
		require.NoError(t, err)
		require.Equal(t, []string{made.ID}, gone.DeletedSources)
		require.Empty(t, gone.Deleted)
		require.Empty(t, redistest.Client(t, addr).HGetAll(t.Context(), redisstore.Key(s, "gone")).Val(), "a source has no queues to remove")
	})
}

func TestSourcesCountAsLongAsTheyExist(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr)
		made, err := s.CreateSource(t.Context(), router.Source{Name: "github", Provider: "github"})
		require.NoError(t, err)
		one := router.SourceCounts{Accepted: 1, Duplicate: 2, Changed: 3, Rejected: 4, Limited: 5, Failed: 6}
		require.NoError(t, s.CountSource(t.Context(), made.ID, one))
		require.NoError(t, s.CountSource(t.Context(), made.ID, router.SourceCounts{Rejected: 10}))
		one.Rejected = 14
		counts, err := s.SourceCounts(t.Context(), made.ID)
		require.NoError(t, err)
		require.Equal(t, one, counts)

		require.NoError(t, s.DeleteSource(t.Context(), made.ID, 0))
		require.NoError(t, s.CountSource(t.Context(), made.ID, one), "another replica counts what it took before it knew")
		require.Zero(t, redistest.Client(t, addr).Exists(t.Context(), redisstore.Key(s, "sc:"+made.ID)).Val())
	})
}

func TestSecretsOfSourcesAreSealedLikeThoseOfSubscriptions(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		c := redistest.Client(t, addr)
		s := open(t, addr)
		made, err := s.CreateSource(t.Context(), router.Source{Name: "github", Enabled: true, Provider: "github", Secrets: []string{"hunter2", "hunter2 too"}})
		require.NoError(t, err)
		key := redisstore.Key(s, "srcs")
		require.Contains(t, c.HGet(t.Context(), key, made.ID).Val(), "hunter2", "without a key they are stored as they are")
		newer := strings.Replace(c.HGet(t.Context(), key, made.ID).Val(), `{"`, `{"of-a-newer-version":1,"`, 1)
		require.NoError(t, c.HSet(t.Context(), key, made.ID, newer).Err())

		for _, keys := range [][]string{{secretsKey(1)}, {secretsKey(2), secretsKey(1)}} {
			again := open(t, addr, inNamespace(s), sealedUnder(t, keys...))
			text := c.HGet(t.Context(), key, made.ID).Val()
			require.NotContains(t, text, "hunter2")
			require.Equal(t, 2, strings.Count(text, `"sealed:v1:`+sealingKey(t, keys[0])+":"), "sealed anew when a store opens")
			require.Contains(t, text, "of-a-newer-version")
			found, err := again.Source(t.Context(), "github")
			require.NoError(t, err)
			require.Equal(t, made, found)
			all, err := again.Definitions(t.Context(), 0)
			require.NoError(t, err)
			require.Equal(t, []router.Source{made}, all.Sources)
		}
		sealed := open(t, addr, inNamespace(s), sealedUnder(t, secretsKey(2)))
		changed, err := sealed.ReplaceSource(t.Context(), made)
		require.NoError(t, err)
		require.NotContains(t, c.HGet(t.Context(), key, changed.ID).Val(), "hunter2")
		_, err = redisstore.Open(t.Context(), redisstore.Config{URL: "redis://" + addr, Namespace: redisstore.Namespace(s)})
		require.ErrorContains(t, err, "the secrets of 1 definitions are sealed under keys that are not configured")
	})
}
