package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// letterPage is how many dead letters are looked at in one step.
const letterPage = 500

// letter is a dead letter by its name; the rest of it is not needed to move it.
type letter struct {
	name         string // entry, a space, subscription or "log"
	entry        string
	subscription string
	at           int64
	reason       string
}

// letterCursor stands behind a letter, in the order of their times and then of their names. Letters that are gone do not matter to it.
type letterCursor struct {
	at   int64
	name string // "": before all of that time
}

func (l letter) cursor() string { return letterCursor{l.at, l.name}.String() }

func (c letterCursor) String() string { return strconv.FormatInt(c.at, 10) + " " + c.name }

// parseLetterCursor reads what String prints; "" stands before all that were made at a time or later.
func parseLetterCursor(text string, oldest int64) letterCursor {
	at, name, ok := strings.Cut(text, " ")
	ms, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return letterCursor{at: oldest}
	}
	return letterCursor{ms, name}
}

// bounds are the times of a selection's letters, in milliseconds, both inclusive. What comes after the operation began is not selected.
func bounds(o router.Operation) (oldest, newest int64) {
	newest = o.Created.UnixMilli()
	if to := o.Letters.To; !to.IsZero() {
		newest = min(newest, wholeMillisecond(to)-1)
	}
	if from := o.Letters.From; !from.IsZero() {
		oldest = wholeMillisecond(from)
	}
	return oldest, newest
}

// page reads the next letters behind a cursor that may be selected, the oldest first, and where the next page starts: progressEnd where this was the last one.
func (s *Store) page(ctx context.Context, o router.Operation, partition int, cursor string) (list []letter, next string, err error) {
	if o.Letters.IDs != nil {
		return s.namedPage(ctx, o, partition, cursor)
	}
	oldest, newest := bounds(o)
	at := parseLetterCursor(cursor, oldest)
	for count := letterPage; ; count *= 2 { // a millisecond may have more
		found, err := s.reader.ZRangeByScoreWithScores(ctx, s.keys[partition].deadAt(), &redis.ZRangeBy{
			Min: strconv.FormatInt(at.at, 10), Max: strconv.FormatInt(newest, 10), Count: int64(count),
		}).Result()
		if err != nil {
			return nil, "", unavailable(err, "list dead letters")
		}
		list = list[:0]
		for _, z := range found {
			if l := newLetter(z); l.at > at.at || l.name > at.name {
				list = append(list, l)
			}
		}
		switch {
		case len(found) < count:
			return list, progressEnd, nil
		case len(list) > 0:
			return list, list[len(list)-1].cursor(), nil
		}
	}
}

// namedPage is page for a selection that names its letters, in the order of their names.
func (s *Store) namedPage(ctx context.Context, o router.Operation, partition int, cursor string) (list []letter, next string, err error) {
	at := parseLetterCursor(cursor, 0)
	var names []string
	for _, id := range o.Letters.IDs {
		subscription, entry, err := router.ParseDeliveryID(id)
		if err != nil {
			return nil, "", err
		}
		if name := entryName(entry) + " " + subscription; entry.Position.Partition == partition && name > at.name {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, progressEnd, nil
	}
	slices.Sort(names)
	names = slices.Compact(names)
	times, err := s.reader.ZMScore(ctx, s.keys[partition].deadAt(), names...).Result()
	if err != nil {
		return nil, "", unavailable(err, "look for dead letters")
	}
	oldest, newest := bounds(o)
	for i, name := range names {
		if when := int64(times[i]); when > 0 && when >= oldest && when <= newest {
			list = append(list, newLetter(redis.Z{Member: name}))
		}
	}
	return list, progressEnd, nil
}

func newLetter(z redis.Z) letter {
	name, _ := z.Member.(string)
	entry, subscription, _ := strings.Cut(name, " ")
	return letter{name: name, entry: entry, subscription: subscription, at: int64(z.Score)}
}

// selected are those of the letters that a selection selects.
func (s *Store) selected(ctx context.Context, partition int, selection router.DeadLetterSelection, list []letter) ([]letter, error) {
	if selection.Reason != "" {
		if err := s.addReasons(ctx, partition, list); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(list, func(l letter) bool {
		other := selection.Subscription != "" && l.subscription != selection.Subscription
		return other || selection.Reason != "" && l.reason != selection.Reason
	}), nil
}

// addReasons reads how the last attempts ended. Letters that are gone have none.
func (s *Store) addReasons(ctx context.Context, partition int, list []letter) error {
	if len(list) == 0 {
		return nil
	}
	names := make([]string, len(list))
	for i, l := range list {
		names[i] = l.name
	}
	records, err := s.reader.HMGet(ctx, s.keys[partition].dead(), names...).Result()
	if err != nil {
		return unavailable(err, "read dead letters")
	}
	for i := range list {
		text, _ := records[i].(string)
		attempts, err := parseAttempts(text)
		if err != nil {
			return fmt.Errorf("dead letter %q: %w", list[i].name, err)
		}
		if n := len(attempts); n > 0 {
			list[i].reason = string(attempts[n-1].Outcome)
		}
	}
	return nil
}

// CountDeadLetters counts what a selection selects; see router.OperationStore.
func (s *Store) CountDeadLetters(ctx context.Context, selection router.DeadLetterSelection) (n int64, err error) {
	now, err := s.now(ctx)
	if err != nil {
		return 0, err
	}
	o := router.Operation{Letters: selection, Created: now}
	for p := range s.keys {
		for cursor := ""; cursor != progressEnd; {
			list, next, err := s.page(ctx, o, p, cursor)
			if err != nil {
				return 0, err
			}
			if list, err = s.selected(ctx, p, selection, list); err != nil {
				return 0, err
			}
			n += int64(len(list))
			cursor = next
		}
	}
	return n, nil
}

// MoveDeadLetters redrives or purges some; see router.OperationStore.
func (s *Store) MoveDeadLetters(ctx context.Context, o router.Operation, most int) (moved int, more bool, err error) {
	for p := range s.keys {
		for {
			cursor, err := s.progressAt(ctx, o.ID, p)
			if err != nil {
				return moved, true, err
			}
			if cursor == progressEnd {
				break
			}
			n, err := s.moveOne(ctx, o, p, cursor, most-moved)
			moved += n
			if err != nil || moved >= most {
				return moved, true, err
			}
			if ctx.Err() != nil {
				return moved, true, ctx.Err()
			}
		}
	}
	return moved, false, nil
}

// moveOne takes a page of a partition's dead letters, and moves up to most of those that are selected.
func (s *Store) moveOne(ctx context.Context, o router.Operation, partition int, cursor string, most int) (moved int, err error) {
	list, next, err := s.page(ctx, o, partition, cursor)
	if err != nil {
		return 0, err
	}
	if list, err = s.selected(ctx, partition, o.Letters, list); err != nil {
		return 0, err
	}
	if o.Kind == router.RedriveOperation {
		room, err := s.roomFor(ctx, partition, list)
		if err != nil {
			return 0, err
		}
		most = min(most, room)
	}
	if len(list) > most {
		if most == 0 {
			return 0, router.ErrBacklogFull
		}
		list = list[:most]
		next = list[most-1].cursor()
	}
	return s.move(ctx, o, partition, next, list)
}

// roomFor is how many letters, from the first one on, find room in the queues that they go back to.
func (s *Store) roomFor(ctx context.Context, partition int, list []letter) (n int, err error) {
	rooms := map[string]int{}
	for _, l := range list {
		room, known := rooms[l.subscription]
		if !known {
			sub, err := s.redrivable(ctx, l.subscription)
			if err != nil {
				return 0, err
			}
			if room, err = s.QueueRoom(ctx, partition, sub.Queue()); err != nil {
				return 0, err
			}
		}
		if room <= 0 {
			break
		}
		rooms[l.subscription] = room - 1
		n++
	}
	return n, nil
}

// move redrives or purges some letters of a partition and notes how far the operation is there.
func (s *Store) move(ctx context.Context, o router.Operation, partition int, cursor string, list []letter) (int, error) {
	if o.Kind == router.PurgeOperation {
		return s.discard(ctx, o, partition, cursor, list)
	}
	return s.redrive(ctx, o, partition, cursor, list)
}

func (s *Store) discard(ctx context.Context, o router.Operation, partition int, cursor string, list []letter) (int, error) {
	k := s.keys[partition]
	args := []any{cursor, operationKept.Milliseconds()}
	for _, l := range list {
		args = append(args, l.name)
	}
	reply, err := s.run(ctx, s.scripts.Discard, []string{k.copies(), k.holds(), k.dead(), k.deadAt(), k.progress(o.ID)}, args...)
	return movedOf(reply, err, "purge dead letters")
}

func (s *Store) redrive(ctx context.Context, o router.Operation, partition int, cursor string, list []letter) (int, error) {
	k := s.keys[partition]
	keys := []string{k.state(), k.log(), k.copies(), k.holds(), k.dead(), k.deadAt(), k.gone(), k.progress(o.ID), k.paused()}
	skipped, queues := 0, []any{}
	for _, group := range groupLetters(list) {
		id := group[0].subscription
		sub, err := s.redrivable(ctx, id)
		if err != nil {
			return 0, err
		}
		if sub.ID == "" {
			skipped += len(group)
			continue
		}
		q := sub.Queue()
		keys = append(keys, s.scheduleKey(partition, q.Kind), k.fresh(id), k.retries(id), k.leases(id), k.attempts(id), k.lanes(id), k.waiting(id))
		queues = append(queues, id, q.MaxInFlight, len(group))
		names, err := s.queuedNames(ctx, partition, sub, group)
		if err != nil {
			return 0, err
		}
		for _, name := range names {
			queues = append(queues, name)
		}
	}
	args := append([]any{cursor, operationKept.Milliseconds(), skipped}, queues...)
	reply, err := s.run(ctx, s.scripts.Redrive, keys, args...)
	return movedOf(reply, err, "redrive dead letters")
}

// queuedNames are the names that letters have in the queue that they go back to.
func (s *Store) queuedNames(ctx context.Context, partition int, sub router.Subscription, group []letter) ([]string, error) {
	names, entries := make([]string, len(group)), make([]router.Entry, len(group))
	for i, l := range group {
		names[i] = l.entry
		var err error
		if entries[i], err = parseEntry(partition, l.entry); err != nil {
			return nil, fmt.Errorf("dead letter %q: %w", l.name, err)
		}
	}
	if !sub.Ordered() {
		return names, nil
	}
	return s.lanedNames(ctx, partition, entries)
}

// redrivable is the subscription that letters go back to; the zero one where there is none.
func (s *Store) redrivable(ctx context.Context, id string) (sub router.Subscription, err error) {
	if id == logItself {
		return sub, nil
	}
	sub, err = s.Subscription(ctx, id)
	if router.ErrorCode(err) == router.NotFound {
		return router.Subscription{}, nil
	}
	return sub, err
}

// groupLetters are the letters of each subscription, in the order of their first ones.
func groupLetters(list []letter) (groups [][]letter) {
	index := map[string]int{}
	for _, l := range list {
		i, ok := index[l.subscription]
		if !ok {
			i = len(groups)
			index[l.subscription] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], l)
	}
	return groups
}

// movedOf reads how many letters a script moved.
func movedOf(reply any, err error, doing string) (int, error) {
	if err != nil {
		return 0, unavailable(err, doing)
	}
	n, ok := reply.(int64)
	if !ok {
		return 0, fmt.Errorf("%s: unexpected reply %T", doing, reply)
	}
	return int(n), nil
}
