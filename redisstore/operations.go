package redisstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// operationKept is how long an operation can be looked at after its end.
const operationKept = 7 * 24 * time.Hour

// storedOperation is an operation as Redis keeps it, in JSON.
type storedOperation struct {
	Kind    router.OperationKind       `json:"kind"`
	Letters router.DeadLetterSelection `json:"letters,omitzero"`
	Replay  router.ReplayRequest       `json:"replay,omitzero"`
	Suffix  string                     `json:"suffix,omitempty"`
	Created time.Time                  `json:"created,omitzero"`
	Ended   time.Time                  `json:"ended,omitzero"`
	Error   string                     `json:"error,omitempty"`
	Total   int64                      `json:"total,omitempty"`
}

func (o storedOperation) text() (string, error) {
	text, err := json.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("store an operation: %w", err)
	}
	return string(text), nil
}

func stored(o router.Operation) storedOperation {
	return storedOperation{
		Kind: o.Kind, Letters: o.Letters, Replay: o.Replay, Suffix: o.Suffix, Created: o.Created, Ended: o.Ended, Error: o.Error, Total: o.Total,
	}
}

// digest is the same for operations that do the same.
func digest(o router.Operation) (string, error) {
	text, err := storedOperation{Kind: o.Kind, Letters: o.Letters, Replay: o.Replay}.text()
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:]), err
}

// BeginOperation stores an operation; see router.OperationStore.
func (s *Store) BeginOperation(ctx context.Context, o router.Operation) (router.Operation, error) {
	now, err := s.now(ctx)
	if err != nil {
		return o, err
	}
	if o.ID, err = router.NewID(router.OperationID, now, rand.Reader); err != nil {
		return o, err
	}
	o.Created = now
	if err := s.measure(ctx, &o); err != nil {
		return o, err
	}
	same, err := digest(o)
	if err != nil {
		return o, err
	}
	text, err := stored(o).text()
	if err != nil {
		return o, err
	}
	k := s.keys[0]
	reply, err := s.run(ctx, s.scripts.Begin, []string{k.operations(), k.sameOperation(), k.operation(o.ID)}, o.ID, same, text)
	if err != nil {
		return o, unavailable(err, "begin an operation")
	}
	words, err := stringsOf(reply, 2)
	if err != nil {
		return o, fmt.Errorf("begin an operation: %w", err)
	}
	if words[0] == "known" {
		return s.Operation(ctx, words[1])
	}
	return o, nil
}

// measure finds out how much there is to do, and gives a replay its number.
func (s *Store) measure(ctx context.Context, o *router.Operation) (err error) {
	if o.Kind != router.ReplayOperation {
		o.Total, err = s.CountDeadLetters(ctx, o.Letters)
		return err
	}
	if o.Total, err = s.countLog(ctx, *o); err != nil {
		return err
	}
	n, err := s.replayNumber(ctx)
	o.Suffix = router.ReplayEntrySuffix(n)
	return err
}

// Operation returns one; see router.OperationStore.
func (s *Store) Operation(ctx context.Context, id string) (o router.Operation, err error) {
	if ref, err := router.ParseRef(router.OperationID, id); err != nil || ref.ID == "" {
		return o, router.Errorf(router.NotFound, "there is no such operation: ids are op_ and 26 characters")
	}
	text, err := s.reader.Get(ctx, s.keys[0].operation(id)).Result()
	switch {
	case errors.Is(err, redis.Nil):
		return o, router.Errorf(router.NotFound, "there is no operation %q, or it ended more than a week ago", id)
	case err != nil:
		return o, unavailable(err, "read an operation")
	}
	var d storedOperation
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return o, fmt.Errorf("operation %q: %w", id, err)
	}
	o = router.Operation{
		ID: id, Kind: d.Kind, Letters: d.Letters, Replay: d.Replay, Suffix: d.Suffix, Created: d.Created, Ended: d.Ended, Error: d.Error, Total: d.Total,
		Progress: map[string]int64{},
	}
	return o, s.addProgress(ctx, &o)
}

// The fields of an operation's progress that say where it stands.
const (
	progressCursor = "cursor"
	progressEnd    = "end" // the cursor of a partition that is done
)

// addProgress adds up what was done in all partitions.
func (s *Store) addProgress(ctx context.Context, o *router.Operation) error {
	for _, k := range s.keys {
		fields, err := s.reader.HGetAll(ctx, k.progress(o.ID)).Result()
		if err != nil {
			return unavailable(err, "read how far an operation is")
		}
		for name, value := range fields {
			if name != progressCursor {
				o.Progress[name] += counter(value)
			}
		}
	}
	return nil
}

// progressAt is how far an operation is in a partition.
func (s *Store) progressAt(ctx context.Context, id string, partition int) (cursor string, err error) {
	cursor, err = s.reader.HGet(ctx, s.keys[partition].progress(id), progressCursor).Result()
	if ignoreNil(err) != nil {
		return "", unavailable(err, "read how far an operation is")
	}
	return cursor, nil
}

// TakeTurn takes a turn at an operation; see router.OperationStore.
func (s *Store) TakeTurn(ctx context.Context, lease time.Duration) (o router.Operation, ok bool, err error) {
	reply, err := s.run(ctx, s.scripts.Turn, []string{s.keys[0].operations()}, lease.Milliseconds())
	if err != nil {
		return o, false, unavailable(err, "look for operations")
	}
	id, _ := reply.(string)
	if id == "" {
		return o, false, nil
	}
	o, err = s.Operation(ctx, id)
	if router.ErrorCode(err) == router.NotFound { // its document was removed by hand
		return o, false, s.dropOperation(ctx, id)
	}
	return o, err == nil, err
}

func (s *Store) dropOperation(ctx context.Context, id string) error {
	if err := s.writer.ZRem(ctx, s.keys[0].operations(), id).Err(); err != nil {
		return unavailable(err, "drop an operation")
	}
	return nil
}

// EndTurn says when to go on; see router.OperationStore.
func (s *Store) EndTurn(ctx context.Context, id string, after time.Duration) error {
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	if err := s.keepProgress(ctx, id); err != nil {
		return err
	}
	at := now.Add(after).UnixMilli()
	if _, err := s.run(ctx, s.scripts.Later, []string{s.keys[0].operations()}, id, at); err != nil {
		return unavailable(err, "leave an operation to others")
	}
	return nil
}

// keepProgress sees to it that how far an operation is does not expire in a partition where it has long had nothing to do, or had to wait for room.
func (s *Store) keepProgress(ctx context.Context, id string) error {
	pipe := s.writer.Pipeline()
	for _, k := range s.keys {
		pipe.PExpire(ctx, k.progress(id), operationKept)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return unavailable(err, "keep how far an operation is")
	}
	return nil
}

// EndOperation ends one; see router.OperationStore.
func (s *Store) EndOperation(ctx context.Context, o router.Operation) error {
	now, err := s.now(ctx)
	if err != nil {
		return err
	}
	same, err := digest(o)
	if err != nil {
		return err
	}
	o.Ended = now
	text, err := stored(o).text()
	if err != nil {
		return err
	}
	k := s.keys[0]
	keys := []string{k.operations(), k.sameOperation(), k.operation(o.ID)}
	if _, err := s.run(ctx, s.scripts.Finish, keys, o.ID, same, text, strconv.FormatInt(operationKept.Milliseconds(), 10)); err != nil {
		return unavailable(err, "end an operation")
	}
	return nil
}
