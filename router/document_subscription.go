package router

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// SubscriptionDraft is a subscription as a document describes it: valid, but without what only the server knows. Create or Replace
// makes it one that can be stored.
type SubscriptionDraft struct {
	definition Subscription // its secrets are the new ones; what is to be kept is empty or masked
	changes    sinkChanges
	rules      Rules
}

// DecodeSubscription reads a document as the HTTP API describes it (Subscriptions). What it leaves out has its default; what only the
// server sets (id, status, etag, version, created, updated) is passed over, so that what GET gave can be sent back. The errors are
// those of readDocument: Malformed, TooLarge, and Invalid with all that is wrong, at "body.…".
func DecodeSubscription(text []byte, rules Rules) (SubscriptionDraft, error) {
	f := &docFaults{}
	d := decodeDraft(f, text, rules)
	if err := f.err("the subscription is not valid"); err != nil {
		return SubscriptionDraft{}, err
	}
	return d, nil
}

// readOnlyFields are what only the server sets in a definition of any kind (HTTP API, Conventions).
func readOnlyFields() []string {
	return []string{"id", "status", "etag", "version", "created", "updated", "previous_secret_until"}
}

func decodeDraft(f *docFaults, text []byte, rules Rules) SubscriptionDraft {
	d := SubscriptionDraft{definition: Subscription{Name: rules.Name, Enabled: true, Delivery: rules.delivery()}, rules: rules}
	f.read(text, func(o *docObject) {
		o.ignore(readOnlyFields()...)
		d.changes = d.definition.read(o)
		d.definition.check(f, documentRoot, rules)
	})
	return d
}

// Definition returns what the document says, without a secret that it does not name.
func (d SubscriptionDraft) Definition() Subscription { return d.definition }

// Create makes a new subscription of the draft. One with a webhook whose secret the document does not mention is signed with fresh, which
// the caller may show this once. Invalid: only Go code can subscribe a handler; a secret is masked or missing, or Rules.CheckAuth refuses it.
func (d SubscriptionDraft) Create(fresh string) (Subscription, error) {
	s := d.definition
	if s.Sink.Kind == HandlerSink {
		return Subscription{}, refusedHandler("is made by Go code, which subscribes under this name; it can't be created here")
	}
	if d.changes.secret == keepSecret && s.Sink.Kind == WebhookSink {
		s.Sink.Secret = fresh
	}
	return s, d.checkSecrets(s.Sink, Sink{})
}

// errPullKind says why a queue of one sort can't become one of the other: what waits in it is looked for elsewhere.
var errPullKind = &Error{
	Code: Invalid, Message: "a sink that is pulled from can't become one that is sent to, nor the other way round",
	Problems: []Problem{{documentRoot + ".sink.kind", "can't be changed from or to \"pull\"; delete the subscription and create another"}},
}

// Replace makes the draft take the place of old: it keeps the id, the version it was made from, the times, and the secrets that the document
// does not change. Invalid: old is a Go handler's and the draft differs from it, or the draft would make it one; the draft would make a sink that is pulled
// from one that is sent to, or the other way round; a secret is masked or missing where old has none, or Rules.CheckAuth refuses it.
func (d SubscriptionDraft) Replace(old Subscription) (Subscription, error) {
	s := d.definition
	s.ID, s.Version, s.Created, s.Updated = old.ID, old.Version, old.Created, old.Updated
	s.Sink = d.changes.keep(s.Sink, old.Sink)
	if d.changes.secret == keepSecret && s.Sink.Kind == old.Sink.Kind {
		s.Rotated = old.Rotated // a secret that is set takes the place of all others at once
	}
	if (s.Sink.Kind == PullSink) != (old.Sink.Kind == PullSink) {
		return Subscription{}, errPullKind
	}
	if old.Sink.Kind != HandlerSink && s.Sink.Kind != HandlerSink {
		return s, d.checkSecrets(s.Sink, old.Sink)
	}
	if !EqualDefinition(s, old) {
		return Subscription{}, refusedHandler("is Go code that subscribes under this name, and only that code changes it")
	}
	return old, nil
}

func refusedHandler(why string) error {
	return &Error{Code: Invalid, Message: "the subscription belongs to a Go handler", Problems: []Problem{{documentRoot + ".sink.kind", why}}}
}

// PatchSubscription applies a merge patch (RFC 7396) to a subscription as GET shows it, secret masked. A secret is kept unless the patch has
// another, and removed where the patch has null for it. The errors are those of DecodeSubscription and Replace; fields that the patch removes
// must be known too.
func PatchSubscription(old Subscription, patch []byte, rules Rules) (Subscription, error) {
	change, err := parseStrict(patch)
	if err != nil {
		return Subscription{}, err
	}
	shown, err := parseStrict(AppendSubscription(nil, old, SubscriptionView{}))
	if err != nil {
		return Subscription{}, err
	}
	f := &docFaults{}
	checkRemoved(f, old, change)
	d := decodeDraft(f, appendMerged(nil, shown, change), rules)
	if err := f.err("the patched subscription is not valid"); err != nil {
		return Subscription{}, err
	}
	d.changes.remove(change.member("sink"))
	return d.Replace(old)
}

// checkRemoved records unknown names in a patch: those with null leave no trace in what is merged, and would pass unseen.
func checkRemoved(f *docFaults, old Subscription, patch jsonValue) {
	f.mode = namesOnly
	docNode{patch, documentRoot, f}.object(func(o *docObject) {
		o.ignore(readOnlyFields()...)
		old.read(o)
	})
	f.mode = strict
}

// read takes the members of a definition, and tells what it says about the sink's secrets.
func (s *Subscription) read(o *docObject) (changes sinkChanges) {
	o.get("name").text(&s.Name)
	o.get("title").text(&s.Title)
	o.get("enabled").bool(&s.Enabled)
	o.get("filter").object(s.Filter.read)
	o.get("sink").object(func(o *docObject) { changes = s.Sink.read(o) })
	o.get("delivery").object(s.Delivery.read)
	return changes
}

func (filter *Filter) read(o *docObject) {
	types := o.get("types")
	types.list(MaxFilterItems, func(n int) { filter.Types = make([]string, n) }, func(i int, n docNode) { n.text(&filter.Types[i]) })
	if types.present() && len(filter.Types) == 0 {
		types.faults.add(types.at, "must name a type pattern; leave it out to match every type")
	}
	o.get("filters").list(MaxFilterItems,
		func(n int) { filter.Filters = make([]json.RawMessage, n) },
		func(i int, n docNode) { n.raw(&filter.Filters[i]) })
	if pattern := o.get("pattern"); pattern.is(jsontext.KindBeginObject, "an object") {
		pattern.raw(&filter.Pattern)
	}
}

func (s *Sink) read(o *docObject) sinkChanges {
	kind := string(s.Kind)
	o.get("kind").text(&kind)
	s.Kind = SinkKind(kind)
	switch s.Kind {
	case WebhookSink:
		return s.readWebhook(o)
	case StreamSink:
		s.readStream(o)
	case HandlerSink:
		o.get("timeout").duration(&s.Timeout)
	case PullSink:
		s.Lease, s.MaxAttempts = DefaultPullLease, DefaultPulls
		o.get("lease").duration(&s.Lease)
		o.get("max_attempts").integer(&s.MaxAttempts)
	default:
		o.ignoreRest() // the kind is refused; what would go with it is of no interest
	}
	return sinkChanges{}
}

func (s *Sink) readWebhook(o *docObject) sinkChanges {
	mode := string(Structured)
	s.Timeout = DefaultSinkTimeout
	o.get("url").text(&s.URL)
	o.get("mode").text(&mode)
	s.Mode = Mode(mode)
	o.get("timeout").duration(&s.Timeout)
	o.get("headers").object(func(o *docObject) {
		s.Headers = map[string]string{}
		o.each(MaxSinkHeaders, func(name string, n docNode) {
			value := ""
			n.text(&value)
			s.Headers[name] = value
		})
	})
	return sinkChanges{secret: s.readSecret(o.get("secret")), auth: s.Auth.readChange(o.get("auth"))}
}

func (d *Delivery) read(o *docObject) {
	o.get("retry").object(func(o *docObject) {
		r := &d.Retry
		o.get("schedule").list(MaxRetries, func(n int) { r.Schedule = make([]Duration, n) }, func(i int, n docNode) { n.duration(&r.Schedule[i]) })
		o.get("jitter").float(&r.Jitter)
	})
	o.get("max_in_flight").integer(&d.MaxInFlight)
	o.get("max_backlog").integer(&d.MaxBacklog)
	o.get("rate").object(d.Rate.read)
	o.get("breaker").object(d.Breaker.read)
	o.get("ordered").bool(&d.Ordered)
}

// SubscriptionView is how a subscription is shown.
type SubscriptionView struct {
	Secret bool            // the signing secret in clear: only in the answer to the call that made it
	Status json.RawMessage // an object for the member "status"; empty: none
}

// AppendSubscription appends the JSON that the API shows, its members in the order of the API's description. What only the server knows is
// left out of a definition that has no id. DecodeSubscription reads it back to an equal definition.
func AppendSubscription(dst []byte, s Subscription, v SubscriptionView) []byte {
	w := &jsonWriter{dst}
	w.open('{')
	w.optional("id", s.ID)
	s.masked(v.Secret).write(w)
	w.time("created", s.Created)
	w.time("updated", s.Updated)
	if s.ID != "" {
		w.text("etag", s.ETag())
	}
	w.time("previous_secret_until", s.rotatedUntil())
	if len(v.Status) > 0 {
		w.literal("status", string(v.Status))
	}
	w.close('}')
	return w.b
}

// MarshalJSON gives what AppendSubscription does for the zero SubscriptionView: all secrets are masked.
func (s Subscription) MarshalJSON() ([]byte, error) {
	return AppendSubscription(nil, s, SubscriptionView{}), nil
}

// AppendStored appends the JSON that is stored: all of it, the secrets as they are, and the version.
func AppendStored(dst []byte, s Subscription) []byte {
	w := &jsonWriter{dst}
	w.open('{')
	w.optional("id", s.ID)
	s.write(w)
	s.writeRotated(w)
	w.literal("version", strconv.FormatUint(s.Version, 10))
	w.time("created", s.Created)
	w.time("updated", s.Updated)
	w.close('}')
	return w.b
}

// DecodeStored reads what AppendStored wrote, also if it was a newer version that knows more fields, and what the API shows, the masked
// secret as it is. It checks types, not rules: a sink may be of a kind that this version does not have.
func DecodeStored(text []byte) (Subscription, error) {
	s := Subscription{Delivery: Delivery{Breaker: DefaultBreaker()}} // older versions stored none
	err := readStored(text, func(o *docObject) {
		o.get("id").text(&s.ID)
		s.read(o)
		s.readRotated(o.get("rotated_secrets"))
		readVersion(o, &s.Version)
		o.get("created").time(&s.Created)
		o.get("updated").time(&s.Updated)
	})
	if err != nil {
		return Subscription{}, err
	}
	return s, nil
}

// readVersion takes the version, or else the entity tag that is made of it.
func readVersion(o *docObject, version *uint64) {
	tag := ""
	o.get("etag").text(&tag)
	*version, _ = strconv.ParseUint(strings.Trim(tag, `"`), 10, 64)
	o.get("version").unsigned(version)
}

// write writes the definition's members.
func (s Subscription) write(w *jsonWriter) {
	w.text("name", s.Name)
	w.optional("title", s.Title)
	w.bool("enabled", s.Enabled)
	s.Filter.write(w, "filter")
	s.Sink.write(w)
	s.Delivery.write(w)
}

// write writes a member that is a filter.
func (filter Filter) write(w *jsonWriter, name string) {
	w.name(name)
	w.open('{')
	if len(filter.Types) > 0 {
		w.name("types")
		w.open('[')
		for _, t := range filter.Types {
			w.item(t)
		}
		w.close(']')
	}
	if len(filter.Filters) > 0 {
		w.name("filters")
		w.open('[')
		for _, dialect := range filter.Filters {
			w.separate()
			w.b = append(w.b, dialect...)
		}
		w.close(']')
	}
	if len(filter.Pattern) > 0 {
		w.literal("pattern", string(filter.Pattern))
	}
	w.close('}')
}

func (s Sink) write(w *jsonWriter) {
	w.name("sink")
	w.open('{')
	w.text("kind", string(s.Kind))
	w.optional("url", s.URL)
	w.optional("mode", string(s.Mode))
	if len(s.Headers) > 0 {
		w.name("headers")
		w.open('{')
		w.texts(s.Headers)
		w.close('}')
	}
	if s.Timeout != 0 {
		w.text("timeout", s.Timeout.String())
	}
	if s.Kind == PullSink {
		w.text("lease", s.Lease.String())
		w.integer("max_attempts", s.MaxAttempts)
	}
	if s.Kind == WebhookSink && s.Secret == "" {
		w.literal("secret", "null") // not left out: that would mean "as it is" on the way back
	} else {
		w.optional("secret", s.Secret)
	}
	s.Auth.write(w)
	if s.Kind == StreamSink {
		s.writeStream(w)
	}
	w.close('}')
}

func (d Delivery) write(w *jsonWriter) {
	w.name("delivery")
	w.open('{')
	w.name("retry")
	w.open('{')
	w.name("schedule")
	w.open('[')
	for _, delay := range d.Retry.Schedule {
		w.item(delay.String())
	}
	w.close(']')
	w.float("jitter", d.Retry.Jitter)
	w.close('}')
	w.integer("max_in_flight", d.MaxInFlight)
	w.integer("max_backlog", d.MaxBacklog)
	d.Rate.write(w)
	d.Breaker.write(w)
	if d.Ordered {
		w.bool("ordered", true)
	}
	w.close('}')
}

// EqualDefinition tells whether two subscriptions are defined alike: id, version and times do not count, nor how filters are written (order of
// members, escapes, 1 or 1.0). Secrets do; a masked one equals only a masked one.
func EqualDefinition(a, b Subscription) bool { return string(a.canonical()) == string(b.canonical()) }

// canonical is the definition as appendCanonical writes it.
func (s Subscription) canonical() []byte {
	text := s.appendDefinition(nil)
	v, err := parseJSON(text, &docFaults{})
	if err != nil {
		return text // a filter made by Go code that Validate would refuse
	}
	return appendCanonical(nil, v)
}

// Definition gives the definition, without what only the server sets, as maps and lists to print as JSON or YAML, the secrets masked. Definitions
// that EqualDefinition holds equal give equal maps. It is nil for a definition whose filter is not JSON.
func (s Subscription) Definition() map[string]any {
	v, err := parseJSON(s.masked(false).appendDefinition(nil), &docFaults{})
	if err != nil {
		return nil
	}
	definition, _ := v.plain().(map[string]any)
	return definition
}

// appendDefinition appends the JSON of what a document would say.
func (s Subscription) appendDefinition(dst []byte) []byte {
	w := &jsonWriter{dst}
	w.open('{')
	s.write(w)
	w.close('}')
	return w.b
}
