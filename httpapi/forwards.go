package httpapi

import (
	"context"
	"fmt"

	"github.com/streamlatch/streamlatch/router"
)

// forwards reads the log from a time on, over all partitions in the order of their accept times. It ends where the log ended when it began.
type forwards struct {
	log  Log
	at   []router.Position // of each partition: the last position that was read
	ends []router.Position
	read [][]router.Record
}

// newForwards begins with events accepted at a time, in milliseconds, or later.
func newForwards(ctx context.Context, log Log, from int64) (*forwards, error) {
	f := &forwards{log: log, read: make([][]router.Record, log.Partitions())}
	for p := range log.Partitions() {
		end, err := log.LogEnd(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("find the end of partition %d: %w", p, err)
		}
		at := router.Position{Partition: p}
		if from > 0 {
			at = before(router.Position{Partition: p, MS: from})
		}
		f.ends, f.at = append(f.ends, end), append(f.at, at)
	}
	return f, nil
}

// next returns the next event that can be read; ok is false at the end.
func (f *forwards) next(ctx context.Context) (r router.Record, ok bool, err error) {
	for {
		oldest := -1
		for p := range f.at {
			if err := f.fill(ctx, p); err != nil {
				return r, false, err
			}
			if len(f.read[p]) > 0 && (oldest < 0 || newer(f.read[oldest][0].Position, f.read[p][0].Position)) {
				oldest = p
			}
		}
		if oldest < 0 {
			return r, false, nil
		}
		r, f.read[oldest] = f.read[oldest][0], f.read[oldest][1:]
		if r.Err == nil {
			return r, true, nil
		}
	}
}

func (f *forwards) fill(ctx context.Context, p int) error {
	if len(f.read[p]) > 0 || f.at[p].Compare(f.ends[p]) >= 0 {
		return nil
	}
	records, err := f.log.ReadLog(ctx, f.at[p], mostBatch, 0)
	if err != nil {
		return fmt.Errorf("read partition %d: %w", p, err)
	}
	f.at[p] = f.ends[p]
	for i, r := range records {
		if r.Position.Compare(f.ends[p]) > 0 {
			records = records[:i]
			break
		}
		f.at[p] = r.Position
	}
	f.read[p] = records
	return nil
}
