package redistest

import (
	"bufio"
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// behind starts a proxy in front of a server, with a client on either side of it.
func behind(t *testing.T, addr string) (p *Proxy, through, direct *redis.Client, namespace string) {
	p = NewProxy(t, addr)
	return p, Client(t, p.Addr()), Client(t, addr), Namespace(t)
}

func TestAProxyThatIsToldNothingDoesNoHarm(t *testing.T) {
	Each(t, func(t *testing.T, addr string) {
		p, through, _, ns := behind(t, addr)
		large := strings.Repeat("x", 300_000)
		require.NoError(t, through.Set(t.Context(), ns, large, 0).Err())
		pipe := through.Pipeline()
		for range 100 {
			pipe.Get(t.Context(), ns)
		}
		replies, err := pipe.Exec(t.Context())
		require.NoError(t, err)
		for _, reply := range replies {
			require.Equal(t, large, reply.(*redis.StringCmd).Val())
		}
		_, err = through.Get(t.Context(), ns+":none").Result()
		require.ErrorIs(t, err, redis.Nil)
		require.Zero(t, p.Stats().Swallowed+p.Stats().Cut+p.Stats().Delayed+p.Stats().Refused)
	})
}

func TestASwallowedRequestIsCarriedOutAndItsReplyNeverArrives(t *testing.T) {
	Each(t, func(t *testing.T, addr string) {
		p, through, direct, ns := behind(t, addr)
		p.Only("incr")
		p.SwallowNext(1)
		require.Error(t, through.Incr(t.Context(), ns).Err())
		require.Equal(t, "1", direct.Get(t.Context(), ns).Val())

		require.NoError(t, through.Incr(t.Context(), ns).Err())
		require.Equal(t, "2", direct.Get(t.Context(), ns).Val())
		require.Equal(t, 1, p.Stats().Swallowed)
		require.Equal(t, 2, p.Stats().Matching)
	})
}

func TestRepliesBeforeASwallowedOneArrive(t *testing.T) {
	addr, _ := Shared(t)
	p, through, direct, ns := behind(t, addr)
	p.Only("second")
	p.SwallowNext(1)
	pipe := through.Pipeline()
	first := pipe.RPush(t.Context(), ns, "first")
	second := pipe.RPush(t.Context(), ns, "second")
	_, err := pipe.Exec(t.Context())
	require.Error(t, err)
	require.EqualValues(t, 1, first.Val(), "go-redis sets the error on all, but has read the reply")
	require.Zero(t, second.Val())
	require.Equal(t, []string{"first", "second"}, direct.LRange(t.Context(), ns, 0, -1).Val())
}

func TestACutRequestIsNotCarriedOut(t *testing.T) {
	Each(t, func(t *testing.T, addr string) {
		p, through, direct, ns := behind(t, addr)
		p.Only("INCR")
		p.CutNext(1)
		require.Error(t, through.Incr(t.Context(), ns).Err())
		require.Zero(t, direct.Exists(t.Context(), ns).Val())
		require.NoError(t, through.Incr(t.Context(), ns).Err())
		require.Equal(t, 1, p.Stats().Cut)
	})
}

func TestFaultsHitOnlyRequestsThatContainTheText(t *testing.T) {
	addr, _ := Shared(t)
	p, through, _, ns := behind(t, addr)
	script := redis.NewScript(`return redis.call('INCR', KEYS[1])`)
	require.NoError(t, script.Load(t.Context(), through).Err())
	p.Only("EvalSha")
	p.SwallowEvery(1, 1)
	for range 10 {
		require.NoError(t, through.Set(t.Context(), ns, 0, 0).Err())
	}
	require.Error(t, script.EvalSha(t.Context(), through, []string{ns}).Err())
	require.Equal(t, "1", through.Get(t.Context(), ns).Val())
	p.SwallowEvery(0, 1)
	require.NoError(t, script.EvalSha(t.Context(), through, []string{ns}).Err())
}

func TestTheSameSeedSwallowsTheSameReplies(t *testing.T) {
	addr, _ := Shared(t)
	run := func(seed uint64) (lost []int) {
		p, through, _, ns := behind(t, addr)
		p.Only("incr")
		p.SwallowEvery(0.2, seed)
		for i := range 60 {
			if through.Incr(t.Context(), ns).Err() != nil {
				lost = append(lost, i)
			}
		}
		require.Len(t, lost, p.Stats().Swallowed)
		return lost
	}
	first := run(7)
	require.NotEmpty(t, first)
	require.Equal(t, first, run(7))
	require.NotEqual(t, first, run(8))
}

func TestEveryReplyIsCountedWhenManyClientsAreHit(t *testing.T) {
	addr, _ := Shared(t)
	p, through, direct, ns := behind(t, addr)
	p.Only("incr")
	p.SwallowEvery(0.05, 1)
	var mu sync.Mutex
	failed := 0
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 50 {
				if through.Incr(t.Context(), ns).Err() != nil {
					mu.Lock()
					failed++
					mu.Unlock()
				}
			}
		})
	}
	clients.Wait()
	require.Equal(t, "400", direct.Get(t.Context(), ns).Val(), "each was carried out once")
	require.Equal(t, p.Stats().Swallowed, failed)
}

func TestADelayedReplyArrivesLate(t *testing.T) {
	addr, _ := Shared(t)
	p, through, _, ns := behind(t, addr)
	p.Only("incr")
	p.DelayEvery(1, 1, 30*time.Millisecond)
	began := time.Now()
	require.NoError(t, through.Incr(t.Context(), ns).Err())
	require.GreaterOrEqual(t, time.Since(began), 30*time.Millisecond)
	require.Equal(t, 1, p.Stats().Delayed)
}

func TestCutAllEndsABlockedRead(t *testing.T) {
	addr, _ := Shared(t)
	p, through, _, ns := behind(t, addr)
	ended := make(chan error, 1)
	go func() { ended <- through.BLPop(t.Context(), patience, ns).Err() }()
	eventually(t, func() bool { return p.Stats().Requests > 0 })
	require.Equal(t, 1, p.CutAll())
	require.Error(t, <-ended)
}

func TestDuringAnOutageNothingGetsThrough(t *testing.T) {
	addr, _ := Shared(t)
	p, through, _, _ := behind(t, addr)
	require.NoError(t, through.Ping(t.Context()).Err())
	p.Outage(true)
	require.Error(t, through.Ping(t.Context()).Err())
	p.Outage(false)
	require.NoError(t, through.Ping(t.Context()).Err())
	require.NotZero(t, p.Stats().Refused)
}

func TestAProxyInFrontOfADeadServerRefuses(t *testing.T) {
	s := Start(t)
	p, through, _, _ := behind(t, s.Addr())
	require.NoError(t, s.Kill())
	require.Error(t, through.Ping(t.Context()).Err())
	require.NotZero(t, p.Stats().Refused)
	require.NoError(t, s.Restart())
	require.NoError(t, through.Ping(t.Context()).Err())
}

func TestSubscriptionsPassThroughAProxy(t *testing.T) {
	addr, _ := Shared(t)
	_, through, direct, ns := behind(t, addr)
	sub := through.Subscribe(t.Context(), ns)
	defer func() { require.NoError(t, sub.Close()) }()
	_, err := sub.Receive(t.Context())
	require.NoError(t, err)
	require.NoError(t, direct.Publish(t.Context(), ns, "hello").Err())
	m, err := sub.ReceiveMessage(t.Context())
	require.NoError(t, err)
	require.Equal(t, "hello", m.Payload)
}

func TestAMessageIsReadWhole(t *testing.T) {
	for name, message := range map[string]string{
		"simple string":      "+OK\r\n",
		"error":              "-ERR no\r\n",
		"integer":            ":-12\r\n",
		"nil string":         "$-1\r\n",
		"nil array":          "*-1\r\n",
		"empty array":        "*0\r\n",
		"blob with line end": "$6\r\na\r\nb\r\n\r\n",
		"nested with nil":    "*3\r\n*2\r\n:1\r\n*-1\r\n$-1\r\n$1\r\nx\r\n",
		"map":                "%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n",
		"set and null":       "~2\r\n_\r\n#t\r\n",
		"attribute first":    "|1\r\n+ttl\r\n:5\r\n$1\r\nv\r\n",
		"push":               ">2\r\n+invalidate\r\n*1\r\n+k\r\n",
		"verbatim":           "=5\r\ntxt:x\r\n",
		"inline":             "PING\r\n",
		"long line":          "+" + strings.Repeat("x", 10_000) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			r := bufio.NewReader(strings.NewReader(message + "+next\r\n"))
			got, err := readMessage(r, nil)
			require.NoError(t, err)
			require.Equal(t, message, string(got))
			got, err = readMessage(r, nil)
			require.NoError(t, err)
			require.Equal(t, "+next\r\n", string(got))

			_, err = readMessage(bufio.NewReader(bytes.NewReader([]byte(message[:len(message)-1]))), nil)
			require.Error(t, err, "a message cut short")
		})
	}
}

func TestALengthThatIsNoNumberIsRefused(t *testing.T) {
	_, err := readMessage(bufio.NewReader(strings.NewReader("*x\r\n")), nil)
	require.ErrorContains(t, err, "not a RESP message")
}
