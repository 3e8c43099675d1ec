package redisstore

import (
	"context"

	"github.com/streamlatch/streamlatch/router"
)

// laneMark stands before the lane, at the end of an entry of an ordered queue; see scripts/common.lua.
const laneMark = "#"

// lanedNames are the names that entries of a partition have in an ordered queue. Their lanes are found by their events; an entry whose event is nowhere any more
// has none.
func (s *Store) lanedNames(ctx context.Context, partition int, entries []router.Entry) ([]string, error) {
	positions := make([]router.Position, len(entries))
	for i, e := range entries {
		positions[i] = e.Position
	}
	records, err := s.LoadEvents(ctx, partition, positions)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		if names[i] = entryName(e); records[i].Err == nil {
			names[i] += laneMark + records[i].Event.Lane()
		}
	}
	return names, nil
}
