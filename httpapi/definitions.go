package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/streamlatch/streamlatch/router"
)

// The content types of definitions.
const (
	jsonType       = "application/json"
	mergePatchType = "application/merge-patch+json"
)

// maxTries is how often a change is made anew because another one came between reading and writing.
const maxTries = 8

// definitions are the definitions of one kind, as the API's conventions have them: T is a definition, D one as a document describes it.
type definitions[T, D any] struct {
	server *Server
	id     router.IDKind
	noun   string
	path   string // of the list

	decode func(text []byte, rules router.Rules) (D, error)
	nameOf func(D) string

	create  func(ctx context.Context, d D) (stored T, view func(dst []byte, t T) []byte, err error) // view shows what is new
	read    func(ctx context.Context, ref string) (T, error)
	replace func(d D, old T) (T, error)
	patch   func(old T, patch []byte, rules router.Rules) (T, error)
	store   func(ctx context.Context, t T) (T, error)
	list    func(ctx context.Context, after string, limit int) ([]T, error)
	status  func(ctx context.Context, t T) (func(dst []byte, t T) []byte, error) // how one is shown with its status

	show   func(dst []byte, t T) []byte
	idOf   func(T) string
	etagOf func(T) string
}

// readCommand reads the body of a request that has no parameters.
func (s *Server) readCommand(c call, types ...string) ([]byte, error) {
	if err := newQuery(c.r).err(); err != nil {
		return nil, err
	}
	return s.readDocument(c, types...)
}

// post creates a definition.
func (ds *definitions[T, D]) post(c call) error {
	text, err := ds.server.readCommand(c, jsonType)
	if err != nil {
		return err
	}
	draft, err := ds.decode(text, ds.server.cfg.Rules)
	if err != nil {
		return err
	}
	return ds.createFrom(c, draft)
}

// createFrom stores a new definition and answers with it.
func (ds *definitions[T, D]) createFrom(c call, draft D) error {
	stored, view, err := ds.create(c.r.Context(), draft)
	if err != nil {
		return fmt.Errorf("create %s %q: %w", ds.noun, ds.nameOf(draft), err)
	}
	c.w.Header().Set("Location", ds.path+"/"+ds.idOf(stored))
	ds.write(c.w, http.StatusCreated, stored, view)
	return nil
}

func (ds *definitions[T, D]) write(w http.ResponseWriter, status int, t T, show func(dst []byte, t T) []byte) {
	w.Header().Set("ETag", ds.etagOf(t))
	w.Header().Set("Cache-Control", "no-store")
	writeBody(w, status, jsonType, append(show(nil, t), '\n'))
}

// named returns the definition that the path names.
func (ds *definitions[T, D]) named(c call) (t T, err error) {
	ref, err := router.ParseRef(ds.id, c.param)
	if err != nil {
		return t, err
	}
	if t, err = ds.read(c.r.Context(), ref.String()); err != nil {
		return t, fmt.Errorf("read %s %q: %w", ds.noun, ref, err)
	}
	return t, nil
}

// put replaces a definition, or creates it where the path has a name that there is not yet.
func (ds *definitions[T, D]) put(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	return ds.putDocument(c)
}

// putDocument does what put does, once the parameters were looked at.
func (ds *definitions[T, D]) putDocument(c call) error {
	pre, err := readPreconditions(c.r)
	if err != nil {
		return err
	}
	ref, draft, err := ds.readPut(c)
	if err != nil {
		return err
	}
	for range maxTries {
		err := ds.change(c, pre, func(old T) (T, error) { return ds.replace(draft, old) })
		if ref.Name == "" || router.ErrorCode(err) != router.NotFound {
			return err
		}
		if err := pre.checkAbsent(); err != nil {
			return err
		}
		if err := ds.createFrom(c, draft); router.ErrorCode(err) != router.Conflict {
			return err
		}
		// Somebody else has just created it: what holds for one that is there holds now.
	}
	return ds.errBusy()
}

// readPut reads what is put, and where.
func (ds *definitions[T, D]) readPut(c call) (ref router.Ref, draft D, err error) {
	text, err := ds.server.readDocument(c, jsonType)
	if err != nil {
		return ref, draft, err
	}
	if ref, err = router.ParseRef(ds.id, c.param); err != nil {
		return ref, draft, err
	}
	draft, err = ds.draftFor(ref, text)
	return ref, draft, err
}

// draftFor reads a document that is put at a reference: at a name, which it may leave out and must not contradict, or at an id.
func (ds *definitions[T, D]) draftFor(ref router.Ref, text []byte) (draft D, err error) {
	rules := ds.server.cfg.Rules
	rules.Name = ref.Name
	if draft, err = ds.decode(text, rules); err != nil {
		return draft, err
	}
	if ref.Name != "" && ds.nameOf(draft) != ref.Name {
		return draft, &router.Error{
			Code: router.Invalid, Message: "the document has another name than the path; to rename, PATCH it or PUT it under its id",
			Problems: []router.Problem{{Location: "body.name", Message: "must be " + ref.Name + ", or left out"}},
		}
	}
	return draft, nil
}

// patchNamed applies a merge patch.
func (ds *definitions[T, D]) patchNamed(c call) error {
	pre, err := readPreconditions(c.r)
	if err != nil {
		return err
	}
	patch, err := ds.server.readCommand(c, mergePatchType, jsonType)
	if err != nil {
		return err
	}
	return ds.change(c, pre, func(old T) (T, error) { return ds.patch(old, patch, ds.server.cfg.Rules) })
}

// change stores what edit makes of a definition and answers with it. Where the caller named no version, a change of somebody else that comes between
// is not overwritten: the edit is made anew, on what is there then. A definition that stays the same is stored too: that completes an earlier change that
// died before every replica had heard of it.
func (ds *definitions[T, D]) change(c call, pre preconditions, edit func(old T) (T, error)) error {
	for range maxTries {
		stored, err := ds.changeOnce(c, pre, edit)
		if err == nil {
			ds.write(c.w, http.StatusOK, stored, ds.show)
			return nil
		}
		if pre.namesVersion() || !errors.Is(err, errOvertaken) {
			return err
		}
	}
	return ds.errBusy()
}

func (ds *definitions[T, D]) errBusy() error {
	return router.Errorf(router.Unavailable, "the %s is being changed by others all the time", ds.noun)
}

// errOvertaken marks that another change came between reading and writing.
var errOvertaken = errors.New("overtaken by another change")

func (ds *definitions[T, D]) changeOnce(c call, pre preconditions, edit func(old T) (T, error)) (stored T, err error) {
	old, err := ds.named(c)
	if err != nil {
		return stored, err
	}
	if err := pre.checkPresent(ds.etagOf(old)); err != nil {
		return stored, err
	}
	changed, err := edit(old)
	if err != nil {
		return stored, err
	}
	stored, err = ds.store(c.r.Context(), changed)
	if router.ErrorCode(err) == router.Precondition {
		err = fmt.Errorf("%w: %w", errOvertaken, err)
	}
	if err != nil {
		return stored, fmt.Errorf("change %s %q: %w", ds.noun, ds.idOf(old), err)
	}
	return stored, nil
}

// toDelete returns the definition that a request is to delete, and whether it must still be that version.
func (ds *definitions[T, D]) toDelete(c call) (t T, exact bool, err error) {
	pre, err := readPreconditions(c.r)
	if err != nil {
		return t, false, err
	}
	if err := newQuery(c.r).err(); err != nil {
		return t, false, err
	}
	if t, err = ds.named(c); err != nil {
		return t, false, err
	}
	return t, pre.namesVersion(), pre.checkPresent(ds.etagOf(t))
}

// get shows a definition with its status.
func (ds *definitions[T, D]) get(c call) error {
	if err := newQuery(c.r).err(); err != nil {
		return err
	}
	t, err := ds.named(c)
	if err != nil {
		return err
	}
	show, err := ds.status(c.r.Context(), t)
	if err != nil {
		return fmt.Errorf("read the state of %s %q: %w", ds.noun, ds.idOf(t), err)
	}
	ds.write(c.w, http.StatusOK, t, show)
	return nil
}

// getAll lists definitions in the order of their ids. A cursor is the last id of the page before.
func (ds *definitions[T, D]) getAll(c call) error {
	q := newQuery(c.r)
	limit, after := q.limit(), q.text("cursor")
	if after != "" {
		if ref, err := router.ParseRef(ds.id, after); err != nil || ref.ID == "" {
			q.refuse("cursor", errCursor())
		}
	}
	if err := q.err(); err != nil {
		return err
	}
	page, err := ds.list(c.r.Context(), after, limit+1)
	if err != nil {
		return fmt.Errorf("list %ss: %w", ds.noun, err)
	}
	next := ""
	if len(page) > limit {
		page = page[:limit]
		next = ds.idOf(page[limit-1])
	}
	items := []byte(`{"items":[`)
	for i, t := range page {
		if i > 0 {
			items = append(items, ',')
		}
		items = ds.show(items, t)
	}
	writeBody(c.w, http.StatusOK, jsonType, closeList(items, next))
	return nil
}
