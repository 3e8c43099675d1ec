package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/streamlatch/streamlatch/client"
	"github.com/streamlatch/streamlatch/router"
)

// action is what is to be done, or was done, about one definition.
type action string

const (
	create action = "create"
	change action = "change"
	keep   action = "unchanged"
)

// difference is one place where the server has something else than the file.
type difference struct {
	Path string `json:"path"` // "filter.types"
	Old  any    `json:"old"`  // null: the server has nothing there
	New  any    `json:"new"`  // null: the file has nothing there
}

// step is what is to be done about one definition.
type step struct {
	Kind        client.Kind  `json:"kind"`
	Name        string       `json:"name"`
	Where       string       `json:"where"`
	Action      action       `json:"action"`
	Differences []difference `json:"differences,omitempty"`
	Note        string       `json:"note,omitempty"`   // what could not be compared
	Secret      string       `json:"secret,omitempty"` // that the server made for a new one, and shows this once

	document []byte
	etag     string // of what the server had
}

// plan is what makes the server have the definitions.
type plan []step

// makePlan compares the definitions with what the server has.
func makePlan(ctx context.Context, api *client.Client, definitions []definition) (plan, error) {
	p := plan{}
	for _, d := range definitions {
		s := step{Kind: d.kind, Name: d.name, Where: d.where, Action: create, document: d.document}
		remote, err := api.Definition(ctx, d.kind, d.name)
		if e, ok := errors.AsType[*client.Error](err); ok && e.Status == http.StatusNotFound {
			p = append(p, s)
			continue
		}
		if err == nil {
			err = s.compare(remote)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: compare %s %q with the server's: %w", d.where, d.kind, d.name, err)
		}
		p = append(p, s)
	}
	return p, nil
}

// notComparedNote says what apply does not see.
const notComparedNote = "its secret is not compared, since the server does not show it; --force sends it"

// hiddenSecrets tells whether a sink of a file has a secret in the place of one that the server has and does not show.
func hiddenSecrets(shown, wanted router.Sink) bool {
	secrets := func(s router.Sink) map[string]string {
		all := map[string]string{}
		s.MapSecrets(func(place, secret string) string {
			all[place] = secret
			return secret
		})
		return all
	}
	before := secrets(shown)
	for place, secret := range secrets(wanted) {
		if old := before[place]; old != "" && old != secret {
			return true
		}
	}
	return false
}

// compare notes what is different.
func (s *step) compare(remote client.Definition) error {
	s.etag, s.Action = remote.ETag, keep
	compare := s.compareSubscription
	switch s.Kind {
	case client.Trigger:
		compare = s.compareTrigger
	case client.Source:
		compare = s.compareSource
	}
	old, wanted, err := compare(remote)
	if err != nil {
		return err
	}
	if s.Differences = findDifferences(nil, "", old, wanted); len(s.Differences) > 0 {
		s.Action = change
	}
	return nil
}

func (s *step) compareTrigger(remote client.Definition) (old, wanted map[string]any, err error) {
	before, err := router.DecodeStoredTrigger(remote.Document)
	if err != nil {
		return nil, nil, err
	}
	draft, err := router.DecodeTrigger(s.document, router.Rules{})
	if err != nil {
		return nil, nil, documentFault(err)
	}
	return before.Definition(), draft.Definition().Definition(), nil
}

// compareSource: secrets that the file holds can't be compared, only how many there are.
func (s *step) compareSource(remote client.Definition) (before, after map[string]any, err error) {
	old, err := router.DecodeStoredSource(remote.Document)
	if err != nil {
		return nil, nil, err
	}
	draft, err := router.DecodeSource(s.document, sourceRules())
	if err != nil {
		return nil, nil, documentFault(err)
	}
	anything := router.Rules{CheckSource: func(router.Source) error { return nil }} // the server's secrets are masked here
	wanted, err := draft.Replace(old, anything)
	if err != nil {
		return nil, nil, documentFault(err)
	}
	if len(draft.Definition().Secrets) > 0 && len(old.Secrets) > 0 {
		s.Note = notComparedNote
	}
	return old.Definition(), wanted.Definition(), nil
}

// compareSubscription: what the file leaves out of "delivery" is the server's to choose, and no difference.
func (s *step) compareSubscription(remote client.Definition) (before, after map[string]any, err error) {
	old, err := router.DecodeStored(remote.Document)
	if err != nil {
		return nil, nil, err
	}
	draft, err := router.DecodeSubscription(s.document, router.Rules{Delivery: old.Delivery})
	if err != nil {
		return nil, nil, documentFault(err)
	}
	wanted, err := draft.Replace(old)
	if err != nil {
		return nil, nil, documentFault(err)
	}
	if hiddenSecrets(old.Sink, wanted.Sink) {
		s.Note = notComparedNote
	}
	return old.Definition(), wanted.Definition(), nil
}

// findDifferences compares two definitions, member by member where both have objects.
func findDifferences(found []difference, at string, old, wanted any) []difference {
	before, isObject := old.(map[string]any)
	after, areObjects := wanted.(map[string]any)
	if !isObject || !areObjects {
		if !reflect.DeepEqual(old, wanted) {
			found = append(found, difference{at, old, wanted})
		}
		return found
	}
	names := slices.Collect(maps.Keys(before))
	for name := range after {
		if _, both := before[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		path := name
		if at != "" {
			path = at + "." + name
		}
		found = findDifferences(found, path, before[name], after[name])
	}
	return found
}

// apply does what is to be done, and with force also sends what could not be compared. It calls done after each step, and ends at the first error. What somebody
// else has changed since the comparison is not overwritten.
func (p plan) apply(ctx context.Context, api *client.Client, force bool, done func(step) error) error {
	for i := range p {
		s := &p[i]
		if s.Action == keep && (!force || s.Note == "") {
			if err := done(*s); err != nil {
				return err
			}
			continue
		}
		cond := client.Condition{ETag: s.etag, Absent: s.Action == create}
		stored, err := api.Put(ctx, s.Kind, s.Name, s.document, cond)
		if err != nil {
			return fmt.Errorf("%s: %s %s %q: %w", s.Where, s.Action.verb(), s.Kind, s.Name, changedMeanwhile(err))
		}
		if s.Action == keep {
			s.Action = change
		}
		s.Note = ""
		if s.Action == create {
			s.Secret = madeSecret(stored, s.document)
		}
		if err := done(*s); err != nil {
			return err
		}
	}
	return nil
}

func (a action) verb() string {
	if a == create {
		return "create"
	}
	return "change"
}

func changedMeanwhile(err error) error {
	if e, ok := errors.AsType[*client.Error](err); ok && e.Status == http.StatusPreconditionFailed {
		return fmt.Errorf("somebody else has changed it meanwhile; look with diff, and apply again: %w", err)
	}
	return err
}

// madeSecret is the secret that the server made, "" where the document had one.
func madeSecret(stored client.Definition, document []byte) string {
	secret := func(text []byte) string {
		var d struct {
			Secret any `json:"secret"` // of a source: may be a list, which the server does not make
			Sink   struct {
				Secret string `json:"secret"`
			} `json:"sink"`
		}
		if json.Unmarshal(text, &d) != nil {
			return ""
		}
		if own, ok := d.Secret.(string); ok {
			return own
		}
		return d.Sink.Secret
	}
	if made := secret(stored.Document); made != router.MaskedSecret && made != router.Masked && made != secret(document) {
		return made
	}
	return ""
}

// count counts the steps with an action.
func (p plan) count(a action) (n int) {
	for _, s := range p {
		if s.Action == a {
			n++
		}
	}
	return n
}

// print writes a step as lines of text: words says what an action is called.
func (s step) print(w io.Writer, words map[action]string) error {
	text := ""
	if word := words[s.Action]; word != "" {
		text = fmt.Sprintf("%s %s %s (%s)", word, s.Kind, plain(s.Name), plain(s.Where))
		if s.Secret != "" {
			text += "\n    secret, shown this once: " + plain(s.Secret)
		}
		text += "\n"
	}
	for _, d := range s.Differences {
		text += fmt.Sprintf("    %s: %s → %s\n", plain(d.Path), valueText(d.Old), valueText(d.New))
	}
	if s.Note != "" {
		text += fmt.Sprintf("  note: %s %s: %s\n", s.Kind, plain(s.Name), s.Note)
	}
	return write(w, text)
}

// valueText shows one side of a difference.
func valueText(v any) string {
	if v == nil {
		return "(none)"
	}
	var text strings.Builder
	if err := writeJSONLine(&text, v); err != nil {
		return hidden
	}
	return strings.TrimSuffix(text.String(), "\n")
}
