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

func TestEachRunsOnBothServers(t *testing.T) {
	var fakes []bool
	Each(t, func(t *testing.T, addr string) {
		// CONFIG is one of the commands that miniredis lacks.
		fakes = append(fakes, Client(t, addr).ConfigGet(t.Context(), "maxmemory").Err() != nil)
	})
	require.Equal(t, []bool{true, false}, fakes)
}
