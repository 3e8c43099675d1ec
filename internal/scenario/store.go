package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// Store is an empty deployment of its own, of one partition, with the scripts.
type Store interface {
	router.Appender
	ReadLog(ctx context.Context, after router.Position, max int, wait time.Duration) ([]router.Record, error)
	Apply(ctx context.Context, b router.Batch) (router.Applied, error)
	Partials(ctx context.Context, c *router.CompiledTrigger, cursor string, limit int) ([]router.Partial, string, error)
	// RaiseClock has the partition's clock stand at a time or later.
	RaiseClock(ctx context.Context, partition int, to time.Time) error
}

// batchEvents is how many events one call applies; few, so that scenarios are cut.
const batchEvents = 7

// RunStore runs a scenario against the scripts. Its times are moved into the future, beginning at a time: so the clock can be raised to each.
func (s Scenario) RunStore(ctx context.Context, store Store, begin time.Time) (Result, error) {
	r := storeRun{scenario: s, store: store, begin: begin}
	for i, e := range s.Events {
		if err := store.RaiseClock(ctx, 0, r.at(e.At)); err != nil {
			return r.result, fmt.Errorf("raise the clock: %w", err)
		}
		event, err := e.beginning(begin)
		if err != nil {
			return r.result, fmt.Errorf("make an event: %w", err)
		}
		if appended := store.Append(ctx, []router.Event{event})[0]; appended.Err != nil {
			return r.result, fmt.Errorf("store event %d: %w", i, appended.Err)
		}
	}
	if err := store.RaiseClock(ctx, 0, r.at(s.Until).Add(time.Millisecond)); err != nil {
		return r.result, fmt.Errorf("raise the clock: %w", err)
	}
	if err := r.route(ctx); err != nil {
		return r.result, err
	}
	partials, err := r.partials(ctx)
	if err != nil {
		return r.result, err
	}
	var live []router.Partial
	for _, p := range partials {
		if p, ok := p.At(s.Trigger, r.at(s.Until).UnixMilli()); ok {
			live = append(live, p)
		}
	}
	r.result.add(s.Trigger, live)
	return r.result.sorted(), nil
}

// storeRun is a scenario that runs on a store.
type storeRun struct {
	scenario Scenario
	store    Store
	begin    time.Time
	cursor   router.Cursor
	result   Result
}

func (r *storeRun) at(ms int64) time.Time { return r.begin.Add(time.Duration(ms) * time.Millisecond) }

// route applies the log, and settles deadlines, until nothing more comes of it.
func (r *storeRun) route(ctx context.Context) error {
	for {
		records, err := r.store.ReadLog(ctx, r.cursor.Position, batchEvents, 0)
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		batch, err := r.next(ctx, records)
		if err != nil {
			return err
		}
		applied, err := r.store.Apply(ctx, batch)
		if err != nil {
			return fmt.Errorf("apply a batch: %w", err)
		}
		if applied.Status != router.Done {
			return fmt.Errorf("apply a batch: %v", applied.Status)
		}
		r.cursor = applied.Cursor
		for _, record := range records {
			if err := r.collect(record); err != nil {
				return err
			}
		}
		if len(records) == 0 && applied.Firings == 0 {
			return nil
		}
	}
}

// next is the batch of some records, or, where there are none, settles deadlines. The trigger's own firings are passed over: they are no part of a scenario.
func (r *storeRun) next(ctx context.Context, records []router.Record) (router.Batch, error) {
	if len(records) == 0 {
		return r.settlement(ctx)
	}
	others := slices.DeleteFunc(slices.Clone(records), func(record router.Record) bool { return r.scenario.Trigger.Fired(record.Event) })
	b := NewBatch(r.cursor, others, r.scenario.Trigger)
	b.To, b.Events = router.Cursor{Position: records[len(records)-1].Position}, len(records)
	return b, nil
}

// settlement settles the deadlines of all that is recorded.
func (r *storeRun) settlement(ctx context.Context) (router.Batch, error) {
	b := router.Batch{From: r.cursor, To: r.cursor}
	b.Work.Triggers = []router.WorkTrigger{workOf(r.scenario.Trigger)}
	partials, err := r.partials(ctx)
	for i, p := range partials {
		b.Work.Partials = append(b.Work.Partials, router.WorkPartial{Hash: p.Hash})
		b.Work.Offers = append(b.Work.Offers, router.Offer{Partial: i, Event: -1})
	}
	return b, err
}

func (r *storeRun) partials(ctx context.Context) (all []router.Partial, err error) {
	for cursor := ""; ; {
		page, next, err := r.store.Partials(ctx, r.scenario.Trigger, cursor, 1000)
		if err != nil {
			return nil, fmt.Errorf("list what is recorded: %w", err)
		}
		all = append(all, page...)
		if cursor = next; cursor == "" {
			return all, nil
		}
	}
}

// collect takes a firing out of the log.
func (r *storeRun) collect(record router.Record) error {
	if record.Err != nil {
		return fmt.Errorf("read %s: %w", record.Position, record.Err)
	}
	if !r.scenario.Trigger.Fired(record.Event) {
		return nil
	}
	var data struct {
		Key    json.RawMessage
		Events []struct {
			ID    string
			Event struct{ ID string }
		}
	}
	if err := json.Unmarshal(record.Event.Data(), &data); err != nil {
		return fmt.Errorf("read the firing at %s: %w", record.Position, err)
	}
	t, _ := record.Event.Time()
	fired := Fired{At: t.Sub(r.begin).Milliseconds(), Key: string(data.Key)}
	for _, e := range data.Events {
		fired.Events = append(fired.Events, e.ID+e.Event.ID) // one of the two
	}
	r.result.Fired = append(r.result.Fired, fired)
	return nil
}

// NewBatch offers records to triggers as a router does, without subscriptions.
func NewBatch(from router.Cursor, records []router.Record, triggers ...*router.CompiledTrigger) router.Batch {
	b := router.Batch{From: from, To: from, Events: len(records)}
	for _, c := range triggers {
		b.Work.Triggers = append(b.Work.Triggers, workOf(c))
	}
	partials := map[string]int{}
	for _, record := range records {
		b.To = router.Cursor{Position: record.Position}
		if record.Err != nil {
			continue
		}
		event := -1
		for i, c := range triggers {
			offers, missing := c.KeyOffers(record.Event)
			b.Work.Triggers[i].KeyMissing += missing
			for _, o := range offers {
				if event < 0 {
					event = len(b.Work.Events)
					b.Work.Events = append(b.Work.Events, router.WorkEvent{Position: record.Position, Time: record.ClockTime(), Event: record.Event})
				}
				name := c.ID + "/" + o.Key.Hash().String()
				p, known := partials[name]
				if !known {
					p = len(b.Work.Partials)
					partials[name] = p
					b.Work.Partials = append(b.Work.Partials, router.WorkPartial{Trigger: i, Hash: o.Key.Hash(), Key: o.Key.Encode()})
				}
				b.Work.Offers = append(b.Work.Offers, router.Offer{Partial: p, Event: event, Reset: len(o.Resets) > 0, Leaves: o.Leaves})
			}
		}
	}
	return b
}

func workOf(c *router.CompiledTrigger) router.WorkTrigger {
	return router.WorkTrigger{
		ID: c.ID, Generation: c.Generation, Enabled: c.Enabled, Include: c.Emit.Include, Program: c.Program(), Head: c.FiringHead(1),
	}
}
