package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/time/rate"

	"github.com/streamlatch/streamlatch/cloudevents"
	"github.com/streamlatch/streamlatch/router"
)

// Scope is what an API key permits. Scopes do not include each other.
type Scope string

// The scopes.
const (
	PublishScope Scope = "publish" // publish events, of Key.Types only where those are given
	ConsumeScope Scope = "consume" // take deliveries of pull sinks
	ReadScope    Scope = "read"    // read everything but secrets
	ManageScope  Scope = "manage"  // change definitions, act on deliveries
)

// Scopes returns every scope.
func Scopes() []Scope { return []Scope{PublishScope, ConsumeScope, ReadScope, ManageScope} }

// open is the scope of a path that needs no key.
const open Scope = ""

// Key is an API key as it is configured: what it permits, and a hash to know it by.
type Key struct {
	Name   string   // for logs and messages of the operator's tools; need not be unique
	Hash   string   // "sha256:" and 64 hexadecimal digits, as NewKey makes it
	Scopes []Scope  // at least one
	Types  []string // type patterns that publish is limited to. Defaults to every type.
}

const (
	keyPrefix  = "slk_"
	hashPrefix = "sha256:"
	keyBytes   = 20 // of randomness: 32 characters
)

// NewKey makes an API key and the hash to configure it by. The key is shown to its owner once and kept nowhere. random is crypto/rand.Reader.
func NewKey(random io.Reader) (key, hash string, err error) {
	secret := make([]byte, keyBytes)
	if _, err := io.ReadFull(random, secret); err != nil {
		return "", "", fmt.Errorf("make an API key: %w", err)
	}
	key = keyPrefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(secret))
	sum := sha256.Sum256([]byte(key))
	return key, hashPrefix + hex.EncodeToString(sum[:]), nil
}

// Check tells whether the key can be configured. The error is an *Error (Invalid) that names the field.
func (k Key) Check() error {
	_, err := k.caller()
	return err
}

// caller is who makes a request: the owner of a key, or anybody while there are no keys.
type caller struct {
	hash    [sha256.Size]byte
	scopes  []Scope
	types   []router.TypePattern // publishing is limited to these; none: not limited
	publish *rate.Limiter        // nil: not limited
	decoder cloudevents.Decoder  // reads and checks what it publishes
}

func (k Key) caller() (*caller, error) {
	c := &caller{scopes: slices.Clone(k.Scopes)}
	digits, ok := strings.CutPrefix(k.Hash, hashPrefix)
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != len(c.hash) {
		return nil, router.Errorf(router.Invalid, "hash must be %q and 64 hexadecimal digits, as made together with the key", hashPrefix)
	}
	copy(c.hash[:], sum)
	if len(k.Scopes) == 0 {
		return nil, router.Errorf(router.Invalid, "scopes must name at least one of %q", Scopes())
	}
	for _, scope := range k.Scopes {
		if !slices.Contains(Scopes(), scope) {
			return nil, router.Errorf(router.Invalid, "scopes: %q is none of %q", string(scope), Scopes())
		}
	}
	for _, text := range k.Types {
		p, err := router.ParseTypePattern(text)
		if err != nil {
			return nil, fmt.Errorf("types: %w", err)
		}
		c.types = append(c.types, p)
	}
	return c, nil
}

// callers are all who have a key.
type callers []*caller

// find returns whose key it is, or nil. It takes the same time for each key, whatever it is.
func (cs callers) find(key string) *caller {
	sum := sha256.Sum256([]byte(key))
	var found *caller
	for _, c := range cs {
		if subtle.ConstantTimeCompare(sum[:], c.hash[:]) == 1 {
			found = c
		}
	}
	return found
}

// checkEvent refuses what is reserved to Streamlatch, and events of types that the key is not for.
func (c *caller) checkEvent(e router.Event) error {
	if err := router.CheckReserved(e); err != nil {
		return err
	}
	if len(c.types) == 0 || slices.ContainsFunc(c.types, func(p router.TypePattern) bool { return p.Match(e.Type()) }) {
		return nil
	}
	return &router.Error{
		Code: router.Forbidden, Message: "the API key does not permit to publish events of this type",
		Problems: []router.Problem{{Location: "type", Message: "is not a type that the API key is for"}},
	}
}
