package redisstore

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/streamlatch/streamlatch/router"
)

// appendCall is one call of append and its repeats: all share a nonce, by which the call knows what it stored itself.
type appendCall struct {
	partition int
	nonce     string
	items     []*item
	places    []int // of the items that are not settled, in items
}

func newAppendCall(partition int, items []*item, places []int) *appendCall {
	var nonce [nonceBytes]byte
	_, _ = rand.Read(nonce[:]) // never fails, see crypto/rand
	return &appendCall{partition: partition, nonce: string(nonce[:]), items: items, places: places}
}

// What append records of an event under its identity: fingerprint, place in its call, nonce of the call. Under the nonce it records the ID of the call's
// first event.
const (
	identityBytes    = 16
	fingerprintBytes = 16
	placeBytes       = 2
	nonceBytes       = 8
	recordBytes      = fingerprintBytes + placeBytes + nonceBytes
)

// args are the arguments of append for what is not settled. They are pointers to texts where that saves a copy.
func (c *appendCall) args() []any {
	left := make([]*item, len(c.places))
	for i, place := range c.places {
		left[i] = c.items[place]
	}
	records, groups := c.records(left), groupsOf(left)
	args := make([]any, 2, 2+2*len(left)+2*len(groups))
	args[0], args[1] = c.nonce, len(left)
	for i, it := range left {
		args = append(args, &it.identity, &records[i])
	}
	for i, g := range groups {
		args = append(args, g.count, &groups[i].bytes)
	}
	return args
}

// records are what append records of each event.
func (c *appendCall) records(items []*item) []string {
	all := make([]byte, 0, len(items)*recordBytes)
	for i, it := range items {
		all = append(all, it.fingerprint...)
		all = binary.BigEndian.AppendUint16(all, uint16(i))
		all = append(all, c.nonce...)
	}
	text, records := string(all), make([]string, len(items))
	for i := range records {
		records[i], text = text[:recordBytes], text[recordBytes:]
	}
	return records
}

// settleStored reads the answer of a call that stored all that was left: the last ID given out before, and the first one given out now. It returns what stands in the log now, and the position before it.
func (c *appendCall) settleStored(words []string, results []router.Appended) (records []router.Record, previous router.Position, err error) {
	if len(words) != 2 {
		return nil, previous, fmt.Errorf("append: unexpected reply of %d words", len(words))
	}
	if previous, err = router.ParseStreamID(c.partition, words[0]); err != nil {
		return nil, previous, fmt.Errorf("append: %w", err)
	}
	position, err := router.ParseStreamID(c.partition, words[1])
	if err != nil {
		return nil, previous, fmt.Errorf("append: %w", err)
	}
	records = make([]router.Record, len(c.places))
	for i, place := range c.places {
		results[place] = router.Appended{Position: position}
		records[i] = router.Record{Position: position, Event: c.items[place].event}
		position.Seq++
	}
	c.places = nil
	return records, previous, nil
}

// settleKnown reads the answer of a call that stored nothing, since some of its events had been stored before: for each, where it stands in the call,
// its record, and the ID of the first event of the call that stored it.
func (c *appendCall) settleKnown(words []string, results []router.Appended) error {
	r := replyReader{words: words}
	settled := make(map[int]bool, len(words)/3)
	for len(r.words) > 0 {
		i, record, first := r.integer(), r.word(), r.word()
		if r.err != nil || i < 1 || i > len(c.places) {
			return fmt.Errorf("append: unexpected reply: %w", r.err)
		}
		place := c.places[i-1]
		results[place] = c.judge(c.items[place], record, first)
		settled[i-1] = true
	}
	left := c.places[:0]
	for i, place := range c.places {
		if !settled[i] {
			left = append(left, place)
		}
	}
	c.places = left
	return nil
}

// judge tells what became of an event whose identity was known.
func (c *appendCall) judge(it *item, record, first string) router.Appended {
	if len(record) != recordBytes {
		return router.Appended{Err: fmt.Errorf("append: what was recorded of an event has %d bytes", len(record))}
	}
	position, err := router.ParseStreamID(c.partition, first)
	if err != nil {
		return router.Appended{Err: fmt.Errorf("append: %w", err)}
	}
	position.Seq += uint64(binary.BigEndian.Uint16([]byte(record[fingerprintBytes:])))
	if record[:fingerprintBytes] != it.fingerprint {
		return router.Appended{Position: position, Err: router.Errorf(router.IDReused, "an event with this source and id but other content was accepted at %s", position)}
	}
	return router.Appended{Position: position, Duplicate: record[fingerprintBytes+placeBytes:] != c.nonce}
}
