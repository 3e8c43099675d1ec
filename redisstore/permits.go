package redisstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// Before a claim, permits are taken in the subscription's home partition, one for each delivery. Two kinds of them:
//
// To be in flight, where a subscription has queues in several partitions. Such a permit runs out with the lease, so a crash wastes some for a while and never
// exceeds the limit. With one partition the leases themselves are counted, by claim.lua.
//
// To begin within the window of the subscription's rate, where it has one. Such a permit counts from the latest time at which the attempt may begin, so that
// no window sees more attempts than the limit, wherever within their slack they begin.

func (s *Store) countsInFlight() bool { return len(s.keys) > 1 }

// needsPermits tells whether a queue's deliveries take permits.
func (s *Store) needsPermits(q router.Queue) bool { return s.countsInFlight() || q.Rate.Limit > 0 }

// permitPause is when a queue that got no permit to be in flight is looked at again.
const permitPause = 50 * time.Millisecond

// permits are what one claim may take. Where none are needed they have neither names nor a date.
type permits struct {
	token string // names those to be in flight
	date  string // of those of the rate
	left  int
	wait  time.Duration // until there may be more

	failing time.Duration // how long the endpoint has been, if the breaker is open
}

// use takes one, and returns its name and its date.
func (p *permits) use() (name, date string) {
	p.left--
	if p.token == "" {
		return "", p.date
	}
	return permitName(p.token, p.left+1), p.date
}

// unused is what is left, to be given back.
func (p *permits) unused() (back returned) {
	for n := p.left; n > 0; n-- {
		if p.token != "" {
			back.add(permitName(p.token, n), "other")
		}
		if p.date != "" {
			back.dates = append(back.dates, p.date)
		}
	}
	return back
}

func permitName(token string, n int) string { return token + " " + strconv.Itoa(n) }

// returned are permits that are given back.
type returned struct {
	names []string // of those in flight, each with what the attempt says of the endpoint
	dates []string // of those of the rate, as permit.lua has them
}

func (r *returned) add(name, says string) { r.names = append(r.names, name, says) }

// takePermits returns how many deliveries each claim may take.
func (s *Store) takePermits(ctx context.Context, claims []router.Claim) ([]permits, error) {
	all := make([]permits, len(claims))
	for i, c := range claims {
		all[i] = permits{left: c.Max}
		if !s.needsPermits(c.Queue) {
			continue
		}
		var err error
		if all[i], err = s.permit(ctx, c, returned{}); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// permit takes permits for a claim and gives others back.
func (s *Store) permit(ctx context.Context, c router.Claim, back returned) (p permits, err error) {
	q := c.Queue
	most := 0
	if s.countsInFlight() {
		most, p.token = q.MaxInFlight, rand.Text()
	}
	args := []any{most, c.Max, c.Lease.Milliseconds(), p.token, q.Rate.Limit, q.Rate.Per.Std().Milliseconds(), c.Slack.Milliseconds()}
	args = appendBreaker(args, q, s.countsInFlight())
	args = append(args, q.Subscription, len(back.dates))
	for _, list := range [][]string{back.dates, back.names} {
		for _, one := range list {
			args = append(args, one)
		}
	}
	k := s.keys[home(q.Subscription, len(s.keys))]
	reply, err := s.run(ctx, s.scripts.Permit, []string{k.permits(q.Subscription), k.rate(q.Subscription), k.open(), k.breaker(q.Subscription)}, args...)
	if err != nil {
		return p, unavailable(err, "take permits")
	}
	words, err := stringsOf(reply, 4)
	if err != nil {
		return p, fmt.Errorf("take permits: %w", err)
	}
	r := replyReader{words: words}
	p.left, p.wait = r.integer(), time.Duration(r.integer())*time.Millisecond
	if date := r.word(); q.Rate.Limit > 0 {
		p.date = date
	}
	p.failing = time.Duration(r.integer()) * time.Millisecond
	if s.countsInFlight() && p.left == 0 {
		p.wait = max(p.wait, permitPause)
	}
	return p, r.err
}

// returnUnused gives back what claims had permits for and found no deliveries.
func (s *Store) returnUnused(ctx context.Context, claims []router.Claim, all []permits) {
	for i, c := range claims {
		_ = s.giveBack(ctx, c.Queue, all[i].unused())
	}
}

// returnPermits gives back the permits of attempts that are over, with what they say of the endpoint, and those of the rate of attempts that were not made, or
// began earlier than they might have.
// Of late attempts nothing is said: the subscription may be gone.
func (s *Store) returnPermits(ctx context.Context, groups [][]router.Settlement, settled []router.Settled) {
	for i, group := range groups {
		var back returned
		for _, one := range group {
			if one.Claimed.Permit != "" {
				back.add(one.Claimed.Permit, verdictOn(one, settled[i].Lost > 0))
			}
			switch date := one.Claimed.Date; {
			case date != "" && one.Unstarted:
				back.dates = append(back.dates, date)
			case date != "" && one.Early >= time.Millisecond:
				back.dates = append(back.dates, date+":"+strconv.FormatInt(one.Early.Milliseconds(), 10))
			}
		}
		settled[i].Failing = max(settled[i].Failing, s.giveBack(ctx, group[0].Claimed.Queue, back))
	}
}

// verdictOn is what an attempt says of the endpoint.
func verdictOn(one router.Settlement, late bool) string {
	switch {
	case late || one.Unstarted:
		return "other"
	case one.Verdict == router.Delivered:
		return "delivered"
	case one.Fault:
		return "fault"
	default:
		return "other"
	}
}

// giveBack returns for how long the endpoint has been failing, if the breaker is open.
func (s *Store) giveBack(ctx context.Context, q router.Queue, back returned) time.Duration {
	if len(back.names)+len(back.dates) == 0 {
		return 0
	}
	p, err := s.permit(ctx, router.Claim{Queue: q}, back)
	if err != nil {
		s.config.Logger.Warn("permits were not given back; they run out by themselves", "error", err)
	}
	return p.failing
}
