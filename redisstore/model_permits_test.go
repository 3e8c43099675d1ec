package redisstore_test

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// modelPermits are what a claim may take, and when more may be.
type modelPermits struct {
	granted int    // permits
	allowed int    // deliveries
	date    string // until when their attempts begin
	gate    int64
	probing bool
}

// several tells whether what is in flight is counted, and breakers are asked, apart from claims.
func (m *model) several() bool { return len(m.partitions) > 1 }

// claim: what may be in flight is never exceeded; over several partitions by permits. Nor is a rate: what is not used of it is given back. An open breaker
// lets one delivery through at a time.
func (m *model) claim(p *modelPartition, claims []router.Claim) (all []router.Claimed) {
	permits := make([]modelPermits, len(claims))
	for i, c := range claims {
		permits[i] = m.takePermits(c)
	}
	for i, c := range claims {
		claimed := p.claim(m.now, c, permits[i], m.breaker(c.Queue))
		all = append(all, claimed...)
		permits[i].granted -= len(claimed)
	}
	for i, c := range claims {
		if n := permits[i].granted; n > 0 {
			m.giveBack(c.Queue, slices.Repeat([]string{permits[i].date}, n), permits[i].probing && m.breaker(c.Queue).fields["probe"] == unnamed && n == 1)
		}
	}
	return all
}

func (m *model) takePermits(c router.Claim) (permits modelPermits) {
	b := m.breaker(c.Queue)
	want := c.Max
	if m.several() {
		want = min(want, max(c.Queue.MaxInFlight-len(m.livePermits(c.Queue.Subscription)), 0))
		m.judge(c.Queue, modelVerdicts{}) // what it knows may be enough since the subscription was replaced
		want, permits.gate, permits.probing = b.through(m.now, want)
		permits.gate = min(permits.gate, m.now+1000) // other partitions do not hear when it closes
	}
	granted, wait := m.rate(c.Queue, want, c.Slack, nil)
	permits.granted, permits.allowed, permits.date = granted.n, granted.n, granted.date
	if wait > 0 {
		permits.gate = m.now + wait
	}
	if !m.several() {
		var gate int64
		permits.allowed, gate, permits.probing = b.through(m.now, granted.n)
		permits.gate = max(permits.gate, gate)
	} else if granted.n == 0 {
		permits.gate = max(permits.gate, m.now+50) // when there may be a permit
	}
	if m.several() && permits.probing && granted.n > 0 {
		b.begin(unnamed, m.now+c.Lease.Milliseconds())
	}
	return permits
}

// giveBack returns permits that were not used: also that of a probe which found nothing to deliver.
func (m *model) giveBack(q router.Queue, dates []string, probe bool) {
	if q.Rate.Limit == 0 && !m.several() {
		return
	}
	if dates[0] == "" {
		dates = nil
	}
	m.rate(q, 0, 0, dates)
	if m.several() && probe {
		m.judge(q, modelVerdicts{names: map[string]string{unnamed: "other"}})
	}
}

// modelRate are the permits of a rate that were taken: how many of each date. They are forgotten two windows and a minute after the last call, by the rate of that:
// if another one has longer windows, those that are forgotten were taken when nobody had asked for it.
type modelRate struct {
	permits map[int64]int
	per     int64
	until   int64 // when they are forgotten
}

// count leaves those out that do not count any more; whether they are still stored does not matter.
func (r modelRate) count(now int64, permits map[int64]int) map[string]int64 {
	counting := map[string]int64{}
	for date, n := range permits {
		if date+r.per > now {
			counting[decimal(date)] = int64(n)
		}
	}
	return counting
}

// rate: an attempt may begin until its date, so it counts from the moment when it was permitted to one window after that. Dates are rounded up.
func (m *model) rate(q router.Queue, want int, slack time.Duration, back []string) (granted modelGrant, wait int64) {
	if q.Rate.Limit == 0 {
		return modelGrant{n: want}, 0
	}
	per := q.Rate.Per.Std().Milliseconds()
	grain := max(per/200, 1)
	rounded := func(t int64) int64 { return (t + grain - 1) / grain * grain }
	counts, used, first := map[int64]int{}, 0, int64(0)
	if m.rates[q.Subscription].until <= m.now {
		delete(m.rates, q.Subscription)
	}
	for date, n := range m.rates[q.Subscription].permits {
		if date > m.now+2*per { // the clock went back
			date = rounded(m.now)
		}
		if date+per > m.now {
			counts[date] += n
		}
	}
	for _, text := range back {
		text, early, begun := strings.Cut(text, ":")
		if date := integer(text); counts[date] > 0 {
			counts[date]--
			if date = rounded(date - integer(early)); begun && date+per > m.now {
				counts[date]++
			}
		}
	}
	for _, n := range counts {
		used += n
	}
	taken, date := max(min(want, q.Rate.Limit-used), 0), rounded(m.now+1+slack.Milliseconds())
	counts[date] += taken
	maps.DeleteFunc(counts, func(_ int64, n int) bool { return n == 0 })
	for date := range counts {
		if date <= m.now { // its attempt has begun
			date += per
		}
		if first == 0 || date < first {
			first = date
		}
	}
	m.rates[q.Subscription] = modelRate{counts, per, m.now + 2*per + 60_000}
	if taken < want {
		wait = max(first-m.now, 1)
	}
	return modelGrant{taken, decimal(date)}, wait
}

type modelGrant struct {
	n    int
	date string
}

// returnRate: an attempt that was not made does not count, and one that began earlier than it might have counts from when it did.
func (m *model) returnRate(group []router.Settlement) {
	var back []string
	for _, s := range group {
		switch {
		case s.Claimed.Date == "":
		case s.Unstarted:
			back = append(back, s.Claimed.Date)
		case s.Early > 0:
			back = append(back, s.Claimed.Date+":"+decimal(s.Early.Milliseconds()))
		}
	}
	if back != nil || m.several() {
		m.rate(group[0].Claimed.Queue, 0, 0, back)
	}
}

// livePermits are those that have not run out.
func (m *model) livePermits(id string) map[string]int64 {
	maps.DeleteFunc(m.permits[id], func(_ string, until int64) bool { return until <= m.now })
	return m.permits[id]
}

// notePermits records what permits a claim has taken.
func (m *model) notePermits(claims []router.Claim, claimed []router.Claimed) {
	for _, one := range claimed {
		if one.Permit == "" {
			continue
		}
		id := one.Queue.Subscription
		if m.permits[id] == nil {
			m.permits[id] = map[string]int64{}
		}
		i := slices.IndexFunc(claims, func(c router.Claim) bool { return c.Queue.Subscription == id })
		m.permits[id][one.Permit] = m.now + claims[i].Lease.Milliseconds()
		if b := m.breakers[id]; b != nil && b.fields["probe"] == unnamed {
			b.fields["probe"] = one.Permit
		}
	}
}
