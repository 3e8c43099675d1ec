package router

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// SinkKind says where a subscription's deliveries go.
type SinkKind string

// The kinds of sinks.
const (
	WebhookSink SinkKind = "webhook"
	StreamSink  SinkKind = "stream" // a Redis Stream
	HandlerSink SinkKind = "handler"
	PullSink    SinkKind = "pull" // nothing is sent: workers take deliveries and say what became of them
)

// Mode is the CloudEvents HTTP content mode of a webhook.
type Mode string

// The content modes.
const (
	Structured Mode = "structured"
	Binary     Mode = "binary"
)

// Limits and defaults of a subscription.
const (
	MaxTitle           = 200     // characters
	MaxSinkURL         = 4 << 10 // bytes
	MaxSinkHeaders     = 32
	MaxSinkHeaderBytes = 8 << 10  // names and values together
	MaxFilterBytes     = 64 << 10 // types, filters and pattern together
	MaxFilterItems     = 1000     // of types, of filters
	MinSinkTimeout     = Duration(100 * time.Millisecond)
	MaxSinkTimeout     = Duration(5 * time.Minute)
	DefaultSinkTimeout = Duration(15 * time.Second)
	MinPullLease       = Duration(100 * time.Millisecond)
	MaxPullLease       = Duration(12 * time.Hour)
	DefaultPullLease   = Duration(30 * time.Second)
	MaxPullAttempts    = 100
	DefaultPulls       = 5      // attempts at a delivery that workers pull
	MaxPulled          = 10_000 // deliveries that workers have at a time, of one subscription and partition
	MaxMaxInFlight     = 1000
	DefaultMaxInFlight = 16
	MaxMaxBacklog      = 100_000_000
)

// Subscription is a filter and a sink: every event that the filter matches becomes one delivery to the sink.
//
// Its JSON, through MarshalJSON, is what the API shows, the secret masked. AppendStored keeps the secret, DecodeStored reads both.
type Subscription struct {
	ID       string   `json:"id"` // "sub_" and a ULID; made by the server
	Name     string   `json:"name"`
	Title    string   `json:"title,omitempty"`
	Enabled  bool     `json:"enabled"` // false: new events are not queued, the backlog goes on
	Filter   Filter   `json:"filter"`
	Sink     Sink     `json:"sink"`
	Delivery Delivery `json:"delivery"`

	Rotated []RotatedSecret `json:"-"` // signing secrets before Sink.Secret; not part of the definition

	Version uint64    `json:"-"` // grows with each change of any definition; the ETag is made of it
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// Sink is where deliveries go. The fields that apply depend on Kind.
type Sink struct {
	Kind    SinkKind          `json:"kind"`
	URL     string            `json:"url,omitempty"`
	Mode    Mode              `json:"mode,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Timeout Duration          `json:"timeout,omitempty"` // of one attempt; of a handler: zero is no limit of the subscription's own
	Secret  string            `json:"secret,omitempty"`  // "whsec_…"; empty: deliveries are not signed
	Auth    Auth              `json:"auth,omitzero"`

	Lease       Duration `json:"lease,omitempty"`        // pull: how long a worker has a delivery that does not say how long
	MaxAttempts int      `json:"max_attempts,omitempty"` // pull: after so many, a delivery becomes a dead letter
	Stream      string   `json:"stream,omitempty"`       // the stream's name, which is its key
	MaxLen      int      `json:"maxlen,omitempty"`       // entries that the stream keeps, about; 0: all
	Redis       string   `json:"redis,omitempty"`        // URL of another Redis; empty: Streamlatch's own
}

// Delivery says how deliveries are made.
type Delivery struct {
	Retry       Retry   `json:"retry"`
	MaxInFlight int     `json:"max_in_flight"`
	Rate        Rate    `json:"rate"`
	Breaker     Breaker `json:"breaker"`
	Ordered     bool    `json:"ordered,omitempty"` // one at a time per partition key, else subject
	MaxBacklog  int     `json:"max_backlog"`       // deliveries that a partition's queue may hold; newer ones become dead letters. 0: any number
}

// Retry is when failed attempts are made again: attempt n+1 follows attempt n after Schedule[n-1], give or take Jitter
// (a fraction of it). After the last one the delivery becomes a dead letter.
type Retry struct {
	Schedule []Duration `json:"schedule"`
	Jitter   float64    `json:"jitter"`
}

// DefaultDelivery is how deliveries are made where neither the definition nor the server's configuration says anything.
func DefaultDelivery() Delivery {
	return Delivery{Retry: DefaultRetry(), MaxInFlight: DefaultMaxInFlight, Breaker: DefaultBreaker()}
}

// Rules are what a deployment adds to the rules of definitions. The zero Rules are good for a definition whose sink is Go code. What a check
// returns is shown to the caller: of an *Error the problems, at locations such as "sink.url", of another error its text, at the field checked.
type Rules struct {
	// Delivery stands in for what a document leaves out of "delivery". Defaults to DefaultDelivery().
	Delivery Delivery
	// Name is the name of a document that has none, such as the one in the URL of a PUT. Defaults to refusing such a document.
	Name string
	// CheckURL decides on a webhook's URL. Defaults to taking every absolute http or https URL.
	CheckURL func(url string) error
	// CheckHeaders decides on a webhook's headers, none of which is too many or too large. Defaults to taking all.
	CheckHeaders func(headers map[string]string) error
	// CheckSecret decides on a signing secret. Defaults to taking what begins with "whsec_".
	CheckSecret func(secret string) error
	// CheckRedis decides on the URL of a stream sink's Redis. Defaults to taking every one that looks like such.
	CheckRedis func(url string) error
	// CheckAuth decides on a webhook's auth, when nothing of it is masked or left out any more. It is asked where a definition is made, not by Validate.
	// Defaults to taking all.
	CheckAuth func(sink Sink) error
	// CheckSource decides on what belongs to a source's provider. Defaults to taking no source.
	CheckSource func(s Source) error
}

// delivery is the default of "delivery", a copy of its own.
func (r Rules) delivery() Delivery {
	d := r.Delivery
	if d.MaxInFlight == 0 {
		d = DefaultDelivery()
	}
	d.Retry.Schedule = slices.Clone(d.Retry.Schedule)
	return d
}

// Validate tells whether the definition can be stored and used, whoever made it: a caller of the API or Go code that subscribes a handler.
// The error is an *Error (Invalid) that names each faulty field ("sink.timeout").
func (s Subscription) Validate(rules Rules) error {
	f := &docFaults{}
	s.check(f, "", rules)
	return f.err("the subscription is not valid")
}

// check records what is wrong with a definition that stands at a place.
func (s Subscription) check(f *docFaults, at string, rules Rules) {
	if s.Name == "" {
		f.add(memberAt(at, "name"), "is required")
	} else if !namePattern.MatchString(s.Name) {
		f.add(memberAt(at, "name"), "must be %s", nameRule)
	}
	checkTitle(f, memberAt(at, "title"), s.Title)
	s.Filter.check(f, memberAt(at, "filter"))
	s.Sink.check(f, at, rules)
	if n := s.Delivery.MaxInFlight; n < 1 || n > MaxMaxInFlight {
		f.add(within(at, "delivery.max_in_flight"), "must be from 1 to %d", MaxMaxInFlight)
	}
	if n := s.Delivery.MaxBacklog; n < 0 || n > MaxMaxBacklog {
		f.add(within(at, "delivery.max_backlog"), "must be from 0 (no limit) to %d", MaxMaxBacklog)
	}
	f.refuse(at, "delivery.retry", s.Delivery.Retry.Check())
	f.refuse(at, "delivery.rate", s.Delivery.Rate.Check())
	f.refuse(at, "delivery.breaker", s.Delivery.Breaker.Check())
}

// checkTitle holds free text to a length, and to characters that can't upset a terminal or a log.
func checkTitle(f *docFaults, at, title string) {
	if utf8.RuneCountInString(title) > MaxTitle {
		f.add(at, "must have at most %d characters", MaxTitle)
	}
	if !utf8.ValidString(title) || strings.ContainsFunc(title, unicode.IsControl) {
		f.add(at, "must not contain control characters")
	}
}

// check records what is wrong with a filter that stands at a place, and compiles it where nothing is.
func (filter Filter) check(f *docFaults, at string) *CompiledFilter {
	size := len(filter.Pattern)
	for _, t := range filter.Types {
		size += len(t)
	}
	for _, dialect := range filter.Filters {
		size += len(dialect)
	}
	if size > MaxFilterBytes {
		f.spoil(at, "has %d bytes; at most %d are possible", size, MaxFilterBytes)
		return nil
	}
	compiled, err := filter.Compile()
	f.refuse(at, "", err)
	return compiled
}

// check records what is wrong with the sink of a definition that stands at a place.
func (s Sink) check(f *docFaults, at string, rules Rules) {
	kind := within(at, "sink.kind")
	switch s.Kind {
	case WebhookSink:
		s.checkWebhook(f, at, rules)
	case StreamSink:
		s.checkStream(f, at, rules)
	case HandlerSink:
		s.checkHandler(f, at)
	case "":
		f.add(kind, "is required")
	case PullSink:
		s.checkPull(f, at)
	default:
		f.add(kind, "%s is not a kind of sink; %q, %q and %q are", quoteShort(string(s.Kind)), WebhookSink, StreamSink, PullSink)
	}
}

func (s Sink) checkWebhook(f *docFaults, at string, rules Rules) {
	switch url := within(at, "sink.url"); {
	case s.URL == "":
		f.add(url, "is required")
	case len(s.URL) > MaxSinkURL:
		f.add(url, "has %d bytes; at most %d are possible", len(s.URL), MaxSinkURL)
	default:
		f.refuse(at, "sink.url", orElse(rules.CheckURL, checkHTTPURL)(s.URL))
	}
	if s.Mode != Structured && s.Mode != Binary {
		f.add(within(at, "sink.mode"), "must be %q or %q", Structured, Binary)
	}
	s.checkTimeout(f, at)
	s.checkHeaders(f, at, rules)
	s.Auth.check(f, at)
	if s.Secret != "" {
		f.refuse(at, "sink.secret", orElse(rules.CheckSecret, checkSecretPrefix)(s.Secret))
	}
}

func (s Sink) checkHandler(f *docFaults, at string) {
	if s.URL != "" || s.Mode != "" || len(s.Headers) > 0 || s.Secret != "" || s.Auth != (Auth{}) || s.Stream != "" || s.Redis != "" {
		f.add(within(at, "sink"), "is a Go handler, which has no url, mode, headers, secret, auth, stream or redis")
	}
	if s.Timeout != 0 {
		s.checkTimeout(f, at)
	}
}

func (s Sink) checkPull(f *docFaults, at string) {
	if s.URL != "" || s.Mode != "" || len(s.Headers) > 0 || s.Secret != "" || s.Timeout != 0 || s.Auth != (Auth{}) {
		f.add(within(at, "sink"), "is pulled from: it has no url, mode, headers, timeout, secret or auth")
	}
	checkPullLease(f, within(at, "sink.lease"), s.Lease)
	if s.MaxAttempts < 1 || s.MaxAttempts > MaxPullAttempts {
		f.add(within(at, "sink.max_attempts"), "must be from 1 to %d", MaxPullAttempts)
	}
}

func checkPullLease(f *docFaults, at string, lease Duration) {
	if lease < MinPullLease || lease > MaxPullLease {
		f.add(at, "must be from %s to %s", MinPullLease, MaxPullLease)
	}
}

func (s Sink) checkTimeout(f *docFaults, at string) {
	if s.Timeout < MinSinkTimeout || s.Timeout > MaxSinkTimeout {
		f.add(within(at, "sink.timeout"), "must be from %s to %s", MinSinkTimeout, MaxSinkTimeout)
	}
}

func (s Sink) checkHeaders(f *docFaults, at string, rules Rules) {
	size := 0
	for name, value := range s.Headers {
		size += len(name) + len(value)
	}
	headers := within(at, "sink.headers")
	switch {
	case len(s.Headers) > MaxSinkHeaders:
		f.spoil(headers, "has %d headers; at most %d are possible", len(s.Headers), MaxSinkHeaders)
	case size > MaxSinkHeaderBytes:
		f.spoil(headers, "has %d bytes; at most %d are possible", size, MaxSinkHeaderBytes)
	case rules.CheckHeaders != nil && len(s.Headers) > 0:
		f.refuse(at, "sink.headers", rules.CheckHeaders(s.Headers))
	}
}

// orElse is the check that was configured, or the default.
func orElse(check, byDefault func(string) error) func(string) error {
	if check != nil {
		return check
	}
	return byDefault
}

func checkHTTPURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return Errorf(Invalid, "must be an absolute http or https URL")
	}
	return nil
}

func checkSecretPrefix(s string) error {
	if !strings.HasPrefix(s, secretPrefix) {
		return Errorf(Invalid, "must begin with %q", secretPrefix)
	}
	return nil
}

// ETag is the entity tag of this version of the definition, strong and quoted: `"12"`.
func (s Subscription) ETag() string { return strconv.Quote(strconv.FormatUint(s.Version, 10)) }
