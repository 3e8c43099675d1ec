package redisstore

import (
	"context"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

const (
	figuresPage   = 200 // subscriptions that one round trip is about
	figuresOldest = 16  // deliveries of each sort that are looked at for the oldest one
)

// SubscriptionFigures tells the figures of all subscriptions; see router.FiguresStore. It reads a few pages at a time, none of which takes Redis long.
func (s *Store) SubscriptionFigures(ctx context.Context) ([]router.SubscriptionFigures, error) {
	names, err := s.subscriptionNames(ctx)
	if err != nil {
		return nil, err
	}
	figures := make([]router.SubscriptionFigures, len(names))
	for i := range names {
		figures[i].Name = names[i].name
	}
	for first := 0; first < len(names); first += figuresPage {
		last := min(first+figuresPage, len(names))
		for p := range s.keys {
			if err := s.addFigures(ctx, p, names[first:last], figures[first:last]); err != nil {
				return nil, err
			}
		}
	}
	return figures, nil
}

type namedID struct{ name, id string }

// subscriptionNames are in the order in which they were created.
func (s *Store) subscriptionNames(ctx context.Context) (list []namedID, err error) {
	for cursor := uint64(0); ; {
		page, next, err := s.reader.HScan(ctx, s.keys[0].names(subscriptionKind()), cursor, "", keepPage).Result()
		if err != nil {
			return nil, unavailable(err, "list subscriptions")
		}
		for i := 0; i+1 < len(page); i += 2 {
			list = append(list, namedID{page[i], page[i+1]})
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	slices.SortFunc(list, func(a, b namedID) int { return strings.Compare(a.id, b.id) })
	return slices.CompactFunc(list, func(a, b namedID) bool { return a.id == b.id }), nil // a scan may give some twice
}

// queueCalls are what is asked of one queue.
type queueCalls struct {
	sizes    queueSizes
	oldest   [3]*redis.StringSliceCmd
	counters *redis.SliceCmd
	stopped  [2]*redis.BoolCmd // paused, breaker open
}

func (s *Store) addFigures(ctx context.Context, partition int, names []namedID, figures []router.SubscriptionFigures) error {
	k := s.keys[partition]
	pipe := s.reader.Pipeline()
	calls := make([]queueCalls, len(names))
	for i, one := range names {
		id := one.id
		calls[i] = queueCalls{
			sizes: askSizes(ctx, pipe, k, id),
			oldest: [3]*redis.StringSliceCmd{
				pipe.LRange(ctx, k.fresh(id), 0, 0), pipe.ZRange(ctx, k.retries(id), 0, figuresOldest-1), pipe.ZRange(ctx, k.leases(id), 0, figuresOldest-1),
			},
			counters: pipe.HMGet(ctx, k.counters(id), "delivered", "dead", "over_cap", "not_queued"),
			stopped:  [2]*redis.BoolCmd{pipe.HExists(ctx, k.paused(), id), pipe.HExists(ctx, k.open(), id)},
		}
	}
	// A key that holds something else counts nothing; what applies to it says so, and the other queues have their figures.
	asked, _ := pipe.Exec(ctx) // each has its own error
	for _, one := range asked {
		if err := one.Err(); err != nil && !redis.HasErrorPrefix(err, "WRONGTYPE") {
			return unavailable(err, "read the figures of queues")
		}
	}
	for i := range calls {
		calls[i].addTo(&figures[i], partition)
	}
	return nil
}

func (c *queueCalls) addTo(f *router.SubscriptionFigures, partition int) {
	f.InFlight += c.sizes.flying.Val()
	f.Retrying += c.sizes.retrying.Val()
	f.Backlog += c.sizes.backlog()
	sums := []*int64{&f.Delivered, &f.Dead, &f.OverCap, &f.NotQueued}
	for i, value := range c.counters.Val() {
		text, _ := value.(string)
		*sums[i] += counter(text)
	}
	status := router.SubscriptionStatus{OldestPending: f.OldestPending}
	for _, entries := range c.oldest {
		addOldest(&status, partition, entries.Val())
	}
	f.OldestPending = status.OldestPending
	if c.stopped[0].Val() {
		f.Paused = 1
	}
	if c.stopped[1].Val() {
		f.BreakerOpen = 1
	}
}
