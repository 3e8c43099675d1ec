package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// Where a subscription has a queue in several partitions, its limit on deliveries in flight is kept in its home partition: a claim first takes
// a permit there for each delivery. A permit runs out with the lease, so a crash wastes some for a while and never exceeds the limit. With one
// partition the leases themselves are counted, by claim.lua.

func (s *Store) needsPermits() bool { return len(s.keys) > 1 }

func permitName(token string, n int) string { return token + " " + strconv.Itoa(n) }

// takePermits returns how many deliveries each claim may take.
func (s *Store) takePermits(ctx context.Context, claims []router.Claim, token string) ([]int, error) {
	permits := make([]int, len(claims))
	for i, c := range claims {
		permits[i] = c.Max
		if !s.needsPermits() {
			continue
		}
		n, err := s.permit(ctx, c.Queue, c.Max, c.Lease, token, nil)
		if err != nil {
			return nil, err
		}
		permits[i] = n
	}
	return permits, nil
}

func (s *Store) permit(ctx context.Context, q router.Queue, want int, ttl time.Duration, token string, back []string) (int, error) {
	args := []any{q.MaxInFlight, want, ttl.Milliseconds(), token}
	for _, name := range back {
		args = append(args, name)
	}
	k := s.keys[home(q.Subscription, len(s.keys))]
	reply, err := s.run(ctx, s.scripts.Permit, []string{k.permits(q.Subscription)}, args...)
	if err != nil {
		return 0, unavailable(err, "take permits")
	}
	n, ok := reply.(int64)
	if !ok {
		return 0, fmt.Errorf("take permits: unexpected reply %T", reply)
	}
	return int(n), nil
}

// returnUnused gives back what a claim had permits for and found no deliveries.
func (s *Store) returnUnused(ctx context.Context, claims []router.Claim, permits []int, claimed []router.Claimed, token string) {
	if !s.needsPermits() {
		return
	}
	used := make(map[string]int)
	for _, c := range claimed {
		used[c.Queue.Subscription]++
	}
	var failed error
	for i, c := range claims {
		var back []string
		for n := used[c.Queue.Subscription]; n < permits[i]; n++ {
			back = append(back, permitName(token, n+1))
		}
		if len(back) > 0 {
			_, err := s.permit(ctx, c.Queue, 0, 0, token, back)
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		s.config.Logger.Warn("permits in flight were not given back; they run out by themselves", "error", failed)
	}
}

func (s *Store) returnPermits(ctx context.Context, groups [][]router.Settlement) {
	if !s.needsPermits() {
		return
	}
	for _, group := range groups {
		back := make([]string, len(group))
		for i, one := range group {
			back[i] = one.Claimed.Permit
		}
		if _, err := s.permit(ctx, group[0].Claimed.Queue, 0, 0, "", back); err != nil {
			s.config.Logger.Warn("permits in flight were not given back; they run out by themselves", "error", err)
		}
	}
}
