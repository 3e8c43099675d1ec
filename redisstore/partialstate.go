package redisstore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// partialState is what scripts/partial.lua keeps of a partial beside its events.
type partialState struct {
	bytes int
	last  int64 // time of the last firing that a cooldown needs, -1: none
	next  int64 // when something happens by itself, neverHappens: never
	parts map[int]partState
}

// neverHappens stands for a time that never comes.
const neverHappens = 999_999_999_999_999

// partState is what is recorded at a node: records of a leaf, or slots of another node by their numbers from 1.
type partState struct {
	records []recordState
	slots   map[int]slotState
}

type recordState struct {
	time  int64
	event eventRef
	value string
}

type slotState struct {
	time     int64
	position router.Position
	refs     []eventRef
}

// eventRef is a recorded event at a leaf.
type eventRef struct {
	leaf     int
	position router.Position
	hops     int
	bytes    int
	leaves   int // that the event met
}

// Widths of what a state is made of; see scripts/partial.lua.
const (
	positionWidth = 24
	timeWidth     = 15
	nameWidth     = 36
	valueWidth    = 32
)

// readPartialState takes a partial's hash apart.
func readPartialState(partition int, c *router.CompiledTrigger, fields map[string]string) (s partialState, err error) {
	r := stateReader{rest: fields["s"], partition: partition}
	if r.take(1) != "1" {
		return s, errors.New("the state of a partial is not of a known form")
	}
	s = partialState{bytes: int(r.number(10)), last: -1, parts: make(map[int]partState)}
	if last := r.take(timeWidth); strings.TrimSpace(last) != "" {
		s.last, err = strconv.ParseInt(last, 10, 64)
		r.fail(err)
	}
	s.next = r.number(timeWidth)
	for r.rest != "" && r.err == nil {
		node := int(r.number(3))
		text := r.take(int(r.number(7)))
		if strings.HasPrefix(text, "@") {
			text = fields["n"+strconv.Itoa(node)]
		}
		if node < 1 || node > len(c.Nodes) {
			return s, fmt.Errorf("the state of a partial has a node %d", node)
		}
		part := stateReader{rest: text, partition: partition}
		s.parts[node-1] = part.part(c, &c.Nodes[node-1])
		r.fail(part.err)
	}
	return s, r.err
}

// stateReader takes a text apart from left to right; err is the first thing that was not as it should be.
type stateReader struct {
	rest      string
	partition int
	err       error
}

func (r *stateReader) fail(err error) {
	if r.err == nil && err != nil {
		r.err = fmt.Errorf("the state of a partial is damaged: %w", err)
	}
}

func (r *stateReader) take(n int) string {
	if n < 0 || n > len(r.rest) {
		r.fail(errors.New("it is cut short"))
		n = len(r.rest)
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *stateReader) number(width int) int64 {
	n, err := strconv.ParseInt(r.take(width), 10, 64)
	r.fail(err)
	return n
}

func (r *stateReader) position() router.Position {
	return router.Position{Partition: r.partition, MS: r.number(14), Seq: uint64(r.number(10))}
}

func (r *stateReader) part(c *router.CompiledTrigger, node *router.Node) (p partState) {
	if node.Leaf >= 0 {
		for r.rest != "" && r.err == nil {
			record := recordState{time: r.number(timeWidth), event: r.name(node.Leaf)}
			if c.Leaves[node.Leaf].Distinct != nil {
				record.value = r.take(1 + valueWidth)[1:]
			}
			p.records = append(p.records, record)
		}
		return p
	}
	p.slots = make(map[int]slotState)
	for r.rest != "" && r.err == nil {
		number := int(r.number(2))
		slot := slotState{time: r.number(timeWidth), position: r.position()}
		refs := stateReader{rest: r.take(int(r.number(7))), partition: r.partition}
		for refs.rest != "" && refs.err == nil {
			slot.refs = append(slot.refs, refs.name(int(refs.number(2))))
		}
		r.fail(refs.err)
		p.slots[number] = slot
	}
	return p
}

func (r *stateReader) name(leaf int) eventRef {
	return eventRef{leaf: leaf, position: r.position(), hops: int(r.number(2)), bytes: int(r.number(8)), leaves: int(r.number(2))}
}
