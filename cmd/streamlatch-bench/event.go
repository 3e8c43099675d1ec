package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
)

const (
	payloadSize = 256 // bytes of an event's data, a JSON object

	eventType    = "bench.event"
	oneEvent     = "application/cloudevents+json"
	manyEvents   = "application/cloudevents-batch+json"
	eventsPath   = "/v1/events"
	seqDigits    = 10
	sentDigits   = 19 // Unix time in nanoseconds, until the year 2286
	runMark      = `"run":"`
	seqMark      = `"seq":"`
	sentMark     = `"sent":"`
	runLength    = 8
	openingGuess = 512 // bytes of an event with its attributes
)

// newRun makes a name for one sequence of events, which makes their ids unique.
func newRun() string { return strings.ToLower(rand.Text()[:runLength]) }

// appendEvent appends a CloudEvent in the JSON format, numbered seq within its run and said to be sent at a time. All
// events have the same length, so that a document can be stamped in place.
func appendEvent(b []byte, run string, seq int, sent int64) []byte {
	b = fmt.Appendf(b, `{"specversion":"1.0","id":"%s-%0*d","source":"/bench","type":"%s","datacontenttype":"application/json","data":`,
		run, seqDigits, seq, eventType)
	return append(appendPayload(b, run, seq, sent), '}')
}

// appendPayload appends the data of an event.
func appendPayload(b []byte, run string, seq int, sent int64) []byte {
	start := len(b)
	b = fmt.Appendf(b, `{%s%s",%s%0*d",%s%0*d","pad":"`, runMark, run, seqMark, seqDigits, seq, sentMark, sentDigits, sent)
	const closing = `"}`
	for len(b)-start < payloadSize-len(closing) {
		b = append(b, 'x')
	}
	return append(b, closing...)
}

// document is a body of one event or an array of them, whose numbers and times can be replaced in place.
type document struct {
	body  []byte
	slots []slot
}

// slot is where the changing parts of one event begin.
type slot struct{ id, seq, sent int }

// newDocument makes a body of n events; a single one is not in an array.
func newDocument(run string, n int) *document {
	d := &document{body: make([]byte, 0, n*openingGuess)}
	for i := range n {
		if n > 1 {
			d.body = append(d.body, "[,"[min(i, 1)])
		}
		start := len(d.body)
		d.body = appendEvent(d.body, run, 0, 0)
		event := d.body[start:]
		d.slots = append(d.slots, slot{
			id:   start + after(event, `"id":"`+run+`-`),
			seq:  start + after(event, seqMark),
			sent: start + after(event, sentMark),
		})
	}
	if n > 1 {
		d.body = append(d.body, ']')
	}
	return d
}

// contentType is the media type of the body.
func (d *document) contentType() string {
	if len(d.slots) > 1 {
		return manyEvents
	}
	return oneEvent
}

// stamp numbers the events from first on and gives all the same time.
func (d *document) stamp(first int, sent int64) {
	for i, s := range d.slots {
		putDigits(d.body[s.id:s.id+seqDigits], int64(first+i))
		putDigits(d.body[s.seq:s.seq+seqDigits], int64(first+i))
		putDigits(d.body[s.sent:s.sent+sentDigits], sent)
	}
}

// putDigits writes a number in decimal, with leading zeros.
func putDigits(b []byte, n int64) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// after returns where the text that follows a mark begins, len(b) where there is no mark.
func after(b []byte, mark string) int {
	if i := bytes.Index(b, []byte(mark)); i >= 0 {
		return i + len(mark)
	}
	return len(b)
}

// readMarks finds run, number and time in whatever holds an event's payload. ok is false where it is none of ours.
func readMarks(b []byte) (run string, seq int, sent int64, ok bool) {
	i := after(b, runMark)
	if len(b) < i+runLength {
		return "", 0, 0, false
	}
	run, b = string(b[i:i+runLength]), b[i:]
	n, okSeq := digits(b, seqMark, seqDigits)
	sent, okSent := digits(b, sentMark, sentDigits)
	return run, int(n), sent, okSeq && okSent
}

func digits(b []byte, mark string, length int) (int64, bool) {
	i := after(b, mark)
	if len(b) < i+length {
		return 0, false
	}
	n, err := strconv.ParseInt(string(b[i:i+length]), 10, 64)
	return n, err == nil
}
