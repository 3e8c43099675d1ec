package router

import (
	"context"
	"slices"
	"strings"
	"time"
)

// ReplayExtension marks an event that is delivered by a replay; its value is true. What the log keeps is not changed.
const ReplayExtension = "streamlatchreplay"

// replaySuffix begins the suffix of the entries that a replay makes; the replay's number follows, in base 36.
const replaySuffix = "~r"

// ReplayEntrySuffix is the suffix of what replay number n delivers.
func ReplayEntrySuffix(n string) string { return replaySuffix + n }

// delivered is the event as a delivery has it: marked, where a replay makes the delivery. An event that has no room for the mark goes without.
func (e Entry) delivered(event Event) Event {
	if !strings.HasPrefix(e.Suffix, replaySuffix) {
		return event
	}
	marked, err := event.WithExtension(Extension{Name: ReplayExtension, Value: "true", Kind: BooleanValue})
	if err != nil {
		return event
	}
	return marked
}

// ReplayRequest asks for retained events to be delivered again, to one subscription: those that its filter matches now.
type ReplayRequest struct {
	Subscription string    // id
	From         time.Time // accepted at or after
	To           time.Time // accepted before; zero: until now
	Types        []string  // of any of these type patterns; nil: of all that the filter matches
}

// ReplayCursor is how far a replay is in a partition: behind a position, once it has begun.
type ReplayCursor struct {
	Position     Position
	Begun, Ended bool
}

// ReplayPage is what one step of a replay does.
type ReplayPage struct {
	Operation string
	Suffix    string
	Queue     Queue
	From, To  ReplayCursor
	Events    []Position
	Lanes     []string // of each event, where the queue is ordered; nil: it is not
	Passed    int      // events of the page that are not wanted
}

// ReplayStore queues events again.
type ReplayStore interface {
	// ReplayCursor tells how far a replay is in a partition.
	ReplayCursor(ctx context.Context, operation string, partition int) (ReplayCursor, error)
	// QueueRoom tells how many deliveries a replay or a redrive may add to a queue in a partition: what it holds less of than half of its MaxBacklog.
	QueueRoom(ctx context.Context, partition int, q Queue) (int, error)
	// Replay queues a page of a partition, once: if the cursor is not From any more, it does nothing. NotFound: the subscription is gone.
	Replay(ctx context.Context, partition int, page ReplayPage) error
}

// replaying is a request made ready.
type replaying struct {
	filter   *CompiledFilter
	types    []TypePattern
	from, to int64 // milliseconds: inclusive, exclusive
}

// prepare makes a request for a subscription ready; created is when the replay was asked for.
func (req ReplayRequest) prepare(s Subscription, created time.Time) (replaying, error) {
	filter, err := s.Filter.Compile()
	if err != nil {
		return replaying{}, err
	}
	p := replaying{filter: filter, to: created.UnixMilli() + 1}
	for _, text := range req.Types {
		pattern, err := ParseTypePattern(text)
		if err != nil {
			return p, err
		}
		p.types = append(p.types, pattern)
	}
	if !req.From.IsZero() {
		p.from = wholeMillisecond(req.From)
	}
	if !req.To.IsZero() {
		p.to = min(p.to, wholeMillisecond(req.To))
	}
	return p, nil
}

// wholeMillisecond is the first whole millisecond at or after a time.
func wholeMillisecond(t time.Time) int64 { return t.Add(time.Millisecond - 1).UnixMilli() }

// start is a position before all that may be wanted.
func (p replaying) start(partition int) Position {
	if p.from <= 0 {
		return Position{Partition: partition}
	}
	return Position{Partition: partition, MS: p.from - 1, Seq: 1 << 62} // no millisecond has so many
}

// choose takes the wanted ones of records that follow each other, of which at most asked were asked for, and says whether there are more in the time that is
// asked for.
func (p replaying) choose(records []Record, asked int) (wanted []Record, passed int, more bool) {
	view := NewView(Event{})
	defer view.Release()
	for _, r := range records {
		switch {
		case r.Position.MS >= p.to:
			return wanted, passed, false
		case r.Err == nil && p.wants(view, r.Event):
			wanted = append(wanted, r)
		default:
			passed++
		}
	}
	return wanted, passed, len(records) == asked
}

func (p replaying) wants(view *View, e Event) bool {
	if p.types != nil && !slices.ContainsFunc(p.types, func(t TypePattern) bool { return t.Match(e.Type()) }) {
		return false
	}
	view.Reset(e)
	return p.filter.Match(view)
}

// CountReplay tells how many events a replay would deliver.
func (r *Router) CountReplay(ctx context.Context, s Subscription, req ReplayRequest) (n int64, err error) {
	p, err := req.prepare(s, time.Now().Add(time.Hour)) // what is accepted while it counts may count
	if err != nil {
		return 0, err
	}
	for partition := range r.store.Partitions() {
		after := p.start(partition)
		for more := true; more; {
			records, err := r.store.ReadLog(ctx, after, operationStep, 0)
			if err != nil {
				return 0, err
			}
			var wanted []Record
			if wanted, _, more = p.choose(records, operationStep); more {
				after = records[len(records)-1].Position
			}
			n += int64(len(wanted))
		}
	}
	return n, nil
}

// replayStep queues the next page of a replay.
func (r *Router) replayStep(ctx context.Context, o Operation) (more bool, err error) {
	s, err := r.store.Subscription(ctx, o.Replay.Subscription)
	if err != nil {
		return false, err
	}
	p, err := o.Replay.prepare(s, o.Created)
	if err != nil {
		return false, err
	}
	for partition := range r.store.Partitions() {
		cursor, err := r.store.ReplayCursor(ctx, o.ID, partition)
		if err != nil {
			return true, err
		}
		if !cursor.Ended {
			return true, r.replayPage(ctx, o, partition, cursor, s, p)
		}
	}
	return false, nil
}

// add takes in events of a page.
func (p *ReplayPage) add(s Subscription, wanted []Record) {
	for _, r := range wanted {
		p.Events = append(p.Events, r.Position)
		if s.Ordered() {
			p.Lanes = append(p.Lanes, r.Event.Lane())
		}
	}
}

func (r *Router) replayPage(ctx context.Context, o Operation, partition int, cursor ReplayCursor, s Subscription, p replaying) error {
	after := p.start(partition)
	if cursor.Begun {
		after = cursor.Position
	}
	room, err := r.store.QueueRoom(ctx, partition, s.Queue())
	if err != nil {
		return err
	}
	if room <= 0 {
		return ErrBacklogFull
	}
	most := min(operationStep, room)
	records, err := r.store.ReadLog(ctx, after, most, 0)
	if err != nil {
		return err
	}
	page := ReplayPage{Operation: o.ID, Suffix: o.Suffix, Queue: s.Queue(), From: cursor, To: ReplayCursor{Begun: true, Position: after}}
	wanted, passed, more := p.choose(records, most)
	page.add(s, wanted)
	if page.Passed = passed; more {
		page.To.Position = records[len(records)-1].Position
	}
	page.To.Ended = !more
	if err := r.store.Replay(ctx, partition, page); err != nil {
		return err
	}
	r.dispatchers[partition].wake([]Queue{page.Queue})
	return nil
}
