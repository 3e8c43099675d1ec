package redisstore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// The widths of numbers in the state of a partial, which scripts/partial.lua describes.
const (
	stateHeader    = 41
	timeWidth      = 15
	positionWidth  = 24
	nameWidth      = 36
	refWidth       = 2 + nameWidth
	distinctWidth  = 33
	stateVersion   = "1"
	ownFieldPrefix = "n"
	ownFieldMark   = "@"
)

var errPartial = errors.New("a partial is damaged")

// decodePartial reads a stored partial of a deployment with so many partitions: its fields, events cut to what stands before their payload.
func decodePartial(c *router.CompiledTrigger, partitions int, hash router.KeyHash, fields map[string]string) (p router.Partial, err error) {
	key, ok := c.DecodeKey(fields["k"])
	state := fields["s"]
	if !ok || len(state) < stateHeader || !strings.HasPrefix(state, stateVersion) {
		return p, errPartial
	}
	p = router.Partial{
		Hash: hash, Key: key, Slots: map[router.Slot]router.Occurrence{}, Counted: map[int][]router.CountedEvent{}, Events: map[router.Position]router.Event{},
	}
	if last := strings.TrimSpace(state[11:26]); last != "" && c.Cooldown > 0 {
		if p.Last, err = strconv.ParseInt(last, 10, 64); err != nil {
			return p, errPartial
		}
	}
	d := stateReader{rest: state[stateHeader:], partitions: partitions}
	for d.rest != "" && !d.failed {
		number, text := int(d.number(3))-1, d.take(int(d.number(7)))
		if strings.HasPrefix(text, ownFieldMark) {
			text = fields[ownFieldPrefix+strconv.Itoa(number+1)]
		}
		if number < 0 || number >= len(c.Nodes) || text == "" {
			return p, errPartial
		}
		part := stateReader{rest: text, partitions: partitions}
		if leaf := c.Nodes[number].Leaf; leaf >= 0 {
			p.Counted[number] = part.counted(c.Leaves[leaf].Distinct != nil)
		} else {
			part.slots(number, p.Slots)
		}
		d.failed = d.failed || part.failed
	}
	if d.failed {
		return p, errPartial
	}
	return p, decodeEvents(fields, partitions, p.Events)
}

func decodeEvents(fields map[string]string, partitions int, events map[router.Position]router.Event) error {
	for field, head := range fields {
		if len(field) != positionWidth {
			continue
		}
		d := stateReader{rest: field, partitions: partitions}
		position := d.position()
		e, err := router.DecodeEventHead(head)
		if err != nil || d.failed {
			return fmt.Errorf("event %s: %w", position, errPartial)
		}
		events[position] = e
	}
	return nil
}

// stateReader takes the state of a partial apart.
type stateReader struct {
	rest       string
	partitions int // of the deployment
	failed     bool
}

func (d *stateReader) take(n int) string {
	if n < 0 || n > len(d.rest) {
		d.failed, d.rest = true, ""
		return ""
	}
	s := d.rest[:n]
	d.rest = d.rest[n:]
	return s
}

func (d *stateReader) number(width int) int64 {
	n, err := strconv.ParseInt(d.take(width), 10, 64)
	d.failed = d.failed || err != nil
	return n
}

func (d *stateReader) position() router.Position {
	ms, place, n := d.number(positionWidth-10), d.number(10), int64(d.partitions)
	return router.Position{Partition: int(place % n), MS: ms, Seq: uint64(place / n)}
}

func (d *stateReader) refs(n int) (refs []router.LeafEvent) {
	list := stateReader{rest: d.take(n), partitions: d.partitions}
	for list.rest != "" {
		refs = append(refs, router.LeafEvent{Leaf: int(list.number(2)), Position: list.position()})
		list.take(refWidth - 2 - positionWidth)
	}
	d.failed = d.failed || list.failed
	return refs
}

func (d *stateReader) slots(node int, slots map[router.Slot]router.Occurrence) {
	for d.rest != "" {
		child := int(d.number(2)) - 1
		o := router.Occurrence{Time: d.number(timeWidth), Position: d.position()}
		o.Refs = d.refs(int(d.number(7)))
		slots[router.Slot{Node: node, Child: child}] = o
	}
}

func (d *stateReader) counted(distinct bool) (list []router.CountedEvent) {
	for d.rest != "" {
		e := router.CountedEvent{Time: d.number(timeWidth), Position: d.position()}
		d.take(nameWidth - positionWidth)
		if distinct {
			_, err := hex.Decode(e.Distinct[:], []byte(strings.TrimPrefix(d.take(distinctWidth), "=")))
			d.failed = d.failed || err != nil
		}
		list = append(list, e)
	}
	return list
}
