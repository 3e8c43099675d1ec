package router

import (
	"errors"
	"time"
)

// FormatTime prints a time as the API shows it: RFC 3339 in UTC, with milliseconds, "2026-11-20T12:00:00.000Z".
func FormatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// ParseTime reads an RFC 3339 timestamp (section 5.6) as a time in UTC, to the nanosecond; further digits are cut off. Where time.Parse is lenient
// (a comma before the fraction, one digit for the hour, offsets of 24 hours) it is not, and it takes what RFC 3339 allows and time.Parse does not:
// lower-case t and z, and a leap second, which is the same as the second after it.
func ParseTime(s string) (time.Time, error) {
	p := timeParser{rest: s}
	year := p.digits(4, 0, 9999)
	p.one("-")
	month := p.digits(2, 1, 12)
	p.one("-")
	day := p.digits(2, 1, 31)
	p.one("Tt")
	hour := p.digits(2, 0, 23)
	p.one(":")
	minute := p.digits(2, 0, 59)
	p.one(":")
	second := p.digits(2, 0, 60)
	nanos := p.fraction()
	offset := p.offset()
	if p.failed || p.rest != "" || day > daysIn(year, month) {
		return time.Time{}, errNotRFC3339
	}
	t := time.Date(year, time.Month(month), day, hour, minute-offset, second, nanos, time.UTC)
	if second == 60 && !startsMonth(t) {
		return time.Time{}, errNotRFC3339
	}
	return t, nil
}

var errNotRFC3339 = errors.New("not an RFC 3339 timestamp such as 2026-11-20T12:00:00Z")

// timeParser takes a timestamp apart from left to right; failed stays set once something was not as it should be.
type timeParser struct {
	rest   string
	failed bool
}

// digits takes a number of exactly n digits between low and high.
func (p *timeParser) digits(n, low, high int) int {
	if len(p.rest) < n {
		p.failed = true
		return 0
	}
	v := 0
	for _, c := range []byte(p.rest[:n]) {
		if c < '0' || c > '9' {
			p.failed = true
			return 0
		}
		v = v*10 + int(c-'0')
	}
	p.rest = p.rest[n:]
	if v < low || v > high {
		p.failed = true
	}
	return v
}

// one takes one byte, which has to be one of those given.
func (p *timeParser) one(of string) byte {
	if p.rest != "" {
		for i := range len(of) {
			if p.rest[0] == of[i] {
				p.rest = p.rest[1:]
				return of[i]
			}
		}
	}
	p.failed = true
	return 0
}

// fraction takes the fraction of a second, if there is one, in nanoseconds.
func (p *timeParser) fraction() int {
	if p.rest == "" || p.rest[0] != '.' {
		return 0
	}
	p.rest = p.rest[1:]
	nanos, unit, n := 0, 100_000_000, 0
	for n < len(p.rest) && p.rest[n] >= '0' && p.rest[n] <= '9' {
		nanos += int(p.rest[n]-'0') * unit
		unit /= 10
		n++
	}
	if n == 0 {
		p.failed = true
	}
	p.rest = p.rest[n:]
	return nanos
}

// offset takes the offset from UTC, in minutes.
func (p *timeParser) offset() int {
	sign := 1
	switch p.one("Zz+-") {
	case '-':
		sign = -1
	case '+':
	default:
		return 0
	}
	hours := p.digits(2, 0, 23)
	p.one(":")
	return sign * (hours*60 + p.digits(2, 0, 59))
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// startsMonth tells whether t lies in the first second of a month in UTC: leap seconds stand before those and nowhere else.
func startsMonth(t time.Time) bool {
	return t.Day() == 1 && t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0
}
