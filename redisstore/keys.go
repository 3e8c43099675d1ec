package redisstore

import (
	"hash/fnv"
	"strconv"
)

// Every key is built here, as <namespace>:{p}:<name>, where p is a partition's number: the hash tag puts all keys of a partition into one
// slot. Text from users is never part of a key.
//
//	name           type    content                                                        lifetime
//	state          hash    cursor, target: how far the log is applied; token: definitions; permanent
//	                       owner, lease; floor, seq: last stream ID given out; window,
//	                       ring0…2: dedupe; size: mean size of an entry; horizon: see
//	                       retention.go; stored, routed: events ever; dead_expired:
//	                       dead letters removed; pauses: of queues, and their ends;
//	                       waits: calls that waited for replicas;
//	                       merged, merged_target: how far the inbox is applied; held_up:
//	                       why forwarding stands still
//	log            stream  all accepted events, one field "e": Event.Encode               retention
//	seen0…2        hash    event identity → fingerprint, place, nonce of its call;        1 to 1.5 dedupe windows
//	                       nonce → stream ID of the call's first event
//	ready          zset    subscription → when to look at its queue                       while it has work
//	handlers       zset    the same for Go handlers                                       while it has work
//	pulls          zset    the same for queues that workers pull from                     while it has work
//	copies         hash    stream ID → event; "#"+stream ID → number of holders           while somebody holds it
//	holds          hash    stream ID + " " + holder → ""                                  while somebody holds it
//	dead           hash    entry + " " + subscription → attempts                          dead-letter retention
//	dead_at        zset    the same → when it became one                                  dead-letter retention
//	announced      list    the last 200 changes of definitions: version and last ID     permanent
//	gone           hash    deleted subscription → last ID that may be queued for it       until its queue is removed
//	paused         hash    paused subscription → since when, a space, and the reason      until it is resumed
//	open           hash    subscription whose home this is and whose breaker is open →    until it is closed
//	                       from when on it lets an attempt through
//	q:<sub>        list    fresh deliveries: entries in log order                         until taken
//	r:<sub>        zset    entry → when it is tried again                                 until taken
//	l:<sub>        zset    entry → when its lease runs out, which also names the lease     until settled
//	a:<sub>        hash    entry → number of attempts, then a line for each that failed;  until settled
//	                       entry + " receipt" → who has pulled it: scripts/common.lua
//	s:<sub>        list    the last 1,000 deliveries that arrived, over all partitions:   the subscription's
//	                       entry, when, milliseconds, status, attempt; then a line for
//	                       each that failed before
//	c:<sub>        hash    counters: popped (entries ever taken from q), delivered, dead, the subscription's
//	                       not_queued, over_cap, last_success, last_failure, last_error
//	o:<sub>        hash    of an ordered queue: lane → the entry that is its first, which no other   while it is not done
//	                       one of the lane is leased before
//	w:<sub>        zset    lane + " " + position + " " + entry, behind others of its lane   until it is its first
//	triggers       zset    trigger + ":" + generation → when to look at its partials:     while it has any
//	                       no later than the first of them needs it, or +inf
//	t:<trg>:<gen>  zset    hash of a key → the next deadline of its partial, or when      while it has partials
//	                       that can't fire any more, +inf for never
//	t:<trg>:<gen>:<hash>
//	               hash    a partial: see scripts/partial.lua                             until it has fired or is of no use
//	               string  the same, of a trigger that wants a pair
//	tc:<trg>       hash    the trigger's counters: firings, suppressed, key_missing,      the trigger's
//	                       over_cap, ignored, loops, deadlines_dropped, partials_dropped
//	forwarded      hash    partition → the last thing that was forwarded from it         permanent
//	in:<p>         list    what was forwarded from partition p and is not applied: see    until applied
//	                       redisstore/forward.go
//	o:<op>         hash    how far an operation is in this partition: cursor; end; what     a week after its last step
//	                       it has done
//	p:<sub>        zset    permits in flight, in the subscription's home partition        until given back
//	b:<sub>        hash    its breaker, in the same place: failures in a row, since when, until a delivery is made
//	                       pauses: how often a probe failed, probe: the one under way
//	n:<sub>        string  permits of its rate that count, in the same place              until they do not
//
// Only in partition 0:
//
//	meta           hash    format: of what is stored; partitions; version: of definitions; permanent
//	                       forgotten: of the newest deletion not in deleted; replays: ever
//	versions       zset    id of a definition → version of its last change                the definition's
//	deleted        zset    id → version of its deletion, the last 10,000                  until others push it out
//	<kind>         hash    of each kind, subs, trgs and srcs: id → name, newline,        the definition's
//	                       document, its secrets sealed where there is a key
//	<kind>:names   hash    name → id                                                      the definition's
//	<kind>:ids     zset    ids, all with score 0                                          the definition's
//	notices        hash    version of a definition → event that tells of the change       until it is in the log
//	sc:<src>       hash    the source's counters: accepted, duplicate, changed,           the source's
//	                       rejected, limited, failed
//	op:<op>        string  an operation: JSON                                             a week after its end
//	ops            zset    operations under way → when somebody works on each next         while they are
//	ops:same       hash    digest of what one does → its id                                while it is under way
//	replicas       hash    replica → what it says of itself                               while it says so
//	replicas:seen  zset    replica → when it said so                                      while it says so
//
// An entry is a stream ID, followed by a suffix where an event is delivered to a subscription more than once, and in an ordered queue by "#" and its lane.
type keys struct {
	prefix string // "sl:{0}:"
}

func partitionKeys(namespace string, partition int) keys {
	return keys{prefix: namespace + ":{" + strconv.Itoa(partition) + "}:"}
}

func (k keys) state() string     { return k.prefix + "state" }
func (k keys) log() string       { return k.prefix + "log" }
func (k keys) ready() string     { return k.prefix + "ready" }
func (k keys) handlers() string  { return k.prefix + "handlers" }
func (k keys) pulls() string     { return k.prefix + "pulls" }
func (k keys) copies() string    { return k.prefix + "copies" }
func (k keys) holds() string     { return k.prefix + "holds" }
func (k keys) dead() string      { return k.prefix + "dead" }
func (k keys) deadAt() string    { return k.prefix + "dead_at" }
func (k keys) gone() string      { return k.prefix + "gone" }
func (k keys) announced() string { return k.prefix + "announced" }
func (k keys) paused() string    { return k.prefix + "paused" }
func (k keys) open() string      { return k.prefix + "open" }

func (k keys) seen(slot int) string { return k.prefix + "seen" + strconv.Itoa(slot) }

func (k keys) fresh(subscription string) string     { return k.prefix + "q:" + subscription }
func (k keys) retries(subscription string) string   { return k.prefix + "r:" + subscription }
func (k keys) leases(subscription string) string    { return k.prefix + "l:" + subscription }
func (k keys) attempts(subscription string) string  { return k.prefix + "a:" + subscription }
func (k keys) counters(subscription string) string  { return k.prefix + "c:" + subscription }
func (k keys) successes(subscription string) string { return k.prefix + "s:" + subscription }
func (k keys) progress(operation string) string     { return k.prefix + "o:" + operation }
func (k keys) permits(subscription string) string   { return k.prefix + "p:" + subscription }
func (k keys) rate(subscription string) string      { return k.prefix + "n:" + subscription }
func (k keys) lanes(subscription string) string     { return k.prefix + "o:" + subscription }
func (k keys) waiting(subscription string) string   { return k.prefix + "w:" + subscription }
func (k keys) breaker(subscription string) string   { return k.prefix + "b:" + subscription }

func (k keys) forwarded() string     { return k.prefix + "forwarded" }
func (k keys) inbox(from int) string { return k.prefix + "in:" + strconv.Itoa(from) }

func (k keys) triggers() string                      { return k.prefix + "triggers" }
func (k keys) partials(trigger string) string        { return k.prefix + "t:" + trigger }
func (k keys) partial(trigger, hash string) string   { return k.partials(trigger) + ":" + hash }
func (k keys) triggerCounters(trigger string) string { return k.prefix + "tc:" + trigger }

// generation names a generation of a trigger.
func generation(trigger string, n uint64) string { return trigger + ":" + strconv.FormatUint(n, 10) }

func (k keys) meta() string     { return k.prefix + "meta" }
func (k keys) versions() string { return k.prefix + "versions" }
func (k keys) deleted() string  { return k.prefix + "deleted" }

func (k keys) documents(kind definitionKind) string { return k.prefix + kind.key }
func (k keys) names(kind definitionKind) string     { return k.prefix + kind.key + ":names" }
func (k keys) ids(kind definitionKind) string       { return k.prefix + kind.key + ":ids" }

func (k keys) notices() string { return k.prefix + "notices" }

func (k keys) sourceCounters(source string) string { return k.prefix + "sc:" + source }
func (k keys) operation(id string) string          { return k.prefix + "op:" + id }
func (k keys) operations() string                  { return k.prefix + "ops" }
func (k keys) sameOperation() string               { return k.prefix + "ops:same" }

func (k keys) replicas() string     { return k.prefix + "replicas" }
func (k keys) replicasSeen() string { return k.prefix + "replicas:seen" }

// home is the partition where a subscription's permits are.
func home(subscription string, partitions int) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(subscription)) // a hash never fails
	return int(h.Sum32() % uint32(partitions))
}
