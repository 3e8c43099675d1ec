package main

import (
	"strings"
	"time"

	"github.com/streamlatch/streamlatch/redisstore"
	"github.com/streamlatch/streamlatch/router"
)

// setting is one row of the table that flags, variables, keys of the file, their documentation and what is printed of them are made of.
type setting struct {
	name      string                                // of the flag and the key; the variable is made of it
	kind      string                                // what a value looks like, in a word
	byDefault string                                // a value's text; of a list, its elements with commas between them
	help      string                                // one or two sentences, without a full stop at the end
	list      bool                                  // may be given several times
	serveOnly bool                                  // dev does not have it
	mask      func(string) string                   // what is shown of a secret value. Defaults to all of it.
	set       func(c *config, value []string) error // one element, unless list
}

// envPrefix begins the names of all variables.
const envPrefix = "STREAMLATCH_"

// variable is the name of the setting's environment variable.
func (s setting) variable() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// elements gives the default as a list.
func (s setting) elements() []string {
	if s.byDefault == "" {
		return nil
	}
	if s.list {
		return strings.Split(s.byDefault, ",")
	}
	return []string{s.byDefault}
}

// section is a group of settings in the documentation.
type section struct {
	title    string
	settings []setting
}

// sections is the table of settings.
func sections() []section {
	return []section{
		{"Listening", listenSettings()},
		{"Redis", redisSettings()},
		{"The log", logSettings()},
		{"Publishing and reading", publishSettings()},
		{"Routing and deliveries", deliverySettings()},
		{"Logs and metrics", outputSettings()},
	}
}

// settings are the rows of all sections that serve has, or dev.
func settings(dev bool) (all []setting) {
	for _, s := range sections() {
		for _, row := range s.settings {
			if !dev || !row.serveOnly {
				all = append(all, row)
			}
		}
	}
	return all
}

func listenSettings() []setting {
	return []setting{
		{name: "listen", kind: "host:port", byDefault: "127.0.0.1:8080", set: address(func(c *config) *string { return &c.Listen }),
			help: "address to listen on. Without API keys it has to be a loopback address"},
		{name: "hosts", kind: "names", list: true, set: texts(func(c *config) *[]string { return &c.API.Hosts }),
			help: "names, besides localhost and IP addresses, by which clients may address a server that has no API keys"},
		{name: "api-keys", kind: "YAML list", mask: maskKeys, set: setKeys,
			help: "API keys: name, hash, scopes and types of each, as `streamlatch key new` prints them. The file takes the list as it is, a flag or a variable its text in YAML or JSON"},
		{name: "api-keys-file", kind: "file", set: setKeysFile,
			help: "YAML file with such a list, in addition to api-keys"},
	}
}

func redisSettings() []setting {
	return []setting{
		{name: "redis", kind: "URL", serveOnly: true, mask: maskURL, set: setRedis,
			help: "redis://[user:password@]host[:port][/db], unix:///path[?db=n], redis+sentinel://host[:port],…/master[?db=n] or redis+cluster://host[:port],…; rediss in the place of redis encrypts. Required"},
		{name: "redis-ca-file", kind: "file", serveOnly: true, set: text(func(c *config) *string { return &c.redisFiles.ca }),
			help: "certificate authorities that Redis' certificate is checked against, in PEM, instead of the system's"},
		{name: "redis-cert-file", kind: "file", serveOnly: true, set: text(func(c *config) *string { return &c.redisFiles.certificate }),
			help: "certificate to show to Redis, in PEM"},
		{name: "redis-key-file", kind: "file", serveOnly: true, set: text(func(c *config) *string { return &c.redisFiles.key }),
			help: "private key of redis-cert-file, in PEM"},
		{name: "secrets-key", kind: "base64", list: true, serveOnly: true, mask: maskSecretsKey, set: setSecretsKeys,
			help: "keys that signing secrets, tokens, passwords and private keys are sealed with in Redis, 32 bytes each, as `streamlatch key secrets` makes them: the first one seals, all open"},
		{name: "secrets-key-file", kind: "file", serveOnly: true, set: setSecretsKeyFile,
			help: "file with such keys, one a line, in addition to secrets-key and behind it"},
		{name: "namespace", kind: "name", byDefault: "sl", set: setNamespace,
			help: "what all keys in Redis begin with; deployments that share a Redis differ in it. Lower-case letters, digits and hyphens, at most 32"},
		{name: "partitions", kind: "number", byDefault: "0", set: number(func(c *config) *int { return &c.Store.Partitions }, 0, redisstore.MaxPartitions),
			help: "partitions of the log, fixed when the deployment first starts; 0 takes what was fixed, or 1. More than 1 pays on a Cluster only"},
		{name: "wait-replicas", kind: "number", byDefault: "0", serveOnly: true, set: number(func(c *config) *int { return &c.Store.WaitReplicas }, 0, 16),
			help: "replicas of Redis that must have an event before it counts as accepted (WAIT). Only all of them make a failover safe"},
		{name: "wait-timeout", kind: "duration", byDefault: "1s", serveOnly: true, set: duration(func(c *config) *time.Duration { return &c.Store.WaitTimeout }, "1ms", "1m"),
			help: "how long to wait for them"},
	}
}

func logSettings() []setting {
	return []setting{
		{name: "retention", kind: "duration", byDefault: "24h", set: duration(func(c *config) *time.Duration { return &c.Store.Retention }, "1s", "3650d"),
			help: "how long the log keeps events, for reading and replay. What is not routed yet, or waits in a queue, is kept longer"},
		{name: "log-max-bytes", kind: "size", byDefault: "2GiB", serveOnly: true, set: size(func(c *config) *int64 { return &c.Store.LogMaxBytes }, 1<<20, 1<<50),
			help: "how much the log keeps, over all partitions, about; the older part goes first. `dev` keeps 8 MiB"},
		{name: "dedupe-window", kind: "duration", byDefault: "1h", set: duration(func(c *config) *time.Duration { return &c.Store.DedupeWindow }, "1s", "30d"),
			help: "how long, at least, an event that is published again is known as a duplicate. An event takes 105 to 120 bytes of Redis for one to one and a half times as long"},
		{name: "dead-letter-retention", kind: "duration", byDefault: "30d", set: duration(func(c *config) *time.Duration { return &c.Store.DeadLetterRetention }, "1m", "3650d"),
			help: "how long dead letters are kept"},
	}
}

func publishSettings() []setting {
	return []setting{
		{name: "publish-rate", kind: "number", byDefault: "0", set: rate(func(c *config) *float64 { return &c.API.PublishRate }),
			help: "events per second that each API key may publish to one replica, or all callers together where there are no keys; 0 is no limit"},
		{name: "max-event-bytes", kind: "size", byDefault: "1MiB", set: intSize(func(c *config) *int { return &c.API.Limits.MaxEventBytes }, 1<<10, 64<<20),
			help: "largest event"},
		{name: "max-batch-events", kind: "number", byDefault: "1000", set: number(func(c *config) *int { return &c.API.Limits.MaxBatchEvents }, 1, 100_000),
			help: "most events in one request"},
		{name: "max-batch-bytes", kind: "size", byDefault: "16MiB", set: intSize(func(c *config) *int { return &c.API.Limits.MaxBatchBytes }, 1<<10, 512<<20),
			help: "largest request with several events"},
		{name: "max-streams", kind: "number", byDefault: "1000", set: number(func(c *config) *int { return &c.API.MaxStreams }, 1, 1_000_000),
			help: "most event streams (tail) that are open at a time on one replica"},
	}
}

func deliverySettings() []setting {
	defaults := router.DefaultDelivery()
	return []setting{
		{name: "lease", kind: "duration", byDefault: "3s", set: duration(func(c *config) *time.Duration { return &c.Router.Lease }, "500ms", "5m"),
			help: "how long a replica may be silent before another takes over what it was routing"},
		{name: "max-sends", kind: "number", byDefault: "1024", set: number(func(c *config) *int { return &c.Router.MaxSends }, 1, 100_000),
			help: "most deliveries that one replica has under way at a time"},
		{name: "allow-targets", kind: "CIDRs", list: true, set: setTargets,
			help: "private addresses that webhooks, and streams on another Redis, may go to, as ranges (10.1.0.0/16) or single addresses; all others are refused when saved and when dialled. `dev` allows loopback besides"},
		{name: "allow-ports", kind: "numbers", list: true, set: setPorts,
			help: "the only ports that webhooks may go to. Without, all are possible but those of services that would take the lines of a request for commands, such as SMTP, Redis and memcached"},
		{name: "delivery-retry-schedule", kind: "durations", list: true, byDefault: schedule(defaults.Retry.Schedule), set: setSchedule,
			help: "waits before each further attempt, for subscriptions that don't say; after the last one the delivery is a dead letter"},
		{name: "delivery-retry-jitter", kind: "number", byDefault: "0.2", set: setJitter,
			help: "how far the waits are spread, from 0 (not at all) to 1, for subscriptions that don't say"},
		{name: "delivery-max-in-flight", kind: "number", byDefault: "16", set: number(func(c *config) *int { return &c.API.Rules.Delivery.MaxInFlight }, 1, router.MaxMaxInFlight),
			help: "deliveries under way at a time, for subscriptions that don't say"},
		{name: "delivery-max-backlog", kind: "number", byDefault: "0", set: number(func(c *config) *int { return &c.API.Rules.Delivery.MaxBacklog }, 0, router.MaxMaxBacklog),
			help: "deliveries that may wait in each partition, for subscriptions that don't say; what comes when there are so many becomes a dead letter. 0: any number"},
		{name: "delivery-breaker-failures", kind: "number", byDefault: "10", set: number(func(c *config) *int { return &c.API.Rules.Delivery.Breaker.Failures }, 0, router.MaxBreakerFailures),
			help: "failures in a row after which an endpoint is left alone for a while, for subscriptions that don't say; 0: it never is"},
		{name: "delivery-breaker-pause", kind: "duration", byDefault: "10s", set: setPause,
			help: "for how long at first, for subscriptions that don't say; each further failure doubles it, up to 5 minutes"},
		{name: "delivery-disable-after", kind: "duration", byDefault: "5d", set: setDisableAfter,
			help: "how long an endpoint may fail until its subscription is disabled, for subscriptions that don't say; 0s: for ever"},
		{name: "shutdown-grace", kind: "duration", byDefault: "15s", set: duration(func(c *config) *time.Duration { return &c.Router.Grace }, "100ms", "10m"),
			help: "how long a server that is to stop lets what is in hand finish"},
	}
}

func outputSettings() []setting {
	return []setting{
		{name: "metrics-subscriptions", kind: "number", byDefault: "100", set: number(func(c *config) *int { return &c.MetricsSubscriptions }, 0, 10_000),
			help: "how many subscriptions, the oldest ones, have metrics of their own; those of all others are added up under the name `_other`"},
		{name: "log-level", kind: "level", byDefault: "info", set: setLevel,
			help: "debug, info, warn or error"},
		{name: "log-format", kind: "text|json", byDefault: "text", set: oneOf(func(c *config) *string { return &c.logFormat }, "text", "json"),
			help: "how log lines look; they go to stderr"},
	}
}

func schedule(steps []router.Duration) string {
	var b strings.Builder
	for i, d := range steps {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(d.String())
	}
	return b.String()
}
