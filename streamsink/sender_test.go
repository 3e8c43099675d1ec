package streamsink_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/streamsink"
	"github.com/streamlatch/streamlatch/webhook"
)

// newSender makes a sender that may reach this machine.
func newSender(t testing.TB, change ...func(*streamsink.Config)) *streamsink.Sender {
	t.Helper()
	targets, err := webhook.ParseTargets("127.0.0.0/8", "::1")
	require.NoError(t, err)
	c := streamsink.Config{Guard: webhook.NewGuard(targets...)}
	for _, f := range change {
		f(&c)
	}
	s := streamsink.New(c)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

// delivery is the n-th delivery of a subscription whose sink is a stream.
func delivery(t testing.TB, url, stream string, n int, change ...func(*router.Sink)) router.Sending {
	t.Helper()
	e, err := router.NewEvent(router.EventFields{ID: fmt.Sprint(n), Source: "/shop", Type: "order.paid", Data: `{"n": 1.0}`, DataKind: router.JSONData})
	require.NoError(t, err)
	sub := &router.Subscription{
		ID: "sub_01JD6Z3V9K8Q2M4N5P6R7S8T9V", Sink: router.Sink{Kind: router.StreamSink, Stream: stream, Redis: url, Timeout: router.Duration(30 * time.Second)},
		Delivery: router.DefaultDelivery(),
	}
	for _, f := range change {
		f(&sub.Sink)
	}
	return router.Sending{Subscription: sub, Entry: router.Entry{Position: router.Position{MS: 1732128000000, Seq: uint64(n)}}, Event: e, Attempt: 1}
}

func entries(t testing.TB, c redis.UniversalClient, stream string) []redis.XMessage {
	t.Helper()
	list, err := c.XRange(t.Context(), stream, "-", "+").Result()
	require.NoError(t, err)
	return list
}

func TestAnEventIsAppendedOncePerDelivery(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		c, stream := redistest.Client(t, addr), redistest.Namespace(t)
		for name, s := range map[string]*streamsink.Sender{
			"own":   newSender(t, func(c *streamsink.Config) { c.Own, c.Guard = "redis://"+addr, webhook.NewGuard() }),
			"other": newSender(t),
		} {
			stream, url := stream+name, "redis://"+addr
			if name == "own" {
				url = ""
			}
			for _, n := range []int{1, 2, 1, 3, 2, 1} {
				a := s.Send(t.Context(), delivery(t, url, stream, n))
				require.Equal(t, router.OutcomeDelivered, a.Outcome, a.Error)
				require.Positive(t, a.Duration)
			}
			list := entries(t, c, stream)
			require.Len(t, list, 3)
			require.Equal(t, "dlv_0-1732128000000-1-01JD6Z3V9K8Q2M4N5P6R7S8T9V", list[0].Values["delivery"])
			require.Equal(t, `{"specversion":"1.0","id":"1","source":"/shop","type":"order.paid","data":{"n": 1.0}}`, list[0].Values["event"])
			require.Len(t, list[0].Values, 2)
		}
	})
}

func TestALostReplyAppendsNothingTwice(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		proxy := redistest.NewProxy(t, addr)
		c, stream := redistest.Client(t, addr), redistest.Namespace(t)
		s, url := newSender(t), "redis://"+proxy.Addr()
		quick := func(s *router.Sink) { s.Timeout = router.Duration(300 * time.Millisecond) }
		require.Equal(t, router.OutcomeDelivered, s.Send(t.Context(), delivery(t, url, stream, 1)).Outcome)
		proxy.Only(stream)
		proxy.SwallowNext(1)
		a := s.Send(t.Context(), delivery(t, url, stream, 2, quick))
		require.Contains(t, []router.Outcome{router.OutcomeTimeout, router.OutcomeReset}, a.Outcome, a.Error)
		require.Len(t, entries(t, c, stream), 2, "it was appended, and nobody has heard")
		retry := delivery(t, url, stream, 2)
		retry.Attempt = 2
		require.Equal(t, router.OutcomeDelivered, s.Send(t.Context(), retry).Outcome)
		require.Equal(t, router.OutcomeDelivered, newSender(t).Send(t.Context(), retry).Outcome, "nor does another replica append it")
		proxy.CutNext(1)
		require.Equal(t, router.OutcomeReset, s.Send(t.Context(), delivery(t, url, stream, 3)).Outcome)
		require.Equal(t, router.OutcomeDelivered, s.Send(t.Context(), delivery(t, url, stream, 3)).Outcome)
		require.Len(t, entries(t, c, stream), 3)
	})
}

func TestManySendersOfOneDeliveryAppendItOnce(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		c, stream := redistest.Client(t, addr), redistest.Namespace(t)
		var all sync.WaitGroup
		for range 4 {
			s := newSender(t)
			for n := range 25 {
				all.Go(func() {
					a := s.Send(t.Context(), delivery(t, "redis://"+addr, stream, n))
					if a.Outcome != router.OutcomeDelivered {
						t.Error(a.Error)
					}
				})
			}
		}
		all.Wait()
		require.Len(t, entries(t, c, stream), 25)
	})
}

func TestADeliveryIsRememberedAsLongAsARepeatMayComeAndAnHourAfterItsReply(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		c, stream := redistest.Client(t, addr), redistest.Namespace(t)
		s := newSender(t)
		until := func(n int) time.Duration {
			score, err := c.ZScore(t.Context(), streamsink.Memory(stream), delivery(t, "", stream, n).DeliveryID()).Result()
			require.NoError(t, err)
			now, err := c.Time(t.Context()).Result()
			require.NoError(t, err)
			return time.UnixMilli(int64(score)).Sub(now)
		}
		about := func(want, got time.Duration) { require.InDelta(t, want.Seconds(), got.Seconds(), 60) }
		r := delivery(t, "redis://"+addr, stream, 1)
		r.Subscription.Delivery.Retry = router.Retry{Schedule: []router.Duration{router.Duration(time.Hour), router.Duration(10 * time.Hour)}, Jitter: 0.5}
		require.Equal(t, router.OutcomeDelivered, s.Send(t.Context(), r).Outcome)
		about(11*time.Hour*3/2+time.Hour, until(1))
		second := delivery(t, "redis://"+addr, stream, 2)
		second.Subscription.Delivery.Retry, second.Attempt = r.Subscription.Delivery.Retry, 2
		require.Equal(t, router.OutcomeDelivered, s.Send(t.Context(), second).Outcome)
		about(10*time.Hour*3/2+time.Hour, until(2))
		about(time.Hour, until(1))
		ttl, err := c.PTTL(t.Context(), streamsink.Memory(stream)).Result()
		require.NoError(t, err)
		about(11*time.Hour*3/2+time.Hour, ttl)

		failing := delivery(t, "redis://"+addr, stream, 3)
		ctx, cancel := contextWithCancel(t)
		cancel()
		require.Equal(t, router.OutcomeCanceled, s.Send(ctx, failing).Outcome, "what it would have told of is told of by the next call")
		require.NoError(t, c.ZAdd(t.Context(), streamsink.Memory(stream), redis.Z{Score: 1, Member: "long ago"}).Err())
		require.Equal(t, router.OutcomeDelivered, s.Send(t.Context(), delivery(t, "redis://"+addr, stream, 3)).Outcome)
		about(time.Hour, until(2))
		require.ErrorIs(t, c.ZScore(t.Context(), streamsink.Memory(stream), "long ago").Err(), redis.Nil)
	})
}

func TestAStreamIsKeptAtAboutItsLength(t *testing.T) {
	addr, stream := redistest.Shared(t)
	c, s := redistest.Client(t, addr), newSender(t)
	for n := range 400 {
		a := s.Send(t.Context(), delivery(t, "redis://"+addr, stream, n, func(s *router.Sink) { s.MaxLen = 100 }))
		require.Equal(t, router.OutcomeDelivered, a.Outcome, a.Error)
	}
	length, err := c.XLen(t.Context(), stream).Result()
	require.NoError(t, err)
	require.GreaterOrEqual(t, length, int64(100))
	require.Less(t, length, int64(300))
}

func TestFailuresAreToldApartAndShowNoSecrets(t *testing.T) {
	addr, stream := redistest.Shared(t)
	c := redistest.Client(t, addr)
	require.NoError(t, c.Set(t.Context(), stream+"-taken", "x", 0).Err())
	require.NoError(t, c.Set(t.Context(), streamsink.Memory(stream+"-half"), "x", 0).Err())
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	nobody := closed.Addr().String()
	require.NoError(t, closed.Close())
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	for name, c := range map[string]struct {
		url, stream string
		timeout     time.Duration
		want        router.Outcome
	}{
		"not a stream":    {"redis://" + addr, stream + "-taken", 0, router.OutcomeStatus},
		"memory is taken": {"redis://" + addr, stream + "-half", 0, router.OutcomeStatus},
		"wrong password":  {"redis://joe:hunter2@" + addr, stream, 0, router.OutcomeStatus},
		"nobody listens":  {"redis://:hunter2@" + nobody, stream, 0, router.OutcomeRefused},
		"no answer":       {"redis://:hunter2@" + silent.Addr().String(), stream, 200 * time.Millisecond, router.OutcomeTimeout},
		"no TLS there":    {"rediss://:hunter2@" + addr, stream, 0, router.OutcomeTLS},
		"a private one":   {"redis://:hunter2@10.255.0.1:6379", stream, 0, router.OutcomeBlocked},
		"metadata":        {"redis://:hunter2@169.254.169.254", stream, 0, router.OutcomeBlocked},
		"no URL":          {"http://:hunter2@" + addr, stream, 0, router.OutcomeInvalid},
		"a socket":        {"unix:///tmp/hunter2", stream, 0, router.OutcomeInvalid},
		"our own keys":    {"redis://:hunter2@" + addr, "sl:{0}:log", 0, router.OutcomeInvalid},
		"none of our own": {"", stream, 0, router.OutcomeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			a := newSender(t).Send(t.Context(), delivery(t, c.url, c.stream, 1, func(s *router.Sink) {
				if c.timeout > 0 {
					s.Timeout = router.Duration(c.timeout)
				}
			}))
			require.Equal(t, c.want, a.Outcome, a.Error)
			require.NotEmpty(t, a.Error)
			require.NotContains(t, a.Error, "hunter2")
		})
	}
	require.Zero(t, c.Exists(t.Context(), stream+"-half").Val(), "nothing is appended that can't be remembered")
}

func TestOurOwnRedisIsNotReachedByItsURL(t *testing.T) {
	addr, stream := redistest.Shared(t)
	s := newSender(t, func(c *streamsink.Config) {
		tcp, err := net.ResolveTCPAddr("tcp", addr)
		require.NoError(t, err)
		c.Guard.Deny(tcp.AddrPort())
		require.ErrorContains(t, streamsink.CheckURL(c.Guard, "redis://"+addr), "own storage")
		c.Own = "redis://" + addr
	})
	require.Equal(t, router.OutcomeBlocked, s.Send(t.Context(), delivery(t, "redis://"+addr, stream, 1)).Outcome)
	require.Equal(t, router.OutcomeDelivered, s.Send(t.Context(), delivery(t, "", stream, 1)).Outcome)
}

func TestACertificateOfAnotherRedisIsChecked(t *testing.T) {
	addr, stream := redistest.Shared(t)
	url, roots := encrypted(t, addr)
	a := newSender(t).Send(t.Context(), delivery(t, url, stream, 1))
	require.Equal(t, router.OutcomeTLS, a.Outcome, a.Error)
	a = newSender(t, func(c *streamsink.Config) { c.Roots = roots }).Send(t.Context(), delivery(t, url, stream, 1))
	require.Equal(t, router.OutcomeDelivered, a.Outcome, a.Error)
	own := newSender(t, func(c *streamsink.Config) {
		c.Own, c.OwnTLS = url, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	})
	require.Equal(t, router.OutcomeDelivered, own.Send(t.Context(), delivery(t, "", stream, 1)).Outcome)
}

func TestAStreamOnAClusterIsInTheSlotOfItsMemory(t *testing.T) {
	cluster := redistest.StartCluster(t, 3, 0)
	s, url := newSender(t), "redis+cluster://"+strings.Join(cluster.Addrs(), ",")
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs(), Protocol: 2, DisableIdentity: true})
	defer c.Close()
	for _, stream := range []string{"orders", "a{b}c", "{x}", "z:9/y"} {
		for _, n := range []int{1, 2, 1} {
			a := s.Send(t.Context(), delivery(t, url, stream, n))
			require.Equal(t, router.OutcomeDelivered, a.Outcome, "%s: %s", stream, a.Error)
		}
		require.Len(t, entries(t, c, stream), 2)
	}
}

func TestAnEndOfTheContextIsNoFailureOfTheRedis(t *testing.T) {
	addr, stream := redistest.Shared(t)
	ctx, cancel := contextWithCancel(t)
	cancel()
	require.Equal(t, router.OutcomeCanceled, newSender(t).Send(ctx, delivery(t, "redis://"+addr, stream, 1)).Outcome)
}

func TestURLsOfStreamsAreCheckedWhenTheyAreSaved(t *testing.T) {
	g := webhook.NewGuard()
	for url, want := range map[string]string{
		"redis://redis.example":                      "",
		"rediss://u:p@redis.example:6380/2":          "",
		"redis+sentinel://a.example,b.example/m":     "",
		"redis+cluster://8.8.8.8:6379,redis.example": "",
		"redis://127.0.0.1":                          "127.0.0.1: not a permitted target",
		"redis://localhost:6380":                     "not a permitted target",
		"redis://LOCALHOST.":                         "not a permitted target",
		"redis://[::ffff:10.0.0.1]:1":                "not a permitted target",
		"redis+cluster://8.8.8.8,10.0.0.1:6379":      "10.0.0.1: not a permitted target",
		"unix:///run/redis.sock":                     "socket of this machine",
		"http://redis.example":                       "unknown scheme",
		"redis://:hunter2@":                          "has no host",
		"redis://①②⑦.0.0.1":                          "a host is a name",
		"redis://:hunter2@a.example/x":               "database is not a number",
	} {
		err := streamsink.CheckURL(g, url)
		if want == "" {
			require.NoError(t, err, url)
			continue
		}
		require.ErrorContains(t, err, "sink.redis: ", url)
		require.ErrorContains(t, err, want, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
}

func TestConnectionsToManyRedisesAreBounded(t *testing.T) {
	addr, stream := redistest.Shared(t)
	s := newSender(t)
	for db := range 600 { // each URL is another one
		a := s.Send(t.Context(), delivery(t, fmt.Sprintf("redis://u%d:p@%s", db, addr), stream, 1))
		require.Equal(t, router.OutcomeStatus, a.Outcome, a.Error)
	}
	require.LessOrEqual(t, streamsink.Targets(s), 256)
}

func TestTheDocumentedPermissionsAreEnough(t *testing.T) {
	text, err := os.ReadFile("../docs/operations.md")
	require.NoError(t, err)
	rule := regexp.MustCompile("(?s)A user for streams of another Redis needs those patterns, and\\s+`([^`]+)`").FindStringSubmatch(string(text))
	require.NotNil(t, rule)
	server := redistest.Start(t)
	admin := redistest.Client(t, server.Addr())
	words := []any{"ACL", "SETUSER", "joe", "on", ">hunter2", "resetchannels", "resetkeys", "~orders", "~{orders}:*", "-@all"}
	for word := range strings.FieldsSeq(rule[1]) {
		words = append(words, word)
	}
	require.NoError(t, admin.Do(t.Context(), words...).Err())
	s, url := newSender(t), "redis://joe:hunter2@"+server.Addr()
	for _, n := range []int{1, 2, 1} {
		a := s.Send(t.Context(), delivery(t, url, "orders", n, func(s *router.Sink) { s.MaxLen = 10 }))
		require.Equal(t, router.OutcomeDelivered, a.Outcome, a.Error)
	}
	require.Len(t, entries(t, admin, "orders"), 2)
	refusals, err := admin.Do(t.Context(), "ACL", "LOG").Slice()
	require.NoError(t, err)
	require.Empty(t, refusals)
}
