package redisstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// inboxBytes is how much one reading of an inbox brings, about.
const inboxBytes = 1 << 20

// An entry of an inbox begins with a line that says where it ends: stream ID, a space, target. Then come texts, each with its length before it: for each offer the
// trigger, its generation, the key's hash (16 bytes), the key, and the leaves (see leavesText); then one that is empty; and then the event, as the log has it.

func encodeForwarded(f router.Forwarded) string {
	var b strings.Builder
	b.WriteString(entryHead(f.End()))
	for i := range f.Offers {
		o := &f.Offers[i]
		for _, text := range []string{o.Trigger, strconv.FormatUint(o.Generation, 10), string(o.Hash[:]), o.Key, leavesText(o.Reset, o.Leaves)} {
			writeVarint(&b, len(text))
			b.WriteString(text)
		}
	}
	writeVarint(&b, 0)
	b.WriteString(f.Event.Encode())
	return b.String()
}

// cursorText writes a place among what was forwarded from one partition.
func cursorText(c router.Cursor) string { return c.Position.ID() + " " + c.Target }

func entryHead(end router.Cursor) string { return cursorText(end) + "\n" }

func parseCursorText(partition int, text string) (router.Cursor, error) {
	id, target, _ := strings.Cut(text, " ")
	return cursorOf(partition, id, target)
}

var errDamagedEntry = errors.New("an entry of an inbox is damaged")

// readForwarded reads an entry; of one that can't be read, it gives what is stored.
func readForwarded(from int, entry string) router.Forwarded {
	f, err := decodeForwarded(from, entry)
	if err != nil {
		return router.Forwarded{Position: router.Position{Partition: from}, Raw: entry}
	}
	return f
}

func decodeForwarded(from int, entry string) (router.Forwarded, error) {
	head, rest, ok := strings.Cut(entry, "\n")
	end, err := parseCursorText(from, head)
	if err != nil || !ok {
		return router.Forwarded{}, errDamagedEntry
	}
	f := router.Forwarded{Position: end.Position}
	for {
		texts := make([]string, 5)
		for i := range texts {
			if texts[i], rest, ok = cutText(rest); !ok {
				return f, errDamagedEntry
			}
			if i == 0 && texts[0] == "" {
				f.Event, err = router.DecodeEvent(rest)
				if len(f.Offers) == 0 {
					err = errDamagedEntry
				}
				return f, err
			}
		}
		offer, err := offerOf(texts)
		if err != nil {
			return f, err
		}
		f.Offers = append(f.Offers, offer)
	}
}

func cutText(s string) (text, rest string, ok bool) {
	n, rest, ok := cutVarint(s)
	if !ok || n > len(rest) {
		return "", "", false
	}
	return rest[:n], rest[n:], true
}

func offerOf(texts []string) (o router.ForwardedOffer, err error) {
	o = router.ForwardedOffer{Trigger: texts[0], Key: texts[3]}
	if o.Generation, err = strconv.ParseUint(texts[1], 10, 64); err != nil || copy(o.Hash[:], texts[2]) != len(o.Hash) {
		return o, errDamagedEntry
	}
	o.Reset, o.Leaves, err = parseLeaves(texts[4])
	return o, err
}

// parseLeaves reads what leavesText writes.
func parseLeaves(text string) (reset bool, leaves []router.MetLeaf, err error) {
	for word := range strings.SplitSeq(text, ",") {
		if word == "r" {
			reset = true
			continue
		}
		number, distinct, _ := strings.Cut(word, ":")
		leaf := router.MetLeaf{}
		if leaf.Leaf, err = strconv.Atoi(number); err != nil || len(distinct) > 2*len(leaf.Distinct) {
			return reset, nil, errDamagedEntry
		}
		if _, err = hex.Decode(leaf.Distinct[:], []byte(distinct)); err != nil {
			return reset, nil, errDamagedEntry
		}
		leaves = append(leaves, leaf)
	}
	return reset, leaves, nil
}

// Forward brings entries into an inbox; see router.ForwardStore. Where it matters, Redis' replicas have the events before anything elsewhere comes of them, and have
// the entries before the cursor moves past them.
func (s *Store) Forward(ctx context.Context, f router.Forward) (router.ApplyStatus, router.Cursor, error) {
	if err := s.awaitReplicas(ctx, f.From); err != nil {
		return router.Fenced, f.After, unconfirmed(err, "forward events")
	}
	k := s.keys[f.To]
	args := make([]any, 0, 4+len(f.Entries))
	args = append(args, f.Token, f.From, cursorText(f.After), cursorText(f.Entries[len(f.Entries)-1].End()))
	for _, e := range f.Entries {
		args = append(args, encodeForwarded(e))
	}
	reply, err := s.runAndWait(ctx, s.scripts.Forward, []string{k.state(), k.forwarded(), k.inbox(f.From)}, args...)
	if err != nil {
		return router.Fenced, f.After, unconfirmed(err, "forward events")
	}
	words, err := stringsOf(reply, 2)
	if err != nil {
		return router.Fenced, f.After, fmt.Errorf("forward events: %w", err)
	}
	if words[0] == "stale" {
		return router.Stale, f.After, nil
	}
	last, err := parseCursorText(f.From, words[1])
	if words[0] == "done" {
		return router.Done, last, err
	}
	return router.Fenced, last, err
}

// HoldUp says why forwarding stands still; see router.ForwardStore.
func (s *Store) HoldUp(ctx context.Context, partition int, reason string) error {
	key := s.keys[partition].state()
	err := s.writer.HSet(ctx, key, "held_up", reason).Err()
	return wrapped(err, "say that forwarding is held up")
}

// Mark tells how far a partition is with forwarding; see router.ForwardStore.
func (s *Store) Mark(ctx context.Context, partition int, wanted int64) (int64, error) {
	k := s.keys[partition]
	reply, err := s.runAndWait(ctx, s.scripts.Mark, []string{k.state(), k.log()}, wanted)
	if err != nil {
		return 0, unavailable(err, "learn how far a partition is")
	}
	text, _ := reply.(string)
	t, err := strconv.ParseInt(text, 10, 64)
	return t, wrapped(err, "learn how far a partition is")
}

// ReadInbox reads the beginning of an inbox; see router.ForwardStore.
func (s *Store) ReadInbox(ctx context.Context, partition int) (router.Inbox, error) {
	k := s.keys[partition]
	keys := []string{k.state()}
	for from := range s.keys {
		keys = append(keys, k.inbox(from))
	}
	reply, err := s.run(ctx, s.scripts.Inbox, keys, inboxBytes/len(s.keys))
	if err != nil {
		return router.Inbox{}, unavailable(err, "read an inbox")
	}
	words, err := stringsOf(reply, 2+2*len(s.keys))
	if err != nil {
		return router.Inbox{}, fmt.Errorf("read an inbox: %w", err)
	}
	inbox, err := readInbox(len(s.keys), words)
	if err != nil {
		return inbox, fmt.Errorf("read the inbox of partition %d: %w", partition, err)
	}
	return inbox, nil
}

func readInbox(partitions int, words []string) (router.Inbox, error) {
	inbox := router.Inbox{Lists: make([]router.InboxList, partitions)}
	if words[0] != "" {
		position, err := router.ParsePosition(words[0])
		if err != nil {
			return inbox, err
		}
		inbox.Cursor = router.Cursor{Position: position, Target: words[1]}
	}
	r := replyReader{words: words[2:]}
	for from := range inbox.Lists {
		list := &inbox.Lists[from]
		list.More = r.word() == "more"
		for range r.integer() {
			list.Entries = append(list.Entries, readForwarded(from, r.word()))
		}
	}
	return inbox, r.err
}

// Merge applies a batch of an inbox; see router.ForwardStore.
func (s *Store) Merge(ctx context.Context, m router.Merge) (router.Applied, error) {
	keys, args := s.mergeCall(m)
	reply, err := s.run(ctx, s.scripts.Merge, keys, args...)
	if err != nil {
		return router.Applied{}, unavailable(err, "apply forwarded events")
	}
	words, err := stringsOf(reply, 1)
	if err != nil {
		return router.Applied{}, fmt.Errorf("apply forwarded events: %w", err)
	}
	switch words[0] {
	case "fenced":
		return router.Applied{Status: router.Fenced}, nil
	case "stale":
		return router.Applied{Status: router.Stale}, nil
	case "unusable":
		unfit, err := readUnfit(m.Work, words[1:])
		return router.Applied{Status: router.Unusable, Unusable: unfit}, err
	}
	r := replyReader{words: words[1:]}
	n := r.integer()
	if words[0] == "heavy" {
		return router.Applied{Status: router.Heavy, Offers: n}, r.err
	}
	applied := router.Applied{Status: router.Done, Cursor: m.To, Firings: n}
	return applied, errors.Join(r.err, s.tellOfFirings(m.Partition, n, &r))
}

func (s *Store) mergeCall(m router.Merge) (keys []string, args []any) {
	k := s.keys[m.Partition]
	keys = append(keys, k.state(), k.log(), k.copies(), k.holds(), k.dead(), k.deadAt(), k.triggers())
	args = append(args, mergedText(m.From), m.From.Target, m.Token, mergedText(m.To), m.To.Target, m.Before, misfitRecord(loopReason), len(m.Taken))
	for _, t := range m.Taken {
		keys, args = append(keys, k.inbox(t.From)), append(args, t.N, beginning(t.Last))
	}
	keys, args = s.appendWork(k, m.Work, keys, args)
	for _, lost := range m.Lost {
		encoded := lost.Raw
		if encoded == "" {
			encoded = lost.Event.Encode()
		}
		args = append(args, misfitRecord(lost.Reason), encoded)
	}
	return keys, args
}

// beginning is what an entry begins with that is no other one's.
func beginning(f router.Forwarded) string {
	if f.Raw != "" {
		return f.Raw
	}
	return entryHead(f.End())
}

// mergedText writes how far an inbox is applied; nothing of it yet is "".
func mergedText(c router.Cursor) string {
	if c.Target == "" {
		return ""
	}
	return c.Position.String()
}
