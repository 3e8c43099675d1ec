package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/streamlatch/streamlatch/router"
)

// target is what all requests to a sink have in common.
type target struct {
	subscription *router.Subscription // that this was made of
	url          *url.URL
	header       http.Header // the sink's own, and that of its auth; neither it nor its values are changed
	secrets      []Secret    // the subscription's own, if it has one, and those before it
}

// newTarget checks again what was stored, since it may have been stored by another version, or by hand.
func newTarget(s *router.Subscription) (*target, error) {
	u, fault := parseURL(s.Sink.URL)
	if fault != "" {
		return nil, errors.New("sink.url " + fault)
	}
	t := &target{subscription: s, url: u, header: make(http.Header, len(s.Sink.Headers)+1)}
	for name, value := range s.Sink.Headers {
		key := http.CanonicalHeaderKey(name)
		fault := headerFault(name, value)
		if _, twice := t.header[key]; twice && fault == "" {
			fault = headerTwice
		}
		if fault != "" {
			return nil, errors.New(headerLocation(name) + " " + fault)
		}
		t.header[key] = []string{value}
	}
	if err := addAuth(t.header, s.Sink); err != nil {
		return nil, err
	}
	for _, text := range s.SigningSecrets(time.Time{}) {
		secret, err := ParseSecret(text)
		if err != nil {
			return nil, fmt.Errorf("sink.secret %w", err)
		}
		t.secrets = append(t.secrets, secret)
	}
	return t, nil
}

// addAuth sets the header authorization where the sink's auth is by header.
func addAuth(h http.Header, sink router.Sink) error {
	value := authorization(sink.Auth)
	if value == "" {
		return nil
	}
	if field, fault := credentialFault(sink.Auth); fault != "" {
		return errors.New("sink.auth." + field + " " + fault)
	}
	if name := authorizationHeader(sink); name != "" {
		return errors.New(headerLocation(name) + " " + headerOfAuth)
	}
	h["Authorization"] = []string{value}
	return nil
}

// secretsAt are the secrets that sign at a time: the subscription's, and those that it had before, for a while.
func (t *target) secretsAt(at time.Time) []Secret {
	rotated := t.subscription.Rotated
	first := len(t.secrets) - len(rotated)
	signing := t.secrets[:first:first]
	for i, old := range rotated {
		if at.Before(old.Until) {
			signing = append(signing, t.secrets[first+i])
		}
	}
	return signing
}

// maxTargets is how many are remembered.
const maxTargets = 10_000

// targets remembers what was made of subscriptions, which never change. Safe for concurrent use.
type targets struct {
	mu    sync.RWMutex
	known map[string]*target // by the subscription's id
}

// of returns the target of a subscription. A faulty one is looked at again each time.
func (ts *targets) of(s *router.Subscription) (*target, error) {
	ts.mu.RLock()
	t := ts.known[s.ID]
	ts.mu.RUnlock()
	if t != nil && t.subscription == s {
		return t, nil
	}
	t, err := newTarget(s)
	if err != nil {
		return nil, err
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.known == nil || len(ts.known) >= maxTargets {
		ts.known = make(map[string]*target)
	}
	ts.known[s.ID] = t
	return t, nil
}
