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

// The content types of definitions.
const (
	jsonType       = "application/json"
	mergePatchType = "application/merge-patch+json"
)

// maxTries is how often a change is made anew because another one came between reading and writing.
const maxTries = 8

func (s *Server) createSubscription(c call) error {
	text, err := s.readCommand(c, jsonType)
	if err != nil {
		return err
	}
	draft, err := router.DecodeSubscription(text, s.cfg.Rules)
	if err != nil {
		return err
	}
	return s.create(c, draft)
}

// readCommand reads the body of a request that has no parameters.
func (s *Server) readCommand(c call, types ...string) ([]byte, error) {
	if err := newQuery(c.r).err(); err != nil {
		return nil, err
	}
	return s.readDocument(c, types...)
}

// create stores a new subscription and answers with it. A secret that was made here is shown, this once.
func (s *Server) create(c call, draft router.SubscriptionDraft) error {
	fresh := s.cfg.NewSecret()
	sub, err := draft.Create(fresh)
	if err != nil {
		return err
	}
	stored, err := s.cfg.Subscriptions.CreateSubscription(c.r.Context(), sub)
	if err != nil {
		return fmt.Errorf("create subscription %q: %w", sub.Name, err)
	}
	c.w.Header().Set("Location", "/v1/subscriptions/"+stored.ID)
	writeSubscription(c.w, http.StatusCreated, stored, router.SubscriptionView{Secret: stored.Sink.Secret == fresh})
	return nil
}

func writeSubscription(w http.ResponseWriter, status int, sub router.Subscription, view router.SubscriptionView) {
	w.Header().Set("ETag", sub.ETag())
	w.Header().Set("Cache-Control", "no-store")
	writeBody(w, status, jsonType, append(router.AppendSubscription(nil, sub, view), '\n'))
}

// subscription returns the one that the path names.
func (s *Server) subscription(c call) (router.Subscription, error) {
	ref, err := router.ParseRef(router.SubscriptionID, c.param)
	if err != nil {
		return router.Subscription{}, err
	}
	sub, err := s.cfg.Subscriptions.Subscription(c.r.Context(), ref.String())
	if err != nil {
		return router.Subscription{}, fmt.Errorf("read subscription %q: %w", ref, err)
	}
	return sub, nil
}

// putSubscription replaces a subscription, or creates it where the path has a name that there is not yet.
func (s *Server) putSubscription(c call) error {
	pre, err := readPreconditions(c.r)
	if err != nil {
		return err
	}
	text, err := s.readCommand(c, jsonType)
	if err != nil {
		return err
	}
	ref, err := router.ParseRef(router.SubscriptionID, c.param)
	if err != nil {
		return err
	}
	draft, err := s.draftFor(ref, text)
	if err != nil {
		return err
	}
	for range maxTries {
		err := s.change(c, pre, func(old router.Subscription) (router.Subscription, error) { return draft.Replace(old) })
		if ref.Name == "" || router.ErrorCode(err) != router.NotFound {
			return err
		}
		if err := pre.checkAbsent(); err != nil {
			return err
		}
		if err := s.create(c, draft); router.ErrorCode(err) != router.Conflict {
			return err
		}
		// Somebody else has just created it: what holds for one that is there holds now.
	}
	return errBusy()
}

// draftFor reads a document that is put at a reference: at a name, which it may leave out and must not contradict, or at an id.
func (s *Server) draftFor(ref router.Ref, text []byte) (router.SubscriptionDraft, error) {
	rules := s.cfg.Rules
	rules.Name = ref.Name
	draft, err := router.DecodeSubscription(text, rules)
	if err != nil {
		return router.SubscriptionDraft{}, err
	}
	if name := draft.Definition().Name; ref.Name != "" && name != ref.Name {
		return router.SubscriptionDraft{}, &router.Error{
			Code: router.Invalid, Message: "the document has another name than the path; to rename, PATCH it or PUT it under its id",
			Problems: []router.Problem{{Location: "body.name", Message: "must be " + ref.Name + ", or left out"}},
		}
	}
	return draft, nil
}

func (s *Server) patchSubscription(c call) error {
	pre, err := readPreconditions(c.r)
	if err != nil {
		return err
	}
	patch, err := s.readCommand(c, mergePatchType, jsonType)
	if err != nil {
		return err
	}
	return s.change(c, pre, func(old router.Subscription) (router.Subscription, error) {
		return router.PatchSubscription(old, patch, s.cfg.Rules)
	})
}

// change stores what edit makes of a subscription and answers with it. Where the caller named no version, a change of somebody else that comes between
// is not overwritten: the edit is made anew, on what is there then. A definition that stays the same is stored too: that completes an earlier change that
// died before every replica had heard of it.
func (s *Server) change(c call, pre preconditions, edit func(old router.Subscription) (router.Subscription, error)) error {
	for range maxTries {
		stored, err := s.changeOnce(c, pre, edit)
		if err == nil {
			writeSubscription(c.w, http.StatusOK, stored, router.SubscriptionView{})
			return nil
		}
		if pre.namesVersion() || !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return errBusy()
}

func errBusy() error {
	return router.Errorf(router.Unavailable, "the subscription is being changed by others all the time")
}

// errOvertaken marks that another change came between reading and writing.
var errOvertaken = errors.New("overtaken by another change")

func (s *Server) changeOnce(c call, pre preconditions, edit func(old router.Subscription) (router.Subscription, error)) (router.Subscription, error) {
	old, err := s.subscription(c)
	if err != nil {
		return router.Subscription{}, err
	}
	if err := pre.checkPresent(old.ETag()); err != nil {
		return router.Subscription{}, err
	}
	sub, err := edit(old)
	if err != nil {
		return router.Subscription{}, err
	}
	stored, err := s.cfg.Subscriptions.ReplaceSubscription(c.r.Context(), sub)
	if router.ErrorCode(err) == router.Precondition {
		err = fmt.Errorf("%w: %w", errOvertaken, err)
	}
	if err != nil {
		return router.Subscription{}, fmt.Errorf("change subscription %q: %w", old.Name, err)
	}
	return stored, nil
}

func (s *Server) deleteSubscription(c call) error {
	pre, err := readPreconditions(c.r)
	if err != nil {
		return err
	}
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	sub, err := s.subscription(c)
	if err != nil {
		return err
	}
	if err := pre.checkPresent(sub.ETag()); err != nil {
		return err
	}
	version := uint64(0)
	if pre.namesVersion() {
		version = sub.Version
	}
	dropped, err := s.cfg.Subscriptions.DeleteSubscription(c.r.Context(), sub.ID, version)
	if err != nil {
		return fmt.Errorf("delete subscription %q: %w", sub.Name, err)
	}
	writeBody(c.w, http.StatusOK, jsonType, append(strconv.AppendInt([]byte(`{"dropped_deliveries":`), dropped, 10), '}', '\n'))
	return nil
}

func (s *Server) showSubscription(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	sub, err := s.subscription(c)
	if err != nil {
		return err
	}
	status, err := s.cfg.Subscriptions.SubscriptionStatus(c.r.Context(), sub.ID)
	if err != nil {
		return fmt.Errorf("read the state of subscription %q: %w", sub.Name, err)
	}
	shown, err := showSubscriptionStatus(sub, status)
	if err != nil {
		return err
	}
	writeSubscription(c.w, http.StatusOK, sub, router.SubscriptionView{Status: shown})
	return nil
}

// listSubscriptions lists definitions in the order of their ids. A cursor is the last id of the page before.
func (s *Server) listSubscriptions(c call) error {
	q := newQuery(c.r)
	limit, after := q.limit(), q.text("cursor")
	if after != "" {
		if ref, err := router.ParseRef(router.SubscriptionID, after); err != nil || ref.ID == "" {
			q.refuse("cursor", errCursor())
		}
	}
	if err := q.err(); err != nil {
		return err
	}
	subs, err := s.cfg.Subscriptions.Subscriptions(c.r.Context(), after, limit+1)
	if err != nil {
		return fmt.Errorf("list subscriptions: %w", err)
	}
	next := ""
	if len(subs) > limit {
		subs = subs[:limit]
		next = subs[limit-1].ID
	}
	items := []byte(`{"items":[`)
	for i, sub := range subs {
		if i > 0 {
			items = append(items, ',')
		}
		items = router.AppendSubscription(items, sub, router.SubscriptionView{})
	}
	writeBody(c.w, http.StatusOK, jsonType, closeList(items, next))
	return nil
}

// testSubscription has one marked test event sent to the sink and answers with the attempt.
func (s *Server) testSubscription(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	sub, err := s.subscription(c)
	if err != nil {
		return err
	}
	ctx, cancel := s.allow(c, sub.Sink.Timeout.Std())
	defer cancel()
	attempt, err := s.cfg.Tester.Test(ctx, sub)
	if err != nil {
		return fmt.Errorf("test subscription %q: %w", sub.Name, err)
	}
	return writeJSON(c.w, showAttempt(attempt))
}

// allow gives a request more time than the server gives to others: that of an attempt, and 10 s for all else.
func (s *Server) allow(c call, attempt time.Duration) (context.Context, context.CancelFunc) {
	most := max(attempt, router.DefaultSinkTimeout.Std()) + 10*time.Second
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(most + 10*time.Second)) // where it can't be set, none is
	return context.WithTimeoutCause(c.r.Context(), most, errTestTimeout)
}

var errTestTimeout = errors.New("the test took too long")
