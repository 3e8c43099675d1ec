package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

type deadLetterView struct {
	ID           string        `json:"id,omitempty"`
	Subscription string        `json:"subscription,omitempty"`
	Position     string        `json:"position"`
	At           moment        `json:"at"`
	Reason       string        `json:"reason"`
	RawBase64    []byte        `json:"raw_base64,omitempty"`
	Attempts     []attemptView `json:"attempts"`
}

func (s *Server) listDeadLetters(c call) error {
	q := newQuery(c.r)
	subscription := q.text("subscription")
	filter := router.DeadLetterFilter{Reason: q.text("reason"), From: q.time("from"), To: q.time("to")}
	limit, cursor := q.limit(), q.text("cursor")
	if err := q.err(); err != nil {
		return err
	}
	var err error
	if filter.Subscription, err = s.subscriptionID(c, subscription); err != nil {
		return err
	}
	letters, next, err := s.cfg.DeadLetters.DeadLetters(c.r.Context(), filter, cursor, limit)
	if err != nil {
		return fmt.Errorf("list dead letters: %w", err)
	}
	items := []byte(`{"items":[`)
	for i, d := range letters {
		if i > 0 {
			items = append(items, ',')
		}
		if items, err = appendDeadLetter(items, d); err != nil {
			return err
		}
	}
	writeBody(c.w, http.StatusOK, jsonType, closeList(items, next))
	return nil
}

func (s *Server) showDeadLetter(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	d, err := s.cfg.DeadLetters.DeadLetter(c.r.Context(), c.param)
	if err != nil {
		return fmt.Errorf("show a dead letter: %w", err)
	}
	body, err := appendDeadLetter(nil, d)
	if err != nil {
		return err
	}
	writeBody(c.w, http.StatusOK, jsonType, append(body, '\n'))
	return nil
}

// appendDeadLetter appends a dead letter; the event goes in as it is, which a JSON encoder would not leave it.
func appendDeadLetter(dst []byte, d router.DeadLetter) ([]byte, error) {
	v := deadLetterView{
		ID: d.ID, Subscription: d.Subscription, Position: d.Position.String(), At: moment(d.At), Reason: d.Reason,
		RawBase64: []byte(d.Raw), Attempts: []attemptView{},
	}
	for _, a := range d.Attempts {
		v.Attempts = append(v.Attempts, showAttempt(a))
	}
	head, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("show dead letter %q: %w", d.ID, err)
	}
	dst = append(dst, head...)
	if d.Event.ID() == "" { // what can't be decoded
		return dst, nil
	}
	dst = cloudevents.AppendStructured(append(dst[:len(dst)-1], `,"event":`...), d.Event)
	return append(dst, '}'), nil
}

// subscriptionID takes an id as it is, since dead letters outlive their subscription, and looks a name up. "" stands for all of them.
func (s *Server) subscriptionID(c call, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	ref, err := router.ParseRef(router.SubscriptionID, text)
	if err != nil {
		return "", &router.Error{
			Code: router.Invalid, Message: "the parameters are not valid",
			Problems: []router.Problem{{Location: "query.subscription", Message: show(err).detail}},
		}
	}
	if ref.ID != "" {
		return ref.ID, nil
	}
	sub, err := s.cfg.Subscriptions.Subscription(c.r.Context(), ref.Name)
	if err != nil {
		return "", fmt.Errorf("read subscription %q: %w", ref.Name, err)
	}
	return sub.ID, nil
}
