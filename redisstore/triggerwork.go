package redisstore

import (
	"encoding/hex"
	"fmt"

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
	names := make([]string, len(w.Triggers))
	for i, t := range w.Triggers {
		names[i] = generation(t.ID, t.Generation)
		mode := "on"
		if !t.Enabled {
			mode = "off"
		}
		keys = append(keys, k.partials(names[i]), k.triggerCounters(t.ID))
		args = append(args, t.Program, names[i], mode, string(t.Include), t.Head, t.KeyMissing, t.Ignored)
	}
	args = append(args, len(w.Partials))
	for _, p := range w.Partials {
		hash := hex.EncodeToString(p.Hash[:])
		keys = append(keys, k.partial(names[p.Trigger], hash))
		args = append(args, p.Trigger+1, hash, p.Key)
	}
	args = append(args, len(w.Events))
	for _, e := range w.Events {
		encoded := e.Event.Encode()
		args = append(args, fmt.Sprintf("%s%02d%08d", positionDigits(e.Position), e.Event.Hops(), len(encoded)), e.Time, encoded)
	}
	args = append(args, len(w.Offers))
	for _, o := range w.Offers {
		args = append(args, o.Partial+1, o.Event+1, leavesText(o))
	}
	return keys, args
}

// positionDigits writes a position as the states of partials have it, so that texts are in the order of positions.
func positionDigits(p router.Position) string {
	return fmt.Sprintf("%014d%010d", p.MS, p.Seq)
}

// leavesText writes the leaves that an event meets.
func leavesText(o router.Offer) string {
	var b []byte
	if o.Reset {
		b = append(b, 'r')
	}
	for _, leaf := range o.Leaves {
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
