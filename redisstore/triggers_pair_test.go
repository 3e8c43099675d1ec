package redisstore_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/router"
)

// halfPair is a lab in which a trigger waits for the second event of a pair, the key of its partial, and the batch that would complete it.
func halfPair(t *testing.T, server *redistest.Server) (l *lab, partial string, second router.Batch) {
	l = newLab(t, server.Addr())
	l.begin(t, trigger(t, `{"name":"pair","key":["subject"],"when":{"all":[{"event":{"types":["a"]}},{"event":{"types":["b"]}}],"within":"1h"}}`))
	for _, typ := range []string{"a", "b"} {
		for _, r := range l.store.Append(t.Context(), []router.Event{keyed(t, typ, typ, "order-1")}) {
			require.NoError(t, r.Err)
		}
		if typ == "a" {
			l.apply(t, l.batch(l.unread(t)))
		}
	}
	keys := must(l.raw.Keys(t.Context(), l.prefix+"t:*:*:*").Result())
	require.Len(t, keys, 1)
	return l, keys[0], l.batch(l.unread(t))
}

// Partials of pairs were hashes once, as all others are.
func TestAPairFiresWhoseFirstEventIsRecordedInAHash(t *testing.T) {
	l, partial, second := halfPair(t, redistest.Start(t))
	single := must(l.raw.Get(t.Context(), partial).Result())
	state, rest := single[4:141], single[148:]
	label := must(strconv.Atoi(single[141:148]))
	require.NoError(t, l.raw.Del(t.Context(), partial).Err())
	require.NoError(t, l.raw.HSet(t.Context(), partial, "s", state, "k", rest[:label], state[68:92], rest[label:]).Err())
	require.Equal(t, 1, l.apply(t, second).Firings)
	require.Zero(t, l.raw.Exists(t.Context(), partial).Val())
	firings := l.route(t, 10)
	require.Len(t, firings, 1)
	require.Contains(t, string(firings[0].Data()), `"id":"a"`)
}

func TestAPartialOfAPairIsUnusableThatIsSomethingElse(t *testing.T) {
	l, partial, second := halfPair(t, redistest.Start(t))
	single := must(l.raw.Get(t.Context(), partial).Result())
	for _, text := range []string{"", "2", "2137", "something else", single[:100], single[:145]} {
		require.NoError(t, l.raw.Set(t.Context(), partial, text, 0).Err())
		require.Equal(t, router.Unusable, must(l.store.Apply(t.Context(), second)).Status, "%q", text)
	}
	require.NoError(t, l.raw.Del(t.Context(), partial).Err())
	require.NoError(t, l.raw.SAdd(t.Context(), partial, "something else").Err())
	require.Equal(t, router.Unusable, must(l.store.Apply(t.Context(), second)).Status)
}

// What is wrong with the server is not wrong with a partial, whose events would become dead letters.
func TestABatchIsTriedAgainWherePartialsCanNotBeRead(t *testing.T) {
	l, _, second := halfPair(t, redistest.Start(t))
	require.NoError(t, l.raw.Do(t.Context(), "ACL", "SETUSER", "default", "-mget").Err())
	_, err := l.store.Apply(t.Context(), second)
	require.Error(t, err)
	require.NoError(t, l.raw.Do(t.Context(), "ACL", "SETUSER", "default", "+mget").Err())
	require.Equal(t, 1, l.apply(t, second).Firings)
}

// Without a key all share one partial, whose label is empty.
func TestAPairWithoutAKeyFiresByEitherClock(t *testing.T) {
	eachLab(t, func(t *testing.T, l *lab) {
		for _, clock := range []string{"accept", "event"} {
			l.begin(t, trigger(t, `{"name":"pair","clock":"`+clock+`","when":{"all":[{"event":{"types":["a"]}},{"event":{"types":["b"]}}],"within":"1h"}}`))
			for i, typ := range []string{"a", "b", "a", "b", "b", "a"} {
				l.publish(t, int64(i), keyed(t, strconv.Itoa(i), typ, "order-1"))
				if i < 2 {
					l.apply(t, l.batch(l.unread(t)))
				}
			}
			require.Len(t, l.route(t, 10), 3, clock)
		}
	})
}

// The partials of a call are read together, whichever triggers they are of, and whatever order they are offered something in.
func TestPairsOfManyTriggersFireAsTheModelDoes(t *testing.T) {
	eachSpread(t, func(t *testing.T, make func(*testing.T, int) *spread) {
		rng := rand.New(rand.NewPCG(3, 0))
		d := make(t, 1)
		for i := range 12 {
			d.define(t, fmt.Sprintf(`{"name":"pair-%d","key":["data.order"],"when":{"all":[{"name":"one","event":{"types":["%c"]}},{"name":"other","event":{"types":["%c"]}}],"within":"100ms"}}`,
				i, 'a'+i%4, 'a'+(i+1+i/4)%4))
		}
		d.define(t, kinds[1]) // its partials are hashes
		for n := range 600 {
			d.publish(t, int64(2*n), chance(t, rng, n))
		}
		start(t, d.store, newSink())
		d.settled(t)
		require.Greater(t, d.requireModel(t, d.now()), 500)
	})
}
