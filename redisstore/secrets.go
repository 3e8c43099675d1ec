package redisstore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/streamlatch/streamlatch/router"
)

// Secrets of definitions are sealed before they are stored, each for its kind of definition, id and place: what somebody moves within Redis can't be opened.

// sealer seals the secrets of one definition.
func (s *Store) sealer(kind definitionKind, id string) func(place, secret string) string {
	return func(place, secret string) string { return s.config.Secrets.Seal(secret, purpose(kind, id, place)) }
}

// purpose is what a secret is sealed for.
func purpose(kind definitionKind, id, place string) string { return kind.noun + "/" + id + "/" + place }

// opener opens the secrets of one definition, and keeps the first error.
type opener struct {
	store *Store
	kind  definitionKind
	id    string
	err   error
}

func (s *Store) opener(kind definitionKind, id string) *opener {
	return &opener{store: s, kind: kind, id: id}
}

func (o *opener) open(place, stored string) string {
	secret, err := o.store.config.Secrets.Open(stored, purpose(o.kind, o.id, place))
	if err != nil && o.err == nil {
		o.err = fmt.Errorf("its secret %q %w", place, err)
	}
	return secret
}

// sealedKind is a kind of definitions that has secrets: reseal gives the document of one with its secrets sealed anew, unchanged where they all are already.
type sealedKind struct {
	definitionKind
	reseal func(s *Store, id, document string) (string, error)
}

func sealedKinds() []sealedKind {
	return []sealedKind{{subscriptionKind(), (*Store).resealSubscription}, {sourceKind(), (*Store).resealSource}}
}

// sealDefinitions holds that every secret can be opened, before anything is changed, and then seals those that are stored in clear or under another key
// than the first one.
func (s *Store) sealDefinitions(ctx context.Context) error {
	var missing []string
	lacking := 0
	err := s.eachSealed(ctx, func(_ sealedKind, _, stored string) error {
		if ids := s.config.Secrets.Missing(stored); len(ids) > 0 {
			missing = append(missing, ids...)
			lacking++
		}
		return nil
	})
	if err != nil {
		return err
	}
	if lacking > 0 {
		slices.Sort(missing)
		return router.Errorf(router.Invalid, "secrets key: the secrets of %d definitions are sealed under keys that are not configured: %s. Nothing was changed; "+
			"configure them (secrets-key or secrets-key-file), behind the key that is to seal from now on", lacking, strings.Join(slices.Compact(missing), ", "))
	}
	return s.resealAll(ctx)
}

func (s *Store) resealAll(ctx context.Context) error {
	if s.config.Secrets == nil {
		return nil
	}
	done := 0
	err := s.eachSealed(ctx, func(kind sealedKind, id, stored string) error {
		name, document, _ := strings.Cut(stored, "\n")
		changed, err := kind.reseal(s, id, document)
		if err != nil { // others must not suffer from it; whoever reads it hears of it
			s.config.Logger.Warn("the secrets of a definition can't be sealed anew", "definition", id, "error", err)
			return nil
		}
		if changed == document {
			return nil
		}
		// Where somebody has changed it meanwhile, that was sealed too.
		if _, err := s.run(ctx, s.scripts.Reseal, []string{s.keys[0].documents(kind.definitionKind)}, id, stored, name+"\n"+changed); err != nil {
			return unavailable(err, "seal the secrets of a definition")
		}
		done++
		return nil
	})
	if done > 0 {
		s.config.Logger.Info("sealed the secrets of definitions anew", "definitions", done, "key", s.config.Secrets.IDs()[0])
	}
	return err
}

// eachSealed calls f with what is stored of every definition of the kinds that have secrets.
func (s *Store) eachSealed(ctx context.Context, f func(kind sealedKind, id, stored string) error) error {
	for _, kind := range sealedKinds() {
		err := s.eachDocument(ctx, kind.definitionKind, func(id, stored string) error { return f(kind, id, stored) })
		if err != nil {
			return err
		}
	}
	return nil
}

// eachDocument calls f with what is stored of every definition of a kind, in the order of their ids.
func (s *Store) eachDocument(ctx context.Context, kind definitionKind, f func(id, stored string) error) error {
	after := ""
	for {
		ids, err := s.listIDs(ctx, kind, after, definitionsPage)
		if err != nil || len(ids) == 0 {
			return err
		}
		documents, err := s.readDocuments(ctx, ids)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if stored, ok := documents[id]; ok {
				if err := f(id, stored); err != nil {
					return err
				}
			}
		}
		after = ids[len(ids)-1]
	}
}

// resealSubscription keeps what a newer version of this program may have stored beside the secrets.
func (s *Store) resealSubscription(id, document string) (string, error) {
	stored, err := router.DecodeStored([]byte(document))
	if err != nil {
		return "", err
	}
	current := true
	stored.MapSecrets(func(_, secret string) string {
		current = current && s.config.Secrets.Current(secret)
		return secret
	})
	if current {
		return document, nil
	}
	o := s.opener(subscriptionKind(), id)
	opened := stored.MapSecrets(o.open)
	if o.err != nil {
		return "", o.err
	}
	changed, err := router.MergePatch([]byte(document), router.AppendSecretsPatch(nil, opened.MapSecrets(s.sealer(subscriptionKind(), id))))
	if err != nil {
		return "", fmt.Errorf("seal its secrets: %w", err)
	}
	return string(changed), nil
}
