package router

import (
	"strconv"
	"strings"
	"time"
)

// Clock says on which time a trigger's windows are measured.
type Clock string

// The clocks.
const (
	AcceptClock Clock = "accept" // when Redis accepted the event
	EventClock  Clock = "event"  // the event's own time, or the accept time where there is none or it is later
)

// Include says what of the joined events a firing carries.
type Include string

// What firings carry.
const (
	IncludeEvents Include = "events" // the whole events
	IncludeRefs   Include = "refs"   // positions and ids
)

// Trigger is a condition and a key: once events of one key have met the condition, a new event, the firing, is appended to the log. What
// conditions mean is said by Model.
type Trigger struct {
	ID      string // "trg_" and a ULID; made by the server
	Name    string
	Title   string
	Enabled bool // false: events are ignored, what is recorded stays

	Key      KeyPaths // empty: all events belong together
	When     Condition
	ResetOn  []Condition // event leaves without Count, Distinct and Within
	Emit     Emit
	Cooldown Duration // 0: none
	Clock    Clock

	Generation uint64    // grows with each change that what is recorded does not survive; what is recorded belongs to one
	Since      time.Time // when the generation began; set by the store
	Version    uint64    // grows with each change of any definition; the ETag is made of it
	Created    time.Time
	Updated    time.Time
}

// Emit says what a firing looks like.
type Emit struct {
	Type    string // the firing's type; "": "trigger." and the trigger's name
	Include Include
}

// KeyPath is a name and where an event has the value for it.
type KeyPath struct {
	Name string
	Path Path
}

// KeyPaths are the parts of a key in the order of the document, which is that of a firing's subject. Each name occurs once.
type KeyPaths []KeyPath

// path finds the path under a name.
func (k KeyPaths) path(name string) (p Path, ok bool) {
	for _, part := range k {
		if part.Name == name {
			return part.Path, true
		}
	}
	return Path{}, false
}

// EmitType is the type of the trigger's firings.
func (t Trigger) EmitType() string {
	if t.Emit.Type != "" {
		return t.Emit.Type
	}
	return "trigger." + t.Name
}

// EmitSource is the source of the trigger's firings.
func (t Trigger) EmitSource() string { return firingSources + t.Name }

// firingSources is what the sources of all firings begin with.
const firingSources = "/streamlatch/triggers/"

// ETag is the entity tag of this version of the definition, strong and quoted: `"12"`.
func (t Trigger) ETag() string { return strconv.Quote(strconv.FormatUint(t.Version, 10)) }

// Fired tells whether an event is a firing of the trigger.
func (t Trigger) Fired(e Event) bool {
	return strings.HasPrefix(e.Source(), firingSources) && strings.HasPrefix(e.ID(), t.ID+".")
}
