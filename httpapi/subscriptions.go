package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

type subscriptions = definitions[router.Subscription, router.SubscriptionDraft]

func (s *Server) newSubscriptions() *subscriptions {
	return &subscriptions{
		server: s, id: router.SubscriptionID, noun: "subscription", path: "/v1/subscriptions",
		decode:  router.DecodeSubscription,
		nameOf:  func(d router.SubscriptionDraft) string { return d.Definition().Name },
		create:  s.createSubscription,
		read:    s.cfg.Subscriptions.Subscription,
		replace: router.SubscriptionDraft.Replace,
		patch:   router.PatchSubscription,
		store:   s.cfg.Subscriptions.ReplaceSubscription,
		list:    s.cfg.Subscriptions.Subscriptions,
		status:  s.subscriptionStatus,
		show:    appendSubscription(router.SubscriptionView{}),
		idOf:    func(sub router.Subscription) string { return sub.ID },
		etagOf:  router.Subscription.ETag,
	}
}

func appendSubscription(view router.SubscriptionView) func(dst []byte, sub router.Subscription) []byte {
	return func(dst []byte, sub router.Subscription) []byte { return router.AppendSubscription(dst, sub, view) }
}

// createSubscription stores a new subscription. A secret that was made here is shown, this once.
func (s *Server) createSubscription(ctx context.Context, draft router.SubscriptionDraft) (stored router.Subscription, view func([]byte, router.Subscription) []byte, err error) {
	fresh := s.cfg.NewSecret()
	sub, err := draft.Create(fresh)
	if err != nil {
		return stored, nil, err
	}
	stored, err = s.cfg.Subscriptions.CreateSubscription(ctx, sub)
	return stored, appendSubscription(router.SubscriptionView{Secret: stored.Sink.Secret == fresh}), err
}

func (s *Server) subscriptionStatus(ctx context.Context, sub router.Subscription) (func([]byte, router.Subscription) []byte, error) {
	status, err := s.cfg.Subscriptions.SubscriptionStatus(ctx, sub.ID)
	if err != nil {
		return nil, err
	}
	shown, err := showSubscriptionStatus(sub, status, s.now())
	return appendSubscription(router.SubscriptionView{Status: shown}), err
}

func (s *Server) deleteSubscription(c call) error {
	sub, exact, err := s.subscriptions.toDelete(c)
	if err != nil {
		return err
	}
	version := uint64(0)
	if exact {
		version = sub.Version
	}
	dropped, err := s.cfg.Subscriptions.DeleteSubscription(c.r.Context(), sub.ID, version)
	if err != nil {
		return fmt.Errorf("delete subscription %q: %w", sub.Name, err)
	}
	writeBody(c.w, http.StatusOK, jsonType, append(strconv.AppendInt([]byte(`{"dropped_deliveries":`), dropped, 10), '}', '\n'))
	return nil
}

// rotateSecret gives a subscription a fresh signing secret, and shows it this once.
func (s *Server) rotateSecret(c call) error {
	pre, err := readPreconditions(c.r)
	if err != nil {
		return err
	}
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	fresh, rotating := s.cfg.NewSecret(), *s.subscriptions
	rotating.store = func(ctx context.Context, sub router.Subscription) (router.Subscription, error) {
		return s.cfg.Subscriptions.RotateSecret(ctx, sub, fresh)
	}
	rotating.show = appendSubscription(router.SubscriptionView{Secret: true})
	return rotating.change(c, pre, func(old router.Subscription) (router.Subscription, error) { return old, nil })
}

func (s *Server) pauseSubscription(c call) error {
	return s.changeSending(c, "pause", s.cfg.Pauser.PauseSubscription)
}

func (s *Server) resumeSubscription(c call) error {
	return s.changeSending(c, "resume", s.cfg.Pauser.ResumeSubscription)
}

// changeSending has nothing, or something again, sent to a subscription's sink, and answers with the subscription and its status.
func (s *Server) changeSending(c call, doing string, change func(ctx context.Context, id string) error) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	sub, err := s.subscriptions.named(c)
	if err != nil {
		return err
	}
	if err := change(c.r.Context(), sub.ID); err != nil {
		return fmt.Errorf("%s subscription %q: %w", doing, sub.Name, err)
	}
	return s.subscriptions.get(c)
}

// testSubscription has one marked test event sent to the sink and answers with the attempt.
func (s *Server) testSubscription(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	sub, err := s.subscriptions.named(c)
	if err != nil {
		return err
	}
	ctx, cancel := s.allow(c, sub.Sink.Timeout.Std(), errTestTimeout)
	defer cancel()
	attempt, err := s.cfg.Tester.Test(ctx, sub)
	if err != nil {
		return fmt.Errorf("test subscription %q: %w", sub.Name, err)
	}
	return writeJSON(c.w, showAttempt(attempt))
}

// allow gives a request more time than the server gives to others: that of what it waits for, and 10 s for all else. late says that this was not enough.
func (s *Server) allow(c call, wait time.Duration, late error) (context.Context, context.CancelFunc) {
	most := max(wait, router.DefaultSinkTimeout.Std()) + 10*time.Second
	for _, set := range []func(time.Time) error{http.NewResponseController(c.w).SetWriteDeadline, http.NewResponseController(c.w).SetReadDeadline} {
		_ = set(time.Now().Add(most + 10*time.Second)) // where it can't be set, there is none; reading goes on, to notice that the client goes away
	}
	return context.WithTimeoutCause(c.r.Context(), most, late)
}

var errTestTimeout = errors.New("the test took too long")
