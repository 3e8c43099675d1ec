package router

import (
	"context"
	"errors"
	"time"
)

const (
	operationLease = 10 * time.Second       // of a turn, which is over long before
	operationTurn  = time.Second            // how long one works on an operation before others have their turn
	operationLook  = time.Second            // how often to look for operations that other replicas began or left
	operationBeat  = 250 * time.Millisecond // how often something is done where there is a rate
	operationStep  = 500                    // dead letters, or events, in one step
)

// Begin stores an operation and has it worked on, here or by another replica. It returns it with its id; that of the same operation if one is under way.
func (r *Router) Begin(ctx context.Context, o Operation) (Operation, error) {
	o, err := r.store.BeginOperation(ctx, o)
	if err == nil {
		select {
		case r.begun <- struct{}{}:
		default:
		}
	}
	return o, err
}

// Operation returns one, with its progress. NotFound: there is none, or it ended more than a week ago.
func (r *Router) Operation(ctx context.Context, id string) (Operation, error) {
	return r.store.Operation(ctx, id)
}

// CountDeadLetters tells how many a selection selects.
func (r *Router) CountDeadLetters(ctx context.Context, selection DeadLetterSelection) (int64, error) {
	return r.store.CountDeadLetters(ctx, selection)
}

// operate works on operations until ctx ends.
func (r *Router) operate(ctx context.Context) error {
	for ctx.Err() == nil {
		o, ok, err := r.store.TakeTurn(ctx, operationLease)
		if err != nil {
			r.failed(ctx, "look for operations", err)
		}
		if ok && err == nil {
			r.work(ctx, o)
			continue
		}
		select {
		case <-r.begun:
		case <-time.After(operationLook):
		case <-ctx.Done():
		}
	}
	return nil
}

// work takes one turn at an operation.
func (r *Router) work(ctx context.Context, o Operation) {
	deadline := time.Now().Add(operationTurn)
	for ctx.Err() == nil {
		wait, more, err := r.step(ctx, o)
		switch code := ErrorCode(err); {
		case errors.Is(err, ErrBacklogFull):
			err, wait, more = nil, operationLook, true
		case err != nil && (code == Invalid || code == NotFound): // it will never succeed
			o.Error, more = shownText(err), false
		case err != nil:
			r.failed(ctx, "go on with an operation", err)
			wait = failurePause
		}
		if err == nil && more && wait == 0 && time.Now().Before(deadline) {
			continue
		}
		r.endTurn(ctx, o, wait, more || err != nil && o.Error == "")
		return
	}
}

// shownText is what of an error may be shown.
func shownText(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Message
	}
	return "an internal error"
}

// endTurn leaves an operation to whoever is next, or ends it. If that can't be said, the turn's lease runs out, and the operation goes on after that.
func (r *Router) endTurn(ctx context.Context, o Operation, wait time.Duration, more bool) {
	var err error
	if more {
		err = r.store.EndTurn(ctx, o.ID, wait)
	} else {
		err = r.store.EndOperation(ctx, o)
	}
	if err != nil {
		r.failed(ctx, "record how far an operation is", err)
	}
}

// step does a part of an operation, and says how long to wait until the next one.
func (r *Router) step(ctx context.Context, o Operation) (wait time.Duration, more bool, err error) {
	if o.Kind == ReplayOperation {
		more, err = r.replayStep(ctx, o)
		return 0, more, err
	}
	most, beat := o.Letters.Rate.step()
	moved, more, err := r.store.MoveDeadLetters(ctx, o, most)
	if beat > 0 {
		wait = time.Duration(moved) * beat
	}
	return wait, more, err
}

// step is how many things one step may do, and how much time each of them takes of what follows.
func (r Rate) step() (most int, beat time.Duration) {
	if r.Limit == 0 {
		return operationStep, 0
	}
	beat = r.Per.Std() / time.Duration(r.Limit)
	if beat == 0 {
		beat = 1
	}
	return int(min(max(operationBeat/beat, 1), operationStep)), beat
}
