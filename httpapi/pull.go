package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// Puller gives deliveries to workers and hears from them; *router.Router is one.
type Puller interface {
	// Pull takes deliveries, and waits for the first one as long as the request says.
	Pull(ctx context.Context, s router.Subscription, req router.PullRequest) ([]router.Pulled, error)
	// Ack says that deliveries are done. good tells of each receipt whether it was.
	Ack(ctx context.Context, s router.Subscription, receipts []router.Receipt) (good []bool, err error)
	// Nack gives deliveries back after a failure.
	Nack(ctx context.Context, s router.Subscription, receipts []router.Receipt, delay router.Duration) (good []bool, err error)
	// Extend makes leases end at another time.
	Extend(ctx context.Context, s router.Subscription, receipts []router.Receipt, e router.PullExtension) (good []bool, until time.Time, err error)
}

var errPullTimeout = errors.New("the pull took too long")

// pull answers with deliveries, or with none when there were none in all the time that the worker wanted to wait.
func (s *Server) pull(c call) error {
	text, err := s.readCommand(c, jsonType)
	if err != nil {
		return err
	}
	req, err := router.DecodePull(text)
	if err != nil {
		return err
	}
	sub, err := s.subscriptions.named(c)
	if err != nil {
		return err
	}
	ctx, cancel := s.allow(c, min(max(req.Wait, 0), router.MaxPullWait).Std(), errPullTimeout)
	defer cancel()
	pulled, err := s.cfg.Puller.Pull(ctx, sub, req)
	if err != nil {
		return fmt.Errorf("pull from subscription %q: %w", sub.Name, err)
	}
	body := []byte(`{"items":[`)
	for i, p := range pulled {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendPulled(body, p)
	}
	c.w.Header().Set("Cache-Control", "no-store")
	writeBody(c.w, http.StatusOK, jsonType, append(body, "]}\n"...))
	return nil
}

func appendPulled(dst []byte, p router.Pulled) []byte {
	dst = appendText(append(dst, `{"receipt":`...), p.Receipt.String())
	dst = appendText(append(dst, `,"delivery":`...), p.ID)
	dst = strconv.AppendInt(append(dst, `,"attempt":`...), int64(p.Receipt.Attempt), 10)
	dst = append(append(dst, `,"lease_until":"`...), router.FormatTime(p.Until)...)
	dst = cloudevents.AppendStructured(append(dst, `","event":`...), p.Event)
	return append(dst, '}')
}

func (s *Server) ackPulled(c call) error {
	return s.answerPulled(c, func(text []byte) (ask pulledAnswer, err error) {
		receipts, err := router.DecodeAck(text)
		return func(sub router.Subscription) ([]router.Receipt, []bool, time.Time, error) {
			good, err := s.cfg.Puller.Ack(c.r.Context(), sub, receipts)
			return receipts, good, time.Time{}, err
		}, err
	})
}

func (s *Server) nackPulled(c call) error {
	return s.answerPulled(c, func(text []byte) (pulledAnswer, error) {
		receipts, delay, err := router.DecodeNack(text)
		return func(sub router.Subscription) ([]router.Receipt, []bool, time.Time, error) {
			good, err := s.cfg.Puller.Nack(c.r.Context(), sub, receipts, delay)
			return receipts, good, time.Time{}, err
		}, err
	})
}

func (s *Server) extendPulled(c call) error {
	return s.answerPulled(c, func(text []byte) (pulledAnswer, error) {
		receipts, extension, err := router.DecodePullExtension(text)
		return func(sub router.Subscription) ([]router.Receipt, []bool, time.Time, error) {
			good, until, err := s.cfg.Puller.Extend(c.r.Context(), sub, receipts, extension)
			return receipts, good, until, err
		}, err
	})
}

// pulledAnswer tells the router what a worker says, and returns of each receipt whether it was good, and until when the leases are if that has changed.
type pulledAnswer func(router.Subscription) (receipts []router.Receipt, good []bool, until time.Time, err error)

type receiptResult struct {
	Receipt    string  `json:"receipt"`
	Result     string  `json:"result"`
	LeaseUntil *moment `json:"lease_until,omitempty"`
}

// answerPulled answers a worker that said something about what it has pulled.
func (s *Server) answerPulled(c call, decode func(text []byte) (pulledAnswer, error)) error {
	text, err := s.readCommand(c, jsonType)
	if err != nil {
		return err
	}
	answer, err := decode(text)
	if err != nil {
		return err
	}
	sub, err := s.subscriptions.named(c)
	if err != nil {
		return err
	}
	receipts, good, until, err := answer(sub)
	if err != nil {
		return fmt.Errorf("answer for what was pulled from subscription %q: %w", sub.Name, err)
	}
	results := make([]receiptResult, len(receipts))
	for i, receipt := range receipts {
		results[i] = receiptResult{Receipt: receipt.String(), Result: "expired"}
		if good[i] {
			results[i].Result, results[i].LeaseUntil = "ok", orNull(moment(until))
		}
	}
	return writeJSON(c.w, map[string]any{"results": results})
}
