package router

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// IDKind is the first part of a definition's id, and says what it defines.
type IDKind string

// The kinds of ids.
const (
	SubscriptionID IDKind = "sub"
	TriggerID      IDKind = "trg"
	OperationID    IDKind = "op"
	SourceID       IDKind = "src"
)

// namePattern is what names of definitions look like (HTTP API, Conventions). No id is also a name: names have no underscore.
var namePattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// Ref is how a caller refers to a definition: by its id or by its name, one of which is set.
type Ref struct {
	ID   string // "sub_" and a ULID
	Name string
}

// ParseRef reads an id of that kind or a name. Invalid: it is neither, or an id of another kind.
func ParseRef(kind IDKind, s string) (Ref, error) {
	if namePattern.MatchString(s) {
		return Ref{Name: s}, nil
	}
	prefix, id, ok := strings.Cut(s, "_")
	switch {
	case !ok || !isULID(id):
		return Ref{}, Errorf(Invalid, "%s is neither an id (%s_ and 26 characters) nor a name (%s)", quoteShort(s), kind, nameRule)
	case prefix != string(kind):
		return Ref{}, Errorf(Invalid, "%s is an id of another kind; ids here begin with %s_", quoteShort(s), kind)
	}
	return Ref{ID: s}, nil
}

// String gives the id or the name, as ParseRef reads it.
func (r Ref) String() string { return r.ID + r.Name }

// nameRule is namePattern in words.
const nameRule = "1 to 63 lower-case letters, digits and hyphens, the first not a hyphen"

// isULID tells whether s is a ULID in its one canonical form: 26 upper-case characters, and no number that 128 bits can't hold.
func isULID(s string) bool {
	id, err := ulid.ParseStrict(s)
	return err == nil && id.String() == s
}

// NewID makes an id out of a time and randomness, such as "sub_01JD6Z…"; ids of later milliseconds sort after earlier ones.
func NewID(kind IDKind, now time.Time, random io.Reader) (string, error) {
	id, err := ulid.New(ulid.Timestamp(now), random)
	if err != nil {
		return "", fmt.Errorf("make an id: %w", err)
	}
	return string(kind) + "_" + id.String(), nil
}
