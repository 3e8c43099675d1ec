package router

import "context"

// division is a batch that was made ahead of a run of records, as it is right where all before it is applied as it was made.
type division struct {
	batch     Batch
	run, rest matched // from the first record of the batch on, and from the first one that is not in it, or not all of it
}

// touched are the records that the batch has to do with. It may end amid an event.
func (d division) touched() []Record {
	return d.run.records[:min(len(d.run.records)-len(d.rest.records)+1, len(d.run.records))]
}

// divide makes the next batch of a run.
func (p *partition) divide(run matched, from Cursor) division {
	run.mostOffers, run.mostEntries = p.mostOffers.now(), p.mostEntries.now()
	batch, rest := run.batch(p.number, from)
	return division{batch: batch, run: run, rest: rest}
}

// divider makes batches of runs.
type divider struct {
	partition *partition
	cursor    Cursor // behind the last one
	to        chan<- division
}

// send sends the batches of a run on; false: ctx ended.
func (d *divider) send(ctx context.Context, run matched) bool {
	for len(run.records) > 0 {
		next := d.partition.divide(run, d.cursor)
		select {
		case d.to <- next:
		case <-ctx.Done():
			return false
		}
		d.cursor, run = next.batch.To, next.rest
	}
	return true
}
