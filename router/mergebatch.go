package router

// merge makes the next call of Merge: of what waits in an inbox and was accepted before a mark, as much as one call may do, at most so many offers. whole says
// that nothing of it is left.
func (s *snapshot) merge(partition int, inbox Inbox, mark int64, offers int) (m Merge, whole bool) {
	m = Merge{Partition: partition, From: inbox.Cursor, To: inbox.Cursor, Token: s.tokens[partition]}
	b := mergeBuilder{snapshot: s, merge: &m, work: newWorkBuilder(&m.Work, offers), taken: make([]int, len(inbox.Lists))}
	for {
		from, known := inbox.next(b.taken)
		switch {
		case !known:
			return b.done(inbox), false
		case from < 0 || inbox.Lists[from].Entries[b.taken[from]].Position.MS >= mark:
			return b.done(inbox), true
		case !b.add(inbox.Lists[from].Entries[b.taken[from]], inbox.Cursor):
			return b.done(inbox), false
		}
		b.taken[from]++
	}
}

// next is the list that the next entry is in, after so many of each, -1: there is none. known is false where that depends on what was not read.
func (i Inbox) next(after []int) (list int, known bool) {
	list = -1
	for l, one := range i.Lists {
		if after[l] == len(one.Entries) {
			if one.More {
				return -1, false
			}
			continue
		}
		if list < 0 || one.Entries[after[l]].End().compareAll(i.Lists[list].Entries[after[list]].End()) < 0 {
			list = l
		}
	}
	return list, true
}

// mergeBuilder fills a Merge.
type mergeBuilder struct {
	snapshot *snapshot
	merge    *Merge
	work     workBuilder
	taken    []int // of each list
}

// add takes an entry in; false: there is no room for all of it. What was applied before is left out; where that is so of all of it, it came too late, as only a
// failover of Redis can bring about, or a change of the definitions that a replica learns of before the one that routes the partition.
func (b *mergeBuilder) add(entry Forwarded, from Cursor) bool {
	if reason := entry.fault(from); reason != "" {
		b.merge.Lost = append(b.merge.Lost, Lost{Event: entry.Event, Raw: entry.Raw, Reason: reason})
		return true
	}
	record := Record{Position: entry.Position, Event: entry.Event}
	entry, _ = entry.behind(b.merge.To)
	for i := range entry.Offers {
		offer := &entry.Offers[i]
		if o, ok := b.offer(offer); ok && !b.work.add(record, &o) {
			return false
		}
		b.merge.To = Cursor{Position: entry.Position, Target: offer.Target()}
	}
	return true
}

// fault is why an entry can't be applied behind a cursor; "": it can.
func (f *Forwarded) fault(behind Cursor) string {
	switch {
	case f.Raw != "":
		return "malformed"
	case f.End().compareAll(behind) <= 0:
		return "late"
	}
	return ""
}

// offer is what an offer comes to by the definitions of today; false: nothing, its generation has passed.
func (b *mergeBuilder) offer(o *ForwardedOffer) (matchedOffer, bool) {
	if !b.snapshot.knows(o.Trigger, o.Generation) {
		return matchedOffer{}, false
	}
	t, _ := b.snapshot.trigger(o.Trigger)
	return matchedOffer{target: o.Target(), trigger: t, hash: o.Hash, key: o.Key, reset: o.Reset, leaves: o.Leaves, ignored: !t.Enabled}, true
}

// done says what is taken of each list.
func (b *mergeBuilder) done(inbox Inbox) Merge {
	for from, n := range b.taken {
		if n > 0 {
			b.merge.Taken = append(b.merge.Taken, Taken{From: from, N: n, Last: inbox.Lists[from].Entries[n-1]})
		}
	}
	return *b.merge
}

// batch is the merge as far as a Batch can say it, for what turns out to be unusable.
func (m Merge) batch() Batch {
	return Batch{Partition: m.Partition, From: m.From, To: m.To, Events: len(m.Taken), Work: m.Work}
}

// with is the merge with what is left of its batch.
func (m Merge) with(b Batch) Merge {
	for _, misfit := range b.Misfits {
		for _, e := range m.Work.Events {
			if e.Position == misfit.Position {
				m.Lost = append(m.Lost, Lost{Event: e.Event, Reason: misfit.Reason})
			}
		}
	}
	m.Work = b.Work
	return m
}
