package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/streamlatch/streamlatch/router"
)

type triggers = definitions[router.Trigger, router.TriggerDraft]

func (s *Server) newTriggers() *triggers {
	return &triggers{
		server: s, id: router.TriggerID, noun: "trigger", path: "/v1/triggers",
		decode: router.DecodeTrigger,
		nameOf: func(d router.TriggerDraft) string { return d.Definition().Name },
		create: func(ctx context.Context, d router.TriggerDraft) (router.Trigger, func([]byte, router.Trigger) []byte, error) {
			stored, err := s.cfg.Triggers.CreateTrigger(ctx, d.Create())
			return stored, appendTrigger(nil), err
		},
		read:    s.cfg.Triggers.Trigger,
		replace: func(d router.TriggerDraft, old router.Trigger) (router.Trigger, error) { return d.Replace(old), nil },
		patch:   router.PatchTrigger,
		store:   s.cfg.Triggers.ReplaceTrigger,
		list:    s.cfg.Triggers.Triggers,
		status:  s.triggerStatus,
		show:    appendTrigger(nil),
		idOf:    func(t router.Trigger) string { return t.ID },
		etagOf:  router.Trigger.ETag,
	}
}

func appendTrigger(status json.RawMessage) func(dst []byte, t router.Trigger) []byte {
	return func(dst []byte, t router.Trigger) []byte { return router.AppendTrigger(dst, t, status) }
}

// triggerStatus is a trigger's status as the API shows it.
type triggerStatus struct {
	Generation uint64 `json:"generation"`
	Partials   int64  `json:"partials"`
	Firings    int64  `json:"firings"`
	Suppressed int64  `json:"suppressed"`
	Dropped    int64  `json:"dropped"`
	KeyMissing int64  `json:"key_missing"`
	OverCap    int64  `json:"over_cap"`
	Ignored    int64  `json:"ignored"`
	Loops      int64  `json:"loops"`
}

func (s *Server) triggerStatus(ctx context.Context, t router.Trigger) (func([]byte, router.Trigger) []byte, error) {
	status, err := s.cfg.Triggers.TriggerStatus(ctx, t)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(triggerStatus{
		Generation: t.Generation, Partials: status.Partials, Firings: status.Firings, Suppressed: status.Suppressed, Dropped: status.Dropped,
		KeyMissing: status.KeyMissing, OverCap: status.OverCap, Ignored: status.Ignored, Loops: status.Loops,
	})
	return appendTrigger(text), err
}

// putTrigger replaces or creates a trigger, or, with dry_run, only says what that would do to what is recorded.
func (s *Server) putTrigger(c call) error {
	q := newQuery(c.r)
	dry := q.flag("dry_run")
	if err := q.err(); err != nil {
		return err
	}
	if !dry {
		return s.triggers.putDocument(c)
	}
	pre, err := readPreconditions(c.r)
	if err != nil {
		return err
	}
	ref, draft, err := s.triggers.readPut(c)
	if err != nil {
		return err
	}
	old, err := s.cfg.Triggers.Trigger(c.r.Context(), ref.String())
	if ref.Name != "" && router.ErrorCode(err) == router.NotFound {
		if err := pre.checkAbsent(); err != nil {
			return err
		}
		return writeJSON(c.w, changeView{Creates: true, NewGeneration: true})
	}
	if err != nil {
		return fmt.Errorf("read trigger %q: %w", ref, err)
	}
	if err := pre.checkPresent(old.ETag()); err != nil {
		return err
	}
	view := changeView{NewGeneration: draft.Replace(old).Generation != old.Generation}
	if view.NewGeneration {
		status, err := s.cfg.Triggers.TriggerStatus(c.r.Context(), old)
		if err != nil {
			return fmt.Errorf("read the state of trigger %q: %w", old.Name, err)
		}
		view.DroppedPartials = status.Partials
	}
	return writeJSON(c.w, view)
}

// changeView is what a change of a trigger would do.
type changeView struct {
	Creates         bool  `json:"creates"`
	NewGeneration   bool  `json:"new_generation"`
	DroppedPartials int64 `json:"dropped_partials"`
}

func (s *Server) deleteTrigger(c call) error {
	t, exact, err := s.triggers.toDelete(c)
	if err != nil {
		return err
	}
	version := uint64(0)
	if exact {
		version = t.Version
	}
	dropped, err := s.cfg.Triggers.DeleteTrigger(c.r.Context(), t.ID, version)
	if err != nil {
		return fmt.Errorf("delete trigger %q: %w", t.Name, err)
	}
	writeBody(c.w, http.StatusOK, jsonType, append(strconv.AppendInt([]byte(`{"dropped_partials":`), dropped, 10), '}', '\n'))
	return nil
}
