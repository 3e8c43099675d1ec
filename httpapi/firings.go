package httpapi

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/streamlatch/streamlatch/router"
)

// firingView is a firing as the API lists it.
type firingView struct {
	Position string          `json:"position"`
	ID       string          `json:"id"`
	Time     string          `json:"time"`
	Key      json.RawMessage `json:"key"`
	Events   []joinedView    `json:"events"`
}

// viewFiring reads what a firing carries; ok is false for what is none.
func viewFiring(r router.Record) (v firingView, ok bool) {
	var data struct {
		Key    json.RawMessage
		Events []struct {
			Name, Position, ID, Source string
			Event                      struct{ ID, Source string }
		}
	}
	if err := json.Unmarshal(r.Event.Data(), &data); err != nil || data.Key == nil {
		return v, false
	}
	v = firingView{Position: r.Position.String(), ID: r.Event.ID(), Key: data.Key, Events: []joinedView{}}
	if t, ok := r.Event.Time(); ok {
		v.Time = router.FormatTime(t)
	}
	for _, e := range data.Events {
		if e.ID == "" {
			e.ID, e.Source = e.Event.ID, e.Event.Source
		}
		v.Events = append(v.Events, joinedView{Name: e.Name, Position: e.Position, ID: e.ID, Source: e.Source})
	}
	return v, true
}

// listFirings lists a trigger's firings that the log still has, newest first. A page scans a bounded part of the log.
func (s *Server) listFirings(c call) error {
	q := newQuery(c.r)
	limit, cursor := q.limit(), q.text("cursor")
	at := make([]router.Position, s.cfg.Log.Partitions())
	for p := range at {
		at[p] = router.Position{Partition: p, MS: 1 << 53, Seq: math.MaxUint64}
	}
	var err error
	if cursor != "" {
		at, err = parseCursor(eventsCursor, len(at), cursor)
		q.refuse("cursor", err)
	}
	if err := q.err(); err != nil {
		return err
	}
	t, err := s.triggers.named(c)
	if err != nil {
		return err
	}
	log := backwards{log: s.cfg.Log, at: at, read: make([][]router.Record, len(at)), batch: firstBatch, oldest: t.Created.UnixMilli()}
	items := []firingView{}
	for scanned := 0; len(items) < limit && scanned < maxScan; scanned++ {
		r, ok, err := log.next(c.r.Context())
		if err != nil {
			return fmt.Errorf("list the firings of trigger %q: %w", t.Name, err)
		}
		if !ok {
			break
		}
		if r.Err == nil && t.Fired(r.Event) {
			if v, ok := viewFiring(r); ok {
				items = append(items, v)
			}
		}
	}
	return writeJSON(c.w, list[firingView]{items, log.cursor()})
}
