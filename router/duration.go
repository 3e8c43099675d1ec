package router

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// day is the largest unit of a Duration: always 24 hours, whatever a calendar says.
const day = 24 * time.Hour

// Duration is a length of time as definitions, flags and answers write it: a string such as "5s", "1h30m" or "7d". It has the
// text form in JSON and YAML too, never a number, whose unit a reader would have to guess.
type Duration time.Duration

// ParseDuration reads a duration: the units of Go (h, m, s, ms, µs, ns; "1h30m", "1.5s"), before which days may stand ("7d", "1d12h",
// "0.5d"). A number without a unit (other than "0"), a sign, and what does not fit in 292 years are refused, as Invalid.
func ParseDuration(s string) (Duration, error) {
	if strings.ContainsAny(s, "+-") {
		return 0, Errorf(Invalid, "duration %s must not have a sign", quoteShort(s))
	}
	days, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		days, rest = "", s
	}
	var total time.Duration
	if hasDays {
		// Go's parser knows numbers, fractions and overflow; only the unit is ours.
		h, err := time.ParseDuration(days + "h")
		if err != nil || h > math.MaxInt64/24 || strings.Trim(days, "0123456789.") != "" {
			return 0, durationError(s)
		}
		total = 24 * h
	}
	if !hasDays || rest != "" {
		d, err := time.ParseDuration(rest)
		if err != nil || d > math.MaxInt64-total || hasDays && rest == "0" {
			return 0, durationError(s)
		}
		total += d
	}
	return Duration(total), nil
}

func durationError(s string) error {
	return Errorf(Invalid, `duration %s is not of the form "90s", "1h30m" or "7d", or longer than 292 years`, quoteShort(s))
}

// quoteShort quotes text from a caller for a message: escaped, and cut where it is long.
func quoteShort(s string) string {
	const most = 40
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

// String prints the duration in its one canonical form, largest unit first and no unit that is zero: "1d12h", "1m30.5s", "1h250ms", "0s".
// ParseDuration reads it back to the same value, unless it is negative.
func (d Duration) String() string {
	t := time.Duration(d)
	if t < 0 {
		if t == math.MinInt64 {
			return t.String() // it has no positive twin
		}
		return "-" + (-d).String()
	}
	if t < time.Second {
		return t.String()
	}
	var b []byte
	for _, u := range [...]struct {
		length time.Duration
		name   byte
	}{{day, 'd'}, {time.Hour, 'h'}, {time.Minute, 'm'}} {
		if n := t / u.length; n > 0 {
			b = append(strconv.AppendInt(b, int64(n), 10), u.name)
			t %= u.length
		}
	}
	if t > 0 {
		b = append(b, t.String()...)
	}
	return string(b)
}

// Std returns the duration as Go's own type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// MarshalText gives String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// UnmarshalJSON reads a JSON string; null leaves the value as it is, a number is refused.
func (d *Duration) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return Errorf(Invalid, `a duration is a string such as "90s" or "7d", not %s`, quoteShort(string(b)))
	}
	if err := d.UnmarshalText([]byte(s)); err != nil {
		return fmt.Errorf("parse duration: %w", err)
	}
	return nil
}
