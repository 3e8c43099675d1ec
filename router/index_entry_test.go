package router

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMostOfWhatFiltersWantIsSummedUp tells which filters an index can evaluate without looking at them.
func TestMostOfWhatFiltersWantIsSummedUp(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		pattern string
		count   int8
	}{
		"nothing":                    {`null`, 0},
		"a text":                     {`{"data":{"a":["x"]}}`, 1},
		"values of all kinds":        {`{"data":{"a":["x"],"b":[1],"c":[true],"d":[12345678901234567890]}}`, 4},
		"texts that fill the room":   {fmt.Sprintf(`{"subject":["%s"],"data":{"a":[1],"b":["%s"]}}`, text(8), text(40)), 3},
		"a text beyond the room":     {fmt.Sprintf(`{"subject":["%s"],"data":{"a":[1],"b":["%s"]}}`, text(9), text(40)), beyondWants},
		"a number beyond the room":   {fmt.Sprintf(`{"data":{"a":["%s"],"b":[1]}}`, text(49)), beyondWants},
		"more fields than have room": {`{"data":{"a":[1],"b":[1],"c":[1],"d":[1],"e":[1]}}`, beyondWants},
		"one of two values":          {`{"data":{"a":["x","y"]}}`, beyondWants},
		"a value or none":            {`{"data":{"a":["x",{"exists":false}]}}`, beyondWants},
		"an address":                 {`{"data":{"a":["10.0.0.1"]}}`, beyondWants},
		"a range":                    {`{"data":{"a":["x"],"b":[{"numeric":[">",1]}]}}`, beyondWants},
		"alternatives":               {`{"$or":[{"data":{"a":[1]}},{"data":{"b":[1]}}]}`, beyondWants},
	} {
		t.Run(name, func(t *testing.T) {
			filter, err := Filter{Types: []string{"t"}, Pattern: []byte(c.pattern)}.Compile()
			require.NoError(t, err)
			require.Equal(t, c.count, summedUp("id", filter).count)
		})
	}
	filter, err := dialects(`{"exact":{"subject":"x"}}`).Compile()
	require.NoError(t, err)
	require.EqualValues(t, beyondWants, summedUp("id", filter).count)
}

func summedUp(id string, filter *CompiledFilter) wanted {
	edit := NewIndex().Edit()
	edit.Set(id, filter)
	e, _ := edit.index.entries.get(edit.hash(id), id)
	return e.wanted
}

// TestAFilterAloneIsAtHand holds that what it wants stands in the place that the type or the value of an event leads to.
func TestAFilterAloneIsAtHand(t *testing.T) {
	filter := func(value int) *CompiledFilter {
		c, err := Filter{Types: []string{"t"}, Pattern: fmt.Appendf(nil, `{"data":{"a":[%d]}}`, value)}.Compile()
		require.NoError(t, err)
		return c
	}
	edit := NewIndex().Edit()
	ofType := func() indexNode {
		n, _ := edit.index.exact.get(edit.hash("t"), "t")
		return n
	}
	edit.Set("stays", filter(0))
	want := summedUp("stays", filter(0))
	require.Equal(t, want, ofType().wanted)
	for i := range 10 {
		edit.Set(fmt.Sprint(i), filter(i))
	}
	require.Zero(t, ofType().wanted)
	field, _ := ofType().crowd.fields.get(payloadSlot.hash(), payloadSlot)
	n, _ := field.nodes.get(numberKeyOf(9).hash(edit.index.seed), numberKeyOf(9))
	want = summedUp("9", filter(9))
	require.Equal(t, want, n.wanted)
}
