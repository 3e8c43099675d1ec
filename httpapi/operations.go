package httpapi

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// Operations begins work that takes longer than a request, and tells how far it is.
type Operations interface {
	// Begin stores an operation and has it worked on; the same one, if one that does the same is under way.
	Begin(ctx context.Context, o router.Operation) (router.Operation, error)
	// Operation returns one. NotFound.
	Operation(ctx context.Context, id string) (router.Operation, error)
	// CountDeadLetters tells how many a selection selects.
	CountDeadLetters(ctx context.Context, selection router.DeadLetterSelection) (int64, error)
	// CountReplay tells how many events a replay would deliver.
	CountReplay(ctx context.Context, s router.Subscription, req router.ReplayRequest) (int64, error)
}

func (s *Server) redriveDeadLetters(c call) error {
	return s.moveDeadLetters(c, router.RedriveOperation)
}

func (s *Server) purgeDeadLetters(c call) error { return s.moveDeadLetters(c, router.PurgeOperation) }

// moveDeadLetters begins an operation on the dead letters that the body selects, or counts them.
func (s *Server) moveDeadLetters(c call, kind router.OperationKind) error {
	text, err := s.readCommand(c, jsonType)
	if err != nil {
		return err
	}
	command, err := router.DecodeLetterCommand(text, kind)
	if err != nil {
		return err
	}
	selection := command.Selection
	if selection.Subscription, err = s.subscriptionID(c, command.Subscription); err != nil {
		return err
	}
	if command.DryRun {
		n, err := s.cfg.Operations.CountDeadLetters(c.r.Context(), selection)
		if err != nil {
			return fmt.Errorf("count dead letters: %w", err)
		}
		return writeJSON(c.w, dryRun{DryRun: true, Count: n})
	}
	return s.begin202(c, router.Operation{Kind: kind, Letters: selection})
}

// replay begins to deliver retained events to a subscription again, or counts them.
func (s *Server) replay(c call) error {
	text, err := s.readCommand(c, jsonType)
	if err != nil {
		return err
	}
	command, err := router.DecodeReplay(text)
	if err != nil {
		return err
	}
	sub, err := s.subscriptions.named(c)
	if err != nil {
		return err
	}
	if command.DryRun {
		ctx, cancel := s.allow(c, countTime, errCountTimeout)
		defer cancel()
		n, err := s.cfg.Operations.CountReplay(ctx, sub, command.Replay)
		if err != nil {
			return fmt.Errorf("count events to replay: %w", err)
		}
		return writeJSON(c.w, dryRun{DryRun: true, Count: n})
	}
	command.Replay.Subscription = sub.ID
	return s.begin202(c, router.Operation{Kind: router.ReplayOperation, Replay: command.Replay})
}

// countTime is how long counting may take.
const countTime = time.Minute

var errCountTimeout = errors.New("counting took too long")

type dryRun struct {
	DryRun bool  `json:"dry_run"`
	Count  int64 `json:"count"`
}

// begin202 begins an operation and answers where it can be followed.
func (s *Server) begin202(c call, o router.Operation) error {
	o, err := s.cfg.Operations.Begin(c.r.Context(), o)
	if err != nil {
		return fmt.Errorf("begin an operation: %w", err)
	}
	c.w.Header().Set("Location", "/v1/operations/"+o.ID)
	writeBody(c.w, http.StatusAccepted, jsonType, append(appendText([]byte(`{"operation":`), o.ID), "}\n"...))
	return nil
}

type operationView struct {
	ID      string               `json:"id"`
	Kind    router.OperationKind `json:"kind"`
	Status  string               `json:"status"`
	Created moment               `json:"created"`
	Ended   *moment              `json:"ended,omitempty"`
	Total   int64                `json:"total"`
	Done    int64                `json:"done"`
	Counts  map[string]int64     `json:"counts"`
	Error   string               `json:"error,omitempty"`
}

func (s *Server) showOperation(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	o, err := s.cfg.Operations.Operation(c.r.Context(), c.param)
	if err != nil {
		return fmt.Errorf("show an operation: %w", err)
	}
	v := operationView{
		ID: o.ID, Kind: o.Kind, Status: "running", Created: moment(o.Created), Ended: orNull(moment(o.Ended)), Total: o.Total, Done: o.Done(),
		Counts: map[string]int64{}, Error: o.Error,
	}
	maps.Copy(v.Counts, o.Progress)
	switch {
	case o.Error != "":
		v.Status = "failed"
	case !o.Running():
		v.Status = "done"
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, v)
}
