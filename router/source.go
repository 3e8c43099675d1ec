package router

import (
	"strconv"
	"time"
)

// Limits of a source.
const (
	MaxSourceSecrets     = 8
	MaxSourceSecretBytes = 1 << 10
	MaxExtracts          = 16
	MaxMatchBytes        = 1 << 10 // of a regular expression
	MaxReplyBytes        = 4 << 10
	MaxSourceRate        = 1_000_000
)

// Source is a webhook inlet: who sends there, what shows that it is them, and how what they send becomes an event. What a provider is, and which
// fields go with it, the package source knows.
type Source struct {
	ID       string // "src_" and a ULID; made by the server
	Name     string
	Title    string
	Enabled  bool // false: the inlet is closed
	Provider string

	Secrets   []string // any one that fits is enough, so that they can be rotated; none: everything is refused
	PublicKey string   // "whpk_…", of senders that sign with a private key
	User      string   // of basic authentication
	URL       string   // the inlet's, as senders that sign it call it, without a query
	Signature SourceSignature
	Token     SourceToken
	Handshake string // what is asked of the inlet before anything is sent to it; "": what the provider does

	TypePrefix *string // begins the types of the events; nil: the provider's
	Map        SourceMap
	Extract    []Extract // in the order of their names

	Reply SourceReply
	Rate  SourceRate

	Version uint64 // grows with each change of any definition; the ETag is made of it
	Created time.Time
	Updated time.Time
}

// SourceSignature says how messages are signed with an HMAC, where the provider does not say it.
type SourceSignature struct {
	Header    string
	Algorithm string // "sha1", "sha256", "sha384" or "sha512"
	Encoding  string // "hex" or "base64"
	Prefix    string // before the signature
	Separator string // between several items of the header; "": there is one
	Signed    string // template of what is signed: "{timestamp}.{body}"
	Timestamp SourceTimestamp
}

// SourceTimestamp says where the time of a signed message is; the zero SourceTimestamp is no time.
type SourceTimestamp struct {
	Header string
	Prefix string // in place of Header: the time is the item of the signature's header that begins with it
	Unit   string // "s" or "ms", since 1970
}

// SourceToken says where the token is; the zero SourceToken is the provider's default.
type SourceToken struct {
	Header string
	Query  string
}

// SourceMap says where attributes of events come from, as paths; "" is as the provider has it.
type SourceMap struct {
	Type, Source, Subject, ID, Time string
}

// Extract makes an extension attribute out of a part of a message.
type Extract struct {
	Name  string
	Path  string
	Match string // a regular expression; its first group, or all that it matches, is the value. "": the value at Path
}

// SourceReply is what is answered when a message is stored; Status 0 is the server's own answer.
type SourceReply struct {
	Status      int
	ContentType string
	Body        string
}

// SourceRate is how many messages each replica takes; Limit 0 is no limit.
type SourceRate struct {
	Limit int
	Per   Duration
}

// ETag is the entity tag of this version of the definition, strong and quoted: `"12"`.
func (s Source) ETag() string { return strconv.Quote(strconv.FormatUint(s.Version, 10)) }

// InletPath is where the source takes messages. A source without signatures is protected by the key that ends its path.
func (s Source) InletPath(key string) string {
	if key == "" {
		return "/in/" + s.Name
	}
	return "/in/" + s.Name + "/" + key
}

// SourceCounts is what a source counted.
type SourceCounts struct {
	Accepted  int64 // messages that became events
	Duplicate int64 // repeats
	Changed   int64 // of those, with other content than the first time
	Rejected  int64 // messages that were not verified
	Limited   int64 // over the rate
	Failed    int64 // verified, and not stored
}

// Add adds what another one counted.
func (c *SourceCounts) Add(d SourceCounts) {
	c.Accepted += d.Accepted
	c.Duplicate += d.Duplicate
	c.Changed += d.Changed
	c.Rejected += d.Rejected
	c.Limited += d.Limited
	c.Failed += d.Failed
}
