package router

import (
	"encoding/json"
	"strconv"
	"time"
)

// TriggerDraft is a trigger as a document describes it: valid, but without what only the server knows. Create or Replace makes it one that can
// be stored.
type TriggerDraft struct{ definition Trigger }

// DecodeTrigger reads a document as the HTTP API describes it (Triggers; design.md, Triggers). What it leaves out has its default; what only the
// server sets (id, status, etag, version, created, updated) is passed over, so that what GET gave can be sent back. The errors are those of
// readDocument: Malformed, TooLarge, and Invalid with all that is wrong, at "body.when.all[1].within".
func DecodeTrigger(text []byte, rules Rules) (TriggerDraft, error) {
	f := &docFaults{}
	d := decodeTrigger(f, text, rules)
	if err := f.err("the trigger is not valid"); err != nil {
		return TriggerDraft{}, err
	}
	return d, nil
}

func decodeTrigger(f *docFaults, text []byte, rules Rules) TriggerDraft {
	d := TriggerDraft{Trigger{Name: rules.Name}}
	d.definition.setDefaults()
	f.read(text, func(o *docObject) {
		o.ignore(readOnlyFields()...)
		d.definition.read(o)
		d.definition.check(f, documentRoot)
	})
	return d
}

// setDefaults sets what stands for what a document leaves out.
func (t *Trigger) setDefaults() {
	t.Enabled, t.Emit.Include, t.Clock = true, IncludeEvents, AcceptClock
}

// Definition returns what the document says.
func (d TriggerDraft) Definition() Trigger { return d.definition }

// Create makes a new trigger of the draft, of generation 1.
func (d TriggerDraft) Create() Trigger {
	t := d.definition
	t.Generation = 1
	return t
}

// Replace makes the draft take the place of old: it keeps the id, the version it was made from, and the times. The generation is old's where what is
// recorded stays good, else the next one: see SameGeneration.
func (d TriggerDraft) Replace(old Trigger) Trigger {
	t := d.definition
	t.ID, t.Version, t.Created, t.Updated, t.Generation, t.Since = old.ID, old.Version, old.Created, old.Updated, old.Generation, old.Since
	if !SameGeneration(old, t) {
		t.Generation, t.Since = t.Generation+1, time.Time{}
	}
	return t
}

// PatchTrigger applies a merge patch (RFC 7396) to a trigger as GET shows it. The errors are those of DecodeTrigger; fields that the patch removes must
// be known too.
func PatchTrigger(old Trigger, patch []byte, rules Rules) (Trigger, error) {
	change, err := parseStrict(patch)
	if err != nil {
		return Trigger{}, err
	}
	shown, err := parseStrict(AppendTrigger(nil, old, nil))
	if err != nil {
		return Trigger{}, err
	}
	f := &docFaults{mode: namesOnly}
	docNode{change, documentRoot, f}.object(func(o *docObject) {
		o.ignore(readOnlyFields()...)
		new(Trigger).read(o)
	})
	f.mode = strict
	d := decodeTrigger(f, appendMerged(nil, shown, change), rules)
	if err := f.err("the patched trigger is not valid"); err != nil {
		return Trigger{}, err
	}
	return d.Replace(old), nil
}

// read takes the members of a definition.
func (t *Trigger) read(o *docObject) {
	o.get("name").text(&t.Name)
	o.get("title").text(&t.Title)
	o.get("enabled").bool(&t.Enabled)
	if key := o.get("key"); key.present() {
		t.Key.read(key, keyNameFault)
	}
	if when := o.get("when"); when.present() {
		t.When.read(when, 1, t.Key)
	} else {
		when.faults.spoil(when.at, "is required")
	}
	o.get("reset_on").list(MaxLeaves,
		func(n int) { t.ResetOn = make([]Condition, n) },
		func(i int, n docNode) { t.ResetOn[i].read(n, 1, t.Key) })
	o.get("emit").object(t.Emit.read)
	o.get("cooldown").duration(&t.Cooldown)
	clock := string(t.Clock)
	o.get("clock").text(&clock)
	t.Clock = Clock(clock)
}

func (e *Emit) read(o *docObject) {
	include := string(e.Include)
	if n := o.get("type"); n.present() {
		if n.text(&e.Type); n.kind() == '"' && e.Type == "" && n.faults.mode != tolerant {
			n.faults.add(n.at, "must not be empty; leave it out for the default")
		}
	}
	o.get("include").text(&include)
	e.Include = Include(include)
}

// AppendTrigger appends the JSON that the API shows, its members in the order of the API's description; status is an object for the member "status",
// empty: none. What only the server knows is left out of a definition that has no id. DecodeTrigger reads it back to an equal definition.
func AppendTrigger(dst []byte, t Trigger, status json.RawMessage) []byte {
	w := &jsonWriter{dst}
	w.open('{')
	w.optional("id", t.ID)
	t.write(w)
	w.time("created", t.Created)
	w.time("updated", t.Updated)
	if t.ID != "" {
		w.text("etag", t.ETag())
	}
	if len(status) > 0 {
		w.literal("status", string(status))
	}
	w.close('}')
	return w.b
}

// MarshalJSON gives what AppendTrigger does without a status.
func (t Trigger) MarshalJSON() ([]byte, error) { return AppendTrigger(nil, t, nil), nil }

// AppendStoredTrigger appends the JSON that is stored: all of it, with the generation and the version.
func AppendStoredTrigger(dst []byte, t Trigger) []byte {
	w := &jsonWriter{dst}
	w.open('{')
	w.optional("id", t.ID)
	t.write(w)
	w.literal("generation", strconv.FormatUint(t.Generation, 10))
	w.time("since", t.Since)
	w.literal("version", strconv.FormatUint(t.Version, 10))
	w.time("created", t.Created)
	w.time("updated", t.Updated)
	w.close('}')
	return w.b
}

// DecodeStoredTrigger reads what AppendStoredTrigger wrote, also if it was a newer version that knows more fields, and what the API shows. It checks
// types, not rules: Compile refuses a condition of a kind that this version does not have.
func DecodeStoredTrigger(text []byte) (Trigger, error) {
	var t Trigger
	t.setDefaults()
	err := readStored(text, func(o *docObject) {
		o.get("id").text(&t.ID)
		t.read(o)
		o.get("generation").unsigned(&t.Generation)
		o.get("since").time(&t.Since)
		readVersion(o, &t.Version)
		o.get("created").time(&t.Created)
		o.get("updated").time(&t.Updated)
	})
	if err != nil {
		return Trigger{}, err
	}
	return t, nil
}

// write writes the definition's members.
func (t Trigger) write(w *jsonWriter) {
	w.text("name", t.Name)
	w.optional("title", t.Title)
	w.bool("enabled", t.Enabled)
	t.Key.write(w)
	w.condition("when", &t.When)
	if len(t.ResetOn) > 0 {
		w.conditions("reset_on", t.ResetOn)
	}
	t.Emit.write(w)
	w.duration("cooldown", t.Cooldown)
	if t.Clock != AcceptClock {
		w.optional("clock", string(t.Clock))
	}
}

// write writes the member "emit", unless it says nothing but defaults.
func (e Emit) write(w *jsonWriter) {
	include := e.Include
	if include == IncludeEvents {
		include = ""
	}
	if e.Type == "" && include == "" {
		return
	}
	w.name("emit")
	w.open('{')
	w.optional("type", e.Type)
	w.optional("include", string(include))
	w.close('}')
}
