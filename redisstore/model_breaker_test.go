package redisstore_test

import (
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// modelBreaker is a subscription's breaker: what is stored of it, and from when on it lets the next attempt through, 0 while it is closed.
type modelBreaker struct {
	fields map[string]string
	open   int64
}

// unnamed is a probe whose permit the store has given a name that nobody has heard yet.
const unnamed = "?"

// breaker is the one that stands before a queue; where there is none, one that is closed and learns nothing.
func (m *model) breaker(q router.Queue) *modelBreaker {
	if q.Breaker.Failures == 0 {
		return &modelBreaker{}
	}
	if m.breakers[q.Subscription] == nil {
		m.breakers[q.Subscription] = &modelBreaker{fields: map[string]string{}}
	}
	return m.breakers[q.Subscription]
}

// through: while it is open, one attempt at a time, when its time has come.
func (b *modelBreaker) through(now int64, want int) (n int, gate int64, probing bool) {
	switch {
	case b.open == 0:
		return want, 0, false
	case now < b.open:
		return 0, b.open, false
	default:
		return min(want, 1), 0, true
	}
}

// begin: nobody else gets one until the probe is judged, or its lease has run out.
func (b *modelBreaker) begin(name string, expires int64) {
	b.fields["probe"], b.open = name, expires
}

// modelVerdicts are what attempts say of the endpoint, by the names of those that did not arrive.
type modelVerdicts struct {
	names     map[string]string
	faults    int64
	delivered bool
}

func (v *modelVerdicts) add(name string, s router.Settlement, late bool) {
	if v.names == nil {
		v.names = map[string]string{}
	}
	switch {
	case late || s.Unstarted:
		v.names[name] = "other"
	case s.Verdict == router.Delivered:
		v.delivered = true
	case s.Fault:
		v.names[name] = "fault"
		v.faults++
	default:
		v.names[name] = "other"
	}
}

// judge: what arrives closes the breaker, and a number of failures in a row opens it. While it is open, only the probe counts: each that fails doubles the pause.
// It returns for how long the endpoint has been failing, where the breaker is open.
func (m *model) judge(q router.Queue, v modelVerdicts) time.Duration {
	b := m.breaker(q)
	switch {
	case b.fields == nil || b.fields["failures"] == "" && v.faults == 0:
		return 0
	case v.delivered:
		b.fields, b.open = map[string]string{}, 0
		return 0
	}
	if v.faults > 0 {
		b.fields["failures"] = decimal(integer(b.fields["failures"]) + v.faults)
		if b.fields["since"] == "" {
			b.fields["since"] = decimal(m.now)
		}
	}
	pause, longest := q.Breaker.Pause.Std().Milliseconds(), max(q.Breaker.Pause.Std(), 5*time.Minute).Milliseconds()
	switch verdict := v.names[b.fields["probe"]]; {
	case b.open > 0 && verdict == "fault":
		pauses := integer(b.fields["pauses"]) + 1
		b.fields["pauses"], b.open = decimal(pauses), m.now+min(pause<<min(pauses, 30), longest)
		delete(b.fields, "probe")
	case b.open > 0 && verdict == "other":
		b.fields["pauses"], b.open = decimal(integer(b.fields["pauses"])), m.now
		delete(b.fields, "probe")
	case b.open == 0 && integer(b.fields["failures"]) >= int64(q.Breaker.Failures):
		b.open = m.now + pause
	}
	if b.open == 0 {
		return 0
	}
	return time.Duration(max(m.now-integer(b.fields["since"]), 0)) * time.Millisecond // the clock may have gone back
}
