package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/schollz/progressbar/v3"

	"github.com/streamlatch/streamlatch/client"
)

// input is one event of a file, or why there is none.
type input struct {
	event client.Event
	where string // "events.ndjson:12": the line; "stdin: event 3"
	err   error
	fatal bool // nothing more can be read
}

// eventReader reads the events of files.
type eventReader struct {
	defaults client.EventFields
	lines    bool
	open     func(name string) (io.ReadCloser, error)
}

func newEventReader(o publishOptions, open func(string) (io.ReadCloser, error)) *eventReader {
	return &eventReader{defaults: o.event, lines: o.ndjson, open: open}
}

// start reads the files one after the other into a channel, which it closes at their end. It stops when ctx ends, or with the read that it is in.
func (r *eventReader) start(ctx context.Context, files []string) <-chan input {
	inputs := make(chan input, client.MaxBatch)
	emit := func(in input) bool {
		select {
		case inputs <- in:
			return !in.fatal
		case <-ctx.Done():
			return false
		}
	}
	go func() {
		defer close(inputs)
		for _, name := range files {
			if !r.readFile(name, emit) {
				return
			}
		}
	}()
	return inputs
}

// readFile emits the events of one file; false: to be ended.
func (r *eventReader) readFile(name string, emit func(input) bool) bool {
	file, err := r.open(name)
	if err != nil {
		return emit(input{err: err, where: name, fatal: true})
	}
	defer func() { _ = file.Close() }() // it was only read
	if name == "-" {
		name = "stdin"
	}
	if r.lines {
		return r.readLines(name, file, emit)
	}
	return r.readValues(name, file, emit)
}

// readLines takes each line that is not empty as an event.
func (r *eventReader) readLines(name string, file io.Reader, emit func(input) bool) bool {
	lines := bufio.NewReaderSize(file, 1<<20)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if text := bytes.TrimSpace(line); len(text) > 0 {
			in := input{where: name + ":" + strconv.Itoa(n)}
			in.event, in.err = client.ParseEvent(text, r.defaults)
			if !emit(in) {
				return false
			}
		}
		if errors.Is(err, io.EOF) {
			return true
		}
		if err != nil {
			return emit(input{where: name, err: fmt.Errorf("read %s: %w", name, err), fatal: true})
		}
	}
}

// readValues takes one JSON value after the other: an object as an event, the elements of an array as events.
func (r *eventReader) readValues(name string, file io.Reader, emit func(input) bool) bool {
	// Names that are there twice are refused event by event, so that one does not end the rest.
	d := jsontext.NewDecoder(file, jsontext.AllowDuplicateNames(true))
	inArray := false
	for n := 1; ; {
		switch kind := d.PeekKind(); {
		case kind == '[' && !inArray, kind == ']':
			inArray = kind == '['
			if _, err := d.ReadToken(); err != nil {
				return emit(input{where: name, err: notReadable(name, err), fatal: true})
			}
			continue
		}
		value, err := d.ReadValue()
		if errors.Is(err, io.EOF) && !inArray {
			return true
		}
		if err != nil {
			return emit(input{where: name, err: notReadable(name, err), fatal: true})
		}
		in := input{where: name + ": event " + strconv.Itoa(n)}
		n++
		in.event, in.err = client.ParseEvent(value, r.defaults)
		if !emit(in) {
			return false
		}
	}
}

func notReadable(name string, err error) error {
	if e, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("%s is not JSON at byte %d: %w; with --ndjson each line is read by itself", name, e.ByteOffset, e.Err)
	}
	return fmt.Errorf("read %s: %w", name, err)
}

// openInput opens a file, or stdin for "-".
func (p *process) openInput(name string, bar progress) (io.ReadCloser, error) {
	if name == "-" {
		return bar.watch(io.NopCloser(p.stdin)), nil
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	return bar.watch(file), nil
}

// progressPause is the time between two looks of the bar.
const progressPause = 100 * time.Millisecond

// longInput is how many bytes make a progress bar worth it.
const longInput = 1 << 20

// progress shows how far the input has been read. The zero progress shows nothing.
type progress struct{ bar *progressbar.ProgressBar }

// newProgress makes a bar for long inputs, and for stdin, whose length is not known, where a person can see it.
func (p *process) newProgress(files []string, quiet bool) progress {
	total := int64(0)
	for _, name := range files {
		info, err := os.Stat(name)
		if name == "-" || err != nil || !info.Mode().IsRegular() {
			total = -1
			break
		}
		total += info.Size()
	}
	if quiet || !p.terminal || total >= 0 && total < longInput {
		return progress{}
	}
	return progress{progressbar.NewOptions64(total, progressbar.OptionSetWriter(p.stderr), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription("publishing"), progressbar.OptionThrottle(progressPause), progressbar.OptionClearOnFinish())}
}

func (b progress) watch(r io.ReadCloser) io.ReadCloser {
	if b.bar == nil {
		return r
	}
	return struct {
		io.Reader
		io.Closer
	}{io.TeeReader(r, b.bar), r}
}

// finish takes the bar away.
func (b progress) finish() {
	if b.bar != nil {
		_ = b.bar.Finish() // what can't be shown does no harm
	}
}
