package redisstore_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/internal/redistest"
	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// outage is an endpoint that is down until it is up, and keeps the events that it took, as they are encoded.
type outage struct {
	mu   sync.Mutex
	up   bool
	took map[string]map[string][]string // subscription's name → event's id → what came under it
}

func (o *outage) Send(_ context.Context, s router.Sending) router.Attempt {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.up {
		return router.Attempt{At: time.Now(), Outcome: router.OutcomeRefused}
	}
	if o.took[s.Subscription.Name] == nil {
		o.took[s.Subscription.Name] = map[string][]string{}
	}
	o.took[s.Subscription.Name][s.Event.ID()] = append(o.took[s.Subscription.Name][s.Event.ID()], s.Event.Encode())
	return router.Attempt{At: time.Now(), Outcome: router.OutcomeDelivered}
}

func (o *outage) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.up = true
}

func (o *outage) count(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.took[name])
}

// The log is kept for a second by age, and the endpoint is down until nothing of it is left: what waits for another attempt, what was never tried, what waits behind
// others of its lane, and what workers have or have not pulled is delivered from copies, to the byte.
func TestAnOutageThatIsLongerThanTheRetentionLosesNothing(t *testing.T) {
	redistest.Each(t, func(t *testing.T, addr string) {
		s := open(t, addr, func(c *redisstore.Config) { c.Retention = time.Second })
		delivery := router.Delivery{MaxInFlight: 3, Retry: router.Retry{Schedule: slices.Repeat([]router.Duration{router.Duration(300 * time.Millisecond)}, 50)}}
		subscribe := func(name string, sink router.Sink, change func(*router.Delivery)) router.Subscription {
			sub := router.Subscription{Name: name, Enabled: true, Filter: router.Filter{Types: []string{"x.*"}}, Sink: sink, Delivery: delivery}
			change(&sub.Delivery)
			sub, err := s.CreateSubscription(t.Context(), sub)
			require.NoError(t, err)
			return sub
		}
		webhook := router.Sink{Kind: router.WebhookSink, URL: "http://127.0.0.1:1/", Mode: router.Structured, Timeout: router.DefaultSinkTimeout}
		names := []string{"plain", "ordered", "broken"}
		subscribe("plain", webhook, func(*router.Delivery) {})
		subscribe("ordered", webhook, func(d *router.Delivery) { d.Ordered = true })
		subscribe("broken", webhook, func(d *router.Delivery) { d.Breaker = router.Breaker{Failures: 2, Pause: router.Duration(time.Second)} })
		pull := subscribe("pulled", router.Sink{Kind: router.PullSink, Lease: router.DefaultPullLease, MaxAttempts: router.DefaultPulls}, func(*router.Delivery) {})
		endpoint := &outage{took: map[string]map[string][]string{}}
		r, _ := start(t, s, endpoint)
		const events = 120
		sent := map[string]string{}
		for i := range events {
			e, err := router.NewEvent(router.EventFields{
				ID: fmt.Sprint(i), Source: "/outage", Type: "x.y", Subject: fmt.Sprint("key", i%4), DataKind: router.BinaryData,
				Data: strings.Repeat(fmt.Sprintf("\x00\xff%d\n", i), i),
			})
			require.NoError(t, err)
			sent[e.ID()] = e.Encode()
			appendOne(t, s, e)
		}
		eventually(t, func() bool { return statusOf(t, s, pull).Backlog == events }, "all are queued")
		inHand, err := r.Pull(t.Context(), pull, router.PullRequest{Max: 20})
		require.NoError(t, err)
		require.Len(t, inHand, 20)

		eventually(t, func() bool {
			_, err := s.Housekeep(t.Context(), 0)
			require.NoError(t, err)
			left, err := s.ReadLog(t.Context(), router.Position{}, 10, 0)
			require.NoError(t, err)
			return len(left) == 0
		}, "nothing of the log is left")
		c := redistest.Client(t, addr)
		require.EqualValues(t, events, c.HLen(t.Context(), redisstore.Key(s, "copies")).Val()/2, "each event is copied once, with a count of its holders")
		endpoint.end()
		for _, name := range names {
			eventually(t, func() bool { return endpoint.count(name) == events }, "all arrives at "+name)
		}
		endpoint.mu.Lock()
		for _, name := range names {
			for id, encoded := range sent {
				require.Equal(t, []string{encoded}, endpoint.took[name][id], "event %s, once, at %s", id, name)
			}
		}
		endpoint.mu.Unlock()
		pulled := inHand
		for len(pulled) < events {
			more, err := r.Pull(t.Context(), pull, router.PullRequest{Max: 100})
			require.NoError(t, err)
			require.NotEmpty(t, more)
			pulled = append(pulled, more...)
		}
		for i, one := range pulled {
			require.Equal(t, sent[one.Event.ID()], one.Event.Encode(), "delivery %d", i)
			good, err := r.Ack(t.Context(), pull, []router.Receipt{one.Receipt})
			require.NoError(t, err)
			require.Equal(t, []bool{true}, good)
		}
		eventually(t, func() bool { return c.HLen(t.Context(), redisstore.Key(s, "copies")).Val() == 0 }, "no copy is left behind")
		require.Zero(t, c.HLen(t.Context(), redisstore.Key(s, "holds")).Val())
	})
}
