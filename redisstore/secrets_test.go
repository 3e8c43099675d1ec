package redisstore_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/keyring"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

func secretsKey(b byte) string { return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, 32)) }

// sealedUnder makes a store seal with the first of some keys.
func sealedUnder(t testing.TB, keys ...string) func(*redisstore.Config) {
	k, err := keyring.New(keys...)
	require.NoError(t, err)
	return func(c *redisstore.Config) { c.Secrets = k }
}

func sealingKey(t testing.TB, key string) string {
	k, err := keyring.New(key)
	require.NoError(t, err)
	return k.IDs()[0]
}

func inNamespace(s *redisstore.Store) func(*redisstore.Config) {
	return func(c *redisstore.Config) { c.Namespace = redisstore.Namespace(s) }
}

// secretive is a subscription with a secret in every place, each of which holds the word hunter2.
func secretive(name string) router.Subscription {
	return router.Subscription{
		Name: name, Enabled: true, Delivery: router.DefaultDelivery(), Filter: router.Filter{Types: []string{"hunter2.type"}},
		Sink: router.Sink{
			Kind: router.WebhookSink, URL: "https://x.example", Mode: router.Structured, Timeout: router.DefaultSinkTimeout, Secret: "whsec_hunter2",
			Headers: map[string]string{"x-api-key": "hunter2", "x-key.part": "hunter2 too"},
			Auth:    router.Auth{Kind: router.BasicAuth, User: "joe", Password: "hunter2"},
		},
	}
}

// atRest is what stands in Redis of a subscription, without the one place where the word is no secret.
func atRest(t testing.TB, c *redis.Client, s *redisstore.Store, id string) string {
	text, err := c.HGet(t.Context(), redisstore.Key(s, "subs"), id).Result()
	require.NoError(t, err)
	return strings.Replace(text, "hunter2.type", "", 1)
}

func TestSecretsAreSealedAtRestWhereThereIsAKey(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		c := redistest.Client(t, addr)
		s := open(t, addr, sealedUnder(t, secretsKey(1)))
		sub, err := s.CreateSubscription(t.Context(), secretive("a"))
		require.NoError(t, err)
		require.NotContains(t, atRest(t, c, s, sub.ID), "hunter2")
		require.Equal(t, 4, strings.Count(atRest(t, c, s, sub.ID), `"sealed:v1:`))
		sub.Title = "changed"
		sub, err = s.ReplaceSubscription(t.Context(), sub)
		require.NoError(t, err)
		require.NotContains(t, atRest(t, c, s, sub.ID), "hunter2")

		again := open(t, addr, inNamespace(s), sealedUnder(t, secretsKey(1)))
		one, err := again.Subscription(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, sub, one)
		list, err := again.Subscriptions(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []router.Subscription{sub}, list)
		all, err := again.Definitions(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, []router.Subscription{sub}, all.Subscriptions)
	})
}

func TestAStartWithoutTheRightKeySaysWhichOneAndLosesNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		c := redistest.Client(t, addr)
		s := open(t, addr, sealedUnder(t, secretsKey(1)))
		sub, err := s.CreateSubscription(t.Context(), secretive("a"))
		require.NoError(t, err)
		before := atRest(t, c, s, sub.ID)
		right, err := keyring.New(secretsKey(1))
		require.NoError(t, err)
		wrong, err := keyring.New(secretsKey(2))
		require.NoError(t, err)
		for _, k := range []*keyring.Keyring{nil, wrong} {
			_, err := redisstore.Open(t.Context(), redisstore.Config{URL: "redis://" + addr, Namespace: redisstore.Namespace(s), Secrets: k})
			require.ErrorContains(t, err, "the secrets of 1 definitions are sealed under keys that are not configured: "+right.IDs()[0])
			require.Equal(t, router.Invalid, router.ErrorCode(err))
		}
		require.Equal(t, before, atRest(t, c, s, sub.ID))
		one, err := open(t, addr, inNamespace(s), sealedUnder(t, secretsKey(1))).Subscription(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, sub, one)
	})
}

func TestWhatWasStoredInClearOrUnderAnotherKeyIsSealedAnewWhenAStoreOpens(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		c := redistest.Client(t, addr)
		s := open(t, addr)
		sub, err := s.CreateSubscription(t.Context(), secretive("a"))
		require.NoError(t, err)
		bare := create(t, s, "bare", "x")
		unsealed := atRest(t, c, s, bare.ID)
		require.Contains(t, atRest(t, c, s, sub.ID), "hunter2")
		key := redisstore.Key(s, "subs")
		newer := strings.Replace(c.HGet(t.Context(), key, sub.ID).Val(), `{"`, `{"of-a-newer-version":1,"`, 1)
		require.NoError(t, c.HSet(t.Context(), key, sub.ID, newer).Err())
		for _, keys := range [][]string{{secretsKey(1)}, {secretsKey(2), secretsKey(1)}, {secretsKey(2)}, {secretsKey(2), secretsKey(3)}} {
			log := &bytes.Buffer{}
			before := c.HGet(t.Context(), key, sub.ID).Val()
			again := open(t, addr, inNamespace(s), sealedUnder(t, keys...), func(c *redisstore.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
			k, err := keyring.New(keys...)
			require.NoError(t, err)
			text := atRest(t, c, s, sub.ID)
			require.NotContains(t, text, "hunter2")
			require.Equal(t, 4, strings.Count(text, `"sealed:v1:`+k.IDs()[0]+":"))
			require.Contains(t, text, "of-a-newer-version")
			require.Equal(t, unsealed, atRest(t, c, s, bare.ID))
			one, err := again.Subscription(t.Context(), "a")
			require.NoError(t, err)
			require.Equal(t, sub, one, "neither version nor anything else changes")
			resealed := before != c.HGet(t.Context(), key, sub.ID).Val()
			require.Equal(t, resealed, strings.Contains(log.String(), "sealed the secrets of definitions anew"))
			require.Equal(t, resealed, keys[0] == secretsKey(1) || len(keys) == 2 && keys[1] == secretsKey(1), "only what is not under the first key")
		}
	})
}

func TestASealedSecretIsOfUseInItsOwnPlaceOnly(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		c := redistest.Client(t, addr)
		s := open(t, addr, sealedUnder(t, secretsKey(1)))
		a, err := s.CreateSubscription(t.Context(), secretive("a"))
		require.NoError(t, err)
		b, err := s.CreateSubscription(t.Context(), secretive("b"))
		require.NoError(t, err)
		key := redisstore.Key(s, "subs")
		moved := strings.ReplaceAll(strings.Replace(c.HGet(t.Context(), key, a.ID).Val(), "a\n", "b\n", 1), a.ID, b.ID)
		require.NoError(t, c.HSet(t.Context(), key, b.ID, moved).Err())
		_, err = s.Subscription(t.Context(), b.ID)
		require.ErrorContains(t, err, "is not what was sealed here")
		require.ErrorContains(t, err, b.ID)
		_, err = s.Subscription(t.Context(), a.ID)
		require.NoError(t, err)

		log := &bytes.Buffer{}
		open(t, addr, inNamespace(s), sealedUnder(t, secretsKey(2), secretsKey(1)), func(c *redisstore.Config) { c.Logger = slog.New(slog.NewTextHandler(log, nil)) })
		require.Contains(t, log.String(), "can't be sealed anew")
		require.Contains(t, log.String(), "definitions=1", "the others are")
	})
}

func TestSealingAnewOverwritesNoChangeThatComesBetween(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		inClear := open(t, addr)
		sub, err := inClear.CreateSubscription(t.Context(), secretive("a"))
		require.NoError(t, err)
		other, err := inClear.CreateSubscription(t.Context(), secretive("b"))
		require.NoError(t, err)
		sealing := open(t, addr, sealedUnder(t, secretsKey(1)))
		redisstore.MoveTo(sealing, inClear)
		reached := 0
		interleave(sealing, func(script string, args []any) error {
			if script != "reseal" {
				return nil
			}
			reached++
			if reached > 1 { // the other one is deleted just then
				_, err := inClear.DeleteSubscription(t.Context(), other.ID, 0)
				return err
			}
			sub.Title, sub.Sink.Secret = "changed just then", "whsec_new"
			sub, err = inClear.ReplaceSubscription(t.Context(), sub)
			return err
		})
		require.NoError(t, redisstore.SealDefinitions(t.Context(), sealing))
		require.Equal(t, 2, reached)
		list, err := sealing.Subscriptions(t.Context(), "", 10)
		require.NoError(t, err)
		require.Equal(t, []router.Subscription{sub}, list)
	})
}

func TestASecretIsRotatedByRedisClockAndTheOneBeforeIsSealedToo(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		c := redistest.Client(t, addr)
		s := open(t, addr, sealedUnder(t, secretsKey(1)))
		sub, err := s.CreateSubscription(t.Context(), secretive("a"))
		require.NoError(t, err)
		before, err := c.Time(t.Context()).Result()
		require.NoError(t, err)
		rotated, err := s.RotateSecret(t.Context(), sub, "whsec_new-hunter2")
		require.NoError(t, err)
		require.Equal(t, "whsec_new-hunter2", rotated.Sink.Secret)
		require.Equal(t, "whsec_hunter2", rotated.Rotated[0].Secret)
		require.WithinDuration(t, before.Add(24*time.Hour), rotated.Rotated[0].Until, time.Minute)
		require.NotContains(t, atRest(t, c, s, sub.ID), "hunter2")
		again := open(t, addr, inNamespace(s), sealedUnder(t, secretsKey(2), secretsKey(1)))
		require.Equal(t, 5, strings.Count(atRest(t, c, s, sub.ID), `"sealed:v1:`+sealingKey(t, secretsKey(2))+":"))
		one, err := again.Subscription(t.Context(), sub.ID)
		require.NoError(t, err)
		require.Equal(t, rotated, one)
		_, err = s.RotateSecret(t.Context(), sub, "whsec_other")
		require.Equal(t, router.Precondition, router.ErrorCode(err), "somebody else has rotated it")

		one.Rotated[0].Until = before.Add(-time.Second)
		one, err = again.ReplaceSubscription(t.Context(), one)
		require.NoError(t, err)
		require.Empty(t, one.Rotated, "what signs no more is forgotten with the next change")
	})
}
