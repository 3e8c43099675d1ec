package router

import (
	"regexp"
	"strings"
)

// Limits of a stream sink.
const (
	MaxStreamName = 255
	MaxStreamLen  = 1_000_000_000_000 // entries
)

// streamNamePattern is of names of streams: with one hash tag at most, so that what is kept beside the stream can be in its slot.
var streamNamePattern = regexp.MustCompile(`^[A-Za-z0-9._:/-]*(?:\{[A-Za-z0-9._:/-]+\})?[A-Za-z0-9._:/-]*$`)

// deploymentKey is of keys that belong to a deployment of Streamlatch.
var deploymentKey = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}:\{[0-9]+\}:`)

const streamNameRule = "1 to 255 letters, digits and . _ : / -, with one part in braces at most"

func (s *Sink) readStream(o *docObject) {
	s.Timeout = DefaultSinkTimeout
	o.get("stream").text(&s.Stream)
	o.get("maxlen").integer(&s.MaxLen)
	o.get("redis").text(&s.Redis)
	o.get("timeout").duration(&s.Timeout)
}

func (s Sink) checkStream(f *docFaults, at string, rules Rules) {
	switch name := within(at, "sink.stream"); {
	case s.Stream == "":
		f.add(name, "is required")
	case len(s.Stream) > MaxStreamName || !streamNamePattern.MatchString(s.Stream):
		f.add(name, "must be %s", streamNameRule)
	case deploymentKey.MatchString(s.Stream):
		f.add(name, "is the name of a key of a deployment of Streamlatch")
	}
	if s.MaxLen < 0 || s.MaxLen > MaxStreamLen {
		f.add(within(at, "sink.maxlen"), "must be from 0, which keeps all, to %d", MaxStreamLen)
	}
	s.checkTimeout(f, at)
	if s.Redis == "" {
		return
	}
	if url := within(at, "sink.redis"); len(s.Redis) > MaxSinkURL {
		f.add(url, "has %d bytes; at most %d are possible", len(s.Redis), MaxSinkURL)
	} else {
		f.refuse(at, "sink.redis", orElse(rules.CheckRedis, checkRedisURL)(s.Redis))
	}
}

func checkRedisURL(s string) error {
	if !strings.HasPrefix(s, "redis") || !strings.Contains(s, "://") {
		return Errorf(Invalid, "must be a URL such as rediss://user:password@redis.example:6379")
	}
	return nil
}

// StreamSlot is the part of a stream's name that decides its slot on a Cluster: what stands in its braces, else all of it.
func StreamSlot(name string) string {
	_, rest, ok := strings.Cut(name, "{")
	if tag, _, closed := strings.Cut(rest, "}"); ok && closed && tag != "" {
		return tag
	}
	return name
}

func (s Sink) writeStream(w *jsonWriter) {
	w.text("stream", s.Stream)
	if s.MaxLen != 0 {
		w.integer("maxlen", s.MaxLen)
	}
	w.optional("redis", s.Redis)
}

// redisPassword finds a parameter of a Redis URL that is a password.
var redisPassword = regexp.MustCompile(`([?&]sentinel_password=)([^&#]*)`)

// maskRedisURL masks the passwords in the URL of a Redis, which may have several hosts.
func maskRedisURL(url string) string {
	scheme, place, ok := strings.Cut(url, "://")
	if !ok {
		return Masked // not a URL: it could be anything
	}
	end := strings.IndexAny(place, "/?#")
	if end < 0 {
		end = len(place)
	}
	authority, rest := place[:end], place[end:]
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		if user, _, has := strings.Cut(authority[:at], ":"); has {
			authority = user + ":" + Masked + authority[at:]
		}
	}
	return scheme + "://" + authority + redisPassword.ReplaceAllString(rest, "${1}"+Masked)
}

// isMaskedRedisURL tells whether a password in the URL is masked.
func isMaskedRedisURL(url string) bool {
	return strings.Contains(url, ":"+Masked+"@") || strings.Contains(url, "sentinel_password="+Masked)
}
