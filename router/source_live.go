package router

import (
	"context"
	"hash/maphash"
)

// withSources makes changes to the sources of a snapshot that is being made. All old names go before the new ones come, since two sources may have swapped
// theirs; and a source may be among the changes more than once.
func (s *snapshot) withSources(owner *edit, d Definitions) {
	for i := range d.Sources {
		s.forgetName(owner, d.Sources[i].ID)
	}
	for i := range d.Sources {
		source := &d.Sources[i]
		s.forgetName(owner, source.ID)
		s.sources = s.sources.with(owner, maphash.String(snapshotSeed, source.ID), source.ID, source)
		s.inlets = s.inlets.with(owner, maphash.String(snapshotSeed, source.Name), source.Name, source)
	}
	for _, id := range d.DeletedSources { // last: an id never comes back
		s.forgetName(owner, id)
		s.sources = s.sources.without(owner, maphash.String(snapshotSeed, id), id)
	}
}

// forgetName takes away the name of a source, unless another one has it now.
func (s *snapshot) forgetName(owner *edit, id string) {
	old, ok := s.sources.get(maphash.String(snapshotSeed, id), id)
	if !ok {
		return
	}
	hash := maphash.String(snapshotSeed, old.Name)
	if holder, ok := s.inlets.get(hash, old.Name); ok && holder.ID == id {
		s.inlets = s.inlets.without(owner, hash, old.Name)
	}
}

// Inlet returns the source of that name as this replica knows it: the same pointer as long as it has not changed, to what must not be changed; nil where there
// is none. It reads nothing from the store.
func (r *Router) Inlet(name string) *Source {
	s := r.definitions.snapshot.Load()
	if s == nil {
		return nil
	}
	source, _ := s.inlets.get(maphash.String(snapshotSeed, name), name)
	return source
}

// RefreshDefinitions brings what this replica knows of the definitions up to what is stored.
func (r *Router) RefreshDefinitions(ctx context.Context) error { return r.definitions.refresh(ctx) }
