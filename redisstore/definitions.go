package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamlatch/streamlatch/router"
)

// A definition is stored in partition 0 and becomes binding when its version has been announced in every partition: see announce.lua.

const definitionsPage = 1000

// Definitions returns what has changed since a version; see router.DefinitionStore.
func (s *Store) Definitions(ctx context.Context, since uint64) (router.Definitions, error) {
	d := router.Definitions{Version: since, Complete: since == 0}
	var err error
	if d.Tokens, err = s.tokens(ctx); err != nil {
		return d, err
	}
	for {
		page, err := s.readChanges(ctx, d.Version)
		if err != nil {
			return d, err
		}
		if !d.Complete && page.forgotten > d.Version {
			d.Version, d.Complete = 0, true // deletions since then are not listed any more: all is read anew
			continue
		}
		if err := s.addChanges(ctx, &d, page); err != nil {
			return d, err
		}
		if !page.more {
			return d, s.completeAnnouncements(ctx, d)
		}
	}
}

func (s *Store) tokens(ctx context.Context) ([]string, error) {
	pipe := s.reader.Pipeline()
	calls := make([]*redis.StringCmd, len(s.keys))
	for p, k := range s.keys {
		calls[p] = pipe.HGet(ctx, k.state(), "token")
	}
	if _, err := pipe.Exec(ctx); ignoreNil(err) != nil {
		return nil, unavailable(err, "read the definitions' tokens")
	}
	tokens := make([]string, len(calls))
	for p, call := range calls {
		tokens[p] = call.Val()
	}
	return tokens, nil
}

// changes are a page of changes, of one moment, in the order of their versions.
type changes struct {
	changed, deleted []redis.Z
	through          uint64 // the page has all changes up to this version
	more             bool
	forgotten        uint64
}

// readChanges reads the next page of changes. A definition that changes after that comes again under its new version.
func (s *Store) readChanges(ctx context.Context, since uint64) (changes, error) {
	k := s.keys[0]
	reply, err := s.ask(ctx, s.scripts.Changes, []string{k.versions(), k.deleted(), k.meta()}, strconv.FormatUint(since, 10), definitionsPage)
	if err != nil {
		return changes{}, unavailable(err, "read changed definitions")
	}
	words, err := stringsOf(reply, 3)
	if err != nil {
		return changes{}, fmt.Errorf("read changed definitions: %w", err)
	}
	r := replyReader{words: words}
	c := changes{through: since, forgotten: uint64(counter(r.word()))}
	c.changed, c.deleted = r.scored(), r.scored()
	if r.err != nil {
		return changes{}, fmt.Errorf("read changed definitions: %w", r.err)
	}
	for _, list := range [][]redis.Z{c.changed, c.deleted} {
		if len(list) > 0 {
			c.through = max(c.through, uint64(list[len(list)-1].Score))
		}
	}
	for _, list := range [][]redis.Z{c.changed, c.deleted} {
		if len(list) == definitionsPage {
			c.through, c.more = min(c.through, uint64(list[len(list)-1].Score)), true
		}
	}
	return c, nil
}

// scored reads members of a sorted set: how many, and for each its name and its score.
func (r *replyReader) scored() (list []redis.Z) {
	for n := r.integer(); n > 0 && r.err == nil; n-- {
		list = append(list, redis.Z{Member: r.word(), Score: float64(r.integer())})
	}
	return list
}

// addChanges adds a page to what has changed.
func (s *Store) addChanges(ctx context.Context, d *router.Definitions, page changes) error {
	for _, z := range page.deleted {
		if id, _ := z.Member.(string); uint64(z.Score) <= page.through {
			addDeleted(d, id)
		}
	}
	var ids []string
	var versions []uint64
	for _, z := range page.changed {
		if id, _ := z.Member.(string); uint64(z.Score) <= page.through {
			ids, versions = append(ids, id), append(versions, uint64(z.Score))
		}
	}
	d.Version = page.through
	if len(ids) == 0 {
		return nil
	}
	documents, err := s.readDocuments(ctx, ids)
	if err != nil {
		return err
	}
	for i, id := range ids {
		if err := s.addChange(d, id, versions[i], documents[id]); err != nil {
			return err
		}
	}
	return nil
}

// readDocuments reads the documents of definitions of all kinds; what there is none of is not among them.
func (s *Store) readDocuments(ctx context.Context, ids []string) (map[string]string, error) {
	pipe := s.reader.Pipeline()
	calls := make([]*redis.StringCmd, len(ids))
	for i, id := range ids {
		calls[i] = pipe.HGet(ctx, s.keys[0].documents(kindOf(id)), id)
	}
	if _, err := pipe.Exec(ctx); ignoreNil(err) != nil {
		return nil, unavailable(err, "read changed definitions")
	}
	documents := make(map[string]string, len(ids))
	for i, call := range calls {
		if call.Err() == nil {
			documents[ids[i]] = call.Val()
		}
	}
	return documents, nil
}

// addDeleted says that a definition is gone.
func addDeleted(d *router.Definitions, id string) {
	switch kindOf(id) {
	case triggerKind():
		d.DeletedTriggers = append(d.DeletedTriggers, id)
	case sourceKind():
		d.DeletedSources = append(d.DeletedSources, id)
	default:
		d.Deleted = append(d.Deleted, id)
	}
}

// addChange says what a definition is now; without a document it was deleted after its version was read.
func (s *Store) addChange(d *router.Definitions, id string, version uint64, document string) error {
	if document == "" {
		addDeleted(d, id)
		return nil
	}
	switch kindOf(id) {
	case triggerKind():
		return addDecoded(&d.Triggers, decodeTrigger, id, version, document)
	case sourceKind():
		return addDecoded(&d.Sources, s.decodeSource, id, version, document)
	}
	return addDecoded(&d.Subscriptions, s.decodeSubscription, id, version, document)
}

func addDecoded[T any](list *[]T, decode func(document string, version uint64) (T, error), id string, version uint64, document string) error {
	one, err := decode(document, version)
	*list = append(*list, one)
	return wrapDefinition(err, id)
}

func wrapDefinition(err error, id string) error {
	if err != nil {
		return fmt.Errorf("definition %q: %w", id, err)
	}
	return nil
}

// completeAnnouncements announces the version that was read wherever a change died before it came to that.
func (s *Store) completeAnnouncements(ctx context.Context, d router.Definitions) error {
	for p, token := range d.Tokens {
		if announcedVersion(token) >= d.Version {
			continue
		}
		if err := s.announceIn(ctx, p, d.Version); err != nil {
			return err
		}
	}
	return nil
}

func announcedVersion(token string) uint64 {
	digits, _, _ := strings.Cut(token, ".")
	version, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return version
}

// announce makes a version binding in every partition.
func (s *Store) announce(ctx context.Context, version uint64) error {
	for p := range s.keys {
		if err := s.announceIn(ctx, p, version); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) announceIn(ctx context.Context, partition int, version uint64) error {
	k := s.keys[partition]
	text := strconv.FormatUint(version, 10)
	return s.insist(ctx, "announce a change", func() error {
		args := []any{text, text + "." + rand.Text()}
		deleted, err := s.unannounced(ctx, partition, text)
		if err != nil {
			return err
		}
		for _, id := range deleted {
			if kindOf(id) == subscriptionKind() { // others have no queues
				args = append(args, id)
			}
		}
		_, err = s.run(ctx, s.scripts.Announce, []string{k.state(), k.announced(), k.gone(), k.ready(), k.handlers(), k.pulls()}, args...)
		return err
	})
}

// unannounced are the deletions up to a version that a partition may not have heard of. One that died before it was announced is among them, also
// when nobody has noticed before the next change.
func (s *Store) unannounced(ctx context.Context, partition int, version string) ([]string, error) {
	token, err := s.reader.HGet(ctx, s.keys[partition].state(), "token").Result()
	if ignoreNil(err) != nil {
		return nil, fmt.Errorf("read the definitions' token: %w", err)
	}
	since := strconv.FormatUint(announcedVersion(token), 10)
	deleted, err := s.reader.ZRangeByScore(ctx, s.keys[0].deleted(), &redis.ZRangeBy{Min: "(" + since, Max: version}).Result()
	if err != nil {
		return nil, fmt.Errorf("read deletions: %w", err)
	}
	return deleted, nil
}

// insist repeats a call that is safe to repeat, until it is answered or ctx ends, at most for the commit budget.
func (s *Store) insist(ctx context.Context, doing string, call func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, commitBudget, errors.New("Redis did not answer in time"))
	defer cancel()
	for {
		err := call()
		if err == nil {
			return nil
		}
		if !repeatable(err) || !pause(ctx, repeatPause) {
			return unavailable(err, doing)
		}
	}
}

// definitionKind is a kind of definitions: how they are called and where they are.
type definitionKind struct {
	key  string        // begins the names of their keys
	id   router.IDKind // begins their ids
	noun string
}

func subscriptionKind() definitionKind {
	return definitionKind{"subs", router.SubscriptionID, "subscription"}
}
func triggerKind() definitionKind { return definitionKind{"trgs", router.TriggerID, "trigger"} }
func sourceKind() definitionKind  { return definitionKind{"srcs", router.SourceID, "source"} }

// kindOf is the kind that an id belongs to.
func kindOf(id string) definitionKind {
	for _, kind := range [...]definitionKind{triggerKind(), sourceKind()} {
		if strings.HasPrefix(id, string(kind.id)+"_") {
			return kind
		}
	}
	return subscriptionKind()
}

// stamp gives a new definition its id and the time.
func (s *Store) stamp(ctx context.Context, kind definitionKind) (id string, now time.Time, err error) {
	if now, err = s.now(ctx); err != nil {
		return "", now, err
	}
	if id, err = router.NewID(kind.id, now, rand.Reader); err != nil {
		return "", now, fmt.Errorf("make an id: %w", err)
	}
	return id, now, nil
}

// definition is a change of one definition.
type definition struct {
	id       string
	expected string // version that must be the present one; isNew; "any"
	name     string // new name; empty: it is deleted
	document []byte
	notice   string // an event that tells of it, encoded; empty: none does
}

// isNew is the version of a definition that there must not be yet.
const isNew = "0"

// define makes a change where the version is the expected one, and makes it binding. It returns the new version.
func (s *Store) define(ctx context.Context, kind definitionKind, d definition) (uint64, error) {
	version, err := s.callDefine(ctx, kind, d)
	if err != nil {
		return 0, err
	}
	return version, s.announce(ctx, version)
}

// undefine deletes a definition if its version is still that; 0 is any.
func (s *Store) undefine(ctx context.Context, kind definitionKind, id string, version uint64) error {
	expected := "any"
	if version != 0 {
		expected = strconv.FormatUint(version, 10)
	}
	_, err := s.define(ctx, kind, definition{id: id, expected: expected})
	return err
}

func (s *Store) callDefine(ctx context.Context, kind definitionKind, d definition) (uint64, error) {
	k := s.keys[0]
	keys := []string{k.meta(), k.documents(kind), k.names(kind), k.versions(), k.ids(kind), k.deleted(), k.notices()}
	script := s.scripts.Redefine
	if d.expected == isNew {
		script = s.scripts.Define
	}
	reply, err := s.run(ctx, script, keys, d.id, d.expected, d.name, string(d.document), d.notice)
	if err != nil {
		return 0, unavailable(err, "store a definition")
	}
	words, err := stringsOf(reply, 1)
	if err != nil {
		return 0, fmt.Errorf("store a definition: %w", err)
	}
	switch words[0] {
	case "missing":
		return 0, router.Errorf(router.NotFound, "there is no %s %q", kind.noun, d.id)
	case "changed":
		return 0, router.Errorf(router.Precondition, "%s %q has changed since", kind.noun, d.id)
	case "taken":
		return 0, router.Errorf(router.Conflict, "there is a %s named %q already", kind.noun, d.name)
	}
	return strconv.ParseUint(words[1], 10, 64)
}

// resolve finds the id of a definition that a caller refers to; "" where there is no such name.
func (s *Store) resolve(ctx context.Context, kind definitionKind, ref string) (string, error) {
	parsed, err := router.ParseRef(kind.id, ref)
	if err != nil || parsed.ID != "" {
		return parsed.ID, err
	}
	id, err := s.reader.HGet(ctx, s.keys[0].names(kind), parsed.Name).Result()
	if ignoreNil(err) != nil {
		return "", unavailable(err, "look a "+kind.noun+" up")
	}
	return id, nil
}

// readDefinitions returns those of the ids that there are.
func readDefinitions[T any](ctx context.Context, s *Store, kind definitionKind, ids []string, decode func(document string, version uint64) (T, error)) ([]T, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = id
	}
	reply, err := s.ask(ctx, s.scripts.Documents, []string{s.keys[0].documents(kind), s.keys[0].versions()}, args...)
	if err != nil {
		return nil, unavailable(err, "read "+kind.noun+"s")
	}
	words, err := stringsOf(reply, 2*len(ids))
	if err != nil {
		return nil, fmt.Errorf("read %ss: %w", kind.noun, err)
	}
	var found []T
	for i, id := range ids {
		if text := words[2*i]; text != "" {
			one, err := decode(text, uint64(counter(words[2*i+1])))
			if err != nil {
				return nil, wrapDefinition(err, id)
			}
			found = append(found, one)
		}
	}
	return found, nil
}

// readDefinition returns the one that a caller refers to.
func readDefinition[T any](ctx context.Context, s *Store, kind definitionKind, ref string, decode func(document string, version uint64) (T, error)) (one T, err error) {
	id, err := s.resolve(ctx, kind, ref)
	if err != nil {
		return one, err
	}
	found, err := readDefinitions(ctx, s, kind, []string{id}, decode)
	if err != nil {
		return one, err
	}
	if len(found) == 0 {
		return one, router.Errorf(router.NotFound, "there is no %s %q", kind.noun, ref)
	}
	return found[0], nil
}

// listIDs returns the next ids of a kind, in order.
func (s *Store) listIDs(ctx context.Context, kind definitionKind, after string, limit int) ([]string, error) {
	start := "-"
	if after != "" {
		start = "(" + after
	}
	ids, err := s.reader.ZRangeByLex(ctx, s.keys[0].ids(kind), &redis.ZRangeBy{Min: start, Max: "+", Count: int64(limit)}).Result()
	if err != nil {
		return nil, unavailable(err, "list "+kind.noun+"s")
	}
	return ids, nil
}

// documentIn is the definition in what is stored of it: the name, a newline, the definition.
func documentIn(stored string) []byte {
	_, document, _ := strings.Cut(stored, "\n")
	return []byte(document)
}

// now is Redis' clock.
func (s *Store) now(ctx context.Context) (time.Time, error) {
	now, err := s.reader.Time(ctx).Result()
	if err != nil {
		return now, unavailable(err, "read Redis' clock")
	}
	return now.UTC().Truncate(time.Millisecond), nil
}
