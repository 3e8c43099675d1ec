package redisstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// Where a subscription has a queue in several partitions, its limit on deliveries in flight is kept in its home partition: a claim first takes
// a permit there for each delivery. A permit runs out with the lease, so a crash wastes some for a while and never exceeds the limit. With one
// partition the leases themselves are counted, by claim.lua.

func (s *Store) needsPermits() bool { return len(s.keys) > 1 }

// permits are what one claim may take. Where no permits are needed they have no names.
type permits struct {
	token string
	left  int
}

// use takes one and returns its name.
func (p *permits) use() string {
	p.left--
	if p.token == "" {
		return ""
	}
	return permitName(p.token, p.left+1)
}

func permitName(token string, n int) string { return token + " " + strconv.Itoa(n) }

// takePermits returns how many deliveries each claim may take.
func (s *Store) takePermits(ctx context.Context, claims []router.Claim) ([]permits, error) {
	all := make([]permits, len(claims))
	for i, c := range claims {
		all[i] = permits{left: c.Max}
		if !s.needsPermits() {
			continue
		}
		token := rand.Text()
		n, err := s.permit(ctx, c.Queue, c.Max, c.Lease, token, nil)
		if err != nil {
			return nil, err
		}
		all[i] = permits{token: token, left: n}
	}
	return all, nil
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

// returnUnused gives back what claims had permits for and found no deliveries.
func (s *Store) returnUnused(ctx context.Context, claims []router.Claim, all []permits) {
	for i, c := range claims {
		if all[i].token == "" {
			continue
		}
		var back []string
		for n := all[i].left; n > 0; n-- {
			back = append(back, permitName(all[i].token, n))
		}
		s.giveBack(ctx, c.Queue, back)
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
		s.giveBack(ctx, group[0].Claimed.Queue, back)
	}
}

func (s *Store) giveBack(ctx context.Context, q router.Queue, names []string) {
	if len(names) == 0 {
		return
	}
	if _, err := s.permit(ctx, q, 0, 0, "", names); err != nil {
		s.config.Logger.Warn("permits in flight were not given back; they run out by themselves", "error", err)
	}
}
