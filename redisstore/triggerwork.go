package redisstore

import (
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/streamlatch/streamlatch/router"
)

// loopReason is why a firing is a dead letter that was derived too often.
const loopReason = string(router.Loop)

const (
	// maxJoinedBytes is what the events of a firing may hold together, encoded. As JSON they are never smaller, so that what is more than this would make
	// an event that is too large; router.DecodeEvent sees to the rest.
	maxJoinedBytes = router.MaxFiringBytes
	// maxWeight is how many bytes of states and events a call may move, about: a few milliseconds' worth.
	maxWeight = 2 << 20
)

// appendWork adds what apply has to know of triggers.
func (s *Store) appendWork(k keys, w router.TriggerWork, keys []string, args []any) ([]string, []any) {
	args = append(args, len(w.Triggers))
	if len(w.Triggers) == 0 {
		return keys, args
	}
	args = append(args, s.config.MaxPartials, s.config.MaxPartialBytes, maxJoinedBytes, maxWeight)
	for _, t := range w.Triggers {
		name, mode := generation(t.ID, t.Generation), "on"
		if !t.Enabled {
			mode = "off"
		}
		keys = append(keys, k.partials(name), k.triggerCounters(t.ID))
		args = append(args, t.Program, name, mode, string(t.Include), t.Head, t.KeyMissing, t.Ignored)
	}
	places := partialOrder(w)
	keys, args = appendPartials(k, w, places, keys, args)
	args = append(args, len(w.Events))
	encoded, names := make([]string, len(w.Events)), newTexts(len(w.Events), 48)
	for i, e := range w.Events {
		encoded[i] = e.Event.Encode()
		names.bytes = s.appendEventName(names.bytes, e, len(encoded[i]))
		names.end()
	}
	for i, list := 0, names.strings(); i < len(list); i++ {
		args = append(args, &list[i], &encoded[i])
	}
	numbers := make([]int, len(places))
	for number, place := range places {
		numbers[place] = number + 1
	}
	return keys, appendOffers(append(args, len(w.Offers)), w.Offers, numbers)
}

// appendOffers adds offers. Most are of the next event to the next partial, which needs not be said.
func appendOffers(args []any, offers []router.Offer, numbers []int) []any {
	partial, event := 0, 0
	for _, o := range offers {
		next := numbers[o.Partial] == partial+1 && o.Event == event
		partial, event = numbers[o.Partial], o.Event+1
		leaves := leavesText(o.Reset, o.Leaves)
		if !next {
			leaves = strconv.Itoa(partial) + " " + strconv.Itoa(event) + " " + leaves
		}
		args = append(args, leaves)
	}
	return args
}

// partialOrder gives the places of the partials in the order in which apply has them: those of one trigger together.
func partialOrder(w router.TriggerWork) []int {
	places := make([]int, len(w.Partials))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(a, b int) int { return w.Partials[a].Trigger - w.Partials[b].Trigger })
	return places
}

func appendPartials(k keys, w router.TriggerWork, places []int, keys []string, args []any) ([]string, []any) {
	for i, t := range w.Triggers {
		n := 0
		for n < len(places) && w.Partials[places[n]].Trigger == i {
			n++
		}
		args = append(args, n)
		prefix := k.partials(generation(t.ID, t.Generation)) + ":"
		names := newTexts(n, len(prefix)+2*len(router.KeyHash{}))
		for _, place := range places[:n] {
			p := &w.Partials[place]
			names.bytes = hex.AppendEncode(append(names.bytes, prefix...), p.Hash[:])
			names.end()
			args = append(args, &p.Key)
		}
		keys = append(keys, names.strings()...)
		places = places[n:]
	}
	return keys, args
}

// appendEventName appends what stands for an event in states; without the number of leaves that it meets.
func (s *Store) appendEventName(b []byte, e router.WorkEvent, bytes int) []byte {
	b = appendPositionDigits(b, e.Position, len(s.keys))
	b = appendDigits(b, uint64(e.Event.Hops()), 2)
	b = appendDigits(b, uint64(bytes), 8)
	if e.Time != e.Position.MS {
		b = strconv.AppendInt(b, e.Time, 10)
	}
	return b
}

// appendDigits appends a number with so many digits at least.
func appendDigits(b []byte, n uint64, width int) []byte {
	var digits [20]byte
	text := strconv.AppendUint(digits[:0], n, 10)
	for i := len(text); i < width; i++ {
		b = append(b, '0')
	}
	return append(b, text...)
}

// appendPositionDigits appends a position as the states of partials have it, so that texts are in the order in which partials meet
// events.
func appendPositionDigits(b []byte, p router.Position, partitions int) []byte {
	return appendDigits(appendDigits(b, uint64(p.MS), 14), p.Seq*uint64(partitions)+uint64(p.Partition), 10)
}

// leavesText writes the leaves that an event meets.
func leavesText(reset bool, leaves []router.MetLeaf) string {
	var b []byte
	if reset {
		b = append(b, 'r')
	}
	for _, leaf := range leaves {
		if len(b) > 0 {
			b = append(b, ',')
		}
		b = append(b, router.LeafDigits(leaf.Leaf)...)
		if leaf.Distinct != ([16]byte{}) {
			b = hex.AppendEncode(append(b, ':'), leaf.Distinct[:])
		}
	}
	return string(b)
}
