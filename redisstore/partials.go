package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// partialsCursor is where a list of partials goes on: behind one of them, which had so many before it in its partition.
type partialsCursor struct {
	partition int
	rank      int64
	member    string // "": from the beginning of the partition
}

func (c partialsCursor) String() string {
	return fmt.Sprintf("%d.%d.%s", c.partition, c.rank, c.member)
}

func (s *Store) parsePartialsCursor(text string) (c partialsCursor, err error) {
	if text == "" {
		return c, nil
	}
	parts := strings.Split(text, ".")
	if len(parts) != 3 {
		return c, errBadCursor
	}
	p, err1 := strconv.Atoi(parts[0])
	rank, err2 := strconv.ParseInt(parts[1], 10, 64)
	_, ok := router.ParseKeyHash(parts[2])
	if err1 != nil || err2 != nil || p < 0 || p >= len(s.keys) || rank < 0 || !ok && parts[2] != "" {
		return c, errBadCursor
	}
	return partialsCursor{p, rank, parts[2]}, nil
}

// Partials lists what a trigger has recorded; see router.PartialBrowser.
func (s *Store) Partials(ctx context.Context, c *router.CompiledTrigger, cursor string, limit int) (list []router.Partial, next string, err error) {
	at, err := s.parsePartialsCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	list = []router.Partial{}
	for ; at.partition < len(s.keys); at = (partialsCursor{partition: at.partition + 1}) {
		index := s.keys[at.partition].partials(generation(c.ID, c.Generation))
		first, err := s.rankBehind(ctx, index, at)
		if err != nil {
			return nil, "", err
		}
		members, err := s.reader.ZRange(ctx, index, first, first+int64(limit-len(list))-1).Result()
		if err != nil {
			return nil, "", unavailable(err, "list partials")
		}
		page, err := s.readPartials(ctx, c, at.partition, members)
		if err != nil {
			return nil, "", err
		}
		list = append(list, page...)
		if n := len(members); n > 0 && n == limit-len(list)+len(page) {
			return list, partialsCursor{at.partition, first + int64(n) - 1, members[n-1]}.String(), nil
		}
	}
	return list, "", nil
}

// rankBehind is where a list goes on: behind the partial that it ended with, or, where that has gone, where it was.
func (s *Store) rankBehind(ctx context.Context, index string, at partialsCursor) (int64, error) {
	if at.member == "" {
		return 0, nil
	}
	rank, err := s.reader.ZRank(ctx, index, at.member).Result()
	if errors.Is(err, redis.Nil) {
		return at.rank, nil
	}
	if err != nil {
		return 0, unavailable(err, "list partials")
	}
	return rank + 1, nil
}

// Partial finds what a trigger has recorded for a key; see router.PartialBrowser.
func (s *Store) Partial(ctx context.Context, c *router.CompiledTrigger, hash router.KeyHash) (p router.Partial, ok bool, err error) {
	for partition := range s.keys {
		list, err := s.readPartials(ctx, c, partition, []string{hash.String()})
		if err != nil || len(list) > 0 {
			return append(list, p)[0], len(list) > 0, err
		}
	}
	return p, false, nil
}

// readPartials reads those partials that are there.
func (s *Store) readPartials(ctx context.Context, c *router.CompiledTrigger, partition int, members []string) (list []router.Partial, err error) {
	if len(members) == 0 {
		return nil, nil
	}
	keys := make([]string, len(members))
	for i, member := range members {
		keys[i] = s.keys[partition].partial(generation(c.ID, c.Generation), member)
	}
	reply, err := s.run(ctx, s.scripts.Partials, keys)
	if err != nil {
		return nil, unavailable(err, "read partials")
	}
	replies, ok := reply.([]any)
	if !ok || len(replies) != len(members) {
		return nil, fmt.Errorf("read partials: unexpected reply %T", reply)
	}
	for i, reply := range replies {
		words, err := stringsOf(reply, 0)
		if err != nil {
			return nil, fmt.Errorf("read partials: %w", err)
		}
		hash, known := router.ParseKeyHash(members[i])
		if len(words) == 0 || !known {
			continue
		}
		fields := make(map[string]string, len(words)/2)
		for w := 0; w+1 < len(words); w += 2 {
			fields[words[w]] = words[w+1]
		}
		p, err := decodePartial(c, len(s.keys), hash, fields)
		if err != nil {
			return nil, fmt.Errorf("partial %s of trigger %s: %w", members[i], c.ID, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// DropKeys drops partials; see router.PartialBrowser.
func (s *Store) DropKeys(ctx context.Context, t router.Trigger, keys []router.KeyHash) (total int64, err error) {
	for partition := range s.keys {
		for page := range slices.Chunk(keys, freePage) {
			n, err := s.DropPartials(ctx, partition, t.ID, t.Generation, page)
			total += int64(n)
			if err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

// DropAllKeys drops what a trigger has recorded; see router.PartialBrowser.
func (s *Store) DropAllKeys(ctx context.Context, t router.Trigger) (total int64, err error) {
	name := generation(t.ID, t.Generation)
	for partition, k := range s.keys {
		left, err := s.reader.ZCard(ctx, k.partials(name)).Result()
		for err == nil && left > 0 {
			members, failed := s.reader.ZRange(ctx, k.partials(name), 0, min(left, freePage)-1).Result()
			if failed != nil {
				return total, unavailable(failed, "list partials")
			}
			if len(members) == 0 {
				break
			}
			var freed router.Freed
			freed, err = s.drop(ctx, partition, "", t.ID, name, "some", members)
			total, left = total+int64(freed.Partials), left-int64(len(members))
		}
		if err != nil {
			return total, unavailable(err, "drop partials")
		}
	}
	return total, nil
}

// RaiseClock has no event of a partition be accepted before a time, and deadlines before it be settled, though Redis' own clock may not have come to it: so
// scenarios run on a Redis whose clock nobody can set. It is for deployments in which nothing else happens.
func (s *Store) RaiseClock(ctx context.Context, partition int, to time.Time) error {
	if err := s.writer.HSet(ctx, s.keys[partition].state(), "settled", to.UnixMilli()).Err(); err != nil {
		return unavailable(err, "raise the clock")
	}
	return nil
}
