package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamlatch/streamlatch/client"
)

// publishOptions are the flags of publish.
type publishOptions struct {
	event      client.EventFields // an event, or what events of a file don't say
	data       string
	dataFile   string
	extensions []string
	ndjson     bool
	rate       float64
	batch      int
	quiet      bool
}

func (p *process) publishCommand() *cobra.Command {
	var o publishOptions
	cmd := &cobra.Command{
		Use:   "publish [FILE…]",
		Short: "Publish events",
		Long: `Publish one event made of flags, or the events of files ("-" is stdin): CloudEvents in JSON, one after the other, on a line each or
not, or in arrays. What an event leaves out of specversion, id, source, type and subject is filled in, from the flags where they say it.

An event that the server is too busy for is sent again, for 30 seconds of waiting. That is safe: the same id is stored once.
The exit code is 1 if any event was refused.`,
		Example: `  streamlatch publish --type order.paid --source /shop --data '{"total": 12}'
  streamlatch publish events.ndjson --rate 500
  generate | streamlatch publish --type order.paid -`,
	}
	conn := p.connect(cmd)
	f := cmd.Flags()
	f.StringVar(&o.event.Type, "type", "", "type of the event, or of events that have none")
	f.StringVar(&o.event.Source, "source", "", "source of the event, or of events that have none (default /)")
	f.StringVar(&o.event.Subject, "subject", "", "subject of the event, or of events that have none")
	f.StringVar(&o.event.ID, "id", "", "id of the event (default a new one)")
	f.StringVar(&o.event.Time, "time", "", "time of the event, in RFC 3339 (default when the server gets it)")
	f.StringArrayVar(&o.extensions, "extension", nil, "extension attribute of the event, as name=value (can be repeated)")
	f.StringVar(&o.data, "data", "", "data of the event")
	f.StringVar(&o.dataFile, "data-file", "", "file with the data of the event; - is stdin")
	f.StringVar(&o.event.DataContentType, "content-type", "", "content type of the data (default JSON)")
	f.BoolVar(&o.ndjson, "ndjson", false, "take each line by itself, so that one that is no event does not end the rest")
	f.Float64Var(&o.rate, "rate", 0, "events per second at most (default as fast as possible)")
	f.IntVar(&o.batch, "batch", 100, "events in one request at most")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "no progress bar")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		return p.publish(cmd.Context(), conn, o, files, cmd.Flags().Changed)
	}
	return cmd
}

// publishPatience is how much waiting there may be for one batch.
const publishPatience = 30 * time.Second

// tellOfWait tells people, once, that and why nothing seems to happen.
func (p *process) tellOfWait() func(error, time.Duration) {
	told := false
	return func(err error, _ time.Duration) {
		if !told {
			fmt.Fprintf(p.stderr, "streamlatch: %s; trying again, for %s of waiting at most\n", plain(err.Error()), publishPatience)
		}
		told = true
	}
}

// publish publishes one event or the events of files; given tells which flags there were.
func (p *process) publish(ctx context.Context, conn *connection, o publishOptions, files []string, given func(flag string) bool) error {
	if o.rate < 0 || o.batch < 1 || o.batch > client.MaxBatch {
		return usagef("--rate must not be negative, and --batch from 1 to %d", client.MaxBatch)
	}
	api, err := conn.clientWith(client.Retry{For: publishPatience, OnWait: p.tellOfWait()})
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return p.publishOne(ctx, api, conn, o, given)
	}
	for _, flag := range []string{"id", "time", "extension", "data", "data-file", "content-type"} {
		if given(flag) {
			return usagef("--%s is for one event made of flags, not for the events of files", flag)
		}
	}
	return p.publishFiles(ctx, api, conn, o, files)
}

func (p *process) publishOne(ctx context.Context, api *client.Client, conn *connection, o publishOptions, given func(string) bool) error {
	if o.event.Type == "" {
		return usagef("say --type for one event, or name a file with events; - is stdin")
	}
	if err := p.readData(&o, given); err != nil {
		return err
	}
	event, err := client.NewEvent(o.event)
	if err != nil {
		return usageError{err}
	}
	results, err := api.Publish(ctx, []client.Event{event})
	if err == nil {
		err = results[0].Err
	}
	if err != nil {
		return err
	}
	if conn.json() {
		return writeJSONLine(p.stdout, newPublishedView(event, results[0]))
	}
	text := "published " + plain(event.ID()) + " at " + plain(results[0].Position)
	if results[0].Duplicate {
		text += ", where it was already"
	}
	return write(p.stdout, text+"\n")
}

// readData takes the parts of the event that are not plain flags.
func (p *process) readData(o *publishOptions, given func(string) bool) error {
	if given("data") && given("data-file") {
		return usagef("--data and --data-file exclude each other")
	}
	for _, text := range o.extensions {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return usagef("--extension %q is not of the form name=value", text)
		}
		if o.event.Extensions == nil {
			o.event.Extensions = map[string]string{}
		}
		o.event.Extensions[name] = value
	}
	switch {
	case given("data"):
		o.event.Data = []byte(o.data)
	case o.dataFile == "-":
		data, err := io.ReadAll(p.stdin)
		o.event.Data = data
		return err
	case given("data-file"):
		data, err := os.ReadFile(o.dataFile)
		if err != nil {
			return fmt.Errorf("read the data: %w", err)
		}
		o.event.Data = data
	}
	return nil
}

// publishedView is what became of an event, as JSON.
type publishedView struct {
	ID        string `json:"id"`
	Position  string `json:"position,omitempty"`
	Duplicate bool   `json:"duplicate"`
	Error     string `json:"error,omitempty"`
}

func newPublishedView(e client.Event, r client.Published) publishedView {
	v := publishedView{ID: e.ID(), Position: r.Position, Duplicate: r.Duplicate}
	if r.Err != nil {
		v.Error = r.Err.Error()
	}
	return v
}

// publication publishes the events of files.
type publication struct {
	process *process
	api     *client.Client
	json    bool
	batch   int
	pace    pace

	sent, duplicates, refused int
}

func (p *process) publishFiles(ctx context.Context, api *client.Client, conn *connection, o publishOptions, files []string) error {
	bar := p.newProgress(files, o.quiet)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in := newEventReader(o, func(name string) (io.ReadCloser, error) { return p.openInput(name, bar) })
	inputs := in.start(ctx, files)
	pub := &publication{process: p, api: api, json: conn.json(), batch: o.batch, pace: pace{rate: o.rate, now: p.now, sleep: p.pause}}
	err := pub.run(ctx, inputs)
	bar.finish()
	summary := fmt.Sprintf("%d sent, %d duplicates, %d refused\n", pub.sent, pub.duplicates, pub.refused)
	where := p.stdout
	if conn.json() {
		where = p.stderr
	}
	if failed := write(where, summary); err == nil {
		err = failed
	}
	if err == nil && pub.refused > 0 {
		return exitError{exitFailure}
	}
	return err
}

// run publishes what comes in until there is no more. A batch is what is there at the moment, so that a slow input is not held back.
func (pub *publication) run(ctx context.Context, inputs <-chan input) error {
	for {
		batch, more, err := pub.collect(ctx, inputs)
		if err != nil {
			return err
		}
		if err := pub.send(ctx, batch); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// collect takes a batch: the first event that comes, and those that are there already.
func (pub *publication) collect(ctx context.Context, inputs <-chan input) (batch []input, more bool, err error) {
	size := 0
	for len(batch) < pub.pace.most(pub.batch) && size < client.MaxBatchBytes/4 {
		in, ok, waiting := next(ctx, inputs, len(batch) == 0)
		switch {
		case waiting:
			return batch, true, nil
		case ctx.Err() != nil:
			return nil, false, context.Cause(ctx)
		case !ok:
			return batch, false, nil
		case in.fatal:
			return nil, false, errors.Join(pub.send(ctx, batch), in.err)
		}
		batch = append(batch, in) // also what is no event, so that what is said of each comes in the order of the input
		if in.err == nil {
			size += in.event.Size()
		}
	}
	return batch, true, nil
}

// next takes an input, waiting for it or not.
func next(ctx context.Context, inputs <-chan input, wait bool) (in input, ok, waiting bool) {
	if wait {
		select {
		case in, ok = <-inputs:
			return in, ok, false
		case <-ctx.Done():
			return input{}, false, false
		}
	}
	select {
	case in, ok = <-inputs:
		return in, ok, false
	default:
		return input{}, false, true
	}
}

func (pub *publication) send(ctx context.Context, batch []input) error {
	events := make([]client.Event, 0, len(batch))
	for _, in := range batch {
		if in.err == nil {
			events = append(events, in.event)
		}
	}
	results, err := pub.publish(ctx, events)
	for _, in := range batch {
		switch {
		case in.err != nil:
			pub.refuse(in, in.err)
			continue
		case len(results) == 0:
			continue // err says why
		}
		r := results[0]
		results = results[1:]
		if err != nil && (errors.Is(r.Err, client.ErrUnsettled) || errors.Is(r.Err, err)) {
			return fmt.Errorf("ended at %s: %w", in.where, err)
		}
		if noted := pub.note(in, r); noted != nil {
			return noted
		}
	}
	return err
}

func (pub *publication) publish(ctx context.Context, events []client.Event) ([]client.Published, error) {
	if len(events) == 0 {
		return nil, nil
	}
	if err := pub.pace.wait(ctx, len(events)); err != nil {
		return nil, err
	}
	return pub.api.Publish(ctx, events)
}

// note counts and prints what became of an event.
func (pub *publication) note(in input, r client.Published) error {
	switch {
	case r.Err != nil:
		pub.refuse(in, r.Err)
	case r.Duplicate:
		pub.duplicates++
	case r.Position != "":
		pub.sent++
	}
	if !pub.json {
		return nil
	}
	return writeJSONLine(pub.process.stdout, newPublishedView(in.event, r))
}

func (pub *publication) refuse(in input, err error) {
	pub.refused++
	fmt.Fprintf(pub.process.stderr, "streamlatch: %s: %s\n", plain(in.where), plain(err.Error()))
}

// pace keeps to a number of events per second.
type pace struct {
	rate  float64 // 0: no limit
	now   func() time.Time
	sleep func(context.Context, time.Duration) error
	start time.Time
	sent  int
}

// most is the largest batch: a tenth of a second's events, so that the rate is even.
func (p *pace) most(batch int) int {
	if p.rate == 0 {
		return batch
	}
	return min(batch, max(1, int(p.rate/10)))
}

// wait waits until n more events are due.
func (p *pace) wait(ctx context.Context, n int) error {
	if p.rate == 0 {
		return nil
	}
	if p.start.IsZero() {
		p.start = p.now()
	}
	due := p.start.Add(time.Duration(float64(p.sent) / p.rate * float64(time.Second)))
	p.sent += n
	if early := due.Sub(p.now()); early > 0 {
		return p.sleep(ctx, early)
	}
	return nil
}
