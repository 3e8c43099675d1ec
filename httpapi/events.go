package httpapi

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// eventFilter is what a list or stream of events is narrowed down to; zero fields select all.
type eventFilter struct {
	types               []router.TypePattern
	source, subject, id string
}

func (f *eventFilter) match(e router.Event) bool {
	return (f.source == "" || f.source == e.Source()) &&
		(f.subject == "" || f.subject == e.Subject()) &&
		(f.id == "" || f.id == e.ID()) &&
		(len(f.types) == 0 || slices.ContainsFunc(f.types, func(p router.TypePattern) bool { return p.Match(e.Type()) }))
}

// Bounds of one page.
const (
	maxScan      = 10_000   // entries of the log that it looks at
	maxPageBytes = 16 << 20 // of items, after which it ends
)

func (s *Server) listEvents(c call) error {
	q := newQuery(c.r)
	filter := eventFilter{types: q.types(), source: q.text("source"), subject: q.text("subject"), id: q.text("id")}
	from, to, limit, cursor := q.time("from"), q.time("to"), q.limit(), q.text("cursor")
	at, err := s.listStart(to, cursor)
	q.refuse("cursor", err)
	if err := q.err(); err != nil {
		return err
	}
	log := backwards{log: s.cfg.Log, at: at, read: make([][]router.Record, len(at)), batch: firstBatch, oldest: milliseconds(from, 0)}
	items := []byte(`{"items":[`)
	for found, scanned := 0, 0; found < limit && scanned < maxScan && len(items) < maxPageBytes; scanned++ {
		r, ok, err := log.next(c.r.Context())
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if r.Err != nil || !filter.match(r.Event) {
			continue
		}
		if found++; found > 1 {
			items = append(items, ',')
		}
		items = appendItem(items, r)
	}
	writeBody(c.w, http.StatusOK, "application/json", closeList(items, log.cursor()))
	return nil
}

// listStart tells, for each partition, the newest position of a list.
func (s *Server) listStart(to time.Time, cursor string) ([]router.Position, error) {
	n := s.cfg.Log.Partitions()
	if cursor != "" {
		return parseCursor(eventsCursor, n, cursor)
	}
	at := make([]router.Position, n)
	for p := range at {
		at[p] = router.Position{Partition: p, MS: milliseconds(to, 1<<53) - 1, Seq: math.MaxUint64}
	}
	return at, nil
}

// milliseconds gives a time as the log counts it, rounded up, so that a limit excludes what it should.
func milliseconds(t time.Time, zero int64) int64 {
	if t.IsZero() {
		return zero
	}
	return t.Add(time.Millisecond - 1).UnixMilli()
}

// closeList ends a list whose items are written.
func closeList(dst []byte, next string) []byte {
	dst = append(dst, ']')
	if next != "" {
		dst = appendText(append(dst, `,"next":`...), next)
	}
	return append(dst, '}', '\n')
}

// backwards reads the log from the newest record to the oldest, over all partitions in the order of their accept times.
type backwards struct {
	log    Log
	at     []router.Position // of each partition: the newest position that was not returned yet
	read   [][]router.Record // of each partition: what was read from there on and not returned yet
	batch  int               // how many records to read at once
	oldest int64             // accept time, in milliseconds, below which nothing is wanted
}

// A batch holds a few MiB, not many. What is read first is small, since the size of events is not known.
const (
	firstBatch = 32
	mostBatch  = 512
	batchBytes = 4 << 20
)

func (b *backwards) learn(records []router.Record) {
	if len(records) == 0 {
		return
	}
	bytes := len(records)
	for _, r := range records {
		bytes += len(r.Event.DataText()) + len(r.Raw)
	}
	b.batch = min(max(1, batchBytes*len(records)/bytes), 2*b.batch, mostBatch)
}

// next returns the next record; ok is false at the end.
func (b *backwards) next(ctx context.Context) (r router.Record, ok bool, err error) {
	newest := -1
	for p := range b.at {
		if err := b.fill(ctx, p); err != nil {
			return router.Record{}, false, err
		}
		if len(b.read[p]) > 0 && (newest < 0 || newer(b.read[p][0].Position, b.read[newest][0].Position)) {
			newest = p
		}
	}
	if newest < 0 {
		return router.Record{}, false, nil
	}
	r, b.read[newest] = b.read[newest][0], b.read[newest][1:]
	b.at[newest] = before(r.Position)
	return r, true, nil
}

// fill reads on where nothing is left of a partition, and notes its first position, so that later pages show nothing that came after this one.
func (b *backwards) fill(ctx context.Context, p int) error {
	if len(b.read[p]) > 0 || isStart(b.at[p]) {
		return nil
	}
	records, err := b.log.ReadLogReverse(ctx, b.at[p], b.batch)
	if err != nil {
		return fmt.Errorf("read partition %d backwards: %w", p, err)
	}
	b.learn(records)
	if old := slices.IndexFunc(records, func(r router.Record) bool { return r.Position.MS < b.oldest }); old >= 0 {
		records = records[:old]
	}
	b.read[p], b.at[p] = records, router.Position{Partition: p}
	if len(records) > 0 {
		b.at[p] = records[0].Position
	}
	return nil
}

// cursor tells where a next page goes on, "" where there is nothing left.
func (b *backwards) cursor() string {
	if !slices.ContainsFunc(b.at, func(p router.Position) bool { return !isStart(p) && p.MS >= b.oldest }) {
		return ""
	}
	return formatCursor(eventsCursor, b.at)
}

// newer tells whether p comes before q in a list that is newest first.
func newer(p, q router.Position) bool {
	return cmp.Or(p.Compare(q), cmp.Compare(p.Partition, q.Partition)) > 0
}

func (s *Server) showEvent(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	r, err := s.recordAt(c)
	if err != nil {
		return err
	}
	writeBody(c.w, http.StatusOK, "application/json", append(appendItem(nil, r), '\n'))
	return nil
}

// recordAt is the event at the position in the path.
func (s *Server) recordAt(c call) (r router.Record, err error) {
	p, err := router.ParsePosition(c.param)
	if err != nil {
		return r, err
	}
	missing := router.Errorf(router.NotFound, "the log has no event at %s", p)
	if p.Partition >= s.cfg.Log.Partitions() {
		return r, missing
	}
	records, err := s.cfg.Log.ReadLogReverse(c.r.Context(), p, 1)
	if err != nil {
		return r, fmt.Errorf("read the event at %s: %w", p, err)
	}
	if len(records) == 0 || records[0].Position != p {
		return r, missing
	}
	if records[0].Err != nil {
		return r, router.Errorf(router.NotFound, "what the log has at %s can't be read; it is among the dead letters", p)
	}
	return records[0], nil
}

// appendItem appends an event of the log as lists and streams show it.
func appendItem(dst []byte, r router.Record) []byte {
	dst = appendPosition(append(dst, `{"position":"`...), r.Position)
	dst = append(dst, `","accepted_at":"`...)
	dst = append(dst, router.FormatTime(r.Position.AcceptedAt())...)
	dst = cloudevents.AppendStructured(append(dst, `","event":`...), r.Event)
	return append(dst, '}')
}
