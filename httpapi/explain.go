package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/streamlatch/streamlatch/router"
)

// Bounds of an explanation.
const (
	explainBack    = 10_000 // events before the one that is explained, with which its triggers are run again
	explainForward = 10_000 // and after it
	maxExplained   = 10_000 // definitions that are looked at
	maxFollowed    = 1000   // deliveries that are looked for
)

// explanation is what became of an event.
type explanation struct {
	Subscriptions []subscriptionFate `json:"subscriptions"`
	Triggers      []triggerFate      `json:"triggers"`
	// Truncated says that the log has more events than were looked at: what an older event had done is not seen, or what a newer one has done.
	Truncated bool `json:"truncated,omitempty"`
}

// subscriptionFate is what an event is to a subscription.
type subscriptionFate struct {
	Ref      string `json:"ref"`
	Matched  bool   `json:"matched"`
	Delivery string `json:"delivery,omitempty"`
	Status   string `json:"status,omitempty"`
	Reason   string `json:"reason,omitempty"`
	*missView
}

// missView is the first field that fails.
type missView struct {
	Field  string `json:"field"`
	Wanted string `json:"wanted"`
	Found  string `json:"found"`
}

// triggerFate is what became of an event at a leaf of a trigger.
type triggerFate struct {
	Ref     string          `json:"ref"`
	Leaf    string          `json:"leaf"`
	Key     json.RawMessage `json:"key,omitempty"`
	Outcome string          `json:"outcome"`
	Missing []string        `json:"missing,omitempty"`
	Firing  string          `json:"firing,omitempty"`
	By      string          `json:"by,omitempty"`
	Reason  string          `json:"reason"`
	*missView
}

// explainEvent tells what became of an event: of subscriptions and triggers as they are now. What a trigger did with it is found by running the trigger's
// model over the events around it, since firings are a function of the log.
func (s *Server) explainEvent(c call) error {
	q := newQuery(c.r)
	subscription, trigger := q.text("subscription"), q.text("trigger")
	if err := q.err(); err != nil {
		return err
	}
	record, err := s.recordAt(c)
	if err != nil {
		return err
	}
	e := explanation{Subscriptions: []subscriptionFate{}, Triggers: []triggerFate{}}
	if subscription != "" || trigger == "" {
		if e.Subscriptions, err = s.explainSubscriptions(c.r.Context(), record, subscription); err != nil {
			return err
		}
	}
	if trigger != "" || subscription == "" {
		x := triggerExplainer{server: s, record: record, shown: &e}
		if err := x.explain(c.r.Context(), trigger); err != nil {
			return err
		}
	}
	return writeJSON(c.w, e)
}

func (s *Server) explainSubscriptions(ctx context.Context, r router.Record, ref string) ([]subscriptionFate, error) {
	fates, followed := []subscriptionFate{}, 0
	view := router.NewView(r.Event)
	defer view.Release()
	err := each(ctx, ref, router.SubscriptionID, s.cfg.Subscriptions.Subscription, s.cfg.Subscriptions.Subscriptions, func(sub router.Subscription) (string, error) {
		filter, err := sub.Filter.Compile()
		if err != nil {
			return "", fmt.Errorf("compile the filter of subscription %q: %w", sub.Name, err)
		}
		miss, missed := filter.Explain(view)
		fate := subscriptionFate{Ref: sub.Name, Matched: !missed}
		switch {
		case missed && ref == "":
			return sub.ID, nil
		case missed:
			fate.missView, fate.Reason = (*missView)(&miss), "the filter does not match"
		case !sub.Enabled:
			fate.Reason = "the subscription is disabled: new events are not queued"
		case r.Position.MS < sub.Created.UnixMilli():
			fate.Reason = "the subscription was created after the event was accepted"
		default:
			fate.Delivery = router.DeliveryID(sub.ID, router.Entry{Position: r.Position})
			if followed++; followed <= maxFollowed {
				if fate.Status, err = s.deliveryStatus(ctx, fate.Delivery); err != nil {
					return "", err
				}
			}
		}
		fates = append(fates, fate)
		return sub.ID, nil
	})
	return fates, err
}

// deliveryStatus is where a delivery stands; "" where nothing is recorded of it (any more).
func (s *Server) deliveryStatus(ctx context.Context, id string) (string, error) {
	d, err := s.cfg.Deliveries.Delivery(ctx, id)
	switch {
	case router.ErrorCode(err) == router.NotFound:
		return "", nil
	case err != nil:
		return "", fmt.Errorf("look for a delivery: %w", err)
	}
	return string(d.Status), nil
}

// each calls visit with the definition that a reference names, or, where there is none, with all.
func each[T any](
	ctx context.Context, ref string, kind router.IDKind, read func(context.Context, string) (T, error),
	list func(context.Context, string, int) ([]T, error), visit func(T) (id string, err error),
) error {
	if ref != "" {
		parsed, err := router.ParseRef(kind, ref)
		if err != nil {
			return err
		}
		t, err := read(ctx, parsed.String())
		if err != nil {
			return fmt.Errorf("read %q: %w", ref, err)
		}
		_, err = visit(t)
		return err
	}
	for after, seen := "", 0; seen < maxExplained; {
		page, err := list(ctx, after, maxLimit)
		if err != nil {
			return fmt.Errorf("list definitions: %w", err)
		}
		for _, t := range page {
			if after, err = visit(t); err != nil {
				return err
			}
		}
		if seen += len(page); len(page) < maxLimit {
			return nil
		}
	}
	return nil
}

// triggerExplainer finds out what became of an event at the leaves of triggers.
type triggerExplainer struct {
	server *Server
	record router.Record
	shown  *explanation
	runs   []*explainRun
}

// explainRun runs the model of a trigger that the event meets.
type explainRun struct {
	trigger  *router.CompiledTrigger
	model    *router.Model
	fates    map[int]router.LeafFate // of the event, by leaf
	since    int64                   // accept time of the first event that counts
	disabled int64                   // and of the first that does not any more; 0: none
}

func (x *triggerExplainer) explain(ctx context.Context, ref string) error {
	store := x.server.cfg.Triggers
	err := each(ctx, ref, router.TriggerID, store.Trigger, store.Triggers, func(t router.Trigger) (string, error) {
		c, err := t.Compile()
		if err != nil {
			return "", fmt.Errorf("compile trigger %q: %w", t.Name, err)
		}
		x.meet(c, ref != "")
		return t.ID, nil
	})
	if err != nil || len(x.runs) == 0 {
		return err
	}
	if err := x.replay(ctx); err != nil {
		return err
	}
	for _, run := range x.runs {
		x.conclude(run)
	}
	return nil
}

// meet begins a run of a trigger that the event meets, and says of the leaves that it does not meet why, if that was asked.
func (x *triggerExplainer) meet(c *router.CompiledTrigger, asked bool) {
	view := router.NewView(x.record.Event)
	defer view.Release()
	met := false
	for _, leaf := range c.Leaves {
		miss, missed := leaf.Filter.Explain(view)
		met = met || !missed
		if missed && asked {
			x.shown.Triggers = append(x.shown.Triggers, triggerFate{
				Ref: c.Name, Leaf: leaf.Name, Outcome: "not-matched", Reason: "the leaf's filter does not match", missView: (*missView)(&miss),
			})
		}
	}
	if !met {
		return
	}
	run := &explainRun{trigger: c, fates: map[int]router.LeafFate{}, since: c.Since.UnixMilli()}
	if c.Since.IsZero() {
		run.since = c.Created.UnixMilli()
	}
	if !c.Enabled {
		run.disabled = c.Updated.UnixMilli()
	}
	config := router.ModelConfig{Partitions: x.server.cfg.Log.Partitions(), Heard: func(f router.LeafFate) {
		if f.Event.Position == x.record.Position {
			run.fates[f.Event.Leaf] = f
		}
	}}
	offers, _ := c.KeyOffers(x.record.Event)
	for _, o := range offers {
		config.Only = append(config.Only, o.Key.Hash())
	}
	run.model = router.NewModel(c, config)
	run.model.Enable(true)
	x.runs = append(x.runs, run)
}

// replay offers the events around the one that is explained.
func (x *triggerExplainer) replay(ctx context.Context) error {
	from, err := x.start(ctx)
	if err != nil {
		return err
	}
	log, err := newForwards(ctx, x.server.cfg.Log, from)
	if err != nil {
		return err
	}
	for behind := 0; behind <= explainForward; {
		r, ok, err := log.next(ctx)
		if err != nil {
			return err
		}
		if !ok {
			now := x.server.now()
			for _, run := range x.runs {
				run.model.Advance(now)
			}
			return nil
		}
		if newer(r.Position, x.record.Position) {
			behind++
		}
		for _, run := range x.runs {
			if r.Position.MS >= run.since {
				run.model.Enable(run.disabled == 0 || r.Position.MS < run.disabled)
				run.model.Offer(r)
			}
		}
	}
	x.shown.Truncated = true
	return nil
}

// start is the accept time of the first event that is looked at.
func (x *triggerExplainer) start(ctx context.Context) (int64, error) {
	n := x.server.cfg.Log.Partitions()
	oldest := slices.MinFunc(x.runs, func(a, b *explainRun) int { return cmp.Compare(a.since, b.since) }).since
	log := backwards{log: x.server.cfg.Log, at: make([]router.Position, n), read: make([][]router.Record, n), batch: firstBatch, oldest: oldest}
	for p := range log.at {
		log.at[p] = router.Position{Partition: p, MS: x.record.Position.MS, Seq: ^uint64(0)}
	}
	from := x.record.Position.MS
	for range explainBack {
		r, ok, err := log.next(ctx)
		if err != nil {
			return 0, err
		}
		if !ok {
			return from, nil
		}
		from = r.Position.MS
	}
	x.shown.Truncated = true
	return from, nil
}

// conclude shows what became of the event.
func (x *triggerExplainer) conclude(run *explainRun) {
	now := x.server.now()
	partials := run.model.Partials(now)
	c := run.trigger
	view := router.NewView(x.record.Event)
	defer view.Release()
	for number, leaf := range c.Leaves {
		fate, ok := run.fates[number]
		if !ok && !leaf.Filter.Match(view) {
			continue
		}
		shown := triggerFate{Ref: c.Name, Leaf: leaf.Name, Outcome: string(fate.Fate), Firing: fate.Firing}
		if !ok {
			shown.Outcome, shown.Reason = string(router.Ignored), "the trigger, or its present condition, was defined after the event was accepted"
			x.shown.Triggers = append(x.shown.Triggers, shown)
			continue
		}
		if fate.Fate == router.Waiting {
			shown.Missing, ok = missingFor(c, partials, fate.Event)
			if !ok {
				fate.Fate, fate.By = router.OutsideWindow, router.Position{Partition: fate.Event.Position.Partition, MS: now.UnixMilli()}
				shown.Outcome = string(fate.Fate)
			}
		}
		if fate.Fate != router.KeyMissing && fate.Fate != router.Ignored {
			shown.Key = json.RawMessage(fate.Key.JSON())
		}
		if fate.By != (router.Position{}) && !fate.Deadline && fate.By != fate.Event.Position {
			shown.By = fate.By.String()
		}
		shown.Reason = fate.Reason(c)
		x.shown.Triggers = append(x.shown.Triggers, shown)
	}
}

// missingFor is what the partial that holds an event lacks; ok is false where none does any more.
func missingFor(c *router.CompiledTrigger, partials []router.Partial, e router.LeafEvent) (missing []string, ok bool) {
	for _, p := range partials {
		if slices.ContainsFunc(p.Held(c), func(h router.Held) bool { return h.Event == e }) {
			return p.Missing(c), true
		}
	}
	return nil, false
}
