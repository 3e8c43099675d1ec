package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// deadScan is how many dead letters one call looks at.
const deadScan = 2000

// deadCursor is where a list of dead letters goes on: after so many of those of a partition that are not newer than a time.
type deadCursor struct {
	partition int
	before    int64 // milliseconds
	skip      int64 // of those made in that millisecond, how many were seen
}

func (c deadCursor) String() string { return fmt.Sprintf("%d.%d.%d", c.partition, c.before, c.skip) }

func (s *Store) parseDeadCursor(text string, newest int64) (c deadCursor, err error) {
	if text == "" {
		return deadCursor{before: newest}, nil
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return c, errBadCursor
	}
	p, err1 := strconv.Atoi(parts[0])
	before, err2 := strconv.ParseInt(parts[1], 10, 64)
	skip, err3 := strconv.ParseInt(parts[2], 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || p < 0 || p >= len(s.keys) || skip < 0 {
		return c, errBadCursor
	}
	return deadCursor{partition: p, before: before, skip: skip}, nil
}

var errBadCursor = router.Errorf(router.Invalid, "cursor: not one that this list gave")

// DeadLetters lists dead letters; see router.DeadLetterStore.
func (s *Store) DeadLetters(ctx context.Context, filter router.DeadLetterFilter, cursor string, limit int) ([]router.DeadLetter, string, error) {
	newest, oldest := int64(1)<<52, int64(0)
	if !filter.To.IsZero() {
		newest = wholeMillisecond(filter.To) - 1
	}
	if !filter.From.IsZero() {
		oldest = wholeMillisecond(filter.From)
	}
	at, err := s.parseDeadCursor(cursor, newest)
	if err != nil {
		return nil, "", err
	}
	letters := []router.DeadLetter{}
	for scanned := 0; scanned < deadScan && len(letters) < limit; {
		n := min(limit-len(letters), deadScan-scanned)
		page, found, err := s.deadPage(ctx, &at, oldest, n)
		if err != nil {
			return nil, "", err
		}
		scanned += found
		for _, letter := range page {
			if selects(filter, letter) {
				letters = append(letters, letter)
			}
		}
		if found < n {
			if at.partition++; at.partition == len(s.keys) {
				return letters, "", nil
			}
			at.before, at.skip = newest, 0
		}
	}
	return letters, at.String(), nil
}

// DeadLetter returns one; see router.DeadLetterStore.
func (s *Store) DeadLetter(ctx context.Context, id string) (router.DeadLetter, error) {
	none := router.Errorf(router.NotFound, "there is no dead letter %q", id)
	subscription, entry, err := router.ParseDeliveryID(id)
	if err != nil {
		return router.DeadLetter{}, err
	}
	p, name := entry.Position.Partition, entryName(entry)+" "+subscription
	if p >= len(s.keys) {
		return router.DeadLetter{}, none
	}
	at, err := s.reader.ZScore(ctx, s.keys[p].deadAt(), name).Result()
	if errors.Is(err, redis.Nil) {
		return router.DeadLetter{}, none
	}
	if err != nil {
		return router.DeadLetter{}, unavailable(err, "look for a dead letter")
	}
	letters, err := s.readDead(ctx, p, []redis.Z{{Score: at, Member: name}})
	if err != nil {
		return router.DeadLetter{}, err
	}
	if len(letters) == 0 {
		return router.DeadLetter{}, none
	}
	return letters[0], nil
}

// wholeMillisecond is the first whole millisecond at or after a time.
func wholeMillisecond(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

func selects(f router.DeadLetterFilter, d router.DeadLetter) bool {
	return (f.Subscription == "" || f.Subscription == d.Subscription) && (f.Reason == "" || f.Reason == d.Reason)
}

// deadPage reads the next n dead letters of a partition and moves the cursor behind them. Those that were removed meanwhile are among those found and
// not among the letters.
func (s *Store) deadPage(ctx context.Context, at *deadCursor, oldest int64, n int) (letters []router.DeadLetter, count int, err error) {
	found, err := s.reader.ZRevRangeByScoreWithScores(ctx, s.keys[at.partition].deadAt(), &redis.ZRangeBy{
		Max: strconv.FormatInt(at.before, 10), Min: strconv.FormatInt(oldest, 10), Offset: at.skip, Count: int64(n),
	}).Result()
	if err != nil {
		return nil, 0, unavailable(err, "list dead letters")
	}
	if len(found) == 0 {
		return nil, 0, nil
	}
	letters, err = s.readDead(ctx, at.partition, found)
	for _, z := range found {
		if ms := int64(z.Score); ms == at.before {
			at.skip++
		} else {
			at.before, at.skip = ms, 1
		}
	}
	return letters, len(found), err
}

func (s *Store) readDead(ctx context.Context, partition int, found []redis.Z) ([]router.DeadLetter, error) {
	names, ids := make([]string, len(found)), make([]string, len(found))
	for i, z := range found {
		names[i], _ = z.Member.(string)
		ids[i] = strings.FieldsFunc(names[i], func(r rune) bool { return r == ' ' || r == '~' })[0]
	}
	pipe := s.reader.Pipeline()
	records := pipe.HMGet(ctx, s.keys[partition].dead(), names...)
	events := pipe.HMGet(ctx, s.keys[partition].copies(), ids...)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, unavailable(err, "read dead letters")
	}
	letters := make([]router.DeadLetter, 0, len(found))
	for i, z := range found {
		attempts, ok := records.Val()[i].(string)
		if !ok {
			continue // removed since
		}
		raw, _ := events.Val()[i].(string)
		letter, err := deadLetter(partition, names[i], attempts, raw, int64(z.Score))
		if err != nil {
			return nil, fmt.Errorf("dead letter %q: %w", names[i], err)
		}
		letters = append(letters, letter)
	}
	return letters, nil
}

func deadLetter(partition int, name, attempts, raw string, at int64) (router.DeadLetter, error) {
	entry, subscription, _ := strings.Cut(name, " ")
	parsed, err := parseEntry(partition, entry)
	if err != nil {
		return router.DeadLetter{}, err
	}
	d := router.DeadLetter{Position: parsed.Position, At: time.UnixMilli(at).UTC(), Raw: raw}
	if d.Attempts, err = parseAttempts(attempts); err != nil {
		return d, err
	}
	if subscription != logItself {
		d.Subscription, d.ID = subscription, router.DeliveryID(subscription, parsed)
	}
	if n := len(d.Attempts); n > 0 {
		d.Reason = string(d.Attempts[n-1].Outcome)
	}
	if r := record(parsed.Position, raw); r.Err == nil {
		d.Event, d.Raw = r.Event, ""
	}
	return d, nil
}

// parseAttempts reads what claim.lua and settle.lua write: the number of attempts, then a line of JSON for each that failed.
func parseAttempts(text string) ([]router.Attempt, error) {
	_, lines, _ := strings.Cut(text, "\n")
	var attempts []router.Attempt
	for line := range strings.Lines(lines) {
		var a storedAttempt
		if err := json.Unmarshal([]byte(line), &a); err != nil {
			return nil, fmt.Errorf("attempt: %w", err)
		}
		attempts = append(attempts, router.Attempt{
			At: time.UnixMilli(a.At).UTC(), Duration: router.Duration(a.Took) * router.Duration(time.Millisecond), Outcome: a.Outcome, StatusCode: a.Status,
			Error: a.Error, Response: a.Response,
		})
	}
	return attempts, nil
}
