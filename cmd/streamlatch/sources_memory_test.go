package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// memorySources is the storage of sources in memory, with ids and times that are the same in each run.
type memorySources struct {
	mu   sync.Mutex
	all  []router.Source
	made int
}

func (m *memorySources) find(ref string) int {
	return slices.IndexFunc(m.all, func(s router.Source) bool { return s.ID == ref || s.Name == ref })
}

func (m *memorySources) stamp(s router.Source) router.Source {
	m.made++
	s.Version = uint64(m.made)
	s.Updated = began.Add(time.Duration(m.made) * time.Second)
	s.Created = cmp.Or(s.Created, s.Updated)
	s.ID = cmp.Or(s.ID, fmt.Sprintf("src_01JD%022d", m.made))
	return s
}

func (m *memorySources) CreateSource(_ context.Context, s router.Source) (router.Source, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.find(s.Name) >= 0 {
		return s, router.Errorf(router.Conflict, "there is a source %q", s.Name)
	}
	s = m.stamp(s)
	m.all = append(m.all, s)
	return s, nil
}

func (m *memorySources) Source(_ context.Context, ref string) (router.Source, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.find(ref); i >= 0 {
		return m.all[i], nil
	}
	return router.Source{}, router.Errorf(router.NotFound, "there is no source %q", ref)
}

func (m *memorySources) ReplaceSource(_ context.Context, s router.Source) (router.Source, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(s.ID)
	if i < 0 || m.all[i].Version != s.Version {
		return s, router.Errorf(router.Precondition, "it was changed")
	}
	m.all[i] = m.stamp(s)
	return m.all[i], nil
}

func (m *memorySources) DeleteSource(_ context.Context, id string, _ uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.find(id)
	m.all = slices.Delete(m.all, i, i+1)
	return nil
}

func (m *memorySources) Sources(_ context.Context, after string, limit int) (found []router.Source, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.all {
		if strings.Compare(s.ID, after) > 0 && len(found) < limit {
			found = append(found, s)
		}
	}
	return found, nil
}

func (m *memorySources) SourceCounts(context.Context, string) (router.SourceCounts, error) {
	return router.SourceCounts{Accepted: 7, Duplicate: 2, Rejected: 1}, nil
}

func (m *memorySources) CountSource(context.Context, string, router.SourceCounts) error { return nil }

func (m *memorySources) Inlet(name string) *router.Source {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := m.find(name); i >= 0 {
		s := m.all[i]
		return &s
	}
	return nil
}

func (m *memorySources) RefreshDefinitions(context.Context) error { return nil }
