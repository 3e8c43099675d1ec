package router

import (
	"bytes"
	"slices"
)

// KeyOffer is what an event has for one partial of a trigger.
type KeyOffer struct {
	Key    Key
	Resets []int     // leaves of reset_on that it meets
	Leaves []MetLeaf // those of when that it meets
}

// KeyOffers gives what an event has for the trigger, in the order of the keys' hashes, and how many of the leaves that it meets find no key in it.
func (c *CompiledTrigger) KeyOffers(e Event) (offers []KeyOffer, keyMissing int) {
	view := NewView(e)
	defer view.Release()
	offers = c.keyOffers(&valueReader{event: e}, c.met(view), func(_ int, fate Fate) {
		if fate == KeyMissing {
			keyMissing++
		}
	})
	return offers, keyMissing
}

// met are the leaves that an event meets.
func (c *CompiledTrigger) met(view *View) (leaves []int) {
	for leaf := range c.Leaves {
		if c.Leaves[leaf].Filter.Match(view) {
			leaves = append(leaves, leaf)
		}
	}
	return leaves
}

// keyOffers finds the keys that an event has at leaves that it meets, in the order of their hashes. Which leaves have to ignore it is told to miss.
func (c *CompiledTrigger) keyOffers(reader *valueReader, met []int, miss func(leaf int, fate Fate)) (offers []KeyOffer) {
	for _, number := range met {
		leaf := &c.Leaves[number]
		key, ok := reader.key(leaf.Key)
		if !ok {
			miss(number, KeyMissing)
			continue
		}
		distinct, ok := reader.distinct(leaf.Distinct)
		if !ok {
			miss(number, ValueMissing)
			continue
		}
		o := offerOf(&offers, key)
		if leaf.Reset {
			o.Resets = append(o.Resets, number)
		} else {
			o.Leaves = append(o.Leaves, MetLeaf{Leaf: number, Distinct: distinct})
		}
	}
	if len(offers) > 1 {
		slices.SortFunc(offers, func(a, b KeyOffer) int {
			x, y := a.Key.Hash(), b.Key.Hash()
			return bytes.Compare(x[:], y[:])
		})
	}
	return offers
}

// offerOf finds the offer to a key's partial, or makes it.
func offerOf(offers *[]KeyOffer, key Key) *KeyOffer {
	for i := range *offers {
		if slices.Equal((*offers)[i].Key.values, key.values) {
			return &(*offers)[i]
		}
	}
	*offers = append(*offers, KeyOffer{Key: key})
	return &(*offers)[len(*offers)-1]
}
