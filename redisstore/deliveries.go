package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// successesKept is how many deliveries that arrived are recorded of a subscription.
const successesKept = 1000

// keptSuccesses is how many of them are in one partition.
func (s *Store) keptSuccesses() int { return (successesKept + len(s.keys) - 1) / len(s.keys) }

// appendSuccess appends what settle.lua records of a delivery that arrived.
func appendSuccess(b []byte, one *router.Settlement) []byte {
	entry, _, _ := strings.Cut(one.Claimed.Name, "#")
	b = append(append(b, entry...), ' ')
	b = append(strconv.AppendInt(b, one.Attempt.At.UnixMilli(), 10), ' ')
	b = append(strconv.AppendInt(b, time.Duration(one.Attempt.Duration).Milliseconds(), 10), ' ')
	b = append(strconv.AppendInt(b, int64(one.Attempt.StatusCode), 10), ' ')
	return append(strconv.AppendInt(b, int64(one.Claimed.Attempt), 10), '\n')
}

// delivery is the name of one: its subscription and its entry.
type delivery struct {
	subscription string
	entry        router.Entry
}

func (d delivery) record(status router.DeliveryStatus, attempts []router.Attempt) router.DeliveryRecord {
	return router.DeliveryRecord{
		ID: router.DeliveryID(d.subscription, d.entry), Subscription: d.subscription, Position: d.entry.Position, Status: status, Attempts: attempts,
	}
}

// Delivery returns one delivery; see router.DeliveryStore.
func (s *Store) Delivery(ctx context.Context, id string) (router.DeliveryRecord, error) {
	subscription, entry, err := router.ParseDeliveryID(id)
	if err != nil {
		return router.DeliveryRecord{}, err
	}
	r, ok, err := s.findDelivery(ctx, delivery{subscription, entry})
	if err == nil && !ok {
		err = router.Errorf(router.NotFound, "there is no delivery %q, or it arrived longer ago than is recorded", id)
	}
	return r, err
}

func (s *Store) findDelivery(ctx context.Context, d delivery) (r router.DeliveryRecord, ok bool, err error) {
	r, _, ok, err = s.locateDelivery(ctx, d)
	return r, ok, err
}

// locateDelivery finds a delivery under its own name, or under that which it has in an ordered queue, and returns which one that was.
func (s *Store) locateDelivery(ctx context.Context, d delivery) (r router.DeliveryRecord, name string, ok bool, err error) {
	partition := d.entry.Position.Partition
	if partition >= len(s.keys) {
		return r, "", false, nil
	}
	name = entryName(d.entry)
	if r, ok, err = s.findNamed(ctx, d, name); ok || err != nil {
		return r, name, ok, err
	}
	names, err := s.lanedNames(ctx, partition, []router.Entry{d.entry})
	if err != nil || names[0] == name {
		return r, name, false, err
	}
	r, ok, err = s.findNamed(ctx, d, names[0])
	return r, names[0], ok, err
}

func (s *Store) findNamed(ctx context.Context, d delivery, name string) (r router.DeliveryRecord, ok bool, err error) {
	id, k := d.subscription, s.keys[d.entry.Position.Partition]
	keys := []string{k.fresh(id), k.retries(id), k.leases(id), k.attempts(id), k.successes(id), k.dead(), k.waiting(id)}
	reply, err := s.run(ctx, s.scripts.Find, keys, name, entryName(d.entry)+" "+id)
	if err != nil {
		return r, false, unavailable(err, "look for a delivery")
	}
	words, err := stringsOf(reply, 1)
	if err != nil {
		return r, false, fmt.Errorf("look for a delivery: %w", err)
	}
	r, ok, err = d.read(words)
	if err != nil {
		err = fmt.Errorf("delivery %q: %w", name, err)
	}
	return r, ok, err
}

// read reads find's reply.
func (d delivery) read(words []string) (r router.DeliveryRecord, ok bool, err error) {
	in := replyReader{words: words}
	switch in.word() {
	case "leased":
		r, err = d.waiting(in.word())
		r.LeaseUntil = moment(in.word())
		r.Worker, r.Progress, r.Note = readReceiptNote(in.word())
	case "waiting":
		r, err = d.waiting(in.word())
		r.Next = moment(in.word())
	case "behind":
		r, err = d.waiting(in.word())
	case "fresh":
		r = d.record(router.DeliveryPending, nil)
	case "dead":
		var attempts []router.Attempt
		attempts, err = parseAttempts(in.word())
		r = d.record(router.DeliveryDead, attempts)
	case "delivered":
		return d.delivered(in.word())
	default:
		return r, false, nil
	}
	if err == nil {
		err = in.err
	}
	return r, true, err
}

// waiting is one that waits or is under way, with what the attempts hash has of it.
func (d delivery) waiting(attempts string) (router.DeliveryRecord, error) {
	status := router.DeliveryPending
	list, err := parseAttempts(attempts)
	if len(list) > 0 {
		status = router.DeliveryRetrying
	}
	return d.record(status, list), err
}

// delivered reads a record of settle.lua: entry, when, milliseconds, status, attempt; then a line for each attempt that failed.
func (d delivery) delivered(record string) (r router.DeliveryRecord, ok bool, err error) {
	head, _, _ := strings.Cut(record, "\n")
	words := strings.Fields(head)
	if len(words) != 5 {
		return r, false, fmt.Errorf("unexpected record %q", head)
	}
	attempts, err := parseAttempts(record)
	if err != nil {
		return r, false, err
	}
	took := time.Duration(counter(words[2])) * time.Millisecond
	attempts = append(attempts, router.Attempt{
		At: moment(words[1]), Duration: router.Duration(took), Outcome: router.OutcomeDelivered, StatusCode: int(counter(words[3])),
	})
	return d.record(router.DeliveryDelivered, attempts), true, nil
}

// readReceiptNote reads what claim.lua and extend.lua keep beside a receipt.
func readReceiptNote(text string) (worker, progress, note string) {
	head, rest, _ := strings.Cut(text, "\n")
	_, worker, _ = strings.Cut(head, " ")
	progress, note, _ = strings.Cut(rest, "\n")
	return worker, progress, note
}

// HastenDelivery makes one due now; see router.DeliveryStore.
func (s *Store) HastenDelivery(ctx context.Context, id string) (router.DeliveryRecord, error) {
	r, err := s.Delivery(ctx, id)
	if err != nil {
		return r, err
	}
	if r.Status == router.DeliveryDelivered || r.Status == router.DeliveryDead {
		return r, router.Errorf(router.Invalid, "delivery %q is %s; what is over is not attempted again, but a dead letter can be redriven", id, r.Status)
	}
	sub, err := s.Subscription(ctx, r.Subscription)
	if err != nil {
		return r, err
	}
	_, entry, err := router.ParseDeliveryID(id)
	if err != nil {
		return r, err
	}
	_, name, _, err := s.locateDelivery(ctx, delivery{sub.ID, entry})
	if err != nil {
		return r, err
	}
	k, q := s.keys[entry.Position.Partition], sub.Queue()
	keys := []string{k.gone(), s.scheduleKey(entry.Position.Partition, q.Kind), k.fresh(sub.ID), k.retries(sub.ID), k.leases(sub.ID), k.paused()}
	if _, err := s.run(ctx, s.scripts.Hasten, keys, sub.ID, q.MaxInFlight, name); err != nil {
		return r, unavailable(err, "make a delivery due")
	}
	return s.Delivery(ctx, id)
}

// Deliveries lists deliveries; see router.DeliveryStore.
func (s *Store) Deliveries(ctx context.Context, filter router.DeliveryFilter, cursor string, limit int) ([]router.DeliveryRecord, string, error) {
	at, err := parseDeliveryCursor(cursor, len(s.keys))
	if err != nil {
		return nil, "", err
	}
	l := deliveryList{store: s, filter: filter, at: at, limit: limit, budget: deadScan, found: []router.DeliveryRecord{}}
	for !l.full() && !l.at.done {
		if err := l.step(ctx); err != nil {
			return nil, "", err
		}
	}
	if l.at.done {
		return l.found, "", nil
	}
	return l.found, l.at.String(), nil
}

// The parts that a list goes through, for each subscription and partition. The dead letters come after all subscriptions.
const (
	partLeases = iota
	partRetries
	partBehind // others of their lanes
	partFresh
	partDelivered
	partsOfQueue
)

// deliveryCursor is where a list of deliveries goes on.
type deliveryCursor struct {
	subscription string // "" at the start; "dead" where only dead letters are left
	partition    int
	part         int
	offset       int64
	dead         string // where the list of dead letters goes on
	done         bool
}

const onlyDead = "dead"

func (c deliveryCursor) String() string {
	if c.subscription == onlyDead {
		return onlyDead + "." + c.dead
	}
	return fmt.Sprintf("%s.%d.%d.%d", c.subscription, c.partition, c.part, c.offset)
}

func parseDeliveryCursor(text string, partitions int) (c deliveryCursor, err error) {
	if text == "" {
		return c, nil
	}
	if rest, ok := strings.CutPrefix(text, onlyDead+"."); ok {
		return deliveryCursor{subscription: onlyDead, dead: rest}, nil // its list checks it
	}
	words := strings.Split(text, ".")
	if len(words) != 4 {
		return c, errBadCursor
	}
	c.subscription = words[0]
	var err1, err2, err3 error
	c.partition, err1 = strconv.Atoi(words[1])
	c.part, err2 = strconv.Atoi(words[2])
	c.offset, err3 = strconv.ParseInt(words[3], 10, 64)
	ref, err4 := router.ParseRef(router.SubscriptionID, c.subscription)
	if err1 != nil || err2 != nil || err3 != nil || err4 != nil || ref.ID == "" || c.String() != text ||
		c.partition < 0 || c.partition >= partitions || c.part < 0 || c.part >= partsOfQueue || c.offset < 0 {
		return c, errBadCursor
	}
	return c, nil
}

// deliveryList is one page in the making.
type deliveryList struct {
	store  *Store
	filter router.DeliveryFilter
	at     deliveryCursor
	limit  int
	budget int // how many entries and queues are looked at still
	found  []router.DeliveryRecord
}

func (l *deliveryList) full() bool { return len(l.found) >= l.limit || l.budget <= 0 }

// step looks at the next part of the list, and moves the cursor behind it.
func (l *deliveryList) step(ctx context.Context) error {
	l.budget--
	switch {
	case l.at.subscription == "":
		return l.nextSubscription(ctx)
	case l.at.subscription == onlyDead:
		return l.addDead(ctx)
	case l.filter.Event != nil:
		return l.addOfEvent(ctx)
	default:
		return l.addOfQueue(ctx)
	}
}

// nextSubscription goes to the one after that of the cursor that may have something, or to the dead letters.
func (l *deliveryList) nextSubscription(ctx context.Context) error {
	after, only := l.at.subscription, l.filter.Subscription
	next := deliveryCursor{subscription: onlyDead}
	switch {
	case l.filter.Status == router.DeliveryDead && l.filter.Event == nil:
	case only != "":
		if after == "" {
			next.subscription = only
		}
	default:
		ids, err := l.store.listIDs(ctx, subscriptionKind(), after, 1)
		if err != nil {
			return err
		}
		if len(ids) > 0 {
			next.subscription = ids[0]
		}
	}
	l.at = next
	return nil
}

// addDead adds dead letters. Those of an event were found with it.
func (l *deliveryList) addDead(ctx context.Context) error {
	if l.filter.Event != nil || l.filter.Status != "" && l.filter.Status != router.DeliveryDead {
		l.at.done = true
		return nil
	}
	letters, next, err := l.store.DeadLetters(ctx, router.DeadLetterFilter{Subscription: l.filter.Subscription}, l.at.dead, l.limit-len(l.found))
	if err != nil {
		return err
	}
	for _, d := range letters {
		if d.Subscription != "" {
			l.found = append(l.found, router.DeliveryRecord{ID: d.ID, Subscription: d.Subscription, Position: d.Position, Status: router.DeliveryDead, Attempts: d.Attempts})
		}
	}
	l.budget -= l.limit
	l.at.dead, l.at.done = next, next == ""
	return nil
}

// addOfEvent adds the delivery of an event to a subscription.
func (l *deliveryList) addOfEvent(ctx context.Context) error {
	l.budget -= 10
	r, ok, err := l.store.findDelivery(ctx, delivery{l.at.subscription, router.Entry{Position: *l.filter.Event}})
	if err != nil {
		return err
	}
	if ok && (l.filter.Status == "" || l.filter.Status == r.Status) {
		l.found = append(l.found, r)
	}
	return l.nextSubscription(ctx)
}

// addOfQueue adds what a part of a queue has.
func (l *deliveryList) addOfQueue(ctx context.Context) error {
	n := min(l.limit-len(l.found), l.budget+1)
	found, seen, err := l.readPart(ctx, int64(n))
	if err != nil {
		return err
	}
	l.budget -= seen
	for _, r := range found {
		if l.filter.Status == "" || l.filter.Status == r.Status {
			l.found = append(l.found, r)
		}
	}
	if l.at.offset += int64(seen); seen == n {
		return nil
	}
	l.at.part, l.at.offset = l.at.part+1, 0
	if l.at.part < partsOfQueue {
		return nil
	}
	if l.at.partition, l.at.part = l.at.partition+1, 0; l.at.partition < len(l.store.keys) {
		return nil
	}
	return l.nextSubscription(ctx)
}

// wants tells whether the filter's status can be found in a part.
func (l *deliveryList) wants(part int) bool {
	waits := l.filter.Status == router.DeliveryPending || l.filter.Status == router.DeliveryRetrying
	switch part {
	case partLeases, partRetries, partBehind:
		return l.filter.Status == "" || waits
	case partFresh:
		return l.filter.Status == "" || l.filter.Status == router.DeliveryPending
	default:
		return l.filter.Status == "" || l.filter.Status == router.DeliveryDelivered
	}
}

// readPart reads up to n deliveries of the part that the cursor is in, and tells how many entries it saw.
func (l *deliveryList) readPart(ctx context.Context, n int64) (found []router.DeliveryRecord, seen int, err error) {
	if !l.wants(l.at.part) {
		return nil, 0, nil
	}
	k, id, first, last := l.store.keys[l.at.partition], l.at.subscription, l.at.offset, l.at.offset+n-1
	switch l.at.part {
	case partLeases:
		return l.readWaiting(ctx, k.leases(id), first, last)
	case partRetries:
		return l.readWaiting(ctx, k.retries(id), first, last)
	case partBehind:
		return l.readWaiting(ctx, k.waiting(id), first, last)
	}
	key := k.fresh(id)
	if l.at.part == partDelivered {
		key = k.successes(id)
	}
	entries, err := l.store.reader.LRange(ctx, key, first, last).Result()
	if err != nil {
		return nil, 0, unavailable(err, "list deliveries")
	}
	for _, text := range entries {
		name, _, _ := strings.Cut(text, " ")
		entry, err := parseEntry(l.at.partition, name)
		if err != nil {
			continue // not ours; sending it will say so
		}
		d := delivery{id, entry}
		r, ok := d.record(router.DeliveryPending, nil), true
		if l.at.part == partDelivered {
			if r, ok, err = d.delivered(text); err != nil {
				return nil, 0, err
			}
		}
		if ok {
			found = append(found, r)
		}
	}
	return found, len(entries), nil
}

// readWaiting reads entries of a sorted set, with what is recorded of their attempts.
func (l *deliveryList) readWaiting(ctx context.Context, key string, first, last int64) (found []router.DeliveryRecord, seen int, err error) {
	entries, err := l.store.reader.ZRangeWithScores(ctx, key, first, last).Result()
	if err != nil {
		return nil, 0, unavailable(err, "list deliveries")
	}
	if len(entries) == 0 {
		return nil, 0, nil
	}
	names := make([]string, 0, 2*len(entries))
	for _, z := range entries {
		name, _ := z.Member.(string)
		name = name[strings.LastIndexByte(name, ' ')+1:] // behind others, its lane and its position stand before it
		names = append(names, name, name+receiptSuffix)
	}
	texts, err := l.store.reader.HMGet(ctx, l.store.keys[l.at.partition].attempts(l.at.subscription), names...).Result()
	if err != nil {
		return nil, 0, unavailable(err, "list deliveries")
	}
	for i, z := range entries {
		entry, err := parseEntry(l.at.partition, names[2*i])
		if err != nil {
			continue // not ours; sending it will say so
		}
		attempts, _ := texts[2*i].(string)
		r, err := delivery{l.at.subscription, entry}.waiting(attempts)
		if err != nil {
			return nil, 0, fmt.Errorf("delivery %q: %w", r.ID, err)
		}
		at := time.UnixMilli(int64(z.Score)).UTC()
		switch l.at.part {
		case partRetries:
			r.Next = at
		case partLeases:
			note, _ := texts[2*i+1].(string)
			r.LeaseUntil = at
			r.Worker, r.Progress, r.Note = readReceiptNote(note)
		}
		found = append(found, r)
	}
	return slices.Clip(found), len(entries), nil
}
