package httpapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

type deliveryView struct {
	ID           string                `json:"id"`
	Subscription string                `json:"subscription"`
	Position     string                `json:"position"`
	Status       router.DeliveryStatus `json:"status"`
	Attempts     []attemptView         `json:"attempts"`
	NextAttempt  *moment               `json:"next_attempt,omitempty"`
	LeaseUntil   *moment               `json:"lease_until,omitempty"`
	Worker       string                `json:"worker,omitempty"`
	Progress     *int                  `json:"progress,omitempty"`
	Note         string                `json:"note,omitempty"`
}

func showDelivery(d router.DeliveryRecord) deliveryView {
	v := deliveryView{
		ID: d.ID, Subscription: d.Subscription, Position: d.Position.String(), Status: d.Status, Attempts: []attemptView{},
		NextAttempt: orNull(moment(d.Next)), LeaseUntil: orNull(moment(d.LeaseUntil)), Worker: d.Worker, Note: d.Note,
	}
	for _, a := range d.Attempts {
		v.Attempts = append(v.Attempts, showAttempt(a))
	}
	if n, err := strconv.Atoi(d.Progress); err == nil {
		v.Progress = &n
	}
	return v
}

func (s *Server) listDeliveries(c call) error {
	q := newQuery(c.r)
	subscription := q.text("subscription")
	filter := router.DeliveryFilter{Status: q.deliveryStatus("status"), Event: q.position("event")}
	limit, cursor := q.limit(), q.text("cursor")
	if err := q.err(); err != nil {
		return err
	}
	var err error
	if filter.Subscription, err = s.subscriptionID(c, subscription); err != nil {
		return err
	}
	found, next, err := s.cfg.Deliveries.Deliveries(c.r.Context(), filter, cursor, limit)
	if err != nil {
		return fmt.Errorf("list deliveries: %w", err)
	}
	page := list[deliveryView]{Items: []deliveryView{}, Next: next}
	for _, d := range found {
		page.Items = append(page.Items, showDelivery(d))
	}
	return writeJSON(c.w, page)
}

func (q *query) deliveryStatus(name string) router.DeliveryStatus {
	status := router.DeliveryStatus(q.text(name))
	if status != "" && !slices.Contains(router.DeliveryStatuses(), status) {
		words := make([]string, len(router.DeliveryStatuses()))
		for i, one := range router.DeliveryStatuses() {
			words[i] = string(one)
		}
		q.fault(name, "must be one of "+strings.Join(words, ", "))
	}
	return status
}

func (q *query) position(name string) *router.Position {
	text := q.text(name)
	if text == "" {
		return nil
	}
	p, err := router.ParsePosition(text)
	q.refuse(name, err)
	return &p
}

func (s *Server) showDelivery(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	d, err := s.cfg.Deliveries.Delivery(c.r.Context(), c.param)
	if err != nil {
		return fmt.Errorf("show a delivery: %w", err)
	}
	return writeJSON(c.w, showDelivery(d))
}

// retryDelivery makes one due now that waits for its next attempt.
func (s *Server) retryDelivery(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	d, err := s.cfg.Deliveries.HastenDelivery(c.r.Context(), c.param)
	if err != nil {
		return fmt.Errorf("retry a delivery: %w", err)
	}
	c.w.Header().Set("Cache-Control", "no-store")
	return writeJSON(c.w, showDelivery(d))
}
