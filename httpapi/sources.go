package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/oklog/ulid/v2"

	"github.com/streamlatch/streamlatch/router"
	"github.com/streamlatch/streamlatch/source"
)

type sources = definitions[router.Source, router.SourceDraft]

func (s *Server) newSources() *sources {
	return &sources{
		server: s, id: router.SourceID, noun: "source", path: "/v1/sources",
		decode: router.DecodeSource,
		nameOf: func(d router.SourceDraft) string { return d.Definition().Name },
		create: s.createSource,
		read:   s.cfg.Sources.Source,
		replace: func(d router.SourceDraft, old router.Source) (router.Source, error) {
			return d.Replace(old, s.cfg.Rules)
		},
		patch:  router.PatchSource,
		store:  s.replaceSource,
		list:   s.cfg.Sources.Sources,
		status: s.sourceStatus,
		show:   appendSource(router.SourceView{}),
		idOf:   func(src router.Source) string { return src.ID },
		etagOf: router.Source.ETag,
	}
}

// appendSource shows a source and where it takes messages. The key in the path of one that nothing else protects is shown and masked like the secret that it is.
func appendSource(view router.SourceView) func(dst []byte, src router.Source) []byte {
	return func(dst []byte, src router.Source) []byte {
		v, key := view, ""
		switch {
		case !source.KeyedPath(src.Provider):
		case v.Secret && len(src.Secrets) > 0:
			key = src.Secrets[0]
		default:
			key = router.Masked
		}
		v.Inlet = src.InletPath(key)
		return router.AppendSource(dst, src, v)
	}
}

// createSource stores a new source. A secret that was made here is shown, this once.
func (s *Server) createSource(ctx context.Context, draft router.SourceDraft) (stored router.Source, view func([]byte, router.Source) []byte, err error) {
	fresh := source.FreshSecret(draft.Definition().Provider, s.cfg.NewSecret())
	src, err := draft.Create(fresh)
	if err != nil {
		return stored, nil, err
	}
	if stored, err = s.cfg.Sources.CreateSource(ctx, src); err != nil {
		return stored, nil, err
	}
	made := fresh != "" && len(src.Secrets) == 1 && source.Same(src.Secrets[0], fresh)
	s.inlets.learn(ctx)
	return stored, appendSource(router.SourceView{Secret: made}), nil
}

// replaceSource stores a change, and has this replica go by it before it is answered for.
func (s *Server) replaceSource(ctx context.Context, src router.Source) (router.Source, error) {
	stored, err := s.cfg.Sources.ReplaceSource(ctx, src)
	if err == nil {
		s.inlets.learn(ctx)
	}
	return stored, err
}

// sourceStatus is a source's status as the API shows it.
type sourceStatus struct {
	Accepted    int64 `json:"accepted"`
	Duplicates  int64 `json:"duplicates"`
	Changed     int64 `json:"changed"`
	Rejected    int64 `json:"rejected"`
	RateLimited int64 `json:"rate_limited"`
	Failed      int64 `json:"failed"`
}

func (s *Server) sourceStatus(ctx context.Context, src router.Source) (func([]byte, router.Source) []byte, error) {
	counts, err := s.cfg.Sources.SourceCounts(ctx, src.ID)
	if err != nil {
		return nil, err
	}
	counts.Add(s.inlets.pending(src.ID))
	text, err := json.Marshal(sourceStatus{counts.Accepted, counts.Duplicate, counts.Changed, counts.Rejected, counts.Limited, counts.Failed})
	return appendSource(router.SourceView{Status: text}), err
}

func (s *Server) deleteSource(c call) error {
	src, exact, err := s.sources.toDelete(c)
	if err != nil {
		return err
	}
	version := uint64(0)
	if exact {
		version = src.Version
	}
	if err := s.cfg.Sources.DeleteSource(c.r.Context(), src.ID, version); err != nil {
		return fmt.Errorf("delete source %q: %w", src.Name, err)
	}
	s.inlets.learn(c.r.Context())
	writeBody(c.w, http.StatusOK, jsonType, []byte("{}\n"))
	return nil
}

// testSource sends a sample to a source as its provider would: signed with its secret, it is verified, mapped and stored like any other message.
func (s *Server) testSource(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	src, err := s.sources.named(c)
	if err != nil {
		return err
	}
	if !src.Enabled {
		return router.Errorf(router.Invalid, "the source is disabled, and takes no messages")
	}
	in, err := s.inlets.ready(&src)
	if err != nil {
		return err
	}
	m, err := in.Sample(s.now(), ulid.Make().String())
	if err != nil {
		return err
	}
	e, appended, err := s.accept(c, in, m)
	if err != nil {
		return fmt.Errorf("test source %q: %w", src.Name, err)
	}
	writeBody(c.w, http.StatusOK, jsonType, append(e.AppendJSON(append(appendPosition([]byte(`{"position":"`), appended.Position), `","event":`...)), '}', '\n'))
	return nil
}
