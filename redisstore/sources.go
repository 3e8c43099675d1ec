package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/streamlatch/streamlatch/router"
)

// CreateSource stores a new one; see router.SourceStore.
func (s *Store) CreateSource(ctx context.Context, src router.Source) (router.Source, error) {
	id, now, err := s.stamp(ctx, sourceKind())
	if err != nil {
		return src, err
	}
	src.ID, src.Created, src.Updated = id, now, now
	src.Version, err = s.define(ctx, sourceKind(), definition{id: id, expected: isNew, name: src.Name, document: s.storedSource(src)})
	return src, err
}

// ReplaceSource changes one; see router.SourceStore.
func (s *Store) ReplaceSource(ctx context.Context, src router.Source) (router.Source, error) {
	now, err := s.now(ctx)
	if err != nil {
		return src, err
	}
	src.Updated = now
	expected := strconv.FormatUint(src.Version, 10)
	src.Version, err = s.define(ctx, sourceKind(), definition{id: src.ID, expected: expected, name: src.Name, document: s.storedSource(src)})
	return src, err
}

// DeleteSource removes one; see router.SourceStore.
func (s *Store) DeleteSource(ctx context.Context, id string, version uint64) error {
	if err := s.undefine(ctx, sourceKind(), id, version); err != nil {
		return err
	}
	if err := s.writer.Del(ctx, s.keys[0].sourceCounters(id)).Err(); err != nil {
		return unavailable(err, "remove the counters of a source")
	}
	return nil
}

// Source returns one; see router.SourceStore.
func (s *Store) Source(ctx context.Context, ref string) (router.Source, error) {
	return readDefinition(ctx, s, sourceKind(), ref, s.decodeSource)
}

// Sources lists them; see router.SourceStore.
func (s *Store) Sources(ctx context.Context, after string, limit int) ([]router.Source, error) {
	ids, err := s.listIDs(ctx, sourceKind(), after, limit)
	if err != nil {
		return nil, err
	}
	return readDefinitions(ctx, s, sourceKind(), ids, s.decodeSource)
}

// SourceCounts tells what one has counted; see router.SourceStore.
func (s *Store) SourceCounts(ctx context.Context, id string) (router.SourceCounts, error) {
	c, err := s.reader.HGetAll(ctx, s.keys[0].sourceCounters(id)).Result()
	if err != nil {
		return router.SourceCounts{}, unavailable(err, "read the counters of a source")
	}
	return router.SourceCounts{
		Accepted: counter(c["accepted"]), Duplicate: counter(c["duplicate"]), Changed: counter(c["changed"]), Rejected: counter(c["rejected"]),
		Limited: counter(c["limited"]), Failed: counter(c["failed"]),
	}, nil
}

// CountSource adds to what one has counted; see router.SourceStore.
func (s *Store) CountSource(ctx context.Context, id string, c router.SourceCounts) error {
	args := []any{id}
	for _, one := range []struct {
		name  string
		count int64
	}{
		{"accepted", c.Accepted}, {"duplicate", c.Duplicate}, {"changed", c.Changed}, {"rejected", c.Rejected}, {"limited", c.Limited}, {"failed", c.Failed},
	} {
		if one.count != 0 {
			args = append(args, one.name, one.count)
		}
	}
	k := s.keys[0]
	if _, err := s.run(ctx, s.scripts.Count, []string{k.documents(sourceKind()), k.sourceCounters(id)}, args...); err != nil {
		return unavailable(err, "count for a source")
	}
	return nil
}

// storedSource is what is stored of one: its secrets are sealed.
func (s *Store) storedSource(src router.Source) []byte {
	return router.AppendStoredSource(nil, src.MapSecrets(s.sealer(sourceKind(), src.ID)))
}

func (s *Store) decodeSource(stored string, version uint64) (router.Source, error) {
	src, err := router.DecodeStoredSource(documentIn(stored))
	if err != nil {
		return src, err
	}
	o := s.opener(sourceKind(), src.ID)
	src = src.MapSecrets(o.open)
	src.Version = version
	return src, o.err
}

// resealSource keeps what a newer version of this program may have stored beside the secrets.
func (s *Store) resealSource(id, document string) (string, error) {
	stored, err := router.DecodeStoredSource([]byte(document))
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(stored.Secrets, func(secret string) bool { return !s.config.Secrets.Current(secret) }) {
		return document, nil
	}
	o := s.opener(sourceKind(), id)
	opened := stored.MapSecrets(o.open)
	if o.err != nil {
		return "", o.err
	}
	changed, err := router.MergePatch([]byte(document), router.AppendSourceSecretsPatch(nil, opened.MapSecrets(s.sealer(sourceKind(), id))))
	if err != nil {
		return "", fmt.Errorf("seal its secrets: %w", err)
	}
	return string(changed), nil
}
