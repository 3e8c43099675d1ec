package router

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARefIsAnIdOfItsKindOrAName(t *testing.T) {
	const id = "01JD6Z3V9K8Q2M4N5P6R7S8T9V"
	for s, want := range map[string]Ref{
		"sub_" + id:                   {ID: "sub_" + id},
		"orders":                      {Name: "orders"},
		"0-a-":                        {Name: "0-a-"},
		"sub":                         {Name: "sub"},
		"a" + strings.Repeat("b", 62): {Name: "a" + strings.Repeat("b", 62)},
	} {
		got, err := ParseRef(SubscriptionID, s)
		require.NoError(t, err, s)
		require.Equal(t, want, got)
		require.Equal(t, s, got.String())
	}
	for _, s := range []string{
		"", "-a", "Orders", "a b", "a\n", "é", "a.b", strings.Repeat("a", 64), "sub_", "sub_orders", "sub_" + strings.ToLower(id), "sub_" + id + "0",
		"sub_8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "sub_01JD6Z3V9K8Q2M4N5P6R7S8T9U", "trg_" + id, "_" + id, "sub_sub_" + id, "{p3}",
	} {
		_, err := ParseRef(SubscriptionID, s)
		require.Equal(t, Invalid, ErrorCode(err), "%q", s)
	}
	_, err := ParseRef(SubscriptionID, "trg_"+id)
	require.ErrorContains(t, err, `"trg_`+id+`" is an id of another kind; ids here begin with sub_`)
}

func TestIdsAreRefsAndSortByTheirTime(t *testing.T) {
	at := time.UnixMilli(1732128000000)
	first, err := NewID(TriggerID, at, bytes.NewReader(bytes.Repeat([]byte{0xff}, 10)))
	require.NoError(t, err)
	second, err := NewID(TriggerID, at.Add(time.Millisecond), bytes.NewReader(make([]byte, 10)))
	require.NoError(t, err)
	require.Less(t, first, second)
	require.Equal(t, "trg_01JD5DZJ00ZZZZZZZZZZZZZZZZ", first)
	ref, err := ParseRef(TriggerID, first)
	require.NoError(t, err)
	require.Equal(t, Ref{ID: first}, ref)

	_, err = NewID(TriggerID, at, bytes.NewReader(nil))
	require.ErrorContains(t, err, "make an id")
}
