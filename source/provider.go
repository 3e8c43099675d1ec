package source

import (
	"slices"
	"strings"
	"time"
)

// Tolerance is how far the time of a signed message may lie from the clock, before it or after it.
const Tolerance = 5 * time.Minute

// provider is who sends messages, as data.
type provider struct {
	name      string
	schemes   []scheme // any one that fits is enough
	ours      bool     // the secret is chosen by the receiver, so the server can make one; else the provider gives it out
	fields    []string // fields of a definition that say more; others of these are refused
	handshake string
	mapping   mapping
	sample    sample
}

// sample is a message as the provider sends it.
type sample struct {
	contentType string            // defaults to JSON
	header      map[string]string // {id} stands for something new in each message
	body        string            // the same, and {time} is the time in seconds
}

// The fields of a definition that go with some providers only.
const (
	signatureField = "signature"
	tokenField     = "token"
	userField      = "user"
	publicKeyField = "public_key"
	handshakeField = "handshake"
	urlField       = "url"
)

func specificFields() []string {
	return []string{signatureField, tokenField, userField, publicKeyField, handshakeField, urlField}
}

// Headers of Standard Webhooks.
const (
	webhookID        = "Webhook-Id"
	webhookTimestamp = "Webhook-Timestamp"
	webhookSignature = "Webhook-Signature"
)

// standardWebhooks is the symmetric scheme of Standard Webhooks 1.0.0.
func standardWebhooks() scheme {
	return scheme{
		proof: hmacProof, header: webhookSignature, hash: "sha256", encoding: "base64", separator: " ", prefix: "v1,",
		signed: "{header:Webhook-Id}.{timestamp}.{body}", timestamp: timestamp{header: webhookTimestamp}, secret: base64Secret,
	}
}

// standardPublicKey is its asymmetric scheme.
func standardPublicKey() scheme {
	s := standardWebhooks()
	s.proof, s.prefix = publicKeyProof, "v1a,"
	return s
}

// twilio is one of its two schemes.
func twilio(signed string) scheme {
	return scheme{proof: hmacProof, header: "X-Twilio-Signature", hash: "sha1", encoding: "base64", signed: signed}
}

// providers is the table. Where what a provider does is written down:
//
//	github   docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries; the older header with SHA-1 does not count
//	gitlab   docs.gitlab.com/user/project/integrations/webhooks, and merge request gitlab-org/gitlab!230944 for the signing token
//	stripe   docs.stripe.com/webhooks#verify-manually; the secret is used as text, its whsec_ included
//	slack    api.slack.com/authentication/verifying-requests-from-slack, and api.slack.com/events/url_verification
//	shopify  shopify.dev/docs/apps/build/webhooks; an event id is unique within a topic only
//	twilio   twilio.com/docs/usage/security: a form's fields are signed, of other bodies the digest in the query
func providers() []provider {
	return []provider{
		{
			name: "github", ours: true,
			schemes: []scheme{{proof: hmacProof, header: "X-Hub-Signature-256", hash: "sha256", encoding: "hex", prefix: "sha256=", signed: "{body}"}},
			mapping: mapping{
				prefix:  "github.",
				types:   []typeRule{{parts: []string{"header.x-github-event", "data.action"}}},
				id:      []string{"header.x-github-delivery"},
				subject: "data.repository.full_name|data.organization.login|data.sender.login",
				time: "data.head_commit.timestamp|data.workflow_run.updated_at|data.workflow_job.completed_at|data.check_run.completed_at|data.check_suite.updated_at|" +
					"data.review.submitted_at|data.comment.updated_at|data.release.published_at|data.pull_request.updated_at|data.issue.updated_at|data.deployment_status.updated_at",
				extensions: map[string]string{"githubevent": "header.x-github-event", "githubhook": "header.x-github-hook-id", "githubsender": "data.sender.login"},
			},
			sample: sample{
				header: map[string]string{"X-Github-Event": "ping", "X-Github-Delivery": "{id}"},
				body:   `{"zen":"Keep it logically awesome.","hook_id":1,"repository":{"full_name":"octo-org/octo-repo"},"sender":{"login":"octocat"}}`,
			},
		},
		{
			name: "gitlab", ours: true,
			schemes: []scheme{standardWebhooks(), {proof: tokenProof, header: "X-Gitlab-Token"}},
			mapping: mapping{
				prefix:     "gitlab.",
				types:      []typeRule{{parts: []string{"data.object_kind|data.event_name|header.x-gitlab-event", "data.object_attributes.action|data.action"}}},
				id:         []string{"header.webhook-id|header.idempotency-key"},
				subject:    "data.project.path_with_namespace|data.project.name|data.group_path|data.group_name",
				time:       "data.object_attributes.updated_at|data.object_attributes.finished_at|data.updated_at|data.object_attributes.created_at|data.created_at",
				extensions: map[string]string{"gitlabevent": "header.x-gitlab-event", "gitlabinstance": "header.x-gitlab-instance"},
			},
			sample: sample{
				header: map[string]string{"X-Gitlab-Event": "Push Hook", "Idempotency-Key": "{id}"},
				body:   `{"object_kind":"push","ref":"refs/heads/main","project":{"path_with_namespace":"mike/diaspora"}}`,
			},
		},
		{
			name: "stripe",
			schemes: []scheme{{
				proof: hmacProof, header: "Stripe-Signature", hash: "sha256", encoding: "hex", separator: ",", prefix: "v1=",
				signed: "{timestamp}.{body}", timestamp: timestamp{prefix: "t="},
			}},
			mapping: mapping{
				prefix: "stripe.", types: []typeRule{{parts: []string{"data.type"}}},
				id: []string{"data.id"}, subject: "data.data.object.id|data.related_object.id", time: "data.created",
				extensions: map[string]string{"stripeaccount": "data.account|data.context", "stripeversion": "data.api_version"},
			},
			sample: sample{body: `{"id":"evt_{id}","object":"event","api_version":"2025-06-30","created":{time},"type":"invoice.paid","livemode":false,"data":{"object":{"id":"in_sample","object":"invoice"}}}`},
		},
		{
			name: "slack", handshake: "slack",
			schemes: []scheme{{
				proof: hmacProof, header: "X-Slack-Signature", hash: "sha256", encoding: "hex", prefix: "v0=",
				signed: "v0:{timestamp}:{body}", timestamp: timestamp{header: "X-Slack-Request-Timestamp"},
			}},
			mapping: mapping{
				prefix: "slack.",
				types: []typeRule{
					{where: "data.command", word: "command", parts: []string{"data.command"}},
					{parts: []string{"data.event.type|data.type", "data.event.subtype"}},
				},
				id:      []string{"data.event_id|data.trigger_id"},
				subject: "data.event.channel|data.event.channel.id|data.event.item.channel|data.channel_id|data.channel.id",
				time:    "data.event_time",
				extensions: map[string]string{
					"slackteam": "data.team_id|data.team.id", "slackuser": "data.event.user|data.event.user.id|data.user_id|data.user.id", "slackapp": "data.api_app_id",
				},
			},
			sample: sample{
				contentType: formType,
				body:        "token=sample&team_id=T0001&team_domain=example&channel_id=C0001&channel_name=test&user_id=U0001&user_name=sample&command=%2Fsample&text=hello&trigger_id={id}",
			},
		},
		{
			name:    "shopify",
			schemes: []scheme{{proof: hmacProof, header: "X-Shopify-Hmac-Sha256", hash: "sha256", encoding: "base64", signed: "{body}"}},
			mapping: mapping{
				prefix: "shopify.", types: []typeRule{{parts: []string{"header.x-shopify-topic"}}},
				id:      []string{"header.x-shopify-event-id|header.x-shopify-webhook-id", "header.x-shopify-topic"},
				subject: "data.admin_graphql_api_id|data.id", time: "header.x-shopify-triggered-at|data.updated_at|data.created_at",
				extensions: map[string]string{"shopifytopic": "header.x-shopify-topic", "shopifyshop": "header.x-shopify-shop-domain", "shopifyversion": "header.x-shopify-api-version"},
			},
			sample: sample{
				header: map[string]string{"X-Shopify-Topic": "orders/create", "X-Shopify-Event-Id": "{id}", "X-Shopify-Shop-Domain": "example.myshopify.com"},
				body:   `{"id":820982911946154508,"email":"jon@example.com"}`,
			},
		},
		{
			name: "twilio", fields: []string{urlField},
			schemes: []scheme{twilio("{url}{form}"), twilio("{url}{digest:bodySHA256}")},
			mapping: mapping{
				prefix: "twilio.",
				types: []typeRule{
					{where: "data.MessageSid", word: "message", parts: []string{"data.MessageStatus|data.SmsStatus"}},
					{where: "data.CallSid", word: "call", parts: []string{"data.CallStatus"}},
					{parts: []string{"data.EventType"}},
				},
				id: []string{"header.i-twilio-idempotency-token"}, subject: "data.MessageSid|data.CallSid|data.ConversationSid|data.AccountSid", time: "data.Timestamp",
				extensions: map[string]string{"twilioaccount": "data.AccountSid"},
			},
			sample: sample{
				contentType: formType, header: map[string]string{"I-Twilio-Idempotency-Token": "{id}"},
				body: "MessageSid=SM00000000000000000000000000000000&AccountSid=AC00000000000000000000000000000000&MessageStatus=delivered&From=%2B15005550006&To=%2B15005550009",
			},
		},
		{
			name: "standard-webhooks", ours: true, fields: []string{publicKeyField, handshakeField},
			schemes: []scheme{standardWebhooks(), standardPublicKey()},
			mapping: mapping{types: plainTypes(), id: []string{"header.webhook-id"}, time: "data.timestamp"},
			sample:  sample{header: map[string]string{webhookID: "msg_{id}"}, body: `{"type":"sample","data":{"hello":"world"}}`},
		},
		{
			name: "hmac", ours: true, fields: []string{signatureField, handshakeField, urlField},
			mapping: mapping{types: plainTypes()}, sample: plainSample(),
		},
		{
			name: "token", ours: true, fields: []string{tokenField, handshakeField},
			schemes: []scheme{{proof: tokenProof, header: "X-Webhook-Token"}},
			mapping: mapping{types: plainTypes()}, sample: plainSample(),
		},
		{
			name: "basic", ours: true, fields: []string{userField, handshakeField},
			schemes: []scheme{{proof: basicProof, header: "Authorization"}},
			mapping: mapping{types: plainTypes()}, sample: plainSample(),
		},
		{
			name: "none", ours: true, fields: []string{handshakeField},
			schemes: []scheme{{proof: pathProof}},
			mapping: mapping{types: plainTypes()}, sample: plainSample(),
		},
	}
}

// plainTypes is how senders of their own kind are most likely to say what has happened.
func plainTypes() []typeRule {
	return []typeRule{{where: "data.type", parts: []string{"data.type"}}, {parts: []string{"data.event"}}}
}

func plainSample() sample { return sample{body: `{"type":"sample","hello":"world"}`} }

// Providers lists the names of all providers.
func Providers() []string {
	var names []string
	for _, p := range providers() {
		names = append(names, p.name)
	}
	return names
}

// MakesSecret tells whether the receiver chooses the secret, so that one can be made; else the provider gives it out.
func MakesSecret(name string) bool {
	p, ok := findProvider(name)
	return ok && p.ours
}

// KeyedPath tells whether what protects a source of the provider is its path, which ends with the secret.
func KeyedPath(name string) bool {
	p, _ := findProvider(name)
	return slices.ContainsFunc(p.schemes, func(s scheme) bool { return s.proof == pathProof })
}

func findProvider(name string) (provider, bool) {
	all := providers()
	if i := slices.IndexFunc(all, func(p provider) bool { return p.name == name }); i >= 0 {
		return all[i], true
	}
	return provider{}, false
}

// FreshSecret makes the secret of a new source out of one that was made for it, "whsec_" and base64; "": its provider gives out the secret. One that ends a path
// is in the letters of paths.
func FreshSecret(name, made string) string {
	switch {
	case !MakesSecret(name):
		return ""
	case KeyedPath(name):
		return strings.NewReplacer("whsec_", "", "+", "-", "/", "_", "=", "").Replace(made)
	}
	return made
}
