package redistest

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTestsShareAServerButNotANamespace(t *testing.T) {
	var mu sync.Mutex
	addrs, namespaces := map[string]bool{}, map[string]bool{}
	t.Run("group", func(t *testing.T) {
		for range 4 {
			t.Run("test", func(t *testing.T) {
				t.Parallel()
				addr, ns := Shared(t)
				n, err := Client(t, addr).Incr(t.Context(), ns).Result()
				require.NoError(t, err)
				require.EqualValues(t, 1, n)
				mu.Lock()
				defer mu.Unlock()
				addrs[addr], namespaces[ns] = true, true
			})
		}
	})
	require.Len(t, addrs, 1)
	require.Len(t, namespaces, 4)
}

func TestTheSharedServerLeavesNoDirectory(t *testing.T) {
	Shared(t)
	s, err := launchShared()
	require.NoError(t, err)
	_, err = os.Stat(s.dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestANamespaceNeedsNoEscaping(t *testing.T) {
	require.Regexp(t, "^t[a-z2-7]{16}$", Namespace(t))
}

func TestMiniredisTTLsFollowTheClock(t *testing.T) {
	client := Client(t, Mini(t).Addr())
	require.NoError(t, client.Set(t.Context(), "k", "v", 20*time.Millisecond).Err())
	eventually(t, func() bool { return client.Exists(t.Context(), "k").Val() == 0 })
}

func TestAMiniredisIsOfOneTestAtATimeAndEmpty(t *testing.T) {
	var addr string
	t.Run("one", func(t *testing.T) {
		m := Mini(t)
		addr = m.Addr()
		require.NotEqual(t, addr, Mini(t).Addr())
		m.SetTime(time.UnixMilli(1))
		require.NoError(t, m.Set("k", "v"))
	})
	seen := map[string]bool{}
	for range 3 {
		m := Mini(t)
		require.False(t, seen[m.Addr()])
		seen[m.Addr()] = true
		client := Client(t, m.Addr())
		require.Empty(t, client.Keys(t.Context(), "*").Val())
		require.WithinDuration(t, time.Now(), client.Time(t.Context()).Val(), time.Minute)
	}
	require.True(t, seen[addr], "it is used again")
}

func TestAMiniredisThatWasClosedIsNotUsedAgain(t *testing.T) {
	var addr string
	t.Run("one", func(t *testing.T) {
		m := Mini(t)
		addr = m.Addr()
		m.Close()
	})
	idle.mu.Lock()
	defer idle.mu.Unlock()
	for _, m := range idle.list {
		require.NotEqual(t, addr, m.Addr())
	}
}

func TestAMiniredisLoadsScriptsAsIfItParsedThemEachTime(t *testing.T) {
	client := Client(t, Mini(t).Addr())
	hashes := map[string]bool{}
	for range 3 {
		hash, err := client.ScriptLoad(t.Context(), "return 7").Result()
		require.NoError(t, err)
		hashes[hash] = true
		require.EqualValues(t, 7, client.EvalSha(t.Context(), hash, nil).Val())
		require.ErrorContains(t, client.ScriptLoad(t.Context(), "return return").Err(), "script")
	}
	require.Len(t, hashes, 1)
	require.NoError(t, client.ScriptFlush(t.Context()).Err())
	for hash := range hashes {
		require.ErrorContains(t, client.EvalSha(t.Context(), hash, nil).Err(), "NOSCRIPT")
		require.Equal(t, hash, client.ScriptLoad(t.Context(), "return 7").Val())
		require.EqualValues(t, 7, client.EvalSha(t.Context(), hash, nil).Val())
	}
}

func TestEachRunsOnBothServers(t *testing.T) {
	var fakes []bool
	Each(t, func(t *testing.T, addr string) {
		// CONFIG is one of the commands that miniredis lacks.
		fakes = append(fakes, Client(t, addr).ConfigGet(t.Context(), "maxmemory").Err() != nil)
	})
	require.Equal(t, []bool{true, false}, fakes)
}
