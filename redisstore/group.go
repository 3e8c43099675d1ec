package redisstore

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// An entry of the log is a group: events that were stored together. Its stream ID is the position of its last event, and the others stand at the
// positions right before it. So reading from a position on finds the group that it is in, and trimming by ID never cuts one. Storing and reading a group
// costs Redis and its client little more than storing one event; see docs/decisions/0010.
//
// The fields of an entry:
//
//	n  how many events the partition had ever stored before this entry
//	e  groupVersion (1 byte), number of events, then for each its length and Event.Encode; numbers are varints (encoding/binary)
const (
	countField   = "n"
	eventsField  = "e"
	groupVersion = 2

	// Whoever needs one event reads its whole group, so groups stay small.
	groupEvents = 64
	groupBytes  = 16 << 10 // about; at least one event
)

// group is events on their way into one entry.
type group struct {
	count int
	bytes string
}

// groupsOf divides events into groups.
func groupsOf(items []*item) []group {
	groups := make([]group, 0, 1+len(items)/groupEvents)
	for len(items) > 0 {
		n := groupSize(items)
		groups = append(groups, newGroup(items[:n]))
		items = items[n:]
	}
	return groups
}

func groupSize(items []*item) int {
	bytes := 0
	for i, it := range items {
		bytes += it.size
		if i == groupEvents || (i > 0 && bytes > groupBytes) {
			return i
		}
	}
	return len(items)
}

func newGroup(items []*item) group {
	size := 1 + binary.MaxVarintLen64
	for _, it := range items {
		size += binary.MaxVarintLen32 + it.size
	}
	var b strings.Builder
	b.Grow(size)
	b.WriteByte(groupVersion)
	writeVarint(&b, len(items))
	for _, it := range items {
		writeVarint(&b, it.size)
		it.event.EncodeTo(&b)
	}
	return group{count: len(items), bytes: b.String()}
}

func writeVarint(b *strings.Builder, n int) {
	var small [binary.MaxVarintLen64]byte
	b.Write(small[:binary.PutUvarint(small[:], uint64(n))])
}

// eventsIn cuts a group into its encoded events, without copying.
func eventsIn(bytes string) ([]string, error) {
	if bytes == "" || bytes[0] != groupVersion {
		return nil, errors.New("an entry of the log is not of a known form")
	}
	count, rest, ok := cutVarint(bytes[1:])
	if !ok || count < 1 || count > len(rest) {
		return nil, errors.New("an entry of the log is damaged")
	}
	events := make([]string, count)
	for i := range events {
		length, after, ok := cutVarint(rest)
		if !ok || length > len(after) {
			return nil, errors.New("an entry of the log is damaged")
		}
		events[i], rest = after[:length], after[length:]
	}
	if rest != "" {
		return nil, errors.New("an entry of the log is longer than it says")
	}
	return events, nil
}

func cutVarint(s string) (n int, rest string, ok bool) {
	for shift := 0; shift < 35 && s != ""; shift += 7 {
		c := s[0]
		s = s[1:]
		n |= int(c&0x7f) << shift
		if c < 0x80 {
			return n, s, true
		}
	}
	return 0, "", false
}

// rawOf is what an entry holds.
func rawOf(entry redis.XMessage) string {
	raw, _ := entry.Values[eventsField].(string)
	return raw
}

// eventsOf cuts an entry into its encoded events, the last of which stands at a position; see eventsIn.
func eventsOf(last router.Position, entry redis.XMessage) ([]string, error) {
	events, err := eventsIn(rawOf(entry))
	if err == nil && uint64(len(events)-1) > last.Seq {
		err = errors.New("an entry of the log holds more events than there are positions")
	}
	return events, err
}

// appendRecords appends the records of an entry. What is no group of ours is one record that can't be decoded.
func appendRecords(records []router.Record, last router.Position, entry redis.XMessage) []router.Record {
	events, err := eventsOf(last, entry)
	if err != nil {
		return append(records, router.Record{Position: last, Raw: rawOf(entry), Err: err})
	}
	for i, event := range events {
		position := last
		position.Seq -= uint64(len(events) - 1 - i)
		records = append(records, record(position, event))
	}
	return records
}

// record is what stands at a position.
func record(position router.Position, encoded string) router.Record {
	event, err := router.DecodeEvent(encoded)
	if err != nil {
		return router.Record{Position: position, Raw: encoded, Err: err}
	}
	return router.Record{Position: position, Event: event}
}
