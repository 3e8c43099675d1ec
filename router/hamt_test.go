package router

import (
	"maps"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestHamtIsAMapThatNeverChanges drives maps with hashes that collide in their first bits, or in all of them.
func TestHamtIsAMapThatNeverChanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mask := rapid.SampledFrom([]uint64{0, 1, 0xff, 0xf << 60, ^uint64(0)}).Draw(t, "mask")
		hash := func(key int) uint64 { return uint64(key) * 0x9e3779b97f4a7c15 & mask }
		var owner *edit
		if rapid.Bool().Draw(t, "bulk") {
			owner = &edit{}
		}
		m, model := hamt[int, int]{}, map[int]int{}
		for range rapid.IntRange(0, 100).Draw(t, "changes") {
			key, value := rapid.IntRange(0, 40).Draw(t, "key"), rapid.Int().Draw(t, "value")
			before, old := m, maps.Clone(model)
			if rapid.Bool().Draw(t, "remove") {
				m = m.without(owner, hash(key), key)
				delete(model, key)
			} else {
				m = m.with(owner, hash(key), key, value)
				model[key] = value
			}
			requireHolds(t, m, model, hash)
			if owner == nil {
				requireHolds(t, before, old, hash)
			}
		}
	})
}

func requireHolds(t *rapid.T, m hamt[int, int], model map[int]int, hash func(int) uint64) {
	require.Equal(t, len(model), m.size)
	require.Equal(t, model, maps.Collect(m.all))
	for key := range 41 {
		value, ok := m.get(hash(key), key)
		want, there := model[key]
		require.Equal(t, there, ok)
		if ok {
			require.Equal(t, want, value)
		}
	}
	require.Equal(t, len(model) == 0, m.root == nil, "an empty map has no nodes")
}
