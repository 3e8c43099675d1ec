package router

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// Position is where an event stands in the log: a partition and a Redis stream ID. Positions of one partition are
// ordered; the zero Position stands before every event of partition 0.
type Position struct {
	Partition int
	MS        int64  // accept time in milliseconds since 1970, by Redis' clock
	Seq       uint64 // order within the millisecond
}

// String prints the position as clients see it: "0:1732128000000-0".
func (p Position) String() string { return strconv.Itoa(p.Partition) + ":" + p.ID() }

// ID prints the stream ID: "1732128000000-0".
func (p Position) ID() string {
	var text [41]byte // the longest there is
	return string(p.AppendID(text[:0]))
}

// AppendID appends the stream ID.
func (p Position) AppendID(b []byte) []byte {
	return strconv.AppendUint(append(strconv.AppendInt(b, p.MS, 10), '-'), p.Seq, 10)
}

// AcceptedAt is when Redis accepted the event.
func (p Position) AcceptedAt() time.Time { return timeAt(p.MS) }

func timeAt(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// Compare orders positions of one partition: negative when p stands before q.
func (p Position) Compare(q Position) int {
	switch {
	case p.MS != q.MS:
		if p.MS < q.MS {
			return -1
		}
		return 1
	case p.Seq != q.Seq:
		if p.Seq < q.Seq {
			return -1
		}
		return 1
	}
	return 0
}

// compareAll orders positions of all partitions, as triggers meet events: by accept time, then by number, then by partition.
func (p Position) compareAll(q Position) int {
	return cmp.Or(p.Compare(q), cmp.Compare(p.Partition, q.Partition))
}

// ParsePosition reads what String prints.
func ParsePosition(s string) (Position, error) {
	partition, id, ok := strings.Cut(s, ":")
	if !ok {
		return Position{}, Errorf(Invalid, "position %q is not of the form 0:1732128000000-0", s)
	}
	n, err := strconv.Atoi(partition)
	if err != nil || n < 0 || strconv.Itoa(n) != partition {
		return Position{}, Errorf(Invalid, "position %q has no partition number", s)
	}
	return ParseStreamID(n, id)
}

// ParseStreamID reads what ID prints, as a position in the given partition.
func ParseStreamID(partition int, id string) (Position, error) {
	ms, seq, ok := strings.Cut(id, "-")
	if !ok {
		return Position{}, Errorf(Invalid, "stream ID %q is not of the form 1732128000000-0", id)
	}
	m, err := strconv.ParseInt(ms, 10, 64)
	if err != nil || m < 0 {
		return Position{}, Errorf(Invalid, "stream ID %q has no milliseconds", id)
	}
	q, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return Position{}, Errorf(Invalid, "stream ID %q has no sequence number", id)
	}
	return Position{Partition: partition, MS: m, Seq: q}, nil
}
