package httpapi

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/streamlatch/streamlatch/router"
)

func somePositions() []router.Position {
	return []router.Position{{MS: 1_732_128_000_000}, {Partition: 1, MS: 1<<53 - 1, Seq: math.MaxUint64}, {Partition: 2}}
}

func TestACursorIsReadBackByItsOwnListAndRefusedByOthers(t *testing.T) {
	text := formatCursor(streamCursor, somePositions())
	require.Regexp(t, `^[A-Za-z0-9_-]+$`, text)
	positions, err := parseCursor(streamCursor, 3, text)
	require.NoError(t, err)
	require.Equal(t, somePositions(), positions)

	for name, parse := range map[string]func() ([]router.Position, error){
		"another list":                 func() ([]router.Position, error) { return parseCursor(eventsCursor, 3, text) },
		"another number of partitions": func() ([]router.Position, error) { return parseCursor(streamCursor, 2, text) },
		"cut off":                      func() ([]router.Position, error) { return parseCursor(streamCursor, 3, text[:len(text)-2]) },
		"with more":                    func() ([]router.Position, error) { return parseCursor(streamCursor, 3, text+"AAAA") },
		"another version":              func() ([]router.Position, error) { return parseCursor(streamCursor, 3, "Ag"+text[2:]) },
		"nothing":                      func() ([]router.Position, error) { return parseCursor(streamCursor, 3, "") },
	} {
		_, err := parse()
		require.Equal(t, router.Invalid, router.ErrorCode(err), name)
	}
}

func TestBeforeAPositionStandsTheOneThatRedisWouldFindThere(t *testing.T) {
	require.Equal(t, router.Position{Partition: 1, MS: 5, Seq: 6}, before(router.Position{Partition: 1, MS: 5, Seq: 7}))
	require.Equal(t, router.Position{Partition: 1, MS: 4, Seq: math.MaxUint64}, before(router.Position{Partition: 1, MS: 5}))
}

func FuzzACursorIsReadInOneWayOrRefused(f *testing.F) {
	f.Add(formatCursor(streamCursor, somePositions()))
	f.Add("AXMB____________AQ")
	f.Add("AXMBgAAA")
	f.Fuzz(func(t *testing.T, text string) {
		positions, err := parseCursor(streamCursor, 3, text)
		if err != nil {
			require.Equal(t, router.Invalid, router.ErrorCode(err))
			return
		}
		require.Equal(t, text, formatCursor(streamCursor, positions))
		for p, position := range positions {
			require.Equal(t, p, position.Partition)
			require.GreaterOrEqual(t, position.MS, int64(0))
		}
	})
}
