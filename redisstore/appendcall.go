package redisstore

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"

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

// What append records of an event under its identity: fingerprint, place in its call, nonce of the call, ID of the call's first event.
const (
	fingerprintBytes = 16
	placeBytes       = 2
	nonceBytes       = 8
	identityBytes    = 16
)

// args are the arguments of append for what is not settled.
func (c *appendCall) args() []any {
	left := make([]*item, len(c.places))
	packed := make([]byte, 0, len(c.places)*(identityBytes+fingerprintBytes+placeBytes))
	for i, place := range c.places {
		left[i] = c.items[place]
		packed = append(append(packed, left[i].identity...), left[i].fingerprint...)
		packed = binary.BigEndian.AppendUint16(packed, uint16(i))
	}
	groups := groupsOf(left)
	args := make([]any, 2, 2+2*len(groups))
	args[0], args[1] = c.nonce, packed
	for _, g := range groups {
		args = append(args, g.count, g.bytes)
	}
	return args
}

// settleStored reads the answer of a call that stored all that was left: the last ID given out before, and the nonce with the first one given
// out now. It returns what stands in the log now, and the position before it.
func (c *appendCall) settleStored(words []string, results []router.Appended) (records []router.Record, previous router.Position, err error) {
	if len(words) != 2 || !strings.HasPrefix(words[1], c.nonce) {
		return nil, previous, fmt.Errorf("append: unexpected reply of %d words", len(words))
	}
	if previous, err = router.ParseStreamID(c.partition, words[0]); err != nil {
		return nil, previous, fmt.Errorf("append: %w", err)
	}
	position, err := router.ParseStreamID(c.partition, words[1][nonceBytes:])
	if err != nil {
		return nil, previous, fmt.Errorf("append: %w", err)
	}
	records = make([]router.Record, len(c.places))
	for i, place := range c.places {
		results[place] = router.Appended{Position: position}
		records[i] = router.Record{Position: position, Event: *c.items[place].event}
		position.Seq++
	}
	c.places = nil
	return records, previous, nil
}

// settleKnown reads the answer of a call that stored nothing, since some of its events had been stored before: for each, where it stands in the call
// and what was recorded of it.
func (c *appendCall) settleKnown(words []string, results []router.Appended) error {
	r := replyReader{words: words}
	settled := make(map[int]bool, len(words)/2)
	for len(r.words) > 0 {
		i, record := r.integer(), r.word()
		if r.err != nil || i < 1 || i > len(c.places) {
			return fmt.Errorf("append: unexpected reply: %w", r.err)
		}
		place := c.places[i-1]
		results[place] = c.judge(c.items[place], record)
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
func (c *appendCall) judge(it *item, record string) router.Appended {
	const head = fingerprintBytes + placeBytes + nonceBytes
	if len(record) < head {
		return router.Appended{Err: fmt.Errorf("append: what was recorded of an event is cut short")}
	}
	position, err := router.ParseStreamID(c.partition, record[head:])
	if err != nil {
		return router.Appended{Err: fmt.Errorf("append: %w", err)}
	}
	position.Seq += uint64(binary.BigEndian.Uint16([]byte(record[fingerprintBytes:])))
	if record[:fingerprintBytes] != it.fingerprint {
		return router.Appended{Position: position, Err: router.Errorf(router.IDReused, "an event with this source and id but other content was accepted at %s", position)}
	}
	return router.Appended{Position: position, Duplicate: record[fingerprintBytes+placeBytes:head] != c.nonce}
}
