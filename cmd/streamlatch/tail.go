package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/router"
)

// tailOptions are the flags of tail.
type tailOptions struct {
	query client.StreamQuery
	since string
	limit int
}

func (p *process) tailCommand() *cobra.Command {
	var o tailOptions
	cmd := &cobra.Command{
		Use:   "tail",
		Short: "Print events as they come",
		Long: `Print events as they come, until Ctrl-C. A lost connection is opened anew, and nothing is left out meanwhile.

With --output json each event is a line, with the cursor that --cursor goes on from.`,
		Example: "  streamlatch tail --types 'order.*' --since 10m",
		Args:    cobra.NoArgs,
	}
	conn := p.connect(cmd)
	f := cmd.Flags()
	f.StringSliceVar(&o.query.Types, "types", nil, "type patterns, with commas between them (default every type)")
	f.StringVar(&o.query.Source, "source", "", "only events of this source")
	f.StringVar(&o.since, "since", "", "begin with events of the past: a duration back (10m, 2d) or a time in RFC 3339")
	f.StringVar(&o.query.Cursor, "cursor", "", "go on from a cursor that tail printed before")
	f.IntVarP(&o.limit, "limit", "n", 0, "end after this many events (default never)")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return p.tail(cmd.Context(), conn, o) }
	return cmd
}

func (p *process) tail(ctx context.Context, conn *connection, o tailOptions) error {
	if o.since != "" && o.query.Cursor != "" {
		return usagef("--since and --cursor exclude each other")
	}
	since, err := p.parseSince(o.since)
	if err != nil {
		return err
	}
	api, err := conn.client()
	if err != nil {
		return err
	}
	t := &tailing{process: p, json: conn.json(), left: o.limit, shown: map[string]router.Position{}}
	t.query = client.EventQuery{Types: o.query.Types, Source: o.query.Source, From: since}
	err = t.run(ctx, api, o.query)
	if errors.Is(err, errEnough) || errors.Is(err, errInterrupted) {
		return nil
	}
	return err
}

// parseSince reads a point in the past, zero for "".
func (p *process) parseSince(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := router.ParseDuration(text); err == nil {
		return p.now().Add(-d.Std()), nil
	}
	t, err := router.ParseTime(text)
	if err != nil {
		return time.Time{}, usagef("--since %q is neither a duration such as 10m nor a time such as 2006-01-02T15:04:05Z", text)
	}
	return t, nil
}

// errEnough ends a tail that has printed as many events as it should.
var errEnough = errors.New("enough events")

// tailing prints events, each once: those of the past that it is asked for, and then the stream's.
type tailing struct {
	process *process
	json    bool
	left    int // events to print; 0: no limit
	query   client.EventQuery
	shown   map[string]router.Position // of each partition: the newest event of the past that was printed
}

func (t *tailing) run(ctx context.Context, api *client.Client, q client.StreamQuery) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	lost := false
	q.OnOpen = func() {
		lost = false
		if t.query.From.IsZero() {
			return
		}
		// The past is read when the stream is open: what is accepted meanwhile is in one of the two, or in both.
		if err := t.past(ctx, api); err != nil {
			end(err)
		}
		t.query.From = time.Time{}
	}
	q.OnLost = func(err error) {
		if !lost {
			fmt.Fprintf(t.process.stderr, "streamlatch: %s; opening the stream anew\n", plain(err.Error()))
		}
		lost = true
	}
	for record, err := range api.Stream(ctx, q) {
		if err == nil {
			err = t.show(record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// past prints events of the past, oldest first.
func (t *tailing) past(ctx context.Context, api *client.Client) error {
	var records []client.Record
	for record, err := range api.Events(ctx, t.query) {
		if err != nil {
			return err
		}
		records = append(records, record)
	}
	for _, record := range slices.Backward(records) {
		if err := t.show(record); err != nil {
			return err
		}
	}
	for _, record := range records {
		if position, err := router.ParsePosition(record.Position); err == nil {
			if partition := partitionOf(record); t.shown[partition].Compare(position) < 0 {
				t.shown[partition] = position
			}
		}
	}
	return nil
}

// partitionOf is the part of a position before the colon.
func partitionOf(r client.Record) string {
	partition, _, _ := strings.Cut(r.Position, ":")
	return partition
}

// show prints an event that was not printed yet.
func (t *tailing) show(r client.Record) error {
	if last, ok := t.shown[partitionOf(r)]; ok {
		if position, err := router.ParsePosition(r.Position); err == nil && position.Compare(last) <= 0 {
			return nil
		}
	}
	if err := t.print(r); err != nil {
		return err
	}
	if t.left--; t.left == 0 {
		return errEnough
	}
	return nil
}

func (t *tailing) print(r client.Record) error {
	if t.json {
		return writeJSONLine(t.process.stdout, struct {
			Position   string          `json:"position"`
			AcceptedAt string          `json:"accepted_at"`
			Event      json.RawMessage `json:"event"`
			Cursor     string          `json:"cursor,omitempty"`
		}{r.Position, router.FormatTime(r.AcceptedAt), r.Event, r.Cursor})
	}
	return write(t.process.stdout, fmt.Sprintf("%s %s %s\n", router.FormatTime(r.AcceptedAt), plain(r.Position), eventLine(r.Event)))
}

// dataWidth is how much of an event's data a line shows.
const dataWidth = 200

// eventLine shows an event in one line: type, source, id, subject and data.
func eventLine(event json.RawMessage) string {
	var e struct {
		ID      string          `json:"id"`
		Source  string          `json:"source"`
		Type    string          `json:"type"`
		Subject string          `json:"subject"`
		Data    json.RawMessage `json:"data"`
		Base64  string          `json:"data_base64"`
	}
	if json.Unmarshal(event, &e) != nil {
		return short(string(event), dataWidth)
	}
	parts := []string{plain(e.Type), plain(e.Source), plain(e.ID)}
	if e.Subject != "" {
		parts = append(parts, "subject="+plain(e.Subject))
	}
	switch {
	case len(e.Data) > 0:
		parts = append(parts, short(oneLine(e.Data), dataWidth))
	case e.Base64 != "":
		parts = append(parts, "base64:"+short(e.Base64, dataWidth))
	}
	return strings.Join(parts, " ")
}
