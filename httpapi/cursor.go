package httpapi

import (
	"encoding/base64"
	"encoding/binary"

	"github.com/streamlatch/streamlatch/router"
)

// A cursor is opaque to clients: URL-safe base64 of a version, a kind, and for each partition a position. The kinds keep the cursor of one list from being
// used in another, where it would mean something else.
const cursorVersion = 1

type cursorKind byte

const (
	eventsCursor cursorKind = 'e' // of each partition: the newest position to look at; its start where there is nothing left
	streamCursor cursorKind = 's' // of each partition: the last position that the client has seen
)

func formatCursor(kind cursorKind, positions []router.Position) string {
	b := make([]byte, 0, 3+len(positions)*8)
	b = append(b, cursorVersion, byte(kind))
	b = binary.AppendUvarint(b, uint64(len(positions)))
	for _, p := range positions {
		b = binary.AppendUvarint(b, uint64(p.MS))
		b = binary.AppendUvarint(b, p.Seq)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor reads what formatCursor wrote for the same kind and number of partitions.
func parseCursor(kind cursorKind, partitions int, text string) ([]router.Position, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 2 || b[0] != cursorVersion || b[1] != byte(kind) {
		return nil, errCursor()
	}
	d := varints{b[2:], true}
	if d.next() != uint64(partitions) {
		return nil, errCursor()
	}
	positions := make([]router.Position, partitions)
	for p := range positions {
		ms := d.next()
		positions[p] = router.Position{Partition: p, MS: int64(ms), Seq: d.next()}
		d.ok = d.ok && ms < 1<<53 // as far as Redis' numbers are exact
	}
	if !d.ok || len(d.b) > 0 || formatCursor(kind, positions) != text {
		return nil, errCursor()
	}
	return positions, nil
}

func errCursor() error { return router.Errorf(router.Invalid, "is not a cursor that this list gave") }

// varints reads numbers one by one; ok says that all were there.
type varints struct {
	b  []byte
	ok bool
}

func (v *varints) next() uint64 {
	n, size := binary.Uvarint(v.b)
	if size <= 0 {
		v.ok = false
		return 0
	}
	v.b = v.b[size:]
	return n
}

// before is the last position that stands before p, which is not the start of its partition.
func before(p router.Position) router.Position {
	if p.Seq > 0 {
		p.Seq--
		return p
	}
	p.MS, p.Seq = p.MS-1, ^uint64(0)
	return p
}

// isStart tells whether a position stands before every event of its partition.
func isStart(p router.Position) bool { return p.MS <= 0 && p.Seq == 0 }
