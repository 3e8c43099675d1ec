package httpapi

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// partialView is a partial as the API shows it.
type partialView struct {
	ID           string          `json:"id"`
	Key          json.RawMessage `json:"key"`
	Have         []heldView      `json:"have"`
	Missing      []string        `json:"missing"`
	Deadline     string          `json:"deadline,omitempty"`
	CoolingUntil string          `json:"cooling_until,omitempty"`
}

// heldView is an event that a partial holds.
type heldView struct {
	Leaf     string `json:"leaf"`
	Position string `json:"position"`
	ID       string `json:"id"`
	Source   string `json:"source"`
	Time     string `json:"time"`
	StaleAt  string `json:"stale_at,omitempty"`
}

func viewPartial(c *router.CompiledTrigger, p router.Partial) partialView {
	v := partialView{ID: p.Hash.String(), Key: json.RawMessage(p.Key.JSON()), Have: []heldView{}, Missing: p.Missing(c)}
	if v.Missing == nil {
		v.Missing = []string{}
	}
	for _, held := range p.Held(c) {
		e := p.Events[held.Event.Position]
		v.Have = append(v.Have, heldView{
			Leaf: c.Leaves[held.Event.Leaf].Name, Position: held.Event.Position.String(), ID: e.ID(), Source: e.Source(),
			Time: router.FormatTime(held.Event.Position.AcceptedAt()), StaleAt: formatMillis(held.StaleAt),
		})
	}
	if at, ok := p.Deadline(c); ok {
		v.Deadline = formatMillis(at)
	}
	if p.Last != 0 {
		v.CoolingUntil = formatMillis(p.Last + c.Cooldown.Std().Milliseconds())
	}
	return v
}

// formatMillis writes a time, nothing where there is none.
func formatMillis(ms int64) string {
	if ms == 0 {
		return ""
	}
	return router.FormatTime(time.UnixMilli(ms))
}

// listPartials lists what a trigger has recorded. What can be of no use any more is not shown, though it may still be stored.
func (s *Server) listPartials(c call) error {
	q := newQuery(c.r)
	limit, cursor, key := q.limit(), q.text("cursor"), q.text("key")
	if err := q.err(); err != nil {
		return err
	}
	t, compiled, err := s.compiledTrigger(c)
	if err != nil {
		return err
	}
	var partials []router.Partial
	next := ""
	if key != "" {
		partials, err = s.partialOf(c, compiled, key)
	} else {
		partials, next, err = s.cfg.Partials.Partials(c.r.Context(), compiled, cursor, limit)
	}
	if err != nil {
		return fmt.Errorf("list the partials of trigger %q: %w", t.Name, err)
	}
	items := []partialView{}
	for _, p := range partials {
		if live, ok := p.At(compiled, s.now().UnixMilli()); ok {
			items = append(items, viewPartial(compiled, live))
		}
	}
	return writeJSON(c.w, list[partialView]{items, next})
}

// list is a page of a list.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

func (s *Server) compiledTrigger(c call) (t router.Trigger, compiled *router.CompiledTrigger, err error) {
	if t, err = s.triggers.named(c); err != nil {
		return t, nil, err
	}
	if compiled, err = t.Compile(); err != nil {
		return t, nil, fmt.Errorf("compile trigger %q: %w", t.Name, err)
	}
	return t, compiled, nil
}

// partialOf is the partial of a key that a parameter gives, if there is one.
func (s *Server) partialOf(c call, compiled *router.CompiledTrigger, text string) ([]router.Partial, error) {
	key, err := compiled.ParseKey([]byte(text))
	if err != nil {
		q := query{}
		q.refuse("key", err)
		return nil, q.err()
	}
	p, ok, err := s.cfg.Partials.Partial(c.r.Context(), compiled, key.Hash())
	if !ok {
		return nil, err
	}
	return []router.Partial{p}, err
}

// deletePartial drops what is recorded for one key.
func (s *Server) deletePartial(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	t, err := s.triggers.named(c)
	if err != nil {
		return err
	}
	missing := router.Errorf(router.NotFound, "trigger %s has no such partial", t.Name)
	hash, ok := router.ParseKeyHash(c.second)
	if !ok {
		return missing
	}
	dropped, err := s.cfg.Partials.DropKeys(c.r.Context(), t, []router.KeyHash{hash})
	if err != nil {
		return fmt.Errorf("drop a partial of trigger %q: %w", t.Name, err)
	}
	if dropped == 0 {
		return missing
	}
	return writeJSON(c.w, droppedView{dropped})
}

// droppedView says how many partials were dropped.
type droppedView struct {
	Dropped int64 `json:"dropped"`
}

// dropPartials drops a selection of what a trigger has recorded.
func (s *Server) dropPartials(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	text, err := s.readCommand(c, jsonType)
	if err != nil {
		return err
	}
	t, compiled, err := s.compiledTrigger(c)
	if err != nil {
		return err
	}
	selection, err := compiled.DecodePartialSelection(text)
	if err != nil {
		return err
	}
	dropped, err := s.dropSelected(c, compiled, selection)
	if err != nil {
		return fmt.Errorf("drop partials of trigger %q: %w", t.Name, err)
	}
	return writeJSON(c.w, droppedView{dropped})
}

func (s *Server) dropSelected(c call, compiled *router.CompiledTrigger, selection router.PartialSelection) (n int64, err error) {
	ctx := c.r.Context()
	switch {
	case selection.All && selection.DryRun:
		status, err := s.cfg.Triggers.TriggerStatus(ctx, compiled.Trigger)
		return status.Partials, err
	case selection.All:
		return s.cfg.Partials.DropAllKeys(ctx, compiled.Trigger)
	case !selection.DryRun:
		return s.cfg.Partials.DropKeys(ctx, compiled.Trigger, selection.Keys)
	}
	for _, key := range selection.Keys {
		_, ok, err := s.cfg.Partials.Partial(ctx, compiled, key)
		if err != nil {
			return 0, err
		}
		if ok {
			n++
		}
	}
	return n, nil
}
